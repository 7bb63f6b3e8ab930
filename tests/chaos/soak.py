"""One run: the servers, the program in front of them, people and trouble; then all faults stop, and it is counted."""

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from tests.chaos.house import Many, One
from tests.chaos.ledger import Ledger, Verdict
from tests.chaos.people import Brain, People
from tests.chaos.platforms import Discord, Platform, Slack, Telegram
from tests.chaos.trouble import Trouble
from tests.servers.models import ModelServer

SETTLE = 120.0
"""Seconds that everything may take to come to rest when nothing fails any more."""
CALM = 2.0
"""Seconds that it is watched in rest: a copy may be late."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of it: in front of which house, places a platform, messages a second in all, and the great troubles."""

    house: type[One | Many]
    private: int
    groups: int
    rate: float
    acts: tuple[str, ...]
    gap: float
    """Seconds between two troubles, at most."""
    nag: float = 1.0
    """Seconds between two small failures of the platforms, at most. Where few people talk, all of them hit the same call."""
    grace: float = 0.3
    """Seconds that may pass until what was sent is noted: more where the machine is busy."""

    def times(self, rounds: int) -> "Plan":
        """The same with so many rounds of trouble."""
        return replace(self, acts=self.acts * rounds)


@dataclass(slots=True)
class Result:
    """What came of it."""

    verdicts: list[Verdict]
    findings: list[str]
    begun_again: int
    wrong_ends: int
    story: list[str]
    output: str
    seconds: float

    @property
    def bad(self) -> bool:
        return any(verdict.bad for verdict in self.verdicts) or self.begun_again > 0 or self.wrong_ends > 0


async def soak(plan: Plan, seed: int, folder: Path) -> Result:
    """Run it on a data folder."""
    began = time.monotonic()
    people_rng, brain_rng, act_rng, nag_rng, house_rng = (
        random.Random(f"{seed} {use}") for use in ("talk", "brain", "act", "nag", "house")
    )
    platforms: list[Platform] = [made(plan.private, plan.groups) for made in (Telegram, Slack, Discord)]
    async with AsyncExitStack() as stack:
        models = await stack.enter_async_context(ModelServer(brain=Brain(brain_rng)))
        settings = {"OPENAI_BASE_URL": models.url, "PIERIA_ACCESS": "open", "PIERIA_RATE": "off"}
        for platform in platforms:
            await stack.enter_async_context(platform.server)
            settings |= platform.settings
        house = plan.house(folder, settings, house_rng)
        people = People(platforms, people_rng)
        ledger = Ledger(platforms, people, models)
        try:
            await house.start()
            await _until(lambda: all(platform.heard for platform in platforms), SETTLE)
            watching = asyncio.create_task(ledger.watch())
            await people.greet()
            await _until(lambda: ledger.settled, SETTLE)
            nagging = Trouble(house, platforms, ledger, nag_rng, grace=plan.grace)
            beside = [asyncio.create_task(people.talk(plan.rate)), asyncio.create_task(nagging.nag(plan.nag))]
            troubling = Trouble(house, platforms, ledger, act_rng, grace=plan.grace)
            await troubling.run(list(plan.acts), plan.gap)
            await _end(beside)
            nagging.heal()
            await _until(lambda: ledger.settled, SETTLE)
            await asyncio.sleep(CALM)
            await _end([watching])
        finally:
            await house.stop()
        for how in house.wrong:
            ledger.ended_wrong(how)
        if "Traceback" in house.output:
            ledger.ended_wrong("a traceback was printed")
        return Result(
            ledger.judge(),
            ledger.findings,
            ledger.begun_again,
            ledger.wrong_ends,
            ledger.story(),
            house.output,
            time.monotonic() - began,
        )


async def _until(fact: Callable[[], bool], seconds: float) -> None:
    """Wait for it, but not for ever: what is missing then is lost."""
    end = time.monotonic() + seconds
    while not fact() and time.monotonic() < end:
        await asyncio.sleep(0.1)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    """End them; one that broke breaks us."""
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome
