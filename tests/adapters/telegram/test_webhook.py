"""Telegram's calls to us: what is genuine is durable before it is answered, everything else is refused unread."""

import asyncio
import contextlib
import gzip
import socket

import aiohttp
import msgspec
import pytest
from aiohttp import web

from adapters.chat.telegram import routes
from adapters.chat.telegram.client import Times
from adapters.chat.telegram.outbound import Telegram
from core.errors import ChatRejected, StoreError
from tests.servers.telegram import TOKEN

SECRET = "s3cret-Token_of_this_webhook"
HEADER = "X-Telegram-Bot-Api-Secret-Token"
TIMES = Times(answer=2.0, backoff=0.02, backoff_cap=0.1)
BODY = msgspec.json.encode(
    {
        "update_id": 1,
        "message": {"message_id": 5, "date": 1, "chat": {"id": 1, "type": "private"}, "from": {"id": 1}, "text": "hi"},
    }
)


class Site:
    """Our web server with the adapter behind it."""

    def __init__(self):
        self.events = []
        self.tries = 0
        self.refuse = 0
        self.busy = 0
        self.together = 0

    async def accept(self, event):
        self.tries += 1
        self.busy += 1
        self.together = max(self.together, self.busy)
        await asyncio.sleep(0)
        self.busy -= 1
        if self.refuse:
            self.refuse -= 1
            raise StoreError("The store is away.")
        self.events.append(event)

    @property
    def texts(self):
        return [event.text for event in self.events]


@contextlib.asynccontextmanager
async def serving(server):
    site = Site()
    app = web.Application()
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        # the port must be known before the adapter is made
        sock = socket.create_server(("127.0.0.1", 0))
        site.port = sock.getsockname()[1]
        site.url = f"http://127.0.0.1:{site.port}"
        tg = Telegram(TOKEN, session, server.url, site.url, SECRET, times=TIMES)
        app.add_routes(tg.routes())
        await runner.setup()
        await web.SockSite(runner, sock).start()
        task = asyncio.create_task(tg.serve(site.accept, ()))
        await server.wait_for(lambda: server.updates.url)
        site.path = server.updates.url.removeprefix(site.url)
        try:
            yield site
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await runner.cleanup()


@pytest.fixture
async def site(server):
    async with serving(server) as one:
        yield one


async def test_updates_come_by_webhook_in_order(server, site):
    ada = server.person(1, "Ada")
    chat = server.private(ada)
    for number in range(20):
        await chat.say(ada, str(number))
    await server.wait_for(lambda: len(site.events) == 20)
    assert site.texts == [str(number) for number in range(20)]


async def test_what_is_not_durable_is_brought_again(server, site):
    site.refuse = 3
    ada = server.person(1, "Ada")
    chat = server.private(ada)
    await chat.say(ada, "a")
    await chat.say(ada, "b")
    await server.wait_for(lambda: len(site.events) == 2)
    assert site.texts == ["a", "b"]
    assert site.tries == 5


async def test_events_of_one_chat_are_accepted_one_after_the_other(site):
    async with aiohttp.ClientSession() as session:

        async def post():
            async with session.post(
                site.url + site.path, data=BODY, headers={HEADER: SECRET, "Content-Type": "application/json"}
            ) as answer:
                return answer.status

        assert await asyncio.gather(*(post() for _ in range(10))) == [200] * 10
    assert site.together == 1


async def test_an_album_in_a_group_stays_addressed_part_by_part(server, site):
    ada = server.person(1, "Ada")
    group = server.group(-100123, "G", [ada])
    await group.photo(ada, b"1", f"@{server.bot.username} these", media_group_id="g")
    await group.photo(ada, b"2", media_group_id="g")
    await server.wait_for(lambda: len(site.events) == 2)
    assert [event.addressed for event in site.events] == [True, True]


async def test_an_address_that_telegram_refuses_ends_in_a_sentence(server):
    async with aiohttp.ClientSession() as session:
        tg = Telegram(TOKEN, session, server.url, "http://example.com", SECRET, times=TIMES)
        with pytest.raises(ChatRejected, match="https url"):
            await asyncio.wait_for(tg.serve(Site().accept, ()), 5)


async def test_there_are_no_routes_without_a_secret():
    async with aiohttp.ClientSession() as session:
        assert Telegram(TOKEN, session, public_url="https://x.org").routes() == []
        assert Telegram(TOKEN, session, webhook_secret=SECRET).routes() == []


async def raw(site, request):
    """The status of a request written by hand; 0 where the connection just ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    try:
        writer.write(request)
        await writer.drain()
        line = await asyncio.wait_for(reader.readline(), 5)
        return int(line.split()[1]) if line else 0
    except ConnectionError:
        return 0
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def http(site, body=BODY, *, method="POST", path=None, secret=SECRET, kind="application/json", length=None, more=()):
    lines = [f"{method} {site.path if path is None else path} HTTP/1.1", "Host: x", "Connection: close"]
    lines += [f"{HEADER}: {one}" for one in ((secret,) if isinstance(secret, str) else secret or ())]
    lines += [f"Content-Type: {kind}"] if kind else []
    lines += [] if length == "none" else [f"Content-Length: {len(body) if length is None else length}"]
    return "\r\n".join([*lines, *more, "", ""]).encode("latin-1", "replace") + body


BIG = b'{"update_id":1,"message":{"text":"' + b"x" * (1 << 20) + b'"}}'
SECRETS = [
    None, "", " ", "x", SECRET[:-1], SECRET + "x", SECRET[1:], SECRET.upper(), SECRET.lower(), SECRET.swapcase(), SECRET[::-1],
    "Bearer " + SECRET, f'"{SECRET}"', SECRET.replace("s", "ѕ"), SECRET + ",x", SECRET + "%00", "null", "undefined", "*", "é" * 28,
    TOKEN, (SECRET, SECRET), ("x", SECRET), (SECRET, "x"), "s" * 8000,
]  # fmt: skip
KINDS = [
    "",
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "application/xml",
    "text/json",
    "application/jsonx",
    "image/png",
    "application/octet-stream",
    "json",
]
BROKEN = [
    b"",
    b" ",
    b"{",
    b"[]",
    b"null",
    b"1",
    b'"x"',
    BODY[:-1],
    BODY[:10],
    BODY[1:],
    BODY + b"}",
    BODY + BODY,
    b"\xff\xfe",
    b"\x00",
    b"{}",
    b'{"update_id":"1"}',
    b'{"update_id":null}',
    b'{"update_id":1.5}',
    b"[" * 5000,
    b'{"message":' * 5000,
    b"update_id=1",
    gzip.compress(BODY),
]
METHODS = ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"]
PATHS = ["/telegram", "/telegram/", "/telegram/43", "/telegram/42/", "/", "/bot" + TOKEN, "//telegram/42"]


def forged():
    for secret in SECRETS:
        yield f"secret {str(secret)[:40]}", {"secret": secret}
    for kind in KINDS:
        yield f"kind {kind}", {"kind": kind}
    for body in BROKEN:
        yield f"body {body[:30]!r} {len(body)}", {"body": body}
    for method in METHODS:
        yield f"method {method}", {"method": method}
    for path in PATHS:
        yield f"path {path}", {"path": path}
    yield "too long", {"body": BIG}
    yield "too long and forged", {"body": BIG, "secret": "x"}
    yield "said to be too long", {"length": 2 << 20}
    yield "said to be enormous", {"length": 1 << 60}
    yield "a negative length", {"length": -5}
    yield "a length that is no number", {"length": "12x"}
    yield "truncated", {"length": len(BODY) + 5}
    yield "two lengths", {"more": (f"Content-Length: {len(BODY) + 1}",)}
    yield "no length at all", {"length": "none"}
    yield (
        "chunked and too long",
        {"length": "none", "more": ("Transfer-Encoding: chunked",), "body": b"%x\r\n%b\r\n0\r\n\r\n" % (len(BIG), BIG)},
    )
    yield "chunked nonsense", {"length": "none", "more": ("Transfer-Encoding: chunked",), "body": b"zz\r\n" + BODY}
    yield "compressed", {"body": gzip.compress(BODY), "more": ("Content-Encoding: gzip",)}
    yield "a bomb", {"body": gzip.compress(b" " * (50 << 20) + BODY), "more": ("Content-Encoding: gzip",)}
    yield "said to be compressed", {"more": ("Content-Encoding: br",)}


FORGED = list(forged())


def test_there_are_enough_forgeries():
    assert len(FORGED) >= 60


async def test_every_forged_request_is_refused_before_accept(site, monkeypatch):
    monkeypatch.setattr(routes, "PATIENCE", 0.2)
    passed = []
    for name, request in FORGED:
        status = await raw(site, http(site, **request))
        if 200 <= status < 300:
            passed.append((name, status))
    assert passed == []
    assert site.tries == 0
    assert await raw(site, http(site)) == 200
    assert site.tries == 1


async def test_a_body_that_never_ends_is_given_up(site, monkeypatch):
    monkeypatch.setattr(routes, "PATIENCE", 0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(http(site, length=len(BODY) + 100))
    await writer.drain()
    line = await asyncio.wait_for(reader.readline(), 5)
    writer.close()
    assert line.split()[1] == b"408"
    assert site.tries == 0


async def test_a_genuine_update_that_does_not_concern_us_is_done_with(site):
    for body in (b'{"update_id":1,"novelty":{}}', b'{"update_id":2,"message":{"message_id":"x"}}'):
        assert await raw(site, http(site, body)) == 200
    assert site.tries == 0


async def test_before_it_is_served_the_update_is_brought_again(server):
    async with aiohttp.ClientSession() as session:
        tg = Telegram(TOKEN, session, server.url, "http://127.0.0.1", SECRET, times=TIMES)
        app = web.Application()
        app.add_routes(tg.routes())
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/telegram/42"
        async with session.post(url, data=BODY, headers={HEADER: SECRET, "Content-Type": "application/json"}) as answer:
            assert answer.status == 503
        await runner.cleanup()
