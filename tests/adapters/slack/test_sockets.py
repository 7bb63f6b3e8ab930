"""What comes in by sockets: nothing lost, nothing acknowledged too early, and a socket that does not die unnoticed."""

import asyncio
import logging

import msgspec
import pytest

from adapters.chat.slack.outbound import Slack
from core.errors import ChatRefusedToken
from core.messages import Button, Joined, Message, Pressed
from tests.adapters.slack.bench import TIMES, Engine, adapter, ref, say, session
from tests.servers.slack import APP_TOKEN, BOT_TOKEN


def acked(server, message):
    return any(d.acked for d in server.deliveries.all if d.event.get("ts") == message.ts)


async def test_an_event_is_acknowledged_only_when_it_is_durable(server, notes, dm, ada):
    engine = Engine()
    engine.gate = asyncio.Event()
    async with adapter(server, notes, engine):
        sent = await dm.say(ada, "hello")
        await server.wait_for(lambda: engine.tries)
        assert not acked(server, sent)
        engine.gate.set()
        await server.wait_for(lambda: acked(server, sent))
        assert engine.texts == ["hello"]


async def test_a_refused_event_is_tried_again_and_the_order_is_kept(server, notes, dm, ada):
    engine = Engine()
    engine.refuse = 3
    async with adapter(server, notes, engine):
        for number in range(5):
            await dm.say(ada, str(number))
        await server.wait_for(lambda: len(engine.events) == 5)
        assert engine.texts == ["0", "1", "2", "3", "4"]
        assert [event.text for event in engine.tries[:4]] == ["0"] * 4
        await server.settled()


async def test_chats_do_not_wait_for_each_other(server, notes, dm, ada, channel):
    engine = Engine()
    engine.gate = asyncio.Event()
    async with adapter(server, notes, engine):
        await dm.say(ada, "held up")
        await server.wait_for(lambda: engine.tries)
        engine.gate, held = None, engine.gate
        await channel.say(ada, "quick", mention=True)
        await server.wait_for(lambda: set(engine.texts) == {"quick"})
        held.set()
        await server.wait_for(lambda: set(engine.texts) == {"held up", "quick"})


async def test_an_event_that_was_not_acknowledged_comes_again_as_the_same_event(server, notes, dm, ada):
    first, second = Engine(), Engine()
    first.gate = asyncio.Event()
    async with adapter(server, notes, first):
        await dm.say(ada, "hello")
        await server.wait_for(lambda: first.tries)
    async with adapter(server, notes, second):
        await server.wait_for(lambda: second.events)
    assert second.events == first.tries


async def test_a_mention_comes_as_two_events_of_one_name(server, notes, channel, ada):
    engine = Engine()
    async with adapter(server, notes, engine):
        await channel.say(ada, "hello", mention=True)
        await server.wait_for(lambda: len(engine.events) == 2)
    one, other = engine.events
    assert one.event == other.event
    assert one.addressed
    assert other.addressed


async def test_a_thread_in_which_we_were_mentioned_is_ours_also_after_a_restart(server, notes, channel, ada):
    engine = Engine()
    async with adapter(server, notes, engine):
        root = await channel.say(ada, "hello", mention=True)
        await server.wait_for(lambda: engine.texts)
    engine = Engine()
    async with adapter(server, notes, engine):
        await channel.say(ada, "go on", thread=root)
        await channel.say(ada, "not for you")
        other = await channel.say(ada, "another thread")
        await channel.say(ada, "in which nobody called us", thread=other)
        await server.wait_for(lambda: len(engine.events) == 4)
    assert engine.texts == ["go on"]


async def test_a_button_a_command_and_slacks_own_stop_come_in(server, notes, dm, channel, ada):
    engine = Engine()
    async with adapter(server, notes, engine) as slack:
        root = await dm.say(ada, "hello")
        await say(slack, dm, "choose", thread=root.ts, buttons=(Button("Try again", "/retry"),))
        press = await dm.press(ada, "Try again")
        command = await channel.slash(ada, "/pieria", "whoami")
        await slack.typing(ref(dm, root.ts))
        await dm.stop(ada)
        await server.wait_for(lambda: len([e for e in engine.events if isinstance(e, Pressed)]) == 2)
        await server.wait_for(lambda: press.acked and command.acked)
    pressed = {event.action: event for event in engine.events if isinstance(event, Pressed)}
    assert set(pressed) == {"/retry", "/stop"}
    assert all(event.chat == ref(dm, root.ts) for event in pressed.values())
    assert all(event.vouched for event in pressed.values())
    (told,) = [event for event in engine.events if isinstance(event, Message) and event.text == "/whoami"]
    assert told.chat.thread == "@U1"


async def test_an_invitation_is_greeted_and_its_giver_rules_the_channel(server, notes, ada):
    engine = Engine()
    bob = server.person("U2", "Bob")
    room = server.channel("C9", "room", [ada, bob], bot=False)
    async with adapter(server, notes, engine):
        await room.add_bot(ada)
        await server.wait_for(lambda: engine.events)
        await room.say(ada, "!model", mention=True)
        await room.say(bob, "!model", mention=True)
        await server.wait_for(lambda: len(engine.texts) == 4)
    joined = engine.events[0]
    assert isinstance(joined, Joined)
    assert (joined.chat.chat, joined.sender.user, joined.vouched) == ("C9", "U1", True)
    rules = {event.sender.user: event.admin for event in engine.events[1:] if isinstance(event, Message)}
    assert rules == {"U1": True, "U2": False}


async def test_what_nobody_understands_is_acknowledged_and_left(server, notes, dm, ada):
    engine = Engine()
    async with adapter(server, notes, engine):
        for event in ({"type": "message", "text": 5}, {"type": "unheard_of"}, {"type": "message", "channel": []}):
            server.push(event)
        await dm.say(ada, "hello")
        await server.wait_for(lambda: engine.texts == ["hello"])
        await server.settled()
    assert all(delivery.acked for delivery in server.deliveries.all)


async def test_an_event_that_breaks_us_does_not_make_us_deaf(server, notes, dm, ada, caplog):
    class Broken(Engine):
        async def accept(self, event):
            if event.text == "poison":
                self.tries.append(event)
                raise RuntimeError("poison")
            await super().accept(event)

    engine = Broken()
    async with adapter(server, notes, engine):
        await dm.say(ada, "poison")
        await dm.say(ada, "next")
        await server.wait_for(lambda: engine.texts == ["next"])
    assert len(engine.tries) == 4
    assert "poison" not in caplog.text


async def test_another_workspaces_event_is_ignored(server, notes, dm, ada):
    engine = Engine()
    async with adapter(server, notes, engine):
        event = {"type": "message", "channel": dm.id, "channel_type": "im", "user": "U1", "text": "x", "ts": "1.1"}
        server.push(event, team_id="T9", authorizations=[])
        server.push(event, api_app_id="A9")
        await dm.say(ada, "hello")
        await server.wait_for(lambda: engine.texts)
    assert engine.texts == ["hello"]


async def test_a_new_socket_is_open_before_the_old_one_goes(server, notes, dm, ada):
    engine = Engine()
    async with adapter(server, notes, engine):
        await server.sockets.disconnect("warning", grace=0.5)
        assert server.sockets.opened == 2
        await dm.say(ada, "hello")
        await server.wait_for(lambda: engine.texts == ["hello"])
        assert len(server.sockets.open) == 1
    assert server.unacked == []


async def test_a_refresh_that_slack_asks_for_is_done(server, notes, dm, ada):
    engine = Engine()
    async with adapter(server, notes, engine):
        await server.sockets.disconnect("refresh_requested", grace=0.3)
        await dm.say(ada, "hello")
        await server.wait_for(lambda: engine.texts == ["hello"])


async def test_a_socket_that_breaks_is_opened_again(server, notes, dm, ada):
    engine = Engine()
    async with adapter(server, notes, engine):
        for number in range(3):
            await server.sockets.drop()
            await dm.say(ada, str(number))
            await server.wait_for(lambda n=number: str(n) in engine.texts)
    # what was durable and could not be acknowledged any more comes again: core knows it by its name
    assert list(dict.fromkeys(engine.texts)) == ["0", "1", "2"]


async def test_a_deaf_socket_is_noticed_and_replaced(server, notes, dm, ada):
    engine = Engine()
    times = msgspec.structs.replace(TIMES, ping=0.1)
    async with adapter(server, notes, engine, times=times) as slack:
        await server.wait_for(lambda: server.sockets.open[0].pings)
        assert slack.deaf_for < 1.0
        server.sockets.deaf()
        await server.wait_for(lambda: server.sockets.opened == 2)
        await dm.say(ada, "hello")
        await server.wait_for(lambda: engine.texts == ["hello"])


async def test_sockets_that_cannot_be_opened_are_tried_again(server, notes, dm, ada):
    engine = Engine()
    server.fail("apps.connections.open", status=500, times=2)
    server.fail("apps.connections.open", status=429, retry_after=1)
    server.fail("socket", status=503)
    async with adapter(server, notes, engine):
        await dm.say(ada, "hello")
        await server.wait_for(lambda: engine.texts == ["hello"])


async def test_a_platform_that_is_away_is_waited_for(server, notes, dm, ada):
    engine = Engine()
    server.fail("auth.test", drop="before", times=2)
    server.fail("auth.test", status=502, proxy=True)
    server.fail("auth.test", garbled=True)
    async with adapter(server, notes, engine) as slack:
        await dm.say(ada, "hello")
        await server.wait_for(lambda: engine.texts == ["hello"])
        assert slack.space == "T1"


async def test_while_nobody_says_who_we_are_we_count_as_deaf(server, notes):
    server.fail("auth.test", drop="before", times=1e9)
    async with session() as shared:
        slack = Slack(BOT_TOKEN, shared, notes, app_token=APP_TOKEN, api_url=server.url, times=TIMES)
        assert slack.deaf_for == 0
        serving = asyncio.create_task(slack.serve(Engine().accept, ()))
        await server.wait_for(lambda: slack.deaf_for > 0.05)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving


async def refused(server, notes, bot=BOT_TOKEN, **more):
    async with session() as shared:
        slack = Slack(bot, shared, notes, api_url=server.url, times=TIMES, **more)
        assert slack.space == ""
        with pytest.raises(ChatRefusedToken) as caught:
            await asyncio.wait_for(slack.serve(Engine().accept, ()), 5.0)
    return caught.value.sentence


async def test_a_wrong_token_is_told_with_its_place(server, notes):
    said = await refused(server, notes, "xoxb-wrong-wrong-wrong", app_token=APP_TOKEN)
    assert "SLACK_BOT_TOKEN" in said
    assert "OAuth & Permissions" in said


async def test_a_wrong_app_token_is_told_with_its_place(server, notes):
    said = await refused(server, notes, app_token="xapp-wrong-wrong")
    assert "SLACK_APP_TOKEN" in said
    assert "App-Level Tokens" in said


async def test_without_a_way_in_the_sentence_names_both(server, notes):
    said = await refused(server, notes)
    assert "SLACK_APP_TOKEN" in said
    assert "SLACK_SIGNING_SECRET" in said


async def test_sockets_that_are_switched_off_are_told(server, notes):
    async with session() as shared:
        slack = Slack(BOT_TOKEN, shared, notes, app_token=APP_TOKEN, api_url=server.url, times=TIMES)
        serving = asyncio.create_task(slack.serve(Engine().accept, ()))
        await server.wait_for(lambda: server.sockets.open)
        await server.sockets.disconnect("link_disabled")
        with pytest.raises(ChatRefusedToken, match="Socket Mode"):
            await asyncio.wait_for(serving, 5.0)


async def disabled(server, times):
    """Say that the link is disabled, and let it be opened again all the same."""
    for number in range(1, times + 1):
        await server.wait_for(
            lambda number=number: (
                len(server.called("apps.connections.open")) == number and len(server.sockets.open) == 1
            )
        )
        await server.sockets.open[-1].ws.send_str('{"type":"disconnect","reason":"link_disabled"}')


async def test_sockets_that_are_closed_again_and_again_are_opened_without_growing_pauses(server, notes, dm, ada):
    engine = Engine()
    async with adapter(server, notes, engine, times=msgspec.structs.replace(TIMES, backoff=0.1, backoff_cap=60.0)):
        for number in range(9):
            await server.wait_for(lambda: server.sockets.open)
            await dm.say(ada, str(number))
            await server.wait_for(lambda number=number: str(number) in engine.texts)
            await server.sockets.drop()
        await server.wait_for(lambda: server.sockets.open, timeout=2.0)


async def test_a_link_that_is_disabled_for_a_moment_is_opened_again(server, notes, dm, ada):
    engine = Engine()
    async with adapter(server, notes, engine):
        await disabled(server, 1)
        await server.wait_for(lambda: len(server.called("apps.connections.open")) == 2)
        await dm.say(ada, "hello")
        await server.wait_for(lambda: engine.texts == ["hello"])


async def test_a_link_that_is_disabled_again_and_again_is_told(server, notes):
    async with session() as shared:
        slack = Slack(BOT_TOKEN, shared, notes, app_token=APP_TOKEN, api_url=server.url, times=TIMES)
        serving = asyncio.create_task(slack.serve(Engine().accept, ()))
        await disabled(server, 3)
        with pytest.raises(ChatRefusedToken, match="Socket Mode"):
            await asyncio.wait_for(serving, 5.0)


async def test_an_app_that_was_taken_out_goes_off(server, notes):
    async with session() as shared:
        slack = Slack(BOT_TOKEN, shared, notes, app_token=APP_TOKEN, api_url=server.url, times=TIMES)
        serving = asyncio.create_task(slack.serve(Engine().accept, ()))
        await server.wait_for(lambda: server.sockets.open)
        await server.uninstall()
        with pytest.raises(ChatRefusedToken, match="taken out of the workspace"):
            await asyncio.wait_for(serving, 5.0)


async def test_somebody_elses_revoked_token_changes_nothing(server, notes, dm, ada):
    engine = Engine()
    async with adapter(server, notes, engine):
        server.push({"type": "tokens_revoked", "tokens": {"oauth": ["U9"], "bot": []}})
        await server.settled()
        await dm.say(ada, "hello")
        await server.wait_for(lambda: engine.texts == ["hello"])


async def test_no_line_of_the_log_holds_a_token_a_ticket_or_a_word(server, notes, dm, ada, caplog):
    caplog.set_level(logging.DEBUG)
    engine = Engine()
    server.fail("apps.connections.open", drop="before")
    server.fail("socket", status=503)
    server.fail("chat.postMessage", status=500)
    async with adapter(server, notes, engine) as slack:
        root = await dm.say(ada, "a secret word")
        await server.wait_for(lambda: engine.texts)
        await slack.typing(ref(dm, root.ts))
        with pytest.raises(Exception, match="Slack"):
            await say(slack, dm, "another secret", thread=root.ts)
        await server.sockets.drop()
        await server.wait_for(lambda: server.sockets.opened == 2)
    ours = [record for record in caplog.records if not record.name.startswith(("aiohttp", "asyncio"))]
    text = "\n".join(record.getMessage() + str(record.exc_text or "") for record in ours)
    assert ours
    for secret in (BOT_TOKEN, APP_TOKEN, "ticket=", "secret"):
        assert secret not in text


async def test_ending_while_a_socket_opens_leaves_nothing(server, notes):
    before = asyncio.all_tasks()
    async with session() as shared:
        slack = Slack(BOT_TOKEN, shared, notes, app_token=APP_TOKEN, api_url=server.url, times=TIMES)
        server.fail("socket", delay=0.5)
        serving = asyncio.create_task(slack.serve(Engine().accept, ()))
        await server.wait_for(lambda: server.called("apps.connections.open"))
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        await server.wait_for(lambda: not [t for t in asyncio.all_tasks() - before if "slack_sdk" in repr(t)])


async def test_no_task_and_no_socket_is_left_behind(server, notes, dm, ada):
    before = asyncio.all_tasks()
    async with adapter(server, notes, Engine()):
        await dm.say(ada, "hello")
        await server.settled()
        await server.sockets.drop()
        await server.wait_for(lambda: server.sockets.opened == 2)
    await server.wait_for(lambda: not server.sockets.open)
    left = [task for task in asyncio.all_tasks() - before if "slack_sdk" in repr(task) or "adapters/chat" in repr(task)]
    assert left == []
