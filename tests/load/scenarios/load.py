"""Twenty people who write at a steady pace to a model that speaks as models do: what people wait for, and what a token costs."""

from collections.abc import Callable, Sequence
from pathlib import Path

from tests.load.course import Human
from tests.load.people import in_turns, steadily
from tests.load.plan import Plan, Speech
from tests.load.programs import FREE, Bot, both
from tests.load.record import Asked
from tests.load.table import Chapter, Figure, Goal, median, most, percentile, times_most
from tests.load.telegram import PREVIEWS
from tests.load.tree import Cpu


async def load(plan: Plan, folder: Path) -> Chapter:
    """Rounds of bare and ours in turns; percentiles of all messages of all rounds together."""
    fine: dict[str, list[Asked]] = {"bare": [], "ours": []}
    costs: dict[str, list[float]] = {"bare": [], "ours": []}
    stores, events = [], {"bare": [], "ours": []}
    async with both(folder, FREE | plan.settings) as bots:
        people = {one.name: one.course.humans(plan.load_people) for one in bots}
        for one in bots:  # so that nobody is new, and everything was done once
            await in_turns(
                *(one.course, people[one.name], plan.max_speech),
                seats=plan.load_people,
                messages=2 * plan.load_people,
                patience=plan.patience,
            )
        drafts = _previews(bots[1])
        for _ in range(plan.rounds):
            for one in bots:
                asked, cpu = await _round(one, people[one.name], plan, plan.load_speech)
                coarse, less = await _round(one, people[one.name], plan, plan.load_coarse)
                fine[one.name] += asked
                costs[one.name].append(1000 * cpu.total / len(asked))
                spared = plan.load_speech.tokens * (1 - 1 / plan.load_coarse.batch)
                events[one.name].append(1e6 * (cpu.total / len(asked) - less.total / len(coarse)) / spared)
                if one.name == "ours":
                    stores.append(1000 * cpu.store / len(asked))
        drafts = _previews(bots[1]) - drafts
        answered = sum(asked.finals for asked in bots[1].course.record.asked.values())
        problems = [f"{one.name}: {problem}" for one in bots for problem in one.problems]
    figures = [
        *_waits("before the model", fine, lambda a: a.called - a.handed, (times_most(1.0), most(12))),
        *_waits("after the last token", fine, lambda a: a.final - a.last, (times_most(0.75), None)),
        *_waits("first visible text after the first token", fine, lambda a: a.shown - a.first, (most(50), None)),
        Figure("processor a message of 100 tokens", "ms", median(costs["bare"]), median(costs["ours"])),
        Figure("  of it the store's", "ms", None, median(stores)),
        Figure("processor a token event", "µs", median(events["bare"]), median(events["ours"]), most(60)),
        Figure("lost", "", *(float(sum(not a.final for a in fine[name])) for name in ("bare", "ours")), most(0)),
    ]
    speech = plan.load_speech
    notes = [
        (
            f"{plan.load_people} people, {plan.load_rate:g} messages/s, first token after {1000 * speech.first:g} ms, then "
            f"{speech.rate:g} tokens/s, {speech.tokens} tokens; {len(fine['ours'])} messages each"
        ),
        f"a token event: the same replies at the same pace in events of {plan.load_coarse.batch} tokens cost less by the rest",
        f"{drafts / max(1, answered):.1f} previews a reply of ours",
        *problems[:5],
    ]
    return Chapter("load", figures, notes)


async def _round(one: Bot, people: Sequence[Human], plan: Plan, speech: Speech) -> tuple[list[Asked], Cpu]:
    before = one.tree.cpu()
    asked = await steadily(
        one.course, people, speech, rate=plan.load_rate, seconds=plan.load_seconds, patience=plan.patience
    )
    return asked, one.tree.cpu().since(before)


def _waits(
    what: str,
    asked: dict[str, list[Asked]],
    wait: Callable[[Asked], float],
    goals: tuple[Goal | None, Goal | None],
) -> list[Figure]:
    """Median and near worst of a wait, in milliseconds."""
    waits = {name: [1000 * wait(one) for one in told if one.final] for name, told in asked.items()}
    return [
        Figure(
            f"{what}, p{share * 100:.0f}", "ms", *(percentile(waits[name], share) for name in ("bare", "ours")), goal
        )
        for share, goal in zip((0.5, 0.99), goals, strict=True)
    ]


def _previews(one: Bot) -> int:
    sends = one.course.record.sends
    return sum(sends.get(method, 0) for method in PREVIEWS)
