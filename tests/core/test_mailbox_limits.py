"""The mailbox at the limits of its store: full, without its scripts, and how little an idle lane costs."""

from collections.abc import AsyncIterator

import pytest

from core.errors import StoreFull
from core.keys import lane_keys
from core.mailbox import Mailbox, Rules
from core.store import Store
from tests.core.lane import BEN, LANE, OWNER, SPACE, begun, entry, event, post, said


@pytest.fixture
async def full(store: Store) -> AsyncIterator[None]:
    """Has work in it, and no room for more."""
    mailbox = Mailbox(store, "one", Rules())
    await post(mailbox, entry(1), entry(2, BEN))
    await mailbox.schedule(LANE, "r1", 1, entry(7), OWNER)
    await store.redis.config_set("maxmemory", 1)
    yield
    await store.redis.config_set("maxmemory", 0)


@pytest.mark.usefixtures("full")
async def test_a_full_store_accepts_nothing_and_finishes_what_it_has(store: Store, mailbox: Mailbox):
    with pytest.raises(StoreFull):
        await mailbox.accept(LANE, entry(3), OWNER, begin=True)
    await lapse_by_waiting(store)
    [(_, epoch)] = await mailbox.sweep()
    turn = await mailbox.begin(LANE, epoch)
    assert turn is not None
    assert await mailbox.step(turn, "m0", b"x") == 1
    assert await mailbox.renew([turn]) == [1]
    done = await mailbox.commit(turn, space=SPACE, reply=b"answer", block=b"block", changes={"zone": "UTC"}, begin=True)
    assert said(done.begun) == ["message 2"]
    await mailbox.sent(LANE, turn.turn, SPACE, {"0": "1"}, done.outbox)
    assert done.begun is not None
    assert (await mailbox.stop(LANE, drop=True))[0] == done.begun.fence
    assert (await mailbox.commit(done.begun, space=SPACE)).status == "IDLE"
    await store.redis.config_set("maxmemory", 0)
    assert len(await mailbox.sweep()) == 1


async def test_nothing_new_is_taken_in_while_memory_is_nearly_spent_and_turns_go_on(store: Store, mailbox: Mailbox):
    turn = await begun(mailbox, entry(1))
    spent = await used(store)
    await store.redis.config_set("maxmemory", int(spent * 1.1))
    await store.measure()
    with pytest.raises(StoreFull, match="nearly spent"):
        await mailbox.accept(LANE, entry(2), OWNER, begin=True)
    assert (await mailbox.commit(turn, space=SPACE, reply=b"answer", block=b"block")).status == "IDLE"
    await store.redis.config_set("maxmemory", int(spent * 2))
    await store.measure()
    assert (await mailbox.accept(LANE, entry(2), OWNER, begin=True)).status == "BEGUN"
    await store.redis.config_set("maxmemory", 0)
    await store.measure()
    assert not store.tight


async def test_a_shard_with_too_many_lanes_at_work_takes_no_further_one(store: Store):
    mailbox = Mailbox(store, "one", Rules(awake=1))
    other = next(lane for n in range(100) if (lane := lane_keys(f"{n:032x}")).tag == LANE.tag and lane.id != LANE.id)
    turn = await begun(mailbox, entry(1))
    with pytest.raises(StoreFull, match="Too many chats"):
        await mailbox.accept(other, entry(2), OWNER, begin=True)
    assert (await mailbox.accept(LANE, entry(3), OWNER, begin=True)).status == "QUEUED"
    assert (await mailbox.commit(turn, space=SPACE)).status == "MORE"
    await mailbox.stop(LANE, drop=True)
    assert (await mailbox.accept(other, entry(2), OWNER, begin=True)).status == "BEGUN"


async def lapse_by_waiting(store: Store) -> None:
    """A write that a full store allows: the score is lowered by a script of the same kind as ours."""
    script = "#!lua flags=allow-oom\nreturn redis.call('ZADD', KEYS[1], 1, ARGV[1])"
    await store.redis.eval(script, 1, LANE.live, LANE.id)


async def test_the_mailbox_goes_on_after_the_store_lost_its_scripts(store: Store, mailbox: Mailbox):
    flush = store.redis.script_flush
    await flush()
    turn = await begun(mailbox, entry(1))
    await flush()
    assert await mailbox.step(turn, "m0", b"x") == 1
    await flush()
    assert await mailbox.renew([turn]) == [1]
    await flush()
    done = await mailbox.commit(turn, space=SPACE, reply=b"answer")
    await flush()
    assert await mailbox.sweep() == []
    await flush()
    await mailbox.sent(LANE, turn.turn, SPACE, {"0": "1"}, done.outbox)
    assert await mailbox.outbox(SPACE) == []


async def test_an_idle_conversation_costs_few_bytes(store: Store, mailbox: Mailbox):
    count = 2_000
    lanes = [lane_keys(f"{n:032x}") for n in range(count)]
    before = await used(store)
    for n, lane in enumerate(lanes):
        for k in range(2):
            turn = await begun(mailbox, entry(10 * n + k), lane=lane)
            await mailbox.commit(turn, space=SPACE)
    keys = [f"{lane.event(event(10 * n + k))}" for n, lane in enumerate(lanes) for k in range(2)]
    await store.redis.delete(*keys)  # they end after a day
    state = [await store.redis.memory_usage(lane.state) for lane in lanes[:200]]
    total = (await used(store) - before) / count
    kept = {k.decode(): v for k, v in (await store.redis.hgetall(lanes[0].state)).items()}
    print(f"\nidle conversation: {total:.0f} B in all, {sum(state) / 200:.0f} B of them its state, which holds {kept}")
    assert await store.redis.dbsize() == count + 1
    assert sum(state) / 200 <= 200
    assert total < 400


async def used(store: Store) -> int:
    await store.redis.execute_command("MEMORY", "PURGE")
    return int((await store.redis.info("memory"))["used_memory"])
