"""The other end of the socket in the data folder: what a terminal says to the program, and what comes back."""

import asyncio
import contextlib
import io
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from core.errors import PieriaError

STARTING = 60.0
"""Seconds that the program may take before it takes messages."""
SILENCE = 45.0
"""Seconds without a sign of life after which the connection counts as broken."""
Event = dict[str, Any]


class Cut(PieriaError):
    """The program behind the socket is not there, or not any more."""


@contextlib.asynccontextmanager
async def line_to(socket: Path) -> AsyncIterator["Line"]:
    """A line to the program that serves this socket."""
    timeout = aiohttp.ClientTimeout(total=None, connect=10.0, sock_read=SILENCE)
    connector = aiohttp.UnixConnector(path=str(socket), limit=0)
    async with aiohttp.ClientSession("http://localhost", connector=connector, timeout=timeout) as session:
        yield Line(session)


class Line:
    """What can be said, and what is heard."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def about(self, thread: str) -> tuple[str, list[str]]:
        """Which model speaks, and the replies that nobody has seen. Raises Cut."""
        with _told():
            async with self._session.get("/terminal/about", params={"thread": thread}) as answer:
                if answer.status != 200:
                    raise PieriaError(_sentence(await answer.read()))
                value = msgspec.json.decode(await answer.read(), type=dict[str, Any])
                return value["line"], value["missed"]

    async def say(self, text: str, thread: str) -> AsyncGenerator[Event, None]:
        """The events of the reply, the last one a final or an error. Raises Cut, or PieriaError for a refusal."""
        body = msgspec.json.encode({"text": text, "thread": thread, "id": uuid.uuid4().hex, "zone": _zone()})
        until = asyncio.get_running_loop().time() + STARTING
        with _told():
            while True:
                async with self._session.post("/terminal/say", data=io.BytesIO(body)) as answer:
                    if answer.status != 200:
                        refusal = await answer.read()
                        if b'"starting"' not in refusal or asyncio.get_running_loop().time() > until:
                            raise PieriaError(_sentence(refusal))
                    else:
                        async for event in _events(answer.content):
                            yield event
                            if "final" in event or "error" in event:
                                return
                        raise Cut(_CUT)
                await asyncio.sleep(0.1)

    async def stop(self, thread: str) -> None:
        """End the reply that runs; the reply itself says that it was stopped."""
        body = msgspec.json.encode({"thread": thread, "id": uuid.uuid4().hex})
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
            async with asyncio.timeout(10.0), self._session.post("/terminal/stop", data=body) as answer:
                await answer.read()


_CUT = "The connection to Pieria broke before the reply was complete. Start it again: the reply is not lost."


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """What can go wrong on the way, as one sentence."""
    try:
        yield
    except aiohttp.ClientConnectorError as error:
        raise Cut("Pieria does not run here. Start it with `make run`, or talk to it with `make chat`.") from error
    except (aiohttp.ClientError, TimeoutError, ConnectionError, msgspec.DecodeError) as error:
        raise Cut(_CUT) from error


async def _events(content: aiohttp.StreamReader) -> AsyncIterator[Event]:
    # not readline(): it has a limit, and a line holds a whole reply
    rest = bytearray()
    async for piece in content.iter_any():
        rest += piece
        if b"\n" in piece:
            *lines, last = rest.split(b"\n")
            rest = bytearray(last)
            for line in lines:
                if line:
                    yield msgspec.json.decode(line, type=dict[str, Any])


def _sentence(refusal: bytes) -> str:
    try:
        return str(msgspec.json.decode(refusal, type=dict[str, Any])["error"])
    except (msgspec.DecodeError, KeyError):
        return "What answers at the socket is not Pieria, or of another version. Start it again."


def _zone() -> str:
    """The machine's time zone by name, where it tells."""
    with contextlib.suppress(OSError):
        return str(Path("/etc/localtime").readlink()).partition("zoneinfo/")[2]
    return ""
