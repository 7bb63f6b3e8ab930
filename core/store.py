"""Opens Redis or Valkey from a URL, checks that the store is ours, and runs the scripts.

There is no storage interface with two implementations: the seam is the URL. One script is one trip; a lost connection is
tried again, because every script is written so that its second run does no harm.
"""

import asyncio
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any, cast

from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.client import Pipeline
from redis.asyncio.connection import AbstractConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import (
    AuthenticationError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from core.errors import StoreAway, StoreError, StoreFull, StoreMismatch
from core.keys import META, SHARDS

SCHEMA = 1
TIGHT = 0.8
"""Share of the store's memory beyond which nothing new is accepted."""
Arg = str | bytes | int

_SCRIPTS = (
    *("accept", "begin", "commit", "due", "edit", "renew", "say", "sent", "step", "stop", "sweep", "summary"),
    *("admit", "hold", "take", "return", "reserve", "settle"),
)


class Store:
    """A connected store."""

    def __init__(self, url: str, *, connections: int = 256, timeout: float = 10.0) -> None:
        options = dict(parse_url(url))
        kind = _CONNECTIONS[options.pop("connection_class", Connection)]
        most: Any = options.pop("max_connections", connections)
        settings: dict[str, Any] = {
            "socket_timeout": timeout,
            "socket_connect_timeout": 5.0,
            "retry": Retry(ExponentialBackoff(cap=1.0, base=0.02), 6),
            "retry_on_error": [RedisConnectionError, RedisTimeoutError],
            "health_check_interval": 0,
            "protocol": 2,  # hiredis never frees the pushes of version 3: every message of a channel would leak
            **options,
        }
        pool = BlockingConnectionPool(connection_class=kind, max_connections=int(most), timeout=timeout, **settings)
        self.redis: Redis = Redis(connection_pool=pool)
        self._shas: dict[str, str] = {}
        self._sources: dict[str, str] = {}
        self.tight = False
        """So little memory is left that nothing new may be taken in, as of the last measuring."""
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
            info = await self.redis.info("server")
            _check_version(info)
            pipeline = self.redis.pipeline(transaction=False)
            for name in _SCRIPTS:
                pipeline.script_load(self._sources[name])
            pipeline.hgetall(META)
            answers = await pipeline.execute()
            if not answers[-1]:  # a store that is full takes no writes, and must open all the same
                pipeline.hset(META, mapping={"schema": SCHEMA, "shards": SHARDS, "key": fingerprint})
                pipeline.hgetall(META)
                answers[-1] = (await pipeline.execute())[-1]
        except RedisError as error:
            raise translated(error) from error
        self._shas = {name: _text(sha) for name, sha in zip(_SCRIPTS, answers, strict=False)}
        _check_meta({_text(k): _text(v) for k, v in answers[-1].items()}, fingerprint)

    async def run(self, script: str, keys: Sequence[str], *args: Arg) -> Any:
        """One script, one trip."""
        self.trips += 1
        try:
            try:
                return await self.redis.evalsha(self._shas[script], len(keys), *keys, *args)
            except NoScriptError:  # the store was restarted without its script cache
                return await self.redis.eval(self._sources[script], len(keys), *keys, *args)
        except RedisError as error:
            raise translated(error) from error

    async def run_all(self, script: str, calls: Sequence[tuple[Sequence[str], Sequence[Arg]]]) -> list[Any]:
        """The same script for many keys in one trip."""
        self.trips += 1
        pipeline = self.redis.pipeline(transaction=False)
        for keys, args in calls:
            pipeline.evalsha(self._shas[script], len(keys), *keys, *args)
        try:
            return await pipeline.execute()
        except NoScriptError:
            return [await self.run(script, keys, *args) for keys, args in calls]
        except RedisError as error:
            raise translated(error) from error

    async def execute(self, pipeline: Pipeline) -> list[Any]:
        """A pipeline of plain commands, one trip."""
        self.trips += 1
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
        """See how much memory is left: what is accepted now must still be answered, which takes some. Raises StoreError."""
        try:
            memory = await self.redis.info("memory")
        except RedisError as error:
            raise translated(error) from error
        most = int(memory.get("maxmemory", 0))
        self.tight = 0 < most * TIGHT < int(memory["used_memory"])

    async def ping(self) -> None:
        """Raises StoreError when the store does not answer within two seconds."""
        try:
            async with asyncio.timeout(2.0):
                await self.redis.ping()
        except (RedisError, TimeoutError) as error:
            raise StoreAway("The store does not answer.") from error

    async def close(self) -> None:
        """Give the connections back."""
        await self.redis.aclose()
        await self.redis.connection_pool.disconnect()


class _Cancellable(AbstractConnection):
    """redis-py bounds a write by asyncio.wait_for, which on Python 3.11 loses a cancellation that comes just as the write
    ends: a loop of ours would go on for ever while the program waits for its end.
    """

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        # a connection belongs to one task at a time: nobody else sees it without its time-out
        seconds, self.socket_timeout = self.socket_timeout, None
        try:
            async with asyncio.timeout(seconds):
                await super().send_packed_command(command, check_health)
        except TimeoutError as error:
            raise RedisTimeoutError("Timeout writing to socket") from error
        finally:
            self.socket_timeout = seconds


class _Plain(_Cancellable, Connection):
    """Over TCP."""


class _Encrypted(_Cancellable, SSLConnection):
    """Over TLS."""


class _Local(_Cancellable, UnixDomainSocketConnection):
    """Over a Unix socket."""


_CONNECTIONS: dict[Any, type[AbstractConnection]] = {
    Connection: _Plain,
    SSLConnection: _Encrypted,
    UnixDomainSocketConnection: _Local,
}


def translated(error: RedisError) -> StoreError:
    """Redis' errors as ours; the sentence tells the operator what to do."""
    text = str(error)
    if isinstance(error, OutOfMemoryError) or "OOM" in text:
        return StoreFull("The store is at its memory limit: raise maxmemory or remove data.")
    if "MISCONF" in text or "No space left" in text:
        return StoreFull("The store cannot write to its disk: free space, then it goes on by itself.")
    if isinstance(error, AuthenticationError) or "NOAUTH" in text or "WRONGPASS" in text:
        return StoreError("The store does not accept the password in REDIS_URL.")
    if isinstance(error, RedisConnectionError | RedisTimeoutError | ReadOnlyError):
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
