"""One person whose model takes ten seconds, beside nineteen with a quick one: the others notice nothing."""

import asyncio
from pathlib import Path

from tests.load.people import eagerly, steadily
from tests.load.plan import Plan
from tests.load.programs import FREE, PIERIA, Bot, bot
from tests.load.table import Chapter, Figure, most, percentile


async def slow_neighbour(plan: Plan, folder: Path) -> Chapter:
    """Rounds with and without the neighbour in turns; the p99 of all messages of all rounds together."""
    waits: dict[bool, list[float]] = {False: [], True: []}
    lost = 0
    async with bot("ours", (*PIERIA, "run"), folder, FREE | plan.settings) as ours:
        await eagerly(
            *(ours.course, plan.neighbours, plan.max_speech),
            messages=plan.warm * 10,
            stay=plan.max_stay,
            patience=plan.patience,
        )
        for _ in range(plan.neighbours_rounds):
            for neighbour in (False, True):
                told, missed = await _round(ours, plan, neighbour=neighbour)
                waits[neighbour] += told
                lost += missed
    alone, beside = (percentile(waits[neighbour], 0.99) for neighbour in (False, True))
    figures = [
        Figure("p99 of the others, without", "ms", None, alone),
        Figure("p99 of the others, beside a slow one", "ms", None, beside),
        Figure("  what that adds", "ms", None, beside - alone, most(5)),
        Figure("lost", "", None, lost, most(0)),
    ]
    notes = [f"{plan.neighbours} people, {plan.neighbours_rate:g} messages/s; {len(waits[True])} messages each way"]
    return Chapter("slow neighbour", figures, notes)


async def _round(ours: Bot, plan: Plan, *, neighbour: bool) -> tuple[list[float], int]:
    """What the others wait from the update to the answer, in milliseconds, and how many of all got none."""
    course = ours.course
    slow = (
        [asyncio.ensure_future(course.answered(course.human(), plan.slow_speech, plan.patience))] if neighbour else []
    )
    people = course.humans(plan.neighbours)
    asked = await steadily(
        course,
        people,
        plan.max_speech,
        rate=plan.neighbours_rate,
        seconds=plan.neighbours_seconds,
        patience=plan.patience,
    )
    waits = [1000 * (told.final - told.handed) for told in asked if told.final]
    everybody = [*asked, *await asyncio.gather(*slow)]
    return waits, sum(not told.final for told in everybody)
