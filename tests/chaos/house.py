"""The program under test, as its processes: now one with its embedded Valkey. Whoever makes trouble knows no more of it."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from redis import Redis

from adapters.child import socket_path
from tests.stories.program import ROOT, Program, environment


class House:
    """`pieria run`, again and again, on one data folder. `output` is all that it ever printed."""

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self._folder = folder
        self._settings = environment(folder, **settings)
        self._process: asyncio.subprocess.Process | None = None
        self._program: Program | None = None
        self._reading: asyncio.Task[None] | None = None
        self._before = ""

    @property
    def output(self) -> str:
        return self._before + (self._program.output if self._program else "")

    async def start(self) -> float:
        """Start it; the moment at which it was up."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bots", "run"),
            cwd=ROOT,
            env=self._settings,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self._program = Program(self._process)
        self._reading = asyncio.create_task(self._program.read())
        await self._program.says("Ctrl-C ends it", 30.0)
        return time.monotonic()

    async def stop(self) -> None:
        """End it in order, where it runs."""
        if self._process and self._process.returncode is None:
            self.send(signal.SIGTERM)
            await self.ended()

    def send(self, number: signal.Signals) -> None:
        """A signal to the program."""
        os.kill(self._process.pid, number)

    def send_store(self, number: signal.Signals) -> None:
        """A signal to its store."""
        os.kill(self._store, number)

    async def ended(self, seconds: float = 45.0) -> int:
        """Wait until it has ended; its exit code, negative for a signal."""
        async with asyncio.timeout(seconds):
            code = await self._process.wait()
            await self._reading
        self._before, self._program = self.output, None
        return code

    def find_store(self) -> None:
        """Learn which process the store is: one that is stopped does not tell."""
        with Redis(unix_socket_path=str(socket_path(self._folder, "valkey.sock"))) as redis:
            self._store = int(redis.info("server")["process_id"])
