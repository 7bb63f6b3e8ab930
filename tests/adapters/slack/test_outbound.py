"""What goes out to Slack: one visible message for each part, whatever breaks, and failures in core's own words."""

import inspect

import pytest
import slack_sdk.errors

from adapters.chat.slack import client, failures
from adapters.chat.slack.checks import check
from adapters.chat.slack.client import bases
from adapters.chat.slack.outbound import Slack
from core.errors import ChatBusy, ChatError, ChatGone, ChatRefusedToken, ChatRejected, ChatUnreachable
from core.messages import Button, ChatRef, Partial, Reply
from tests.adapters.slack.bench import Engine, adapter, ref, say, session
from tests.contracts.places.slack import read_message
from tests.servers.slack import APP_TOKEN, BOT_TOKEN, SCOPES


def read(chat):
    return [read_message(message.blocks, message.raw) for message in chat.answers]


def whispered(chat):
    return [read_message(message.blocks, message.raw) for message in chat.whispers]


async def test_a_reply_is_one_markdown_block_in_its_thread_with_words_beside(server, notes, dm, ada):
    root = await dm.say(ada, "go")
    async with adapter(server, notes) as slack:
        (sent,) = await say(slack, dm, "Some **bold** <!here> text", thread=root.ts)
    (message,) = dm.answers
    assert message.ts == sent
    assert message.thread == root.ts
    assert [block["type"] for block in message.blocks] == ["markdown"]
    assert message.raw == "Some bold &lt;!here&gt; text"
    assert message.blocks[0]["text"] == "Some **bold** &lt;!here&gt; text"
    (call,) = server.called("chat.postMessage")
    assert call.params["unfurl_links"] is call.params["unfurl_media"] is False


async def test_links_are_not_unfurled(server, notes, dm):
    async with adapter(server, notes) as slack:
        await say(slack, dm, "see https://a.example and [this](https://b.example)")
    assert dm.answers[0].unfurls == []


async def test_buttons_stand_under_the_last_part(server, notes, dm):
    said = "\n\n".join("word " * 300 for _ in range(10))
    buttons = (Button("Try again", "/retry"), Button("Stop", "/stop"), Button("Too long", "/x " + "y" * 2_001))
    async with adapter(server, notes) as slack:
        ids = await say(slack, dm, said, buttons=buttons)
    assert len(ids) == 2
    first, last = dm.answers
    assert first.buttons == []
    assert [(button["text"]["text"], button["value"]) for button in last.buttons] == [
        ("Try again", "/retry"),
        ("Stop", "/stop"),
    ]


async def test_a_send_whose_answer_got_lost_is_found_by_its_key(server, notes, dm, ada):
    root = await dm.say(ada, "go")
    async with adapter(server, notes) as slack:
        server.fail("chat.postMessage", drop="after")
        with pytest.raises(ChatUnreachable) as caught:
            await say(slack, dm, "hello", thread=root.ts)
        assert caught.value.arrived
        reply = Reply("t", ref(dm, root.ts), "hello")
        assert await slack.find(reply, "t:0") == dm.answers[0].ts
        assert await slack.find(reply, "t:1") == ""
        outside = Reply("u", ref(dm), "hello")
        await say(slack, dm, "hello", turn="u")
        assert await slack.find(outside, "u:0") == dm.answers[1].ts


async def test_the_look_back_reads_on_over_many_messages(server, notes, dm, ada):
    root = await dm.say(ada, "go")
    async with adapter(server, notes) as slack:
        for number in range(40):
            await dm.say(ada, str(number), thread=root)
        (sent,) = await say(slack, dm, "hello", thread=root.ts)
        assert await slack.find(Reply("t", ref(dm, root.ts), "hello"), "t:0") == sent


async def test_a_look_back_that_is_not_allowed_is_told_to_the_operator(server, notes, dm):
    async with adapter(server, notes) as slack:
        server.fail("conversations.history", error="missing_scope")
        assert await slack.find(Reply("t", ref(dm), "hello"), "t:0") == ""
        assert "twice" in slack.lack


async def test_a_busy_look_back_is_waited_for(server, notes, dm):
    async with adapter(server, notes) as slack:
        server.fail("conversations.history", status=429, retry_after=7)
        with pytest.raises(ChatBusy) as caught:
            await slack.find(Reply("t", ref(dm), "hello"), "t:0")
    assert caught.value.retry_after == 7


@pytest.mark.parametrize("arrived", [True, False])
async def test_whether_it_may_have_arrived_is_told(server, notes, dm, arrived):
    async with adapter(server, notes) as slack:
        if arrived:
            server.fail("chat.postMessage", drop="before")
        else:
            slack._client._base = "http://127.0.0.1:1/api/"
        with pytest.raises(ChatUnreachable) as caught:
            await say(slack, dm, "hello")
    assert caught.value.arrived is arrived
    assert "xoxb" not in caught.value.sentence


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"error": "channel_not_found"}, ChatGone),
        ({"error": "not_in_channel"}, ChatGone),
        ({"error": "is_archived"}, ChatGone),
        ({"error": "missing_scope"}, ChatGone),
        ({"error": "account_inactive"}, ChatRefusedToken),
        ({"error": "invalid_auth"}, ChatRefusedToken),
        ({"error": "token_revoked"}, ChatRefusedToken),
        ({"error": "ratelimited"}, ChatBusy),
        ({"status": 429, "retry_after": 9}, ChatBusy),
        ({"error": "internal_error"}, ChatUnreachable),
        ({"error": "service_unavailable", "status": 503}, ChatUnreachable),
        ({"status": 502, "proxy": True}, ChatUnreachable),
        ({"garbled": True}, ChatUnreachable),
        ({"status": 404, "proxy": True}, ChatUnreachable),
        ({"error": "something_new"}, ChatRejected),
    ],
)
async def test_a_failure_is_told_in_cores_words(server, notes, dm, fault, kind):
    async with adapter(server, notes) as slack:
        server.fail("chat.postMessage", **fault)
        with pytest.raises(kind) as caught:
            await say(slack, dm, "hello")
    if fault.get("retry_after"):
        assert caught.value.retry_after == 9


def test_every_failure_of_the_library_has_a_row():
    kinds = [
        kind
        for module in (slack_sdk.errors, client)
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Exception)
    ]
    assert len(kinds) >= 12
    made = {client.Refused: ("m", "x"), client.Busy: ("m", 1.0), slack_sdk.errors.SlackApiError: ("x", {})}
    for kind in kinds:
        assert kind in failures.TABLE, kind
        assert isinstance(failures.chat_error(kind(*made.get(kind, ("x",)))), ChatError)


def test_every_word_stands_in_one_row_of_what_becomes_of_a_send():
    rows = [failures.TOKEN - {"access_denied"}, failures.GONE, failures.PASSING, failures.FORM, failures.LOST]
    assert len(frozenset.union(*rows)) == sum(map(len, rows))


async def test_a_markdown_block_that_is_refused_goes_out_as_sections(server, notes, dm):
    async with adapter(server, notes) as slack:
        server.fail("chat.postMessage", error="invalid_blocks")
        await say(slack, dm, "# Title\n\nSome **bold** <!here> and `code`")
        await say(slack, dm, "again", turn="u")
    assert [[block["type"] for block in message.blocks] for message in dm.answers] == [["section"], ["markdown"]]
    assert read(dm)[0].split() == ["Title", "Some", "bold", "<!here>", "and", "code"]
    assert dm.answers[0].pings == []
    assert dm.answers[0].metadata["event_payload"] == {"turn": "t:0"}


async def test_what_takes_no_blocks_at_all_gets_plain_text(server, notes, dm):
    said = "\n\n".join(f"Paragraph {number} " + "word " * 100 for number in range(15))
    async with adapter(server, notes) as slack:
        server.fail("chat.postMessage", error="invalid_blocks", times=2)
        ids = await say(slack, dm, said)
    assert all(message.blocks == [] for message in dm.answers)
    assert ids == [dm.answers[0].ts]
    assert "\n\n".join(read(dm)).split() == said.split()


async def test_a_torn_part_goes_on_where_it_broke_off(server, notes, dm):
    said = "\n\n".join(f"Paragraph {number} " + "word " * 100 for number in range(15))
    async with adapter(server, notes) as slack:
        server.fail("chat.postMessage", error="invalid_blocks", times=2)
        server.fail("chat.postMessage", drop="before", skip=1)
        with pytest.raises(ChatUnreachable):
            await say(slack, dm, said)
        await say(slack, dm, said)
    assert "\n\n".join(read(dm)).split() == said.split()


async def test_an_older_workspace_is_remembered_for_a_while(server, notes, dm, monkeypatch):
    import tests.servers.slack_api.blocks as blocks

    monkeypatch.delitem(blocks.KEYS, "markdown")
    async with adapter(server, notes) as slack:
        await say(slack, dm, "one")
        await say(slack, dm, "two", turn="u")
    assert read(dm) == ["one", "two"]
    assert len(server.called("chat.postMessage")) == 3


async def test_a_question_by_slash_command_is_answered_for_its_giver_alone(server, notes, channel, ada):
    engine = Engine()
    async with adapter(server, notes, engine) as slack:
        command = await channel.slash(ada, "/pieria", "what is this?")
        await server.wait_for(lambda: engine.events)
        (told,) = engine.events
        reply = Reply("t", told.chat, "An **answer**", reply_to=told.message_id, buttons=(Button("Again", "/retry"),))
        (part,) = slack.parts(reply)
        assert await slack.preview(Partial("t", told.chat, 1, "An"), "") == ""
        await slack.send(reply, part, key="t:0", edit="", last=True)
        assert whispered(channel) == ["An answer"]
        assert channel.answers == []
        assert len(command.responses) == 1
        await channel.press(ada, "Again")
        await server.wait_for(lambda: len(engine.events) == 2)
    assert engine.events[1].chat == told.chat


async def test_after_a_restart_the_answer_is_whispered_all_the_same(server, notes, channel, ada):
    async with adapter(server, notes) as slack:
        chat = ChatRef("slack", "T1", channel.id, "@U1", private=True)
        reply = Reply("t", chat, "An answer", reply_to="1.2.3")
        await slack.send(reply, slack.parts(reply)[0], key="t:0", edit="", last=True)
        assert await slack.find(reply, "t:0") == ""
    assert whispered(channel) == ["An answer"]


async def test_where_nothing_can_be_whispered_it_is_said(server, notes, channel, ada):
    server.fail("chat.postEphemeral", error="unknown_method")
    async with adapter(server, notes) as slack:
        chat = ChatRef("slack", "T1", channel.id, "@U1", private=True)
        reply = Reply("t", chat, "An answer")
        await slack.send(reply, slack.parts(reply)[0], key="t:0", edit="", last=True)
    assert read(channel) == ["An answer"]


async def test_a_slash_command_that_stops_means_the_thread_in_which_its_giver_spoke_last(server, notes, dm, ada):
    engine = Engine()
    async with adapter(server, notes, engine):
        root = await dm.say(ada, "go")
        await server.wait_for(lambda: engine.events)
        await dm.slash(ada, "/pieria", "stop")
        await server.wait_for(lambda: len(engine.events) == 2)
        await dm.slash(ada, "/pieria", "help")
        await server.wait_for(lambda: len(engine.events) == 3)
    assert engine.events[1].chat == ref(dm, root.ts)
    assert engine.events[2].chat == ref(dm)


async def test_the_check_names_the_bot_and_its_scopes(server):
    async with session() as shared:
        assert await check(BOT_TOKEN, APP_TOKEN, shared, server.url) == "@pieria in Loopback, all scopes"


async def test_missing_scopes_are_named(server, notes):
    server.scopes = set(SCOPES) - {"users:read", "im:history"}
    async with session() as shared:
        assert (await check(BOT_TOKEN, APP_TOKEN, shared, server.url)).endswith(
            "missing scopes: im:history, users:read"
        )
    async with adapter(server, notes) as slack:
        assert "im:history, users:read" in slack.lack


async def test_the_check_tells_which_token_is_wrong(server):
    async with session() as shared:
        with pytest.raises(ChatRefusedToken, match="SLACK_BOT_TOKEN"):
            await check("xoxb-wrong-wrong", "", shared, server.url)
        with pytest.raises(ChatRefusedToken, match="SLACK_APP_TOKEN"):
            await check(BOT_TOKEN, "xapp-1-no", shared, server.url)


async def test_what_cannot_be_a_token_is_refused_at_once(notes):
    async with session() as shared:
        for wrong in ("", "xoxb-\n", "xoxb ä"):
            with pytest.raises(ChatRefusedToken):
                Slack(wrong, shared, notes)


@pytest.mark.parametrize(
    ("told", "tried"),
    [
        ("https://slack.com/api/", ["https://slack.com/api/"]),
        ("https://slack.com/api", ["https://slack.com/api/"]),
        ("http://127.0.0.1:9000", ["http://127.0.0.1:9000/api/", "http://127.0.0.1:9000/"]),
        ("http://127.0.0.1:9000/", ["http://127.0.0.1:9000/api/", "http://127.0.0.1:9000/"]),
        ("http://127.0.0.1:9000/slack/v1", ["http://127.0.0.1:9000/slack/v1/"]),
    ],
)
def test_the_address_is_completed(told, tried):
    assert bases(told) == tried
