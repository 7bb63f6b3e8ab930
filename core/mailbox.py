"""Order, single flight, exactly one reply: typed functions over scripts/*.lua.

A mailbox per chat with epoch, lease and fencing token is the truth; wake-ups are hints. Each function is one trip and
safe to repeat. All times come from the store's clock, in milliseconds.
"""

import time
from typing import Any, Literal

import msgspec

from core.errors import StoreFull
from core.keys import DAY, Lane, lane_keys, tags
from core.store import Arg, Call, Store

HALTED = 2


class Rules(msgspec.Struct, frozen=True):
    """Bounds of the protocol; times in milliseconds."""

    lease: int = 5_000
    grace: int = 3_000
    """After this the sweeper repeats a wake-up."""
    cap: int = 20
    """Most messages that wait in one lane."""
    awake: int = 50_000
    """Most lanes of a shard that have work; more wait outside until some are done."""
    merge: int = 10
    """Most messages of one person that become one turn; 1 answers each by itself."""
    tries: int = 3
    """Times that a turn may fail before it is put aside."""
    pause: int = 1_000
    """After a turn's first failure until it is tried again; after the second twice as long."""
    deaths: int = 12
    """Times that a turn's worker may die while the turn does not get on: more than a storm of kills brings about."""
    seen: int = DAY
    keep: int = 90 * DAY
    keep_blocks: int = 1_000
    """Most blocks (turns) of a conversation: 2,000 messages."""
    read_blocks: int = 60
    read_bytes: int = 200_000
    """How much of the newest history a turn reads at most."""


class Entry(msgspec.Struct, frozen=True):
    """One waiting message as it lies in a mailbox."""

    event: str
    """32 hex digits."""
    sender: str
    """32 hex digits."""
    alone: bool
    """Never merged with its neighbours."""
    body: bytes
    """Sealed."""

    def packed(self) -> bytes:
        """Fixed-width head, then the body: the scripts read the head."""
        return f"{self.event}{self.sender}{'c' if self.alone else 'm'}".encode() + self.body

    @classmethod
    def unpacked(cls, packed: bytes) -> "Entry":
        """The entry that was packed."""
        return cls(packed[:32].decode(), packed[32:64].decode(), packed[64:65] == b"c", packed[65:])


class Begun(msgspec.Struct, frozen=True):
    """A turn that this worker holds until its lease ends."""

    lane: Lane
    epoch: int
    fence: int
    turn: str
    """The event at the head: the same for every worker that tries this turn."""
    again: bool
    """It was begun before."""
    failures: int
    """Times that it failed."""
    deaths: int
    """Times that its worker died since its journal grew."""
    halted: bool
    """It was to be stopped when its worker died."""
    owner: str
    entries: tuple[Entry, ...]
    journal: dict[str, bytes]
    context: dict[str, bytes]
    blocks: tuple[bytes, ...]
    """The newest sealed blocks of history, oldest first."""
    total: int
    """Blocks that the conversation ever had: the newest one is number `total - 1`."""
    now: int

    @property
    def conversation(self) -> int:
        """The number of the lane's current conversation."""
        return int(self.context.get("n", b"0"))


class Accepted(msgspec.Struct, frozen=True):
    """What became of a posted message."""

    status: Literal["DUP", "FULL", "QUEUED", "WAKE", "BEGUN"]
    epoch: int
    begun: Begun | None = None


class Committed(msgspec.Struct, frozen=True):
    """What became of a finished turn."""

    status: Literal["FENCED", "IDLE", "MORE", "BEGUN"]
    outbox: str
    """The reply's id in the outbox."""
    epoch: int
    now: int
    begun: Begun | None = None


class Outgoing(msgspec.Struct, frozen=True):
    """A committed reply that waits in the outbox, sealed."""

    id: str
    lane: Lane
    owner: str
    turn: str
    reply: bytes
    sending: bool
    """The process that committed it sends it itself."""

    def age(self) -> float:
        """Seconds since it was committed."""
        return time.time() - int(self.id.partition("-")[0]) / 1000


class Mailbox:
    """The lanes of a store, for one worker."""

    def __init__(self, store: Store, worker: str, rules: Rules) -> None:
        self._store = store
        self._worker = worker
        self.rules = rules

    async def accept(self, lane: Lane, entry: Entry, owner: str, *, begin: bool) -> Accepted:
        """Store a message once. `begin` also takes the lane when it is free. Raises StoreFull while there is no room."""
        if self._store.tight:
            raise StoreFull(self._store.tight)
        r = self.rules
        status, epoch, *rest = await self._store.run(
            "accept",
            (lane.state, lane.mailbox, lane.live, lane.context, lane.event(entry.event)),
            *(lane.id, lane.tag, entry.packed(), owner, r.cap, r.seen, r.grace, int(begin), r.awake),
            *self._beginning(),
        )
        if status == b"BUSY":
            raise StoreFull("Too many chats have work waiting: new ones wait until some are done.")
        return Accepted(status.decode(), epoch, self._begun(lane, epoch, rest[0]) if rest else None)

    async def knows(self, lane: Lane, event: str) -> bool:
        """Whether this event was accepted, or answered beside the lane."""
        pipeline = self._store.redis.pipeline(transaction=False)
        pipeline.exists(lane.event(event))
        return bool((await self._store.execute(pipeline))[0])

    async def begin(self, lane: Lane, epoch: int) -> Begun | None:
        """Take the lane's next turn; None when the wake-up is stale, the lane is held, or nothing waits."""
        status, epoch, *rest = await self._store.run(
            "begin",
            (lane.state, lane.mailbox, lane.live, lane.context),
            *(lane.id, lane.tag, epoch, self.rules.keep),
            *self._beginning(),
        )
        return self._begun(lane, epoch, rest[0]) if status == b"BEGUN" else None

    async def commit(
        self,
        begun: Begun,
        *,
        space: str,
        reply: bytes = b"",
        sending: bool = False,
        block: bytes = b"",
        replace: bool = False,
        changes: dict[str, Arg] | None = None,
        begin: bool = False,
    ) -> Committed:
        """Finish a turn: consume its messages, put the sealed reply into the outbox and the sealed block into the history.

        `sending` notes that this process delivers at once. `replace` puts the block in place of the newest one. `changes`
        are fields of the lane's context, "" removes one. `begin` also takes the next turn where messages wait.
        """
        r, lane = self.rules, begun.lane
        fields: list[Arg] = []
        for name, value in (changes or {}).items():
            fields += (name, value)
        status, outbox, epoch, *rest = await self._store.run(
            "commit",
            (
                *(lane.state, lane.mailbox, lane.live, lane.context, lane.outbox(space), lane.sent(begun.turn)),
                *(lane.history(begun.conversation), lane.journal(begun.turn)),
            ),
            *(lane.id, lane.tag, begun.fence, begun.turn, reply, begun.owner, "1" if sending else "", block),
            *("1" if replace else "", r.keep, r.keep_blocks, r.grace, DAY, int(begin)),
            *self._beginning(),
            *fields,
        )
        now = rest[0] if rest else 0
        following = self._begun(lane, epoch, rest[1]) if len(rest) > 1 else None
        return Committed(status.decode(), outbox.decode(), epoch, now, following)

    async def step(self, begun: Begun, step: str, value: bytes) -> int:
        """Keep the result of a finished call. 0: fenced, stop at once; 2: the turn is to be stopped; else 1."""
        lane = begun.lane
        keys = (lane.state, lane.live, lane.journal(begun.turn))
        answer = await self._store.run("step", keys, lane.id, begun.fence, self.rules.lease, step, value, DAY)
        return int(answer)

    async def renew(self, turns: list[Begun]) -> list[int]:
        """Renew the leases of many turns in one trip. Answers as `step` does, in order."""
        return await self._lease(turns, self.rules.lease, "")

    async def hand_back(self, turns: list[Begun]) -> list[int]:
        """Let other workers go on with these turns at once."""
        return await self._lease(turns, 0, "back")

    async def failed(self, begun: Begun) -> None:
        """The turn failed, and its worker did not: it is tried again after a pause."""
        await self._lease([begun], self.rules.pause, "failed")

    def poison(self, begun: Begun) -> str:
        """Why a turn is to be put aside; "" where it is to be played."""
        if begun.failures >= self.rules.tries:
            return f"failed {begun.failures} times"
        if begun.deaths >= self.rules.deaths:
            return f"was cut off {begun.deaths} times"
        return ""

    async def sweep(self, most: int = 100) -> list[tuple[str, int]]:
        """Lanes that need a new wake-up (lost, or their worker died), and timed work that has come due, of all shards."""
        r = self.rules
        calls: list[Call] = [("sweep", (f"{t}:live",), (t, r.grace, most, r.keep)) for t in tags()]
        calls += [("due", (f"{t}:due", f"{t}:todo", f"{t}:live"), (t, r.grace, most, r.seen)) for t in tags()]
        woken: list[tuple[str, int]] = []
        # timed work waits until there is room; what was accepted goes on
        for answer in await self._store.run_all(calls, patient="due"):
            woken += [(answer[i].decode(), answer[i + 1]) for i in range(0, len(answer), 2)]
        return woken

    async def neglected(self, seconds: float) -> bool:
        """Whether a chat has waited so long for any worker: not one is there to sweep."""
        before = time.time() - seconds
        pipeline = self._store.redis.pipeline(transaction=False)
        for tag in tags():
            pipeline.zrangebyscore(f"{tag}:live", "-inf", round(before * 1000), start=0, num=1)
        return any(await self._store.execute(pipeline))

    async def stop(self, lane: Lane, *, drop: bool) -> tuple[int, int]:
        """Mark the running turn to be stopped; with `drop` forget what waits. Returns (token or 0, dropped messages)."""
        running, dropped = await self._store.run(
            "stop", (lane.state, lane.mailbox, lane.live), lane.id, int(drop), self.rules.keep, lane.halts
        )
        return int(running), int(dropped)

    async def edit(self, lane: Lane, event: str, entry: Entry | None) -> bool:
        """Replace a message that still waits, or drop it; False when its turn has begun or it never waited."""
        packed = entry.packed() if entry else b""
        keys = (lane.state, lane.mailbox, lane.live)
        return bool(await self._store.run("edit", keys, lane.id, event, packed, self.rules.keep))

    async def say(
        self, lane: Lane, turn: str, space: str, owner: str, reply: bytes, *, sending: bool
    ) -> tuple[str, int]:
        """A sealed reply beside the lane, once an event. Returns ("" for a repeated event, or the outbox id; the time)."""
        keys = (lane.event(turn), lane.outbox(space), lane.sent(turn))
        args = (lane.id, turn, owner, reply, "1" if sending else "", self.rules.seen, DAY)
        outbox, now = await self._store.run("say", keys, *args)
        return outbox.decode(), now

    async def sent(self, lane: Lane, turn: str, space: str, parts: dict[str, str], outbox: str = "") -> None:
        """Note the fate of parts; with `outbox` the whole reply is delivered."""
        fields = [text for part in parts.items() for text in part]
        await self._store.run("sent", (lane.sent(turn), lane.outbox(space)), DAY, outbox, *fields)

    async def summarize(self, begun: Begun, upto: int, summary: bytes) -> bool:
        """Put a sealed summary of the blocks before `upto` in place, unless the conversation moved on."""
        before = begun.context.get("upto", b"0")
        args = (begun.conversation, before, upto, summary, self.rules.keep)
        return bool(await self._store.run("summary", (begun.lane.context,), *args))

    async def schedule(self, lane: Lane, work: str, at: int, entry: Entry, owner: str) -> None:
        """Let a message reach the lane at a time (ms), once. The same `work` again moves it."""
        value = f"{lane.id}{owner}".encode() + entry.packed()
        pipeline = self._store.redis.pipeline(transaction=True)
        pipeline.hset(f"{lane.tag}:todo", work, value)
        pipeline.zadd(f"{lane.tag}:due", {work: at})
        await self._store.execute(pipeline)

    async def cancel(self, lane: Lane, work: str) -> None:
        """Take timed work off the list."""
        pipeline = self._store.redis.pipeline(transaction=True)
        pipeline.zrem(f"{lane.tag}:due", work)
        pipeline.hdel(f"{lane.tag}:todo", work)
        await self._store.execute(pipeline)

    async def bury(self, begun: Begun, why: str) -> None:
        """Keep a turn that failed too often, sealed as it is, where the operator finds it."""
        fields: dict[Any, Any] = {"l": begun.lane.id, "o": begun.owner, "why": why}
        pipeline = self._store.redis.pipeline(transaction=False)
        for entry in begun.entries:
            pipeline.xadd(f"{begun.lane.tag}:dead", {**fields, "m": entry.packed()}, maxlen=1000)
        await self._store.execute(pipeline)

    async def outbox(self, space: str) -> list[Outgoing]:
        """All replies of one account of ours that were committed and not yet delivered, oldest first."""
        waiting: list[Outgoing] = []
        for tag in tags():
            pipeline = self._store.redis.pipeline(transaction=False)
            pipeline.xrange(f"{tag}:out:{space}")
            for id_, f in (await self._store.execute(pipeline))[0] or ():
                lane = lane_keys(f[b"l"].decode())
                waiting.append(
                    Outgoing(id_.decode(), lane, f[b"o"].decode(), f[b"t"].decode(), f[b"r"], sending=b"s" in f)
                )
        return waiting

    async def left(self, lane: Lane, space: str, reply: bytes) -> str:
        """The outbox id of this very sealed reply, "" where it does not lie among the newest of its account's."""
        pipeline = self._store.redis.pipeline(transaction=False)
        pipeline.xrevrange(lane.outbox(space), count=1000)
        entries = (await self._store.execute(pipeline))[0] or ()
        return next((id_.decode() for id_, fields in entries if fields[b"r"] == reply), "")

    async def parts(self, lane: Lane, turn: str) -> dict[str, str]:
        """What is known of a reply's parts: part -> the platform's id, or `sending`."""
        pipeline = self._store.redis.pipeline(transaction=False)
        pipeline.hgetall(lane.sent(turn))
        return {k.decode(): v.decode() for k, v in (await self._store.execute(pipeline))[0].items()}

    async def context(self, lane: Lane) -> tuple[dict[str, bytes], tuple[bytes, ...], str]:
        """A lane as a reader sees it: its choices, its sealed blocks, and the owner of the seals ("" when it is new)."""
        pipeline = self._store.redis.pipeline(transaction=False)
        pipeline.hgetall(lane.context)
        pipeline.hget(lane.state, "who")
        fields, owner = await self._store.execute(pipeline)
        context = {k.decode(): v for k, v in fields.items()}
        pipeline = self._store.redis.pipeline(transaction=False)
        pipeline.lrange(lane.history(int(context.get("n", b"0"))), 0, -1)
        return context, tuple((await self._store.execute(pipeline))[0]), (owner or b"").decode()

    async def waiting(self, lane: Lane) -> tuple[tuple[Entry, ...], str]:
        """The messages that no committed turn has answered, oldest first, and the owner of their seals."""
        pipeline = self._store.redis.pipeline(transaction=True)
        pipeline.lrange(lane.mailbox, 0, -1)
        pipeline.hget(lane.state, "who")
        packed, owner = await self._store.execute(pipeline)
        return tuple(Entry.unpacked(one) for one in packed), (owner or b"").decode()

    async def awake(self, lane: Lane) -> bool:
        """Whether a turn of the lane runs or waits."""
        pipeline = self._store.redis.pipeline(transaction=False)
        pipeline.hget(lane.state, "st")
        return (await self._store.execute(pipeline))[0] in (b"woken", b"busy")

    async def _lease(self, turns: list[Begun], ttl: int, how: str) -> list[int]:
        calls: list[Call] = [("renew", (b.lane.state, b.lane.live), (b.lane.id, b.fence, ttl, how)) for b in turns]
        return [int(n) for n in await self._store.run_all(calls)]

    def _beginning(self) -> tuple[Arg, ...]:
        r = self.rules
        return (self._worker, r.lease, r.merge, r.read_blocks, r.read_bytes)

    @staticmethod
    def _begun(lane: Lane, epoch: int, answer: list[Any]) -> Begun:
        fence, turn, again, failures, deaths, halted, owner, entries, journal, context, blocks, total, now = answer
        return Begun(
            lane=lane,
            epoch=epoch,
            fence=fence,
            turn=turn.decode(),
            again=bool(again),
            failures=failures,
            deaths=deaths,
            halted=bool(halted),
            owner=owner.decode(),
            entries=tuple(Entry.unpacked(packed) for packed in entries),
            journal=_pairs(journal),
            context=_pairs(context),
            blocks=tuple(blocks),
            total=total,
            now=now,
        )


def _pairs(flat: list[bytes]) -> dict[str, bytes]:
    return {flat[i].decode(): flat[i + 1] for i in range(0, len(flat), 2)}
