"""The addresses of the socket in the data folder: a message in, its reply streamed out as one JSON value a line."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

import msgspec
from aiohttp import web

from adapters.chat.terminal import inbound
from adapters.chat.terminal.inbound import Starting, Unreadable
from adapters.chat.terminal.outbound import Terminal
from core.errors import PieriaError, StoreError

BODY_CAP = 8 * 1024 * 1024
"""Bytes of a request: a message of the longest kind, escaped."""
BODY_PATIENCE = 30.0
"""Seconds for a body to arrive, and for a terminal to take what it is told."""
HEARTBEAT = 1.0
"""Seconds of silence after which an empty line shows that the stream lives, and whether somebody reads it."""

Handler = Callable[[Terminal, web.Request], Awaitable[web.StreamResponse]]


def routes(terminal: Terminal) -> list[web.RouteDef]:
    """Every address of the terminal; for a socket that nobody but its owner can open.

    `GET /terminal/about?thread=` gives {"line", "missed"}. `POST /terminal/say` takes {text, thread, id, zone} and streams
    {"partial", "doing"} (the whole text so far), {"other"} (a reply to something else), then {"final", "turn", "buttons"}
    (and "failed" where the model did not answer) or {"error"}; empty lines are signs of life. `POST /terminal/stop` takes {thread, id}. A refusal is {"error"},
    with "starting" where another try helps.
    """
    return [
        web.get("/terminal/about", _with(terminal, _about)),
        web.post("/terminal/say", _with(terminal, _say)),
        web.post("/terminal/stop", _with(terminal, _stop)),
    ]


def _with(terminal: Terminal, handle: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    @wraps(handle)
    async def handler(request: web.Request) -> web.StreamResponse:
        try:
            return await handle(terminal, request)
        except Starting as error:
            return _json({"error": error.sentence, "starting": True}, error.status)
        except Unreadable as error:
            return _json({"error": error.sentence}, error.status)
        except StoreError as error:
            return _json({"error": error.sentence}, 503)
        except PieriaError as error:
            return _json({"error": error.sentence}, 500)

    return handler


async def _about(terminal: Terminal, request: web.Request) -> web.StreamResponse:
    line = await terminal.about()
    thread = request.query.get("thread", "")
    return _json({"line": line, "missed": terminal.missed(inbound.chat(thread)) if thread else []})


async def _say(terminal: Terminal, request: web.Request) -> web.StreamResponse:
    message = inbound.message(await _body(request))
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    with terminal.stream(message, lambda: request.transport is not None) as stream:
        await terminal.take(message)
        try:
            await response.prepare(request)
            while not stream.taken:
                events = await stream.take(HEARTBEAT)
                lines = b"".join(msgspec.json.encode(event) + b"\n" for event in events) or b"\n"
                async with asyncio.timeout(BODY_PATIENCE):
                    await response.write(lines)
                    stream.taken = any("final" in event or "error" in event for event in events)
            async with asyncio.timeout(BODY_PATIENCE):
                await response.write_eof()
        except (TimeoutError, ConnectionError):
            # nobody reads any more: what was not taken is kept
            if request.transport is not None:
                request.transport.abort()
    return response


async def _stop(terminal: Terminal, request: web.Request) -> web.StreamResponse:
    await terminal.take(inbound.stopped(await _body(request)))
    return _json({}, 202)


async def _body(request: web.Request) -> bytes:
    read = bytearray()
    try:
        async with asyncio.timeout(BODY_PATIENCE):
            async for piece in request.content.iter_any():
                read += piece
                if len(read) > BODY_CAP:
                    raise Unreadable(f"The message is too long: at most {inbound.TEXT_CAP:,} bytes can be sent.", 413)
    except TimeoutError as error:
        raise Unreadable("The message took too long to arrive. Try again.", 408) from error
    return bytes(read)


def _json(value: dict[str, Any], status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(value), content_type="application/json")
