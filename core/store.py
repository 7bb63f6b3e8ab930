"""Opens Redis or Valkey from a URL, checks that the store is ours, and runs the scripts.

There is no storage interface with two implementations: the seam is the URL, which may name one store, the one that sentinels
watch over, or a cluster. One script is one trip; a lost connection is tried again, because every script is written so that
its second run does no harm.
"""

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline, PubSub
from redis.exceptions import (
    AskError,
    AuthenticationError,
    ClusterError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from core.cluster import Cluster, Command
from core.connections import Watch, address, client, node
from core.errors import StoreAway, StoreError, StoreFull, StoreMismatch
from core.keys import META, SHARDS

log = logging.getLogger(__name__)

SCHEMA = 1
TIGHT = 0.8
"""Share of the store's memory beyond which nothing new is accepted."""
ROOM = 8 * 1024**2
"""Bytes on its disk below which nothing new is accepted: what it says that it took, it must be able to write down."""
LITTLE_MEMORY = "The store's memory is nearly spent: what runs goes on, new messages wait."
FULL_DISK = "The store cannot write to its disk: free space, then it goes on by itself."
PATIENCE = 100
"""Milliseconds that a replica has to confirm what must not be lost; then the primary's word is enough."""
SILENCE = 2
"""Seconds after which a replica that says nothing is waited for no more."""
SOON = 0.1
"""Seconds that a script may wait for a trip on which it can go along."""
Arg = str | bytes | int
Call = tuple[str, Sequence[str], Sequence[Arg]]
"""A script, its keys and its arguments."""

_SCRIPTS = (
    *("accept", "begin", "commit", "due", "edit", "renew", "say", "sent", "step", "stop", "sweep", "summary"),
    *("admit", "hold", "take", "return", "reserve", "settle", "lease"),
)

_KEPT = {"accept", "say", "commit"}
"""Scripts after which somebody relies on us: a replica, where there is one, has what they wrote before they return."""


class Store:
    """A connected store."""

    def __init__(self, url: str, *, folder: Path | None = None, connections: int = 256, timeout: float = 10.0) -> None:
        """`folder` is where its files lie, if that is here: then the disk is watched."""
        try:
            where = address(url)
        except ValueError as error:
            raise StoreError(f"REDIS_URL must {error}.") from None
        self._cluster: Cluster | None = None
        if where.kind == "cluster":
            seed = (where.options.get("host", "localhost"), where.options.get("port", 6379))
            self._cluster = Cluster(seed, lambda place: node(where, place, connections, timeout))
        self.redis: Redis = self._cluster.seed if self._cluster else client(where, connections, timeout)
        """The client of a single store. In a cluster it puts pipelines together, and `execute` finds their nodes."""
        self._shas: dict[str, str] = {}
        self._sources: dict[str, str] = {}
        self.watched = where.kind != "alone"
        """Others than one server are to be looked at: sentinels, or the nodes of a cluster."""
        self._copied: set[object] = set()
        """Primaries with a replica that keeps up, as of the last measuring."""
        self._folder = folder
        self._along: list[Call] = []
        self._flushing: asyncio.Task[None] | None = None
        self.tight = ""
        """Why nothing new may be taken in, as of the last measuring: so little memory, or disk, is left."""
        self.trips = 0
        """Scripts and pipelines run so far; a test counts them."""

    async def open(self, fingerprint: str) -> None:
        """Load the scripts and check that the store belongs to this installation and to no newer program."""
        folder = files("core") / "scripts"
        common = (folder / "mailbox.lua").read_text()
        for name in _SCRIPTS:
            source = (folder / f"{name}.lua").read_text()
            head, _, body = source.partition("\n")
            self._sources[name] = f"{head}\n{common}\n{body}"
        try:
            if self._cluster is not None:
                await self._cluster.open()
            for one in self._primaries().values():
                _check_version(await one.info("server"))
                _check_policy(await one.info("memory"))
                pipeline = one.pipeline(transaction=False)
                for name in _SCRIPTS:
                    pipeline.script_load(self._sources[name])
                self._shas = {name: _text(sha) for name, sha in zip(_SCRIPTS, await pipeline.execute(), strict=True)}
        except RedisError as error:
            raise translated(error) from error
        await self.measure()
        pipeline = self.redis.pipeline(transaction=False)
        pipeline.hgetall(META)
        meta = (await self.execute(pipeline))[0]
        if not meta:  # a store that is full takes no writes, and must open all the same
            pipeline.hset(META, mapping={"schema": SCHEMA, "shards": SHARDS, "key": fingerprint})
            pipeline.hgetall(META)
            meta = (await self.execute(pipeline))[1]
        _check_meta({_text(k): _text(v) for k, v in meta.items()}, fingerprint)

    def along(self, script: str, keys: Sequence[str], *args: Arg) -> None:
        """A script whose answer nobody needs: it goes with the next SENT of this process, for which nobody waits either, or soon
        by itself. What a store that is away does not take is lost.
        """
        self._along.append((script, keys, args))
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush(SOON))

    async def flush(self) -> None:
        """Send what waits to go along."""
        if self._along:
            await asyncio.shield(asyncio.create_task(self._flush(0.0)))  # whoever asks may be cancelled meanwhile

    async def _flush(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        calls, self._along = self._along, []
        if calls:
            self.trips += 1
            _told(calls, await self._scripts(calls))

    async def run(self, script: str, keys: Sequence[str], *args: Arg) -> Any:
        """One script, one trip."""
        self.trips += 1
        calls: list[Call] = [(script, keys, args)]
        if script == "sent" and self._along:
            calls, self._along = [*self._along, *calls], []
        if len(calls) == 1 and self._cluster is None and not self._is_kept(script, keys):
            return await self._alone(script, len(keys), *keys, *args)
        *others, answer = await self._scripts(calls)
        _told(calls, others)
        return _sound([answer])[0]

    async def run_all(self, calls: Sequence[Call], *, patient: str = "") -> list[Any]:
        """Many scripts in one trip. One called `patient` for which there is no room answers nothing, and fails nothing."""
        self.trips += 1
        answers = await self._scripts(calls)
        for n, (script, _, _) in enumerate(calls):
            if script == patient and _is_full(answers[n]):
                answers[n] = ()
        return _sound(answers)

    async def execute(self, pipeline: Pipeline) -> list[Any]:
        """A pipeline of plain commands, one trip. A transaction is one as far as its keys share a slot."""
        await self.flush()
        self.trips += 1
        if self._cluster is not None:
            commands, pipeline.command_stack = pipeline.command_stack, []
            return _sound(await self._send(commands, whole=pipeline.is_transaction))
        try:
            return await pipeline.execute()
        except RedisError as error:
            raise translated(error) from error

    async def fetch_or_set(self, key: str, candidate: bytes) -> bytes | None:
        """What lies at the key; the candidate, unless empty, is stored first where nothing lies."""
        pipeline = self.redis.pipeline(transaction=False)
        if candidate:
            pipeline.setnx(key, candidate)
        pipeline.get(key)
        return cast("bytes | None", (await self.execute(pipeline))[-1])

    async def measure(self) -> None:
        """See how much memory and disk is left: what is accepted now must still be answered, which takes some; in a cluster
        the fullest node counts. And see who has replicas, and who is the primary. Raises StoreError.
        """
        if isinstance(self.redis.connection_pool, Watch):
            with suppress(RedisError):  # sentinels that are away hold nothing up
                await self.redis.connection_pool.get_master_address()
        primaries = self._primaries()
        asked: list[Awaitable[dict[str, Any]]] = [one.info("memory", "replication") for one in primaries.values()]
        try:
            told = await asyncio.gather(*asked)
        except RedisError as error:
            if self._cluster is not None:
                with suppress(RedisError):
                    await self._cluster.open()
            raise translated(error) from error
        tight = LITTLE_MEMORY if any(_tight(info) for info in told) else FULL_DISK if self._lacks_disk() else ""
        if tight and not self.tight:
            log.warning("%s", tight)
        self.tight = tight
        self._copied = {place for place, info in zip(primaries, told, strict=True) if _copied(info)}

    async def ping(self) -> None:
        """Raises StoreError when the store does not answer within two seconds."""
        try:
            async with asyncio.timeout(2.0):
                await asyncio.gather(*(one.ping() for one in self._primaries().values()))
        except (RedisError, TimeoutError) as error:
            raise StoreAway("The store does not answer.") from error

    def pubsub(self) -> PubSub:
        """Hears sharded channels: `ssubscribe`, `sunsubscribe` and `listen`, as redis-py has them."""
        return cast("PubSub", self._cluster.pubsub()) if self._cluster else self.redis.pubsub()

    def _lacks_disk(self) -> bool:
        with suppress(OSError):
            return self._folder is not None and shutil.disk_usage(self._folder).free < ROOM
        return False

    def _primaries(self) -> dict[Any, Redis]:
        return dict(self._cluster.primaries()) if self._cluster else {"": self.redis}

    def _place(self, key: str) -> object:
        return self._cluster.place(key) if self._cluster else ""

    def _is_kept(self, script: str, keys: Sequence[str]) -> bool:
        return script in _KEPT and self._place(keys[0]) in self._copied

    async def _alone(self, script: str, *call: Arg) -> Any:
        try:
            try:
                return await self.redis.evalsha(self._shas[script], *call)  # type: ignore[arg-type]
            except NoScriptError:  # the store was restarted, or another took its place, without its script cache
                return await self.redis.eval(self._sources[script], *call)  # type: ignore[arg-type]
        except RedisError as error:
            raise translated(error) from error

    async def _scripts(self, calls: Sequence[Call]) -> list[Any]:
        """Answers in order, errors among them."""
        numbered = [(len(keys), *keys, *args) for _, keys, args in calls]
        shas = [self._shas[script] for script, _, _ in calls]
        commands: list[Command] = []
        for (script, keys, _), sha, call in zip(calls, shas, numbered, strict=True):
            commands.append((("EVALSHA", sha, *call), {}))
            if self._is_kept(script, keys):  # on one connection: a replica confirms what came over it
                commands.append((("WAIT", 1, PATIENCE), {}))
        answers = [a for a, (args, _) in zip(await self._send(commands), commands, strict=True) if args[0] != "WAIT"]
        unknown = [n for n, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:
            sources = [self._sources[calls[n][0]] for n in unknown]
            again = await self._send([(("EVAL", s, *numbered[n]), {}) for n, s in zip(unknown, sources, strict=True)])
            for n, answer in zip(unknown, again, strict=True):
                answers[n] = answer
        return answers

    async def _send(self, commands: Sequence[Command], *, whole: bool = False) -> list[Any]:
        """Answers in order, errors among them."""
        if self._cluster is not None:
            return await self._cluster.execute(commands, whole=whole)
        pipeline = self.redis.pipeline(transaction=whole)
        for args, options in commands:
            pipeline.execute_command(*args, **options)
        try:
            return list(await pipeline.execute(raise_on_error=False))
        except RedisError as error:
            return [error] * len(commands)

    async def close(self) -> None:
        """Give the connections back."""
        if self._flushing is not None:
            await asyncio.wait((self._flushing,), timeout=1.0)
        if self._cluster is not None:
            await self._cluster.close()
        else:
            await self.redis.aclose()
            await self.redis.connection_pool.aclose()


def translated(error: RedisError) -> StoreError:
    """Redis' errors as ours; the sentence tells the operator what to do."""
    text = str(error)
    if isinstance(error, OutOfMemoryError) or "OOM" in text:
        return StoreFull("The store is at its memory limit: raise maxmemory or remove data.")
    if "MISCONF" in text or "No space left" in text:
        return StoreFull(FULL_DISK)
    if isinstance(error, AuthenticationError) or "NOAUTH" in text or "WRONGPASS" in text:
        return StoreError("The store does not accept the password in REDIS_URL.")
    if isinstance(error, AskError):
        return StoreError("The store is a cluster: REDIS_URL must begin with redis+cluster:// or rediss+cluster://.")
    if "cluster support disabled" in text:
        return StoreError("The store is no cluster: take +cluster out of REDIS_URL.")
    if "NOREPLICAS" in text:
        return StoreAway("The store waits for a replica before it takes anything: see its min-replicas-to-write.")
    if isinstance(error, RedisConnectionError | RedisTimeoutError | ReadOnlyError | ClusterError | TryAgainError):
        return StoreAway("The store does not answer: is it running, and is REDIS_URL right?")
    if isinstance(error, ResponseError) and "unknown command" in text.lower():
        return StoreError("The store lacks a command that Pieria needs: Redis 7.0 or Valkey 7.2 is the least.")
    return StoreError(f"The store refused a command: {text[:200]}")


def _check_version(info: dict[str, Any]) -> None:
    valkey = info.get("valkey_version")
    version = str(valkey or info.get("redis_version", "0"))
    major, minor = (int(n) for n in ([*version.split("."), "0"])[:2])
    if (major, minor) < ((7, 2) if valkey else (7, 0)):
        raise StoreMismatch(f"The store is version {version}: Redis 7.0 or Valkey 7.2 is the least.")


def _check_policy(memory: dict[str, Any]) -> None:
    policy = str(memory.get("maxmemory_policy", ""))
    if int(memory.get("maxmemory", 0)) and policy not in {"", "noeviction"}:
        raise StoreMismatch(
            f"The store throws away what it holds when its memory is full: set its maxmemory-policy to noeviction (it is {policy})."
        )


def _tight(info: dict[str, Any]) -> bool:
    most = int(info.get("maxmemory", 0))
    return 0 < most * TIGHT < int(info["used_memory"])


def _copied(info: dict[str, Any]) -> bool:
    replicas = [info.get(f"slave{n}", {}) for n in range(int(info.get("connected_slaves", 0)))]
    return any(one.get("state") == "online" and int(one.get("lag", 0)) <= SILENCE for one in replicas)


def _is_full(answer: Any) -> bool:
    return isinstance(answer, RedisError) and isinstance(translated(answer), StoreFull)


def _told(calls: Sequence[Call], answers: Sequence[Any]) -> None:
    """Tell of what went along and was not taken."""
    for (script, _, _), answer in zip(calls, answers, strict=False):
        if isinstance(answer, RedisError):
            log.warning("%s was not noted: %s", script, translated(answer).sentence)


def _sound(answers: list[Any]) -> list[Any]:
    """The answers. Raises StoreError where an error lies among them."""
    for answer in answers:
        if isinstance(answer, RedisError):
            raise translated(answer) from answer
    return answers


def _check_meta(meta: dict[str, str], fingerprint: str) -> None:
    if int(meta["schema"]) > SCHEMA:
        raise StoreMismatch("The store was written by a newer Pieria: update this one, or use another store.")
    if int(meta["shards"]) != SHARDS:
        raise StoreMismatch(f"The store has {meta['shards']} shards; this program works with {SHARDS}.")
    if meta["key"] != fingerprint:
        raise StoreMismatch(
            "The store was sealed with another key: set PIERIA_KEY, or bring the key file that belongs to it."
        )


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode()
