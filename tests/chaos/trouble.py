"""What goes wrong: the program and its store killed, paused and restarted one after the other, and meanwhile the platforms
fail in small ways all the time. All in an order and at moments that the seed decides."""

import asyncio
import random
import signal
import sys
import time
from collections.abc import Awaitable, Callable

from tests.chaos.house import House
from tests.chaos.ledger import Ledger, Outage
from tests.chaos.platforms import Platform

PAUSE = 8.0
"""Seconds for which the program stands still: longer than its leases."""

MOST = 3
"""Failures that wait for their call: more would pile up while nobody calls."""


class Trouble:
    """`acts` are the great ones by name."""

    def __init__(self, house: House, platforms: list[Platform], ledger: Ledger, rng: random.Random) -> None:
        self._house = house
        self._platforms = platforms
        self._ledger = ledger
        self._rng = rng
        self._began = time.monotonic()
        self._acts: dict[str, Callable[[], Awaitable[None]]] = {
            "kill": self._kill,
            "pause": self._pause,
            "store kill": self._kill_store,
            "store pause": self._pause_store,
            "restart": self._restart,
        }

    async def run(self, acts: list[str], gap: float) -> None:
        """One great trouble after the other, in any order."""
        self._rng.shuffle(acts)
        for act in acts:
            await asyncio.sleep(self._rng.uniform(0.5, gap))
            self._tell(act)
            await self._acts[act]()

    async def nag(self) -> None:
        """Small failures of the platforms, until cancelled."""
        while True:
            await asyncio.sleep(self._rng.uniform(0.2, 1.0))
            platform = self._rng.choice(self._platforms)
            if self._rng.random() < 0.1:
                await platform.hang_up()
            elif len(platform.server.faults) < MOST:
                platform.fail(self._rng)

    def heal(self) -> None:
        """No more failures."""
        for platform in self._platforms:
            platform.server.heal()

    async def _kill(self) -> None:
        outage = self._ledger.outage("kill")
        self._house.send(signal.SIGKILL)
        await self._house.ended()
        await self._up(outage)

    async def _kill_store(self) -> None:
        self._house.find_store()
        outage = self._ledger.outage("store kill")
        self._house.send_store(signal.SIGKILL)
        code = await self._house.ended()
        last = self._house.output.rstrip().rpartition("\n")[2]
        if code != 1 or not last.startswith("pieria: "):
            self._ledger.ended_wrong(f"without its store with {code}: {last!r}")
        await self._up(outage)

    async def _pause(self) -> None:
        outage = self._ledger.outage("pause")
        self._house.send(signal.SIGSTOP)
        await asyncio.sleep(PAUSE)
        self._house.send(signal.SIGCONT)
        outage.ended = outage.gone = time.monotonic()

    async def _pause_store(self) -> None:
        self._house.find_store()
        outage = self._ledger.outage("store pause")
        self._house.send_store(signal.SIGSTOP)
        await asyncio.sleep(self._rng.uniform(1.0, 6.0))
        self._house.send_store(signal.SIGCONT)
        outage.ended = time.monotonic()

    async def _restart(self) -> None:
        outage = self._ledger.outage("restart")
        self._house.send(signal.SIGTERM)
        code = await self._house.ended()
        self._ledger.note_broken(outage.began)
        if code != 0:
            self._ledger.ended_wrong(f"after SIGTERM with {code}")
        outage.ended = await self._house.start()

    async def _up(self, outage: Outage) -> None:
        outage.gone = time.monotonic()
        await asyncio.sleep(self._rng.uniform(0.0, 1.0))
        outage.ended = await self._house.start()

    def _tell(self, act: str) -> None:
        print(f"{time.monotonic() - self._began:6.1f} s  {act}", file=sys.stderr)
