"""The search through all states of the world, each visited once, and the way to a broken promise.

The world is finite because scripts only compare epochs and tokens for equality and count them up: those that are not
current differ in nothing, and numbers are renamed in their order. Times are `ended` or `not yet`.
"""

from collections.abc import Iterable
from typing import NamedTuple

from tests.properties.scripts import Call, Scripts
from tests.properties.successors import next_calls, settled, successors
from tests.properties.world import MANY, Broken, Lane, Result, World


class Found(NamedTuple):
    """What a search came to."""

    states: int
    steps: int
    lanes: int
    calls: int


def explore(run: Scripts, count: int, start: World, most: int = 5_000_000) -> Found:
    """Breadth first over all states; raises Broken with the way that leads there."""
    start = renamed(start)
    before: dict[World, tuple[World, str] | None] = {start: None}
    level = [start]
    steps = 0
    while level:
        run.prepare(call for world in level for call in next_calls(world, count))
        following: list[World] = []
        for world in level:
            try:
                for how, raw in successors(world, count, run):
                    steps += 1
                    if raw == world:
                        continue
                    settled(raw)
                    after = renamed(raw)
                    if after not in before:
                        before[after] = (world, how)
                        following.append(after)
            except Broken as broken:
                way = [*_way(before, world), f"then {run.last}"]
                raise Broken("\n  ".join([str(broken), *way])) from None
        level = following
        assert len(before) < most
    lanes = {world.lane for world in before}
    comes_to_rest(run, lanes, count)
    return Found(len(before), steps, len(lanes), len(run.known))


def comes_to_rest(run: Scripts, lanes: Iterable[Lane], count: int) -> None:
    """From every state, with all workers dead and every wake-up lost, sweeps and what they wake answer what is owed."""
    now = set(lanes)
    for _ in range(count):
        now = {lane.time_passes() for lane in now if lane.waiting}
        swept = _each(run, {(lane, ("sweep",)) for lane in now})
        if any(len(r.answer) != 1 for r in swept):
            raise Broken("the sweeper leaves a lane asleep in which messages wait")
        begun = _each(run, {(r.lane, ("begin", r.answer[0][1])) for r in swept})
        if any(r.answer is None for r in begun):
            raise Broken("the sweeper's wake-up begins nothing")
        turns = {
            (
                r.lane,
                ("commit", r.answer.fence, r.answer.turn, tuple(e.packed().decode() for e in r.answer.entries), False),
            )
            for r in begun
        }
        done = _each(run, turns)
        if any(r.answer.status == "FENCED" for r in done):
            raise Broken("the only worker is fenced off")
        now = {r.lane for r in done}
    if any(lane.waiting or lane.get("st") != "idle" or lane.live or not lane.ends for lane in now):
        raise Broken("no rest")


def renamed(world: World) -> World:
    """The same state with the smallest numbers: only the current epoch and token, and the order, mean something."""
    lane = world.lane
    fen, stop, ep = lane.number("fen"), lane.number("stop"), lane.get("ep")
    tokens = {0, fen, stop, *(w.fence for w in world.workers if w is not None)}
    token = {old: new for new, old in enumerate(sorted(tokens))}
    current = {"ep": 2, "fen": token[fen], "stop": token[stop]}
    often = {name: min(lane.number(name), MANY) for name in ("fail", "died")}
    lane = lane.put(**{name: number for name, number in {**current, **often}.items() if lane.get(name)})
    workers = sorted((w and w._replace(fence=token[w.fence]) for w in world.workers), key=lambda w: w or ())
    stale = any(str(w) != ep for w in world.wakeups)
    wakeups = (*((1,) if stale else ()), *((2,) if any(str(w) == ep for w in world.wakeups) else ()))
    return world._replace(lane=lane, workers=tuple(workers), wakeups=wakeups)


def _each(run: Scripts, keys: set[tuple[Lane, Call]]) -> list[Result]:
    run.prepare(keys)
    return [run(*key) for key in keys]


def _way(before: dict[World, tuple[World, str] | None], world: World) -> list[str]:
    steps: list[str] = []
    link = before[world]
    while link is not None:
        steps.append(link[1])
        link = before[link[0]]
    return steps[::-1]
