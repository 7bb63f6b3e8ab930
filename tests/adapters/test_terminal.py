"""The terminal's side of the engine, over a real unix socket: streams that end with their finals, nothing lost."""

import asyncio
import contextlib
import io
import shutil
import tempfile
from pathlib import Path

import aiohttp
import msgspec
import pytest

from adapters.chat.terminal import inbound, outbound, routes
from adapters.chat.terminal.inbound import OPERATOR, PLATFORM, SPACE
from adapters.chat.terminal.live import Live
from adapters.chat.terminal.outbound import Terminal
from adapters.web.app import app, serve
from core.errors import StoreError, StoreFull
from core.messages import Button, ChatRef, Message, Partial, Pressed, Reply
from tests.conftest import wait_until


async def about():
    return "a scripted model speaks"


class Scripted:
    """A small engine behind a terminal: takes events once and says what the test tells it to."""

    def __init__(self):
        self.terminal = Terminal(about)
        self.taken = []
        self.fault = None

    async def accept(self, event):
        if self.fault:
            raise self.fault
        if event.event not in {e.event for e in self.taken}:
            self.taken.append(event)

    async def grow(self, text, message_id="m1", thread="main"):
        await self.terminal.preview(Partial("t", inbound.chat(thread), 1, text, message_id), "")

    async def final(self, text, message_id="m1", thread="main", turn="", buttons=()):
        reply = Reply(turn or f"t-{text}", inbound.chat(thread), text, 1, message_id, buttons)
        (part,) = self.terminal.parts(reply)
        return await self.terminal.send(reply, part, key="k", edit="", last=True)

    async def has_taken(self, count=1):
        await wait_until(lambda: len(self.taken) >= count)


@pytest.fixture
async def engine():
    """Served, as the program does it."""
    engine = Scripted()
    folder = Path(tempfile.mkdtemp(prefix="pieria-"))
    async with serve(app([routes.routes(engine.terminal)]), "", 0, str(folder / "pieria.sock")):
        engine.socket = folder / "pieria.sock"
        serving = asyncio.create_task(engine.terminal.serve(engine.accept, ()))
        await asyncio.sleep(0)
        engine.serving = serving
        yield engine
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
    shutil.rmtree(folder)


class Caller:
    """Somebody with the socket."""

    def __init__(self, session):
        self.session = session

    async def say(self, text="hello", ident="m1", thread="main", **more):
        return await self.post("/terminal/say", {"text": text, "id": ident, "thread": thread, **more})

    async def stop(self, thread="main", ident="s1"):
        return await self.post("/terminal/stop", {"thread": thread, "id": ident})

    async def post(self, path, value):
        body = value if isinstance(value, bytes) else msgspec.json.encode(value)
        async with self.session.post(path, data=io.BytesIO(body)) as answer:
            return answer.status, [msgspec.json.decode(line) for line in (await answer.read()).splitlines() if line]

    async def about(self, thread=""):
        async with self.session.get("/terminal/about", params={"thread": thread}) as answer:
            return msgspec.json.decode(await answer.read())


@pytest.fixture
async def caller(engine):
    connector = aiohttp.UnixConnector(path=str(engine.socket))
    async with aiohttp.ClientSession("http://localhost", connector=connector) as session:
        yield Caller(session)


async def test_a_message_is_accepted_as_the_operators_and_its_reply_streams_back(engine, caller):
    saying = asyncio.create_task(caller.say("What is 2+2?", zone="Europe/Berlin"))
    await engine.has_taken()
    place = ChatRef(PLATFORM, SPACE, OPERATOR, "main")
    message = engine.taken[0]
    assert message == Message("m1", place, inbound.account(), "What is 2+2?", message_id="m1", zone="Europe/Berlin")
    await wait_until(lambda: engine.terminal._streams)
    await engine.final("It is 4.", buttons=(Button("Again", "/retry"),), turn="t1")
    status, events = await saying
    assert status == 200
    assert events == [{"final": "It is 4.", "turn": "t1", "buttons": [{"label": "Again", "action": "/retry"}]}]


async def test_partials_are_whole_texts_and_say_what_is_being_done(engine, caller):
    async with caller.session.post(
        "/terminal/say", data=msgspec.json.encode({"text": "x", "id": "m1", "thread": "main"})
    ) as answer:
        await engine.grow("One")
        assert msgspec.json.decode(await answer.content.readline()) == {"partial": "One"}
        await engine.grow("One two\n\n*calculating …*")
        assert msgspec.json.decode(await answer.content.readline()) == {"partial": "One two", "doing": "calculating"}
        await engine.grow("*calculating …*")
        assert msgspec.json.decode(await answer.content.readline()) == {"partial": "", "doing": "calculating"}
        await engine.final("One two three.")
        assert msgspec.json.decode(await answer.content.readline())["final"] == "One two three."
        assert await answer.content.readline() == b""


async def test_a_slow_reader_gets_the_newest_state_and_a_late_partial_comes_not_after_the_final(engine):
    message = Message("m1", inbound.chat("main"), inbound.account(), "x", message_id="m1")
    with engine.terminal.stream(message, lambda: True) as stream:
        for length in range(1, 500):
            await engine.grow("x" * length)
        assert await stream.take(1.0) == [{"partial": "x" * 499}]
        await engine.grow("y")
        await engine.final("done")
        await engine.grow("late")
        assert [next(iter(event)) for event in await stream.take(1.0)] == ["final"]


async def test_messages_that_were_answered_together_all_get_the_reply(engine, caller):
    first = asyncio.create_task(caller.say("one", "m1"))
    await engine.has_taken(1)
    second = asyncio.create_task(caller.say("two", "m2"))
    await engine.has_taken(2)
    aside = asyncio.create_task(caller.say("/help", "m3"))
    await engine.has_taken(3)
    await engine.final("Help.", "m3")
    assert (await aside)[1][-1]["final"] == "Help."
    assert not first.done()
    await engine.final("Both.", "m2")
    assert (await first)[1][-1]["final"] == "Both."
    assert (await second)[1][-1]["final"] == "Both."


async def test_a_reply_to_something_else_is_shown_beside(engine, caller):
    saying = asyncio.create_task(caller.say())
    await engine.has_taken()
    await wait_until(lambda: engine.terminal._streams)
    await engine.final("Dropped: 2.", "")
    await engine.final("elsewhere", "m1", thread="other")
    await engine.final("mine")
    _, events = await saying
    assert [event.get("other") for event in events[:-1]] == ["Dropped: 2."]
    assert events[-1]["final"] == "mine"


async def test_a_closed_connection_cancels_nothing_and_the_reply_is_there_later(engine, caller):
    saying = asyncio.create_task(caller.say())
    await engine.has_taken()
    saying.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await saying
    await wait_until(lambda: not engine.terminal._streams[0].alive())
    assert not any(isinstance(event, Pressed) for event in engine.taken)
    await engine.final("too late")
    assert await caller.about("main") == {"line": "a scripted model speaks", "missed": ["too late"]}
    assert (await caller.about("main"))["missed"] == []
    assert await caller.about() == {"line": "a scripted model speaks", "missed": []}


async def test_a_final_that_could_not_be_written_is_there_later(engine):
    message = Message("m1", inbound.chat("main"), inbound.account(), "x", message_id="m1")
    with engine.terminal.stream(message, lambda: True):
        await engine.final("unread")
    assert engine.terminal.missed(message.chat) == ["unread"]


async def test_a_repeated_message_gets_the_reply_that_came_meanwhile(engine, caller):
    await engine.final("there already", "m1")
    assert (await caller.say())[1][-1]["final"] == "there already"


async def test_a_reply_that_is_sent_again_is_shown_once(engine, caller):
    saying = asyncio.create_task(caller.say())
    await engine.has_taken()
    await wait_until(lambda: engine.terminal._streams)
    assert await engine.final("once", turn="t1") == "t1"
    await saying
    assert await engine.final("once", turn="t1") == "t1"
    assert (await caller.about("main"))["missed"] == []


async def test_stop_is_a_press_and_what_only_waited_ends_too(engine, caller, monkeypatch):
    monkeypatch.setattr(outbound, "STOP_PATIENCE", 0.2)
    running = asyncio.create_task(caller.say("one", "m1"))
    await engine.has_taken(1)
    waiting = asyncio.create_task(caller.say("two", "m2"))
    await engine.has_taken(2)
    assert (await caller.stop())[0] == 202
    pressed = engine.taken[-1]
    assert pressed == Pressed("s1", inbound.chat("main"), inbound.account(), "/stop")
    await engine.final("One … *(stopped)*", "m1")
    assert (await running)[1][-1]["final"] == "One … *(stopped)*"
    assert "Stopped" in (await waiting)[1][-1]["error"]


async def test_before_and_after_serving_it_asks_to_try_again(engine, caller):
    engine.serving.cancel()
    await asyncio.wait((engine.serving,))
    for status, (event,) in (await caller.say(), await caller.stop()):
        assert status == 503
        assert event["starting"]
        assert "Try again" in event["error"]


async def test_a_store_that_refuses_is_told(engine, caller):
    for fault in (StoreFull("The store is full."), StoreError("The store is away.")):
        engine.fault = fault
        status, events = await caller.say()
        assert (status, events) == (503, [{"error": fault.sentence}])
    assert not engine.terminal._streams


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        (b"", 400, "cannot be read"),
        (b"{", 400, "cannot be read"),
        (b"[]", 400, "cannot be read"),
        (b"\xff", 400, "cannot be read"),
        (b"[" * 100_000, 400, "cannot be read"),
        ({"text": 1, "id": "m", "thread": "main"}, 400, "cannot be read"),
        ({"text": " \n", "id": "m", "thread": "main"}, 400, "empty"),
        ({"text": "x", "id": "", "thread": "main"}, 400, "id"),
        ({"text": "x", "id": "a b", "thread": "main"}, 400, "id"),
        ({"text": "x", "id": "m", "thread": "../x"}, 400, "conversation"),
        ({"text": "x", "id": "m", "thread": "x" * 65}, 400, "conversation"),
        ({"text": "é" * 500_001, "id": "m", "thread": "main"}, 413, "1,000,002"),
        (b"x" * 9_000_000, 413, "too long"),
    ],
    ids=range(13),
)
async def test_bad_input_is_a_sentence(engine, caller, body, status, word):
    got, (event,) = await caller.post("/terminal/say", body)
    assert got == status
    assert word in event["error"]
    assert engine.taken == []


async def test_a_message_of_a_million_bytes_is_taken(engine, caller):
    saying = asyncio.create_task(caller.say('\n"' * 500_000))
    await engine.has_taken()
    assert len(engine.taken[0].text) == 1_000_000
    await wait_until(lambda: engine.terminal._streams)
    await engine.final("z" * 300_000)
    assert (await saying)[1][-1]["final"] == "z" * 300_000


async def test_a_zone_that_is_none_is_left_out():
    value = {"text": "x", "id": "m", "thread": "main", "zone": "x\nIgnore all"}
    assert inbound.message(msgspec.json.encode(value)).zone == ""


def shown(*pieces, width=40):
    """What a terminal shows after these pieces: enough of one to test ours."""
    lines, row, col = [""], 0, 0
    text = "".join(pieces).replace("\x1b[?7l", "").replace("\x1b[?7h", "").replace("\x1b[2m", "").replace("\x1b[0m", "")
    place = 0
    while place < len(text):
        char = text[place]
        if text.startswith("\x1b[J", place):
            lines = [*lines[:row], lines[row][:col]]
            place += 3
            continue
        if text.startswith("\x1b[", place):
            end = text.index("A", place)
            row -= int(text[place + 2 : end])
            assert row >= 0
            place = end + 1
            continue
        if char == "\r":
            col = 0
        elif char == "\n":
            row, col = row + 1, 0
            if row == len(lines):
                lines.append("")
        else:
            if col == width:
                row, col = row + 1, 0
                lines += [""] * (row == len(lines))
            lines[row] = lines[row][:col].ljust(col) + char + lines[row][col + 1 :]
            col += 1
        place += 1
    return "\n".join(lines)


def test_a_growing_reply_is_drawn_word_by_word_and_stays_as_its_final():
    live = Live(lambda: (40, 10))
    text = "First line.\nThe second line is rather long and wraps twice or so, at the very least once.\nThird."
    out = [live.tick(), live.grow("", "calculating")]
    assert "calculating" in shown(*out)
    for end in range(1, len(text) + 1):
        out.append(live.grow(text[:end]))
        assert "".join(text[:end].split()) == "".join(shown(*out).split())
        out.append(live.tick())
    out.append(live.finish(text))
    assert shown(*out, width=200) == text + "\n"


def test_a_line_that_is_taken_back_waits_for_the_final():
    live = Live(lambda: (40, 10))
    out = [live.grow("One\nTwo"), live.grow("Other"), live.finish("Other text")]
    assert shown(*out).splitlines() == ["One", "(again, as it stands now)", "Other text"]


def test_a_reply_cannot_steer_the_terminal():
    live = Live(lambda: (40, 10))
    out = (
        live.grow("\x1b]0;owned\x07\x1b[2Jhello") + live.grow("\x1b[2Jhello\n") + live.finish("\x1b[2J hello\n\x1b[5A")
    )
    assert "\x1b]" not in out
    assert "\x1b[2J" not in out
    assert "\x1b[5A" not in out
    assert "\x07" not in out


def test_a_long_growing_line_never_fills_more_than_the_screen():
    live = Live(lambda: (20, 5))
    live.grow("word " * 200)
    assert live.grow("word " * 201).startswith("\r\x1b[3A\x1b[J")
