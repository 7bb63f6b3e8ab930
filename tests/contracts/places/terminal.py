"""The terminal: the real adapter behind its unix socket, and terminals that draw as `pieria chat` does on a tty."""

import asyncio
import io
import re
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

import aiohttp
import msgspec

from adapters.chat.terminal.format import DIM, OFF, ansi
from adapters.chat.terminal.live import Live
from adapters.chat.terminal.outbound import Terminal
from adapters.chat.terminal.routes import routes
from adapters.web.app import app, serve
from core.engine import Engine
from core.ports import Chat
from tests.contracts.place import Ability, Sent, gone
from tests.contracts.reading import terminal_text

WIDTH, HEIGHT = 100, 10_000
FENCE_LINE = re.compile(rf"{re.escape(DIM)}[ >]*(?:`{{3,}}|~{{3,}})[^\n]*{re.escape(OFF)}\n?")
"""The terminal shows the marks of a listing too, dimmed: they are no part of what is said."""


class TerminalPlace:
    """Whoever sits at the data folder, with one terminal for each message."""

    lacks: ClassVar[Mapping[Ability, str]] = {
        "block": "whoever does not want to read closes the terminal",
        "edit": "what was typed cannot be changed",
        "faults": "the socket is our own: what can fail is the terminal's line (hang up)",
        "files": "the terminal takes no files yet",
        "forms": "the terminal shows whatever we give it",
        "group": "the one who sits at the terminal is alone",
        "pings": "the terminal notifies nobody",
        "replies": "the one who sits at the terminal is alone",
        "rules": "the one who sits at the terminal is alone",
        "strangers": "whoever can open the socket is the operator",
        "take back": "what was typed cannot be taken back",
        "typing": "the terminal shows by itself that it waits",
    }

    def __init__(self, folder: Path, session: aiohttp.ClientSession) -> None:
        self._socket = folder / "pieria.sock"
        self._session = session
        self._shown: dict[str, str] = {}
        self._elsewhere: dict[str, dict[str, str]] = {}
        """What other conversations showed."""
        self._previews: list[str] = []
        self._drawn: set[asyncio.Task] = set()
        self._streams: set[asyncio.Task] = set()
        self._cut = False
        self._posts: asyncio.Queue[tuple[str, bytes, Sent]] = asyncio.Queue()

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator[Self]:
        folder = Path(tempfile.mkdtemp(prefix="pieria-"))
        connector = aiohttp.UnixConnector(path=str(folder / "pieria.sock"), limit=0)
        async with aiohttp.ClientSession("http://localhost", connector=connector) as session:
            place = cls(folder, session)
            posting = asyncio.create_task(place._post_all())
            try:
                yield place
            finally:
                await gone(posting, *place._streams)
                shutil.rmtree(folder)

    @asynccontextmanager
    async def life(self, engine: Engine) -> AsyncIterator[Chat]:
        terminal = Terminal(_about)
        self._socket.unlink(missing_ok=True)
        async with serve(app([routes(terminal)]), "localhost", 0, uds=str(self._socket)):
            try:
                yield terminal
            finally:
                if self._streams:
                    await asyncio.wait(self._streams, timeout=0.1)
                await self.hang_up()

    async def say(self, text: str) -> Sent:
        return await self._send("/terminal/say", text=text)

    async def redeliver(self, sent: Sent) -> None:
        await self._send("/terminal/say", sent.id, text=sent.text)

    async def say_raw(self, text: bytes) -> None:
        body = b'{"thread":"main","id":"%b","text":%b}' % (uuid.uuid4().hex.encode(), text)
        self._posts.put_nowait(("/terminal/say", body, Sent("", "")))

    async def send_nonsense(self) -> None:
        for body in (b"{", b"[]", b"\xff\xfe", b"null", b"", b"[" * 100_000, b'{"thread":1,"id":2,"text":3}'):
            self._posts.put_nowait(("/terminal/say", body, Sent("", "")))

    async def press_stop(self) -> None:
        await self._send("/terminal/stop")

    async def look(self) -> None:
        """Open a terminal again after one broke off: it tells what was missed."""
        if not self._cut or not self._socket.exists():
            return
        async with self._session.get("/terminal/about", params={"thread": "main"}) as answer:
            for text in msgspec.json.decode(await answer.read())["missed"]:
                self._shown[uuid.uuid4().hex] = _read(ansi(text, WIDTH))

    def read(self) -> list[str]:
        return list(self._shown.values())

    def previews(self) -> list[str]:
        return self._previews

    def growing(self) -> bool:
        return bool(self._drawn)

    async def thread_say(self, thread: str, text: str) -> Sent:
        return await self._send("/terminal/say", thread=thread, text=text)

    def thread_read(self, thread: str) -> list[str]:
        return list(self._elsewhere.get(thread, {}).values())

    async def hang_up(self) -> None:
        if self._streams:
            self._cut = True
            await gone(*self._streams)

    def come_back(self) -> None:
        self._cut = True

    async def _send(self, path: str, ident: str = "", **more: str) -> Sent:
        sent = Sent(ident or uuid.uuid4().hex, more.get("text", ""))
        self._posts.put_nowait((path, msgspec.json.encode({"thread": "main", "id": sent.id, **more}), sent))
        return sent

    async def _post_all(self) -> None:
        """One after the other; what cannot be taken now is offered again, what is refused is told."""
        while True:
            path, body, sent = await self._posts.get()
            status = 503
            while status == 503:
                try:
                    answer = await self._session.post(path, data=io.BytesIO(body))
                    status = answer.status
                except (aiohttp.ClientError, OSError):
                    status = 503
                if status == 503:
                    await asyncio.sleep(0.02)
            sent.told = status in {200, 202}
            if status == 200:
                stream = asyncio.create_task(self._watch(answer, self._shown_in(body)))
                self._streams.add(stream)
                stream.add_done_callback(self._streams.discard)
            elif status != 202:
                self._shown[uuid.uuid4().hex] = msgspec.json.decode(await answer.read())["error"]

    def _shown_in(self, body: bytes) -> dict[str, str]:
        thread = msgspec.json.decode(body)["thread"]
        return self._shown if thread == "main" else self._elsewhere.setdefault(thread, {})

    async def _watch(self, answer: aiohttp.ClientResponse, shown: dict[str, str]) -> None:
        """One terminal, from its message to its final."""
        mine, live, output, rest = asyncio.current_task(), Live(lambda: (WIDTH, HEIGHT)), "", b""
        try:
            async for piece in answer.content.iter_any():
                *lines, rest = (rest + piece).split(b"\n")
                for event in map(msgspec.json.decode, filter(None, lines)):
                    if "partial" in event:
                        self._drawn.add(mine)
                        output += live.grow(event["partial"], event.get("doing", ""))
                        self._previews.append(_read(output))
                    else:
                        output = self._settle(event, live, output, shown)
        except aiohttp.ClientError:
            self._cut = True
        finally:
            self._drawn.discard(mine)
            answer.close()

    def _settle(self, event: dict[str, Any], live: Live, output: str, shown: dict[str, str]) -> str:
        if "final" in event:
            self._drawn.discard(asyncio.current_task())
            shown[event["turn"]] = _read(output + live.finish(event["final"]))
        elif "other" in event:
            shown[event["turn"]] = _read(ansi(event["other"], WIDTH))
        else:
            shown[uuid.uuid4().hex] = event["error"]
        return output


async def _about() -> str:
    return "a scripted model speaks"


def _read(output: str) -> str:
    return terminal_text(FENCE_LINE.sub("", output))
