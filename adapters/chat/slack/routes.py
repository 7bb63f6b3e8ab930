"""The address that Slack calls without Socket Mode. Whoever cannot prove to be Slack is refused before a byte is parsed.

Answers 200 only when the event is durable; 503 lets Slack bring it again, and later requests of the same chat are refused
until it came, so that a chat stays in order.
"""

import asyncio
import hashlib
import hmac
import re
import time
import weakref
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from adapters.chat.slack import events
from adapters.chat.slack.client import Times
from adapters.chat.slack.events import Payload
from adapters.recent import keep
from core.errors import StoreError

PATH = "/slack/events"
STAMP, SIGNATURE = "X-Slack-Request-Timestamp", "X-Slack-Signature"
CAP = 1 << 20
"""Bytes of one request."""
AGE = 300
"""Seconds that a request may be old."""
_JSON, _FORM = "application/json", "application/x-www-form-urlencoded"
_CHATS = 5_000


def routes(secret: str, receive: Callable[[Payload], Awaitable[None]], times: Times) -> list[web.RouteDef]:
    """The route to mount. `receive` returns when the event is durable, raises StoreError when it is not."""
    if not secret:
        raise ValueError("signed requests need a secret")
    order = Order(receive, times)

    async def called(request: web.Request) -> web.Response:
        stamps, signatures = request.headers.getall(STAMP, []), request.headers.getall(SIGNATURE, [])
        if len(stamps) != 1 or len(signatures) != 1 or not fresh(stamps[0], time.time()):
            return web.Response(status=403)
        if request.content_type not in {_JSON, _FORM} or request.headers.get("Content-Encoding"):
            return web.Response(status=415)
        if (request.content_length or 0) > CAP:
            return web.Response(status=413)
        try:
            async with asyncio.timeout(times.body):
                body = await _body(request)
        except TimeoutError:
            return web.Response(status=408)
        except (ConnectionError, web.RequestPayloadError):
            return web.Response(status=400)  # it broke off; nobody may be there to read this
        if body is None:
            return web.Response(status=413)
        given = signatures[0].encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, sign(secret, stamps[0], body).encode()):
            return web.Response(status=403)
        try:
            payload = read(body, request.content_type)
        except (msgspec.DecodeError, UnicodeError, RecursionError, ValueError):
            return web.Response(status=400)
        if payload is not None and payload.type == "url_verification":
            return web.json_response({"challenge": payload.challenge or ""})
        if payload is None or await order.take(payload):
            return web.Response()
        return web.Response(status=503, headers={"Retry-After": "1"})

    return [web.post(PATH, called)]


def sign(secret: str, stamp: str, body: bytes) -> str:
    """What Slack writes under a request."""
    return "v0=" + hmac.new(secret.encode(), b"v0:" + stamp.encode() + b":" + body, hashlib.sha256).hexdigest()


def fresh(stamp: str, now: float) -> bool:
    """Whether a request was made just now."""
    return bool(re.fullmatch(r"[0-9]{1,12}", stamp)) and abs(now - int(stamp)) <= AGE


def read(body: bytes, kind: str) -> Payload | None:
    """What a request says; None for what does not concern us. Raises ValueError for what is neither JSON nor such a form."""
    if kind == _JSON:
        return events.payload(body)
    fields = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=100))
    if "payload" in fields:
        return events.payload(fields["payload"].encode())
    if "command" in fields:
        return events.slash(fields)
    if "ssl_check" in fields:
        return None
    raise ValueError("an empty form")


class Order:
    """Keeps the events of a chat in order, also when one has to come again."""

    def __init__(self, receive: Callable[[Payload], Awaitable[None]], times: Times) -> None:
        self._receive = receive
        self._times = times
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._owed: OrderedDict[str, tuple[str, float]] = OrderedDict()
        """The event that a chat waits for, and until when."""

    async def take(self, payload: Payload) -> bool:
        """Whether a payload is durable now; False where Slack has to bring it again."""
        lane = payload.lane
        lock = self._locks.get(lane)
        if lock is None:
            lock = self._locks[lane] = asyncio.Lock()
        async with lock:
            owed, until = self._owed.get(lane, ("", 0.0))
            if owed and owed != payload.name and time.monotonic() < until:
                return False
            taken = await self._held(payload)
            if taken:
                self._owed.pop(lane, None)
            elif payload.event_id:  # commands and presses do not come again
                keep(self._owed, lane, (payload.name, time.monotonic() + self._times.owed), _CHATS)
            return taken

    async def _held(self, payload: Payload) -> bool:
        """Keep a request for a moment while the store is away."""
        end = time.monotonic() + self._times.hold
        while True:
            try:
                await self._receive(payload)
            except StoreError:
                if time.monotonic() >= end:
                    return False
                await asyncio.sleep(self._times.watch)
            else:
                return True


async def _body(request: web.Request) -> bytes | None:
    """The body, None if it is longer than the cap; no more than that is ever held."""
    chunks, size = [], 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
        if size > CAP:
            return None
        chunks.append(chunk)
    return b"".join(chunks)
