"""A cluster as several stores, each reached as a single one is, and which of them has which keys.

redis-py's own client of clusters cuts off everybody when one node fails, and waits for no free connection
(docs/decisions/0015).
"""

import asyncio
import logging
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from core.connections import Place

log = logging.getLogger(__name__)

TRIES = 7
PAUSE = 0.02
"""Seconds before the second try; each next one waits twice as long."""
LONGEST = 1.0
FROM, PRIMARY = 0, 2
"""Parts of a row of CLUSTER SLOTS."""

Command = tuple[tuple[Any, ...], Mapping[str, Any]]
"""A command with its arguments, and how its answer is to be read: an entry of a pipeline of redis-py."""

_KEYLESS = {"WAIT", "TIME"}
_AGAIN = (RedisConnectionError, RedisTimeoutError, AskError, TryAgainError, ClusterDownError, ReadOnlyError)
"""Answers after which the same command may do better at another node, or later."""


class Cluster:
    """The primaries of a cluster."""

    def __init__(self, seed: Place, node: Callable[[Place], Redis]) -> None:
        """`seed` is a node that is known from the beginning; `node` makes the client of one."""
        self._node = node
        self._seed = seed
        self._nodes: dict[Place, Redis] = {seed: node(seed)}
        self._from: list[int] = []
        self._owners: list[Place] = []
        self._learning = asyncio.Lock()
        self._learnt = 0

    async def open(self) -> None:
        """Learn which node has which slots. Raises RedisError."""
        await self._learn(self._learnt, None)

    def place(self, key: str | bytes) -> Place:
        """The node that has a key, as far as is known."""
        return self._owner(_slot(key))

    def primaries(self) -> dict[Place, Redis]:
        """All nodes that have slots."""
        return {place: self._nodes[place] for place in dict.fromkeys(self._owners)}

    async def execute(self, commands: Sequence[Command], *, whole: bool = False) -> list[Any]:
        """Run each command at the node that has its key (one without a key goes where the one before it went); those of a
        node are one trip, and all nodes are asked side by side. `whole`: those of one slot are a transaction, and slots
        follow each other. Returns the answers; errors lie among them.
        """
        slots = _slots(commands)
        answers: list[Any] = [None] * len(commands)
        left = list(range(len(commands)))
        for n in range(TRIES):
            learnt = self._learnt
            groups: dict[int | Place, list[int]] = {}
            for i in left:
                groups.setdefault(slots[i] if whole else self._owner(slots[i]), []).append(i)
            tried = [self._send(self._owner(slots[g[0]]), g, commands, answers, whole=whole) for g in groups.values()]
            if whole or len(tried) == 1:
                for one in tried:
                    await one
            else:
                await asyncio.gather(*tried)
            left = _to_repeat(left, commands, answers)
            if not left or n == TRIES - 1:
                break
            if n or not isinstance(answers[left[0]], MovedError):
                await asyncio.sleep(min(PAUSE * 2**n, LONGEST))
            try:
                await self._learn(learnt, self._owner(slots[left[0]]))
            except RedisError as error:
                log.debug("no node tells what the cluster is like: %s", error)
        for i in left:
            if isinstance(answers[i], ResponseError):
                answers[i] = RedisConnectionError(f"the cluster does not settle: {type(answers[i]).__name__}")
        return answers

    async def _send(
        self, place: Place, group: list[int], commands: Sequence[Command], answers: list[Any], *, whole: bool
    ) -> None:
        pipeline = self._nodes[place].pipeline(transaction=whole)
        for i in group:
            args, options = commands[i]
            pipeline.execute_command(*args, **options)
        try:
            found: list[Any] = await pipeline.execute(raise_on_error=False)
        except RedisError as error:
            found = [error] * len(group)
        for i, answer in zip(group, found, strict=True):
            answers[i] = answer

    async def _learn(self, learnt: int, doubtful: Place | None) -> None:
        """Ask the nodes, `doubtful` last, unless somebody has since `learnt`."""
        async with self._learning:
            if self._learnt != learnt:
                return
            known = [place for place in dict.fromkeys((*self._owners, self._seed)) if place != doubtful]
            error: RedisError = RedisConnectionError("no node of the cluster answers")
            for place in (*known, doubtful):
                if place is None:
                    continue
                try:
                    rows = await self._nodes[place].execute_command("CLUSTER SLOTS")  # type: ignore[no-untyped-call]
                except (RedisConnectionError, RedisTimeoutError, ClusterDownError) as failed:
                    error = failed
                    continue
                if rows:
                    await self._settle(rows, place)
                    return
                error = RedisConnectionError("the cluster has no slots")
            raise error

    async def _settle(self, rows: list[list[Any]], asked: Place) -> None:
        rows = sorted(rows, key=lambda row: int(row[FROM]))
        places = [(_text(row[PRIMARY][0]) or asked[0], int(row[PRIMARY][1])) for row in rows]
        for place in places:
            if place not in self._nodes:
                self._nodes[place] = self._node(place)
        self._from = [int(row[FROM]) for row in rows]
        self._owners = places
        self._learnt += 1
        for place in [place for place in self._nodes if place not in places]:  # whoever waits for one asks its heir
            await self._nodes[place].connection_pool.disconnect()
            if place != self._seed:
                del self._nodes[place]

    def _owner(self, slot: int) -> Place:
        at = bisect_right(self._from, slot) - 1
        return self._owners[at] if at >= 0 else self._seed

    @property
    def seed(self) -> Redis:
        """A client of one node, to put pipelines together with; `execute` takes their commands."""
        return self._nodes[self._seed]

    def pubsub(self) -> "Hearing":
        """What redis-py's PubSub is for one store."""
        return Hearing(self)

    async def close(self) -> None:
        """Give the connections back."""
        for one in self._nodes.values():
            await one.aclose()
            await one.connection_pool.disconnect()


class Hearing:
    """The sharded channels of all nodes. It ends with an error when one of them is lost, or a channel has gone to another
    node: then all are to be opened anew.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._ears: dict[Place, tuple[PubSub, asyncio.Task[None]]] = {}
        self._channels: set[bytes] = set()
        self._items: asyncio.Queue[dict[str, Any] | Exception] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pubsub, listening in self._ears.values():
            listening.cancel()
            await asyncio.wait((listening,))
            await pubsub.aclose()  # type: ignore[no-untyped-call]

    async def ssubscribe(self, *channels: str) -> None:
        """Hear these too."""
        for channel in channels:
            self._channels.add(channel.encode())
            place = self._cluster.place(channel)
            pubsub, listening = self._ears.get(place) or (self._cluster.primaries()[place].pubsub(), None)
            await pubsub.ssubscribe(channel)
            if listening is None or listening.done():
                self._ears[place] = (pubsub, asyncio.create_task(self._listen(pubsub)))

    async def sunsubscribe(self, *channels: str) -> None:
        """Hear these no more."""
        for channel in channels:
            self._channels.discard(channel.encode())
            for pubsub, _ in self._ears.values():
                if channel.encode() in pubsub.shard_channels:
                    await pubsub.sunsubscribe(channel)

    async def listen(self) -> AsyncIterator[dict[str, Any]]:
        """What is told. Raises RedisError when a node is lost."""
        while True:
            item = await self._items.get()
            if isinstance(item, Exception):
                raise item
            if item["type"] == "sunsubscribe" and item["channel"] in self._channels:
                raise RedisConnectionError("a channel has gone to another node")
            yield item

    async def _listen(self, pubsub: PubSub) -> None:
        try:
            async for item in pubsub.listen():
                self._items.put_nowait(item)
        except (RedisError, OSError) as error:
            self._items.put_nowait(error)


def _slots(commands: Sequence[Command]) -> list[int]:
    slots: list[int] = []
    for args, _ in commands:
        if args[0] in _KEYLESS:
            slots.append(slots[-1] if slots else 0)
        else:
            slots.append(_slot(args[3 if args[0] in {"EVALSHA", "EVAL"} else 1]))
    return slots


def _slot(key: str | bytes) -> int:
    return key_slot(key if isinstance(key, bytes) else key.encode())


def _to_repeat(tried: list[int], commands: Sequence[Command], answers: list[Any]) -> list[int]:
    left: list[int] = []
    for i in tried:
        if isinstance(answers[i], _AGAIN) or (commands[i][0][0] == "WAIT" and left and left[-1] == i - 1):
            left.append(i)
    return left


def _text(value: bytes | str | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""
