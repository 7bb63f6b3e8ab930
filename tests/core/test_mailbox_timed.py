"""Timed work: posted into its lane when its time has come, once."""

import asyncio

from core.mailbox import Mailbox
from core.store import Store
from tests.core.lane import LANE, OWNER, SPACE, begun, clock, entry, said, waiting


async def test_timed_work_reaches_its_lane_when_its_time_has_come(store: Store, mailbox: Mailbox):
    now = await clock(store)
    await mailbox.schedule(LANE, "r1", now + 60_000, entry(1), OWNER)
    assert await mailbox.sweep() == []
    await mailbox.schedule(LANE, "r1", now - 1, entry(2, alone=True), OWNER)
    [(lane, epoch)] = await mailbox.sweep()
    turn = await mailbox.begin(LANE, epoch)
    assert lane == LANE.id
    assert turn is not None
    assert (turn.entries, turn.owner) == ((entry(2, alone=True),), OWNER)
    assert await store.redis.exists(f"{LANE.tag}:due", f"{LANE.tag}:todo") == 0


async def test_timed_work_is_posted_once_though_many_sweep_at_once(store: Store, mailbox: Mailbox):
    for n in range(15):
        await mailbox.schedule(LANE, f"r{n}", 1, entry(n), OWNER)
    found = await asyncio.gather(*(mailbox.sweep() for _ in range(20)))
    assert len([lane for some in found for lane in some]) == 1
    assert await waiting(store) == 15


async def test_timed_work_that_already_happened_is_not_posted_again(store: Store, mailbox: Mailbox):
    await mailbox.commit(await begun(mailbox, entry(1)), space=SPACE)
    await mailbox.schedule(LANE, "r1", 1, entry(1), OWNER)
    assert await mailbox.sweep() == []
    assert await waiting(store) == 0


async def test_cancelled_work_never_comes(store: Store, mailbox: Mailbox):
    await mailbox.schedule(LANE, "r1", 1, entry(1), OWNER)
    await mailbox.cancel(LANE, "r1")
    assert await mailbox.sweep() == []
    assert await store.redis.exists(f"{LANE.tag}:due", f"{LANE.tag}:todo") == 0


async def test_timed_work_joins_a_lane_that_is_awake_without_a_second_wake_up(mailbox: Mailbox):
    turn = await begun(mailbox, entry(1))
    await mailbox.schedule(LANE, "r1", 1, entry(2), OWNER)
    assert await mailbox.sweep() == []
    done = await mailbox.commit(turn, space=SPACE, begin=True)
    assert said(done.begun) == ["message 2"]
