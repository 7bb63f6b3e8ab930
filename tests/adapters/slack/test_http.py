"""The address that Slack calls: the forged are refused before anything is read, and nothing is acknowledged too early."""

import asyncio
import contextlib
import io
import time

import aiohttp
import msgspec
import pytest
from aiohttp import web

from adapters.chat.slack.routes import CAP, PATH, fresh, sign
from core.messages import Button, Pressed
from tests.adapters.slack.bench import Engine, adapter, say
from tests.servers.slack import SIGNING_SECRET

EVENT = {
    "type": "event_callback",
    "team_id": "T1",
    "api_app_id": "A1",
    "event_id": "Ev9",
    "event": {"type": "message", "channel": "D9", "channel_type": "im", "user": "U1", "text": "hi", "ts": "9.1"},
}


@contextlib.asynccontextmanager
async def called(server, notes, engine, *, verify=True):
    """The adapter behind a web server of the test; the platform posts to it. Yields the adapter and its address."""
    async with adapter(server, notes, engine, app_token="", signing_secret=SIGNING_SECRET) as slack:
        app = web.Application()
        app.add_routes(slack.routes())
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}{PATH}"
        try:
            await server.wait_for(lambda: slack._reception)
            await server.deliver_http(url, SIGNING_SECRET, verify=verify)
            yield slack, url
        finally:
            server.posts.url = ""
            await runner.cleanup()


async def posted(url, body, kind="application/json", headers=None, secret=SIGNING_SECRET, stamp=None):
    stamp = str(int(time.time())) if stamp is None else stamp
    head = {"Content-Type": kind, "X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": sign(secret, stamp, body)}
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=io.BytesIO(body), headers=headers or head) as answer,
    ):
        return answer.status


async def test_events_commands_and_presses_come_in_signed(server, notes, dm, ada):
    engine = Engine()
    async with called(server, notes, engine) as (slack, _):
        await dm.say(ada, "hello")
        await server.wait_for(lambda: engine.texts == ["hello"])
        await say(slack, dm, "choose", buttons=(Button("Again", "/retry"),))
        press = await dm.press(ada, "Again")
        command = await dm.slash(ada, "/pieria", "what & why?")
        await server.wait_for(lambda: press.acked and command.acked)
    assert engine.texts == ["hello", "what & why?"]
    assert [event.action for event in engine.events if isinstance(event, Pressed)] == ["/retry"]
    assert server.unacked == []


async def test_without_a_secret_there_is_no_address(server, notes):
    async with adapter(server, notes) as slack:
        assert slack.routes() == []


async def test_200_is_said_only_when_the_event_is_durable(server, notes, dm, ada):
    engine = Engine()
    engine.gate = asyncio.Event()
    async with called(server, notes, engine):
        await dm.say(ada, "hello")
        await server.wait_for(lambda: engine.tries)
        assert not any(delivery.acked for delivery in server.deliveries.all)
        engine.gate.set()
        await server.settled()
    assert engine.texts == ["hello"]


async def test_while_the_store_is_away_it_is_503_and_the_order_is_kept(server, notes, dm, ada):
    engine = Engine()
    engine.refuse = 1_000
    async with called(server, notes, engine):
        server.deliveries.retry_delays = (0.3, 0.3, 0.5)
        await dm.say(ada, "one")
        await server.wait_for(lambda: server.unacked)
        engine.refuse = 0
        server.deliveries.retry_delays = (0.3, 0.1, 0.1)
        await dm.say(ada, "two")
        await server.wait_for(lambda: len(engine.texts) == 2)
    assert engine.texts == ["one", "two"]


@pytest.mark.parametrize(
    "how",
    [
        {"secret": "another"},
        {"signed": False},
        {"signature": "v0=" + "0" * 64},
        {"signature": ""},
        {"signature": "ä"},
        {"age": 301.0},
        {"age": -302.0},
        {"timestamp": "soon"},
        {"timestamp": ""},
        {"timestamp": "１７６０００００００"},
        {"timestamp": "1e9"},
        {"length": 20},
    ],
)
async def test_the_forged_and_the_old_are_refused(server, notes, how):
    engine = Engine()
    async with called(server, notes, engine):
        with contextlib.suppress(UnicodeEncodeError):
            status, _ = await server.post_raw(EVENT, **how)
            assert status == 403
    assert engine.tries == []


async def test_a_doubled_header_is_refused(server, notes):
    engine = Engine()
    async with called(server, notes, engine) as (_, url):
        body, stamp = b"{}", str(int(time.time()))
        for twice in ("X-Slack-Signature", "X-Slack-Request-Timestamp"):
            head = [("Content-Type", "application/json"), ("X-Slack-Request-Timestamp", stamp)]
            head += [("X-Slack-Signature", sign(SIGNING_SECRET, stamp, body))]
            head += [(twice, dict(head)[twice])]
            assert await posted(url, body, headers=head) == 403


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{}", "text/plain", 415),
        (b"x" * (CAP + 1), "application/json", 413),
        (b"{", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"[" * 50_000, "application/json", 200),
        (b"payload=%7B", "application/x-www-form-urlencoded", 400),
        (b"a=1", "application/x-www-form-urlencoded", 400),
        (b"ssl_check=1&token=x", "application/x-www-form-urlencoded", 200),
        (b"[]", "application/json", 200),
        (b'{"type":"something_new"}', "application/json", 200),
    ],
)
async def test_what_is_signed_and_senseless_is_told_so(server, notes, body, kind, status):
    engine = Engine()
    async with called(server, notes, engine) as (_, url):
        assert await posted(url, body, kind) == status
    assert engine.tries == []


async def test_a_packed_body_is_refused(server, notes):
    async with called(server, notes, Engine()) as (_, url):
        stamp = str(int(time.time()))
        head = {"Content-Type": "application/json", "Content-Encoding": "gzip", "X-Slack-Request-Timestamp": stamp}
        head["X-Slack-Signature"] = sign(SIGNING_SECRET, stamp, b"{}")
        assert await posted(url, b"{}", headers=head) == 415


async def test_a_body_that_does_not_come_is_given_up(server, notes):
    async with called(server, notes, Engine()) as (_, url):
        host, port = url.split("/")[2].split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n"
        head += f"X-Slack-Request-Timestamp: {int(time.time())}\r\nX-Slack-Signature: v0=0\r\n\r\n{{"
        writer.write(head.encode())
        answer = await asyncio.wait_for(reader.readline(), 5.0)
        assert b"408" in answer
        writer.close()


async def test_before_we_serve_slack_has_to_come_again(server, notes):
    engine = Engine()
    async with called(server, notes, engine) as (slack, url):
        slack._reception = None
        assert await posted(url, msgspec.json.encode(EVENT)) == 503


async def test_a_repeated_request_is_the_same_event(server, notes, dm, ada):
    engine = Engine()
    async with called(server, notes, engine):
        await dm.say(ada, "hello")
        await server.settled()
        server.redeliver()
        await server.wait_for(lambda: len(engine.events) == 2)
    assert engine.events[0] == engine.events[1]


def test_a_stamp_is_fresh_for_five_minutes_either_way():
    assert fresh("1000", 1300)
    assert fresh("1000", 700)
    assert not fresh("1000", 1301)
    assert not fresh("-1", 0)
    assert not fresh("1000.0", 1000)
    assert not fresh(" 1000", 1000)
