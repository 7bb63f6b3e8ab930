"""An exhaustive check of the mailbox: the real scripts, on a real Valkey, in every order in which things can happen.

The world: one lane, two workers, a few posts, and any number of sweeps, crashes, pauses past the lease, ended leases,
hand-backs, redeliveries by the platform, lost, doubled and late wake-ups and commits whose answer is lost; at most one
EDIT and one STOP. `core.mailbox.Mailbox` itself makes each call and reads each answer; the lane's keys are put into the
store before a call and read out after it, so that every reachable state is visited once.

The world is finite because scripts only compare epochs and tokens for equality and count them up: those that are not
current differ in nothing, and numbers are renamed in their order. Times are `ended` or `not yet`.
"""

import os
import time
from collections.abc import Callable, Coroutine, Generator, Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
import pytest
from redis import Redis
from redis.exceptions import ResponseError

from core.keys import lane_keys
from core.mailbox import Begun, Entry, Mailbox, Rules
from core.store import Store

LONG = bool(os.environ.get("LONG"))

LANE = lane_keys("0123456789abcdef" * 2)
OWNER = "0" * 32
SPACE = "space"
STEP = "m0"
AWAY = 10_000_000
"""Milliseconds that never pass in this test."""

# --- the lane's keys, out of the store and into it

READ = """
local p, lane, events = ARGV[1], ARGV[2], cjson.decode(ARGV[3])
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local c, mb = p .. ':c:' .. lane, p .. ':mb:' .. lane
local fields = redis.call('HGETALL', c)
for i = 1, #fields, 2 do
  if fields[i] == 'exp' then fields[i + 1] = tonumber(fields[i + 1]) > now and 'later' or 'ended' end
end
local score = redis.call('ZSCORE', p .. ':live', lane)
if score then score = tonumber(score) > now and 'later' or 'ended' else score = '' end
local seen, journal, endless = {}, {}, {}
for _, event in ipairs(events) do
  local ev, j = p .. ':ev:' .. event, p .. ':j:' .. lane .. ':' .. event
  if redis.call('EXISTS', ev) == 1 then seen[#seen + 1] = event end
  local steps = redis.call('HGETALL', j)
  if #steps > 0 then journal[#journal + 1] = {event, steps[2]} end
  for _, key in ipairs({ev, j}) do if redis.call('PTTL', key) == -1 then endless[#endless + 1] = key end end
end
for _, key in ipairs({p .. ':h:' .. lane .. ':0', p .. ':x:' .. lane}) do
  if redis.call('PTTL', key) == -1 then endless[#endless + 1] = key end
end
local replies = {}
for _, entry in ipairs(redis.call('XRANGE', p .. ':out:space', '-', '+')) do replies[#replies + 1] = entry[2][8] end
return {fields, redis.call('LRANGE', mb, 0, -1), score, seen, journal, redis.call('PTTL', c) > 0 and 1 or 0, endless,
  replies, redis.call('LRANGE', p .. ':h:' .. lane .. ':0', 0, -1)}
"""

WRITE = """
local p, lane, state = ARGV[1], ARGV[2], cmsgpack.unpack(ARGV[3])
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local away = tonumber(ARGV[4])
redis.call('FLUSHDB')
local c = p .. ':c:' .. lane
for i = 1, #state[1], 2 do
  local value = state[1][i + 1]
  if state[1][i] == 'exp' then value = value == 'later' and now + away or 1 end
  redis.call('HSET', c, state[1][i], value)
end
for _, entry in ipairs(state[2]) do redis.call('RPUSH', p .. ':mb:' .. lane, entry) end
if state[3] ~= '' then redis.call('ZADD', p .. ':live', state[3] == 'later' and now + away or 1, lane) end
for _, event in ipairs(state[4]) do redis.call('SET', p .. ':ev:' .. event, '1', 'PX', away) end
for _, j in ipairs(state[5]) do
  redis.call('HSET', p .. ':j:' .. lane .. ':' .. j[1], 'm0', j[2])
  redis.call('PEXPIRE', p .. ':j:' .. lane .. ':' .. j[1], away)
end
if state[6] == 1 then redis.call('PEXPIRE', c, away) end
return 1
"""


class Lane(NamedTuple):
    """What the store holds of the lane."""

    fields: tuple[tuple[str, str], ...] = ()
    waiting: tuple[str, ...] = ()
    live: str = ""
    seen: tuple[str, ...] = ()
    journal: tuple[tuple[str, str], ...] = ()
    ends: bool = False

    def get(self, name: str) -> str:
        return dict(self.fields).get(name, "")

    def number(self, name: str) -> int:
        return int(self.get(name) or 0)

    def held(self) -> bool:
        return self.get("st") == "busy" and self.get("exp") == "later"

    def put(self, **changes: object) -> "Lane":
        fields = {**dict(self.fields), **{k: str(v) for k, v in changes.items()}}
        return self._replace(fields=tuple(sorted(fields.items())))

    def time_passes(self) -> "Lane":
        """The lease ends, and the sweeper would look."""
        later = self._replace(live="ended") if self.live else self
        return later.put(exp="ended") if later.get("exp") else later


class Holding(NamedTuple):
    """What a worker believes about the turn that it runs."""

    fence: int
    turn: str
    saw: tuple[str, ...]
    """The messages, as BEGIN gave them."""
    lease: bool
    """Its lease has not ended, and it has not sent a commit."""
    unsure: bool = False
    """It has sent a commit and has no answer."""


class World(NamedTuple):
    """One state of everything."""

    lane: Lane = Lane()
    workers: tuple[Holding | None, ...] = (None, None)
    posted: int = 0
    owed: tuple[str, ...] = ()
    """The messages that were accepted and neither answered nor reported as dropped, in order: the promise."""
    wakeups: tuple[int, ...] = ()
    """Epochs of wake-ups that may arrive at any time, any number of times, or never."""
    halted: str = ""
    """The turn of which STOP said that it is being stopped."""
    edits: int = 1
    stops: int = 1


class Result(NamedTuple):
    """What one call came to."""

    answer: Any
    lane: Lane
    replies: tuple[str, ...]
    blocks: tuple[str, ...]


class Broken(Exception):
    """A promise is broken."""


# --- the real Mailbox, its trips taken out of it so that many can go in one pipeline


class Trip:
    """Scripts that the mailbox waits for."""

    def __init__(self, script: str, calls: Sequence[tuple[Sequence[str], Sequence[Any]]]) -> None:
        self.script = script
        self.calls = calls

    def __await__(self) -> Generator["Trip", Any, Any]:
        return (yield self)


class Trips:
    """Stands where the mailbox has its store."""

    async def run(self, script: str, keys: Sequence[str], *args: Any) -> Any:
        return (await Trip(script, [(keys, args)]))[0]

    async def run_all(self, script: str, calls: Sequence[tuple[Sequence[str], Sequence[Any]]]) -> list[Any]:
        return await Trip(script, calls)


Call = tuple[Any, ...]


class Scripts:
    """The scripts of the product, or mutants of them, at work on one state after the other."""

    def __init__(self, redis: Redis, sources: dict[str, str], events: tuple[Entry, ...], rules: Rules) -> None:
        self._redis = redis
        self._events = events
        self._mailbox = Mailbox(Trips(), "worker", rules)
        self._shas = {name: redis.script_load(source) for name, source in sources.items()}
        self._read, self._write = redis.script_load(READ), redis.script_load(WRITE)
        self._names = msgspec.json.encode([e.event for e in events])
        self.known: dict[tuple[Lane, Call], Result | Broken] = {}
        self.last: Call = ()

    def __call__(self, lane: Lane, call: Call) -> Result:
        self.last = call
        result = self.known[lane, call]
        if isinstance(result, Broken):
            raise result
        return result

    def prepare(self, wanted: Iterable[tuple[Lane, Call]]) -> None:
        """Run what was not yet run, many to a trip."""
        new = [key for key in dict.fromkeys(wanted) if key not in self.known]
        for start in range(0, len(new), 200):
            self._run(new[start : start + 200])

    def _run(self, keys: list[tuple[Lane, Call]]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        jobs = []
        for lane, call in keys:
            state = (_flat(lane.fields), lane.waiting, lane.live, lane.seen, lane.journal, int(lane.ends))
            pipeline.evalsha(self._write, 0, LANE.tag, LANE.id, msgspec.msgpack.encode(state), AWAY)
            job = self._coroutine(call)
            trips: list[list[int | None]] = []
            trip = job.send(None)
            # of several trips of one call (SWEEP, then DUE) only the first touches a lane
            places: list[int | None] = []
            for names, args in trip.calls:
                ours = names[0].startswith(LANE.tag)
                places.append(len(pipeline) if ours else None)
                if ours:
                    pipeline.evalsha(self._shas[trip.script], len(names), *names, *args)
            trips.append(places)
            jobs.append((job, places, len(pipeline)))
            pipeline.evalsha(self._read, 0, LANE.tag, LANE.id, self._names)
        answers = pipeline.execute(raise_on_error=False)
        for key, (job, places, after) in zip(keys, jobs, strict=True):
            given = [[] if place is None else answers[place] for place in places]
            errors = [g for g in given if isinstance(g, ResponseError)]
            if errors:
                job.close()
                self.known[key] = Broken(f"the script failed: {errors[0]}")
                continue
            self.known[key] = _result(_finish(job, given), answers[after])

    def _coroutine(self, call: Call) -> Coroutine[Trip, Any, Any]:
        m = self._mailbox
        match call:
            case ("accept", n, begin):
                return m.accept(LANE, self._events[n], OWNER, begin=begin)
            case ("begin", epoch):
                return m.begin(LANE, epoch)
            case ("commit", fence, turn, saw, begin):
                text = "+".join(saw).encode()
                return m.commit(_begun(fence, turn), space=SPACE, reply=text, block=text, begin=begin)
            case ("step", fence, turn, saw):
                return m.step(_begun(fence, turn), STEP, "+".join(saw).encode())
            case ("renew", fence, turn, release):
                return m.renew([_begun(fence, turn)], release=release)
            case ("sweep",):
                return m.sweep()
            case ("stop", drop):
                return m.stop(LANE, drop=drop)
            case ("edit", n, drop):
                entry = self._events[n]
                changed = msgspec.structs.replace(entry, body=b"edited")
                return m.edit(LANE, entry.event, None if drop else changed)
        raise AssertionError(call)


def _finish(job: Coroutine[Trip, Any, Any], given: Any) -> Any:
    while True:
        try:
            trip = job.send(given)
        except StopIteration as done:
            return done.value
        given = [[] for _ in trip.calls]


def _result(answer: Any, read: Any) -> Result | Broken:
    fields, waiting, live, seen, journal, ends, endless, replies, blocks = _texts(read)
    if endless:
        return Broken(f"keys without an end: {endless}")
    pairs = tuple(sorted((fields[i], fields[i + 1]) for i in range(0, len(fields), 2)))
    lane = Lane(pairs, tuple(waiting), live, tuple(seen), tuple(tuple(j) for j in journal), bool(ends))
    return Result(answer, lane, tuple(replies), tuple(blocks))


def _texts(value: Any) -> Any:
    if isinstance(value, list):
        return [_texts(v) for v in value]
    return value.decode() if isinstance(value, bytes) else value


def _flat(pairs: Iterable[tuple[str, str]]) -> list[str]:
    return [text for pair in pairs for text in pair]


def _begun(fence: int, turn: str) -> Begun:
    return Begun(LANE, 0, fence, turn, 1, False, OWNER, (), {}, {}, (), 0, 0)


# --- every next state of a state; raises Broken where a promise is


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
            calls += [("renew", fence, turn, release) for release in (False, True)]
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
        lost = holding._replace(unsure=True, lease=False)
        yield f"commit of {fence}, answer lost", done._replace(workers=_with(world, i, lost))
    if holding.unsure:
        return
    step = run(lane, ("step", fence, turn, holding.saw))
    yield f"step of {fence}: {step.answer}", _renewed(world, i, holding, step, step.answer)
    renew = run(lane, ("renew", fence, turn, False))
    yield f"renew of {fence}: {renew.answer}", _renewed(world, i, holding, renew, renew.answer[0])
    back = run(lane, ("renew", fence, turn, True))
    _same(world, back)
    yield f"hand-back of {fence}", world._replace(lane=back.lane, workers=_with(world, i, None))


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
    return world._replace(workers=_with(world, i, Holding(begun.fence, begun.turn, saw, lease=True)))


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
        raise Broken(f"committed {_told(saw)} where {_told(world.owed)} was owed")
    if holding.fence != world.lane.number("fen"):
        raise Broken("an old token committed")
    halted = "" if world.halted == holding.turn else world.halted
    return world._replace(lane=result.lane, owed=world.owed[len(saw) :], halted=halted)


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
        raise Broken(f"{_told(world.owed)} is owed, but {_told(lane.waiting)} waits")
    awake = lane.get("st") in ("woken", "busy")
    if bool(lane.waiting) != awake or bool(lane.live) != awake:
        raise Broken("a lane with messages that is not awake or that the sweeper does not see, or the reverse")
    if lane.fields and lane.ends == awake:
        raise Broken("a sleeping lane that never ends, or an awake one that may end")
    if sum(1 for w in world.workers if w is not None and w.lease) > 1:
        raise Broken("two workers hold the lane")
    if lane.held() and lane.live != "later":
        raise Broken("the sweeper would take a lane whose lease has not ended")


def _told(entries: Iterable[str]) -> str:
    return "[" + " ".join(f"{int(e[:32], 16)}{e[65:]}" for e in entries) + "]"


def renamed(world: World) -> World:
    """The same state with the smallest numbers: only the current epoch and token, and the order, mean something."""
    lane = world.lane
    holdings = [w for w in world.workers if w is not None]
    tokens = {0, lane.number("fen"), lane.number("stop"), *(w.fence for w in holdings)}
    token = {old: new for new, old in enumerate(sorted(tokens))}
    ep = lane.number("ep")
    stale = any(w != ep for w in world.wakeups)
    if ep:
        lane = lane.put(ep=2)
    if lane.get("fen"):
        lane = lane.put(fen=token[lane.number("fen")])
    if lane.get("stop"):
        lane = lane.put(stop=token[lane.number("stop")])
    if lane.get("try"):
        lane = lane.put(**{"try": min(lane.number("try"), 3)})
    workers = sorted((w and w._replace(fence=token[w.fence]) for w in world.workers), key=repr)
    wakeups = (*((1,) if stale else ()), *((2,) if ep in world.wakeups else ()))
    return world._replace(lane=lane, workers=tuple(workers), wakeups=wakeups)


# --- the search


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
                    settled(raw)
                    steps += 1
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


# --- the worlds that are searched


def entries(people: str) -> tuple[Entry, ...]:
    """`aab`: two messages of one person, then one of another; a capital letter stands for a command."""
    return tuple(
        Entry(f"{n:032x}", f"{ord(p.lower()):032x}", alone=p.isupper(), body=b"first") for n, p in enumerate(people)
    )


@pytest.fixture
async def sources(store: Store) -> dict[str, str]:
    """The scripts as the store runs them."""
    assert store._sources
    return dict(store._sources)


WORLDS = [("aa", 10), ("ab", 10)]
if LONG:
    WORLDS += [
        ("aA", 10),
        ("aa", 1),
        *((people, 10) for people in ("aaa", "aab", "aba", "abc", "aAa", "Aaa")),
        ("aaa", 2),
    ]


@pytest.mark.parametrize(("people", "merge"), WORLDS)
def test_nothing_is_lost_doubled_or_out_of_order_whatever_happens_in_whatever_order(
    people: str, merge: int, sources: dict[str, str], valkey_url: str
):
    began = time.perf_counter()
    with Redis.from_url(valkey_url) as redis:
        found = explore(Scripts(redis, sources, entries(people), Rules(merge=merge)), len(people), World())
    took = time.perf_counter() - began
    print(
        f"\n{people} merge={merge}: {found.states:,} states, {found.steps:,} steps between them, {found.lanes:,} states of "
        f"the lane, {found.calls:,} runs of scripts, {took:.1f} s"
    )
    assert found.states > 10_000


class Mutant(NamedTuple):
    """A fault put into a script, and the words with which the check must find it."""

    script: str
    right: str
    wrong: str
    found: str
    people: str = "aa"


HEAD = "s[1] ~= fen or s[2] ~= 'busy' or s[3] ~= turn or not head or string.sub(head, 1, 32) ~= turn"
MUTANTS = {
    "a commit that looks at the token alone": Mutant(
        "commit", f"if {HEAD} then", "s[4] = s[4] or 1\nif s[1] ~= fen or not head then", "was owed"
    ),
    "a commit that does not look at the token": Mutant("commit", "s[1] ~= fen or ", "", "an old token committed"),
    "a commit that keeps its messages": Mutant("commit", "redis.call('LTRIM', mb, tonumber(s[4]), -1)", "", "is owed"),
    "a commit that consumes one message only": Mutant("commit", "tonumber(s[4]), -1)", "1, -1)", "is owed"),
    "a commit that consumes whatever waits": Mutant("commit", "tonumber(s[4]), -1)", "99, -1)", "is owed"),
    "a commit that leaves the next message asleep": Mutant(
        "commit", "if redis.call('LLEN', mb) == 0 then", "if true then", "not awake", "ab"
    ),
    "a commit that hides the lane from the sweeper": Mutant(
        "commit",
        "now + grace, lane)\nif want",
        "now + grace, lane)\nredis.call('ZREM', live, lane)\nif want",
        "does not see",
        "ab",
    ),
    "a begin that does not look at the lease": Mutant(
        "begin", "if s[2] == 'busy' and tonumber(s[3]) > now then return {'BUSY', 0} end", "", "lease had not ended"
    ),
    "a begin that does not look at the epoch": Mutant(
        "begin", "if s[1] ~= epoch then return {'OLD', 0} end", "", "a stale wake-up began a turn"
    ),
    "a begin that counts the messages of a resumed turn anew": Mutant(
        "begin", "take = tonumber(s[3])", "take = taken(mb, most)", "other messages than those that its journal answers"
    ),
    "a begin with the old token": Mutant("begin", "fen = fen + 1", "fen = math.max(fen, 1)", "renewed beside another"),
    "a begin that forgets after one crash that the turn is to be stopped": Mutant(
        "begin", "if halted == 1 then redis.call('HSET', c, 'stop', fen) end", "", "but STOP had named"
    ),
    "no sweeper": Mutant(
        "sweep", "local woken = {}", "do return {} end\nlocal woken = {}", "the sweeper leaves a lane", "a"
    ),
    "a sweeper that goes by no clock": Mutant("sweep", "'-inf', now,", "'-inf', '+inf',", "lease had not ended"),
    "a sweeper that wakes with an old epoch": Mutant(
        "sweep", "woken[#woken + 1] = ep", "woken[#woken + 1] = ep - 1", "begins nothing", "a"
    ),
    "an accept that knows no event": Mutant(
        "accept", "if redis.call('EXISTS', ev) == 1 then", "if false then", "repeated"
    ),
    "an accept that wakes nobody": Mutant(
        "accept", "redis.call('ZADD', live, now + grace, lane)\n  return ep", "return ep", "does not see"
    ),
    "a step that does not look at the token": Mutant("step", "s[1] ~= fen or ", "", "an old token was renewed"),
    "a renewal that does not look at the token": Mutant("renew", "s[1] ~= fen or ", "", "an old token was renewed"),
    "a renewal after the commit": Mutant("renew", " or s[2] ~= 'busy'", "", "lease had not ended"),
    "an edit of what is being answered": Mutant("edit", "from = tonumber(s[2]) + 1", "from = 1", "edited. was owed"),
    "an edit that leaves an empty lane awake": Mutant(
        "edit", "if redis.call('EXISTS', mb) == 0 then sleep(c, live, lane, keep) end", "", "not awake"
    ),
    "a stop that drops what is being answered": Mutant(
        "stop", "begun = tonumber(s[3])", "begun = 0", "lease had not ended"
    ),
    "a lane that sleeps for ever": Mutant("commit", "redis.call('PEXPIRE', c, keep)", "", "never ends"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_the_check_finds(name: str, sources: dict[str, str], valkey_url: str):
    mutant = MUTANTS[name]
    source = sources[mutant.script]
    assert source.count(mutant.right) == 1, "the script has changed: so must its mutant"
    wrong = {**sources, mutant.script: source.replace(mutant.right, mutant.wrong)}
    with Redis.from_url(valkey_url) as redis, pytest.raises(Broken, match=mutant.found) as caught:
        explore(Scripts(redis, wrong, entries(mutant.people), Rules()), len(mutant.people), World())
    print(f"\n{name}: {caught.value}")
