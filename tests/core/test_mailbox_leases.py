"""The mailbox's leases: who may work on a lane, who takes over when a worker dies, and what it finds."""

import asyncio
import time

from core.keys import lane_keys, tags
from core.mailbox import Mailbox
from core.store import Store
from tests.conftest import wait_until
from tests.core.lane import BEN, LANE, OWNER, SPACE, begun, entry, lapse, post, said, taken_over

# --- wake-ups and leases


async def test_a_wake_up_that_comes_twice_begins_one_turn(mailbox: Mailbox, other: Mailbox):
    epoch = (await mailbox.accept(LANE, entry(1), OWNER, begin=False)).epoch
    turns = await asyncio.gather(*(m.begin(LANE, epoch) for m in (mailbox, other) * 20))
    assert len([t for t in turns if t]) == 1


async def test_a_stale_wake_up_does_nothing(store: Store, mailbox: Mailbox):
    old = (await mailbox.accept(LANE, entry(1), OWNER, begin=False)).epoch
    await lapse(store)
    [(_, new)] = await mailbox.sweep()
    assert new == old + 1
    assert await mailbox.begin(LANE, old) is None
    assert said(await mailbox.begin(LANE, new)) == ["message 1"]


async def test_a_wake_up_after_the_answer_does_nothing(store: Store, mailbox: Mailbox):
    epoch = (await mailbox.accept(LANE, entry(1), OWNER, begin=False)).epoch
    turn = await mailbox.begin(LANE, epoch)
    assert turn is not None
    await mailbox.commit(turn, space=SPACE)
    assert await mailbox.begin(LANE, epoch) is None
    assert not await mailbox.awake(LANE)


async def test_a_wake_up_for_a_lane_that_never_was_leaves_no_key(store: Store, mailbox: Mailbox):
    before = await store.redis.dbsize()
    assert await mailbox.begin(LANE, 1) is None
    assert await store.redis.dbsize() == before


async def test_the_sweeper_finds_a_lost_wake_up_and_nothing_in_a_healthy_store(store: Store, mailbox: Mailbox):
    await post(mailbox, entry(1))
    assert await mailbox.sweep() == []
    await lapse(store)
    assert [lane for lane, _ in await mailbox.sweep()] == [LANE.id]
    assert await mailbox.sweep() == []


async def test_many_sweepers_at_once_wake_a_lane_once(store: Store, mailbox: Mailbox):
    lanes = [lane_keys(f"{n:032x}") for n in range(60)]
    for n, lane in enumerate(lanes):
        await post(mailbox, entry(n), lane=lane)
        await lapse(store, lane)
    found = await asyncio.gather(*(mailbox.sweep() for _ in range(10)))
    assert sorted(lane for some in found for lane, _ in some) == sorted(lane.id for lane in lanes)


async def test_a_sweep_takes_a_bounded_number_and_the_rest_next_time(store: Store, mailbox: Mailbox):
    lanes = [lane for lane in (lane_keys(f"{n:032x}") for n in range(200)) if lane.tag == tags()[0]][:7]
    for n, lane in enumerate(lanes):
        await post(mailbox, entry(n), lane=lane)
        await lapse(store, lane)
    assert [len(await mailbox.sweep(most=3)) for _ in range(4)] == [3, 3, 1, 0]


async def test_a_lane_is_not_taken_from_a_worker_whose_lease_has_not_ended(mailbox: Mailbox, other: Mailbox):
    turn = await begun(mailbox, entry(1))
    assert await other.begin(LANE, turn.epoch) is None
    assert await other.sweep() == []


async def test_a_worker_that_was_taken_over_writes_nothing_more(store: Store, mailbox: Mailbox, other: Mailbox):
    paused = await begun(mailbox, entry(1))
    turn = await taken_over(store, other)
    assert turn.fence > paused.fence
    assert (turn.turn, turn.entries) == (paused.turn, paused.entries)
    assert await mailbox.step(paused, "m0", b"late") == 0
    assert await mailbox.renew([paused]) == [0]
    assert (await mailbox.commit(paused, space=SPACE, reply=b"late", block=b"late")).status == "FENCED"
    assert await mailbox.outbox(SPACE) == []
    done = await other.commit(turn, space=SPACE, reply=b"answer", block=b"block")
    assert done.status == "IDLE"
    assert [o.reply for o in await mailbox.outbox(SPACE)] == [b"answer"]
    assert (await mailbox.context(LANE))[1] == (b"block",)


async def test_a_swept_worker_is_fenced_even_before_another_begins(store: Store, mailbox: Mailbox):
    paused = await begun(mailbox, entry(1))
    await lapse(store)
    await mailbox.sweep()
    assert await mailbox.step(paused, "m0", b"late") == 0
    assert await mailbox.renew([paused]) == [0]
    assert (await mailbox.commit(paused, space=SPACE, reply=b"late")).status == "FENCED"


async def test_renewal_keeps_the_lease_and_so_does_a_step(store: Store, mailbox: Mailbox):
    turn = await begun(mailbox, entry(1))
    for keep in ("renew", "step"):
        await lapse(store)
        if keep == "renew":
            assert await mailbox.renew([turn]) == [1]
        else:
            assert await mailbox.step(turn, "m0", b"x") == 1
        end = int(await store.redis.hget(LANE.state, "exp"))
        assert end == await store.redis.zscore(LANE.live, LANE.id)
        assert end - turn.now >= mailbox.rules.lease
        assert await mailbox.sweep() == []


async def test_many_leases_are_renewed_in_one_trip(store: Store, mailbox: Mailbox):
    turns = [await begun(mailbox, entry(n), lane=lane_keys(f"{n:032x}")) for n in range(30)]
    await mailbox.commit(turns[7], space=SPACE)
    before = store.trips
    answers = await mailbox.renew(turns)
    assert store.trips - before == 1
    assert answers == [0 if n == 7 else 1 for n in range(30)]


async def test_a_lease_handed_back_lets_another_worker_go_on_at_once(mailbox: Mailbox, other: Mailbox):
    turn = await begun(mailbox, entry(1))
    await mailbox.step(turn, "m0", b"done")
    assert await mailbox.hand_back([turn]) == [1]
    [(_, epoch)] = await other.sweep()
    following = await other.begin(LANE, epoch)
    assert following is not None
    assert following.journal == {"m0": b"done"}


async def test_what_was_handed_back_is_not_held_any_more_and_its_worker_did_not_die(mailbox: Mailbox):
    turn = await begun(mailbox, entry(1))
    await mailbox.hand_back([turn])
    assert await mailbox.renew([turn]) == [0]
    [(_, epoch)] = await mailbox.sweep()
    following = await mailbox.begin(LANE, epoch)
    assert following is not None
    assert (following.again, following.failures, following.deaths) == (True, 0, 0)


async def test_a_replica_that_took_over_without_the_last_token_gives_out_another(store: Store, mailbox: Mailbox):
    epoch = (await mailbox.accept(LANE, entry(1), OWNER, begin=False)).epoch
    replicated = await store.redis.dump(LANE.state)
    lost = await mailbox.begin(LANE, epoch)
    await store.redis.restore(LANE.state, 0, replicated, replace=True)
    assert lost is not None
    await wait_until(lambda: time.time() * 1000 > lost.now + 1)  # a failover takes longer
    found = await mailbox.begin(LANE, epoch)
    assert found is not None
    assert lost.fence < found.fence < 2**53
    assert (await mailbox.commit(lost, space=SPACE, reply=b"late")).status == "FENCED"
    assert (await mailbox.commit(found, space=SPACE)).status == "IDLE"


# --- resume


async def test_a_resumed_turn_finds_the_results_of_its_finished_calls(store: Store, mailbox: Mailbox, other: Mailbox):
    turn = await begun(mailbox, entry(1))
    assert turn.journal == {}
    await mailbox.step(turn, "m0", b"first")
    await mailbox.step(turn, "t0.1", b"\0second")
    assert (await taken_over(store, other)).journal == {"m0": b"first", "t0.1": b"\0second"}


async def test_a_resumed_turn_has_the_same_messages_though_more_came(store: Store, mailbox: Mailbox, other: Mailbox):
    turn = await begun(mailbox, entry(1), entry(2))
    again = await taken_over(store, other)
    assert said(again) == said(turn) == ["message 1"]
    done = await other.commit(again, space=SPACE, begin=True)
    assert said(done.begun) == ["message 2"]


async def test_the_journal_is_gone_after_the_commit(store: Store, mailbox: Mailbox):
    turn = await begun(mailbox, entry(1))
    await mailbox.step(turn, "m0", b"x")
    assert await store.redis.pttl(LANE.journal(turn.turn)) > 0
    await mailbox.commit(turn, space=SPACE)
    assert await store.redis.exists(LANE.journal(turn.turn)) == 0
    assert await mailbox.step(turn, "m1", b"late") == 0
    assert await store.redis.exists(LANE.journal(turn.turn)) == 0


# --- poison


async def test_a_turn_whose_worker_dies_again_and_again_is_given_up_late(store: Store, mailbox: Mailbox):
    turns = [await begun(mailbox, entry(1))]
    turns += [await taken_over(store, mailbox) for _ in range(12)]
    assert [(turn.failures, turn.deaths) for turn in turns] == [(0, n) for n in range(13)]
    assert [mailbox.poison(turn) for turn in turns] == [""] * 12 + ["was cut off 12 times"]


async def test_a_turn_that_gets_on_does_not_kill_its_workers(store: Store, mailbox: Mailbox):
    turn = await begun(mailbox, entry(1))
    deaths = []
    for n in range(4):
        await mailbox.step(turn, f"m{n}", b"x")
        turn = await taken_over(store, mailbox)
        deaths.append(turn.deaths)
    turn = await taken_over(store, mailbox)
    assert (deaths, turn.deaths) == ([0, 0, 0, 0], 1)


async def test_a_turn_that_fails_is_given_up_after_three_times_whether_it_gets_on_or_not(
    store: Store, mailbox: Mailbox
):
    turn = await begun(mailbox, entry(1))
    failures, why = [], []
    for n in range(3):
        await mailbox.step(turn, f"m{n}", b"x")
        await mailbox.failed(turn)
        turn = await taken_over(store, mailbox)
        failures.append((turn.failures, turn.deaths))
        why.append(mailbox.poison(turn))
    assert failures == [(1, 0), (2, 0), (3, 0)]
    assert why == ["", "", "failed 3 times"]


async def test_a_turn_that_failed_waits_longer_each_time(store: Store, mailbox: Mailbox):
    turn = await begun(mailbox, entry(1))
    for n in (1, 2):
        seconds, micros = await store.redis.time()
        await mailbox.failed(turn)
        wait = await store.redis.zscore(LANE.live, LANE.id) - seconds * 1000 - micros // 1000
        assert n * mailbox.rules.pause <= wait < n * mailbox.rules.pause + 500
        assert await mailbox.begin(LANE, turn.epoch) is None
        assert await mailbox.sweep() == []
        assert (await mailbox.accept(LANE, entry(1), OWNER, begin=True)).epoch == 0
        turn = await taken_over(store, mailbox)


async def test_a_failure_that_is_told_twice_counts_once(store: Store, mailbox: Mailbox):
    turn = await begun(mailbox, entry(1))
    await mailbox.failed(turn)
    await mailbox.failed(turn)
    assert (await taken_over(store, mailbox)).failures == 1


async def test_a_failure_that_an_old_worker_tells_counts_nothing(store: Store, mailbox: Mailbox, other: Mailbox):
    paused = await begun(mailbox, entry(1))
    turn = await taken_over(store, other)
    await mailbox.failed(paused)
    assert await other.renew([turn]) == [1]
    assert ((await taken_over(store, other)).failures, turn.failures) == (0, 0)


async def test_the_counts_begin_anew_with_the_next_turn(store: Store, mailbox: Mailbox):
    await mailbox.failed(await begun(mailbox, entry(1), entry(2, BEN)))
    await taken_over(store, mailbox)
    turn = await taken_over(store, mailbox)
    assert (turn.again, turn.failures, turn.deaths) == (True, 1, 1)
    following = (await mailbox.commit(turn, space=SPACE, begin=True)).begun
    assert following is not None
    assert said(following) == ["message 2"]
    assert (following.again, following.failures, following.deaths) == (False, 0, 0)


async def test_a_poison_turn_is_buried_sealed_where_the_operator_finds_it(store: Store, mailbox: Mailbox):
    turn = await begun(mailbox, entry(1))
    await mailbox.bury(turn, "died 3 times")
    [(_, fields)] = await store.redis.xrange(f"{LANE.tag}:dead")
    assert fields == {b"l": LANE.id.encode(), b"o": OWNER.encode(), b"why": b"died 3 times", b"m": entry(1).packed()}
