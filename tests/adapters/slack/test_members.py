"""Who may talk in a workspace: its full members, and nobody who only looks like one."""

import msgspec
import pytest

from core.messages import Message
from tests.adapters.slack.bench import TIMES, Engine, adapter


async def heard(server, notes, person, *, times=TIMES, text="hello"):
    engine = Engine()
    dm = server.private(person)
    async with adapter(server, notes, engine, times=times):
        await dm.say(person, text)
        await server.wait_for(lambda: engine.events)
    return engine.events[0]


async def test_a_full_member_is_vouched_for_and_known(server, notes):
    told = await heard(server, notes, server.person("U5", "Eve", tz="Asia/Tokyo", locale="ja-JP"))
    assert (told.vouched, told.name, told.zone, told.language) == (True, "Eve", "Asia/Tokyo", "ja-JP")


@pytest.mark.parametrize("kind", [{"guest": True}, {"single_channel_guest": True}, {"stranger": True}])
async def test_guests_and_strangers_are_not(server, notes, kind):
    assert (await heard(server, notes, server.person("U5", "Eve", **kind))).vouched is False


async def test_a_stranger_in_a_shared_channel_is_not(server, notes, ada):
    engine = Engine()
    eve = server.person("U5", "Eve", stranger=True)
    room = server.channel("C5", "shared", [ada, eve])
    async with adapter(server, notes, engine):
        await room.say(eve, "hello", mention=True)
        await room.say(ada, "hello", mention=True)
        await server.wait_for(lambda: len(engine.texts) == 4)
    assert {event.sender.user: event.vouched for event in engine.events} == {"U5": False, "U1": True}


async def test_somebody_is_looked_up_once(server, notes, dm, ada):
    engine = Engine()
    async with adapter(server, notes, engine):
        for number in range(5):
            await dm.say(ada, str(number))
        await server.wait_for(lambda: len(engine.events) == 5)
    assert len(server.called("users.info")) == 1


async def test_who_does_not_speak_with_us_is_not_looked_up(server, notes, channel, ada):
    engine = Engine()
    async with adapter(server, notes, engine):
        await channel.say(ada, "just talk")
        await server.wait_for(lambda: engine.events)
    assert engine.events[0].addressed is False
    assert not server.called("users.info")


async def test_mentioned_people_read_by_their_names(server, notes, dm, ada):
    engine = Engine()
    server.person("U2", "Bob")
    async with adapter(server, notes, engine):
        await dm.say(ada, "ask <@U2> and <@UNOBODY>")
        await server.wait_for(lambda: engine.events)
    assert engine.texts == ["ask @Bob and @UNOBODY"]


@pytest.mark.parametrize(
    "fault",
    [{"error": "missing_scope"}, {"status": 429, "retry_after": 60}, {"status": 500}, {"drop": "before"}, {"lag": 1.0}],
)
async def test_while_slack_does_not_tell_the_message_does(server, notes, ada, fault):
    server.fail("users.info", times=9, **fault)
    assert (await heard(server, notes, ada)).vouched is True
    stranger = server.person("U5", "Eve", stranger=True)
    told = await heard(server, notes, stranger)
    assert (told.vouched, told.name) == (False, "Eve")


@pytest.mark.parametrize(("outer", "vouched"), [({}, True), ({"is_ext_shared_channel": True}, False)])
async def test_a_message_that_names_no_workspace_is_of_the_events_own(server, notes, outer, vouched):
    engine = Engine()
    server.fail("users.info", error="unknown_method", times=9)
    plain = {"type": "message", "channel_type": "im", "channel": "D1", "user": "U1", "text": "hello", "ts": "10.1"}
    async with adapter(server, notes, engine):
        server.push(plain, **outer)
        await server.wait_for(lambda: engine.events)
    assert engine.events[0].vouched is vouched


async def test_a_short_pause_is_waited_for(server, notes, ada):
    server.fail("users.info", status=429, retry_after=1)
    told = await heard(server, notes, ada, times=msgspec.structs.replace(TIMES, member=3.0))
    assert told.zone == "Europe/Vienna"


async def test_a_slack_that_does_not_answer_holds_up_one_message_not_all(server, notes, dm, ada):
    engine = Engine()
    server.fail("users.info", times=9, lag=5.0)
    async with adapter(server, notes, engine):
        for number in range(4):
            await dm.say(ada, str(number))
        await server.wait_for(lambda: len(engine.events) == 4)
    assert len(server.called("users.info")) <= 1
    assert [event.vouched for event in engine.events] == [True] * 4


async def test_a_missing_scope_is_told_to_the_operator_and_left_alone(server, notes, dm, ada):
    engine = Engine()
    server.fail("users.info", error="missing_scope", times=9)
    async with adapter(server, notes, engine) as slack:
        await dm.say(ada, "one")
        await dm.say(ada, "two")
        await server.wait_for(lambda: len(engine.events) == 2)
        assert "users:read" in slack.lack
    assert len(server.called("users.info")) == 1


async def test_what_was_known_is_believed_while_slack_is_away(server, notes, dm):
    engine = Engine()
    guest = server.person("U5", "Eve", guest=True)
    room = server.private(guest)
    async with adapter(server, notes, engine, times=msgspec.structs.replace(TIMES, known=0.0)):
        await room.say(guest, "one")
        await server.wait_for(lambda: engine.events)
        server.fail("users.info", status=500, times=9)
        await room.say(guest, "two")
        await server.wait_for(lambda: len(engine.events) == 2)
    assert [event.vouched for event in engine.events] == [False, False]


@pytest.mark.parametrize(("kind", "rules"), [({"admin": True}, True), ({"owner": True}, True), ({}, False)])
async def test_admins_of_the_workspace_rule_its_channels(server, notes, kind, rules):
    engine = Engine()
    eve = server.person("U5", "Eve", **kind)
    room = server.channel("C5", "room", [eve])
    async with adapter(server, notes, engine):
        await room.say(eve, "!model x:y", mention=True)
        await server.wait_for(lambda: engine.texts)
    told = engine.events[0]
    assert isinstance(told, Message)
    assert told.admin is rules
