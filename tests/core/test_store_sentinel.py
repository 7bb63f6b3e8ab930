"""The store under a sentinel: whichever process it names is used, and what was accepted is not lost with the other."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from core import store as store_module
from core.channels import Channels
from core.errors import StoreAway
from core.keys import lane_keys, tags
from core.mailbox import Mailbox, Rules
from core.messages import Text
from core.store import Store
from tests.conftest import FINGERPRINT, wait_until
from tests.core.lane import LANE, OWNER, entry, event, post
from tests.servers.valkeys import Watched, free_port
from tests.stage import stage

pytestmark = pytest.mark.xdist_group("sentinel")


@pytest.fixture
async def watched(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Watched]:
    servers = Watched(tmp_path_factory.mktemp("watched"))
    try:
        await servers.start()
        yield servers
    finally:
        servers.close()


@pytest.fixture
async def store(watched: Watched) -> AsyncIterator[Store]:
    opened = Store(watched.url.replace("//", f"//127.0.0.1:{free_port()},"))  # the first sentinel is not there
    try:
        await opened.open(FINGERPRINT)
        yield opened
    finally:
        await opened.close()


async def test_what_is_accepted_lies_at_the_replica_first_and_one_that_says_nothing_holds_nothing_up(
    watched: Watched, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "PATIENCE", 10_000)
    mailbox = Mailbox(store, "one", Rules())
    watched.two.pause()
    posting = asyncio.create_task(post(mailbox, entry(1)))
    try:
        await wait_until(lambda: mailbox.knows(LANE, event(1)))
        assert not posting.done()
    finally:
        watched.two.resume()
    assert await posting == ["WAKE"]

    watched.two.pause()
    try:
        await wait_until(lambda: _alone(store), seconds=10.0)
        assert await post(mailbox, entry(2)) == ["QUEUED"]
    finally:
        watched.two.resume()


async def test_all_goes_on_at_the_replica_when_the_primary_was_killed_and_nothing_accepted_is_lost(
    watched: Watched, store: Store
) -> None:
    accepted: list[tuple[str, str]] = []
    mailbox = Mailbox(store, "one", Rules(cap=100_000))
    stop, gate = asyncio.Event(), asyncio.Event()

    async def write(lane: str, n: int) -> None:
        while not stop.is_set():
            n += 1
            while True:  # as platforms do: again until it is taken
                try:
                    await mailbox.accept(lane_keys(lane), entry(n), OWNER, begin=False)
                except StoreAway:
                    continue
                break
            accepted.append((lane, event(n)))

    channels, heard, again = Channels(store), list[bytes](), list[None]()

    async def hear(data: bytes) -> None:
        heard.append(data)

    await channels.hear(tuple(f"{t}:ctl" for t in tags()), hear, lambda: again.append(None))
    hearing = asyncio.create_task(channels.run())
    async with asyncio.TaskGroup() as tasks, stage(store, lambda p: [gate, Text(p.lines[-1].text)]) as s:
        await s.say("before")
        await wait_until(lambda: s.model.open)
        for n in range(8):
            tasks.create_task(write(f"{n:032x}", n * 10_000_000))
        await wait_until(lambda: len(accepted) > 500)
        watched.one.kill()
        await wait_until(lambda: _moved(watched), seconds=10.0)
        gate.set()
        before = len(accepted)
        await wait_until(lambda: len(accepted) > before + 100, seconds=5.0)
        stop.set()
        assert await s.replies(1) == ["before"]
        await s.say("after")
        assert await s.replies(2) == ["before", "after"]
    await wait_until(lambda: len(again) >= 16)
    await channels.tell(LANE.halts, b"there")
    await wait_until(lambda: heard == [b"there"])
    hearing.cancel()
    await asyncio.wait((hearing,))
    for lane, name in accepted:
        assert await mailbox.knows(lane_keys(lane), name)


async def test_a_primary_that_was_replaced_while_it_was_frozen_is_left(watched: Watched) -> None:
    store = Store(watched.url, timeout=0.5)
    await store.open(FINGERPRINT)
    mailbox = Mailbox(store, "one", Rules())
    await asyncio.gather(*(mailbox.knows(LANE, event(n)) for n in range(20)))
    watched.one.pause()
    asking = asyncio.create_task(post(mailbox, entry(1)))
    await wait_until(lambda: _moved(watched), seconds=10.0)
    assert await asking == ["WAKE"]
    watched.one.resume()
    assert [await post(mailbox, entry(n)) for n in range(2, 20)] == [["QUEUED"]] * 18
    assert await watched.two.ask("LLEN", LANE.mailbox) == 19
    await store.close()


async def _alone(store: Store) -> bool:
    await store.measure()
    return not store._copied


async def _moved(watched: Watched) -> bool:
    return await watched.primary() == watched.two.port
