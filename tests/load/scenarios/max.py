"""Thirty-two people who write again as soon as they are answered, to a model that needs no time: how much goes through."""

import time
from pathlib import Path

from tests.load.people import eagerly
from tests.load.plan import Plan
from tests.load.programs import FREE, NOBODY, Bot, bot, both
from tests.load.table import Chapter, Figure, median, most, times_least, times_most
from tests.load.tree import Cpu


async def at_most(plan: Plan, folder: Path) -> Chapter:
    """Rounds in turns; medians of the rounds."""
    rates: dict[str, list[float]] = {"bare": [], "ours": []}
    costs: dict[str, list[float]] = {"bare": [], "ours": []}
    stores, busy, lost = [], {"bare": [], "ours": []}, {"bare": 0.0, "ours": 0.0}
    async with both(folder, FREE | plan.settings) as bots:
        for one in bots:
            await eagerly(
                one.course,
                plan.max_people,
                plan.max_speech,
                messages=plan.warm * 10,
                stay=plan.max_stay,
                patience=plan.patience,
            )
        for _ in range(plan.max_rounds):
            for one in bots:
                rate, cpu, servers, missed = await measured(one, plan, plan.max_seconds)
                rates[one.name].append(rate)
                costs[one.name].append(1000 * cpu.total)
                busy[one.name].append(100 * servers)
                lost[one.name] += missed
                if one.name == "ours":
                    stores.append(1000 * cpu.store)
        others = bots[1].course.record.others
        problems = [f"{one.name}: {problem}" for one in bots for problem in one.problems]
    async with bot("nobody", NOBODY, folder / "nobody") as nobody:
        alone, *_ = await measured(nobody, plan, plan.max_seconds)
    figures = [
        Figure("messages a second", "", median(rates["bare"]), median(rates["ours"]), times_least(2.5)),
        Figure("processor a message, the tree", "ms", median(costs["bare"]), median(costs["ours"]), times_most(0.4)),
        Figure("  of it the store's", "ms", None, median(stores), most(0.25)),
        Figure("lost", "", lost["bare"], lost["ours"], most(0)),
        Figure("the servers' core was busy", "%", median(busy["bare"]), median(busy["ours"])),
        Figure("what the servers carry by themselves, messages/s", "", None, alone),
    ]
    notes = [
        (
            f"{plan.max_people} people in closed loop, {plan.max_speech.tokens} tokens at once; after {plan.max_stay} messages "
            "somebody new takes the seat"
        ),
        f"{others} calls of the model for something else than an answer",
        *problems[:5],
    ]
    return Chapter("max", figures, notes)


async def measured(one: Bot, plan: Plan, seconds: float) -> tuple[float, Cpu, float, int]:
    """Messages a second, processor a message, the servers' share of their core, and how many were lost."""
    before, mine, began = one.tree.cpu(), time.process_time(), time.monotonic()
    asked = await eagerly(
        one.course,
        plan.max_people,
        plan.max_speech,
        seconds=seconds,
        stay=plan.max_stay,
        patience=plan.patience,
    )
    took, cpu = time.monotonic() - began, one.tree.cpu().since(before)
    servers = (time.process_time() - mine) / took
    answered = sum(1 for told in asked if told.final)
    each = max(1, answered)
    return answered / took, Cpu(cpu.total / each, cpu.store / each), servers, len(asked) - answered
