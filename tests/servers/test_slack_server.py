"""The Slack server keeps its own promises; most tests speak plain HTTP and websockets to it, some the real library."""

import asyncio
import hashlib
import hmac
from urllib.parse import parse_qs

import aiohttp
import msgspec
import pytest
from aiohttp import WSMsgType, web
from slack_sdk.errors import SlackApiError
from slack_sdk.signature import SignatureVerifier
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient

from tests.servers.slack import APP_TOKEN, BOT_TOKEN, SIGNING_SECRET, SlackServer
from tests.servers.slack_api.faults import Limits
from tests.servers.slack_api.text import read_markdown, read_mrkdwn


@pytest.fixture
async def http():
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def server():
    async with SlackServer(limits=False, ack_seconds=0.2) as running:
        yield running


@pytest.fixture
def ada(server):
    return server.person("U1", "Ada")


@pytest.fixture
def dm(server, ada):
    return server.private(ada)


@pytest.fixture
def general(server, ada):
    return server.channel("C1", "general", [ada, server.person("U2", "Bob")])


@pytest.fixture
def call(http, server):
    async def send(method, _token=BOT_TOKEN, **params):
        return await asked(http, server, method, params, _token)

    return send


@pytest.fixture
async def socket(http, server):
    async with aiohttp.ClientSession() as session:
        ws = await connect(session, server)
        yield ws
        await ws.close()


@pytest.fixture
async def sdk(server):
    async with aiohttp.ClientSession() as session:
        yield AsyncWebClient(token=BOT_TOKEN, base_url=server.url, session=session)


async def asked(http, server, method, params, token=BOT_TOKEN):
    """The answer: a dict for ok, the error's name otherwise. Lists and objects as JSON in a form."""
    form = {k: v if isinstance(v, str) else msgspec.json.encode(v).decode() for k, v in params.items()}
    async with http.post(server.url + method, data=form, headers={"Authorization": f"Bearer {token}"}) as reply:
        body = await reply.json()
        assert reply.status == (429 if body.get("error") == "ratelimited" else 200)
        return body if body.pop("ok") else body["error"]


async def connect(session, server):
    opened = await asked(session, server, "apps.connections.open", {}, APP_TOKEN)
    ws = await session.ws_connect(opened["url"])
    assert (await ws.receive_json())["type"] == "hello"
    return ws


async def heard(ws, *, ack=True):
    envelope = await ws.receive_json(timeout=5)
    if ack:
        await ws.send_json({"envelope_id": envelope["envelope_id"]})
    return envelope


async def events(ws, count):
    return [(await heard(ws))["payload"]["event"] for _ in range(count)]


@pytest.fixture
async def app():
    """A program that listens for signed HTTP: its url, what came, and the statuses that it will answer."""

    class App:
        def __init__(self):
            self.got, self.statuses, self.reply, self.delay = [], [], b"", 0.0

        async def receive(self, request):
            body = await request.read()
            self.got.append((dict(request.headers), body))
            await asyncio.sleep(self.delay)
            if b"url_verification" in body:
                return web.json_response({"challenge": msgspec.json.decode(body)["challenge"]})
            return web.Response(status=self.statuses.pop(0) if self.statuses else 200, body=self.reply)

    it = App()
    runner = web.ServerRunner(web.Server(it.receive), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    it.url = f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events"
    yield it
    await runner.cleanup()


# Who may call what, and in which shape


async def test_tokens_are_told_apart(server, http, call):
    assert (await call("auth.test"))["user_id"] == "UBOT"
    assert (await call("auth.test", _token=APP_TOKEN))["app_id"] == "A1"
    assert await call("auth.test", _token="xoxb-wrong") == "invalid_auth"
    assert await call("apps.connections.open") == "not_allowed_token_type"
    assert await call("chat.postMessage", _token=APP_TOKEN, channel="C1", text="x") == "not_allowed_token_type"
    async with http.post(server.url + "auth.test") as reply:
        assert (await reply.json())["error"] == "not_authed"
    assert await call("chat.postMassage") == "unknown_method"


async def test_scopes_stand_in_the_header_and_are_needed(server, http, call, general):
    async with http.get(server.url + "auth.test", headers={"Authorization": f"Bearer {BOT_TOKEN}"}) as reply:
        assert "chat:write" in reply.headers["x-oauth-scopes"].split(",")
    assert await call("team.info") == "missing_scope"
    server.scopes.remove("channels:history")
    assert await call("conversations.history", channel="C1") == "missing_scope"
    server.scopes.add("team:read")
    assert (await call("team.info"))["team"]["id"] == "T1"


async def test_arguments_come_as_query_form_or_json(server, http, general):
    head = {"Authorization": f"Bearer {BOT_TOKEN}"}
    said = {"channel": "C1", "text": "hi"}
    for how in ({"params": said}, {"data": said}, {"json": said}):
        async with http.post(server.url + "chat.postMessage", headers=head, **how) as reply:
            assert (await reply.json())["ok"]
    async with http.post(server.url + "users.info", headers=head, json={"user": "U1"}) as reply:
        assert (await reply.json())["error"] == "user_not_found"
    assert server.problems == ["users.info: takes no JSON"]
    async with http.post(server.url + "chat.postMessage", headers=head, data=b"{", params=said) as reply:
        assert (await reply.json())["error"] == "invalid_post_type"


async def test_what_nobody_knows_is_a_problem(server, call, general):
    await call("chat.postMessage", channel="C1", text="hi", colour="red")
    assert server.problems == ["chat.postMessage: no argument colour"]


# Messages


async def test_a_message_is_read_as_people_read_it(server, call, general):
    blocks = [
        {"type": "header", "text": {"type": "plain_text", "text": "News"}},
        {"type": "section", "text": {"type": "mrkdwn", "text": "*bold* <https://a.b|site> &lt;3 <@U1>"}},
        {"type": "markdown", "text": "**one**\n\n- two\n- three <!here>\n\n```py\nx < 1\n```"},
        {"type": "table", "rows": [[{"type": "raw_text", "text": "a"}, {"type": "raw_text", "text": "b"}]]},
        {
            "type": "actions",
            "elements": [{"type": "button", "text": {"type": "plain_text", "text": "Go"}, "action_id": "go"}],
        },
    ]
    sent = await call("chat.postMessage", channel="C1", text="News", blocks=blocks, unfurl_links=False)
    [answer] = general.answers
    assert answer.ts == sent["ts"]
    assert answer.text == "News\n\nbold site <3 @Ada\n\none\n\n• two\n• three @here\n\nx < 1\n\na | b"
    assert answer.pings == ["U1", "here"]
    assert [b["text"]["text"] for b in answer.buttons] == ["Go"]
    assert answer.unfurls == []
    assert server.problems == []


def test_text_is_read_without_its_marks():
    names = {"U1": "Ada", "C1": "general"}.get
    assert read_mrkdwn("*a* _b_ ~c~ `d*e*` 2*3*4 &amp;", names) == "a b c d*e* 2*3*4 &"
    assert read_mrkdwn("<#C1> <#C1|gen> <!channel> <mailto:a@b|mail> <http://x.y>", names) == (
        "#general #gen @channel mail http://x.y"
    )
    assert read_markdown("# T\n\n1. a\n2. b\n   - c\n\n> q\n\n| x | y |\n|---|---|\n| 1 | 2 |\n\nend", names) == (
        "T\n\n1. a\n2. b\n  • c\n\nq\n\nx | y\n1 | 2\n\nend"
    )


@pytest.mark.parametrize(
    ("blocks", "why"),
    [
        ([{"type": "markdown", "text": "x" * 6001}] * 2, "12001"),
        ([{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}], "3001"),
        ([{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}], "151"),
        ([{"type": "divider"}] * 51, "no more than 50"),
        ([{"type": "section", "text": {"type": "mrkdwn", "text": "a"}, "colour": 1}], "additional property: colour"),
        ([{"type": "marquee"}], "unsupported type: marquee"),
        ([{"type": "table", "rows": [[{"type": "raw_text", "text": "a"}] * 21]}], "no more than 20"),
        ([{"type": "table", "rows": [[{"type": "raw_text", "text": "a"}]] * 101}], "no more than 100"),
        ([{"type": "table", "rows": [[{"type": "raw_text", "text": "a"}]]}] * 2, "only_one_table_allowed"),
        ([{"type": "divider", "block_id": "b"}] * 2, "already exists: b"),
        ([{"type": "divider", "block_id": "b" * 256}], "256"),
    ],
)
async def test_blocks_beyond_the_limits_are_refused(server, http, general, blocks, why):
    assert why in (await refused_blocks(http, server, blocks))[0]
    assert general.answers == []


@pytest.mark.parametrize(
    ("button", "why"),
    [
        ({"text": {"type": "plain_text", "text": "x" * 76}}, "76"),
        ({"value": "x" * 2001}, "2001"),
        ({"action_id": "x" * 256}, "256"),
        ({"style": "blue"}, "invalid value"),
        ({"text": {"type": "mrkdwn", "text": "x"}}, "unsupported type: mrkdwn"),
    ],
)
async def test_buttons_beyond_the_limits_are_refused(server, http, general, button, why):
    good = {"type": "button", "text": {"type": "plain_text", "text": "Go"}, "action_id": "a"}
    errors = await refused_blocks(
        http, server, [{"type": "actions", "elements": [good, good | {"action_id": "b"} | button]}]
    )
    assert why in errors[0]


async def test_ids_of_actions_are_unique_and_no_more_than_25(server, http, general):
    good = {"type": "button", "text": {"type": "plain_text", "text": "Go"}, "action_id": "a"}
    [twice] = await refused_blocks(http, server, [{"type": "actions", "elements": [good, good]}])
    assert "already exists: a" in twice
    many = [good | {"action_id": str(number)} for number in range(26)]
    [error] = await refused_blocks(http, server, [{"type": "actions", "elements": many}])
    assert "no more than 25" in error


async def refused_blocks(http, server, blocks):
    head = {"Authorization": f"Bearer {BOT_TOKEN}"}
    body = {"channel": "C1", "text": "x", "blocks": blocks}
    async with http.post(server.url + "chat.postMessage", headers=head, json=body) as reply:
        refusal = await reply.json()
    assert (refusal["ok"], refusal["error"]) == (False, "invalid_blocks")
    return refusal["errors"]


async def test_what_cannot_be_posted_has_the_platforms_own_words(server, call, general, ada):
    other = server.channel("C2", "other", [ada], bot=False)
    hidden = server.channel("C3", "hidden", [ada], private=True, bot=False)
    post = "chat.postMessage"
    assert await call(post, channel="C1") == "no_text"
    assert await call(post, channel="C9", text="x") == "channel_not_found"
    assert await call(post, channel=other.id, text="x") == "not_in_channel"
    assert await call(post, channel=hidden.id, text="x") == "channel_not_found"
    assert await call(post, channel="C1", text="x", thread_ts="1.000000") == "thread_not_found"
    assert await call(post, channel="C1", text="x", markdown_text="y") == "markdown_text_conflict"
    assert await call(post, channel="C1", text="x" * 40_001) == "msg_too_long"
    assert await call(post, channel="C1", markdown_text="x" * 12_001) == "msg_too_long"
    assert await call(post, channel="C1", text="x", username="Eve") == "missing_scope"
    assert await call(post, channel="C1", text="x", metadata={"event_type": "t"}) == "invalid_metadata_schema"
    general.archived = True
    assert await call(post, channel="C1", text="x") == "is_archived"


async def test_an_edit_replaces_the_blocks_and_keeps_every_state(server, call, general, ada):
    said = await general.say(ada, "mine")
    sent = await call("chat.postMessage", channel="C1", markdown_text="**one**")
    assert general.answers[0].text == "one"
    await call("chat.update", channel="C1", ts=sent["ts"], text="two")
    [answer] = general.answers
    assert [state.text for state in answer.edits] == ["one", "two"]
    assert answer.blocks == []
    assert await call("chat.update", channel="C1", ts=sent["ts"], text="x" * 4001) == "msg_too_long"
    assert await call("chat.update", channel="C1", ts=said.ts, text="x") == "cant_update_message"
    assert await call("chat.update", channel="C1", ts="1.000000", text="x") == "message_not_found"
    server.edit_seconds = 0
    assert await call("chat.update", channel="C1", ts=sent["ts"], text="x") == "edit_window_closed"
    await call("chat.delete", channel="C1", ts=sent["ts"])
    assert general.answers == []


async def test_metadata_is_given_back_only_when_it_is_asked_for(server, call, dm, ada):
    root = await dm.say(ada, "hello")
    mine = {"event_type": "turn", "event_payload": {"turn_id": "t1"}}
    sent = await call("chat.postMessage", channel=dm.id, thread_ts=root.ts, text="hi", metadata=mine)
    assert "metadata" not in sent["message"]
    where = {"channel": dm.id, "ts": root.ts}
    assert "metadata" not in (await call("conversations.replies", **where))["messages"][1]
    found = (await call("conversations.replies", **where, include_all_metadata="1"))["messages"]
    assert [m.get("metadata") for m in found] == [None, mine]
    assert found[0]["reply_count"] == 1
    assert await call("conversations.replies", channel=dm.id, ts="1.000000") == "thread_not_found"


async def test_history_comes_in_pages_without_the_replies_of_threads(server, call, general, ada):
    said = [await general.say(ada, str(number)) for number in range(5)]
    await general.say(ada, "reply", thread=said[0])
    first = await call("conversations.history", channel="C1", limit=3)
    assert [m["text"] for m in first["messages"]] == ["4", "3", "2"]
    cursor = first["response_metadata"]["next_cursor"]
    rest = await call("conversations.history", channel="C1", limit=3, cursor=cursor)
    assert ([m["text"] for m in rest["messages"]], rest["has_more"]) == (["1", "0"], False)
    late = await call("conversations.history", channel="C1", oldest=said[3].ts)
    assert [m["text"] for m in late["messages"]] == ["4"]


async def test_pings_and_unfurls_are_seen(server, call, general):
    await call("chat.postMessage", channel="C1", text="<!channel> <@U1> see https://a.b/c &lt;!here&gt;")
    [answer] = general.answers
    assert (answer.pings, answer.unfurls) == (["channel", "U1"], ["https://a.b/c"])
    await call("chat.postMessage", channel="C1", text="https://a.b/c", unfurl_links=False)
    assert general.answers[1].unfurls == []


async def test_an_escaped_reference_in_a_markdown_block_calls_nobody(server, call, general):
    for text, called in (("<@U1> and <!here>", ["U1", "here"]), ("&lt;@U1> &#60;!here&#62; `<@U1>`", [])):
        await call("chat.postMessage", channel="C1", text="…", blocks=[{"type": "markdown", "text": text}])
        assert general.answers[-1].pings == called


async def test_a_whisper_is_for_one_person(server, call, general):
    await call("chat.postEphemeral", channel="C1", user="U1", text="psst")
    assert (general.answers, [(m.text, m.ephemeral_to) for m in general.whispers]) == ([], [("psst", "U1")])
    assert await call("chat.postEphemeral", channel="C1", user="U9", text="psst") == "user_not_in_channel"


async def test_people_are_described(server, call, general):
    server.person("U3", "Eve", stranger=True)
    guest = server.person("U4", "Gus", guest=True, tz="America/New_York")
    admin = server.person("U5", "Ann", admin=True)
    eve = (await call("users.info", user="U3"))["user"]
    assert (eve["team_id"], eve["is_stranger"]) == ("T2", True)
    await general.add(server.people["U3"])
    assert "is_stranger" not in (await call("users.info", user="U3"))["user"]
    gus = (await call("users.info", user=guest.id))["user"]
    assert (gus["tz"], gus["is_restricted"], gus["is_admin"]) == ("America/New_York", True, False)
    assert (await call("users.info", user=admin.id))["user"]["is_admin"]
    assert (await call("bots.info", bot="B1"))["bot"]["user_id"] == "UBOT"
    assert (await call("conversations.info", channel="C1"))["channel"]["is_ext_shared"]
    assert (await call("conversations.members", channel="C1"))["members"] == ["U1", "U2", "U3", "UBOT"]
    assert (await call("conversations.open", users="U1"))["channel"]["id"] == "DU1"


# Streams, sessions, status


async def test_a_stream_grows_and_ends(server, call, dm, ada):
    root = await dm.say(ada, "write")
    ts = (await call("chat.startStream", channel=dm.id, thread_ts=root.ts, markdown_text="**a"))["ts"]
    assert (dm.answers, [m.ts for m in dm.streaming]) == ([], [ts])
    assert await call("chat.update", channel=dm.id, ts=ts, text="x") == "streaming_state_conflict"
    await call("chat.appendStream", channel=dm.id, ts=ts, markdown_text="b**")
    chunks = [{"type": "markdown_text", "text": "c"}]
    assert await call("chat.appendStream", channel=dm.id, ts=ts, chunks=chunks) == "streaming_mode_mismatch"
    mine = {"event_type": "turn", "event_payload": {"turn_id": "t1"}}
    blocks = [{"type": "context", "elements": [{"type": "mrkdwn", "text": "end"}]}]
    await call("chat.stopStream", channel=dm.id, ts=ts, markdown_text=" c", blocks=blocks, metadata=mine)
    [answer] = dm.answers
    assert (answer.text, answer.streamed, answer.metadata) == ("ab c\n\nend", True, mine)
    assert [state.text for state in answer.edits] == ["**a", "ab", "ab c\n\nend"]
    dead = "message_not_in_streaming_state"
    assert await call("chat.appendStream", channel=dm.id, ts=ts, markdown_text="d") == dead
    assert await call("chat.stopStream", channel=dm.id, ts=ts) == dead
    assert (await call("chat.update", channel=dm.id, ts=ts, text="mended"))["text"] == "mended"


async def test_a_stream_in_a_channel_needs_its_recipient(server, call, general, ada):
    root = await general.say(ada, "write", mention=True)
    where = {"channel": "C1", "thread_ts": root.ts}
    assert await call("chat.startStream", channel="C1") == "invalid_thread_ts"
    assert await call("chat.startStream", **where) == "missing_recipient_user_id"
    assert await call("chat.startStream", **where, recipient_user_id="U1") == "missing_recipient_team_id"
    assert (await call("chat.startStream", **where, recipient_user_id="U1", recipient_team_id="T1"))["ts"]


async def test_a_stream_lives_for_its_time(server, call, dm, ada):
    server.stream_seconds = 0.05
    root = await dm.say(ada, "write")
    ts = (await call("chat.startStream", channel=dm.id, thread_ts=root.ts, markdown_text="a"))["ts"]
    await server.wait_for(lambda: server.stream_state(dm.by_ts[ts]) == "expired")
    dead = "message_not_in_streaming_state"
    assert await call("chat.stopStream", channel=dm.id, ts=ts) == dead
    assert dm.answers == []
    await call("chat.update", channel=dm.id, ts=ts, text="whole")
    assert [m.text for m in dm.answers] == ["whole"]


async def test_a_person_stops_a_session(server, call, dm, ada, socket):
    root = await dm.say(ada, "write")
    where = {"channel_id": dm.id, "thread_ts": root.ts}
    await call("agents.sessions.setStatus", **where, status="processing", title="Writing")
    ts = (await call("chat.startStream", channel=dm.id, thread_ts=root.ts, markdown_text="a"))["ts"]
    await dm.stop(ada)
    stopped = (await events(socket, 3))[-1]
    assert (stopped["type"], stopped["thread_ts"], stopped["streaming_message_ts"]) == (
        "agent_session_stopped",
        root.ts,
        [ts],
    )
    assert await call("chat.appendStream", channel=dm.id, ts=ts, markdown_text="b") == "stopped_by_user"
    assert dm.sessions[root.ts] == "processing"
    await call("agents.sessions.setStatus", **where, status="active")
    assert [s.status for s in dm.session_log] == ["processing", "active"]
    assert await call("agents.sessions.setStatus", **where, status="is thinking") == "invalid_status"
    assert await call("agents.sessions.setStatus", channel_id=dm.id, status="active") == "thread_ts_required"
    await call("agents.sessions.rename", **where, title="Wrote")
    assert dm.titles == {root.ts: "Wrote"}
    server.agent = False
    assert await call("agents.sessions.setStatus", **where, status="active") == "feature_disabled"


async def test_status_and_prompts_show(server, call, dm, ada):
    root = await dm.say(ada, "hello")
    await call("assistant.threads.setStatus", channel_id=dm.id, thread_ts=root.ts, status="is thinking…")
    assert dm.thinking == "is thinking…"
    await call("chat.postMessage", channel=dm.id, thread_ts=root.ts, text="done")
    assert dm.thinking == ""
    prompts = [{"title": "Sum up", "message": "Sum up this thread"}]
    await call("assistant.threads.setSuggestedPrompts", channel_id=dm.id, prompts=prompts)
    assert dm.prompts == prompts
    five = prompts * 5
    assert await call("assistant.threads.setSuggestedPrompts", channel_id=dm.id, prompts=five) == "too_many_prompts"
    await call("assistant.threads.setSuggestedPrompts", channel_id=dm.id, thread_ts=root.ts, prompts=prompts)
    assert "not shown" in server.problems[0]


# Socket Mode


async def test_a_mention_comes_twice_and_an_answer_comes_back(server, call, general, ada, socket):
    said = await general.say(ada, "a < b & <#C1> https://x.y", mention=True)
    first, second = [(await heard(socket))["payload"] for _ in range(2)]
    assert [p["event"]["type"] for p in (first, second)] == ["app_mention", "message"]
    assert first["event_id"] != second["event_id"]
    assert first["event"]["ts"] == second["event"]["ts"] == said.ts
    assert second["event"]["text"] == "<@UBOT> a &lt; b &amp; <#C1> <https://x.y>"
    kinds = [e["type"] for e in second["event"]["blocks"][0]["elements"][0]["elements"]]
    assert kinds == ["user", "text", "channel", "text", "link"]
    assert (second["event"]["channel_type"], "thread_ts" in second["event"]) == ("channel", False)
    await call("chat.postMessage", channel="C1", thread_ts=said.ts, text="hi")
    [own] = await events(socket, 1)
    assert (own["bot_id"], own["thread_ts"], own["user"]) == ("B1", said.ts, "UBOT")


async def test_events_of_edits_deletions_files_reactions_and_joins(server, dm, general, ada, socket, http):
    said = await dm.say(ada, "one")
    await dm.say(ada, "two", edit=said)
    await dm.delete(ada, said)
    await dm.say(ada, "", files=[("a.txt", b"abc", "text/plain")])
    await general.add_bot(ada)
    root = await general.say(ada, "root")
    await general.say(ada, "reply", thread=root, broadcast=True)
    await general.react(ada, root, "eyes")
    await dm.open_home(ada)
    found = await events(socket, 10)
    assert [(e["type"], e.get("subtype")) for e in found] == [
        ("message", None),
        ("message", "message_changed"),
        ("message", "message_deleted"),
        ("message", "file_share"),
        ("member_joined_channel", None),
        ("message", "channel_join"),
        ("message", None),
        ("message", "thread_broadcast"),
        ("reaction_added", None),
        ("app_home_opened", None),
    ]
    assert (found[1]["message"]["text"], found[1]["previous_message"]["text"]) == ("two", "one")
    assert found[4]["inviter"] == ada.id
    url = found[3]["files"][0]["url_private_download"]
    async with http.get(url, headers={"Authorization": f"Bearer {BOT_TOKEN}"}) as reply:
        assert await reply.read() == b"abc"
    assert server.problems == []
    async with http.get(url) as reply:
        assert (reply.status, reply.content_type) == (200, "text/html")
    assert "without the bot's token" in server.problems[0]


async def test_strangers_and_other_bots_are_told_by_their_events(server, general, socket):
    eve = server.person("U3", "Eve", stranger=True)
    robot = server.bot_person("U4", "Robot")
    await general.add(eve)
    await general.add(robot)
    await events(socket, 4)
    await general.say(eve, "hi")
    await general.say(robot, "beep")
    hi, beep = [(await heard(socket))["payload"] for _ in range(2)]
    assert (hi["is_ext_shared_channel"], hi["event"]["user_team"]) == (True, "T2")
    assert (beep["event"]["bot_id"], "client_msg_id" in beep["event"]) == ("BU4", False)


async def test_what_is_not_acknowledged_comes_again(server, dm, ada, socket):
    await dm.say(ada, "hello")
    tries = [await heard(socket, ack=False) for _ in range(3)] + [await heard(socket)]
    assert [t["retry_attempt"] for t in tries] == [0, 1, 2, 3]
    assert [t["retry_reason"] for t in tries] == ["", "timeout", "timeout", "timeout"]
    assert len({t["envelope_id"] for t in tries}) == 4
    assert len({t["payload"]["event_id"] for t in tries}) == 1
    await server.settled()
    assert len(server.unacked) == 3
    [again] = server.redeliver()
    assert (await heard(socket))["payload"] == tries[0]["payload"]
    await server.wait_for(lambda: again.acked)


async def test_an_event_that_nobody_acknowledges_is_given_up(server, dm, ada, socket):
    await dm.say(ada, "hello")
    for _ in range(4):
        await heard(socket, ack=False)
    await server.settled()
    assert (server.deliveries.all[0].given_up, server.problems) == (True, [])


async def test_an_unknown_acknowledgement_is_a_problem(server, socket):
    await socket.send_json({"envelope_id": "made-up"})
    await server.wait_for(lambda: server.problems)
    assert "unknown envelope" in server.problems[0]


async def test_a_cut_socket_loses_nothing(server, dm, ada, http, socket):
    await dm.say(ada, "hello")
    await heard(socket, ack=False)
    await server.sockets.drop()
    again = await connect(http, server)
    envelope = await heard(again)
    assert envelope["payload"]["event"]["text"] == "hello"
    assert envelope["retry_attempt"] == 1
    await again.close()


async def test_each_event_goes_to_one_of_several_sockets(server, dm, ada, http, socket):
    other = await connect(http, server)
    for text in ("one", "two"):
        await dm.say(ada, text)
    found = {(await heard(ws))["payload"]["event"]["text"] for ws in (socket, other)}
    assert found == {"one", "two"}
    await other.close()


async def test_a_socket_says_goodbye_before_it_closes(server, socket):
    closing = asyncio.create_task(server.sockets.disconnect("refresh_requested", grace=0.01))
    assert (await socket.receive_json())["reason"] == "refresh_requested"
    assert (await socket.receive()).type == WSMsgType.CLOSE
    await closing


async def test_a_warning_leaves_the_socket_open_for_a_while(server, dm, ada, socket):
    closing = asyncio.create_task(server.sockets.disconnect("warning", grace=0.2))
    assert (await socket.receive_json())["reason"] == "warning"
    await dm.say(ada, "hello")
    assert [e["text"] for e in await events(socket, 1)] == ["hello"]
    await closing


async def test_the_eleventh_socket_is_sent_away(server, http):
    several = [await connect(http, server) for _ in range(10)]
    opened = await asked(http, server, "apps.connections.open", {}, APP_TOKEN)
    ws = await http.ws_connect(opened["url"])
    assert (await ws.receive_json())["reason"] == "too_many_websockets"
    for socket in several:
        await socket.close()


async def test_what_waits_is_delivered_after_the_platform_came_back(http):
    async with SlackServer() as server:
        url, ada = server.url, server.person("U1", "Ada")
        await server.private(ada).say(ada, "hello")
    async with server:
        assert server.url == url
        ws = await connect(http, server)
        assert [e["text"] for e in await events(ws, 1)] == ["hello"]
        await ws.close()
        await server.settled()


async def test_group_messages_and_older_assistants_have_their_own_events(server, dm, ada, socket):
    together = server.group_dm([ada, server.person("U2", "Bob")])
    await together.say(ada, "hi", mention=True)
    root = await dm.start_thread(ada)
    await dm.say(ada, "hello", thread=root)
    found = await events(socket, 5)
    assert [(e["type"], e.get("channel_type")) for e in found] == [
        ("app_mention", None),
        ("message", "mpim"),
        ("message", "im"),
        ("assistant_thread_started", None),
        ("message", "im"),
    ]
    assert found[3]["assistant_thread"]["thread_ts"] == found[4]["thread_ts"] == root.ts


async def test_the_rate_of_events_and_raw_events_come_through(server, socket):
    server.rate_limit_events()
    server.push({"type": "app_context_changed", "context": {}})
    limited, raw = [(await heard(socket))["payload"] for _ in range(2)]
    assert (limited["type"], raw["event"]["type"]) == ("app_rate_limited", "app_context_changed")


async def test_a_deaf_socket_answers_no_ping(server, http, dm, ada):
    opened = await asked(http, server, "apps.connections.open", {}, APP_TOKEN)
    ws = await http.ws_connect(opened["url"], autoping=False)
    await ws.receive_json()
    await ws.ping(b"one")
    assert (await ws.receive()).data == b"one"
    server.sockets.deaf()
    await ws.ping(b"two")
    await dm.say(ada, "hello")
    await server.settled()
    assert len(server.unacked) == 4
    await server.sockets.drop()
    assert (await ws.receive()).type in (WSMsgType.CLOSED, WSMsgType.ERROR, WSMsgType.CLOSE)


async def test_a_ticket_opens_once(server, http):
    opened = await asked(http, server, "apps.connections.open", {}, APP_TOKEN)
    ws = await http.ws_connect(opened["url"])
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await http.ws_connect(opened["url"])
    await ws.close()


async def test_a_slash_command_is_answered_in_three_ways(server, general, ada, socket, http):
    sent = await general.slash(ada, "/pieria", "help me")
    envelope = await heard(socket, ack=False)
    assert (envelope["payload"]["command"], envelope["payload"]["text"]) == ("/pieria", "help me")
    await socket.send_json({"envelope_id": envelope["envelope_id"], "payload": {"text": "one"}})
    await server.wait_for(lambda: sent.acked)
    for body in ({"text": "two"}, {"text": "three", "response_type": "in_channel"}):
        async with http.post(sent.response_url, json=body) as reply:
            assert await reply.text() == "ok"
    assert [m.text for m in general.whispers] == ["one", "two"]
    assert [m.text for m in general.answers] == ["three"]
    for _ in range(3):
        await http.post(sent.response_url, json={"text": "more"})
    async with http.post(sent.response_url, json={"text": "too much"}) as reply:
        assert reply.status == 404


async def test_a_press_carries_what_the_button_has(server, call, general, ada, socket):
    button = {"type": "button", "text": {"type": "plain_text", "text": "Go"}, "action_id": "go", "value": "v"}
    blocks = [{"type": "actions", "block_id": "row", "elements": [button]}]
    sent = await call("chat.postMessage", channel="C1", text="x", blocks=blocks)
    await heard(socket)
    press = await general.press(ada, "Go")
    envelope = await heard(socket)
    payload = envelope["payload"]
    assert (envelope["type"], payload["type"], payload["container"]["message_ts"]) == (
        "interactive",
        "block_actions",
        sent["ts"],
    )
    [action] = payload["actions"]
    assert (action["action_id"], action["block_id"], action["value"]) == ("go", "row", "v")
    await server.wait_for(lambda: press.acked)
    unheard = await general.press(ada, "Go")
    await heard(socket, ack=False)
    await server.wait_for(lambda: unheard.failed)


# Limits and failures


async def test_tiers_are_counted_by_method(server, http, call, dm, ada):
    root = await dm.say(ada, "x")
    server.limits = Limits(methods={"reactions.add": 2})
    where = {"channel": dm.id, "timestamp": root.ts}
    await call("reactions.add", **where, name="one")
    await call("reactions.add", **where, name="two")
    head = {"Authorization": f"Bearer {BOT_TOKEN}"}
    async with http.post(server.url + "reactions.add", data=where | {"name": "three"}, headers=head) as reply:
        assert (reply.status, (await reply.json())["error"]) == (429, "ratelimited")
        assert 1 <= int(reply.headers["Retry-After"]) <= 60
    assert server.flooded == 1
    server.limits = False
    await call("reactions.add", **where, name="three")
    assert root.reactions == ["one", "two", "three"]
    assert await call("reactions.add", **where, name="three") == "already_reacted"


async def test_posts_have_their_pace_by_channel(server, call, dm, general):
    server.limits = True
    assert [await call("chat.postMessage", channel="C1", text="x") for _ in range(5)][-1] == "ratelimited"
    assert (await call("chat.postMessage", channel=dm.id, text="x"))["ts"]


async def test_failures_come_on_order(server, http, call, general):
    server.fail("chat.postMessage", error="restricted_action")
    assert await call("chat.postMessage", channel="C1", text="x") == "restricted_action"
    server.fail("chat.postMessage", status=429, retry_after=7)
    assert await call("chat.postMessage", channel="C1", text="x") == "ratelimited"
    for drop, seen in (("before", 0), ("after", 1)):
        server.fail("chat.postMessage", drop=drop)
        with pytest.raises(aiohttp.ClientError):
            await call("chat.postMessage", channel="C1", text="x")
        assert len(general.answers) == seen
    server.fail("*", garbled=True)
    with pytest.raises(ValueError):
        await call("chat.postMessage", channel="C1", text="x")
    server.fail("chat.update", status=503, times=2)
    head = {"Authorization": f"Bearer {BOT_TOKEN}"}
    async with http.post(server.url + "chat.update", headers=head) as reply:
        assert reply.status == 503
    server.fail("chat.update", proxy=True)
    async with http.post(server.url + "chat.update", headers=head) as reply:
        assert reply.status == 503
    async with http.post(server.url + "chat.update", headers=head) as reply:
        assert (reply.status, reply.content_type) == (502, "text/html")
    server.fail("download", status=500, times=2)
    async with http.get(server.origin + "/files-pri/T1-F1/download/a.txt") as reply:
        assert reply.status == 500
    server.heal()
    assert server.faults == []


async def test_after_an_uninstall_the_token_is_dead(server, call, socket):
    await server.uninstall()
    assert [e["type"] for e in await events(socket, 2)] == ["tokens_revoked", "app_uninstalled"]
    assert await call("auth.test") == "account_inactive"


# Signed HTTP


async def test_events_are_posted_with_a_signature_until_they_are_accepted(server, app, dm, ada):
    await server.deliver_http(app.url)
    app.statuses = [500]
    await dm.say(ada, "hello")
    await server.settled()
    (_, challenge), (head, body), (again, _) = app.got
    assert b"challenge" in challenge
    base = f"v0:{head['X-Slack-Request-Timestamp']}:".encode() + body
    assert head["X-Slack-Signature"] == "v0=" + hmac.new(SIGNING_SECRET.encode(), base, hashlib.sha256).hexdigest()
    assert SignatureVerifier(SIGNING_SECRET).is_valid_request(body, head)
    assert (again["X-Slack-Retry-Num"], again["X-Slack-Retry-Reason"]) == ("1", "http_error")


async def test_a_slow_program_is_asked_again(server, app, dm, ada):
    await server.deliver_http(app.url)
    app.delay = 0.5
    await dm.say(ada, "hello")
    await server.wait_for(lambda: server.unacked)
    app.delay = 0
    await server.settled()
    assert app.got[-1][0]["X-Slack-Retry-Reason"] == "http_timeout"


async def test_commands_and_presses_are_posted_as_forms(server, app, call, general, ada):
    await server.deliver_http(app.url)
    app.reply = b'{"text":"at once"}'
    await general.slash(ada, "/pieria", "help")
    await server.settled()
    assert parse_qs(app.got[-1][1].decode())["command"] == ["/pieria"]
    assert [m.text for m in general.whispers] == ["at once"]
    app.reply = b""
    button = {"type": "button", "text": {"type": "plain_text", "text": "Go"}}
    await call("chat.postMessage", channel="C1", text="x", blocks=[{"type": "actions", "elements": [button]}])
    await general.press(ada, "Go")
    await server.settled()
    form = parse_qs(app.got[-1][1].decode())
    assert msgspec.json.decode(form["payload"][0])["type"] == "block_actions"


async def test_forged_old_and_truncated_requests_can_be_posted(server, app):
    await server.deliver_http(app.url)
    payload = server.wrapped({"type": "message", "channel_type": "im"})
    await server.post_raw(payload)
    await server.post_raw(payload, secret="other")
    await server.post_raw(payload, age=600)
    await server.post_raw(payload, length=20)
    await server.post_raw(payload, signed=False)
    check = SignatureVerifier(SIGNING_SECRET)
    assert [check.is_valid_request(body, head) for head, body in app.got[1:]] == [True, False, False, False, False]


# Files and views


async def test_an_upload_takes_three_steps(server, http, call, dm, ada):
    root = await dm.say(ada, "draw")
    opened = await call("files.getUploadURLExternal", filename="game.html", length=5)
    files = [{"id": opened["file_id"], "title": "Game"}]
    assert await call("files.completeUploadExternal", files=files, channel_id=dm.id) == "file_not_found"
    async with http.post(opened["upload_url"], data=b"12345") as reply:
        assert (reply.status, await reply.text()) == (200, "OK - 5")
    await call("files.completeUploadExternal", files=files, channel_id=dm.id, thread_ts=root.ts, initial_comment="here")
    [answer] = dm.answers
    assert (answer.text, answer.thread, answer.files[0]["title"]) == ("here", root.ts, "Game")
    assert (await call("files.info", file=opened["file_id"]))["file"]["size"] == 5


async def test_a_home_is_published_and_pressed(server, call, dm, ada, socket):
    button = {"type": "button", "text": {"type": "plain_text", "text": "Forget me"}, "action_id": "forget"}
    view = {"type": "home", "blocks": [{"type": "actions", "elements": [button]}]}
    await call("views.publish", user_id=ada.id, view=view)
    server.interactions.press_home(ada, "Forget me")
    payload = (await heard(socket))["payload"]
    assert (payload["container"]["type"], payload["actions"][0]["action_id"]) == ("view", "forget")
    modal = {"type": "modal", "title": {"type": "plain_text", "text": "Sure?"}, "blocks": [{"type": "divider"}]}
    opened = await call("views.open", trigger_id=payload["trigger_id"], view=modal)
    assert server.modals[0][1]["id"] == opened["view"]["id"]
    assert await call("views.open", trigger_id=payload["trigger_id"], view=modal) == "exchanged_trigger_id"
    too_many = {"type": "home", "blocks": [{"type": "divider"}] * 101}
    assert await call("views.publish", user_id=ada.id, view=too_many) == "invalid_arguments"
    markdown = {"type": "home", "blocks": [{"type": "markdown", "text": "x"}]}
    assert await call("views.publish", user_id=ada.id, view=markdown) == "invalid_arguments"


# The real library


async def test_the_real_library_posts_streams_and_uploads(server, sdk, dm, ada):
    root = await dm.say(ada, "hello")
    await sdk.chat_postMessage(channel=dm.id, thread_ts=root.ts, text="one", blocks=[{"type": "divider"}])
    stream = await sdk.chat_stream(channel=dm.id, thread_ts=root.ts, buffer_size=4)
    for piece in ("two ", "three ", "four"):
        await stream.append(markdown_text=piece)
    await stream.append(chunks=[{"type": "task_update", "id": "t1", "title": "Search", "status": "in_progress"}])
    await stream.stop(session_status="active")
    await sdk.files_upload_v2(
        channel=dm.id, thread_ts=root.ts, content=b"abc", filename="a.txt", initial_comment="five"
    )
    assert [m.text for m in dm.answers] == ["———", "two three four\n\nSearch (in_progress)", "five"]
    with pytest.raises(SlackApiError, match="channel_not_found"):
        await sdk.chat_postMessage(channel="C9", text="x")
    assert server.problems == []


async def test_the_real_library_reconnects_when_it_is_asked_to(server, sdk, dm, ada):
    client = SocketModeClient(app_token=APP_TOKEN, web_client=sdk, ping_interval=1)
    got = []

    async def listen(client, request):
        got.append(request.payload["event"]["text"])
        await client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))

    client.socket_mode_request_listeners.append(listen)
    await client.connect()
    await dm.say(ada, "one")
    await server.settled()
    await server.sockets.disconnect("refresh_requested", grace=0.05)
    await server.wait_for(lambda: server.sockets.open)
    await dm.say(ada, "two")
    await server.settled()
    assert (got, server.problems, server.unacked) == (["one", "two"], [], [])
    await client.close()
