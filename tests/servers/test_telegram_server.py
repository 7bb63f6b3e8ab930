"""The Telegram server keeps its own promises; each test speaks plain HTTP to it, one speaks through a real library."""

import asyncio

import aiohttp
import msgspec
import pytest
from aiohttp import web

from tests.servers import specs
from tests.servers.bot_api.faults import Limits
from tests.servers.bot_api.markup import read_html
from tests.servers.bot_api.rich import read_rich
from tests.servers.telegram import TOKEN, TelegramServer


@pytest.fixture
async def http():
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def server():
    async with TelegramServer() as running:
        yield running


@pytest.fixture
def ada(server):
    return server.person(id=1, name="Ada", language="en")


@pytest.fixture
async def chat(server, ada):
    private = server.private(ada)
    await private.say(ada, "hello")
    return private


@pytest.fixture
def call(http, server):
    async def send(method, **params):
        return await asked(http, server, method, params)

    return send


async def asked(http, server, method, params, token=TOKEN):
    form = {k: v if isinstance(v, str) else msgspec.json.encode(v).decode() for k, v in params.items()}
    async with http.post(f"{server.url}/bot{token}/{method}", data=form) as reply:
        body = await reply.json()
        assert body["ok"] == (reply.status == 200)
        return body["result"] if body["ok"] else (reply.status, body["description"])


async def test_what_a_person_says_waits_until_it_is_confirmed(server, ada, chat, call):
    await chat.say(ada, "/help@pieria_bot 👍 @pieria_bot")
    first, second = await call("getUpdates")
    assert first["message"]["text"] == "hello"
    assert [(e["type"], e["offset"], e["length"]) for e in second["message"]["entities"]] == [
        ("bot_command", 0, 16),
        ("mention", 20, 11),
    ]
    assert await call("getUpdates", offset=first["update_id"], limit=1) == [first]
    assert await call("getUpdates", offset=first["update_id"] + 1) == [second]
    assert await call("getUpdates", offset=second["update_id"] + 1) == []
    server.redeliver()
    assert await call("getUpdates", offset=second["update_id"] + 1) == [second]


async def test_a_long_poll_ends_with_the_first_update(server, ada, call):
    poll = asyncio.create_task(call("getUpdates", timeout=20))
    await server.wait_for(lambda: server.called("getUpdates"))
    await server.private(ada).start(ada, "abc")
    [update] = await poll
    assert update["message"]["text"] == "/start abc"


async def test_two_pollers_conflict(server, ada, call):
    first = asyncio.create_task(call("getUpdates", timeout=20))
    await server.wait_for(lambda: server.called("getUpdates"))
    second = asyncio.create_task(call("getUpdates", timeout=20))
    status, why = await first
    assert status == 409
    assert "terminated by other getUpdates" in why
    await server.private(ada).say(ada, "x")
    assert len(await second) == 1


async def test_only_the_kinds_that_were_asked_for_come(server, ada, chat, call):
    await chat.react(ada, chat.messages[0], "👀")
    assert [u["message"]["text"] for u in await call("getUpdates")] == ["hello"]
    await call("getUpdates", allowed_updates=["message_reaction", "stopped_message_generation"], offset=-1)
    await chat.say(ada, "not wanted")
    await chat.react(ada, chat.messages[0], "👍")
    assert [sorted(u) for u in await call("getUpdates", offset=101)] == [["message_reaction", "update_id"]]


async def test_a_webhook_gets_updates_until_it_says_yes(server, ada, chat, call):
    got, answers = [], iter([500, 200, 200])

    async def receive(request):
        got.append((request.headers["X-Telegram-Bot-Api-Secret-Token"], (await request.json())["message"]["text"]))
        return web.Response(status=next(answers))

    runner = web.ServerRunner(web.Server(receive), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    assert await call("setWebhook", url=url, secret_token="s-1") is True
    await chat.say(ada, "two")
    await server.wait_for(lambda: len(got) == 3)
    assert got == [("s-1", "hello"), ("s-1", "hello"), ("s-1", "two")]
    assert (await call("getUpdates"))[0] == 409
    await server.wait_for(lambda: server.updates.pending == 0)
    info = await call("getWebhookInfo")
    assert (info["url"], info["pending_update_count"], info["last_error_message"][-25:]) == (
        url,
        0,
        "500 Internal Server Error",
    )
    await call("deleteWebhook")
    assert await call("getUpdates") == []
    await runner.cleanup()
    assert (await call("setWebhook", url="http://example.com/"))[0] == 400
    assert (await call("setWebhook", url=url, secret_token="ä"))[0] == 400


async def test_a_wrong_token_and_an_unknown_method_are_told_apart(http, server):
    assert (await asked(http, server, "getMe", {}, token="42:wrong"))[0] == 401
    assert (await asked(http, server, "getYou", {}))[0] == 404


@pytest.mark.parametrize("kind", ["form", "json", "multipart"])
async def test_all_kinds_of_bodies_are_understood(http, server, chat, kind):
    params = {"chat_id": 1, "text": "<b>hi</b> 👍", "parse_mode": "HTML", "reply_parameters": {"message_id": 1}}
    flat = {k: v if isinstance(v, str) else msgspec.json.encode(v).decode() for k, v in params.items()}
    how = {"json": params} if kind == "json" else {"data": flat}
    if kind == "multipart":
        how = {"data": aiohttp.FormData(flat, default_to_multipart=True)}
    async with http.post(f"{server.url}/bot{TOKEN}/sendMessage", **how) as reply:
        result = (await reply.json())["result"]
    assert (result["text"], result["entities"]) == ("hi 👍", [{"type": "bold", "offset": 0, "length": 2}])
    [seen] = await chat.replies(1)
    assert (seen.text, seen.reply_to, seen.kind) == ("hi 👍", 1, "html")


BAD = {
    "no chat": ({"chat_id": 7, "text": "x"}, "chat not found"),
    "no text": ({"chat_id": 1}, "text is missing"),
    "empty": ({"chat_id": 1, "text": "  \n"}, "message text is empty"),
    "too long": ({"chat_id": 1, "text": "👍" * 2049}, "message is too long"),
    "unknown": ({"chat_id": 1, "text": "x", "colour": "red"}, "colour"),
    "a list for an object": ({"chat_id": 1, "text": "x", "reply_parameters": [1]}, "reply_parameters"),
    "markup": ({"chat_id": 1, "text": "<b>x", "parse_mode": "HTML"}, "can't parse entities"),
    "reply": ({"chat_id": 1, "text": "x", "reply_parameters": {"message_id": 99}}, "message to be replied not found"),
    "thread": ({"chat_id": 1, "text": "x", "message_thread_id": 4}, "message thread not found"),
    "data": (
        {"chat_id": 1, "text": "x", "reply_markup": {"inline_keyboard": [[{"text": "b", "callback_data": "ä" * 33}]]}},
        "DATA",
    ),
    "row": (
        {"chat_id": 1, "text": "x", "reply_markup": {"inline_keyboard": [[{"text": "b", "callback_data": "d"}] * 9]}},
        "too long",
    ),
}


@pytest.mark.parametrize("what", BAD)
async def test_a_message_that_the_platform_would_refuse_is_refused(chat, call, what):
    params, why = BAD[what]
    status, text = await call("sendMessage", **params)
    assert status == 400
    assert why in text
    assert not chat.answers


@pytest.mark.parametrize(
    "html", ["<x>a</x>", "<b>a", "<b><i>a</b></i>", "a</b>", "a < b", "<span>a</span>", "<script>a</script>", "<br/>"]
)
async def test_html_is_parsed_for_real(chat, call, html):
    assert (await call("sendMessage", chat_id=1, text=html, parse_mode="HTML"))[0] == 400


def test_html_becomes_text_and_entities():
    text, entities = read_html(
        '👍 &lt;<b>b<i>i</i></b>\n<pre><code class="language-py">x = 1\n</code></pre> <a href="https://a.b/?c=1&amp;d">l</a> \n'
    )
    assert text == "👍 <bi\nx = 1\n l"
    assert entities == [
        {"type": "bold", "offset": 4, "length": 2},
        {"type": "italic", "offset": 5, "length": 1},
        {"type": "pre", "language": "py", "offset": 7, "length": 6},
        {"type": "text_link", "url": "https://a.b/?c=1&d", "offset": 14, "length": 1},
    ]


RICH = """<h2>Sum</h2><p>a <b>bold</b> &amp; <tg-math>x^2</tg-math><br/>
next
line</p>
<ul><li>one</li><li><input type="checkbox" checked/>two<ol start="3"><li>deep</li></ol></li></ul>
<pre><code class="language-py">if x:
    y &lt; 1</code></pre><hr/><blockquote><p>said</p><cite>Ada</cite></blockquote>
<table bordered striped><tr><th>a</th><th align="right">b</th></tr><tr><td>1</td><td>2</td></tr></table>
<details><summary>More</summary>hidden</details>"""


async def test_a_rich_message_reads_as_plain_text(chat, call):
    result = await call("sendRichMessage", chat_id=1, rich_message={"html": RICH})
    assert [b["type"] for b in result["rich_message"]["blocks"]] == [
        "heading",
        "paragraph",
        "list",
        "pre",
        "divider",
        "blockquote",
        "table",
        "details",
    ]
    [seen] = chat.answers
    assert seen.unmarked.startswith("Suma bold & x^2\nnext\nline\nonetwo")
    assert seen.text == (
        "Sum\n\na bold & x^2\nnext line\n\n- one\n- [x] two\n  3. deep\n\nif x:\n    y < 1\n\n---\n\nsaid\n\nAda\n\n"
        "a | b\n1 | 2\n\nMore\nhidden"
    )


BAD_RICH = {
    "a tag": "<div>a</div>",
    "nesting": "<p><b>a</p></b>",
    "a block in a line": "<p><h1>a</h1></p>",
    "an item alone": "<li>a</li>",
    "text in a list": "<ul>a</ul>",
    "an entity": "<p>&copy;</p>",
    "an attribute": '<p style="x">a</p>',
    "a local picture": '<img src="file:///etc/passwd"/>',
    "thinking": "<tg-thinking>a</tg-thinking>",
    "depth": "<blockquote>" * 17 + "a" + "</blockquote>" * 17,
    "blocks": "<p>a</p>" * 501,
    "columns": "<table><tr>" + "<td>a</td>" * 21 + "</tr></table>",
    "length": "<p>" + "a" * 32769 + "</p>",
    "nothing": " ",
}


@pytest.mark.parametrize("what", BAD_RICH)
async def test_rich_html_outside_the_rules_is_refused(chat, call, what):
    assert (await call("sendRichMessage", chat_id=1, rich_message={"html": BAD_RICH[what]}))[0] == 400
    assert not chat.answers


def test_rich_html_within_the_limits_is_accepted():
    read_rich("<blockquote>" * 16 + "</blockquote>" * 16)
    read_rich("<p>a</p>" * 500)
    read_rich("<table><tr>" + "<td>a</td>" * 20 + "</tr></table>")
    assert read_rich('<p><a href="https://a.b/">x</a></p><img src="https://c.d/e.png"/>').links == ["https://a.b/"]


async def test_an_edit_changes_what_is_seen(chat, call):
    sent = await call(
        "sendMessage", chat_id=1, text="one", reply_markup={"inline_keyboard": [[{"text": "b", "url": "https://a.b"}]]}
    )
    where = {"chat_id": 1, "message_id": sent["message_id"]}
    await call("editMessageText", **where, text="two")
    assert (chat.answers[0].text, chat.answers[0].edits, chat.answers[0].buttons) == ("two", ["one"], [])
    assert "message is not modified" in (await call("editMessageText", **where, text="two"))[1]
    await call("editMessageText", **where, rich_message={"html": "<p><b>three</b></p>"})
    assert (chat.answers[0].text, chat.answers[0].kind) == ("three", "rich")
    assert "to edit not found" in (await call("editMessageText", chat_id=1, message_id=999, text="x"))[1]
    assert "can't be edited" in (await call("editMessageText", chat_id=1, message_id=1, text="x"))[1]
    await call("deleteMessage", **where)
    assert not chat.answers
    assert "to edit not found" in (await call("editMessageText", **where, text="x"))[1]


async def test_a_draft_shows_until_the_message_comes(server, ada, chat, call):
    draft = {"chat_id": 1, "draft_id": 5}
    await call("sendMessageDraft", **draft, text="")
    await call("sendRichMessageDraft", **draft, rich_message={"html": "<tg-thinking>hm</tg-thinking>"}, can_stop=True)
    assert (chat.drafts[5].text, [d.text for d in chat.draft_log]) == ("hm", ["", "hm"])
    await call("sendMessage", chat_id=1, text="done")
    assert not chat.drafts
    assert (await call("sendMessageDraft", chat_id=1, draft_id=0, text="x"))[0] == 400
    server.group(-1001, "G", [ada])
    assert (await call("sendMessageDraft", chat_id=-1001, draft_id=1, text="x"))[0] == 400
    server.draft_seconds = 0.0
    await call("sendMessageDraft", **draft, text="late")
    assert not chat.drafts


async def test_stop_reaches_the_bot_only_where_it_is_offered(ada, chat, call):
    await call("sendMessageDraft", chat_id=1, draft_id=5, text="x")
    with pytest.raises(AssertionError):
        await chat.stop(ada)
    await call("sendMessageDraft", chat_id=1, draft_id=5, text="x", can_stop=True)
    await chat.stop(ada)
    assert (await call("getUpdates"))[-1]["stopped_message_generation"]["draft_id"] == 5


async def test_an_older_server_knows_no_rich_messages(http):
    async with TelegramServer(rich=False, drafts=False) as server:
        ada = server.person(1, "Ada")
        await server.private(ada).say(ada, "x")
        rich = {"chat_id": 1, "rich_message": {"html": "<p>a</p>"}}
        assert (await asked(http, server, "sendRichMessage", rich))[0] == 404
        assert (await asked(http, server, "sendMessageDraft", {"chat_id": 1, "draft_id": 1}))[0] == 404


async def test_a_button_is_pressed_and_answered_once(ada, chat, call):
    row = [{"text": "Yes", "callback_data": "y:1", "style": "success"}]
    await call("sendMessage", chat_id=1, text="sure?", reply_markup={"inline_keyboard": [row]})
    press = await chat.press(ada, "Yes")
    query = (await call("getUpdates"))[-1]["callback_query"]
    assert (query["data"], query["message"]["text"]) == ("y:1", "sure?")
    await call("answerCallbackQuery", callback_query_id=query["id"], text="fine")
    assert press.answer == "fine"
    assert (await call("answerCallbackQuery", callback_query_id=query["id"]))[0] == 400


async def test_a_group_has_topics_members_and_an_end(server, ada, call):
    bob = server.person(2, "Bob")
    group = server.group(-1005, "G", [bob], forum=True, admins=[ada])
    thread = group.topic()
    await group.say(bob, "hi", mention=True, thread=thread)
    update = (await call("getUpdates"))[-1]["message"]
    assert (update["text"], update["message_thread_id"], update["chat"]["is_forum"]) == ("@pieria_bot hi", thread, True)
    sent = await call("sendMessage", chat_id=-1005, text="x", message_thread_id=thread)
    assert sent["message_thread_id"] == thread
    assert [m["status"] for m in await call("getChatAdministrators", chat_id=-1005)] == ["creator"]
    assert (await call("getChatMember", chat_id=-1005, user_id=2))["status"] == "member"
    await group.remove_bot(ada)
    assert (await call("getUpdates"))[-1]["my_chat_member"]["new_chat_member"]["status"] == "kicked"
    assert (await call("sendMessage", chat_id=-1005, text="x"))[0] == 403


async def test_with_privacy_on_a_group_tells_only_what_is_meant_for_the_bot(http):
    async with TelegramServer(privacy=True) as server:
        ada = server.person(1, "Ada")
        group = server.group(-5, "G", [ada])
        await group.say(ada, "between us")
        await group.say(ada, "you there", mention=True)
        assert [u["message"]["text"] for u in await asked(http, server, "getUpdates", {})] == ["@pieria_bot you there"]


async def test_an_upgraded_group_names_its_new_id(http, server, ada):
    group = server.group(-5, "G", [ada])
    new = await group.migrate(ada, -1005)
    async with http.post(f"{server.url}/bot{TOKEN}/sendMessage", json={"chat_id": -5, "text": "x"}) as reply:
        assert (await reply.json())["parameters"] == {"migrate_to_chat_id": -1005}
    assert (await asked(http, server, "sendMessage", {"chat_id": -1005, "text": "x"}))["chat"]["id"] == new.id


async def test_nobody_is_written_to_who_did_not_start_or_who_blocked(server, ada, call):
    chat = server.private(ada)
    assert (await call("sendMessage", chat_id=1, text="x"))[0] == 403
    await chat.start(ada)
    assert (await call("sendMessage", chat_id=1, text="x"))["message_id"]
    await chat.block(ada)
    assert await call("sendMessage", chat_id=1, text="x") == (403, "Forbidden: bot was blocked by the user")


async def test_files_are_fetched_with_the_token(http, ada, chat, server, call):
    await chat.voice(ada, b"OggS")
    await chat.photo(ada, b"JPG", caption="look", media_group_id="7")
    await chat.document(ada, b"%PDF", "a.pdf", "application/pdf")
    updates = [u["message"] for u in await call("getUpdates")]
    path = (await call("getFile", file_id=updates[1]["voice"]["file_id"]))["file_path"]
    async with http.get(f"{server.url}/file/bot{TOKEN}/{path}") as reply:
        assert await reply.read() == b"OggS"
    async with http.get(f"{server.url}/file/bot42:wrong/{path}") as reply:
        assert reply.status == 401
    assert (updates[2]["caption"], len(updates[2]["photo"])) == ("look", 2)
    assert updates[3]["document"]["file_name"] == "a.pdf"


async def test_commands_texts_typing_and_reactions_are_recorded(server, chat, call):
    commands = [{"command": "help", "description": "Help"}]
    await call("setMyCommands", commands=commands, language_code="de")
    assert await call("getMyCommands", language_code="de") == commands
    assert await call("getMyCommands") == []
    assert (await call("setMyCommands", commands=[{"command": "Help!", "description": "x"}]))[0] == 400
    await call("setMyDescription", description="d")
    await call("setMyShortDescription", short_description="s")
    assert (server.description, server.short_description) == ({"": "d"}, {"": "s"})
    assert await call("getMyDescription") == {"description": "d"}
    assert await call("getMyShortDescription") == {"short_description": "s"}
    await call("sendChatAction", chat_id=1, action="typing")
    assert chat.is_typing
    assert (await call("sendChatAction", chat_id=1, action="singing"))[0] == 400
    await call("setMessageReaction", chat_id=1, message_id=1, reaction=[{"type": "emoji", "emoji": "👀"}])
    assert chat.messages[0].reactions == ["👀"]
    assert (await call("setMessageReaction", chat_id=1, message_id=1, reaction=[{"type": "emoji", "emoji": "🦖"}]))[
        0
    ] == 400


async def test_too_much_is_refused_with_the_time_to_wait(http):
    async with TelegramServer(limits=Limits(chat_burst=2, group_per_minute=3)) as server:
        ada = server.person(1, "Ada")
        await server.private(ada).say(ada, "x")
        found = [await asked(http, server, "sendMessage", {"chat_id": 1, "text": "x"}) for _ in range(3)]
        assert found[2] == (429, "Too Many Requests: retry after 1")
        assert (await asked(http, server, "sendChatAction", {"chat_id": 1, "action": "typing"})) is True
        server.flood = type(server.flood)(Limits(chat_burst=100, group_per_minute=3))
        server.group(-5, "G", [ada])
        found = [await asked(http, server, "sendMessage", {"chat_id": -5, "text": "x"}) for _ in range(4)]
        assert found[3] == (429, "Too Many Requests: retry after 20")


async def test_failures_come_on_order(http, server, chat, call):
    server.fail("sendMessage", status=429, retry_after=7)
    server.fail("sendMessage", status=500, skip=1)
    async with http.post(f"{server.url}/bot{TOKEN}/sendMessage", json={"chat_id": 1, "text": "x"}) as reply:
        assert (reply.status, reply.headers["Retry-After"]) == (429, "7")
        assert (await reply.json())["parameters"] == {"retry_after": 7}
    assert (await call("sendMessage", chat_id=1, text="passes"))["text"] == "passes"
    assert (await call("sendMessage", chat_id=1, text="x"))[0] == 500
    server.fail("sendMessage", proxy=True)
    async with http.post(f"{server.url}/bot{TOKEN}/sendMessage", json={"chat_id": 1, "text": "x"}) as reply:
        assert (reply.status, reply.content_type) == (502, "text/html")
    assert [m.text for m in chat.answers] == ["passes"]


@pytest.mark.parametrize(("how", "arrives"), [({"drop": "before"}, 0), ({"drop": "after"}, 1), ({"garbled": True}, 1)])
async def test_a_reply_may_be_lost_with_or_without_effect(http, server, chat, how, arrives):
    server.fail("sendMessage", **how)
    with pytest.raises((aiohttp.ClientError, msgspec.DecodeError)):
        async with http.post(f"{server.url}/bot{TOKEN}/sendMessage", json={"chat_id": 1, "text": "x"}) as reply:
            msgspec.json.decode(await reply.read())
    assert len(chat.answers) == arrives


async def test_the_public_description_is_asked_too(server, chat, call):
    specs.needed()
    status, why = await call("sendMessage", chat_id="x", text="x", link_preview_options={"is_disabled": True})
    assert (status, why) == (400, "Bad Request: chat not found")
    assert specs.telegram("sendMessage", {"chat_id": 1, "text": "x" * 5000, "colour": 1}) == [
        "sendMessage: no field colour"
    ]
    assert server.problems == []


async def test_a_server_comes_back_with_what_it_knew(http):
    server = TelegramServer()
    async with server:
        ada = server.person(1, "Ada")
        await server.private(ada).say(ada, "x")
        poll = asyncio.create_task(asked(http, server, "getUpdates", {"offset": 500, "timeout": 20}))
        await server.wait_for(lambda: server.called("getUpdates"))
    assert await poll == []
    with pytest.raises(aiohttp.ClientConnectionError):
        await asked(http, server, "getMe", {})
    async with server:
        assert await asked(http, server, "sendMessage", {"chat_id": 1, "text": "x"})


async def test_json_of_a_wrong_shape_is_refused_and_noted(server, chat, call):
    markup = {"inline_keyboard": [[["no object"]]]}
    assert (await call("sendMessage", chat_id=1, text="x", reply_markup=markup))[0] == 400
    assert server.problems


async def test_a_real_library_is_content_with_it(server, ada, chat, monkeypatch):
    monkeypatch.setenv("PTB_TIMEDELTA", "1")
    from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup, ReplyParameters
    from telegram.error import BadRequest, Forbidden, InvalidToken, NetworkError, RetryAfter

    async with Bot(TOKEN, base_url=f"{server.url}/bot", base_file_url=f"{server.url}/file/bot") as bot:
        assert (await bot.get_me()).username == "pieria_bot"
        [update] = await bot.get_updates(timeout=1)
        assert update.effective_user.first_name == "Ada"
        keys = InlineKeyboardMarkup([[InlineKeyboardButton("b", callback_data="d")]])
        sent = await bot.send_message(1, "<b>hi</b>", "HTML", reply_markup=keys, reply_parameters=ReplyParameters(1))
        assert (sent.text, sent.reply_to_message.text) == ("hi", "hello")
        await bot.edit_message_text("new", 1, sent.message_id)
        await bot.do_api_request("send_rich_message", {"chat_id": 1, "rich_message": {"html": "<p>rich</p>"}})
        assert [m.text for m in chat.answers] == ["new", "rich"]
        await chat.voice(ada, b"OggS")
        [update] = await bot.get_updates(offset=update.update_id + 1)
        file = await bot.get_file(update.message.voice.file_id)
        assert await file.download_as_bytearray() == b"OggS"
        for status, error in (
            (400, BadRequest),
            (403, Forbidden),
            (500, NetworkError),
            (429, RetryAfter),
            (401, InvalidToken),
        ):
            server.fail("sendMessage", status=status, retry_after=3 if status == 429 else None)
            with pytest.raises(error):
                await bot.send_message(1, "x")
    assert server.problems == []
