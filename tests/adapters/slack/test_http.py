"""The address that Slack calls: nothing is acknowledged before it is durable, and what makes no sense is told so."""

import asyncio
import io
import time

import aiohttp
import msgspec
import pytest

from adapters.chat.slack.routes import CAP, PATH, fresh, sign
from core.messages import Button, Pressed
from tests.adapters.slack.bench import Engine, adapter, called, say
from tests.servers.slack import SIGNING_SECRET

EVENT = {
    "type": "event_callback",
    "team_id": "T1",
    "api_app_id": "A1",
    "event_id": "Ev9",
    "event": {"type": "message", "channel": "D9", "channel_type": "im", "user": "U1", "text": "hi", "ts": "9.1"},
}


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
