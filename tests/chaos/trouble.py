"""What goes wrong: processes and their store killed, paused and restarted one after the other, and meanwhile the platforms
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
"""Seconds for which a process stands still: longer than its leases."""

MOST = 3
"""Failures that wait for their call: more would pile up while nobody calls."""


class Trouble:
    """The great ones are named by what happens and to whom: `kill worker`, `pause store`."""

    def __init__(
        self, house: House, platforms: list[Platform], ledger: Ledger, rng: random.Random, *, grace: float
    ) -> None:
        """`grace`: seconds before a kill in which a send may have been answered without the program having noted it, and after
        a pause in which one may go out that had been decided on before.
        """
        self._house = house
        self._grace = grace
        self._platforms = platforms
        self._ledger = ledger
        self._rng = rng
        self._began = time.monotonic()
        self._acts: dict[str, Callable[[str], Awaitable[None]]] = {
            "kill": self._kill,
            "pause": self._pause,
            "restart": self._restart,
        }

    async def run(self, acts: list[str], gap: float) -> None:
        """One great trouble after the other, in any order."""
        self._rng.shuffle(acts)
        for act in acts:
            await asyncio.sleep(self._rng.uniform(0.5, gap))
            self._tell(act)
            what, _, whom = act.partition(" ")
            if whom == "store":
                await (self._kill_store() if what == "kill" else self._pause_store())
            else:
                await self._acts[what](whom)

    async def nag(self, gap: float) -> None:
        """Small failures of the platforms, one in `gap` seconds at least, until cancelled."""
        while True:
            await asyncio.sleep(self._rng.uniform(0.2, gap))
            platform = self._rng.choice(self._platforms)
            if self._rng.random() < 0.1:
                await platform.hang_up()
            elif len(platform.server.faults) < MOST:
                platform.fail(self._rng)

    def heal(self) -> None:
        """No more failures."""
        for platform in self._platforms:
            platform.server.heal()

    async def _kill(self, role: str) -> None:
        process = await self._house.victim(role)
        outage = self._ledger.outage(f"kill {process.name}", process)
        await process.end(signal.SIGKILL)
        if process.delivers:
            self._doubt(outage, time.monotonic())
        outage.ended = await self._house.again(process)

    async def _pause(self, role: str) -> None:
        process = await self._house.victim(role)
        outage = self._ledger.outage(f"pause {process.name}", process)
        process.send(signal.SIGSTOP)
        stood = time.monotonic()
        await asyncio.sleep(PAUSE)
        process.send(signal.SIGCONT)
        outage.ended = time.monotonic()
        if process.delivers:
            self._doubt(outage, stood)
            outage.doubt.append((outage.ended, outage.ended + self._grace))

    async def _restart(self, role: str) -> None:
        process = await self._house.victim(role)
        outage = self._ledger.outage(f"restart {process.name}", process)
        code = await process.end(signal.SIGTERM)
        self._ledger.note_broken(process, outage.began)
        if code != 0:
            self._ledger.ended_wrong(f"{process.name} after SIGTERM with {code}: {process.last!r}")
        outage.ended = await self._house.again(process)

    async def _kill_store(self) -> None:
        await self._house.find_store()
        outage = self._ledger.outage("kill store")
        self._house.send_store(signal.SIGKILL)
        gone = await self._house.store_gone()
        outage.ended = await self._house.store_again()
        self._doubt(outage, gone or outage.ended)

    async def _pause_store(self) -> None:
        await self._house.find_store()
        outage = self._ledger.outage("pause store")
        self._house.send_store(signal.SIGSTOP)
        await asyncio.sleep(self._rng.uniform(1.0, 6.0))
        self._house.send_store(signal.SIGCONT)
        outage.ended = time.monotonic()
        if self._house.shared:  # while no lease can be renewed another process may come to hold an account
            self._doubt(outage, outage.ended)

    def _doubt(self, outage: Outage, until: float) -> None:
        outage.doubt.append((outage.began - self._grace, until))

    def _tell(self, act: str) -> None:
        print(f"{time.monotonic() - self._began:6.1f} s  {act}", file=sys.stderr)
