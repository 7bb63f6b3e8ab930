"""A real Valkey for each test process, a clean store for each test, and the check that no test leaves a key behind."""

import asyncio
import inspect
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from redis.asyncio import Redis as AsyncRedis

from adapters.valkey import Valkey
from core.keys import TABLE
from core.store import Store

FINGERPRINT = "tests"
"""Of the key that the store of a test belongs to."""


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Valkey that only this process uses: the product's own, which ends with the process, killed or not."""
    server = Valkey(tmp_path_factory.mktemp("valkey"))
    server.spawn()
    try:
        asyncio.run(_ready(server))
        yield server.url
    finally:
        server.close()


@pytest.fixture
async def store(valkey_url: str) -> AsyncIterator[Store]:
    """An empty store, opened. After the test each key must be one of core/keys.py and must end by itself."""
    opened = Store(valkey_url)
    try:
        await opened.redis.config_set("maxmemory", 0)
        await opened.redis.flushall()
        await opened.open(FINGERPRINT)
        yield opened
        left = await leaks(opened.redis)
        assert not left, "keys that nothing ends, or that core/keys.py does not know:\n" + "\n".join(left)
    finally:
        await opened.close()


async def wait_until(predicate: Callable[[], Any], seconds: float = 5.0) -> Any:
    """What the predicate (plain or async) returns, as soon as that is true; fails after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        result = predicate()
        if inspect.isawaitable(result):
            result = await result
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"not true after {seconds} s: {_told(predicate)}")
        await asyncio.sleep(0.01)


async def leaks(redis: AsyncRedis) -> list[str]:
    """Keys that no kind of core/keys.py knows, of another type than stated, or without an end where one is promised."""
    found = []
    async for key in redis.scan_iter(count=1000):
        name = key.decode()
        kind = next((kind for pattern, kind in _KINDS if pattern.fullmatch(name)), None)
        if kind is None:
            found.append(f"{name}: unknown")
            continue
        type_ = (await redis.type(key)).decode()
        if type_ != kind.type:
            found.append(f"{name}: is a {type_}, should be a {kind.type}")
        if kind.expires.startswith(("permanent", "gone when")) or await redis.pttl(key) > 0:
            continue
        if kind.pattern == "{t}:c:<lane>" and await redis.hget(key, "st") != b"idle":
            continue
        found.append(f"{name}: has no end, should have: {kind.expires}")
    return found


def _pattern(kind: str) -> re.Pattern[str]:
    shapes = {"n": r"\d+", "space": r".+", "code": r"[A-Z2-9]{8}"}
    pieces = re.split(r"(\{t\}|<\w+>)", kind)
    made = [
        r"\{pieria[0-7]\}" if p == "{t}" else shapes.get(p[1:-1], "[0-9a-f]{32}") if p.startswith("<") else re.escape(p)
        for p in pieces
    ]
    return re.compile("".join(made))


_KINDS = [(_pattern(kind.pattern), kind) for kind in TABLE]


async def _ready(server: Valkey) -> None:
    await server.ready()
    async with AsyncRedis.from_url(server.url) as redis:
        await redis.config_set("appendonly", "no")  # no test of this server needs its files


def _told(predicate: Callable[[], Any]) -> str:
    try:
        return inspect.getsource(predicate).strip()
    except (OSError, TypeError):
        return repr(predicate)
