"""`pieria chat` as a person and as a script meet it: the client as a process of its own, on a pipe or on a real pty."""

import asyncio
import contextlib
import os
import pty
import re
import readline
import shutil
import signal
import stat
import sys
import tempfile
import termios
from pathlib import Path

import pytest

from adapters.chat.terminal.inbound import chat
from adapters.chat.terminal.outbound import Terminal
from adapters.chat.terminal.routes import routes
from adapters.web.app import app, serve
from bots.terminal import Past
from core.errors import StoreFull
from core.messages import Message, Partial, Pressed, Reply
from tests.conftest import wait_until

ROOT = Path(__file__).parents[2]
KEY = b"k" * 32
CODE = """
import asyncio, sys
from pathlib import Path
from bots.terminal import Past, talk
socket, past, question = sys.argv[1:]
sys.exit(asyncio.run(talk(Path(socket), question, Past(Path(past), b"k" * 32) if past else None)))
"""


class Engine:
    """Answers each message with the script that the test set: whole texts so far, the last one the final."""

    def __init__(self, socket):
        self.socket = socket
        self.terminal = Terminal(self.about)
        self.taken = []
        self.script = lambda text: [f"You said: {text}"]
        self.fault = None
        self.hold = asyncio.Event()
        self.hold.set()
        self.turns = {}

    async def about(self):
        return "A scripted model speaks"

    async def accept(self, event):
        if self.fault:
            raise self.fault
        self.taken.append(event)
        if isinstance(event, Pressed):
            for turn in self.turns.values():
                turn.cancel()
        else:
            self.turns[event.event] = asyncio.create_task(self.turn(event))

    async def turn(self, message: Message):
        *partials, final = self.script(message.text)
        grown = ""
        try:
            for grown in partials:
                await self.terminal.preview(Partial(message.event, message.chat, 1, grown, message.message_id), "")
                await asyncio.sleep(0.02)
            await self.hold.wait()
        except asyncio.CancelledError:
            final = f"{grown}\n\n*(stopped)*"
        reply = Reply(message.event, message.chat, final, 1, message.message_id)
        await self.terminal.send(reply, self.terminal.parts(reply)[0], key="", edit="", last=True)

    @property
    def texts(self):
        return [event.text for event in self.taken if isinstance(event, Message)]


@pytest.fixture
async def engine():
    folder = Path(tempfile.mkdtemp(prefix="pieria-"))
    engine = Engine(folder / "pieria.sock")
    async with serve(app([routes(engine.terminal)]), "", 0, str(engine.socket)):
        serving = asyncio.create_task(engine.terminal.serve(engine.accept, ()))
        await asyncio.sleep(0)
        yield engine
        serving.cancel()
        engine.hold.set()
        await asyncio.gather(serving, *engine.turns.values(), return_exceptions=True)
    shutil.rmtree(folder)


async def start(engine, question="", past="", **streams):
    arguments = (sys.executable, "-c", CODE, str(engine.socket), str(past), question)
    return await asyncio.create_subprocess_exec(*arguments, cwd=ROOT, **streams)


async def ask(engine, given=b"", question=""):
    """What a script gets: exit code, stdout, stderr."""
    pipe = asyncio.subprocess.PIPE
    client = await start(engine, question, stdin=pipe, stdout=pipe, stderr=pipe)
    async with asyncio.timeout(20):
        out, told = await client.communicate(given)
    return client.returncode, out.decode(), told.decode()


# a script


async def test_a_piped_question_gives_the_reply_alone(engine):
    engine.script = lambda text: ["Paris", "Paris is **the capital", "Paris is **the capital** of France."]
    code, out, told = await ask(engine, b"What is the capital of France?\n")
    assert (code, out, told) == (0, "Paris is **the capital** of France.\n", "")
    assert engine.texts == ["What is the capital of France?"]


async def test_a_question_as_an_argument_leaves_stdin_alone(engine):
    code, out, _ = await ask(engine, b"not this", question="What is 2+2?")
    assert (code, out) == (0, "You said: What is 2+2?\n")


async def test_all_of_stdin_is_one_message_in_a_conversation_of_its_own(engine):
    text = "first line\n\nthird line é 😀"
    await ask(engine, f"{text}\n".encode())
    await ask(engine, b"again")
    assert engine.texts == [text, "again"]
    threads = {message.chat.thread for message in engine.taken}
    assert len(threads) == 2
    assert "main" not in threads


async def test_the_reply_is_there_while_it_grows(engine):
    engine.hold.clear()
    engine.script = lambda text: ["One", "One two", "One two three."]
    pipe = asyncio.subprocess.PIPE
    client = await start(engine, "x", stdin=asyncio.subprocess.DEVNULL, stdout=pipe)
    async with asyncio.timeout(20):
        assert await client.stdout.readexactly(7) == b"One two"
        engine.hold.set()
        assert await client.stdout.read() == b" three.\n"
        assert await client.wait() == 0


@pytest.mark.parametrize(
    ("script", "printed"),
    [
        (["Let me see.\n\n*calculating …*", "Let me see.\n\nIt is 4."], "Let me see.\n\nIt is 4.\n"),
        (["One two", "Other", "One two three"], "One two three\n"),
        (["One two", "Other text"], "One two\nOther text\n"),
        (["One  \n\n", "One"], "One\n"),
        (["", "x\n"], "x\n\n"),
    ],
)
async def test_stdout_always_ends_with_exactly_the_final(engine, script, printed):
    engine.script = lambda text: script
    code, out, _ = await ask(engine, b"x")
    assert (code, out) == (0, printed)


async def test_nothing_asked_is_a_sentence_and_exit_code_two(engine):
    for given in (b"", b" \n\n"):
        code, out, told = await ask(engine, given)
        assert (code, out) == (2, "")
        assert "no question" in told
    assert engine.taken == []


async def test_a_refusal_is_a_sentence_and_exit_code_one(engine):
    engine.fault = StoreFull("The store is full: make room.")
    code, out, told = await ask(engine, b"x")
    assert (code, out, told) == (1, "", "The store is full: make room.\n")


async def test_a_message_of_a_million_bytes_goes_through_and_a_longer_one_is_refused(engine):
    engine.script = lambda text: [str(len(text))]
    code, out, _ = await ask(engine, b"x\n" * 499_999 + b"x")
    assert (code, out) == (0, "999999\n")
    code, out, told = await ask(engine, b"x" * 1_000_001)
    assert (code, out) == (1, "")
    assert "1,000,000" in told


async def test_where_nothing_runs_it_says_how_to_start_it(engine):
    engine.socket = engine.socket.with_name("other.sock")
    code, out, told = await ask(engine, b"x")
    assert (code, out) == (1, "")
    assert "make run" in told
    assert "Traceback" not in told


async def test_a_reader_that_leaves_ends_it_quietly(engine):
    engine.script = lambda text: ["word " * 50_000, "word " * 50_000 + "end"]
    read, write = os.pipe()
    pipe = asyncio.subprocess.PIPE
    client = await start(engine, "x", stdin=asyncio.subprocess.DEVNULL, stdout=write, stderr=pipe)
    os.close(write)
    await asyncio.to_thread(os.read, read, 10)
    os.close(read)
    async with asyncio.timeout(20):
        assert await client.stderr.read() == b""
        assert await client.wait() == 0


async def test_ctrl_c_stops_the_reply_of_a_script(engine):
    engine.hold.clear()
    engine.script = lambda text: ["One", "never"]
    client = await start(engine, "x", stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(20):
        await client.stdout.readexactly(3)
        client.send_signal(signal.SIGINT)
        assert await client.wait() == 130
    assert isinstance(engine.taken[-1], Pressed)


# a person


class Person:
    """Somebody at a terminal of 60 columns."""

    def __init__(self, client, keyboard):
        self.client = client
        self.keyboard = keyboard
        self.raw = ""
        self.seen = 0

    def read(self):
        with contextlib.suppress(BlockingIOError, OSError):
            while piece := os.read(self.keyboard, 65_536):
                self.raw += piece.decode(errors="replace")
        return self.raw

    async def sees(self, text):
        """Wait for a text that is new on the screen."""

        def there():
            place = self.plain().find(text, self.seen)
            if place >= 0:
                self.seen = place + len(text)
            return place >= 0

        try:
            await wait_until(there, 20)
        except AssertionError:
            raise AssertionError(f"{text!r} is not in {self.raw!r}") from None

    def plain(self):
        return re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", self.read())

    def types(self, keys):
        os.write(self.keyboard, keys.encode())

    async def prompt(self):
        await self.sees("> ")
        # the prompt is on the screen before the keyboard is read without its own echo
        await wait_until(lambda: not termios.tcgetattr(self.keyboard)[3] & termios.ICANON)

    async def left(self):
        async with asyncio.timeout(20):
            while self.client.returncode is None:
                self.read()
                await asyncio.sleep(0.01)
        return self.client.returncode


@contextlib.asynccontextmanager
async def person(engine, past=""):
    keyboard, screen = pty.openpty()
    termios.tcsetwinsize(screen, (20, 60))
    os.set_blocking(keyboard, False)
    client = await start(engine, past=past, stdin=screen, stdout=screen, stderr=screen, start_new_session=True)
    try:
        yield Person(client, keyboard)
    finally:
        if client.returncode is None:
            client.kill()
            await client.wait()
        os.close(screen)
        os.close(keyboard)


async def press_ctrl_c(here):
    here.client.send_signal(signal.SIGINT)


async def test_a_person_talks_and_leaves_with_ctrl_d(engine):
    engine.script = lambda text: ["Hello", "Hello **there", "Hello **there**.\nHow are you?"]
    async with person(engine) as here:
        await here.sees("A scripted model speaks")
        await here.prompt()
        here.types("hi\n")
        await here.sees("How are you?")
        assert "Hello \x1b[1mthere\x1b[0m." in here.raw
        await here.prompt()
        here.types("\x04")
        assert await here.left() == 0
    assert engine.texts == ["hi"]
    assert engine.taken[0].chat == chat("main")


async def test_a_backslash_goes_on_with_the_next_line_and_an_empty_line_says_nothing(engine):
    async with person(engine) as here:
        await here.prompt()
        here.types("\n")
        await here.prompt()
        here.types("one\\\n")
        await here.sees(". ")
        here.types("two\n")
        await here.sees("You said: one")
        await here.prompt()
        here.types("/quit\n")
        assert await here.left() == 0
    assert engine.texts == ["one\ntwo"]


@pytest.mark.skipif("libedit" in (readline.__doc__ or ""), reason="this Python's line editor knows no pasted text")
async def test_pasted_lines_are_one_message_and_the_terminal_is_left_as_it_was(engine):
    async with person(engine) as here:
        await here.prompt()
        assert here.raw.rpartition("\x1b[?2004")[2].startswith("h")
        here.types("\x1b[200~one\ntwo\n\nthree\x1b[201~\n")
        await here.sees("You said")
        await here.prompt()
        await press_ctrl_c(here)
        assert await here.left() == 0
        assert here.read().rpartition("\x1b[?2004")[2].startswith("l")
    assert engine.texts == ["one\ntwo\n\nthree"]


async def test_ctrl_c_stops_a_reply_and_says_so_and_at_the_prompt_it_leaves(engine):
    engine.hold.clear()
    engine.script = lambda text: ["A long reply", "never"]
    async with person(engine) as here:
        await here.prompt()
        here.types("go\n")
        await here.sees("A long reply")
        await press_ctrl_c(here)
        await here.sees("Stopping")
        await here.sees("(stopped)")
        await here.prompt()
        await press_ctrl_c(here)
        assert await here.left() == 0
        assert termios.tcgetattr(here.keyboard)[3] & termios.ECHO
        assert "Traceback" not in here.raw
    assert isinstance(engine.taken[-1], Pressed)


async def test_a_reply_that_came_while_nobody_looked_is_shown_at_the_next_start(engine):
    reply = Reply("t", chat("main"), "The answer is 42.", 1, "m")
    await engine.terminal.send(reply, engine.terminal.parts(reply)[0], key="", edit="", last=True)
    async with person(engine) as here:
        await here.sees("While you were away")
        await here.sees("The answer is 42.")


async def test_a_refusal_is_told_and_the_conversation_goes_on(engine):
    async with person(engine) as here:
        await here.prompt()
        engine.fault = StoreFull("The store is full: make room.")
        here.types("one\n")
        await here.sees("The store is full")
        await here.prompt()
        engine.fault = None
        here.types("two\n")
        await here.sees("You said: two")


async def test_what_was_typed_is_there_again_and_lies_sealed(engine):
    past = engine.socket.with_name("prompt")
    async with person(engine, past) as here:
        await here.prompt()
        here.types("a secret question\n")
        await here.sees("You said: a secret question")
        await here.prompt()
        here.types("\x04")
        assert await here.left() == 0
    assert stat.S_IMODE(past.stat().st_mode) == 0o600
    assert b"secret" not in past.read_bytes()
    async with person(engine, past) as here:
        await here.prompt()
        here.types("\x1b[A\n")
        await here.sees("You said: a secret question")
    assert engine.texts == ["a secret question"] * 2


def test_a_history_that_cannot_be_opened_is_begun_anew(tmp_path):
    Past(tmp_path / "prompt", KEY).keep(["one"])
    other = Past(tmp_path / "prompt", b"x" * 32)
    assert other.lines() == []
    other.keep(["two"])
    assert other.lines() == ["two"]
    (tmp_path / "prompt").write_bytes(b"garbage")
    assert other.lines() == []
    many = Past(tmp_path / "many", KEY)
    many.keep([str(n) for n in range(700)])
    assert many.lines() == [str(n) for n in range(200, 700)]
