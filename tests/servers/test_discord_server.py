"""The Discord server keeps its own promises; most tests speak plain HTTP and websockets to it, some through discord.py."""

import asyncio
import contextlib
import io
import zlib

import aiohttp
import discord
import msgspec
import pytest
import yarl

from tests.servers import specs
from tests.servers.discord import TOKEN, DiscordServer
from tests.servers.discord_api.limits import FREE, Limits
from tests.servers.discord_api.messages import V2

INTENTS = 46593
HEADERS = {"Authorization": f"Bot {TOKEN}", "User-Agent": "DiscordBot (https://example.org, 1.0)"}
SEND = "POST /channels/{id}/messages"
STOP = {"type": 1, "components": [{"type": 2, "style": 4, "label": "Stop", "custom_id": "stop:1"}]}


@pytest.fixture
async def http():
    async with aiohttp.ClientSession(headers=HEADERS) as session:
        yield session


@pytest.fixture
async def server():
    async with DiscordServer(limits=FREE) as running:
        yield running


@pytest.fixture
def ada(server):
    return server.person(1001, "Ada")


@pytest.fixture
def bob(server):
    return server.person(1002, "Bob")


@pytest.fixture
def guild(server, ada, bob):
    return server.guild(900, "Garden", owner=ada, members=[bob])


@pytest.fixture
def general(guild):
    return guild.channel(50, "general")


@pytest.fixture
def chat(server, ada):
    return server.private(ada)


@pytest.fixture
def call(http, server):
    async def send(method, path, body=None, **more):
        return await asked(http, server, method, path, body, **more)

    return send


@pytest.fixture
def say(call):
    async def send(channel, **body):
        return await call("POST", f"/channels/{channel.id}/messages", body)

    return send


async def asked(http, server, method, path, body=None, **more):
    async with http.request(method, server.url + path, json=body, **more) as reply:
        assert reply.headers["Via"]
        if reply.status == 204:
            assert "application/json" not in reply.headers.get("Content-Type", "")
            return None
        assert reply.headers["Content-Type"] == "application/json"
        told = await reply.json()
        return told if reply.status < 300 else (reply.status, told)


def code_of(answer):
    status, body = answer
    return status, body["code"]


class Client:
    """A bare client of the gateway that says only what it is told to say."""

    def __init__(self, http, url, compress=None):
        query = {"v": "10", "encoding": "json"} | ({"compress": compress} if compress else {})
        self._connecting = http.ws_connect(url, params=query, autoping=True)
        self._inflate = zlib.decompressobj()
        self.frames = 0

    async def __aenter__(self):
        self.socket = await self._connecting
        return self

    async def __aexit__(self, *error):
        await self.socket.close()

    async def send(self, op, body):
        await self.socket.send_str(msgspec.json.encode({"op": op, "d": body}).decode())

    async def hear(self):
        data = b""
        while True:
            message = await asyncio.wait_for(self.socket.receive(), 5)
            if message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
                return {"closed": self.socket.close_code}
            if message.type is aiohttp.WSMsgType.TEXT:
                return msgspec.json.decode(message.data)
            self.frames += 1
            data += message.data
            if data.endswith(b"\x00\x00\xff\xff"):
                return msgspec.json.decode(self._inflate.decompress(data))

    async def identify(self, intents=INTENTS, token=TOKEN, **more):
        assert (await self.hear())["op"] == 10
        properties = {"os": "linux", "browser": "b", "device": "d"}
        await self.send(2, {"token": token, "intents": intents, "properties": properties} | more)
        return await self.hear()

    async def resume(self, ready, seq):
        assert (await self.hear())["op"] == 10
        await self.send(6, {"token": TOKEN, "session_id": ready["d"]["session_id"], "seq": seq})

    async def until(self, event):
        """What comes up to an event."""
        heard = []
        while not heard or heard[-1]["t"] != event:
            heard.append(await self.hear())
        return heard


@contextlib.asynccontextmanager
async def through_a_library(server, **hooks):
    """A real discord.py client, logged in; `hooks` are its events."""
    before = discord.http.Route.BASE, discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY
    discord.http.Route.BASE = server.url
    discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(server.gateway_url)
    client = discord.AutoShardedClient(intents=discord.Intents(INTENTS), guild_ready_timeout=0.1)

    async def at_once(*_, **__):
        """Identify without the library's five seconds."""

    client.before_identify_hook = at_once
    for name, hook in hooks.items():
        setattr(client, name, hook)
    running = asyncio.create_task(client.start(TOKEN))
    try:
        await server.connected()
        await client.wait_until_ready()
        yield client
    finally:
        await client.close()
        await running
        discord.http.Route.BASE, discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = before


async def test_a_stranger_is_refused_and_counted(server, http, call):
    assert (await call("GET", "/users/@me"))["bot"]
    assert await call("GET", "/users/@me", headers={"Authorization": "Bot wrong"}) == (
        401,
        {"message": "401: Unauthorized", "code": 0},
    )
    assert server.invalid == 1
    async with http.get(f"{server.url}/users/@me", skip_auto_headers=["User-Agent"], headers={"User-Agent": ""}) as no:
        assert (no.status, "Via" in no.headers) == (403, False)
    assert server.problems == ["GET /users/@me: no User-Agent"]


async def test_a_gateway_session_begins_with_its_guilds(server, http, general, guild):
    async with Client(http, server.gateway_url) as client:
        ready = await client.identify()
        assert (ready["t"], ready["s"], ready["d"]["guilds"]) == ("READY", 1, [{"id": "900", "unavailable": True}])
        created = await client.hear()
        assert (created["t"], created["d"]["id"], created["d"]["owner_id"]) == ("GUILD_CREATE", "900", "1001")
        assert [c["id"] for c in created["d"]["channels"]] == ["50"]
        assert [m["user"]["id"] for m in created["d"]["members"]] == [str(server.bot.id)]
        await client.send(1, 2)
        assert (await client.hear())["op"] == 11


async def test_compressed_frames_are_one_stream(server, http, guild, ada):
    guild.channel(51, "x" * 100)
    for number in range(60):
        guild.role(f"role {number} {'abcdefghij' * (number % 7)}")
    async with Client(http, server.gateway_url, "zlib-stream") as client:
        assert (await client.identify())["t"] == "READY"
        assert (await client.hear())["t"] == "GUILD_CREATE"
        assert client.frames > 2
        chat = server.private(ada)
        await chat.say(ada, "hello")
        assert (await client.hear())["d"]["content"] == "hello"


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"token": "wrong"}, 4004),
        ({"intents": 1 << 30}, 4013),
        ({"intents": INTENTS | 2}, 4014),
        ({"shard": [2, 2]}, 4010),
        ({"properties": {}}, 4002),
    ],
)
async def test_a_bad_identify_closes_the_connection(server, http, asked, code):
    async with Client(http, server.gateway_url) as client:
        assert await client.identify(**asked) == {"closed": code}
    assert server.gateway.closed_with == [code]


async def test_message_content_must_be_switched_on_in_the_portal(http):
    async with DiscordServer(message_content=False) as server:
        async with Client(http, server.gateway_url) as client:
            assert await client.identify() == {"closed": 4014}
        async with Client(http, server.gateway_url) as client:
            assert (await client.identify(13825))["t"] == "READY"


async def test_another_version_an_early_word_and_garbage_close_the_connection(server, http):
    async with http.ws_connect(f"{server.gateway_url}?v=9&encoding=json") as socket:
        assert (await socket.receive()).data == 4012
    async with Client(http, server.gateway_url) as client:
        await client.hear()
        await client.send(3, {})
        assert await client.hear() == {"closed": 4003}
    async with Client(http, server.gateway_url) as client:
        await client.hear()
        await client.socket.send_str("{")
        assert await client.hear() == {"closed": 4002}


async def test_a_client_without_heartbeats_is_dropped(http):
    async with DiscordServer(heartbeat=0.1) as server, Client(http, server.gateway_url) as client:
        assert (await client.identify())["t"] == "READY"
        assert await client.hear() == {"closed": 4009}
        assert [p for p in server.problems if "no heartbeat" in p]
        assert not server.gateway.sessions


async def test_a_resumed_session_hears_what_it_missed(server, http, chat, ada):
    async with Client(http, server.gateway_url) as client:
        ready = await client.identify()
        await chat.say(ada, "one")
        heard = await client.hear()
        async with server.gateway.away():
            await chat.say(ada, "two")
        await chat.say(ada, "three")
    async with Client(http, ready["d"]["resume_gateway_url"]) as client:
        await client.resume(ready, heard["s"])
        missed = await client.until("RESUMED")
        assert [m["d"].get("content") for m in missed] == ["two", "three", None]
        assert [m["s"] for m in missed] == [3, 4, 5]
        server.redeliver()
        assert (await client.hear())["s"] == 5
    assert server.problems == []


async def test_a_session_that_was_left_or_forgotten_is_not_resumed(server, http, chat, ada):
    async with Client(http, server.gateway_url) as client:
        ready = await client.identify()
    async with Client(http, server.resume_url) as client:  # the first one ended with 1000
        await client.resume(ready, 1)
        assert (await client.hear())["op"] == 9
        await client.send(2, {"token": TOKEN, "intents": 1, "properties": {"os": "", "browser": "", "device": ""}})
        again = await client.hear()
        await server.gateway.drop()
    server.gateway.forgetful = True
    async with Client(http, server.resume_url) as client:
        await client.resume(again, 1)
        assert await client.hear() == {"op": 9, "d": False, "s": None, "t": None}


async def test_a_sequence_that_never_was_is_refused(server, http):
    async with Client(http, server.gateway_url) as client:
        ready = await client.identify()
        await server.gateway.drop()
    async with Client(http, server.gateway_url) as client:
        await client.resume(ready, 99)
        assert await client.hear() == {"closed": 4007}
    assert server.problems == ["gateway: RESUME did not come to resume_gateway_url"]


async def test_the_server_can_ask_to_reconnect_invalidate_close_and_go_deaf(server, http):
    async with Client(http, server.gateway_url) as client:
        await client.identify()
        await server.gateway.reconnect()
        assert (await client.hear())["op"] == 7
        await server.gateway.invalidate(resumable=True)
        assert (await client.hear())["d"] is True
        await server.gateway.invalidate()
        assert (await client.hear())["d"] is False
        assert not server.gateway.sessions
        server.push("nonsense")
        assert (await client.socket.receive()).data == "nonsense"
        server.gateway.deaf()
        await client.send(1, None)
        await server.wait_for(lambda: server.gateway.heartbeats)
        _, heard = await asyncio.gather(server.gateway.close(4000), client.hear())
        assert heard == {"closed": 4000}


async def test_identifies_are_paced(http):
    async with DiscordServer(limits=Limits(identify_seconds=60.0, identifies=3)) as server:
        async with Client(http, server.gateway_url) as client:
            assert (await client.identify())["t"] == "READY"
        async with Client(http, server.gateway_url) as client:
            assert (await client.identify())["op"] == 9
        start = (await asked(http, server, "GET", "/gateway/bot"))["session_start_limit"]
        assert (start["total"], start["remaining"], start["max_concurrency"]) == (3, 1, 1)


async def test_shards_share_the_guilds_and_the_first_has_the_direct_messages(http):
    async with DiscordServer(shards=2, max_concurrency=2) as server:
        ada = server.person(1001, "Ada")
        far = server.guild(1 << 22, "Far", owner=ada).channel(50, "general")
        async with Client(http, server.gateway_url) as first, Client(http, server.gateway_url) as second:
            assert (await first.identify(shard=[0, 2]))["d"]["guilds"] == []
            assert (await second.identify(shard=[1, 2]))["d"]["shard"] == [1, 2]
            assert (await second.hear())["t"] == "GUILD_CREATE"
            await far.say(ada, "far")
            await server.private(ada).say(ada, "near")
            assert (await first.hear())["d"]["content"] == "near"
            assert (await second.hear())["d"]["content"] == "far"


async def test_only_what_was_asked_for_is_told(server, http, general, chat, ada):
    async with Client(http, server.gateway_url) as client:
        await client.identify(1 << 12)  # direct messages and nothing else
        await general.say(ada, "in the guild")
        message = await chat.say(ada, "in private")
        await chat.react(ada, message, "👍")
        await chat.say(ada, "again")
        assert [(await client.hear())["d"]["content"] for _ in range(2)] == ["in private", "again"]


async def test_without_the_content_intent_strangers_words_are_empty(server, http, general, chat, ada, bob, say):
    async with Client(http, server.gateway_url) as client:
        await client.identify(INTENTS & ~(1 << 15))
        await client.until("GUILD_CREATE")
        await general.say(ada, "secret", files=[("a.txt", b"a")])
        await general.say(ada, "hello", mention=True)
        mine = await say(general, content="mine")
        await general.say(bob, "answer", reply_to=general.by_id[int(mine["id"])])
        await chat.say(ada, "private")
        heard = [await client.hear() for _ in range(5)]
        assert [m["d"]["content"] for m in heard] == ["", f"<@{server.bot.id}> hello", "mine", "answer", "private"]
        assert heard[0]["d"]["attachments"] == []
        assert "user" not in heard[0]["d"]["member"]
        assert heard[0]["d"]["guild_id"] == "900"
        assert "channel_type" not in heard[0]["d"]
        assert heard[4]["d"]["channel_type"] == 1
        assert heard[3]["d"]["referenced_message"]["content"] == "mine"


async def test_an_empty_bucket_refuses_and_says_for_how_long(http):
    async with DiscordServer(limits=Limits(messages=(2, 60.0))) as server:
        ada = server.person(1001, "Ada")
        chat, path = server.private(ada), f"/channels/{server.private(ada).id}/messages"
        for left in ("1", "0"):
            async with http.post(server.url + path, json={"content": "x"}) as reply:
                assert (reply.status, reply.headers["X-RateLimit-Remaining"]) == (200, left)
                assert reply.headers["X-RateLimit-Limit"] == "2"
        async with http.post(server.url + path, json={"content": "x"}) as reply:
            told = await reply.json()
            assert (reply.status, reply.headers["X-RateLimit-Scope"], told["global"]) == (429, "user", False)
            assert 59 < told["retry_after"] <= 60
            assert reply.headers["Retry-After"] == "60"
        assert server.invalid == 1
        assert len(chat.answers) == 2
        other = server.private(server.person(1002, "Bob"))
        await asked(http, server, "POST", f"/channels/{other.id}/messages", {"content": "x"})
        assert len(other.answers) == 1


async def test_too_many_calls_of_all_kinds_are_refused(http):
    async with DiscordServer(limits=Limits(per_second=3)) as server:
        answers = [await asked(http, server, "GET", f"/users/{server.bot.id}") for _ in range(4)]
        status, told = answers[-1]
        assert (status, told["global"]) == (429, True)


async def test_the_same_nonce_is_the_same_message(server, chat, say):
    first = await say(chat, content="once", nonce="a", enforce_nonce=True)
    again = await say(chat, content="twice", nonce="a", enforce_nonce=True)
    assert (again["id"], again["content"], again["nonce"]) == (first["id"], "once", "a")
    await say(chat, content="free", nonce="a")
    assert [m.content for m in chat.answers] == ["once", "free"]


def nested(answer):
    status, body = answer
    assert (status, body["code"]) == (400, 50035)
    return body["errors"]


async def test_what_is_too_long_or_empty_is_refused(server, chat, say):
    assert "content" in nested(await say(chat, content="x" * 2001))
    assert code_of(await say(chat, content=" ")) == (400, 50006)
    assert "nonce" in nested(await say(chat, content="x", nonce="n" * 26))
    await say(chat, content="x", bogus=1)
    assert any("no field bogus" in problem for problem in server.problems)
    assert [m.content for m in chat.answers] == ["x"]
    assert len([p for p in server.problems if "50006" in p]) == 1


def text(words):
    return {"type": 10, "content": words}


async def test_components_of_the_second_version_have_their_own_rules(server, chat, say):
    assert "components" in nested(await say(chat, components=[text("no flag")]))
    assert "content" in nested(await say(chat, flags=V2, content="x", components=[text("y")]))
    assert "components" in nested(await say(chat, flags=V2, components=[text("x" * 2001), text("y" * 2000)]))
    assert "components" in nested(await say(chat, flags=V2, components=[text("x")] * 41))
    inner = [{"type": 17, "components": [text("x")] * 20}, {"type": 17, "components": [text("x")] * 20}]
    assert "components" in nested(await say(chat, flags=V2, components=inner))  # 42: containers count
    twice = {"type": 1, "components": STOP["components"] * 2}
    assert "components" in nested(await say(chat, flags=V2, components=[twice]))
    long = {"type": 1, "components": [STOP["components"][0] | {"custom_id": "x" * 101}]}
    assert "components" in nested(await say(chat, components=[long]))
    assert not chat.answers
    told = await say(chat, flags=V2, components=[{"type": 17, "components": [text("**a**"), text("b")]}, STOP])
    assert [c["id"] for c in told["components"]] == [1, 4]
    [answer] = chat.answers
    assert (answer.text, answer.content, answer.flags) == ("**a**\nb", "", V2)
    assert answer.buttons[0][0]["label"] == "Stop"


async def test_a_message_turns_to_the_second_version_once_and_for_good(server, call, chat, say):
    path = f"/channels/{chat.id}/messages/{(await say(chat, content='plain'))['id']}"
    v2 = {"flags": V2, "components": [text("rich")]}
    assert "content" in nested(await call("PATCH", path, v2))
    assert (await call("PATCH", path, v2 | {"content": None, "embeds": []}))["content"] == ""
    assert "content" in nested(await call("PATCH", path, {"content": "back"}))
    assert "flags" in nested(await call("PATCH", path, {"flags": 0, "components": [text("x")]}))
    await call("PATCH", path, {"components": [text("richer")]})
    assert chat.answers[0].states == ["plain", "rich", "richer"]


async def test_files_travel_in_forms_and_come_back_from_the_cdn(server, http, chat, ada, call):
    form = aiohttp.FormData()
    about = {"content": "see", "attachments": [{"id": 0, "filename": "a.html", "description": "a page"}]}
    form.add_field("payload_json", msgspec.json.encode(about).decode(), content_type="application/json")
    form.add_field("files[0]", b"<b>", filename="a.html", content_type="text/html")
    async with http.post(f"{server.url}/channels/{chat.id}/messages", data=form) as reply:
        [attachment] = (await reply.json())["attachments"]
    assert (attachment["filename"], attachment["size"], attachment["description"]) == ("a.html", 3, "a page")
    assert chat.answers[0].files[0].data == b"<b>"
    sent = await chat.say(ada, "", files=[("b.txt", b"bytes", "text/plain")])
    async with aiohttp.ClientSession() as stranger:
        async with stranger.get(sent.files[0].url) as reply:
            assert await reply.read() == b"bytes"
        async with stranger.get(sent.files[0].url.partition("?")[0]) as reply:
            assert reply.status == 404
    assert server.problems == []
    lost = aiohttp.FormData()
    lost.add_field("payload_json", '{"attachments": []}', content_type="application/json")
    lost.add_field("files[0]", b"x", filename="x")
    async with http.post(f"{server.url}/channels/{chat.id}/messages", data=lost) as reply:
        assert "attachments" in (await reply.json())["errors"]


async def test_a_file_over_ten_mebibytes_is_refused(server, http, chat):
    form = aiohttp.FormData()
    form.add_field("payload_json", "{}", content_type="application/json")
    form.add_field("files[0]", io.BytesIO(b"x" * (10 * 2**20 + 1)), filename="big")
    async with http.post(f"{server.url}/channels/{chat.id}/messages", data=form) as reply:
        assert (reply.status, (await reply.json())["code"]) == (413, 40005)


async def test_replies_name_a_message_that_stands(server, chat, ada, say):
    asked_ = await chat.say(ada, "question")
    told = await say(chat, content="answer", message_reference={"message_id": str(asked_.id)})
    assert (told["type"], told["referenced_message"]["content"]) == (19, "question")
    assert chat.answers[0].reply_to is asked_
    await chat.delete(asked_)
    reference = {"message_id": str(asked_.id)}
    assert "message_reference" in nested(await say(chat, content="late", message_reference=reference))
    told = await say(chat, content="late", message_reference=reference | {"fail_if_not_exists": False})
    assert told["type"] == 0


async def test_whom_a_message_notifies_is_recorded(server, general, ada, bob, say):
    asked_ = await general.say(ada, "question")
    reference = {"message_id": str(asked_.id)}
    nobody = {"parse": [], "replied_user": False}
    words = f"@everyone {bob.mention} `{ada.mention}`"
    await say(general, content=words, message_reference=reference, allowed_mentions=nobody)
    assert server.pings == []
    await say(general, content=words, message_reference=reference)
    assert server.pings[0].mentions == [bob, ada]
    assert not server.pings[0].everyone  # the bot has not the right
    both = {"parse": ["users"], "users": ["1001"]}
    assert "allowed_mentions" in nested(await say(general, content="x", allowed_mentions=both))


async def test_a_bot_edits_and_deletes_its_own_messages_only(server, general, ada, call, say):
    hers, mine = await general.say(ada, "hers"), await say(general, content="mine")
    path = f"/channels/{general.id}/messages"
    assert code_of(await call("PATCH", f"{path}/{hers.id}", {"content": "x"})) == (403, 50005)
    assert code_of(await call("DELETE", f"{path}/{hers.id}")) == (403, 50013)
    assert code_of(await call("PATCH", f"{path}/{mine['id']}", {"content": ""})) == (400, 50006)
    assert (await call("PATCH", f"{path}/{mine['id']}", {"content": "new"}))["edited_timestamp"]
    await call("DELETE", f"{path}/{mine['id']}")
    assert code_of(await call("GET", f"{path}/{mine['id']}")) == (404, 10008)
    assert code_of(await call("GET", "/channels/1")) == (404, 10003)
    assert general.answers == []


async def test_the_bot_may_only_what_it_was_given(server, guild, general, chat, ada, call, say):
    general.deny("send_messages", "add_reactions")
    assert code_of(await say(general, content="x")) == (403, 50013)
    message = await general.say(ada, "hello")
    reaction = f"/channels/{general.id}/messages/{message.id}/reactions/%F0%9F%91%80/@me"
    assert code_of(await call("PUT", reaction)) == (403, 50013)
    general.allow("send_messages", "add_reactions")
    assert await call("PUT", reaction) is None
    assert message.reactions == {"👀": [server.bot]}
    general.deny("view_channel")
    assert code_of(await call("GET", f"/channels/{general.id}")) == (403, 50001)
    chat.closed = True
    assert code_of(await say(chat, content="x")) == (403, 50007)
    guild.remove_bot()
    assert code_of(await call("GET", "/guilds/900")) == (403, 50001)
    assert server.problems == []


async def test_threads_open_on_a_message_once(server, guild, general, ada, call, say):
    message = await general.say(ada, "a long question")
    path = f"/channels/{general.id}/messages/{message.id}/threads"
    assert "name" in nested(await call("POST", path, {"name": "x" * 101}))
    thread = await call("POST", path, {"name": "Topic", "auto_archive_duration": 1440})
    assert (thread["id"], thread["parent_id"], thread["type"]) == (str(message.id), "50", 11)
    assert code_of(await call("POST", path, {"name": "Topic"})) == (400, 160004)
    place = server.channels[message.id]
    told = await say(place, content="inside")
    assert place.answers[0].content == "inside"
    assert [t["id"] for t in (await call("GET", "/guilds/900/threads/active"))["threads"]] == [str(message.id)]
    place.archive()
    edit = f"/channels/{place.id}/messages/{told['id']}"
    assert code_of(await call("PATCH", edit, {"content": "x"})) == (400, 50083)
    await say(place, content="wakes it")
    assert not place.archived
    place.archive(locked=True)
    assert code_of(await say(place, content="x")) == (400, 50083)
    assert code_of(await call("POST", f"/channels/{place.id}/threads", {"name": "x", "type": 11})) == (400, 50024)


async def test_a_forum_takes_posts(server, guild, ada, call, say):
    forum = guild.forum(60, "help")
    assert code_of(await say(forum, content="x")) == (400, 50008)
    post = await call("POST", "/channels/60/threads", {"name": "Post", "message": {"content": "first"}})
    assert post["message"]["id"] == post["id"]
    hers = forum.thread("Question", by=ada, text="how?")
    assert hers.messages[0].id == hers.id
    await say(hers, content="so")
    assert [m.content for m in hers.answers] == ["so"]


async def test_history_is_read_from_either_end(server, chat, ada, call):
    said = [await chat.say(ada, str(n)) for n in range(5)]
    path = f"/channels/{chat.id}/messages"

    async def read(**query):
        return [m["content"] for m in await call("GET", path, params=query)]

    assert await read(limit=2) == ["4", "3"]
    assert await read(after=said[1].id, limit=2) == ["3", "2"]
    assert await read(before=said[1].id) == ["0"]
    assert await read(around=said[2].id, limit=3) == ["3", "2", "1"]


COMMANDS = [
    {
        "name": "ask",
        "description": "Ask",
        "options": [{"type": 3, "name": "prompt", "description": "What", "required": True}],
    },
    {"name": "Explain", "type": 3},
]


@pytest.fixture
async def commands(server, call):
    return await call("PUT", f"/applications/{server.bot.id}/commands", COMMANDS)


async def test_a_deferred_command_is_filled_in_later(server, http, general, bob, call, commands):
    async with Client(http, server.gateway_url) as client:
        await client.identify()
        await client.until("GUILD_CREATE")
        begun = await general.command(bob, "ask", {"prompt": "hey"})
        told = (await client.hear())["d"]
        assert told["data"]["options"] == [{"name": "prompt", "type": 3, "value": "hey"}]
        assert (told["member"]["user"]["id"], told["context"]) == ("1002", 0)
        back = f"/interactions/{begun.id}/{begun.token}/callback"
        hook = f"/webhooks/{server.bot.id}/{begun.token}"
        assert code_of(await call("PATCH", f"{hook}/messages/@original", {"content": "x"})) == (404, 10015)
        shown = await call("POST", back, {"type": 5}, params={"with_response": "true"})
        assert shown["resource"]["message"]["flags"] == 128
        assert code_of(await call("POST", back, {"type": 5})) == (400, 40060)
        assert general.answers == []
        await call("PATCH", f"{hook}/messages/@original", {"content": "answer"})
        more = await call("POST", hook, {"content": "for you", "flags": 64})
        assert [(m.content, m.ephemeral) for m in begun.shown] == [("answer", False), ("for you", True)]
        assert code_of(await call("GET", f"/channels/{general.id}/messages/{more['id']}")) == (404, 10008)
        events = [await client.hear() for _ in range(2)]
        assert [e["t"] for e in events] == ["MESSAGE_CREATE", "MESSAGE_UPDATE"]
        assert events[1]["d"]["webhook_id"] == str(server.bot.id)
        await call("DELETE", f"{hook}/messages/@original")
        assert begun.original.deleted


async def test_an_interaction_that_nobody_answers_is_a_problem(http):
    async with DiscordServer(answer_seconds=0.05) as server:
        ada = server.person(1001, "Ada")
        chat = server.private(ada)
        await asked(http, server, "PUT", f"/applications/{server.bot.id}/commands", COMMANDS)
        begun = await chat.command(ada, "ask", {"prompt": "hey"})
        await server.wait_for(lambda: server.problems)
        assert server.problems == ["interaction 'ask' was not answered within 0.05 s"]
        back = f"/interactions/{begun.id}/{begun.token}/callback"
        assert code_of(await asked(http, server, "POST", back, {"type": 5})) == (404, 10062)
        assert begun.failed


async def test_a_token_ends(http):
    async with DiscordServer(token_seconds=0.0) as server:
        ada = server.person(1001, "Ada")
        chat = server.private(ada)
        await asked(http, server, "PUT", f"/applications/{server.bot.id}/commands", COMMANDS)
        begun = await chat.command(ada, "ask", {"prompt": "hey"})
        await asked(http, server, "POST", f"/interactions/{begun.id}/{begun.token}/callback", {"type": 5})
        hook = f"/webhooks/{server.bot.id}/{begun.token}/messages/@original"
        assert code_of(await asked(http, server, "PATCH", hook, {"content": "x"})) == (401, 50027)


async def test_buttons_carry_their_message_and_are_answered_in_place(server, http, chat, ada, call, say):
    await say(chat, content="thinking", components=[STOP])
    async with Client(http, server.gateway_url) as client:
        await client.identify()
        begun = await chat.press(ada, "Stop")
        told = (await client.hear())["d"]
        assert (told["type"], told["data"]["custom_id"], told["user"]["id"]) == (3, "stop:1", "1001")
        assert told["message"]["components"][0]["components"][0]["label"] == "Stop"
    update = {"type": 7, "data": {"content": "stopped", "components": []}}
    await call("POST", f"/interactions/{begun.id}/{begun.token}/callback", update)
    assert (chat.answers[0].states, chat.answers[0].buttons) == (["thinking", "stopped"], [])
    with pytest.raises(AssertionError, match="no button"):
        await chat.press(ada, "Stop")


async def test_menus_dialogues_and_targets_are_told(server, http, chat, ada, call, say, commands):
    menu = {
        "type": 3,
        "custom_id": "pick",
        "options": [{"label": "Red", "value": "r"}, {"label": "Blue", "value": "b"}],
    }
    await say(chat, content="which?", components=[{"type": 1, "components": [menu]}])
    async with Client(http, server.gateway_url) as client:
        await client.identify()
        begun = await chat.choose(ada, ["Blue"])
        assert (await client.hear())["d"]["data"]["values"] == ["b"]
        field = {"type": 4, "custom_id": "why", "label": "Why?", "style": 1}
        dialogue = {"title": "Tell", "custom_id": "tell", "components": [{"type": 1, "components": [field]}]}
        back = f"/interactions/{begun.id}/{begun.token}/callback"
        await call("POST", back, {"type": 9, "data": dialogue})
        begun = await chat.submit(ada, begun, {"why": "because"})
        told = (await client.hear())["d"]
        assert (told["type"], told["data"]["components"][0]["components"][0]["value"]) == (5, "because")
        back = f"/interactions/{begun.id}/{begun.token}/callback"
        server.fail("POST /interactions/{id}/{token}/callback", drop="after")
        with pytest.raises(aiohttp.ClientError):
            await call("POST", back, {"type": 4, "data": {"content": "thanks", "flags": 64}})
        assert code_of(await call("POST", back, {"type": 6})) == (400, 40060)
        assert begun.shown[0].only_for is ada
        message = await chat.say(ada, "what is this?")
        await client.hear()
        begun = await chat.command(ada, "Explain", target=message)
        assert (await client.hear())["d"]["data"]["resolved"]["messages"][str(message.id)]["content"] == "what is this?"
        await call("POST", f"/interactions/{begun.id}/{begun.token}/callback", {"type": 5})
        original = "PATCH /webhooks/{app}/{token}/messages/@original"
        server.fail(original, status=500)
        hook = f"/webhooks/{server.bot.id}/{begun.token}"
        assert (await call("PATCH", f"{hook}/messages/@original", {"content": "x"}))[0] == 500
        told = await call("POST", hook, {"content": "in its place"})
        assert (begun.original.content, told["id"]) == ("in its place", str(begun.original.id))
        assert len(server.called(original)) == 1


async def test_failures_come_on_order(server, http, chat, say):
    server.fail(SEND, status=429, retry_after=0.5)
    assert (await say(chat, content="x"))[1]["retry_after"] == 0.5
    server.fail(SEND, code=50013)
    assert code_of(await say(chat, content="x")) == (403, 50013)
    path = f"{server.url}/channels/{chat.id}/messages"
    server.fail(SEND, cloudflare=True)
    async with http.post(path, json={"content": "x"}) as reply:
        assert (reply.status, "Via" in reply.headers, reply.content_type) == (429, False, "text/html")
    server.fail(SEND, status=502)
    async with http.post(path, json={"content": "x"}) as reply:
        assert (reply.status, reply.content_type) == (502, "text/html")
    server.fail(SEND, garbled=True)
    async with http.post(path, json={"content": "garbled"}) as reply:
        with pytest.raises(msgspec.DecodeError):
            msgspec.json.decode(await reply.read())
    for drop in ("before", "after"):
        server.fail(SEND, drop=drop)
        with pytest.raises(aiohttp.ClientError):
            await say(chat, content=drop)
    assert [m.content for m in chat.answers] == ["garbled", "after"]
    assert server.invalid == 3
    assert [c.status for c in server.called(SEND)] == [429, 403, 429, 502, 200, 0, 0]
    with pytest.raises(ValueError, match="no route"):
        server.fail("POST /nowhere", status=500)
    assert server.problems == []


async def test_what_the_description_does_not_know_is_a_problem(server, chat, call):
    specs.needed()
    assert "content" in nested(await call("POST", f"/channels/{chat.id}/messages", {"content": 5}))
    assert (await call("GET", "/nowhere"))[0] == 404
    assert len(server.problems) == 2


async def test_a_bot_joins_and_leaves_while_it_runs(server, http, ada):
    garden = server.guild(901, "Later", owner=ada, bot_in=False)
    async with Client(http, server.gateway_url) as client:
        assert (await client.identify())["d"]["guilds"] == []
        garden.add_bot()
        joined = await client.hear()
        assert (joined["t"], "unavailable" in joined["d"]) == ("GUILD_CREATE", False)
        garden.remove_bot()
        assert (await client.hear())["d"] == {"id": "901"}


async def test_the_same_port_opens_again(http):
    async with DiscordServer(limits=FREE) as server:
        url = server.url
    async with server:
        assert server.url == url
        assert (await asked(http, server, "GET", "/gateway"))["url"] == server.gateway_url


async def test_a_library_talks_answers_and_resumes(server, guild, general, ada, bob):
    async def on_message(message):
        if message.author.bot:
            return
        async with message.channel.typing():
            reply = await message.reply(f"re {message.content}", mention_author=False)
        await reply.edit(content=f"done {message.content}")

    async with through_a_library(server, on_message=on_message) as client:
        assert [g.owner_id for g in client.guilds] == [ada.id]
        assert client.get_guild(900).me.guild_permissions.send_messages
        chat = server.private(ada)
        await chat.say(ada, "hello")
        [answer] = await chat.replies(1)
        await server.wait_for(lambda: answer.states == ["re hello", "done hello"])
        assert chat.typing
        async with server.gateway.away():
            await general.say(bob, "missed")
        await general.replies(1)
        await server.gateway.reconnect()
        await server.wait_for(lambda: len(server.gateway.resumes) == 2)
        await server.gateway.invalidate()
        await server.wait_for(lambda: len(server.gateway.identifies) == 2 and server.gateway.connected)
        await chat.say(ada, "again")
        await chat.replies(2)
        assert server.pings == []
        assert server.problems == []


async def test_a_library_begins_anew_where_it_cannot_resume_at_once(server, general, ada):
    heard = []

    async def on_message(message):
        heard.append(message.content)

    async with through_a_library(server, on_message=on_message):
        async with server.gateway.away(refuse=True):
            await general.say(ada, "lost")
            await server.wait_for(lambda: server.gateway.refused > 1)  # HTTP tries twice by itself
        await server.wait_for(lambda: len(server.gateway.identifies) == 2 and server.gateway.connected)
        await general.say(ada, "heard")
        await server.wait_for(lambda: heard)
        assert heard == ["heard"]


async def test_a_library_sees_kinds_of_messages_and_commands(server, guild, general, ada):
    heard = []

    async def on_message(message):
        heard.append(message)

    async def ask(interaction: discord.Interaction, prompt: str):
        await interaction.response.defer(thinking=True)
        await interaction.edit_original_response(content=f"about {prompt}")

    async with through_a_library(server, on_message=on_message) as client:
        tree = discord.app_commands.CommandTree(client)
        tree.command(name="ask", description="ask")(ask)
        await tree.sync()
        await general.voice(ada, b"OggS")
        await general.sticker(ada, "Wave")
        origin = await general.say(ada, "forwarded words")
        await general.forward(ada, origin)
        thread = general.thread("T", message=origin)
        await thread.say(ada, "in a thread")
        await server.wait_for(lambda: len([m for m in heard if m.content == "in a thread"]))
        assert heard[0].attachments[0].is_voice_message()
        assert heard[1].stickers[0].name == "Wave"
        assert heard[3].message_snapshots[0].content == "forwarded words"
        assert isinstance(heard[-1].channel, discord.Thread)
        begun = await general.command(ada, "ask", {"prompt": "bees"})
        await server.wait_for(lambda: begun.shown)
        assert begun.shown[0].text == "about bees"
        assert all("User-Agent" in problem for problem in server.problems)  # the library sends none of its own there
