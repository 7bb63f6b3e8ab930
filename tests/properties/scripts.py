"""The mailbox's calls on one state of a lane after the other: put into a real Valkey before a call, read out after it.

`core.mailbox.Mailbox` itself makes each call and reads each answer; only its trips are taken out of it, so that many can
go in one pipeline.
"""

from collections.abc import Coroutine, Generator, Iterable, Sequence
from typing import Any

import msgspec
from redis import Redis
from redis.exceptions import ResponseError

from core.keys import lane_keys
from core.mailbox import Begun, Entry, Mailbox, Rules
from core.store import Call as Asked
from tests.properties.world import Broken, Lane, Result

LANE = lane_keys("0123456789abcdef" * 2)
OWNER = "0" * 32
SPACE = "space"
STEP = "m0"
AWAY = 10_000_000
"""Milliseconds that never pass in this test."""
Call = tuple[Any, ...]


class Trip:
    """Scripts that the mailbox waits for."""

    def __init__(self, calls: Sequence[Asked]) -> None:
        self.calls = calls

    def __await__(self) -> Generator["Trip", Any, Any]:
        return (yield self)


class Trips:
    """Stands where the mailbox has its store."""

    tight = ""

    async def run(self, script: str, keys: Sequence[str], *args: Any) -> Any:
        return (await Trip([(script, keys, args)]))[0]

    async def run_all(self, calls: Sequence[Asked], *, patient: str = "") -> list[Any]:
        return await Trip(calls)


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
            places: list[int | None] = []
            for script, names, args in trip.calls:
                ours = names[0].startswith(LANE.tag)
                places.append(len(pipeline) if ours else None)
                if ours:
                    pipeline.evalsha(self._shas[script], len(names), *names, *args)
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
            case ("renew", fence, turn):
                return m.renew([_begun(fence, turn)])
            case ("hand back", fence, turn):
                return m.hand_back([_begun(fence, turn)])
            case ("fail", fence, turn):
                return m.failed(_begun(fence, turn))
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
    return Begun(LANE, 0, fence, turn, False, 0, 0, False, OWNER, (), {}, {}, (), 0, 0)


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
