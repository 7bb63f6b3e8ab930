"""The program under test, as its processes and their store: one that has all in itself, or many that share a store.

Whoever makes trouble knows of a house only what `House` says.
"""

import asyncio
import os
import random
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from redis.asyncio import Redis

from adapters.child import socket_path
from adapters.valkey import Valkey
from core.keys import lease_key
from tests.chaos.process import START, Process
from tests.stories.program import environment

KEY = "11" * 32
"""The installation's, on all machines."""
ADAPTERS = 2
WORKERS = 3


class House(Protocol):
    """What trouble needs of it. Whatever was ended is started again, as a supervisor does it."""

    shared: bool
    """Several processes share its store."""
    output: str
    """All that its programs ever printed."""
    wrong: list[str]
    """What ended that should have lived."""

    async def start(self) -> None:
        """Start all of it and wait until it is up."""

    async def stop(self) -> None:
        """End all of it in order, where it runs."""

    async def victim(self, role: str) -> Process:
        """A process of a role that is up; of those that serve platforms one that holds an account."""

    async def again(self, process: Process) -> float:
        """Start what has ended; the moment from which the house can go on."""

    async def find_store(self) -> None:
        """Learn which process the store is: one that stands still does not tell."""

    def send_store(self, number: signal.Signals) -> None:
        """A signal to the store."""

    async def store_gone(self) -> float:
        """The store was killed: see what that leads to; the moment at which nobody sends any more, 0 where all go on."""

    async def store_again(self) -> float:
        """Have the store again; the moment from which the house can go on."""


class One:
    """`pieria run` with its embedded Valkey, on one data folder."""

    shared = False

    def __init__(self, folder: Path, settings: dict[str, str], rng: random.Random) -> None:
        self._folder = folder
        self._rng = rng
        self._program = Process("program", _environment(folder, settings))
        self.wrong: list[str] = self._program.wrong

    @property
    def output(self) -> str:
        return self._program.output

    async def start(self) -> None:
        """Start it."""
        assert await self._program.start(), self.output

    async def stop(self) -> None:
        """End it."""
        await self._program.stop()

    async def victim(self, role: str) -> Process:
        """The program."""
        return self._program

    async def again(self, process: Process) -> float:
        """Start it and wait for it: nobody else is there."""
        await asyncio.sleep(self._rng.uniform(0.0, 1.0))
        if not (up := await process.start()):
            self.wrong.append(f"it did not start again: {process.last!r}")
        return up or time.monotonic()

    async def find_store(self) -> None:
        """Ask the embedded one."""
        self._store = await _process_of(f"unix://{socket_path(self._folder, 'valkey.sock')}")

    def send_store(self, number: signal.Signals) -> None:
        """A signal to it."""
        os.kill(self._store, number)

    async def store_gone(self) -> float:
        """Without its store the program ends, and says so in a sentence."""
        code = await self._program.end()
        if code != 1 or not self._program.last.startswith("pieria: "):
            self.wrong.append(f"without its store it ended with {code}: {self._program.last!r}")
        return time.monotonic()

    async def store_again(self) -> float:
        """It comes with the program."""
        return await self.again(self._program)


class Many:
    """Processes that serve the platforms, one of which stands by, and workers; each has a folder of its own and they share
    a store. None of them ends when the store does.
    """

    shared = True

    def __init__(self, folder: Path, settings: dict[str, str], rng: random.Random) -> None:
        self._folder = folder
        self._settings = settings | {"PIERIA_KEY": KEY}
        self._rng = rng
        self._valkey = Valkey(folder / "store")
        self._processes: list[Process] = []
        self._starting: set[asyncio.Task[None]] = set()
        self._away = 0
        self._wrong: list[str] = []

    @property
    def output(self) -> str:
        return "\n".join(f"--- {process.name}\n{process.output}" for process in self._processes)

    @property
    def wrong(self) -> list[str]:
        return [*self._wrong, *(how for process in self._processes for how in process.wrong)]

    async def start(self) -> None:
        """Start the store, then all others side by side."""
        self._valkey.spawn()
        await self._valkey.ready()
        self._processes = list(self._made())
        assert all(await asyncio.gather(*(process.start() for process in self._processes))), self.output

    async def stop(self) -> None:
        """End the programs, then the store."""
        for task in self._starting:
            task.cancel()
        await asyncio.gather(*self._starting, return_exceptions=True)
        await asyncio.gather(*(process.stop() for process in self._processes))
        await asyncio.to_thread(self._valkey.close)

    async def victim(self, role: str) -> Process:
        """One of the role."""
        found = await self._up(role == "adapters")
        if role == "adapters":
            holding = await self._holding()
            found = [p for p in found if p.pid in holding] or found
        return self._rng.choice(found)

    async def again(self, process: Process) -> float:
        """Start it behind our back: where another one of its role is up, that goes on at once."""
        task = asyncio.create_task(self._supervise(process))
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)
        await self._up(process.delivers)
        return time.monotonic()

    async def find_store(self) -> None:
        """Ask it."""
        self._store = await _process_of(self._valkey.url)

    def send_store(self, number: signal.Signals) -> None:
        """A signal to it."""
        self._away += 1
        os.kill(self._store, number)

    async def store_gone(self) -> float:
        """Nobody ends."""
        await self._valkey.ended()
        return 0.0

    async def store_again(self) -> float:
        """Start it on its files."""
        await asyncio.sleep(self._rng.uniform(0.0, 1.0))
        self._valkey.close()
        self._valkey.spawn()
        await self._valkey.ready()
        self._away += 1
        return time.monotonic()

    def _made(self) -> Iterator[Process]:
        shared = self._settings | {"REDIS_URL": self._valkey.url}
        for number in range(1, ADAPTERS + 1):
            name = f"adapters-{number}"
            mine = _environment(self._folder / name, shared)
            yield Process(name, mine, "--role", "adapters", plays=False)
        for number in range(1, WORKERS + 1):
            name = f"worker-{number}"
            mine = _environment(self._folder / name, shared)
            yield Process(name, mine, "--role", "worker", delivers=False)

    async def _up(self, delivers: bool) -> list[Process]:
        """Those of a role that are up, as soon as there is one."""
        async with asyncio.timeout(2 * START):
            while not (found := [p for p in self._processes if p.up and p.delivers == delivers]):
                await asyncio.sleep(0.05)
        return found

    async def _holding(self) -> set[int]:
        """Processes that hold an account of ours, one time for each."""
        async with Redis.from_url(self._valkey.url) as redis:
            keys = [key async for key in redis.scan_iter(lease_key("*"))]
            holders = [(await redis.get(key) or b"").decode() for key in keys]
        return {int(found[1]) for holder in holders if (found := re.match(r"process (\d+) on ", holder))}

    async def _supervise(self, process: Process) -> None:
        """A start while the store is away may fail, and is tried again."""
        while True:
            await asyncio.sleep(self._rng.uniform(0.0, 1.0))
            away = self._away
            if await process.start():
                return
            if away == self._away and not away % 2:
                self._wrong.append(f"{process.name} did not start again: {process.last!r}")
                return


def _environment(folder: Path, settings: dict[str, str]) -> dict[str, str]:
    """Its page gets a port that no connection takes while it is down."""
    return environment(folder, **settings, PIERIA_PORT=str(_port()))


def _port() -> int:
    """A free one below those that systems give to connections."""
    chance = random.SystemRandom()
    while True:
        port = chance.randrange(12_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port


async def _process_of(url: str) -> int:
    async with Redis.from_url(url) as redis:
        return int((await redis.info("server"))["process_id"])
