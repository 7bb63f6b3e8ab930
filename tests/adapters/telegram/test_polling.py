"""What comes in from Telegram by long poll: nothing lost, nothing confirmed too early, and a poll that does not die."""

import asyncio

import pytest

from adapters.chat.telegram.client import Times
from adapters.chat.telegram.outbound import Telegram
from core.errors import ChatRefusedToken
from core.messages import Button, Edited, Joined, Message, Partial, Pressed
from tests.adapters.telegram_bench import COMMANDS, TIMES, Engine, adapter, confirmed, ref, say, session
from tests.servers.telegram import TOKEN


async def test_an_update_is_confirmed_only_when_it_is_durable(server, chat, ada):
    engine = Engine()
    engine.gate = asyncio.Event()
    async with adapter(server, engine):
        await chat.say(ada, "hello")
        await server.wait_for(lambda: engine.tries)
        assert server.updates.pending == 1
        assert confirmed(server) == 0
        engine.gate.set()
        await server.wait_for(lambda: confirmed(server) == 101)
        assert engine.texts == ["hello"]


async def test_a_refused_update_is_tried_again_and_the_order_is_kept(server, chat, ada):
    engine = Engine()
    engine.refuse = 3
    async with adapter(server, engine):
        for number in range(5):
            await chat.say(ada, str(number))
        await server.wait_for(lambda: len(engine.events) == 5)
        assert engine.texts == ["0", "1", "2", "3", "4"]
        assert [event.text for event in engine.tries[:4]] == ["0"] * 4
        await server.wait_for(lambda: confirmed(server) == 105)


async def test_an_unconfirmed_update_comes_again_after_a_restart_as_the_same_event(server, chat, ada):
    first, second = Engine(), Engine()
    first.gate = asyncio.Event()
    async with adapter(server, first):
        await chat.say(ada, "hello")
        await server.wait_for(lambda: first.tries)
    async with adapter(server, second):
        await server.wait_for(lambda: second.events)
    assert second.events == first.tries


async def test_a_redelivered_update_is_the_same_event(server, chat, ada):
    engine = Engine()
    async with adapter(server, engine):
        await chat.say(ada, "hello")
        await server.wait_for(lambda: confirmed(server) == 101)
        server.redeliver(1)
        await server.wait_for(lambda: len(engine.events) == 2)
    assert engine.events[0] == engine.events[1]


async def test_a_chat_that_waits_does_not_hold_up_another(server, chat, ada):
    eve = server.person(2, "Eve")
    other = server.private(eve)
    gate = asyncio.Event()
    seen = []

    async def accept(event):
        if event.chat.chat == "1":
            await gate.wait()
        seen.append(event.text)

    engine = Engine()
    engine.accept = accept
    await chat.say(ada, "slow")
    await other.say(eve, "quick")
    async with adapter(server, engine):
        await server.wait_for(lambda: seen == ["quick"])
        gate.set()
        await server.wait_for(lambda: seen == ["quick", "slow"])


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 502, "proxy": True},
        {"garbled": True},
        {"drop": "before"},
        {"drop": "after"},
        {"status": 429, "retry_after": 1, "times": 1},
        {"status": 404, "times": 2},
        {"status": 400, "description": "Bad Request: can't parse allowed_updates"},
    ],
    ids=str,
)
async def test_the_poll_survives(server, chat, ada, fault):
    server.fail("getUpdates", **({"times": 5} | fault))
    engine = Engine()
    async with adapter(server, engine):
        await chat.say(ada, "still there?")
        await server.wait_for(lambda: engine.texts == ["still there?"])


async def test_the_poll_survives_a_server_that_is_gone_for_a_while(server, chat, ada):
    engine = Engine()
    async with adapter(server, engine) as tg:
        await server.wait_for(lambda: server.called("getUpdates"))
        await server.__aexit__(None, None, None)
        await server.wait_for(lambda: tg.deaf_for > 0.5)
        await server.__aenter__()
        await chat.say(ada, "back")
        await server.wait_for(lambda: engine.texts == ["back"])


async def test_an_answer_that_never_comes_is_given_up(server, chat, ada):
    server.fail("getUpdates", delay=3, times=1)
    engine = Engine()
    quick = Times(poll=0.0, poll_slack=0.5, backoff=0.02, backoff_cap=0.05)
    async with adapter(server, engine, quick):
        await chat.say(ada, "x")
        await server.wait_for(lambda: engine.texts == ["x"])


async def test_the_last_poll_of_a_killed_program_is_waited_for(server, chat, ada):
    server.fail("getUpdates", status=409, description="Conflict: terminated by other getUpdates request", times=3)
    engine = Engine()
    async with adapter(server, engine):
        await chat.say(ada, "x")
        await server.wait_for(lambda: engine.texts == ["x"])


async def test_another_program_that_polls_is_named_after_a_while(server):
    server.fail("getUpdates", status=409, description="Conflict: terminated by other getUpdates request", times=1e9)
    async with session() as shared:
        chat = Telegram(TOKEN, shared, server.url, times=TIMES)
        with pytest.raises(ChatRefusedToken, match="Another program polls this bot"):
            await asyncio.wait_for(chat.serve(Engine().accept, COMMANDS), 10)


async def test_a_webhook_that_was_left_behind_is_removed(server, chat, ada):
    await server.updates.post_to("http://127.0.0.1:9/none", "", 1)
    engine = Engine()
    async with adapter(server, engine):
        await chat.say(ada, "x")
        await server.wait_for(lambda: engine.texts == ["x"])


@pytest.mark.parametrize("token", ["42:WRONGwrongWRONGwrongWRONGwrong12345", "43:x"])
async def test_a_wrong_token_is_told_with_a_remedy(server, token):
    async with session() as shared:
        chat = Telegram(token, shared, server.url, times=TIMES)
        with pytest.raises(ChatRefusedToken, match="@BotFather") as caught:
            await asyncio.wait_for(chat.serve(Engine().accept, COMMANDS), 10)
        with pytest.raises(ChatRefusedToken):
            await chat.check()
    assert token not in str(caught.value)


async def test_what_can_be_no_token_is_refused_at_once():
    async with session() as shared:
        for token in ("", "abc", "42", "42:", "42:a/../b", ":x"):
            with pytest.raises(ChatRefusedToken):
                Telegram(token, shared)


async def test_a_malformed_update_blocks_nothing(server, chat, ada):
    engine = Engine()
    async with adapter(server, engine):
        server.updates.push("message", {"message_id": "five", "chat": None}, 1)
        server.updates.push("novelty", {"a": 1}, 1)
        await chat.say(ada, "x")
        await server.wait_for(lambda: confirmed(server) == 103)
        assert engine.texts == ["x"]


async def test_an_update_that_breaks_the_engine_blocks_nothing(server, chat, ada, caplog):
    engine = Engine()

    async def accept(event):
        if event.text == "bad":
            raise ValueError(event.text)
        engine.events.append(event)

    good, engine.accept = engine.accept, accept
    assert good
    async with adapter(server, engine):
        await chat.say(ada, "bad")
        await chat.say(ada, "good")
        await server.wait_for(lambda: engine.texts == ["good"])
    assert "failed" in caplog.text


async def test_an_album_is_one_message_and_holds_up_nobody_else(server, chat, ada):
    eve = server.person(2, "Eve")
    other = server.private(eve)
    engine = Engine()
    slow = Times(poll=1.0, album=0.6)
    async with adapter(server, engine, slow):
        await chat.photo(ada, b"1", "both", media_group_id="g")
        await chat.photo(ada, b"2", media_group_id="g")
        await other.say(eve, "quick")
        await chat.say(ada, "after")
        await server.wait_for(lambda: engine.texts == ["quick"])
        assert confirmed(server) <= 100
        await server.wait_for(lambda: len(engine.events) == 3)
        await server.wait_for(lambda: confirmed(server) == 104)
    assert engine.texts == ["quick", "both", "after"]
    assert len(engine.events[1].attachments) == 2


async def test_an_album_is_not_held_by_the_chatter_around_it(server, ada):
    eve = server.person(2, "Eve")
    group = server.group(-100123, "G", [ada, eve])
    engine = Engine()
    async with adapter(server, engine, Times(poll=1.0, album=0.3)):
        await group.photo(ada, b"1", "both", media_group_id="g")
        await group.say(eve, "chatter")
        await group.photo(ada, b"2", media_group_id="g")
        while not engine.events:
            await group.say(eve, "chatter")
            await asyncio.sleep(0.02)  # somebody who never pauses
            assert len(group.messages) < 200
    assert (engine.texts[0], len(engine.events[0].attachments)) == ("both", 2)


async def test_an_album_survives_a_restart(server, chat, ada):
    first, second = Engine(), Engine()
    async with adapter(server, first, Times(poll=1.0, album=30.0)) as tg:
        await chat.photo(ada, b"1", "both", media_group_id="g")
        await chat.photo(ada, b"2", media_group_id="g")
        await server.wait_for(lambda: len(server.called("getUpdates")) > 2)
        assert tg.deaf_for < 5
    async with adapter(server, second):
        await server.wait_for(lambda: second.events)
    assert first.events == []
    assert [len(event.attachments) for event in second.events] == [2]


async def test_group_messages_wait_for_our_name_and_private_ones_do_not(server, chat, ada):
    group = server.group(-100123, "G", [ada])
    server.fail("getMe", status=500, times=8)
    engine = Engine()
    async with adapter(server, engine):
        await chat.say(ada, "private")
        await group.say(ada, "hello", mention=True)
        await group.say(ada, "chatter")
        await server.wait_for(lambda: engine.texts == ["private"])
        await server.wait_for(lambda: len(engine.events) == 3)
    assert [event.addressed for event in engine.events] == [True, True, False]
    assert engine.texts == ["private", "hello", "chatter"]


async def test_who_commands_in_a_group_is_looked_up_once(server, ada):
    eve = server.person(2, "Eve")
    group = server.group(-100123, "G", [ada, eve], admins=[ada])
    engine = Engine()
    async with adapter(server, engine):
        for person, text in ((ada, "/new"), (eve, "/new"), (ada, "!new"), (ada, "just talk")):
            await group.say(person, text)
        await server.wait_for(lambda: len(engine.events) == 4)
    assert [event.admin for event in engine.events] == [True, False, True, False]
    assert len(server.called("getChatAdministrators")) == 1


async def test_edits_buttons_stop_and_joining_arrive(server, chat, ada):
    group = server.group(-100123, "G", [ada])
    engine = Engine()
    async with adapter(server, engine) as tg:
        message = await chat.say(ada, "one")
        await chat.say(ada, "two", edit=message)
        await say(tg, chat, "choose", buttons=(Button("Again", "/retry"), Button("Long", "/x " + "y" * 70)))
        press = await chat.press(ada, "Again")
        await tg.preview(Partial("t2", ref(chat), 1, "x" * 50), "")
        await chat.stop(ada)
        await group.add_bot(ada)
        await server.wait_for(lambda: len(engine.events) == 5)
        await server.wait_for(lambda: press.answered)
    kinds = {type(event): event for event in engine.events}
    assert kinds[Edited].message.event == kinds[Message].event
    assert [event.action for event in engine.events if isinstance(event, Pressed)] == ["/retry", "/stop"]
    assert kinds[Joined].chat.chat == "-100123"


async def test_stop_in_a_topic_of_a_private_chat_stops_that_topic(server, ada):
    forum = server.private(ada, topics=True)
    forum.started = True
    thread = forum.topic()
    engine = Engine()
    async with adapter(server, engine) as tg:
        await tg.preview(Partial("t", ref(forum, str(thread)), 1, "x" * 50), "")
        await forum.stop(ada)
        await server.wait_for(lambda: engine.events)
    assert engine.events[0].chat.thread == str(thread)


async def test_the_menu_is_set_only_when_it_differs(server):
    async with adapter(server, Engine()):
        await server.wait_for(lambda: server.called("setMyCommands", 200))
    async with adapter(server, Engine()):
        await server.wait_for(lambda: len(server.called("getMyDescription")) == 2)
    assert len(server.called("setMyCommands")) == 1


async def test_check_tells_name_privacy_and_a_webhook(server):
    async with adapter(server) as tg:
        assert await tg.check() == "@pieria_bot, groups: privacy mode off"
        server.updates.url = "https://elsewhere.example/secret-path"
        assert await tg.check() == "@pieria_bot, groups: privacy mode off, a webhook is set (elsewhere.example)"
