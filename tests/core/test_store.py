"""The store: what is checked when it is opened, and how its failures are told."""

import asyncio
from pathlib import Path

import pytest
from redis import exceptions

from core.errors import StoreAway, StoreError, StoreFull, StoreMismatch
from core.keys import META, lane_keys
from core.store import Store, translated
from tests.conftest import FINGERPRINT, leaks

LANE = lane_keys("0" * 32)
RENEW = (LANE.state, LANE.live), (LANE.id, 1, 5_000)


async def reopened(url: str, fingerprint: str = FINGERPRINT) -> None:
    store = Store(url)
    try:
        await store.open(fingerprint)
    finally:
        await store.close()


async def test_a_store_of_ours_opens_again(store: Store, valkey_url: str):
    await reopened(valkey_url)


async def test_a_store_sealed_with_another_key_is_refused(store: Store, valkey_url: str):
    with pytest.raises(StoreMismatch, match="another key"):
        await reopened(valkey_url, "another")


async def test_a_store_of_a_newer_program_is_refused(store: Store, valkey_url: str):
    await store.redis.hset(META, "schema", "999")
    with pytest.raises(StoreMismatch, match="newer"):
        await reopened(valkey_url)


async def test_a_store_with_another_number_of_shards_is_refused(store: Store, valkey_url: str):
    await store.redis.hset(META, "shards", "16")
    with pytest.raises(StoreMismatch, match="16 shards"):
        await reopened(valkey_url)


async def test_a_store_that_is_not_there_is_told_in_a_sentence(tmp_path: Path):
    with pytest.raises(StoreError, match="REDIS_URL"):
        await reopened(f"unix://{tmp_path}/nobody")


async def test_a_store_that_throws_away_what_it_holds_is_refused(store: Store, valkey_url: str):
    await store.redis.config_set("maxmemory-policy", "volatile-ttl")
    try:
        await reopened(valkey_url)  # without a limit it throws nothing away
        await store.redis.config_set("maxmemory", 2**40)
        with pytest.raises(StoreMismatch, match="noeviction"):
            await reopened(valkey_url)
    finally:
        await store.redis.config_set("maxmemory", 0)
        await store.redis.config_set("maxmemory-policy", "noeviction")


async def test_a_store_that_waits_for_replicas_is_told_from_a_broken_one(store: Store):
    await store.redis.config_set("min-replicas-to-write", 1)
    try:
        with pytest.raises(StoreAway, match="replica"):
            await store.run("lease", ("pieria:lease:a",), "me", 1000, "")
    finally:
        await store.redis.config_set("min-replicas-to-write", 0)


@pytest.mark.parametrize("url", ["localhost", "redis+cluster://one/3", "redis+sentinel://one"])
async def test_a_url_that_names_nothing_is_told_in_a_sentence(url: str):
    with pytest.raises(StoreError, match="REDIS_URL must"):
        Store(url)


async def test_scripts_run_after_the_store_forgot_them(store: Store):
    await store.redis.script_flush()
    assert await store.run("renew", *_flat(RENEW)) == 0
    await store.redis.script_flush()
    assert await store.run_all([("renew", *RENEW)] * 2) == [0, 0]
    await store.redis.script_flush()
    assert await store.run_all([]) == []


async def test_a_script_is_one_trip_and_so_are_many(store: Store):
    before = store.trips
    await store.run("renew", *_flat(RENEW))
    await store.run_all([("renew", *RENEW)] * 50)
    assert store.trips - before == 2


async def test_a_lost_connection_is_opened_again(store: Store):
    assert await store.run("renew", *_flat(RENEW)) == 0
    me = await store.redis.client_id()
    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(store.run("renew", *_flat(RENEW)))
    for client in await store.redis.client_list():
        if client["id"] != str(me):
            await store.redis.client_kill_filter(_id=client["id"])
    answers = await asyncio.gather(*(store.run("renew", *_flat(RENEW)) for _ in range(40)))
    assert answers == [0] * 40


async def test_more_calls_than_connections_wait_for_their_turn(valkey_url: str, store: Store):
    narrow = Store(valkey_url, connections=2)
    try:
        await narrow.open(FINGERPRINT)
        answers = await asyncio.gather(*(narrow.run("renew", *_flat(RENEW)) for _ in range(200)))
        assert answers == [0] * 200
    finally:
        await narrow.close()


async def test_a_full_store_is_told_from_a_broken_one(store: Store):
    await store.redis.config_set("maxmemory", 1)
    pipeline = store.redis.pipeline(transaction=False)
    pipeline.set("pieria:claim", "x", px=1000)
    with pytest.raises(StoreFull):
        await store.execute(pipeline)
    await store.ping()


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (exceptions.OutOfMemoryError("OOM command not allowed"), StoreFull, "maxmemory"),
        (exceptions.ResponseError("MISCONF Errors writing to the AOF file"), StoreFull, "disk"),
        (exceptions.AuthenticationError("invalid password"), StoreError, "password"),
        (exceptions.ResponseError("NOAUTH Authentication required."), StoreError, "password"),
        (exceptions.ConnectionError("refused"), StoreAway, "REDIS_URL"),
        (exceptions.TimeoutError("slow"), StoreAway, "REDIS_URL"),
        (exceptions.MovedError("7 one:6379"), StoreError, "redis+cluster://"),
        (exceptions.ResponseError("This instance has cluster support disabled"), StoreError, "+cluster"),
        (exceptions.ClusterDownError("Hash slot not served"), StoreAway, "REDIS_URL"),
        (exceptions.ResponseError("NOREPLICAS Not enough good replicas to write."), StoreAway, "min-replicas-to-write"),
        (exceptions.ResponseError("unknown command 'EVALSHA'"), StoreError, "7.2"),
        (exceptions.ResponseError("something else"), StoreError, "something else"),
    ],
)
def test_every_failure_becomes_a_sentence_with_a_remedy(error: Exception, kind: type, says: str):
    told = translated(error)
    assert type(told) is kind
    assert says in told.sentence


async def test_every_error_of_the_client_library_has_a_sentence():
    kinds = [k for k in vars(exceptions).values() if isinstance(k, type) and issubclass(k, exceptions.RedisError)]
    assert len(kinds) > 15
    for kind in kinds:
        assert translated(kind.__new__(kind)).sentence


async def test_a_cancellation_is_never_lost_in_the_client_library(store: Store):
    for steps in range(600):
        asking = asyncio.create_task(store.ping())
        for _ in range(steps % 12):
            await asyncio.sleep(0)
        if asking.cancel():
            await asyncio.wait((asking,))
            assert asking.cancelled()


async def test_a_key_that_nobody_declared_is_a_leak(store: Store):
    await store.redis.set("forgotten", "1")
    await store.redis.set("pieria:claim", "1")
    await store.redis.hset("{pieria0}:mb:" + "0" * 32, "a", "b")
    assert len(await leaks(store.redis)) == 3
    await store.redis.flushall()


def _flat(call: tuple[tuple[str, ...], tuple[object, ...]]) -> tuple[object, ...]:
    keys, args = call
    return (keys, *args)
