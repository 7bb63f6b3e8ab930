"""Wake-ups over Docket beside the contract: what is left in the store, a store that goes away, and stores that are refused."""

import asyncio
import logging
import os
import pickle
import re
import signal
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from adapters.queue.docket import MOST, Dockets, open_store
from adapters.valkey import Valkey
from core.keys import lane_keys
from tests.conftest import wait_until
from tests.contracts.wakeups import LANE, LANES, Player, serving

CONSTANT = re.compile(r"pieria[0-7]:stream")
"""Keys of Docket's that stay: eight empty streams with their group."""
PASSING = re.compile(r"pieria[0-7]:(leases:redelivery-sweep|worker-tasks:[\w-]+)")
"""Keys of Docket's that end by themselves."""
WORKING = re.compile(r"pieria[0-7]:(workers|task-workers:play)")
"""Keys of Docket's that are there while somebody works: sorted sets of workers."""


@pytest.fixture
async def redis(valkey_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(valkey_url) as opened:
        await opened.flushall()
        yield opened
        await opened.flushall()


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[Valkey]:
    """A server that a test may kill."""
    server = Valkey(tmp_path / "valkey")
    server.spawn()
    await server.ready()
    yield server
    server.close()


async def killed(server: Valkey) -> None:
    async with Redis.from_url(server.url) as redis:
        pid = (await redis.info("server"))["process_id"]
        os.kill(pid, signal.SIGKILL)
    await server.ended()


async def restarted(server: Valkey) -> None:
    server.close()
    server.spawn()
    await server.ready()


async def dump(redis: Redis) -> bytes:
    """All keys and all that lies in the streams and hashes of the store."""
    found = []
    for key in await redis.keys():
        found.append(key)
        match await redis.type(key):
            case b"stream":
                found += [part for _, fields in await redis.xrange(key) for pair in fields.items() for part in pair]
            case b"hash":
                found += [part for pair in (await redis.hgetall(key)).items() for part in pair]
            case b"zset":
                found += await redis.zrange(key, 0, -1)
            case b"set":
                found += await redis.smembers(key)
    return b"\n".join(found)


class TestWhatIsLeft:
    async def test_nothing_is_left_of_what_was_played_but_eight_empty_streams(
        self, redis: Redis, valkey_url: str
    ) -> None:
        player, wakeups = Player(broken=set(LANES[:10])), Dockets(valkey_url, "worker")
        async with serving(wakeups, player.drain):
            for lane in LANES[:300]:
                wakeups.wake(lane, 1)
            await wait_until(lambda: len(player.played) == 300)
            await wait_until(lambda: settled(redis))
            left = [name for name in await names(redis) if not CONSTANT.fullmatch(name) and not PASSING.fullmatch(name)]
            assert len([name for name in left if WORKING.fullmatch(name)]) == len(left) == 16
        left = await names(redis)
        for name in left:
            assert CONSTANT.fullmatch(name) or (PASSING.fullmatch(name) and await redis.pttl(name) > 0), name
        assert len([name for name in left if CONSTANT.fullmatch(name)]) == 8
        for n in range(8):
            assert await redis.xlen(f"pieria{n}:stream") == 0
            assert (await redis.xpending(f"pieria{n}:stream", "docket-workers"))["pending"] == 0

    async def test_turns_that_a_cancellation_ended_leave_nothing_either(self, redis: Redis, valkey_url: str) -> None:
        player, wakeups = Player(held=set(LANES)), Dockets(valkey_url, "worker", 30)
        async with serving(wakeups, player.drain):
            for lane in LANES[:30]:
                wakeups.wake(lane, 1)
            await wait_until(lambda: player.running.total() == 30)
        assert await settled(redis)

    async def test_no_docket_holds_more_than_lane_and_epoch(self, redis: Redis, valkey_url: str) -> None:
        player, wakeups = Player(held={LANE}), Dockets(valkey_url, "worker")
        async with serving(wakeups, player.drain), serving(Dockets(valkey_url, "adapters"), None):
            wakeups.wake(LANE, 12345)
            await wait_until(lambda: player.running[LANE])
            held = await dump(redis)
            [(_, sent)] = await redis.xrange(f"{lane_keys(LANE).tag.strip('{}')}:stream")
        assert pickle.loads(sent[b"args"]) == (LANE, 12345)
        assert pickle.loads(sent[b"kwargs"]) == {}
        assert set(sent) == {b"key", b"when", b"function", b"args", b"kwargs", b"attempt", b"generation"}
        assert LANE.encode() in held
        words = set(re.findall(rb"[A-Za-z_]{3,}", held.replace(LANE.encode(), b"")))
        assert words <= set(VOCABULARY.split()), words - set(VOCABULARY.split())

    async def test_a_shards_docket_is_named_like_its_tag(self, redis: Redis, valkey_url: str) -> None:
        async with serving(wakeups := Dockets(valkey_url, "adapters"), None):
            for lane in LANES[:20]:
                wakeups.wake(lane, 1)
                stream = f"{lane_keys(lane).tag.strip('{}')}:stream"
                assert stream == f"pieria{zlib.crc32(lane.encode()) % 8}:stream"
                await wait_until(lambda lane=lane, stream=stream: holds(redis, stream, lane))

    async def test_consumers_of_processes_that_ended_are_struck_off(
        self, redis: Redis, valkey_url: str, monkeypatch
    ) -> None:
        async with serving(Dockets(valkey_url, "old"), Player().drain):
            await wait_until(lambda: consumers(redis, {b"old"}))
        monkeypatch.setattr("adapters.queue.docket.GONE", 0)
        async with serving(Dockets(valkey_url, "new"), Player().drain):
            await wait_until(lambda: consumers(redis, {b"new"}))


VOCABULARY = b"""
    pieria stream workers task play worker tasks leases redelivery sweep runs progress
    key when function args kwargs attempt generation state running started_at current total
"""


async def names(redis: Redis) -> list[str]:
    return sorted(key.decode() for key in await redis.keys())


async def settled(redis: Redis) -> bool:
    """Whether no run and no wake-up lies in any docket."""
    return not [key for key in await names(redis) if ":runs:" in key or ":progress:" in key] and not any(
        [await redis.xlen(f"pieria{n}:stream") for n in range(8)]
    )


async def holds(redis: Redis, stream: str, lane: str) -> bool:
    return any(fields[b"key"] == f"{lane}:1".encode() for _, fields in await redis.xrange(stream))


async def consumers(redis: Redis, wanted: set[bytes]) -> bool:
    """Whether these, and no others, read each docket."""
    for n in range(8):
        try:
            told = await redis.xinfo_consumers(f"pieria{n}:stream", "docket-workers")
        except RedisError:
            return False
        if {one["name"] for one in told} != wanted:
            return False
    return True


class TestAStoreThatGoesAway:
    async def test_work_goes_on_after_the_store_was_killed_and_restarted(self, valkey: Valkey, caplog) -> None:
        caplog.set_level(logging.WARNING)
        player, adapters, worker = Player(), Dockets(valkey.url, "adapters"), Dockets(valkey.url, "worker")
        async with serving(adapters, None) as sends, serving(worker, player.drain) as works:
            adapters.wake(LANE, 1)
            await wait_until(lambda: (LANE, 1) in player.played)
            for round_ in (2, 3):
                await killed(valkey)
                for lane in LANES[:50]:
                    adapters.wake(lane, round_)  # nobody hears it: the sweeper would say it again
                    worker.wake(lane, round_)
                await restarted(valkey)
                await wait_until(lambda round_=round_: repeated(adapters, player, 10 * round_), 20)
            assert not sends.done()
            assert not works.done()
        assert not caplog.records, "the sweeper says what is to be said of a store that is away"

    async def test_a_store_that_refuses_commands_is_told_of(self, valkey: Valkey, caplog) -> None:
        async with Redis.from_url(valkey.url) as redis:
            await redis.execute_command("ACL", "SETUSER", "sends", "on", ">x", "+@all", "~*", "&*", "-evalsha")
            await redis.execute_command("ACL", "SETUSER", "plays", "on", ">x", "+@all", "~*", "&*", "-xreadgroup")
        sender, worker = (valkey.url.replace("unix://", f"unix://{user}:x@") for user in ("sends", "plays"))
        async with serving(sends := Dockets(sender, "a"), None), serving(Dockets(worker, "w"), Player().drain):
            for refused in ("evalsha", "xreadgroup"):
                sends.wake(LANE, 1)
                await wait_until(lambda refused=refused: f"'{refused}' command" in caplog.text)
            for lane in LANES[:50]:
                sends.wake(lane, 2)
            await wait_until(lambda: len([r for r in caplog.records if "were lost" in r.message]) >= 8)
        assert not [record for record in caplog.records if record.exc_info]

    async def test_a_store_that_lost_its_dockets_gets_new_ones(self, redis: Redis, valkey_url: str) -> None:
        player, wakeups = Player(), Dockets(valkey_url, "worker")
        async with serving(wakeups, player.drain):
            await repeated(wakeups, player, 1)
            await redis.flushall()
            await wait_until(lambda: repeated(wakeups, player, 2), 20)

    async def test_it_ends_soon_while_the_store_is_away(self, valkey: Valkey) -> None:
        player, wakeups = Player(held=set(LANES)), Dockets(valkey.url, "worker")
        async with serving(wakeups, player.drain):
            for lane in LANES[:10]:
                wakeups.wake(lane, 1)
            await wait_until(lambda: player.running.total() == 10)
            await killed(valkey)
        assert player.cancelled == 10

    async def test_it_ends_soon_while_the_store_hangs(self, valkey: Valkey) -> None:
        player, wakeups = Player(held=set(LANES)), Dockets(valkey.url, "worker")
        async with Redis.from_url(valkey.url) as redis:
            pid = (await redis.info("server"))["process_id"]
        try:
            async with serving(wakeups, player.drain):
                for lane in LANES[:10]:
                    wakeups.wake(lane, 1)
                await wait_until(lambda: player.running.total() == 10)
                os.kill(pid, signal.SIGSTOP)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert player.cancelled == 10

    async def test_waking_stays_bounded_and_never_fails_while_the_store_is_away(self, valkey: Valkey) -> None:
        wakeups = Dockets(valkey.url, "adapters")
        await killed(valkey)
        async with serving(wakeups, None):
            for n in range(20 * MOST):
                wakeups.wake(f"{n:032x}", 1)
            await asyncio.sleep(0)
            assert all(len(hints.take()) <= MOST for hints in wakeups._hints.values())


async def repeated(wakeups: Dockets, player: Player, epoch: int) -> bool:
    """What the sweeper does until a lane is awake, here for one of each shard."""
    lanes = {lane_keys(lane).tag: lane for lane in LANES[:100]}.values()
    for lane in lanes:
        wakeups.wake(lane, epoch)
    with suppress(AssertionError):
        await wait_until(lambda: {(lane, epoch) for lane in lanes} <= set(player.played), 0.5)
        return True
    return False


class TestTheUrl:
    def test_has_room_for_all_slots_and_no_end_of_reads(self) -> None:
        def url(given: str) -> str:
            return Dockets(given, "w", 256)._url

        assert url("redis://h:1/0") == "redis://h:1/0?max_connections=1024"
        assert url("unix:///a/b.sock?db=2") == "unix:///a/b.sock?db=2&max_connections=1024"
        assert url("redis://h?max_connections=50&socket_timeout=5") == "redis://h?max_connections=1024"
        assert url("redis://h?max_connections=5000") == "redis://h?max_connections=5000"
        assert (
            url("rediss+sentinel://u:p%40@[::1]:1,[::2]:2/main/0") == "rediss+sentinel://u:p%40@[::1]:1,[::2]:2/main/0"
            "?max_connections=1024"
        )


def test_without_docket_the_remedy_is_named() -> None:
    program = "import sys; sys.modules['docket'] = None\nimport adapters.queue.docket"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert told.stderr.strip().splitlines()[-1] == (
        "core.errors.SettingsError: Work on several machines needs Docket, which is not installed: "
        "run python3 deploy/bootstrap.py --cluster."
    )


def test_docket_is_imported_by_nothing_else() -> None:
    program = "import bots.wiring, bots.console, sys; print('docket' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"


GUARDED = (
    "unix:///run/valkey.sock",
    "unix://run/valkey.sock?db=1",
    "redis://",
    "redis:///0",
    "redis://localhost",
    "redis://LOCALHOST:6379/0",
    "redis://127.0.0.1:6379",
    "redis://127.8.9.10",
    "redis://[::1]:6379/0",
    "redis://[::ffff:127.0.0.1]",
    "redis://user@127.0.0.1",
    "redis://:secret@store.example.org",
    "redis://worker:secret@store.example.org:6379/0",
    "redis://worker:s%40cret@10.0.0.5",
    "redis://10.0.0.5?password=secret",
    "rediss://store.example.org",
    "rediss://10.0.0.5:6380/0?ssl_cert_reqs=none",
    "redis+sentinel://localhost:26379,127.0.0.1:26380/main",
    "redis+sentinel://[::1]:26379,[::1]:26380/main/0",
    "redis+sentinel://:secret@a:26379,b:26379/main",
    "rediss+sentinel://a:26379,b:26379/main",
    "redis+cluster://127.0.0.1:7000",
    "redis+cluster://:secret@a:7000",
    "rediss+cluster://a:7000",
    "REDISS://store.example.org",
)

OPEN = {
    "redis://store.example.org": "store.example.org",
    "redis://10.0.0.5:6379/0": "10.0.0.5",
    "redis://0.0.0.0": "0.0.0.0",
    "redis://[fe80::1]:6379": "fe80::1",
    "redis://[::]:6379": "::",
    "redis://[::ffff:10.0.0.5]": "::ffff:10.0.0.5",
    "redis://localhost.example.org": "localhost.example.org",
    "redis://127.0.0.1.example.org": "127.0.0.1.example.org",
    "redis://worker@store.example.org": "store.example.org",
    "redis://worker:@store.example.org": "store.example.org",
    "redis://:@store.example.org": "store.example.org",
    "redis://store.example.org?password=": "store.example.org",
    "redis://store.example.org/@127.0.0.1": "store.example.org",
    "redis://store.example.org#:secret@": "store.example.org",
    "redis://store.example.org?x=:secret@127.0.0.1": "store.example.org",
    "redis+sentinel://a:26379,b:26379/main": "a",
    "redis+sentinel://127.0.0.1:26379,b:26379/main": "b",
    "redis+sentinel://worker:@a/main?sentinel_password=secret": "a",
    "redis+sentinel://a/main?password=secret": "a",
    "redis+cluster://a:7000": "a",
    "redis+cluster://[fd00::1]:7000": "fd00::1",
}


@pytest.mark.parametrize("url", GUARDED)
def test_a_worker_takes_a_guarded_store(url: str) -> None:
    assert open_store(url) == ""


@pytest.mark.parametrize(("url", "host"), OPEN.items())
def test_a_worker_refuses_an_open_store_in_one_sentence(url: str, host: str) -> None:
    said = open_store(url)
    assert said.startswith(f"A worker does not take its work from {host} without TLS or a password, ")
    assert "secret" not in said
    assert said.endswith(").")
