"""What goes out to Telegram: what people see, in which form, and what the engine is told when it breaks."""

import asyncio
import contextlib
import inspect
import logging

import pytest
import telegram.error

from adapters.chat.telegram import errors
from adapters.chat.telegram.client import Times
from adapters.chat.telegram.failures import TABLE, chat_error
from adapters.chat.telegram.outbound import Telegram
from core.errors import ChatBusy, ChatError, ChatGone, ChatUnreachable
from core.messages import Button, Partial, Reply
from tests.adapters.telegram_bench import TIMES, Engine, adapter, ref, say, session
from tests.servers.bot_api.faults import Limits
from tests.servers.telegram import TOKEN, TelegramServer

MARKDOWN = "# Title\n\nSome **bold** text with $x^2$.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\nprint(1)\n```"


async def test_a_reply_is_one_rich_message(server, chat):
    async with adapter(server) as tg:
        [number] = await say(tg, chat, MARKDOWN)
    [answer] = chat.answers
    assert (answer.kind, str(answer.id)) == ("rich", number)
    assert "a | b" in answer.text
    assert server.called("sendRichMessage")[0].params["rich_message"]["skip_entity_detection"] is True


async def test_an_older_server_gets_html_and_is_not_asked_again(ada):
    async with TelegramServer(rich=False) as server:
        chat = server.private(server.person(1, "Ada"))
        chat.started = True
        async with adapter(server) as tg:
            await say(tg, chat, MARKDOWN)
            await say(tg, chat, MARKDOWN, turn="u")
        assert [answer.kind for answer in chat.answers] == ["html", "html"]
        assert len([call for call in server.calls if call.method == "sendRichMessage"]) == 1
        assert server.problems == []


async def test_a_long_rich_part_becomes_several_messages_where_rich_is_unknown():
    async with TelegramServer(rich=False) as server:
        chat = server.private(server.person(1, "Ada"))
        chat.started = True
        text = "\n\n".join(f"Paragraph {n}: " + "words " * 60 for n in range(40))
        async with adapter(server) as tg:
            reply = Reply("t", ref(chat), text, buttons=(Button("Again", "/retry"),))
            [part] = tg.parts(reply)
            number = await tg.send(reply, part, key="t:0", edit="", last=True)
        assert len(chat.answers) > 3
        assert number == str(chat.answers[0].id)
        assert [bool(answer.buttons) for answer in chat.answers] == [False] * (len(chat.answers) - 1) + [True]
        assert [f"Paragraph {n}:" in " ".join(a.text for a in chat.answers) for n in range(40)] == [True] * 40


async def test_a_torn_part_goes_on_where_it_broke_off():
    async with TelegramServer(rich=False) as server:
        chat = server.private(server.person(1, "Ada"))
        chat.started = True
        text = "\n\n".join(f"Paragraph {n}: " + "words " * 60 for n in range(40))
        async with adapter(server) as tg:
            reply = Reply("t", ref(chat), text)
            [part] = tg.parts(reply)
            server.fail("sendMessage", status=429, retry_after=1, skip=2)
            with pytest.raises(ChatBusy):
                await tg.send(reply, part, key="t:0", edit="", last=True)
            number = await tg.send(reply, part, key="t:0", edit="", last=True)
        seen = " ".join(answer.text for answer in chat.answers)
        assert [seen.count(f"Paragraph {n}:") for n in range(40)] == [1] * 40
        assert number == str(chat.answers[0].id)


async def test_refused_rich_text_goes_out_as_html_once(server, chat):
    server.fail("sendRichMessage", status=400, description="Bad Request: can't parse rich message")
    async with adapter(server) as tg:
        await say(tg, chat, MARKDOWN)
        await say(tg, chat, MARKDOWN, turn="u")
    assert [answer.kind for answer in chat.answers] == ["html", "rich"]


async def test_refused_html_goes_out_as_plain_text(server, chat):
    server.fail("sendRichMessage", status=400)
    server.fail("sendMessage", status=400, description="Bad Request: can't parse entities")
    async with adapter(server) as tg:
        await say(tg, chat, "some **bold** text")
    [answer] = chat.answers
    assert (answer.kind, answer.text) == ("text", "some bold text")


async def test_a_long_reply_is_split_and_nothing_is_lost(server, chat):
    words = [f"word{n}" for n in range(12_000)]
    text = "\n\n".join(" ".join(words[at : at + 100]) for at in range(0, len(words), 100))
    async with adapter(server) as tg:
        ids = await say(tg, chat, text)
    assert len(ids) == len(chat.answers) > 1
    assert " ".join(answer.text for answer in chat.answers).split() == words


async def test_links_are_not_fetched(server, chat):
    server.fail("sendRichMessage", status=400)
    async with adapter(server) as tg:
        await say(tg, chat, "see https://example.com")
    assert server.called("sendMessage")[0].params["link_preview_options"] == {"is_disabled": True}


async def test_a_reply_in_a_group_quotes_and_stays_in_its_topic(server, ada):
    forum = server.group(-100123, "F", [ada], forum=True)
    thread = forum.topic()
    asked = await forum.say(ada, "x", thread=thread)
    async with adapter(server) as tg:
        await say(tg, forum, "y", thread=str(thread), reply_to=str(asked.id))
        await say(tg, forum, "z", turn="u", thread=str(thread), reply_to="99999")
        await tg.typing(ref(forum, str(thread)))
    assert [(a.thread, a.reply_to) for a in forum.answers] == [(thread, asked.id), (thread, None)]
    assert forum.typing[-1][1:] == ("typing", thread)


async def test_an_edit_replaces_and_the_same_edit_again_is_no_failure(server, chat):
    async with adapter(server) as tg:
        [number] = await say(tg, chat, "first")
        assert await say(tg, chat, "second **x**", turn="u", edit=number) == [number]
        assert await say(tg, chat, "second **x**", turn="u", edit=number) == [number]
    assert [(answer.text, answer.kind) for answer in chat.answers] == [("second x", "rich")]


async def test_a_message_that_is_gone_is_sent_anew(server, chat):
    async with adapter(server) as tg:
        [number] = await say(tg, chat, "first")
        chat.answers[0].deleted = True
        [new] = await say(tg, chat, "second", turn="u", edit=number)
    assert new != number
    assert [answer.text for answer in chat.answers] == ["second"]


@pytest.mark.parametrize(
    ("fault", "arrived", "seen"),
    [
        ({"drop": "before"}, True, 0),
        ({"drop": "after"}, True, 1),
        ({"lag": 5.0}, True, 1),
        ({"garbled": True}, True, 1),
        ({"status": 502, "proxy": True}, True, 0),
        ({"status": 500}, False, 0),
    ],
    ids=str,
)
async def test_an_answer_that_is_lost_is_a_doubt_and_never_another_form(server, chat, fault, arrived, seen):
    server.fail("sendRichMessage", **fault)
    async with adapter(server, times=Times(answer=0.5)) as tg:
        with pytest.raises(ChatUnreachable) as caught:
            await say(tg, chat, "hello")
    assert caught.value.arrived is arrived
    assert len(chat.answers) == seen
    assert server.called("sendMessage") == []


async def test_a_refused_connection_is_no_doubt(chat, server):
    reply = Reply("t", ref(chat), "hello")
    async with session() as shared:
        tg = Telegram(TOKEN, shared, "http://127.0.0.1:9", times=TIMES)
        with pytest.raises(ChatUnreachable) as caught:
            await tg.send(reply, tg.parts(reply)[0], key="t:0", edit="", last=True)
    assert caught.value.arrived is False


async def test_429_is_told_with_its_wait_and_nothing_is_sent_meanwhile(server, chat):
    server.fail("sendRichMessage", status=429, retry_after=7)
    async with adapter(server) as tg:
        with pytest.raises(ChatBusy) as caught:
            await say(tg, chat, "hello")
        assert caught.value.retry_after == 7
        assert chat.answers == []
        await say(tg, chat, "hello")
    assert [answer.text for answer in chat.answers] == ["hello"]


async def test_a_person_who_blocked_us_is_gone(server, chat, ada):
    await chat.block(ada)
    async with adapter(server) as tg:
        with pytest.raises(ChatGone):
            await say(tg, chat, "hello")
        with pytest.raises(ChatGone):
            await tg.preview(Partial("t", ref(chat), 1, "x" * 50), "")
        await tg.typing(ref(chat))


async def test_a_chat_that_is_unknown_is_gone_in_one_call(server):
    stranger = server.private(server.person(5, "S"))
    del server.chats[5]
    async with adapter(server) as tg:
        with pytest.raises(ChatGone):
            await say(tg, stranger, "hello")
    assert len(server.calls) == 1


async def test_a_group_that_became_a_supergroup_still_gets_its_reply(server, ada):
    group = server.group(-5, "G", [ada])
    engine = Engine()
    new = await group.migrate(ada, -100555)
    async with adapter(server, engine) as tg:
        await say(tg, group, "hello")
        await say(tg, group, "again", turn="u")
    assert [answer.text for answer in new.answers] == ["hello", "again"]
    assert len([call for call in server.called("sendRichMessage") if call.status == 400]) <= 1


async def test_buttons_stand_under_the_last_part_only(server, chat):
    text = "\n\n".join("words " * 100 for _ in range(80))
    async with adapter(server) as tg:
        await say(tg, chat, text, buttons=(Button("Again", "/retry"), Button("Stop", "/stop")))
    assert [bool(answer.buttons) for answer in chat.answers] == [False] * (len(chat.answers) - 1) + [True]
    assert [button["callback_data"] for row in chat.answers[-1].buttons for button in row] == ["/retry", "/stop"]


# --- previews ----------------------------------------------------------------------------------------------------------


async def test_a_private_preview_is_a_draft_that_the_final_replaces(server, chat):
    async with adapter(server) as tg:
        assert await tg.preview(Partial("t", ref(chat), 1, ""), "") == ""
        assert await tg.preview(Partial("t", ref(chat), 1, "Half a **bold"), "") == ""
        assert await tg.preview(Partial("t", ref(chat), 1, "Half a **bold** word and more"), "") == ""
        assert [draft.text for draft in chat.draft_log] == ["", "Half a bold", "Half a bold word and more"]
        assert len({draft.id for draft in chat.draft_log}) == 1
        assert all(draft.can_stop for draft in chat.draft_log)
        await say(tg, chat, "All of it")
    assert not chat.drafts
    assert [answer.text for answer in chat.answers] == ["All of it"]


async def test_a_group_preview_is_one_message_that_the_final_edits(server, ada):
    group = server.group(-100123, "G", [ada])
    asked = await group.say(ada, "x")
    async with adapter(server) as tg:
        shown = await tg.preview(Partial("t", ref(group), 1, "Half", reply_to=str(asked.id)), "")
        assert shown == str(group.answers[0].id)
        assert await tg.preview(Partial("t", ref(group), 1, "Half of it"), shown) == shown
        await say(tg, group, "All of it", edit=shown)
    [answer] = group.answers
    assert (answer.text, answer.edits, answer.reply_to) == ("All of it", ["Half", "Half of it"], asked.id)


@pytest.mark.parametrize(
    "text", ["```python\nprint(", "| a | b |\n|---|---|\n| 1 |", "$x^2 + ", "**b *i ~~s", "[li](http", "- a\n- **b"]
)
async def test_half_a_text_is_always_accepted(server, chat, text):
    async with adapter(server) as tg:
        await tg.preview(Partial("t", ref(chat), 1, "Intro.\n\n" + text), "")
    assert chat.draft_log


async def test_a_preview_longer_than_a_message_shows_its_end():
    async with TelegramServer(rich=False) as server:
        chat = server.private(server.person(1, "Ada"))
        chat.started = True
        async with adapter(server) as tg:
            for _ in range(2):
                with contextlib.suppress(ChatError):
                    await tg.preview(
                        Partial("t", ref(chat), 1, "\n\n".join(f"line {n} " + "x" * 90 for n in range(90))), ""
                    )
                    break
        assert "line 89" in chat.draft_log[-1].text
        assert chat.draft_log[-1].text.startswith("…")


async def test_without_rich_drafts_a_draft_is_html():
    async with TelegramServer(drafts=True, rich=False) as server:
        chat = server.private(server.person(1, "Ada"))
        chat.started = True
        async with adapter(server) as tg:
            with contextlib.suppress(ChatError):
                await tg.preview(Partial("t", ref(chat), 1, "some **bold**"), "")
            await tg.preview(Partial("u", ref(chat), 1, "some **bold**"), "")
        assert [(draft.kind, draft.text) for draft in chat.draft_log] == [("html", "some bold")]


async def test_without_any_drafts_a_private_preview_is_edited():
    async with TelegramServer(drafts=False, rich=False) as server:
        chat = server.private(server.person(1, "Ada"))
        chat.started = True
        shown = ""
        async with adapter(server) as tg:
            for turn in "abcd":
                with contextlib.suppress(ChatError):
                    shown = await tg.preview(Partial(turn, ref(chat), 1, "some **bold**"), shown)
            await say(tg, chat, "final", turn="d", edit=shown)
        assert [answer.text for answer in chat.answers] == ["final"]


async def test_a_server_that_refuses_the_stop_button_is_drafted_without(server, chat):
    server.fail("sendRichMessageDraft", status=400, description="Bad Request: no field can_stop")
    async with adapter(server) as tg:
        with pytest.raises(ChatError):
            await tg.preview(Partial("t", ref(chat), 1, "x"), "")
        await tg.preview(Partial("u", ref(chat), 1, "y"), "")
    assert [draft.can_stop for draft in chat.draft_log] == [False]


async def test_a_refused_draft_says_nothing_about_sends(server, chat):
    server.fail("sendRichMessageDraft", status=400, times=9)
    server.fail("sendMessageDraft", status=404, times=9)
    async with adapter(server) as tg:
        for turn in "abc":
            with pytest.raises(ChatError):
                await tg.preview(Partial(turn, ref(chat), 1, "x" * 50), "")
        await say(tg, chat, "final")
    assert [answer.kind for answer in chat.answers] == ["rich"]


async def test_429_on_a_preview_is_told_and_not_tried_again(server, chat):
    server.fail("sendRichMessageDraft", status=429, retry_after=3)
    async with adapter(server) as tg:
        with pytest.raises(ChatBusy) as caught:
            await tg.preview(Partial("t", ref(chat), 1, "x" * 50), "")
    assert caught.value.retry_after == 3
    assert len(server.calls) == 1


async def test_typing_never_fails(server, chat):
    async with adapter(server) as tg:
        for fault in ({"status": 500}, {"status": 429}, {"drop": "before"}, {"garbled": True}):
            server.fail("sendChatAction", **fault)
            await tg.typing(ref(chat))
        await tg.typing(ref(chat))
    assert chat.is_typing


# --- errors and secrets ------------------------------------------------------------------------------------------------


def test_every_failure_has_a_row_and_the_library_knows_no_other():
    ours = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type)}
    assert [name for name, kind in ours.items() if kind not in TABLE] == []
    theirs = {
        name: kind
        for name, kind in inspect.getmembers(telegram.error, inspect.isclass)
        if issubclass(kind, telegram.error.TelegramError) and name != "PassportDecryptionError"
    }
    assert len(theirs) >= 10
    assert theirs.keys() - ours.keys() == set()
    for name, kind in theirs.items():
        assert [b.__name__ for b in kind.__bases__] == [b.__name__ for b in ours[name].__bases__]


@pytest.mark.parametrize("kind", [kind for kind in TABLE if kind not in (errors.RetryAfter, errors.ChatMigrated)])
def test_every_row_gives_a_sentence(kind):
    error = chat_error(kind("something"))
    assert isinstance(error, ChatError)
    assert error.sentence.startswith(("Telegram", "Another program"))


async def test_the_token_is_in_no_log_and_no_error(server, chat, caplog):
    caplog.set_level(logging.DEBUG)
    told = []
    faults = [
        {"status": 400},
        {"status": 429},
        {"status": 500},
        {"drop": "before"},
        {"garbled": True},
        {"status": 502, "proxy": True},
        {"status": 400, "description": f"Bad Request: see /bot{TOKEN}/sendMessage"},
        {"lag": 2.0},
    ]
    refusals = [{"status": status} for status in (401, 403, 404, 409)]
    quick = Times(poll=0.2, poll_slack=0.2, answer=0.2, preview=0.2, typing=0.2, backoff=0.01, backoff_cap=0.05)

    async def endure(tg, fault):
        server.heal()
        server.fail("*", times=3, **fault)
        for call in (
            say(tg, chat, "hello"),
            tg.preview(Partial(str(len(told)), ref(chat), 1, "hi"), ""),
            tg.check(),
            tg.typing(ref(chat)),
        ):
            try:
                await call
            except ChatError as error:
                told.extend((str(error), repr(error), repr(error.__cause__)))

    async with adapter(server, Engine(), quick) as tg:
        told += [repr(tg), str(vars(tg))]
        for fault in faults:
            await endure(tg, fault)
        server.heal()
    async with adapter(server, times=quick) as tg:
        for fault in refusals:
            await endure(tg, fault)
    async with session() as shared:
        for url in ("http://127.0.0.1:9", "http://no.such.host.invalid", "http://127.0.0.1:9/a b"):
            gone = Telegram(TOKEN, shared, url, times=TIMES)
            with pytest.raises(ChatError) as caught:
                await gone.check()
            told += [str(caught.value), str(caught.getrepr(chain=True))]
    secret = TOKEN.partition(":")[2]
    assert len(told) > 20
    assert not [line for line in told if secret in line]
    assert secret not in caplog.text


async def test_a_burst_within_the_platforms_limits_is_told_to_wait_not_lost():
    async with TelegramServer(limits=Limits(chat_seconds=0.2, chat_burst=2)) as server:
        chat = server.private(server.person(1, "Ada"))
        chat.started = True
        async with adapter(server) as tg:
            waits = 0
            for number in range(5):
                while True:
                    try:
                        await say(tg, chat, f"reply {number}", turn=str(number))
                        break
                    except ChatBusy as busy:
                        waits += 1
                        await asyncio.sleep(min(busy.retry_after, 0.3))
        assert waits
        assert [answer.text for answer in chat.answers] == [f"reply {number}" for number in range(5)]
