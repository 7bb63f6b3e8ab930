"""One person sends five messages at once while all is quiet: they become two turns at most, answered in order."""

import asyncio
import itertools
from pathlib import Path

from tests.load.plan import Plan
from tests.load.programs import FREE, Bot, both
from tests.load.table import Chapter, Figure, most


async def burst(plan: Plan, folder: Path) -> Chapter:
    """The worst of the rounds."""
    calls = {"bare": 0, "ours": 0}
    disorder = {"bare": 0, "ours": 0}
    lost = {"bare": 0, "ours": 0}
    async with both(folder, FREE | plan.settings) as bots:
        for _ in range(plan.rounds):
            for one in bots:
                told, late, missed = await _round(one, plan)
                calls[one.name] = max(calls[one.name], told)
                disorder[one.name] += late
                lost[one.name] += missed
    figures = [
        Figure("calls of the model, at most", "", calls["bare"], calls["ours"], most(2)),
        Figure("answers out of order", "", disorder["bare"], disorder["ours"], most(0)),
        Figure("lost", "", lost["bare"], lost["ours"], most(0)),
    ]
    return Chapter("burst", figures, [f"{plan.burst_messages} messages of one person at once, {plan.rounds} times"])


async def _round(one: Bot, plan: Plan) -> tuple[int, int, int]:
    """Calls of the model, answers that came before an earlier one's, messages without an answer."""
    record, human = one.course.record, one.course.human()
    calls = record.calls
    asked = [await one.course.ask(human, plan.burst_speech) for _ in range(plan.burst_messages)]
    await asyncio.wait([told.ended for told in asked], timeout=plan.patience)
    numbers = {told.number for told in asked}
    came = [number for number in record.order if number in numbers]
    disorder = sum(after < before for before, after in itertools.pairwise(came))
    return record.calls - calls, disorder, sum(not told.final for told in asked)
