"""Calls keep within the limits that Discord tells, and what fails is known exactly."""

import asyncio
import time

import aiohttp
import pytest

from adapters.chat.discord import buckets as limits
from adapters.chat.discord.buckets import Bucket, Buckets, Told
from adapters.chat.discord.failures import Refused
from adapters.chat.discord.rest import ME, NOTHING, SENT, Rest, Times, bases, named
from core.errors import ChatBusy, ChatUnreachable
from tests.servers.discord import TOKEN, DiscordServer
from tests.servers.discord_api.limits import Limits

POST = "POST /channels/{id}/messages"


@pytest.fixture
async def session():
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as one:
        yield one


@pytest.fixture
def rest(server, session):
    return Rest(TOKEN, session, server.url, Times(patience=1.0))


async def say(rest: Rest, chat, text: str, **more):
    return await rest.call("POST", f"/channels/{chat.id}/messages", SENT, {"content": text}, **more)


@pytest.mark.parametrize(
    ("given", "tried"),
    [
        ("http://h:1", ("http://h:1/api/v10", "http://h:1")),
        ("http://h:1/", ("http://h:1/api/v10", "http://h:1")),
        ("https://discord.com/api", ("https://discord.com/api/v10", "https://discord.com/api")),
        ("https://discord.com/api/v10/", ("https://discord.com/api/v10",)),
        ("http://h/mine", ("http://h/mine",)),
    ],
)
def test_an_address_may_be_given_in_part(given: str, tried: tuple[str, ...]) -> None:
    assert bases(given) == tried


def test_a_route_is_named_without_ids_and_secrets() -> None:
    assert named("PATCH", "/channels/5/messages/6") == ("PATCH /channels/{}/messages/{}", "5")
    assert named("PATCH", "/webhooks/5/SECRET/messages/@original") == (
        "PATCH /webhooks/{}/{}/messages/@original",
        "5/SECRET",
    )
    assert named("GET", "/users/@me") == ("GET /users/@me", "")


async def test_a_burst_waits_for_its_bucket_and_is_never_refused(session, ada, bob) -> None:
    async with DiscordServer(limits=Limits(messages=(3, 0.4))) as server:
        chat = server.private(server.person(1001, "Ada"))
        rest = Rest(TOKEN, session, server.url, Times(patience=5.0))
        begun = time.monotonic()
        await asyncio.gather(*(say(rest, chat, f"{n}") for n in range(8)))
        assert time.monotonic() - begun > 0.7
        assert not [call for call in server.calls if call.status == 429]


async def test_a_bucket_of_one_channel_does_not_hold_up_another(session) -> None:
    async with DiscordServer(limits=Limits(messages=(1, 30.0))) as server:
        one, two = (server.private(server.person(n, "P")) for n in (1001, 1002))
        rest = Rest(TOKEN, session, server.url, Times(patience=0.2))
        await say(rest, one, "a")
        with pytest.raises(ChatBusy) as full:
            await say(rest, one, "b")
        assert 20.0 < full.value.retry_after <= 30.0
        await say(rest, two, "c")


async def test_the_last_call_of_a_bucket_is_left_for_a_final(session) -> None:
    async with DiscordServer(limits=Limits(messages=(2, 30.0))) as server:
        chat = server.private(server.person(1001, "Ada"))
        rest = Rest(TOKEN, session, server.url, Times(patience=0.2))
        await say(rest, chat, "a", patience=0.0)
        with pytest.raises(ChatUnreachable) as skipped:
            await say(rest, chat, "preview", patience=0.0)
        assert not skipped.value.arrived
        await say(rest, chat, "final")
        assert [message.text for message in chat.answers] == ["a", "final"]


async def test_a_429_says_how_long_and_is_obeyed(server, rest, chat) -> None:
    server.fail(POST, status=429, retry_after=0.3)
    with pytest.raises(ChatBusy) as busy:
        await say(rest, chat, "a")
    assert busy.value.retry_after == 0.3
    begun = time.monotonic()
    await say(rest, chat, "a")
    assert time.monotonic() - begun > 0.25
    assert len(server.called(POST)) == 2


async def test_a_global_429_stops_every_call(server, rest, chat) -> None:
    server.fail(POST, status=429, retry_after=0.3, scope="global")
    with pytest.raises(ChatBusy):
        await say(rest, chat, "a")
    begun = time.monotonic()
    await rest.call("GET", "/users/@me", ME)
    assert time.monotonic() - begun > 0.25


async def test_a_429_of_what_stands_in_front_stops_every_call_for_long(server, rest, chat) -> None:
    server.fail(POST, cloudflare=True, retry_after=90)
    with pytest.raises(ChatBusy) as busy:
        await say(rest, chat, "a")
    assert busy.value.retry_after == 90.0
    with pytest.raises(ChatBusy):
        await rest.call("GET", "/users/@me", ME)
    assert not server.called("GET /users/@me")


async def test_a_channel_that_refused_us_is_left_alone_until_something_changes(server, rest, general) -> None:
    general.deny("send_messages")
    for _ in range(3):
        with pytest.raises(Refused):
            await say(rest, general, "a")
    assert len(server.called(POST)) == 1
    general.allow("send_messages")
    rest.buckets.reopen(str(general.id))
    await say(rest, general, "a")


async def test_many_invalid_answers_spread_the_calls_out(server, rest, monkeypatch) -> None:
    monkeypatch.setattr(limits, "SPARE", 3)
    for n in range(3):
        with pytest.raises(Refused):
            await rest.call("GET", f"/channels/{2002 + n}", NOTHING)
        rest.buckets.blame()
    begun = time.monotonic()
    for _ in range(3):
        await rest.call("GET", "/users/@me", ME)
    assert time.monotonic() - begun >= 2 * limits.SPREAD - 0.05


@pytest.mark.parametrize(
    ("fault", "arrived"),
    [({"drop": "before"}, True), ({"drop": "after"}, True), ({"garbled": True}, True)],
)
async def test_what_may_have_arrived_is_said_to_be_in_doubt(server, rest, chat, fault: dict, arrived: bool) -> None:
    server.fail(POST, **fault)
    with pytest.raises(ChatUnreachable) as lost:
        await say(rest, chat, "a")
    assert lost.value.arrived is arrived


async def test_what_never_left_is_known_not_to_have_arrived(session) -> None:
    rest = Rest(TOKEN, session, "http://127.0.0.1:9", Times())
    with pytest.raises(ChatUnreachable) as lost:
        await rest.call("GET", "/users/@me", ME)
    assert not lost.value.arrived
    assert TOKEN not in repr(lost.value)


async def test_a_call_that_gets_no_answer_ends(server, rest) -> None:
    server.fail("GET /users/@me", delay=2.0)
    with pytest.raises(ChatUnreachable) as lost:
        await rest.call("GET", "/users/@me", ME, timeout=0.1)
    assert lost.value.arrived


async def test_a_wrong_token_is_a_refusal(server, session) -> None:
    rest = Rest("x.y.z", session, server.url, Times())
    with pytest.raises(Refused) as no:
        await rest.call("GET", "/users/@me", ME)
    assert no.value.status == 401


def test_an_unknown_bucket_lets_one_call_through_until_it_is_told() -> None:
    bucket = Bucket()
    assert bucket.room() == 1
    bucket.take()
    assert bucket.room() == 0
    bucket.end(Told("b", 5, 4, 1.0), answered=True)
    assert bucket.room() == 4


async def test_a_bucket_may_have_another_name_in_each_channel() -> None:
    every, route = Buckets(), "POST /channels/{}/messages"
    for major, left in (("1", 1), ("2", 1), ("1", 0), ("2", 0)):
        bucket = await every.enter(route, major, keep=0, patience=0.1, outside=False)
        every.learn(bucket, route, major, Told(f"name-{major}", 2, left, 30.0), answered=True)
    for major in ("1", "2"):
        with pytest.raises(ChatBusy):
            await every.enter(route, major, keep=0, patience=0.1, outside=False)


def test_a_bucket_without_limits_is_free() -> None:
    bucket = Bucket()
    bucket.take()
    bucket.end(None, answered=True)
    assert bucket.room() > 100


def test_answers_that_overtake_each_other_leave_the_smaller_number() -> None:
    bucket = Bucket()
    bucket.take()
    bucket.end(Told("b", 5, 4, 1.0), answered=True)
    bucket.take()
    bucket.take()
    bucket.end(Told("b", 5, 2, 1.0), answered=True)
    bucket.end(Told("b", 5, 3, 1.0), answered=True)
    assert bucket.room() <= 2


def test_a_call_without_an_answer_gives_an_unknown_bucket_back() -> None:
    bucket = Bucket()
    bucket.take()
    bucket.end(None, answered=False)
    assert bucket.room() == 1
