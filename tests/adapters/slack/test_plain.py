"""Servers that know a few of Slack's calls and tell no more than they must: what is answered there is read there, once."""

import contextlib
import itertools
import time

import msgspec
import pytest
from aiohttp import web

from adapters.chat.slack.checks import check
from adapters.chat.slack.events import payload
from core.errors import ChatBusy, ChatUnreachable
from core.messages import ChatRef, Partial, Reply
from tests.adapters.slack.bench import Engine, adapter, session
from tests.conftest import wait_until

DM = ChatRef("slack", "T1", "D1", "10.1", private=True)
SECRET = "plain"


class Plain:
    """Keeps what was posted; `prefix` is where its methods stand, `told` what auth.test tells besides."""

    def __init__(self, *, prefix="/api", known=("chat.postMessage",), stamps=True, drop=0, busy=False, **told):
        self.prefix = prefix
        self.known = {"auth.test", *known}
        self.stamps = stamps
        self.drop = drop
        self.busy = busy
        self.told = {"team_id": "T1"} | told
        self.said = {}
        self.asked = []
        self.url = ""
        self._count = itertools.count(101)

    @contextlib.asynccontextmanager
    async def open(self):
        app = web.Application()
        app.add_routes([web.route("*", self.prefix + "/{method}", self._call)])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def wait_for(self, fact):
        return await wait_until(fact)

    async def _call(self, request):
        method = request.match_info["method"]
        given = dict(request.query) or (await request.json() if request.can_read_body else {})
        self.asked.append((method, given))
        if self.busy and method != "auth.test":
            self.busy = False
            return web.json_response({"ok": False, "error": "ratelimited"}, headers={"Retry-After": "7"})
        if method not in self.known:
            return web.json_response({"ok": False, "error": "unknown_method"})
        match method:
            case "auth.test":
                return web.json_response({"ok": True, "user": "bot", "user_id": "UBOT"} | self.told)
            case "conversations.replies":
                said = [{"user": "UBOT", "ts": ts, "text": text} for ts, text in self.said.items()]
                return web.json_response(
                    {"ok": True, "messages": [m for m in said if m["ts"] >= given.get("oldest", "")]}
                )
            case "chat.update" | "chat.appendStream":
                self.said[given["ts"]] = given.get("text") or self.said[given["ts"]] + given["markdown_text"]
                return web.json_response({"ok": True})
        ts = f"{next(self._count)}.1"
        self.said[ts] = given.get("text") or given["markdown_text"]
        if self.drop:
            self.drop -= 1
            request.transport.abort()
        return web.json_response({"ok": True} | ({"ts": ts} if self.stamps else {}))


@contextlib.asynccontextmanager
async def served(notes, engine=None, **how):
    async with (
        Plain(**how).open() as plain,
        adapter(plain, notes, engine, app_token="", signing_secret=SECRET) as slack,
    ):
        yield plain, slack


REPLY = Reply("t", DM, "hello there", at=int(time.time() * 1000))


async def send(slack, edit=""):
    (part,) = slack.parts(REPLY)
    return await slack.send(REPLY, part, key="t:0", edit=edit, last=True)


@pytest.mark.parametrize("prefix", ["", "/api"])
async def test_methods_are_found_below_an_address_without_a_path(notes, prefix):
    async with served(notes, prefix=prefix) as (plain, slack):
        await send(slack)
        assert list(plain.said.values()) == ["hello there"]
        async with session() as shared:
            assert "@bot" in await check("xoxb-test", "", shared, plain.url)


@pytest.mark.parametrize("team", [b"T1", b"T9"])
async def test_a_workspace_without_an_id_is_served_under_its_name(notes, team):
    engine = Engine()
    async with served(notes, engine, team_id="", team="Acme") as (_, slack):
        assert slack.space == "Acme"
        await slack._receive(
            payload(
                b'{"type":"event_callback","team_id":"%b","event_id":"Ev1","event":{"type":"message","ts":"10.1",'
                b'"channel_type":"im","channel":"D1","user":"U1","text":"hello"}}' % team
            )
        )
    assert engine.texts == ["hello"]


async def test_a_send_in_doubt_is_found_by_its_words_where_nothing_has_metadata(notes):
    async with served(notes, drop=1, known=("chat.postMessage", "conversations.replies")) as (plain, slack):
        with pytest.raises(ChatUnreachable) as caught:
            await send(slack)
        assert caught.value.arrived
        assert await slack.find(REPLY, "t:0") == "101.1"
        assert await slack.find(msgspec.structs.replace(REPLY, text="something else"), "t:0") == ""
    assert list(plain.said) == ["101.1"]


async def test_a_message_without_an_id_is_sent_all_the_same(notes):
    async with served(notes, stamps=False) as (plain, slack):
        assert await send(slack)
    assert list(plain.said.values()) == ["hello there"]


async def test_a_wait_that_comes_with_status_200_is_kept(notes):
    async with served(notes, busy=True) as (_, slack):
        with pytest.raises(ChatBusy) as caught:
            await send(slack)
    assert caught.value.retry_after == 7


@pytest.mark.parametrize("streams", [("chat.startStream",), ("chat.startStream", "chat.appendStream")])
async def test_a_stream_that_cannot_be_ended_is_edited_and_no_other_begins(notes, streams):
    async with served(notes, known=("chat.postMessage", "chat.update", *streams)) as (plain, slack):
        shown = ""
        for text in ("hello ", "hello the", "hello there "):
            shown = await slack.preview(Partial("t", DM, 1, text, reply_to="10.1"), shown)
        assert await send(slack, edit=shown) == shown
        assert list(plain.said.values()) == ["hello there"]
        await slack.preview(Partial("u", DM, 1, "and more "), "")
    assert [method for method, _ in plain.asked].count("chat.startStream") == 1


async def test_a_stream_without_an_id_is_the_last(notes):
    async with served(notes, stamps=False, known=("chat.startStream", "chat.postMessage")) as (plain, slack):
        await slack.preview(Partial("t", DM, 1, "hello ", reply_to="10.1"), "")
        await slack.preview(Partial("u", DM, 1, "hello ", reply_to="10.1"), "")
    assert [method for method, _ in plain.asked].count("chat.startStream") == 1


async def test_where_nothing_can_be_edited_nothing_is_shown_before_it_is_whole(notes):
    async with served(notes) as (plain, slack):
        shown = await slack.preview(Partial("t", DM, 1, "hel ", reply_to="10.1"), "")
        assert await send(slack, edit=shown) != shown
        assert await slack.preview(Partial("u", DM, 1, "hel ", reply_to="10.1"), "") == ""
    assert list(plain.said.values()) == ["hel ", "hello there"]
