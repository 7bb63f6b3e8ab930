"""What core says is seen once, whole, and where it belongs."""

import asyncio
import logging

import aiohttp
import pytest

from adapters.chat.discord.checks import check
from adapters.chat.discord.format import SHORT
from adapters.chat.discord.outbound import Discord, title
from core.errors import ChatGone, ChatRefusedToken, ChatUnreachable
from core.messages import Button, ChatRef
from core.notes import Notes
from tests.adapters.discord.conftest import RETRY
from tests.conftest import wait_until
from tests.servers.discord import TOKEN
from tests.servers.discord_api.messages import V2

POST, PATCH = "POST /channels/{id}/messages", "PATCH /channels/{id}/messages/{message}"
LONG_TEXT = "\n\n".join(f"Paragraph {number}: " + "word " * 60 for number in range(40))


def shown(channel) -> list[str]:
    return [message.text for message in channel.answers]


async def test_a_short_reply_is_one_message_that_notifies_nobody(live, server, chat) -> None:
    async with live() as bot:
        await bot.send(bot.reply(chat, "**Hi** <@1001> @everyone"))
        assert shown(chat) == ["**Hi** \\<@1001> @everyone"]
        assert server.pings == []
        assert server.called(POST)[0].body["allowed_mentions"]["parse"] == []


async def test_a_longer_reply_is_one_message_in_components(live, chat) -> None:
    async with live() as bot:
        await bot.send(bot.reply(chat, "x" * (SHORT + 1), buttons=RETRY))
        (message,) = chat.answers
        assert message.flags & V2
        assert message.buttons[0][0]["label"] == "Try again"


async def test_a_very_long_reply_of_a_channel_goes_on_in_a_thread_of_ours(live, server, general, ada) -> None:
    async with live() as bot:
        await bot.send(bot.reply(general, LONG_TEXT, buttons=RETRY))
        assert len(general.answers) == 1
        (thread,) = general.threads
        assert thread.name == title(LONG_TEXT)
        assert len(thread.answers) == len(bot.chat.parts(bot.reply(general, LONG_TEXT))) - 1
        assert thread.answers[-1].buttons
        await thread.say(ada, "go on")
        await wait_until(lambda: bot.messages)
        assert bot.messages[0].chat == ChatRef("discord", bot.chat.space, "2002", str(thread.id), private=False)
        assert bot.messages[0].addressed


async def test_where_no_thread_can_be_made_it_goes_on_in_the_channel(live, server, general) -> None:
    general.deny("create_public_threads")
    async with live() as bot:
        await bot.send(bot.reply(general, LONG_TEXT))
        assert len(general.answers) > 2
        assert not general.threads
        assert len(server.called("POST /channels/{id}/messages/{message}/threads")) == 1


async def test_a_long_reply_in_private_is_several_messages(live, chat) -> None:
    async with live() as bot:
        await bot.send(bot.reply(chat, LONG_TEXT))
        assert len(chat.answers) > 2


async def test_in_a_server_the_first_message_answers_the_question(live, general, bob) -> None:
    question = await general.say(bob, "what?", mention=True)
    async with live() as bot:
        await bot.send(bot.reply(general, "that", reply_to=str(question.id)))
        assert general.answers[0].reply_to is question


async def test_a_question_that_was_deleted_is_answered_all_the_same(live, general, bob) -> None:
    question = await general.say(bob, "what?", mention=True)
    await general.delete(question)
    async with live() as bot:
        await bot.send(bot.reply(general, "that", reply_to=str(question.id)))
        assert shown(general) == ["that"]


async def test_a_send_in_doubt_is_seen_once(live, server, chat) -> None:
    async with live() as bot:
        server.fail(POST, drop="after")
        with pytest.raises(ChatUnreachable) as doubt:
            await bot.send(bot.reply(chat, "once"))
        assert doubt.value.arrived
        await bot.send(bot.reply(chat, "once"))
        assert shown(chat) == ["once"]


async def test_an_earlier_send_is_found_by_its_words_behind_what_it_answers(live, server, chat, ada) -> None:
    async with live() as bot:
        await bot.send(bot.reply(chat, "the **answer**"))
        await chat.say(ada, "again")
        await wait_until(lambda: bot.texts == ["again"])
        reply = bot.reply(chat, "the **answer**", turn="t2", reply_to=bot.messages[0].message_id)
        assert await bot.chat.find(reply, "t2:0") == ""
        (second,) = await bot.send(reply)
        assert await bot.chat.find(reply, "t2:0") == second
        server.fail("GET /channels/{id}/messages", status=502)
        assert await bot.chat.find(reply, "t2:0") == ""


async def test_a_preview_in_doubt_becomes_the_final(live, server, chat) -> None:
    async with live() as bot:
        reply = bot.reply(chat, "The whole answer.")
        server.fail(POST, drop="after")
        with pytest.raises(ChatUnreachable):
            await bot.preview(reply, "The whole")
        await bot.send(reply)
        assert shown(chat) == ["The whole answer."]


async def test_a_preview_grows_into_components_and_stays_one_message(live, server, chat) -> None:
    async with live() as bot:
        reply = bot.reply(chat, "word " * 700)
        first = await bot.preview(reply, "word")
        assert await bot.preview(reply, "word " * 500, first) == first
        assert chat.answers[0].flags & V2
        assert await bot.send(reply, edit=first) == [first]
        assert await bot.send(bot.reply(chat, "short after all"), edit=first) == [first]
        assert shown(chat) == ["short after all"]


async def test_a_restart_does_not_need_to_know_what_form_a_preview_had(live, chat) -> None:
    async with live() as bot:
        first = await bot.preview(bot.reply(chat, ""), "word " * 500)
    async with live() as bot:
        assert await bot.send(bot.reply(chat, "short"), edit=first) == [first]
        assert shown(chat) == ["short"]


async def test_a_preview_of_far_too_much_shows_its_end(live, chat) -> None:
    async with live() as bot:
        await bot.preview(bot.reply(chat, ""), LONG_TEXT + "\n\nthe end")
        assert shown(chat)[0].startswith("…")
        assert shown(chat)[0].endswith("the end")


async def test_a_preview_that_was_deleted_is_sent_anew(live, chat) -> None:
    async with live() as bot:
        reply = bot.reply(chat, "The whole answer.")
        first = await bot.preview(reply, "The whole")
        await chat.delete(chat.answers[0])
        (final,) = await bot.send(reply, edit=first)
        assert final != first
        assert shown(chat) == ["The whole answer."]


async def test_a_final_in_a_thread_that_was_archived_opens_it_again(live, general, ada) -> None:
    thread = general.thread("Talk", by=ada)
    async with live() as bot:
        reply = bot.reply(general, "The end.", thread=thread.id)
        first = await bot.preview(reply, "The")
        thread.archive()
        await bot.send(reply, edit=first)
        assert shown(thread)[-1] == "The end."


async def test_buttons_whose_actions_are_too_long_are_left_out(live, chat) -> None:
    async with live() as bot:
        buttons = (Button("a", "/x " + "y" * 200), *(Button(f"b{n}", f"/n {n}") for n in range(30)))
        await bot.send(bot.reply(chat, "hi", buttons=buttons))
        assert [len(row) for row in chat.answers[0].buttons] == [5] * 5


async def test_a_channel_that_is_closed_to_us_is_gone(live, chat) -> None:
    chat.closed = True
    async with live() as bot:
        with pytest.raises(ChatGone):
            await bot.send(bot.reply(chat, "hi"))


async def test_typing_shows_and_never_fails(live, server, chat) -> None:
    async with live() as bot:
        where = bot.reply(chat, "").chat
        await bot.chat.typing(where)
        assert chat.is_typing
        server.fail("POST /channels/{id}/typing", status=502)
        await bot.chat.typing(where)


async def test_a_command_is_answered_in_its_own_place(live, server, chat, ada) -> None:
    async with live() as bot:
        await wait_until(lambda: server.commands.get(None))
        begun = await chat.command(ada, "model", {"name": "a:b"})
        await wait_until(lambda: bot.messages)
        assert bot.texts == ["/model a:b"]
        reply = bot.reply(chat, "the answer", reply_to=bot.messages[0].message_id)
        shown_ = await bot.preview(reply, "the")
        await bot.send(reply, edit=shown_)
        assert begun.answered == 5
        assert [message.text for message in begun.shown] == ["the answer"]
        assert shown(chat) == ["the answer"]


async def test_what_is_asked_by_command_is_a_message_that_is_answered_in_its_place(live, server, general, bob) -> None:
    async with live() as bot:
        await wait_until(lambda: server.commands.get(None))
        begun = await general.command(bob, "ask", {"question": "what is 2 * 3?"})
        await wait_until(lambda: bot.messages)
        assert bot.texts == ["what is 2 * 3?"]
        await bot.send(bot.reply(general, "6", reply_to=bot.messages[0].message_id))
        assert [message.text for message in begun.shown] == ["6"]


async def test_a_command_is_acknowledged_although_the_first_try_fails(live, server, chat, ada) -> None:
    async with live() as bot:
        await wait_until(lambda: server.commands.get(None))
        server.fail("POST /interactions/{id}/{token}/callback", status=503)
        begun = await chat.command(ada, "help")
        await wait_until(lambda: begun.answered == 5)
        await wait_until(lambda: bot.texts == ["/help"])


async def test_a_command_is_acknowledged_although_the_store_is_away(live, server, chat, ada) -> None:
    async with live() as bot:
        await wait_until(lambda: server.commands.get(None))
        bot.away = True
        begun = await chat.command(ada, "help")
        await wait_until(lambda: begun.answered)
        bot.away = False
        await wait_until(lambda: bot.texts == ["/help"])


async def test_after_a_restart_a_command_is_answered_by_an_ordinary_message(live, server, chat, ada) -> None:
    async with live() as bot:
        await wait_until(lambda: server.commands.get(None))
        await chat.command(ada, "help")
        await wait_until(lambda: bot.messages)
        reply = bot.reply(chat, "the answer", reply_to=bot.messages[0].message_id)
    async with live() as bot:
        await bot.send(reply)
        assert shown(chat)[-1] == "the answer"


async def test_stop_leaves_nothing_behind_where_there_is_nothing_to_say(live, server, chat, ada) -> None:
    async with live() as bot:
        await wait_until(lambda: server.commands.get(None))
        begun = await chat.command(ada, "stop")
        await wait_until(lambda: begun.original)
        assert begun.original.loading
        await wait_until(lambda: begun.original.deleted)
        assert bot.texts == ["/stop"]


async def test_a_pressed_button_is_a_command_line(live, chat, ada) -> None:
    async with live() as bot:
        await bot.send(bot.reply(chat, "hi", buttons=RETRY))
        begun = await chat.press(ada, "Try again")
        await wait_until(lambda: bot.got)
        await wait_until(lambda: begun.answered == 6)
        assert bot.got[0].action == "/retry"


async def test_commands_are_registered_once(live, server) -> None:
    async with live():
        await wait_until(lambda: server.commands.get(None))
    async with live():
        await wait_until(lambda: len(server.gateway.identifies) == 2)
    assert len(server.called("PUT /applications/{app}/commands")) == 1
    assert {one["name"] for one in server.commands[None]} == {"ask", "help", "stop", "model"}


async def test_check_says_who_we_are_and_how_to_invite_us(server) -> None:
    async with aiohttp.ClientSession() as session:
        told = await check(TOKEN, session, server.url)
        assert "pieria" in told
        assert "Message Content: on" in told
        assert f"client_id={server.bot.id}" in told
        assert "permissions=309237763136" in told


async def test_a_wrong_token_is_said_in_a_sentence(server, store, people) -> None:
    async with aiohttp.ClientSession() as session:
        chat = Discord("x.y.z", session, Notes(store, people, "discord"), api_url=server.url)
        with pytest.raises(ChatRefusedToken) as refused:
            await check("x.y.z", session, server.url)
        assert "DISCORD_BOT_TOKEN" in refused.value.sentence
        with pytest.raises(ChatRefusedToken):
            await chat.serve(_nobody, ())
        assert chat.space == ""
        with pytest.raises(ChatRefusedToken):
            Discord("Bot x.y.z\n", session, Notes(store, people, "discord"))


async def test_nothing_secret_and_nothing_said_is_logged(live, server, chat, ada, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("discord", "discord.gateway", "discord.http", "discord.client"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    async with live() as bot:
        await wait_until(lambda: server.commands.get(None))
        begun = await chat.command(ada, "model", {"name": "hush-hush"})
        await chat.say(ada, "my secret is 4711")
        await wait_until(lambda: len(bot.messages) == 2)
        server.fail(PATCH, status=502)
        reply = bot.reply(chat, "4711 it is", reply_to=bot.messages[0].message_id)
        await bot.send(reply)
        await server.gateway.drop()
        await wait_until(lambda: server.gateway.resumes)
    for secret in (server.token, begun.token, "4711", "hush-hush"):
        assert secret not in caplog.text


async def _nobody(_event: object) -> None:
    await asyncio.sleep(0)
