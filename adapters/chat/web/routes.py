"""The page's addresses: the page itself, its files, signing in, and the small JSON interface that it uses."""

import asyncio
import contextlib
import gzip
import hashlib
from collections.abc import Awaitable, Callable
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from adapters.chat.web import inbound
from adapters.chat.web.door import OPERATOR, new_visitor
from adapters.chat.web.format import render
from adapters.chat.web.inbound import Unreadable
from adapters.chat.web.outbound import Web
from adapters.chat.web.records import About, ChatCard, Records
from adapters.chat.web.streams import Written
from core.apart import apart
from core.messages import ChatRef, Message, Said

__all__ = ["About", "ChatCard", "Records", "routes"]

HEARTBEAT = 15.0
"""Seconds of silence after which an open stream gets a sign of life."""
LOOK = 3.0
"""Seconds between two looks whether a silent page is still there."""
BODY_PATIENCE = 30.0
"""Seconds for a body to arrive, and for a page to take what it is told."""
PAGE = 60
"""Messages of a transcript that are shown at once; older ones on demand."""
PAGE_SIZE = 400_000
"""Characters after which no more messages are added."""
CARDS = 500
"""Past chats in the list."""

_STATIC = Path(__file__).parent / "static"
_TYPES = {
    "index.html": "text/html; charset=utf-8",
    "chat.css": "text/css; charset=utf-8",
    "look.js": "text/javascript; charset=utf-8",
    "pieces.js": "text/javascript; charset=utf-8",
    "door.js": "text/javascript; charset=utf-8",
    "items.js": "text/javascript; charset=utf-8",
    "cards.js": "text/javascript; charset=utf-8",
    "composer.js": "text/javascript; charset=utf-8",
    "chat.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def routes(page: Web) -> list[web.RouteDef]:
    """Every address of the page. The rules on Host, Origin and headers are those of the application that mounts them."""
    files = {name: _load(name) for name in _TYPES}
    return [
        web.get("/", _file(files["index.html"])),
        *(web.get(f"/static/{name}", _file(file)) for name, file in files.items() if name != "index.html"),
        web.get("/favicon.ico", _file(files["icon.svg"])),
        web.get("/enter", _with(page, _enter)),
        web.post("/api/visit", _with(page, _visit)),
        web.post("/api/signin", _with(page, _sign_in)),
        web.post("/api/signout", _with(page, _sign_out)),
        web.get("/api/about", _with(page, _about)),
        web.get("/api/chats", _with(page, _chats)),
        web.get("/api/chats/{thread}", _with(page, _chat)),
        web.get("/api/events", _with(page, _events)),
        web.post("/api/messages", _with(page, _post)),
        web.post("/api/stop", _with(page, _stop)),
        web.post("/api/retry", _with(page, _retry)),
        web.post("/api/press", _with(page, _press)),
    ]


def _with(page: Web, handle: Callable[[Web, web.Request], Awaitable[web.StreamResponse]]) -> Handler:
    @wraps(handle)
    async def handler(request: web.Request) -> web.StreamResponse:
        return await handle(page, request)

    return handler


# who comes in


async def _enter(page: Web, request: web.Request) -> web.StreamResponse:
    if "prefetch" in request.headers.get("Sec-Purpose", ""):
        raise Unreadable("A link that works once is not fetched ahead.", 503)
    user = page.door.redeem(request.query.get("token", ""))
    here = page.door.user(request)
    response = web.Response(status=303, headers={"Location": "/" if user or here == OPERATOR else "/#used-link"})
    if user:
        page.door.remember(request, response, user)
    return response


async def _visit(page: Web, request: web.Request) -> web.StreamResponse:
    user = page.door.user(request)
    if not user and not page.door.is_open(request):
        raise Unreadable("Sign in first.", 401)
    response = _json({"new": not user})
    if user:
        page.door.refresh(request, response)
    else:
        page.door.remember(request, response, new_visitor())
    return response


class _Password(msgspec.Struct):
    password: str


async def _sign_in(page: Web, request: web.Request) -> web.StreamResponse:
    try:
        given = msgspec.json.decode(await _body(request), type=_Password)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unreadable("The password did not arrive in a readable form.") from error
    page.door.check_password(request, given.password)
    response = _json({"new": False})
    page.door.remember(request, response, OPERATOR)
    return response


async def _sign_out(page: Web, request: web.Request) -> web.StreamResponse:
    response = _json({})
    page.door.forget(request, response)
    return response


# what it reads


async def _about(page: Web, request: web.Request) -> web.StreamResponse:
    user = page.door.user(request)
    here: dict[str, Any] = {
        "signed_in": bool(user),
        "open": page.door.is_open(request),
        "password": page.door.asks_password,
    }
    if user:
        about = await page.records.about()
        here |= {
            "operator": user == OPERATOR,
            "about": about,
            "commands": page.commands,
            "text_cap": inbound.TEXT_CAP,
        }
    return _json(here)


async def _chats(page: Web, request: web.Request) -> web.StreamResponse:
    user = page.door.need_user(request)
    cards = await page.records.chats(inbound.account(user))
    return _json({"chats": [{"thread": card.thread, "title": card.title, "at": card.at} for card in cards[:CARDS]]})


async def _chat(page: Web, request: web.Request) -> web.StreamResponse:
    """The newest messages before `?before=` (a position), with what grows just now."""
    user = page.door.need_user(request)
    place = inbound.chat(user, request.match_info["thread"])
    said, waits = await _read(page.records, place)
    before = request.query.get("before", "")
    end = min(len(said), int(before)) if before.isascii() and before.isdigit() and len(before) < 9 else len(said)
    running = await page.records.running(place)
    start, size = end, 0
    messages: list[dict[str, Any]] = []
    while start and len(messages) < PAGE and size < PAGE_SIZE:
        start -= 1
        messages.append(await _shown(said[start]))
        size += len(messages[-1]["text"]) + len(messages[-1]["html"])
        await asyncio.sleep(0)  # a long transcript does not hold up others' replies
    messages.reverse()
    growing = page.growing(place)
    waiting = [Written(place.thread, message.message_id, message.text) for message in waits if message.message_id]
    shown = {
        "messages": messages,
        "waiting": waiting,
        "growing": growing,
        "running": running or bool(growing),
        "remaking": any(message.text == "/retry" and not message.message_id for message in waits),
        "model": await page.records.model(place),
    }
    return _json({"from": start, **shown})


async def _read(records: Records, place: ChatRef) -> tuple[list[Said], list[Message]]:
    """The transcript and what is not in it yet. A turn that ends between the two looks moves messages: then look again."""
    waits = list(await records.waiting(place))
    for _ in range(5):
        said = [line for line in await records.transcript(place) if line.text and line.role != "tool"]
        before, waits = waits, list(await records.waiting(place))
        left = {message.event for message in waits}
        if all(message.event in left for message in before):
            break
    return said, waits


async def _shown(line: Said) -> dict[str, Any]:
    html = await apart(len(line.text), _rendered, line.text) if line.role == "assistant" else ""
    names = [file.name or file.kind for file in line.attachments]
    return {"role": line.role, "text": line.text, "html": html, "at": line.at, "files": names}


@lru_cache(maxsize=400)
def _rendered(markdown: str) -> str:
    return render(markdown)


async def _events(page: Web, request: web.Request) -> web.StreamResponse:
    user = page.door.need_user(request)
    if not _from_the_page(request):
        raise Unreadable("Only the page itself may read its events.", 403)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
    await response.prepare(request)
    with page.stream(user) as stream:
        await response.write(b'retry: 1000\ndata: {"kind":"hello"}\n\n')
        silent = 0.0
        while not stream.closed and request.transport is not None:  # None: the page is gone
            frames = b""
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    frames = await stream.take()
            silent = 0.0 if frames else silent + LOOK
            if silent >= HEARTBEAT:
                frames, silent = b': alive\ndata: {"kind":"beat"}\n\n', 0.0
            if frames and not await _told(response, frames):
                break
    return response


def _from_the_page(request: web.Request) -> bool:
    # the application has checked an Origin; on plain http beyond this machine browsers send a Referer alone
    if "Origin" in request.headers or request.headers.get("Sec-Fetch-Site") == "same-origin":
        return True
    return request.headers.get("Referer", "").startswith((f"http://{request.host}/", f"https://{request.host}/"))


async def _told(response: web.StreamResponse, frames: bytes) -> bool:
    """Whether the page took it; one that does not read is left, and comes back by itself."""
    try:
        async with asyncio.timeout(BODY_PATIENCE):
            await response.write(frames)
    except (TimeoutError, ConnectionError):
        response.force_close()
        return False
    return True


# what it sends


async def _post(page: Web, request: web.Request) -> web.StreamResponse:
    user = page.door.need_user(request)
    message = inbound.message(await _body(request), user)
    await page.take(message)
    return _json({"id": message.message_id}, status=202)


async def _stop(page: Web, request: web.Request) -> web.StreamResponse:
    return await _pressed(page, request, "/stop")


async def _retry(page: Web, request: web.Request) -> web.StreamResponse:
    return await _pressed(page, request, "/retry")


async def _press(page: Web, request: web.Request) -> web.StreamResponse:
    return await _pressed(page, request, "")


async def _pressed(page: Web, request: web.Request, action: str) -> web.StreamResponse:
    user = page.door.need_user(request)
    await page.take(inbound.pressed(await _body(request), user, action))
    return _json({}, status=202)


async def _body(request: web.Request) -> bytes:
    if request.content_type != "application/json":
        raise Unreadable("The page sends JSON only.", 415)
    try:
        async with asyncio.timeout(BODY_PATIENCE):
            return await request.read()
    except TimeoutError as error:
        raise Unreadable("The message took too long to arrive. Try again.", 408) from error


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(value), content_type="application/json")


# its files: small enough to be held ready, packed once


class _File(NamedTuple):
    body: bytes
    packed: bytes
    tag: str
    kind: str


def _load(name: str) -> _File:
    body = (_STATIC / name).read_bytes()
    tag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
    return _File(body, gzip.compress(body, 9, mtime=0), tag, _TYPES[name])


def _file(file: _File) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        headers = {"ETag": file.tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if file.tag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        headers["Content-Type"] = file.kind
        if "gzip" not in request.headers.get("Accept-Encoding", ""):
            return web.Response(body=file.body, headers=headers)
        return web.Response(body=file.packed, headers=headers | {"Content-Encoding": "gzip"})

    return handler
