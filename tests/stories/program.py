"""Pieria as a person starts it: the real program in a process of its own, on a data folder of its own."""

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_OURS = re.compile(
    r"^(PIERIA|TELEGRAM|SLACK|DISCORD|REDIS|OPENAI|ANTHROPIC|GEMINI|OPENROUTER|GROQ|MISTRAL|DEEPSEEK|XAI|OLLAMA|MODEL)_"
)


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """The environment without anybody's settings but these; the page takes a free port."""
    clean = {name: value for name, value in os.environ.items() if not _OURS.match(name)}
    return {**clean, "PIERIA_DATA": str(folder), "PIERIA_PORT": str(free_port()), **settings}


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Program:
    """A running `pieria run`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid
        self.output = ""

    async def says(self, pattern: str, seconds: float = 20.0) -> re.Match[str]:
        """Wait until the program has printed this."""
        async with asyncio.timeout(seconds):
            while not (found := re.search(pattern, self.output)):
                assert self._process.returncode is None, f"the program ended:\n{self.output}"
                await asyncio.sleep(0.02)
        return found

    async def kill(self) -> None:
        """kill -9: no chance to tidy up."""
        self._process.kill()
        await self._process.wait()

    async def stop(self, seconds: float = 40.0, number: signal.Signals = signal.SIGINT) -> int:
        """Ctrl-C, or another signal, and wait for the end."""
        if self._process.returncode is None:
            self._process.send_signal(number)
        async with asyncio.timeout(seconds):
            return await self._process.wait()

    async def read(self) -> None:
        """Keep what it prints."""
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self.output += line.decode()


@asynccontextmanager
async def running(settings: dict[str, str], *arguments: str, module: str = "bots") -> AsyncIterator[Program]:
    """`pieria run` with these settings; stopped in order at the end, where it still runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, "run", *arguments),
        cwd=ROOT,
        env=settings,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    program = Program(process)
    reading = asyncio.create_task(program.read())
    try:
        await program.says("Ctrl-C ends it")
        yield program
    finally:
        if process.returncode is None:
            await program.stop()
        await reading


async def chat(settings: dict[str, str], typed: str, *arguments: str, seconds: float = 60.0) -> tuple[int, str, str]:
    """`echo typed | pieria chat`: exit code, standard output, standard error."""
    return await command(settings, "chat", *arguments, typed=typed, seconds=seconds)


async def command(
    settings: dict[str, str], *arguments: str, typed: str = "", seconds: float = 30.0, folder: Path = ROOT
) -> tuple[int, str, str]:
    """`pieria …`: exit code, standard output, standard error."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bots", *arguments),
        cwd=folder,
        env=settings,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(seconds):
        out, err = await process.communicate(typed.encode())
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def plain_text_in(folder: Path, *words: str) -> list[str]:
    """Files of a data folder in which these words stand readable."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            found += [f"{path.name}: {word}" for word in words if word.encode() in data]
    return found
