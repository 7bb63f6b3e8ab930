"""The address that Telegram calls in webhook mode. Whoever cannot prove to be Telegram is refused before a byte is parsed.

Answers 200 only when the update is durable; 503 lets Telegram bring it again.
"""

import asyncio
import hmac
import weakref
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from aiohttp import web

from adapters.chat.telegram.polling import decode
from adapters.chat.telegram.updates import Update
from core.errors import StoreError

SECRET = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the name of a header
CAP = 1 << 20
"""Bytes of one update."""
PATIENCE = 10.0
"""Seconds for the body to arrive."""


def routes(path: str, secret: str, receive: Callable[[Sequence[Update]], Awaitable[None]]) -> list[web.RouteDef]:
    """The route to mount. `receive` returns when the update is durable, raises StoreError when it is not."""
    if not secret:
        raise ValueError("a webhook needs a secret")
    expected = secret.encode()
    lanes: weakref.WeakValueDictionary[int, asyncio.Lock] = weakref.WeakValueDictionary()

    async def called(request: web.Request) -> web.Response:
        given = request.headers.getall(SECRET, [])
        genuine = hmac.compare_digest(given[0].encode("utf-8", "surrogateescape") if given else b"", expected)
        if not genuine or len(given) != 1:
            return web.Response(status=403)
        if request.content_type != "application/json" or request.headers.get("Content-Encoding"):
            return web.Response(status=415)
        if (request.content_length or 0) > CAP:
            return web.Response(status=413)
        try:
            async with asyncio.timeout(PATIENCE):
                body = await _body(request)
        except TimeoutError:
            return web.Response(status=408)
        except (ConnectionError, web.RequestPayloadError):
            return web.Response(status=400)  # it broke off; nobody may be there to read this
        if body is None:
            return web.Response(status=413)
        try:
            update = decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return web.Response(status=400)
        if update is None:
            return web.Response()  # an update of a kind that does not concern us
        chat = update.place.id if update.place else 0
        lane = lanes.get(chat)
        if lane is None:
            lane = lanes[chat] = asyncio.Lock()
        async with lane:
            try:
                await receive((update,))
            except StoreError:
                return web.Response(status=503, headers={"Retry-After": "1"})
        return web.Response()

    return [web.post(path, called)]


async def _body(request: web.Request) -> bytes | None:
    """The body, None if it is longer than the cap; no more than that is ever held."""
    chunks, size = [], 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
        if size > CAP:
            return None
        chunks.append(chunk)
    return b"".join(chunks)
