"""The terminal's side of `pieria chat`: a conversation on a tty, or one question whose reply alone goes to stdout.

It speaks to the socket in the data folder, whether another process serves it or this one.
"""

import asyncio
import contextlib
import os
import select
import shutil
import signal
import stat
import sys
import termios
import threading
import uuid
from collections.abc import Callable, Coroutine, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from adapters.chat.terminal.client import Cut, Event, Line, line_to
from adapters.chat.terminal.format import DIM, OFF, ansi, safe
from adapters.chat.terminal.live import Live
from core.errors import PieriaError, SealError
from core.seal import Box

MAIN = "main"
"""The conversation that the interactive terminal goes on with."""
MOST_INPUT = 1_000_000
"""Bytes of one message."""
KEPT = 500
"""Lines of the prompt's history."""
FAILED, EMPTY, INTERRUPTED = 1, 2, 130
PASTE_ENDS = b"\x1b[?2004l"
"""Tells a terminal to send pasted text like typed text again."""

_Result = TypeVar("_Result")


class Past:
    """What was typed at the prompt, for its arrow keys: sealed with the installation's key in a file of mode 0600."""

    def __init__(self, path: Path, key: bytes) -> None:
        self._path = path
        self._box = Box(blake2b(key=key, digest_size=32, person=b"prompt history").digest())

    def lines(self) -> list[str]:
        """The oldest first; none where the file is missing or cannot be opened with this key."""
        try:
            return msgspec.json.decode(self._box.open(self._path.read_bytes(), "history"), type=list[str])
        except (OSError, SealError, msgspec.DecodeError):
            return []

    def keep(self, lines: list[str]) -> None:
        """Add lines at the end; another terminal may have added its own."""
        sealed = self._box.seal(msgspec.json.encode([*self.lines(), *lines][-KEPT:]), "history")
        beside = self._path.with_name(f"{self._path.name}.{uuid.uuid4().hex[:8]}")
        try:
            handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR)
            with os.fdopen(handle, "wb") as file:
                file.write(sealed)
            beside.replace(self._path)
        except OSError as error:
            print(f"The prompt's history cannot be kept in {self._path}: {error.strerror}.", file=sys.stderr)


async def talk(socket: Path, question: str = "", past: Past | None = None) -> int:
    """Talk with the program behind the socket until the person leaves; returns the exit code.

    With a question, or without a tty on stdin and stdout, one message is answered in a conversation of its own. Handles
    SIGINT meanwhile; must run in the main thread.
    """
    async with line_to(socket) as line:
        try:
            if question or not (sys.stdin.isatty() and sys.stdout.isatty()):
                return await _once(line, question)
            return await _conversation(line, past)
        except PieriaError as error:
            print(error.sentence, file=sys.stderr)
            return FAILED


# One question


async def _once(line: Line, question: str) -> int:
    thread = f"once-{uuid.uuid4().hex}"
    try:
        text = question or await _unless_interrupted(_beside(_read_input))
        if len(text.encode()) > MOST_INPUT:
            raise PieriaError(f"The message is too long: at most {MOST_INPUT:,} bytes can be sent.")
        if not text.strip():
            print("There is no question: write it after `pieria chat`, or pipe it in.", file=sys.stderr)
            return EMPTY
        await _unless_interrupted(_answer(line, text, thread))
    except _Interrupted:
        await line.stop(thread)
        return INTERRUPTED
    except BrokenPipeError:
        await line.stop(thread)  # nobody reads the rest
    return 0


async def _answer(line: Line, text: str, thread: str) -> None:
    """Print the reply as it grows. What was printed cannot be taken back: a text that changes waits for the final."""
    shown = safe if sys.stdout.isatty() else str
    printed = ""
    async with contextlib.aclosing(line.say(text, thread)) as events:
        async for event in events:
            if "partial" in event:
                grown = shown(event["partial"]).rstrip()
                if grown.startswith(printed) and grown != printed:
                    await _print(grown[len(printed) :])
                    printed = grown
            elif "final" in event:
                final = shown(event["final"])
                if event.get("failed"):
                    await _print("\n" if printed else "")
                    raise PieriaError(final.removeprefix(printed).strip())
                await _print((final[len(printed) :] if final.startswith(printed) else f"\n{final}") + "\n")
            elif "error" in event:
                await _print("\n" if printed else "")
                raise PieriaError(event["error"])


def _read_input() -> str:
    # not sys.stdin: a thread that waits inside its lock cannot be left behind at the end
    read = bytearray()
    while len(read) <= MOST_INPUT and (piece := os.read(0, 65_536)):
        read += piece
    return read.decode(errors="replace").strip("\r\n")


# A conversation


async def _conversation(line: Line, past: Past | None) -> int:
    import readline

    about, missed = await line.about(MAIN)
    await _print(f"{DIM}{safe(about)} · /help shows commands, Ctrl-C stops a reply, Ctrl-D leaves{OFF}\n")
    for text in missed:
        await _print(f"{DIM}While you were away:{OFF}\n{ansi(text, _size()[0])}\n")
    readline.set_history_length(KEPT)
    readline.parse_and_bind("set enable-bracketed-paste on")  # several pasted lines are one message
    for typed in past.lines() if past else []:
        readline.add_history(typed)
    with _tty_as_it_was(), _paste_as_it_was():
        while True:
            try:
                lines = await _unless_interrupted(_beside(_prompt))
            except (_Interrupted, EOFError):
                await _print("\n")
                return 0
            except UnicodeDecodeError:
                print("That was not readable as UTF-8: check the terminal's encoding.", file=sys.stderr)
                continue
            text = "\n".join(lines)
            if text.strip() in {"/quit", "/exit"}:
                return 0
            if not text.strip():
                continue
            if past:
                past.keep([typed for typed in lines if typed.strip()])
            with _unechoed():
                await _exchange(line, text)


async def _exchange(line: Line, text: str) -> None:
    """Show the reply while it grows; the first Ctrl-C stops it, the second does not wait for that. Raises Cut."""
    live = Live(_size)
    news: asyncio.Queue[Event | PieriaError | None] = asyncio.Queue()

    async def read() -> None:
        try:
            async with contextlib.aclosing(line.say(text, MAIN)) as events:
                async for event in events:
                    news.put_nowait(event)
        except PieriaError as error:
            news.put_nowait(error)

    with _interrupts(news):
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(read())
            failure = await _show(live, news, lambda: tasks.create_task(line.stop(MAIN)))
            reading.cancel()
    if isinstance(failure, Cut):
        raise failure
    if failure is not None:
        print(failure.sentence, file=sys.stderr)


async def _show(
    live: Live, news: "asyncio.Queue[Event | PieriaError | None]", stop: Callable[[], object]
) -> PieriaError | None:
    """Show what comes until the reply has ended; returns why there was none. None among the news is a Ctrl-C."""
    stopping = False
    while True:
        try:
            event = await asyncio.wait_for(news.get(), 0.1)
        except TimeoutError:
            await _print(live.tick())
            continue
        if event is None and stopping:
            await _print(f"{live.end()}{DIM}Left; the reply is shown when it comes.{OFF}\n")
            return None
        if event is None:
            stopping = True
            stop()
            await _print(live.beside(f"{DIM}Stopping …{OFF}"))
        elif isinstance(event, PieriaError):
            await _print(live.end())
            return event
        elif "partial" in event:
            await _print(live.grow(event["partial"], event.get("doing", "")))
        elif "other" in event:
            await _print(live.beside(ansi(event["other"], _size()[0])))
        elif "error" in event:
            await _print(live.end())
            return PieriaError(event["error"])
        else:
            buttons = " · ".join(f"{b['action']}: {b['label']}" for b in event["buttons"])
            await _print(live.finish(event["final"]) + (f"{DIM}{safe(buttons)}{OFF}\n" if buttons else ""))
            return None


def _prompt() -> list[str]:
    """What was typed; a backslash at the end of a line goes on with the next."""
    lines = [input("> ")]
    while lines[-1].endswith("\\"):
        lines[-1] = lines[-1][:-1]
        lines.append(input(". "))
    return lines


# What it stands on


class _Interrupted(Exception):
    """Ctrl-C was pressed."""


@contextlib.contextmanager
def _interrupts(news: "asyncio.Queue[Any]") -> Iterator[None]:
    """A Ctrl-C comes as None among the news."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, news.put_nowait, None)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


async def _unless_interrupted(work: Coroutine[Any, Any, _Result]) -> _Result:
    """What the work gives; raises _Interrupted, with the work cancelled, if Ctrl-C comes first."""
    interrupts: asyncio.Queue[None] = asyncio.Queue()
    with _interrupts(interrupts):
        working, pressed = asyncio.ensure_future(work), asyncio.ensure_future(interrupts.get())
        try:
            await asyncio.wait((working, pressed), return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            raise _Interrupted
        finally:
            working.cancel()
            pressed.cancel()
            await asyncio.gather(working, pressed, return_exceptions=True)


async def _beside(work: Callable[[], _Result]) -> _Result:
    """Run what blocks, in a thread that may be left behind: nobody can call a read of the keyboard back."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_Result] = loop.create_future()

    def tell(result: _Result | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(cast("_Result", result))
        else:
            done.set_exception(error)

    def run() -> None:
        result, failure = None, None
        try:
            result = work()
        except (OSError, EOFError, ValueError) as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, result, failure)

    threading.Thread(target=run, daemon=True, name="terminal").start()
    return await done


async def _print(text: str) -> None:
    """Write all of it to stdout; a slow reader holds up nobody else. Raises BrokenPipeError."""
    if text:
        await asyncio.shield(_beside(lambda: _write(text.encode(errors="replace"))))


def _write(data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(1, rest) :]
        except BlockingIOError:
            select.select([], [1], [])


def _size() -> tuple[int, int]:
    size = shutil.get_terminal_size()
    return max(20, size.columns), max(3, size.lines)


@contextlib.contextmanager
def _tty_as_it_was() -> Iterator[None]:
    before = termios.tcgetattr(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSANOW, before)


@contextlib.contextmanager
def _paste_as_it_was() -> Iterator[None]:
    """A prompt that is left behind cannot tell the terminal itself that it is over."""
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            _write(PASTE_ENDS)


@contextlib.contextmanager
def _unechoed() -> Iterator[None]:
    """Keys that are pressed while a reply grows do not show up in it; they wait for the prompt."""
    with _tty_as_it_was():
        quiet = termios.tcgetattr(0)
        quiet[3] &= ~termios.ECHO
        termios.tcsetattr(0, termios.TCSANOW, quiet)
        yield
