"""Whatever happens to the connection, what people say arrives, in order, and the bot hears again."""

import asyncio
import logging
import threading
from functools import partial

import aiohttp
import msgspec
import pytest

from adapters.chat.discord import lanes
from adapters.chat.discord.events import Event, Post
from adapters.chat.discord.gateway import Gateway
from adapters.chat.discord.outbound import Discord
from adapters.chat.discord.rest import Rest, Times
from adapters.chat.discord.servers import UNHEARD
from core.errors import ChatRefusedToken
from core.messages import Deleted, Edited
from core.notes import Notes
from tests.adapters.discord.conftest import QUICK, TIMES, Life
from tests.conftest import wait_until
from tests.servers.discord import TOKEN, DiscordServer
from tests.servers.discord_api.limits import Limits


async def test_messages_arrive_in_order_whatever_their_number(live, chat, ada) -> None:
    async with live() as bot:
        for n in range(50):
            await chat.say(ada, f"{n}")
        await wait_until(lambda: len(bot.texts) == 50)
        assert bot.texts == [f"{n}" for n in range(50)]


async def test_a_cut_connection_is_resumed_and_misses_nothing(live, server, chat, ada) -> None:
    async with live() as bot:
        await chat.say(ada, "one")
        await wait_until(lambda: bot.texts)
        await server.gateway.drop()
        await chat.say(ada, "two")
        await wait_until(lambda: bot.texts == ["one", "two"])
        assert len(server.gateway.resumes) == 1
        assert len(server.gateway.identifies) == 1


async def test_what_a_resume_replays_carries_the_same_event(live, server, chat, ada) -> None:
    async with live() as bot:
        await chat.say(ada, "one")
        await wait_until(lambda: bot.texts)
        server.redeliver()
        await wait_until(lambda: len(bot.texts) == 2)
        assert len({message.event for message in bot.messages}) == 1


@pytest.mark.parametrize("way", ["reconnect", "invalid", "close"])
async def test_it_comes_back_by_itself(live, server, chat, ada, way: str) -> None:
    async with live() as bot:
        match way:
            case "reconnect":
                await server.gateway.reconnect()
            case "invalid":
                await server.gateway.invalidate(resumable=True)
            case "close":
                await server.gateway.close(4000)
        await wait_until(lambda: server.gateway.resumes)
        await server.connected()
        await chat.say(ada, "hello")
        await wait_until(lambda: bot.texts == ["hello"])


async def test_what_was_said_while_a_session_was_lost_is_made_up_for(live, server, chat, general, ada, bob) -> None:
    async with live() as bot:
        await chat.say(ada, "one")
        await wait_until(lambda: bot.texts)
        server.gateway.forgetful = True
        server.fail("GET /gateway/bot", status=502, times=3)
        await server.gateway.drop()
        await chat.say(ada, "two")
        await general.say(bob, "three", mention=True)
        await general.say(bob, "among us")
        await chat.say(ada, "four")
        await wait_until(lambda: len(server.gateway.identifies) == 2)
        await server.connected()
        await chat.say(ada, "five")
        await wait_until(lambda: len(bot.texts) >= 5)
        private = [message.text for message in bot.messages if message.chat.private]
        assert list(dict.fromkeys(private)) == ["one", "two", "four", "five"]
        assert "three" in bot.texts
        assert "among us" not in bot.texts


async def test_what_was_said_while_the_program_was_off_is_made_up_for(live, server, chat, general, ada, bob) -> None:
    async with live() as bot:
        await chat.say(ada, "one")
        await wait_until(lambda: bot.texts)
    await chat.say(ada, "two")
    await general.say(bob, "three", mention=True)
    async with live() as bot:
        await wait_until(lambda: len(bot.texts) == 2)
        assert set(bot.texts) == {"two", "three"}


async def test_the_first_start_ever_answers_nothing_old(live, server, chat, general, ada, bob) -> None:
    await chat.say(ada, "old")
    await general.say(bob, "old too", mention=True)
    async with live() as bot:
        await chat.say(ada, "new")
        await wait_until(lambda: bot.texts)
        assert bot.texts == ["new"]
        assert not server.called("GET /channels/{id}/messages")


async def test_what_is_too_old_is_not_made_up_for(live, chat, ada) -> None:
    times = msgspec.structs.replace(TIMES, old=0.0)
    async with live() as bot:
        await chat.say(ada, "one")
        await wait_until(lambda: bot.texts)
    await chat.say(ada, "two")
    async with live(times=times) as bot:
        await chat.say(ada, "three")
        await wait_until(lambda: "three" in bot.texts)
        assert set(bot.texts) == {"three"}


async def test_while_the_store_is_away_messages_wait_in_order(live, chat, ada, bob, server) -> None:
    theirs = server.private(bob)
    async with live() as bot:
        bot.away = True
        for n in range(3):
            await chat.say(ada, f"{n}")
        await theirs.say(bob, "bob's")
        bot.away = False
        await wait_until(lambda: len(bot.texts) == 4)
        assert [text for text in bot.texts if text != "bob's"] == ["0", "1", "2"]


async def test_what_was_not_accepted_before_the_end_is_accepted_after_it(live, chat, ada) -> None:
    async with live() as bot:
        await chat.say(ada, "one")
        await wait_until(lambda: bot.texts)
        bot.away = True
        await chat.say(ada, "two")
        await chat.say(ada, "three")
    async with live() as bot:
        await wait_until(lambda: bot.texts == ["two", "three"])


async def test_what_did_not_fit_into_memory_is_read_again(live, chat, ada, monkeypatch, caplog) -> None:
    monkeypatch.setattr(lanes, "ROOM", 4)
    monkeypatch.setattr("adapters.chat.discord.reception.ROOM", 4)
    async with live() as bot:
        bot.away = True
        for n in range(12):
            await chat.say(ada, f"{n}")
        await wait_until(lambda: "more messages wait" in caplog.text)
        bot.away = False
        await wait_until(lambda: len(set(bot.texts)) == 12)
        assert list(dict.fromkeys(bot.texts)) == [f"{n}" for n in range(12)]
    assert caplog.text.count("more messages wait") == 1


async def test_without_message_content_it_listens_to_what_it_may_and_says_so(store, people) -> None:
    async with DiscordServer(limits=QUICK, message_content=False) as server, aiohttp.ClientSession() as session:
        ada = server.person(1001, "Ada")
        general = server.guild(2001, "Friends", owner=ada).channel(2002, "general")
        notes = Notes(store, people, "discord")
        urls = {"api_url": server.url, "gateway_url": server.gateway_url}
        bot = Life(Discord(TOKEN, session, notes, pairing=False, times=TIMES, **urls))
        task = asyncio.create_task(bot.chat.serve(bot.accept, ()))
        await server.connected()
        await general.say(ada, "hello", mention=True)
        await wait_until(lambda: bot.texts == ["hello"])
        assert "Message Content" in bot.chat.lack
        assert len(server.gateway.identifies) == 2
        thread = general.thread("Talk", by=server.bot)
        await thread.say(ada, "can you hear me?")
        await thread.say(ada, "really?")
        await wait_until(lambda: thread.answers)
        await thread.say(ada, "now?", mention=True)
        await wait_until(lambda: bot.texts == ["hello", "now?"])
        assert [message.text for message in thread.answers] == [UNHEARD]
        assert server.problems == []
        task.cancel()
        await asyncio.wait((task,))


async def test_a_token_that_the_gateway_refuses_ends_it_in_a_sentence(live, server) -> None:
    async with live() as bot:
        await server.gateway.close(4004)
        with pytest.raises(ChatRefusedToken) as refused:
            await bot.task
        assert "DISCORD_BOT_TOKEN" in refused.value.sentence


async def test_a_platform_that_is_away_is_waited_for(live, server, chat, ada) -> None:
    server.fail("GET /users/@me", status=502, times=3)
    server.fail("GET /gateway/bot", drop="before", times=2)
    async with live() as bot:
        assert bot.chat.space == str(server.bot.id)
        await chat.say(ada, "hello")
        await wait_until(lambda: bot.texts == ["hello"])


async def test_a_connection_that_went_deaf_is_given_up(live, server, chat, ada) -> None:
    async with live(times=msgspec.structs.replace(TIMES, silence=0.1, deaf=0.3)) as bot:
        await chat.say(ada, "one")
        await wait_until(lambda: bot.texts)
        server.gateway.deaf()
        await chat.say(ada, "two")
        await wait_until(lambda: "two" in bot.texts)


async def test_health_hears_how_long_it_has_been_deaf(live, server) -> None:
    async with live(times=msgspec.structs.replace(TIMES, silence=0.2, deaf=5.0)) as bot:
        assert bot.chat.deaf_for == 0.0
        server.gateway.deaf()
        server.fail("GET /gateway/bot", status=502, times=100)
        await wait_until(lambda: bot.chat.deaf_for > 0.2)


async def test_sessions_are_not_begun_faster_than_discord_allows(store, people) -> None:
    limits = Limits(messages=(100, 0.2), identify_seconds=0.2)
    async with DiscordServer(limits=limits) as server, aiohttp.ClientSession() as session:
        times = Times(backoff=0.02, backoff_cap=0.1, identify=0.25, poll=0.02)
        notes = Notes(store, people, "discord")
        urls = {"api_url": server.url, "gateway_url": server.gateway_url}
        bot = Life(Discord(TOKEN, session, notes, pairing=False, times=times, **urls))
        task = asyncio.create_task(bot.chat.serve(bot.accept, ()))
        for sessions in (1, 2, 3):
            await wait_until(lambda n=sessions: len(server.gateway.sessions) + n - 1 >= n and server.gateway.connected)
            await server.gateway.invalidate()
            await wait_until(lambda: not server.gateway.connected)
        await server.connected()
        assert len(server.gateway.identifies) == 4
        task.cancel()
        await asyncio.wait((task,))


async def test_several_shards_hear_as_one(store, people) -> None:
    async with DiscordServer(limits=QUICK, shards=2) as server, aiohttp.ClientSession() as session:
        ada = server.person(1001, "Ada")
        even = server.guild(2 << 22, "Even", owner=ada).channel(3001, "general")
        odd = server.guild(3 << 22, "Odd", owner=ada).channel(3002, "general")
        urls = {"api_url": server.url, "gateway_url": server.gateway_url}
        bot = Life(Discord(TOKEN, session, Notes(store, people, "discord"), pairing=False, times=TIMES, **urls))
        task = asyncio.create_task(bot.chat.serve(bot.accept, ()))
        await wait_until(lambda: len([s for s in server.gateway.sessions.values() if s.line]) == 2)
        await even.say(ada, "one", mention=True)
        await odd.say(ada, "two", mention=True)
        await wait_until(lambda: sorted(bot.texts) == ["one", "two"])
        task.cancel()
        await asyncio.wait((task,))


async def test_an_edit_a_deletion_and_a_picture_under_a_link(live, chat, ada) -> None:
    async with live() as bot:
        message = await chat.say(ada, "teh question")
        chat.tell_edited(message)
        await chat.say(ada, "the question", edit=message)
        await chat.delete(message)
        await wait_until(lambda: len(bot.got) == 3)
        _, edited, deleted = bot.got
        assert isinstance(edited, Edited)
        assert edited.message.text == "the question"
        assert isinstance(deleted, Deleted)
        assert deleted.original == edited.message.event


async def test_the_first_word_in_a_thread_brings_what_it_was_made_from(live, general, ada, bob) -> None:
    async with live() as bot:
        starter = await general.say(bob, "Plans for *Sunday*")
        thread = general.thread("Sunday", message=starter)
        await thread.say(ada, "what do you think?", mention=True)
        await wait_until(lambda: bot.messages)
        assert bot.messages[0].quoted == "Plans for *Sunday*"
        await thread.say(bob, "and you?")
        await wait_until(lambda: len(bot.messages) == 2)
        assert bot.messages[1].quoted == ""
    async with live() as bot:
        await thread.say(bob, "still there?")
        await wait_until(lambda: bot.texts == ["still there?"])


async def test_a_post_of_a_forum_is_a_thread(live, guild, ada) -> None:
    forum = guild.forum(2003, "help")
    async with live() as bot:
        thread = forum.thread("Question", by=ada, text="first words")
        await thread.say(ada, "please", mention=True)
        await wait_until(lambda: bot.messages)
        assert (bot.messages[0].chat.chat, bot.messages[0].chat.thread) == ("2003", str(thread.id))


async def test_who_holds_manage_server_rules(live, guild, general, ada, bob, server) -> None:
    eve = server.person(1003, "Eve")
    guild.join(eve)
    guild.manager(bob)
    async with live() as bot:
        for person in (ada, bob, eve):
            await general.say(person, f"{person.name}", mention=True)
        await wait_until(lambda: len(bot.messages) == 3)
        assert {m.name: m.admin for m in bot.messages} == {"Ada": True, "Bob": True, "Eve": False}


async def test_a_lost_connection_is_one_line_in_the_log(live, server, chat, ada, caplog) -> None:
    caplog.set_level(logging.INFO)
    async with live() as bot:
        await chat.say(ada, "hello")
        await wait_until(lambda: bot.texts)
        server.gateway.forgetful = True
        await server.gateway.drop()
        await wait_until(lambda: len(server.gateway.identifies) == 2)
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    "frame", [{"op": 10, "d": None}, {"op": 11, "d": 5}, b"[]", b"null", b"{", {"op": 0, "t": "READY", "d": {}}]
)
async def test_whatever_ends_the_librarys_client_it_hears_again(live, server, chat, ada, frame) -> None:
    async with live() as bot:
        await chat.say(ada, "one")
        await wait_until(lambda: bot.texts)
        server.push(frame)
        await chat.say(ada, "two")
        await wait_until(lambda: "two" in bot.texts)


async def test_channels_that_cannot_be_read_are_not_asked(live, server, general, ada) -> None:
    general.deny("read_message_history")
    async with live() as bot:
        await general.say(ada, "one", mention=True)
        await wait_until(lambda: bot.texts)
    await general.say(ada, "two", mention=True)
    async with live() as bot:
        await general.say(ada, "three", mention=True)
        await wait_until(lambda: "three" in bot.texts)
        assert not server.called("GET /channels/{id}/messages")


async def test_no_more_sessions_are_begun_than_discord_allows_a_day(store, people, caplog) -> None:
    limits = Limits(messages=(100, 0.2), identify_seconds=0.0, identifies=2)
    async with DiscordServer(limits=limits) as server, aiohttp.ClientSession() as session:
        notes = Notes(store, people, "discord")
        bot = Life(Discord(TOKEN, session, notes, api_url=server.url, pairing=False, times=TIMES))
        task = asyncio.create_task(bot.chat.serve(bot.accept, ()))
        for _ in range(2):
            await server.connected()
            await server.gateway.invalidate()
            await wait_until(lambda: not server.gateway.connected)
        await wait_until(lambda: "sessions today" in caplog.text or "may begin today" in caplog.text)
        assert len(server.gateway.identifies) == 2
        task.cancel()
        await asyncio.wait((task,))


async def test_a_server_that_tells_less_is_heard_too(store, people) -> None:
    async with DiscordServer(limits=QUICK) as server, aiohttp.ClientSession() as session:
        ada = server.person(1001, "Ada")
        server.fail("GET /gateway/bot", status=404, times=100)
        urls = {"api_url": server.url, "gateway_url": server.gateway_url}
        bot = Life(Discord(TOKEN, session, Notes(store, people, "discord"), pairing=False, times=TIMES, **urls))
        task = asyncio.create_task(bot.chat.serve(bot.accept, ()))
        await server.connected()
        await server.private(ada).say(ada, "hello")
        await wait_until(lambda: bot.texts == ["hello"])
        task.cancel()
        await asyncio.wait((task,))


async def test_an_answer_to_us_counts_where_it_is_not_told_whom_it_answers(live, server, general, bob) -> None:
    async with live() as bot:
        await wait_until(lambda: bot.chat.space)
        (ours,) = await bot.send(bot.reply(general, "hello"))
        for number, answered in ((900, "1"), (901, ours)):
            body = {"id": str(number), "channel_id": str(general.id), "guild_id": "2001", "type": 19, "content": "and?"}
            body |= {"author": {"id": "1002", "username": "bob"}, "message_reference": {"message_id": answered}}
            server.push({"op": 0, "s": number, "t": "MESSAGE_CREATE", "d": body})
        await wait_until(lambda: bot.messages)
        assert [message.reply_to for message in bot.messages] == [ours]


class Elsewhere(DiscordServer):
    """It tells an address to resume at that is none of its own."""

    resume_url = "wss://gateway.example/"


async def test_a_session_is_not_resumed_away_from_the_host_that_was_named(store, people) -> None:
    async with (
        Elsewhere(limits=QUICK) as server,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
    ):
        line = {"api_url": server.url, "gateway_url": server.gateway_url, "cdn_url": server.cdn_url}
        bot = Discord(TOKEN, session, Notes(store, people, "discord"), pairing=False, times=TIMES, **line)
        life = Life(bot)
        life.task = asyncio.create_task(bot.serve(life.accept, ()))
        await server.connected()
        await server.gateway.reconnect()
        await wait_until(lambda: server.gateway.resumes)
        life.task.cancel()


async def test_an_event_that_breaks_us_does_not_end_the_session(server, chat, ada, caplog) -> None:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        heard: list[str] = []

        def take(event: Event) -> None:
            if isinstance(event, Post):
                heard.append(event.content)
                assert event.content != "one"

        gateway = Gateway(Rest(TOKEN, session, server.url, TIMES), TOKEN, server.gateway_url)
        running = asyncio.create_task(gateway.run(take))
        await server.connected()
        await chat.say(ada, "one")
        await chat.say(ada, "two")
        await wait_until(lambda: heard == ["one", "two"])
        assert len(server.gateway.identifies) == 1
        assert "an event failed" in caplog.text
        running.cancel()


async def test_a_server_and_a_thread_of_which_little_is_told_are_known(live, server, caplog) -> None:
    async with live() as bot:
        await wait_until(lambda: bot.chat.space)
        events: list[tuple[str, dict]] = [
            (
                "GUILD_CREATE",
                {"id": "70", "owner_id": "1001", "channels": [{"id": "71", "type": 0}], "roles": [{"id": "70"}]},
            ),
            ("THREAD_CREATE", {"id": "72", "type": 11, "guild_id": "70", "parent_id": "71"}),
        ]
        for number, text in ((73, f"<@{bot.chat.space}> one"), (74, "two")):
            body = {"id": str(number), "channel_id": "72", "guild_id": "70", "content": text}
            events.append(("MESSAGE_CREATE", body | {"author": {"id": "1002", "username": "bob"}}))
        for number, (event, body) in enumerate(events, 900):
            server.push({"op": 0, "s": number, "t": event, "d": body})
        await wait_until(lambda: bot.texts == ["one", "two"])
        assert {(one.chat.chat, one.chat.thread) for one in bot.messages} == {("71", "72")}
        assert bot.got == bot.messages  # whether we just came there is not told: nobody is greeted
        assert not server.called("GET /channels/{id}")
        assert "cannot read" not in caplog.text


async def test_no_thread_keeps_a_connection_alive_that_was_given_up(live, server) -> None:
    for beats in range(1, 6):
        async with live(connected=False):
            await wait_until(partial(_beats, server, beats))  # it is not ready yet
    await wait_until(lambda: not [t for t in threading.enumerate() if t.name.startswith("keep-alive-handler")])


def _beats(server: DiscordServer, least: int) -> bool:
    return server.gateway.heartbeats >= least
