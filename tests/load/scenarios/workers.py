"""Many processes over Docket: one that receives and delivers, others that answer, a store that they share, all on the bots' core."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from adapters.valkey import Valkey
from tests.load.people import eagerly
from tests.load.plan import BOT_CORE, LOAD_CORE, Plan
from tests.load.programs import BARE, FREE, PIERIA, bot, pin
from tests.load.scenarios.max import measured
from tests.load.table import Chapter, Figure, median, most, times_least

KEY = "22" * 32
GOAL_WORKERS = 2
"""How many workers the goal is set for."""


async def workers(plan: Plan, folder: Path) -> Chapter:
    """Rounds of bare and ours in turns, for each number of workers; medians of the rounds."""
    figures: list[Figure] = []
    problems: list[str] = []
    lost = 0
    async with bot("bare", BARE, folder / "bare") as bare:
        for count in plan.workers:
            with _store(folder / f"store {count}") as (url, process):
                settings = FREE | {"REDIS_URL": url, "PIERIA_KEY": KEY} | plan.settings
                adapters, worker = ((*PIERIA, "run", "--role", role) for role in ("adapters", "worker"))
                place = folder / f"{count}"
                async with bot("ours", adapters, place, settings, helpers=[worker] * count, store=process) as ours:
                    await eagerly(
                        *(ours.course, plan.max_people, plan.max_speech),
                        messages=plan.warm * 10,
                        stay=plan.max_stay,
                        patience=plan.patience,
                    )
                    told = {"bare": [], "ours": []}
                    for _ in range(plan.workers_rounds):
                        for one in (bare, ours):
                            told[one.name].append(await measured(one, plan, plan.workers_seconds))
                    problems += ours.problems
            lost += sum(missed for *_, missed in told["ours"])
            rates = [median([rate for rate, *_ in told[name]]) for name in ("bare", "ours")]
            costs = [median([1000 * cpu.total for _, cpu, *_ in told[name]]) for name in ("bare", "ours")]
            store = median([1000 * cpu.store for _, cpu, *_ in told["ours"]])
            goal = times_least(1.5) if count == GOAL_WORKERS else None
            name = f"{count} worker{'s' if count > 1 else ''}"
            figures += [
                Figure(f"messages a second, {name}", "", *rates, goal),
                Figure(f"processor a message, {name}", "ms", *costs),
                Figure("  of it the store's", "ms", None, store),
            ]
    figures.append(Figure("lost", "", None, lost, most(0)))
    notes = ["pieria run --role adapters, and workers; a Valkey on a unix socket; as in max", *problems[:5]]
    return Chapter("workers", figures, notes)


@contextmanager
def _store(folder: Path) -> Iterator[tuple[str, int]]:
    """A Valkey on the bots' core: its URL and its process."""
    valkey = Valkey(folder)
    pin(BOT_CORE)
    try:
        valkey.spawn()
    finally:
        pin(LOAD_CORE)
    try:
        yield valkey.url, valkey._child.pid
    finally:
        valkey.close()
