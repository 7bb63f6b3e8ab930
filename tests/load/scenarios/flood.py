"""Two hundred chats ask at once while a group talks, at a server that keeps the published limits: nothing may get lost."""

import asyncio
from pathlib import Path
from time import monotonic

from tests.load.plan import Plan
from tests.load.programs import LIMITED, Bot, both
from tests.load.record import Asked
from tests.load.table import Chapter, Figure, most


async def flood(plan: Plan, folder: Path) -> Chapter:
    """Both bots at the same time, each at a server of its own."""
    async with both(folder, LIMITED | plan.settings, limits=True) as bots:
        results = await asyncio.gather(*(_rush(one, plan) for one in bots))
        refused = [float(one.course.record.refused) for one in bots]
        doubled = [float(sum(a.finals > 1 for a in one.course.record.asked.values())) for one in bots]
        problems = list(bots[1].problems)
    lost = [float(sum(not one.final for one in asked)) for _, asked in results]
    figures = [
        Figure("finals lost", "", *lost, most(0)),
        Figure("finals twice", "", *doubled, most(0)),
        Figure("calls refused with 429", "", *refused),
        Figure(
            "until the last final of the private chats",
            "s",
            *(_last(began, asked[: plan.flood_chats]) for began, asked in results),
        ),
        Figure(
            "until the last final of the group",
            "s",
            *(_last(began, asked[plan.flood_chats :]) for began, asked in results),
        ),
    ]
    notes = [
        (
            f"{plan.flood_chats} private chats at once; a group of {plan.flood_group} people, one message each {plan.flood_group_every:g} s; "
            "30/s in all, 1/s a chat, 20/min a group; PIERIA_SEND_LIMITS=platform, PIERIA_RATE=30"
        ),
        *problems[:5],
    ]
    return Chapter("flood", figures, notes)


async def _rush(one: Bot, plan: Plan) -> tuple[float, list[Asked]]:
    course, began = one.course, monotonic()
    asked = [await course.ask(human, plan.max_speech) for human in course.humans(plan.flood_chats)]
    for human in course.group(plan.flood_group):
        asked.append(await course.ask(human, plan.max_speech))
        await asyncio.sleep(plan.flood_group_every)
    patience = plan.flood_patience if one.name == "ours" else plan.patience
    await asyncio.wait([told.ended for told in asked], timeout=patience)
    return began, asked


def _last(began: float, asked: list[Asked]) -> float:
    """Seconds until the last answer that came."""
    return max((told.final for told in asked), default=began) - began
