"""The page's server side: who comes in, what is taken, what is shown, over real HTTP on loopback."""

import asyncio
import contextlib
import hashlib
import hmac
import io
import itertools
import re
import time
from collections import defaultdict

import aiohttp
import msgspec
import pytest

from adapters.chat.web import inbound, outbound
from adapters.chat.web import routes as web_routes
from adapters.chat.web.format import Growing, render
from adapters.chat.web.inbound import Unreadable
from adapters.chat.web.outbound import Web
from adapters.chat.web.records import About
from adapters.chat.web.routes import routes
from adapters.web.app import app, serve
from core.errors import LaneFull, StoreError
from core.messages import Button, ChatRef, Message, Partial, Pressed, Reply, Said
from core.ports import Command
from core.text import balanced

THREAD = "thread-0123456789abcdef"
COMMANDS = (Command("help", "what I can do"), Command("new", "start afresh"), Command("stop", "end the reply"))


def sign(text):
    return hmac.new(b"a key of the tests", text.encode(), hashlib.sha256).hexdigest()


class Card(msgspec.Struct, frozen=True):
    thread: str
    title: str
    at: int


class Scripted:
    """A small engine: takes events once, says what it was told to say, piece by piece, and remembers it."""

    def __init__(self, password="", public=False):
        self.web = Web(sign, self, password, public)
        self.taken = []
        self.said = defaultdict(list)
        self.replies = {}
        self.fault = None
        self.go = asyncio.Event()
        self.go.set()
        self.hold_after = 0
        self.pace = 0.0
        self.card = About("a scripted model", hint="Set OPENAI_API_KEY for a better one.", platforms=("Telegram",))
        self._events = set()
        self._turns = itertools.count(1)
        self._running = {}
        self.waits = {}

    async def accept(self, event):
        if self.fault:
            raise self.fault
        if event.event in self._events:
            return
        self._events.add(event.event)
        self.taken.append(event)
        if isinstance(event, Pressed):
            if event.action == "/stop" and event.chat in self._running:
                self._running[event.chat].cancel()
            elif event.action == "/retry" and self.said[event.chat]:
                self.said[event.chat].pop()
                self._begin(event.chat, self.said[event.chat][-1].text, "")
            return
        if event.text.startswith("/"):
            self.waits[event.chat] = [event]
        else:
            self.said[event.chat].append(Said("user", event.text, at=int(time.time() * 1000)))
        self._begin(event.chat, event.text, event.message_id)

    def _begin(self, chat, text, asked):
        self._running[chat] = asyncio.get_running_loop().create_task(self._turn(chat, text, asked))

    async def _turn(self, chat, text, asked):
        turn = f"turn-{next(self._turns)}"
        answer = self.replies.get(text, f"You said: {text}")
        so_far = ""
        try:
            await self.web.typing(chat)
            for number, word in enumerate(re.findall(r"\s*\S+", answer)):
                if number == self.hold_after:
                    await self.go.wait()
                so_far += word
                await self.web.preview(Partial(turn, chat, 1, so_far), "")
                await asyncio.sleep(self.pace)
        except asyncio.CancelledError:
            answer = f"{so_far}\n\n*Stopped.*"
        at = int(time.time() * 1000)
        self.said[chat].append(Said("assistant", answer, at=at))
        self._running.pop(chat, None)
        self.waits.pop(chat, None)
        reply = Reply(turn, chat, answer, at, reply_to=asked)
        await self.web.send(reply, self.web.parts(reply)[0], key=turn, edit="", last=True)

    async def chats(self, account):
        mine = [(chat, said) for chat, said in self.said.items() if chat.chat == account.user and said]
        return sorted((Card(c.thread, s[0].text[:60], s[-1].at) for c, s in mine), key=lambda card: -card.at)

    async def transcript(self, chat):
        return list(self.said.get(chat, ()))

    async def waiting(self, chat):
        return self.waits.get(chat, [])

    async def model(self, chat):
        return ""

    async def running(self, chat):
        return chat in self._running

    async def about(self):
        return self.card

    @contextlib.asynccontextmanager
    async def served(self, *, feeding=True, port=0, hosts=()):
        """The page on a free port, fed to this engine; gives its URL."""
        application = app([routes(self.web)], hosts=hosts)
        async with serve(application, "127.0.0.1", port, password=self.web.door._password) as url:
            feed = asyncio.create_task(self.web.serve(self.accept, COMMANDS)) if feeding else None
            await asyncio.sleep(0)
            try:
                yield url
            finally:
                if feed:
                    feed.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await feed
                for turn in list(self._running.values()):
                    turn.cancel()


class Browser:
    """What a browser does for the page: cookies, Origin, one event stream."""

    def __init__(self, url, session):
        self.url = url
        self.session = session
        self.headers = {"Origin": url, "Sec-Fetch-Site": "same-origin"}

    async def get(self, path, **more):
        async with self.session.get(self.url + path, headers=self.headers, allow_redirects=False, **more) as answer:
            return answer.status, await _value(answer)

    async def post(self, path, value=None, **headers):
        body = io.BytesIO(msgspec.json.encode({} if value is None else value))
        headers = {**self.headers, "Content-Type": "application/json", **headers}
        async with self.session.post(self.url + path, data=body, headers=headers) as answer:
            return answer.status, await _value(answer)

    async def say(self, text, thread=THREAD, client_id=None):
        return await self.post(
            "/api/messages", {"thread": thread, "id": client_id or f"id-{time.time_ns()}", "text": text}
        )

    @contextlib.asynccontextmanager
    async def events(self):
        timeout = aiohttp.ClientTimeout(total=None)
        async with self.session.get(self.url + "/api/events", headers=self.headers, timeout=timeout) as answer:
            assert answer.status == 200
            yield _read(answer)


async def _value(answer):
    return await answer.json() if answer.content_type == "application/json" else await answer.text()


async def _read(answer):
    async for line in answer.content:
        if line.startswith(b"data: "):
            yield msgspec.json.decode(line[6:])


async def until(stream, kind):
    seen = []
    async with asyncio.timeout(10):
        async for event in stream:
            seen.append(event)
            if event["kind"] == kind:
                return seen
    raise AssertionError(seen)


@contextlib.asynccontextmanager
async def visiting(url):
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        browser = Browser(url, session)
        assert (await browser.post("/api/visit"))[0] == 200
        yield browser


@pytest.fixture
async def engine():
    return Scripted()


@pytest.fixture
async def page(engine):
    async with engine.served() as url, visiting(url) as browser:
        yield browser


# messages


async def test_a_message_is_answered_on_the_stream_piece_by_piece_and_then_whole(engine, page):
    async with page.events() as stream:
        await until(stream, "hello")
        status, _ = await page.say("**Good** morning")
        assert status == 202
        seen = await until(stream, "final")
    final = seen[-1]
    partials = [event for event in seen if event["kind"] == "partial"]
    assert final["text"] == "You said: **Good** morning"
    assert "<strong>Good</strong>" in final["html"]
    assert partials
    assert {event["turn"] for event in partials} == {final["turn"]}
    assert [event["seq"] for event in partials] == sorted({event["seq"] for event in partials})


async def test_202_comes_only_after_the_durable_accept(engine, page):
    engine.fault = StoreError("The store is full.")
    assert await page.say("hello") == (503, {"error": "The store is full."})
    engine.fault = LaneFull("Too many messages wait here.")
    assert await page.say("hello") == (429, {"error": "Too many messages wait here."})
    assert engine.taken == []


async def test_the_same_message_posted_twice_is_one_event(engine, page):
    for _ in range(2):
        assert (await page.say("once", client_id="the-same-id-1"))[0] == 202
    assert [event.text for event in engine.taken] == ["once"]
    event = engine.taken[0]
    assert event.event == f"{event.sender.user}:the-same-id-1"
    assert event.chat == ChatRef("web", "page", event.sender.user, THREAD, private=True)


async def test_before_the_engine_serves_a_message_is_refused_with_503(engine):
    async with engine.served(feeding=False) as url, visiting(url) as browser:
        status, value = await browser.say("hello")
    assert status == 503
    assert "starting" in value["error"]


async def test_a_store_that_hangs_is_503_in_time(engine, page, monkeypatch):
    monkeypatch.setattr(outbound, "ACCEPT_PATIENCE", 0.05)

    async def hang(_event):
        await asyncio.Event().wait()

    engine.web._accept = hang
    status, value = await page.say("hello")
    assert status == 503
    assert "Try again" in value["error"]


@pytest.mark.parametrize(
    ("value", "status", "words"),
    [
        ({"thread": THREAD, "id": "id-12345678", "text": "x" * 100_001}, 413, "too long"),
        ({"thread": THREAD, "id": "id-12345678", "text": " \n "}, 400, "empty"),
        ({"thread": "short", "id": "id-12345678", "text": "x"}, 400, "chat"),
        ({"thread": THREAD + "\n", "id": "id-12345678", "text": "x"}, 400, "chat"),
        ({"thread": THREAD, "id": "a:b", "text": "x"}, 400, "id"),
        ({"thread": THREAD, "id": "id-12345678", "text": 5}, 400, "read"),
        ({"thread": THREAD}, 400, "read"),
        ([], 400, "read"),
    ],
)
async def test_bad_input_is_one_clear_sentence(engine, page, value, status, words):
    got, answer = await page.post("/api/messages", value)
    assert got == status
    assert words in answer["error"]
    assert engine.taken == []


async def test_100_000_characters_are_taken_also_when_each_has_four_bytes(engine, page):
    assert (await page.say("\N{GRINNING FACE}" * 100_000))[0] == 202
    assert len(engine.taken[0].text) == 100_000


async def test_bytes_that_are_no_json_are_refused(page):
    for body in (b"{", b"\xff\xfe", b'{"thread": "\\ud800"}', b"[" * 100_000, b""):
        headers = page.headers | {"Content-Type": "application/json"}
        async with page.session.post(page.url + "/api/messages", data=body, headers=headers) as answer:
            assert answer.status == 400
    async with page.session.post(page.url + "/api/messages", data=b"x=1", headers=page.headers) as answer:
        assert answer.status == 415
    async with page.session.post(
        page.url + "/api/messages", data=io.BytesIO(b"x" * 3_000_000), headers=headers
    ) as answer:
        assert answer.status == 413
        assert "2 MB" in (await answer.json())["error"]


async def test_stop_and_retry_are_pressed_commands(engine, page):
    await page.say("hello")
    for path, action in (("/api/stop", "/stop"), ("/api/retry", "/retry")):
        assert (await page.post(path, {"thread": THREAD, "id": f"press-{action[1:]}-1"}))[0] == 202
        assert engine.taken[-1].action == action
    assert (await page.post("/api/press", {"thread": THREAD, "id": "press-000", "action": "rm -rf"}))[0] == 400
    assert (await page.post("/api/press", {"thread": THREAD, "id": "press-001", "action": "/model a:b"}))[0] == 202
    assert engine.taken[-1].action == "/model a:b"


def test_zone_and_language_that_are_none_are_left_out():
    def taken(**more):
        value = {"thread": THREAD, "id": "id-12345678", "text": "x", **more}
        return inbound.message(msgspec.json.encode(value), "someone")

    assert taken(zone="America/Argentina/Buenos_Aires", language="pt-BR").zone == "America/Argentina/Buenos_Aires"
    assert taken(zone="Europe/Berlin\nIgnore", language="x" * 50).zone == ""
    assert taken(language="pt-BR").language == "pt-BR"
    assert taken(language="<b>").language == ""


async def test_events_of_one_chat_are_accepted_one_after_the_other(engine):
    inside, order = 0, []

    async def accept(event):
        nonlocal inside
        inside += 1
        assert inside == 1
        await asyncio.sleep(0)
        order.append(event.text)
        inside -= 1

    engine.web._accept = accept
    chat = inbound.chat("someone", THREAD)
    events = [Message(f"e{n}", chat, inbound.account("someone"), str(n)) for n in range(20)]
    await asyncio.gather(*(engine.web.take(event) for event in events))
    assert order == [str(n) for n in range(20)]


# streams


async def test_a_page_that_opens_during_a_reply_sees_what_is_there(engine, page):
    engine.go.clear()
    engine.hold_after = 3
    await page.say("one two three four")
    async with asyncio.timeout(5):
        while not (shown := (await page.get(f"/api/chats/{THREAD}"))[1])["growing"]:
            await asyncio.sleep(0.01)
    assert shown["running"]
    assert [message["text"] for message in shown["messages"]] == ["one two three four"]
    assert "You said" in shown["growing"][0]["html"]
    engine.go.set()
    async with asyncio.timeout(5):
        while (shown := (await page.get(f"/api/chats/{THREAD}"))[1])["running"]:
            await asyncio.sleep(0.01)
    assert shown["growing"] == []
    assert shown["messages"][1]["text"] == "You said: one two three four"


async def test_what_was_posted_is_shown_until_the_transcript_has_it(engine, page):
    engine.go.clear()
    await page.say("hello there")
    engine.waits[engine.taken[0].chat] = [engine.taken[0]]
    engine.said.clear()
    _, shown = await page.get(f"/api/chats/{THREAD}")
    assert [written["text"] for written in shown["waiting"]] == ["hello there"]
    assert shown["messages"] == []
    engine.go.set()


async def test_a_message_whose_turn_ends_between_two_looks_is_shown_once(engine, page):
    await page.say("hello")
    chat = engine.taken[0].chat
    asked = engine.taken[0]
    async with asyncio.timeout(5):
        while chat in engine._running:
            await asyncio.sleep(0.01)
    whole, looks = engine.said.pop(chat), []

    async def waiting(_chat):
        looks.append(1)
        if len(looks) == 2:  # the turn ended after the transcript had been read
            engine.said[chat] = whole
        return [asked] if len(looks) == 1 else []

    engine.waiting = waiting
    _, shown = await page.get(f"/api/chats/{THREAD}")
    assert [line["text"] for line in shown["messages"]] == ["hello", "You said: hello"]
    assert shown["waiting"] == []


async def test_a_final_that_nobody_was_there_to_see_comes_with_the_next_page(engine, page):
    await page.say("/help")
    user = engine.taken[0].sender.user
    async with asyncio.timeout(5):
        while not engine.web._unseen.get(user):
            await asyncio.sleep(0.01)
    async with page.events() as stream:
        assert (await until(stream, "final"))[-1]["text"] == "You said: /help"
    assert not engine.web._unseen


async def test_a_late_partial_does_not_come_after_its_final(engine):
    chat = inbound.chat("someone", THREAD)
    reply = Reply("turn", chat, "Done.", buttons=(Button("Again", "/retry"),))
    with engine.web.stream("someone") as stream:
        await engine.web.preview(Partial("turn", chat, 1, "Do"), "")
        await engine.web.send(reply, engine.web.parts(reply)[0], key="k", edit="", last=True)
        await engine.web.preview(Partial("turn", chat, 1, "Don"), "")
        frames = await stream.take()
    assert b"partial" not in frames
    assert b'"label":"Again"' in frames
    assert engine.web.growing(chat) == []


async def test_a_slow_reader_gets_the_newest_state_and_not_the_past(engine, page):
    chat = inbound.chat("someone", THREAD)
    with engine.web.stream("someone") as stream:
        for length in range(1, 500):
            await engine.web.preview(Partial("turn", chat, 1, "x" * length), "")
        async with asyncio.timeout(5):
            while b"x" * 499 not in (frames := await stream.take()):
                assert frames.count(b"data: ") == 1
        for number in range(1_000):
            await engine.web.send(
                Reply(f"t{number}", chat, "y"), engine.web.parts(Reply("t", chat, "y"))[0], key="", edit="", last=True
            )
        frames = await stream.take()
    assert frames.count(b"data: ") <= 201
    assert b'"kind":"reload"' in frames


async def test_a_very_long_reply_grows_at_a_lower_rate(engine, page):
    chat = inbound.chat("someone", THREAD)
    with engine.web.stream("someone") as stream:
        seen = 0
        for length in range(60_000, 60_040):
            await engine.web.preview(Partial("turn", chat, 1, "word " * (length // 5) + "x" * (length % 5)), "")
            seen += bool(stream._waiting)
            stream._waiting.clear()
        assert 0 < seen < 20
        await engine.web.preview(Partial("turn", chat, 1, "word " * 12_010 + "last"), "")
        async with asyncio.timeout(5):
            while b"last" not in await stream.take():
                pass


async def test_streams_end_when_serving_ends_and_old_ones_when_there_are_too_many(engine, page):
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(engine.web.stream("someone")) for _ in range(25)]
        assert streams[0].closed
        assert not streams[-1].closed
    async with page.events() as stream:
        await until(stream, "hello")
        engine.web._pages.close()
        async with asyncio.timeout(5):
            assert [event async for event in stream] == []


async def test_a_page_that_went_away_is_noticed(engine, page, monkeypatch):
    monkeypatch.setattr(web_routes, "LOOK", 0.02)
    async with page.events() as stream:
        await until(stream, "hello")
        assert engine.web._pages._open
    async with asyncio.timeout(5):
        while engine.web._pages._open:
            await asyncio.sleep(0.01)


async def test_a_silent_stream_gets_signs_of_life(page, monkeypatch):
    monkeypatch.setattr(web_routes, "LOOK", 0.01)
    monkeypatch.setattr(web_routes, "HEARTBEAT", 0.03)
    async with page.events() as stream:
        for _ in range(3):
            await until(stream, "beat")


async def test_a_message_is_accepted_even_if_the_page_is_closed_at_once(engine, page):
    begun, go, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow(_event):
        begun.set()
        await go.wait()
        done.set()

    engine.web._accept = slow
    sending = asyncio.create_task(page.say("do not lose me"))
    await begun.wait()
    sending.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await sending
    await page.session.close()
    go.set()
    async with asyncio.timeout(5):
        await done.wait()


# who comes in


async def test_a_bare_visitor_sees_only_their_own_chats(engine):
    async with engine.served() as url, visiting(url) as one, visiting(url) as other:
        await one.say("my secret")
        assert len((await one.get("/api/chats"))[1]["chats"]) == 1
        assert (await other.get("/api/chats"))[1]["chats"] == []
        assert (await other.get(f"/api/chats/{THREAD}"))[1]["messages"] == []
        async with other.events() as stream:
            await until(stream, "hello")
            await one.say("another secret")
            await other.say("mine")
            seen = await until(stream, "final")
        assert "secret" not in str(seen)


async def test_without_a_cookie_nothing_is_told_or_taken(engine):
    async with engine.served() as url, aiohttp.ClientSession() as session:
        browser = Browser(url, session)
        for path in ("/api/chats", f"/api/chats/{THREAD}", "/api/events"):
            assert (await browser.get(path))[0] == 401
        assert (await browser.say("hello"))[0] == 401
        assert "about" not in (await browser.get("/api/about"))[1]


async def test_a_forged_or_altered_cookie_is_nobody(engine):
    async with engine.served() as url, visiting(url) as browser:
        (cookie,) = browser.session.cookie_jar
        user, issued, mac = cookie.value.split(".")
        forged = [
            f"operator.{issued}.{mac}",
            f"{user}.{int(issued) + 1}.{mac}",
            f"{user}.{issued}.{mac[:-1]}{'0' if mac[-1] != '0' else '1'}",
            f"{user}.{issued}.",
            f"{user}.{mac}",
            "operator",
            "..",
            f"{user}.99999999999999999999.{mac}",
        ]
        for value in forged:
            headers = browser.headers | {"Cookie": f"{cookie.key}={value}"}
            async with aiohttp.ClientSession() as bare, bare.get(url + "/api/chats", headers=headers) as answer:
                assert answer.status == 401, value
        headers = browser.headers | {"Cookie": f"{cookie.key}={cookie.value}"}
        async with aiohttp.ClientSession() as bare, bare.get(url + "/api/chats", headers=headers) as answer:
            assert answer.status == 200


async def test_the_cookie_is_strict_and_out_of_reach_of_scripts(engine):
    async with engine.served() as url, aiohttp.ClientSession() as session:
        async with session.post(url + "/api/visit", headers={"Origin": url}) as answer:
            (cookie,) = answer.headers.getall("Set-Cookie")
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert "Secure" not in cookie
        headers = {"Origin": url, "X-Forwarded-Proto": "https"}
        async with session.post(url + "/api/signout", headers=headers) as answer:
            assert answer.status == 200


async def test_the_invitation_signs_the_operator_in_once(engine):
    async with engine.served() as url, visiting(url) as browser, visiting(url) as thief:
        link = engine.web.invitation()
        assert link.startswith("/enter?token=")
        async with browser.session.get(url + link, headers={"Sec-Purpose": "prefetch"}) as answer:
            assert answer.status == 503
        assert (await browser.get(link))[0] == 303
        assert (await browser.get("/api/about"))[1]["operator"]
        async with thief.session.get(url + link, allow_redirects=False) as answer:
            assert answer.headers["Location"] == "/#used-link"
        assert not (await thief.get("/api/about"))[1]["operator"]
        for wrong in ("/enter", "/enter?token=", "/enter?token=x"):
            assert (await thief.get(wrong))[0] == 303
        assert not (await thief.get("/api/about"))[1]["operator"]


async def test_an_invitation_ends_after_an_hour(engine, monkeypatch):
    link = engine.web.invitation().removeprefix("/enter?token=")
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 3601)
    assert engine.web.door.redeem(link) == ""


async def test_with_a_password_nobody_comes_in_without_it():
    engine = Scripted(password="correct horse", public=True)
    async with engine.served() as url, aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        browser = Browser(url, session)
        assert (await browser.get("/api/about"))[1] == {"signed_in": False, "open": False, "password": True}
        assert (await browser.post("/api/visit"))[0] == 401
        assert (await browser.post("/api/signin", {"password": "wrong"}))[0] == 403
        assert (await browser.post("/api/signin", {"password": 7}))[0] == 400
        assert (await browser.post("/api/signin", {"password": "correct horse"}))[0] == 200
        assert (await browser.get("/api/about"))[1]["operator"]
        assert (await browser.post("/api/signout"))[0] == 200
        assert (await browser.get("/api/chats"))[0] == 401


async def test_guessing_the_password_is_slowed_down():
    engine = Scripted(password="correct horse")
    async with engine.served() as url, aiohttp.ClientSession() as session:
        browser = Browser(url, session)
        answers = [(await browser.post("/api/signin", {"password": f"guess {n}"}))[0] for n in range(12)]
        assert answers[:5] == [403] * 5
        assert 429 in answers[5:8]
        status, value = await browser.post("/api/signin", {"password": "correct horse"})
        assert status == 429
        assert "Try again in" in value["error"]


async def test_another_password_signs_out_who_came_in_by_the_old_one():
    old = Scripted(password="old")
    async with old.served() as url, aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        assert (await Browser(url, session).post("/api/signin", {"password": "old"}))[0] == 200
        cookie = next(iter(session.cookie_jar)).value
        port = int(url.rpartition(":")[2])
    for password, status in (("new", 401), ("old", 200)):
        async with Scripted(password=password).served(port=port) as url, aiohttp.ClientSession() as session:
            headers = {"Cookie": f"pieria-{port}={cookie}"}
            async with session.get(url + "/api/chats", headers=headers) as answer:
                assert answer.status == status


async def test_behind_a_proxy_a_bare_visit_gets_no_account(engine):
    async with engine.served() as url, aiohttp.ClientSession() as session:
        browser = Browser(url, session)
        for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"):
            assert (await browser.post("/api/visit", None, **{name: "203.0.113.7"}))[0] == 401


async def test_the_stream_is_for_the_page_alone(engine, page):
    async with page.session.get(page.url + "/api/events") as answer:
        assert answer.status == 403
    async with page.session.get(page.url + "/api/events", headers={"Origin": "https://evil.example"}) as answer:
        assert answer.status == 403
    for referer, status in ((f"{page.url}/", 200), (f"{page.url}.evil.example/", 403), ("https://evil.example/", 403)):
        async with page.session.get(page.url + "/api/events", headers={"Referer": referer}) as answer:
            assert answer.status == status


# what is shown


async def test_a_long_transcript_comes_in_pieces(engine, page):
    async with page.events() as stream:
        await page.say("first")
        await until(stream, "final")
    chat = engine.taken[0].chat
    engine.said[chat] = [Said("assistant" if n % 2 else "user", f"line {n}") for n in range(150)]
    _, newest = await page.get(f"/api/chats/{THREAD}")
    assert newest["from"] == 90
    assert [message["text"] for message in newest["messages"]] == [f"line {n}" for n in range(90, 150)]
    _, older = await page.get(f"/api/chats/{THREAD}?before=90")
    assert older["from"] == 30
    assert older["messages"][-1]["text"] == "line 89"


async def test_static_files_are_packed_and_known_again(engine, page):
    for path in (
        "/",
        "/static/chat.js",
        "/static/look.js",
        "/static/pieces.js",
        "/static/chat.css",
        "/static/icon.svg",
        "/favicon.ico",
    ):
        async with page.session.get(page.url + path, auto_decompress=False) as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
            tag = answer.headers["ETag"]
        async with page.session.get(page.url + path, headers={"If-None-Match": tag}) as answer:
            assert answer.status == 304
        async with page.session.get(page.url + path, headers={"Accept-Encoding": "identity"}) as answer:
            assert "Content-Encoding" not in answer.headers
            text = await answer.text()
        assert "style=" not in text
        assert not re.search(r"""(src|href)=["']?(https?:)?//|@import|url\(""", text)


async def test_a_users_html_is_never_drawn_as_html():
    # the server sends a user's words as text; only replies have HTML
    from adapters.chat.web.routes import _shown

    assert (await _shown(Said("user", "<script>alert(1)</script>")))["html"] == ""


# Markdown


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("$5 and $6, US$5", "$5 and $6, US$5"),
        ("Mass: $E=mc^2$.", "<msup><mi>c</mi><mn>2</mn></msup>"),
        (r"so \(x^2\) it is", "<msup>"),
        ("so\n\\[\n\\frac{1}{2}\n\\]\nit is", '<math display="block"'),
        ("\\[\n\\frac{1}{2}\n\\]", '<math display="block"'),
        ("$$\n\\begin{aligned}a&=b\\\\c&=d\\end{aligned}\n$$", "<mtable"),
        (r"$a<b$", "<mo>&lt;</mo>"),
        (r"$\unknownmacro{x}$", r'<code class="formula">\unknownmacro{x}</code>'),
        (r"$\frac{$", r"\frac{"),
        (r"`\(x\)`", r"<code>\(x\)</code>"),
        ("```python\nx = 1\n```", "<span>python</span>"),
        ("```python\nx = '<b>'\n```", "<span class=\"s\">'&lt;b&gt;'</span>"),
        ("```\nplain < text\n```", "plain &lt; text"),
        ("```py\nstill open", "still open"),
        ("| a | b |\n|--:|:-:|\n| 1 | 2 |", '<td dir="auto" class="right">1</td>'),
        ("![a cat](https://example.com/cat.png)", '<a href="https://example.com/cat.png"'),
        (
            "see https://example.com/a.",
            '<a href="https://example.com/a" target="_blank" rel="noopener noreferrer nofollow">',
        ),
        ("- [x] done\n- [ ] open", "☑"),
        ("~~gone~~", "<s>gone</s>"),
        ("# Title", '<h3 dir="auto">Title</h3>'),
        ("مرحبا", '<p dir="auto">مرحبا</p>'),
        ("3. three", '<ol start="3">'),
    ],
)
def test_markdown_is_shown_as_meant(markdown, html):
    assert html in render(markdown)


def test_a_growing_reply_looks_at_every_moment_as_the_whole_text_so_far():
    text = (
        "# Title\n\nSome *words* and $x^2$.\n\n- one\n- two\n  - three\n\n1. a\n\n   b\n\n```python\ndef f():\n\n    return 1\n```\n"
        "\n| a | b |\n|---|---|\n| 1 | 2 |\n\n> quote\n> more\n\nline\r\nbreak\r\n\r\nThe end.\n\n$$\nx\n\ny\n$$\n"
    )
    growing = Growing()
    for end in range(1, len(text) + 1):
        shown, whole = growing.html(text[:end]), render(balanced(text[:end]))
        assert re.sub(r"\s+(?=<|$)", "", shown) == re.sub(r"\s+(?=<|$)", "", whole), text[:end]
    assert growing.html("Begun anew") == render("Begun anew")


def test_a_growing_reply_costs_what_is_new_and_not_what_is_there():
    block = "Some words of a paragraph with **weight** and `code`.\n\n"
    growing = Growing()
    growing.html(block * 400)
    begun = time.perf_counter()
    for number in range(100):
        growing.html(block * 400 + "word " * number)
    grown = time.perf_counter() - begun
    begun = time.perf_counter()
    for _ in range(10):
        render(block * 400)
    whole = (time.perf_counter() - begun) * 10
    assert grown < whole / 5


@pytest.mark.parametrize(
    "markdown",
    [
        "> " * 5_000 + "x",
        "- " * 2_000 + "x",
        "[" * 6_000,
        "*a " * 20_000,
        "$" * 5_000,
        "`" * 9_999,
        "$" + "{" * 3_000 + "}" * 3_000 + "$",
    ],
    ids=["quotes", "lists", "brackets", "stars", "dollars", "ticks", "braces"],
)
def test_no_markdown_holds_the_server_up(markdown):
    begun = time.perf_counter()
    render(markdown)
    assert time.perf_counter() - begun < 5


# hostile text

HOSTILE = [
    "<script>window.hit=1</script>",
    "<script src=//evil.test/x.js></script>",
    "<SCRIPT>window.hit=1</SCRIPT>",
    "<img src=x onerror=window.hit=1>",
    "<img src=//evil.test/a.png>",
    "![x](//evil.test/b.png)",
    '![x](https://evil.test/c.png "onload=window.hit=1")',
    "![x](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+)",
    "![x](javascript:window.hit=1)",
    "![<img src=x onerror=window.hit=1>](https://evil.test/d.png)",
    "[x](javascript:window.hit=1)",
    "[x](JaVaScRiPt:window.hit=1)",
    "[x](java\tscript:window.hit=1)",
    "[x](&#106;avascript:window.hit=1)",
    "[x](&#x6A;&#x61;vascript:window.hit=1)",
    "[x](vbscript:msgbox(1))",
    "[x](data:text/html,<script>window.hit=1</script>)",
    "[x](file:///etc/passwd)",
    "[x](/api/stop)",
    "[x](//evil.test/e)",
    '[x](https://evil.test/f"onmouseover="window.hit=1)',
    "<javascript:window.hit=1>",
    "<a href=javascript:window.hit=1>x</a>",
    "<svg onload=window.hit=1>",
    "<svg><script>window.hit=1</script></svg>",
    "<svg><animate onbegin=window.hit=1 attributeName=x dur=1s>",
    "<style>@import '//evil.test/g.css';</style>",
    "<style>body{background:url(//evil.test/h)}</style>",
    "<p style='background:url(//evil.test/i)'>x</p>",
    "<link rel=stylesheet href=//evil.test/j.css>",
    "<link rel=prefetch href=//evil.test/k>",
    "<meta http-equiv=refresh content='0;url=//evil.test/l'>",
    "<base href=//evil.test/>",
    "<iframe src=//evil.test/m></iframe>",
    "<iframe srcdoc='<script>parent.hit=1</script>'></iframe>",
    "<object data=//evil.test/n></object>",
    "<embed src=//evil.test/o>",
    "<video src=//evil.test/p autoplay onerror=window.hit=1>",
    "<audio src=//evil.test/q autoplay>",
    "<form action=//evil.test/r><button formaction=javascript:window.hit=1>x</button></form>",
    "<details open ontoggle=window.hit=1>x</details>",
    "<body onload=window.hit=1>",
    "<input autofocus onfocus=window.hit=1>",
    "<math><mtext><img src=x onerror=window.hit=1></mtext></math>",
    "<math href=javascript:window.hit=1>x</math>",
    "<math><annotation-xml encoding='text/html'><script>window.hit=1</script></annotation-xml></math>",
    "<math><mtext><table><mglyph><style><img src=x onerror=window.hit=1>",
    "<noscript><p title='</noscript><img src=x onerror=window.hit=1>'>",
    "<template><img src=x onerror=window.hit=1></template>",
    "<!--<img src='--><img src=x onerror=window.hit=1>'>",
    "<![CDATA[<img src=x onerror=window.hit=1>]]>",
    "<xss style='behavior:url(//evil.test/s)'>",
    r"$\text{<img src=x onerror=window.hit=1>}$",
    r"$\text{</mtext></math><script>window.hit=1</script>}$",
    r"$\href{javascript:window.hit=1}{x}$",
    r"$\style{background:url(//evil.test/t)}{x}$",
    r"$$\class{x' onclick='window.hit=1}{x}$$",
    r"$\unknown{<script>window.hit=1</script>}$",
    r"$&#x3c;script&#x3e;window.hit=1&#x3c;/script&#x3e;$",
    "$&amp;#x3c;img src=x onerror=window.hit=1&amp;#x3e;$",
    "\\[<img src=x onerror=window.hit=1>\\]",
    "```<script>window.hit=1</script>\nx\n```",
    "```html onload=window.hit=1\n<script>window.hit=1</script>\n```",
    '```"><img/src=x/onerror=window.hit=1>\nx\n```',
    "```python\n'</code></pre><script>window.hit=1</script>'\n```",
    "`<img src=x onerror=window.hit=1>`",
    "| <img src=x onerror=window.hit=1> |\n|---|\n| <script>window.hit=1</script> |",
    "[a]: javascript:window.hit=1\n\n[a]",
    "[x](https://ok.example 'x\" onclick=\"window.hit=1')",
    'https://evil.test/"onmouseover="window.hit=1',
    "- [x] <img src=x onerror=window.hit=1>",
    "# <svg/onload=window.hit=1>",
    "\u202e<script>window.hit=1</script>",
    "<scr\x00ipt>window.hit=1</scr\x00ipt>",
    "<img src=x onerror\n=\nwindow.hit=1>",
]
ALLOWED_TAGS = {
    *(
        "p",
        "br",
        "hr",
        "h3",
        "h4",
        "h5",
        "h6",
        "strong",
        "em",
        "s",
        "a",
        "ul",
        "ol",
        "li",
        "blockquote",
        "code",
        "pre",
        "span",
    ),
    *("figure", "figcaption", "button", "div", "table", "thead", "tbody", "tr", "th", "td"),
    *(
        "math",
        "mrow",
        "mi",
        "mn",
        "mo",
        "mtext",
        "mspace",
        "msup",
        "msub",
        "msubsup",
        "mfrac",
        "msqrt",
        "mroot",
        "munder",
    ),
    *("mover", "munderover", "mtable", "mtr", "mtd", "mstyle", "mpadded", "mphantom", "menclose"),
}


def problems(html):
    """Whatever in this HTML could run or load something; parsed again by a parser that is not ours."""
    from html.parser import HTMLParser

    found = []

    class Walk(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in ALLOWED_TAGS:
                found.append(tag)
            for name, value in attrs:
                if name.startswith("on") or name in {
                    "style",
                    "src",
                    "srcset",
                    "srcdoc",
                    "data",
                    "action",
                    "formaction",
                    "id",
                    "xlink:href",
                }:
                    found.append((tag, name))
                if name == "href" and (tag != "a" or not re.match(r"(https?://|mailto:)", value or "")):
                    found.append((tag, name, value))
            if tag == "a" and ("rel", "noopener noreferrer nofollow") not in attrs:
                found.append("rel")

        def handle_decl(self, decl):
            found.append(decl)

        def handle_comment(self, data):
            found.append(data)

    Walk().feed(html)
    return found


@pytest.mark.parametrize("markdown", HOSTILE)
def test_hostile_text_neither_runs_nor_loads_anything(markdown):
    assert problems(render(markdown)) == []
    growing = Growing()
    for end in range(0, len(markdown), 3):
        assert problems(growing.html(markdown[:end])) == []


def test_the_hostile_cases_are_many_and_the_check_can_fail():
    assert len(HOSTILE) >= 40
    assert problems("<img src=x onerror=y>")
    assert problems("<a href='javascript:x' rel='noopener noreferrer nofollow'>x</a>")
    with pytest.raises(Unreadable):
        inbound.chat("someone", "<script>")
