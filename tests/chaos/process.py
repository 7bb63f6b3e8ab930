"""One `pieria run` as a supervisor has it: started, ended on purpose, started again; one that ends by itself is told of."""

import asyncio
import os
import signal
import sys
import time

from tests.stories.program import ROOT

START = 120.0
"""Seconds for a start on a busy machine."""
END = 45.0
"""Seconds for an end in order: running turns get thirty."""


_ELSEWHERE = """
import runpy, socket, sys
machine, *sys.argv = sys.argv[1:]
socket.gethostname = lambda: machine
runpy.run_module("bots", run_name="__main__", alter_sys=True)
"""
"""`-m bots` as on a machine of that name: nobody but what follows it there can tell that one ended."""


class Process:
    """`name` is also that of its machine, and the key that it shows to the model; `plays` and `delivers` tell what it does of
    the house's work.

    `output` is all that it ever printed, `wrong` says of each end that nobody asked for how it was.
    """

    def __init__(
        self, name: str, settings: dict[str, str], *arguments: str, plays: bool = True, delivers: bool = True
    ) -> None:
        self.name = name
        self.plays = plays
        self.delivers = delivers
        self.output = ""
        self.wrong: list[str] = []
        self.up = False
        """It came up, and nobody has asked it to end."""
        self._settings = {**settings, "OPENAI_API_KEY": name}
        self._arguments = arguments
        self._process: asyncio.subprocess.Process | None = None
        self._following: asyncio.Task[int] | None = None

    @property
    def pid(self) -> int:
        """Of the newest start."""
        return self._process.pid

    @property
    def last(self) -> str:
        """The last line that it printed."""
        return self.output.rstrip().rpartition("\n")[2]

    async def start(self) -> float:
        """Start it and wait until it is up; the moment at which it was, 0 where it did not come up."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _ELSEWHERE, self.name, "bots", "run", *self._arguments),
            cwd=ROOT,
            env=self._settings,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        before = len(self.output)
        self._following = asyncio.create_task(self._follow(self._process))
        given_up = time.monotonic() + START
        while "Ctrl-C ends it" not in self.output[before:]:
            if self._following.done():
                return 0.0
            if time.monotonic() > given_up:
                await self.end(signal.SIGKILL)
                return 0.0
            await asyncio.sleep(0.02)
        self.up = not self._following.done()
        return time.monotonic()

    def send(self, number: signal.Signals) -> None:
        """A signal that it should live through."""
        os.kill(self.pid, number)

    async def end(self, number: signal.Signals | None = None) -> int:
        """End it by a signal, or see it end by itself; its exit code, negative for a signal."""
        self.up = False
        if number is not None and not self._following.done():
            self.send(number)
        async with asyncio.timeout(END):
            return await self._following

    async def stop(self) -> None:
        """End it in order, where it runs, also where it stands still."""
        if self._following is not None and not self._following.done():
            self.send(signal.SIGCONT)
            await self.end(signal.SIGTERM)

    async def _follow(self, process: asyncio.subprocess.Process) -> int:
        while line := await process.stdout.readline():
            self.output += line.decode()
        code = await process.wait()
        if self.up:
            self.up = False
            self.wrong.append(f"{self.name} ended by itself with {code}: {self.last!r}")
        return code
