"""Every next state of a state of the world, and what must hold in each; raises Broken where a promise is.

The world: one lane, two workers, a few posts, and any number of sweeps, crashes, pauses past the lease, ended leases,
hand-backs, failures, redeliveries by the platform, lost, doubled and late wake-ups and commits whose answer is lost; at most one
EDIT and one STOP.
"""

from collections.abc import Callable, Iterable

from core.mailbox import Begun
from tests.properties.scripts import Call
from tests.properties.world import MANY, Broken, Holding, Lane, Past, Result, World


def next_calls(world: World, count: int) -> list[Call]:
    """The calls that may be made in this state."""
    lane = world.lane
    calls: list[Call] = [("sweep",)]
    calls += [("accept", n, begin) for n in range(min(world.posted + 1, count)) for begin in (False, True)]
    calls += [("begin", epoch) for epoch in world.wakeups]
    for holding in world.workers:
        if holding is None:
            continue
        fence, turn = holding.fence, holding.turn
        calls += [("commit", fence, turn, holding.saw, begin) for begin in (False, True)]
        if not holding.unsure:
            calls.append(("step", fence, turn, holding.saw))
            calls += [(what, fence, turn) for what in ("renew", "hand back", "fail")]
    if world.edits:
        calls += [("edit", n, drop) for n in range(world.posted) for drop in (False, True)]
    if world.stops:
        calls += [("stop", drop) for drop in (False, True)]
    return [(lane, call) for call in calls]


def successors(world: World, count: int, run: Callable[[Lane, Call], Result]) -> Iterable[tuple[str, World]]:
    """Every state that may come next, and what led to it."""
    lane, workers = world.lane, world.workers
    later = lane.time_passes()
    if later != lane:
        paused = tuple(w and w._replace(lease=False) for w in workers)
        yield "time passes", world._replace(lane=later, workers=paused)
    yield "sweep", _swept(world, run(lane, ("sweep",)))
    for n in range(min(world.posted + 1, count)):
        yield f"post {n}", _accepted(world, n, None, run(lane, ("accept", n, False)))
    idle = workers.index(None) if None in workers else None
    if idle is not None:
        for n in range(min(world.posted + 1, count)):
            yield f"post {n} and begin", _accepted(world, n, idle, run(lane, ("accept", n, True)))
        for epoch in world.wakeups:
            yield f"wake-up {epoch}", _woken(world, idle, epoch, run(lane, ("begin", epoch)))
    for i, holding in enumerate(workers):
        if holding is not None:
            yield from _working(world, i, holding, run)
    if world.edits:
        for n in range(world.posted):
            for drop in (False, True):
                what = "drop" if drop else "edit"
                yield f"{what} {n}", _edited(world, n, drop, run(lane, ("edit", n, drop)))
    if world.stops:
        for drop in (False, True):
            yield f"stop, drop={drop}", _stopped(world, drop, run(lane, ("stop", drop)))


def _working(
    world: World, i: int, holding: Holding, run: Callable[[Lane, Call], Result]
) -> Iterable[tuple[str, World]]:
    lane, fence, turn = world.lane, holding.fence, holding.turn
    yield f"crash of {fence}", world._replace(workers=_with(world, i, None))
    for begin in (False, True):
        result = run(lane, ("commit", fence, turn, holding.saw, begin))
        done = _committed(world, holding, result)
        following = result.answer.begun
        told = done._replace(workers=_with(world, i, None))
        if following is not None:
            told = _begins(told, i, following)
        elif result.answer.epoch:
            told = told._replace(wakeups=(*told.wakeups, result.answer.epoch))
        yield f"commit of {fence}: {result.answer.status}", told
        lost = done._replace(workers=_with(world, i, holding._replace(unsure=True, lease=False)))
        if following is not None:  # and nobody knows
            lost = lost._replace(past=lost.past.next(following.turn))
        yield f"commit of {fence}, answer lost", lost
    if holding.unsure:
        return
    step = run(lane, ("step", fence, turn, holding.saw))
    kept = _renewed(world, i, holding, step, step.answer)
    if step.answer and step.lane.journal != lane.journal:
        kept = kept._replace(past=world.past._replace(grew=True))
    yield f"step of {fence}: {step.answer}", kept
    renew = run(lane, ("renew", fence, turn))
    yield f"renew of {fence}: {renew.answer}", _renewed(world, i, holding, renew, renew.answer[0])
    for what in ("hand back", "fail"):
        yield f"{what} of {fence}", _told(world, i, holding, what, run(lane, (what, fence, turn)))


def _with(world: World, i: int, holding: Holding | None) -> tuple[Holding | None, ...]:
    return (*world.workers[:i], holding, *world.workers[i + 1 :])


def _same(world: World, result: Result) -> None:
    if result.lane.waiting != world.lane.waiting or result.replies or result.blocks:
        raise Broken("a call that only looks or renews changed what waits or what was answered")


def _swept(world: World, result: Result) -> World:
    _same(world, result)
    return world._replace(lane=result.lane, wakeups=(*world.wakeups, *(epoch for _, epoch in result.answer)))


def _accepted(world: World, n: int, i: int | None, result: Result) -> World:
    status = result.answer.status
    if result.replies or result.blocks:
        raise Broken("a post answered")
    if n < world.posted:
        if status != "DUP" or result.lane != world.lane:
            raise Broken(f"a repeated event was {status}")
        again = (result.answer.epoch,) if result.answer.epoch else ()
        return world._replace(wakeups=(*world.wakeups, *again))
    if status not in ("QUEUED", "WAKE", "BEGUN") or result.lane.waiting[:-1] != world.lane.waiting:
        raise Broken(f"a new event was {status}")
    after = world._replace(lane=result.lane, posted=n + 1, owed=(*world.owed, result.lane.waiting[-1]))
    if status == "WAKE":
        return after._replace(wakeups=(*world.wakeups, result.answer.epoch))
    if status == "BEGUN":
        assert i is not None
        return _begins(after, i, result.answer.begun)
    return after


def _woken(world: World, i: int, epoch: int, result: Result) -> World:
    _same(world, result)
    if result.answer is None:
        return world._replace(lane=result.lane)
    if world.lane.held():
        raise Broken("a turn was begun before its lane was free")
    if epoch != world.lane.number("ep"):
        raise Broken("a stale wake-up began a turn")
    return _begins(world._replace(lane=result.lane), i, result.answer)


def _begins(world: World, i: int, begun: Begun) -> World:
    if any(w is not None and w.lease for w in world.workers):
        raise Broken("a turn was begun while another worker's lease had not ended")
    saw = tuple(e.packed().decode() for e in begun.entries)
    if not saw or begun.turn != saw[0][:32]:
        raise Broken("a turn without its messages")
    for step in begun.journal.values():
        if step.decode() != "+".join(saw):
            raise Broken("a resumed turn has other messages than those that its journal answers")
    if begun.halted != (world.halted == begun.turn):
        raise Broken(f"a turn was begun with halted={begun.halted}, but STOP had named {world.halted[:1] or 'none'}")
    past = world.past.next(begun.turn)
    right = (world.past.turn == begun.turn, past.failures, past.deaths)
    if (begun.again, min(begun.failures, MANY), min(begun.deaths, MANY)) != right:
        raise Broken(f"a turn was begun with {begun.failures} failures and {begun.deaths} deaths, but had {right}")
    return world._replace(past=past, workers=_with(world, i, Holding(begun.fence, begun.turn, saw, lease=True)))


def _committed(world: World, holding: Holding, result: Result) -> World:
    saw = holding.saw
    if result.answer.status == "FENCED":
        if result.lane != world.lane or result.replies or result.blocks:
            raise Broken("a fenced commit wrote")
        return world
    text = ("+".join(saw),)
    if result.replies != text or result.blocks != text:
        raise Broken("a commit without exactly one reply and one block")
    if world.owed[: len(saw)] != saw:
        raise Broken(f"committed {_listed(saw)} where {_listed(world.owed)} was owed")
    if holding.fence != world.lane.number("fen"):
        raise Broken("an old token committed")
    halted = "" if world.halted == holding.turn else world.halted
    return world._replace(lane=result.lane, owed=world.owed[len(saw) :], past=Past(), halted=halted)


def _renewed(world: World, i: int, holding: Holding, result: Result, answer: int) -> World:
    _same(world, result)
    if not answer:
        if result.lane != world.lane:
            raise Broken("a fenced step or renewal wrote")
        return world._replace(workers=_with(world, i, None))
    if holding.fence != world.lane.number("fen"):
        raise Broken("an old token was renewed")
    if any(w is not None and w.lease for k, w in enumerate(world.workers) if k != i):
        raise Broken("a lease was renewed beside another")
    if (answer == 2) != (world.halted == holding.turn):
        raise Broken(f"a renewal answered {answer}, but STOP had named {world.halted[:1] or 'none'}")
    return world._replace(lane=result.lane, workers=_with(world, i, holding._replace(lease=True)))


def _told(world: World, i: int, holding: Holding, what: str, result: Result) -> World:
    """A worker says what became of its turn, and holds it no more."""
    _same(world, result)
    past = world.past
    if holding.fence == world.lane.number("fen") and world.lane.get("st") == "busy":
        past = past.failed() if what == "fail" else past._replace(untold=False)
        if result.lane.held() != (what == "fail"):
            raise Broken("a failed turn is tried again at once, or one that was handed back is not")
    elif result.lane != world.lane:
        raise Broken("an old token ended a turn")
    return world._replace(lane=result.lane, past=past, workers=_with(world, i, None))


def _edited(world: World, n: int, drop: bool, result: Result) -> World:
    if result.replies or result.blocks:
        raise Broken("an edit answered")
    name = f"{n:032x}"
    if not result.answer:
        if result.lane != world.lane:
            raise Broken("an edit that said no wrote")
        return world._replace(edits=0)
    owed = [e[:65] + "edited" if e.startswith(name) else e for e in world.owed if not (drop and e.startswith(name))]
    return world._replace(lane=result.lane, owed=tuple(owed), edits=0)


def _stopped(world: World, drop: bool, result: Result) -> World:
    running, dropped = result.answer
    if result.replies or result.blocks or (dropped and not drop):
        raise Broken("a stop answered, or dropped unasked")
    kept = world.owed[: len(world.owed) - dropped]
    halted = world.lane.get("turn") if running else ""
    if any(w is not None and w.lease for w in world.workers) and running != world.lane.number("fen"):
        raise Broken("a stop missed the running turn")
    return world._replace(lane=result.lane, owed=kept, halted=halted, stops=0)


def settled(world: World) -> None:
    """What must hold in every state."""
    lane = world.lane
    if lane.waiting != world.owed:
        raise Broken(f"{_listed(world.owed)} is owed, but {_listed(lane.waiting)} waits")
    awake = lane.get("st") in ("woken", "busy")
    if bool(lane.waiting) != awake or bool(lane.live) != awake:
        raise Broken("a lane with messages that is not awake or that the sweeper does not see, or the reverse")
    if lane.fields and lane.ends == awake:
        raise Broken("a sleeping lane that never ends, or an awake one that may end")
    if sum(1 for w in world.workers if w is not None and w.lease) > 1:
        raise Broken("two workers hold the lane")
    if lane.held() and lane.live != "later":
        raise Broken("the sweeper would take a lane whose lease has not ended")


def _listed(entries: Iterable[str]) -> str:
    return "[" + " ".join(f"{int(e[:32], 16)}{e[65:]}" for e in entries) + "]"
