"""How REDIS_URL is read, and the connections to what it names: one store, the one that sentinels watch over, or a cluster.

URLs are spelled as Docket spells them, so that one REDIS_URL serves both. Every connection is of ours: redis-py's own lose
cancellations on Python 3.11 (docs/decisions/0008).
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import msgspec
from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import AbstractConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

SENTINEL_PORT = 26379
CONNECT = 5.0
"""Seconds for making a connection."""
ASK = 1.0
"""Seconds that one sentinel has to answer before the next is asked."""

Place = tuple[str, int]
"""Host and port."""

_SCHEMES = "redis://, rediss://, unix://, redis+sentinel://, rediss+sentinel://, redis+cluster:// or rediss+cluster://"
_ESCAPES = "in a password / ? # @ are written %2F %3F %23 %40"


class Address(msgspec.Struct, frozen=True):
    """A REDIS_URL, taken apart."""

    kind: Literal["alone", "sentinel", "cluster"]
    connection: type[AbstractConnection]
    options: dict[str, Any]
    """Of a connection to the store itself."""
    most: int = 0
    """Connections that the URL allows; 0 where it does not say."""
    service: str = ""
    """What the sentinels call it."""
    sentinels: tuple[Place, ...] = ()
    asking: dict[str, Any] = {}
    """Options of a connection to a sentinel."""


def address(url: str) -> Address:
    """What a URL names. Raises ValueError with what it must do; its text holds nothing of the URL."""
    scheme, _, rest = url.partition("://")
    base, _, kind = scheme.partition("+")
    if scheme != "unix" and (base not in {"redis", "rediss"} or kind not in {"", "sentinel", "cluster"}):
        raise _Wrong(f"begin with {_SCHEMES}, such as redis://localhost:6379/0")
    try:
        if kind == "sentinel":
            found = _watched(rest, encrypted=base == "rediss")
        else:
            found = _alone(f"{base}://{rest}", cluster=kind == "cluster")
    except _Wrong:
        raise
    except ValueError:  # its text may hold a piece of the password
        raise _Wrong(
            f"hold a host, a port and options that can be read, such as redis://localhost:6379/0; {_ESCAPES}"
        ) from None
    managed: dict[str, Any] = {"connection_pool": None} if found.sentinels else {}
    try:
        found.connection(**found.options, **managed)
    except TypeError:
        raise _Wrong(f"hold no option behind the ? that the client does not know; {_ESCAPES}") from None
    return found


class _Wrong(ValueError):
    """Says what the URL must do."""


def _alone(url: str, *, cluster: bool) -> Address:
    options = dict(parse_url(url))
    kind = options.pop("connection_class", Connection)
    most: Any = options.pop("max_connections", 0)
    if cluster and options.pop("db", 0):
        raise _Wrong("name no database: a cluster has none but 0")
    return Address("cluster" if cluster else "alone", _KINDS[kind], options, most)


def _watched(rest: str, *, encrypted: bool) -> Address:
    end = min((at for mark in "/?#" if (at := rest.find(mark)) >= 0), default=len(rest))
    who, _, hosts = rest[:end].rpartition("@")
    parts = urlsplit(rest[end:])
    service, _, db = parts.path.strip("/").partition("/")
    if not service:
        raise _Wrong("name the service that the sentinels watch, such as redis+sentinel://one:26379,two:26379/mymaster")
    told = {name: values[0] for name, values in parse_qs(parts.query).items()}
    asking: dict[str, Any] = {
        name: told.pop(f"sentinel_{name}") for name in ("username", "password") if f"sentinel_{name}" in told
    }
    options = dict(parse_url(f"redis:///?{urlencode(told)}"))
    most: Any = options.pop("max_connections", 0)
    for elsewhere in ("db", "username", "password"):  # the path and the part before the hosts tell these
        options.pop(elsewhere, None)
    name, _, password = who.partition(":")
    options |= {k: unquote(v) for k, v in (("username", name), ("password", password)) if v} | {"db": int(db or 0)}
    if encrypted:
        asking |= {"ssl": True, **{k: v for k, v in options.items() if k.startswith("ssl_")}}
    kind = _WatchedEncrypted if encrypted else _Watched
    sentinels = tuple(_place(host) for host in hosts.split(",") if host.strip())
    if not sentinels:
        raise _Wrong("name the hosts of the sentinels, such as redis+sentinel://one:26379,two:26379/mymaster")
    return Address("sentinel", kind, options, most, service, sentinels, asking)


def _place(text: str) -> Place:
    parts = urlsplit(f"//{text.strip()}")
    if not parts.hostname:
        raise ValueError(text)
    return parts.hostname, parts.port or SENTINEL_PORT


def client(where: Address, connections: int, timeout: float) -> Redis:
    """A client of one store, or of the one that is the primary just now. It tries again for a while what a lost connection
    left undone.
    """
    again = Retry(ExponentialBackoff(cap=1.0, base=0.02), 6)
    settings = _settings(where, connections, timeout, again)
    if where.kind != "sentinel":
        return Redis(connection_pool=BlockingConnectionPool(connection_class=where.connection, **settings))
    asking = {"socket_timeout": ASK, "socket_connect_timeout": ASK, "protocol": 2, "retry": Retry(NoBackoff(), 0)}
    sentinel: Any = Sentinel(where.sentinels, sentinel_kwargs={**asking, **where.asking})  # type: ignore[no-untyped-call]
    for one in sentinel.sentinels:
        one.connection_pool.connection_class = _KINDS[one.connection_pool.connection_class]
    pool = Watch(where.service, sentinel, connection_class=where.connection, **settings)  # type: ignore[no-untyped-call]
    return Redis(connection_pool=pool)


def node(where: Address, place: Place, connections: int, timeout: float) -> Redis:
    """A client of one node of a cluster. It tries nothing again: what it has may lie at another node by then."""
    settings = _settings(where, connections, timeout, Retry(NoBackoff(), 0)) | {"host": place[0], "port": place[1]}
    return Redis(connection_pool=BlockingConnectionPool(connection_class=where.connection, **settings))


def _settings(where: Address, connections: int, timeout: float, again: Retry) -> dict[str, Any]:
    return {
        "max_connections": where.most or connections,
        "timeout": timeout,
        "socket_timeout": timeout,
        "socket_connect_timeout": CONNECT,
        "retry": again,
        "retry_on_error": [RedisConnectionError, RedisTimeoutError],
        "health_check_interval": 0,
        **where.options,
        "protocol": 2,  # hiredis never frees the pushes of version 3: every message of a channel would leak
        "decode_responses": False,
    }


class Watch(SentinelConnectionPool, BlockingConnectionPool):
    """The connections to whichever store the sentinels call the primary."""

    async def get_master_address(self) -> Place:
        """Where the primary is. Those to an earlier one are given up, also where it is frozen and somebody waits for it."""
        before = self.master_address
        found: Place = await super().get_master_address()  # type: ignore[no-untyped-call]
        if before not in {None, found}:
            await self.disconnect()
        return found

    async def aclose(self) -> None:
        """Give them back, and those to the sentinels."""
        await super().aclose()
        await self.sentinel_manager.aclose()


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


class _Watched(_Cancellable, SentinelManagedConnection):
    """Over TCP, to the primary."""

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        if not self.is_connected:  # the library would try the same place again, and ask nobody who is the primary now
            await self.connect()  # type: ignore[no-untyped-call]
        await super().send_packed_command(command, check_health)


class _WatchedEncrypted(_Watched, SentinelManagedSSLConnection):
    """Over TLS, to the primary."""


_KINDS: dict[Any, type[AbstractConnection]] = {
    Connection: _Plain,
    SSLConnection: _Encrypted,
    UnixDomainSocketConnection: _Local,
}
