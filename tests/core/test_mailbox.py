"""Each promise of the mailbox, one by one. That they hold in every order is tests/properties/test_mailbox_model.py's."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from core.errors import StoreFull
from core.keys import Lane, lane_keys, tags
from core.mailbox import HALTED, Begun, Entry, Mailbox, Rules
from core.store import Store

LANE = lane_keys("0123456789abcdef" * 2)
OWNER = "0" * 31 + "1"
ANN, BEN = "a" * 32, "b" * 32
SPACE = "space"


@pytest.fixture
def mailbox(store: Store) -> Mailbox:
    return Mailbox(store, "one", Rules())


@pytest.fixture
def other(store: Store) -> Mailbox:
    """Another worker at the same store."""
    return Mailbox(store, "two", Rules())


def event(n: int) -> str:
    return f"{n:032x}"


def entry(n: int, sender: str = ANN, *, alone: bool = False, body: bytes = b"") -> Entry:
    return Entry(event(n), sender, alone, body or f"message {n}".encode())


async def post(mailbox: Mailbox, *entries: Entry, lane: Lane = LANE) -> list[str]:
    return [(await mailbox.accept(lane, e, OWNER, begin=False)).status for e in entries]


async def begun(mailbox: Mailbox, *entries: Entry, lane: Lane = LANE) -> Begun:
    """The turn that the first of these messages begins; the others wait behind it."""
    first, *rest = entries
    turn = (await mailbox.accept(lane, first, OWNER, begin=True)).begun
    assert turn is not None
    await post(mailbox, *rest, lane=lane)
    return turn


async def lapse(store: Store, lane: Lane = LANE) -> None:
    """As if the lease had ended and the wake-up had been lost."""
    assert await store.redis.zscore(lane.live, lane.id) is not None
    await store.redis.zadd(lane.live, {lane.id: 1})
    if await store.redis.hexists(lane.state, "exp"):
        await store.redis.hset(lane.state, "exp", 1)


async def taken_over(store: Store, mailbox: Mailbox) -> Begun:
    """The turn again, as the next worker gets it after the death of the one before."""
    await lapse(store)
    [(lane, epoch)] = await mailbox.sweep()
    assert lane == LANE.id
    turn = await mailbox.begin(LANE, epoch)
    assert turn is not None
    return turn


def said(turn: Begun | None) -> list[str]:
    assert turn is not None
    return [e.body.decode() for e in turn.entries]


async def waiting(store: Store) -> int:
    return int(await store.redis.llen(LANE.mailbox))


# --- accept


async def test_an_event_that_arrives_fifty_times_at_once_is_stored_once(store: Store, mailbox: Mailbox):
    answers = await asyncio.gather(*(mailbox.accept(LANE, entry(1), OWNER, begin=False) for _ in range(50)))
    assert sorted(a.status for a in answers) == ["DUP"] * 49 + ["WAKE"]
    assert await waiting(store) == 1


async def test_an_event_that_arrives_fifty_times_at_once_is_begun_once(store: Store, mailbox: Mailbox):
    answers = await asyncio.gather(*(mailbox.accept(LANE, entry(1), OWNER, begin=True) for _ in range(50)))
    assert sorted(a.status for a in answers) == ["BEGUN"] + ["DUP"] * 49
    assert len([a for a in answers if a.begun]) == 1


async def test_a_redelivered_event_repairs_a_lost_wake_up(mailbox: Mailbox):
    lost = await mailbox.accept(LANE, entry(1), OWNER, begin=False)
    again = await mailbox.accept(LANE, entry(1), OWNER, begin=False)
    assert (again.status, again.epoch) == ("DUP", lost.epoch)
    assert said(await mailbox.begin(LANE, again.epoch)) == ["message 1"]


async def test_a_redelivered_event_of_a_running_turn_wakes_nobody(mailbox: Mailbox):
    await begun(mailbox, entry(1))
    again = await mailbox.accept(LANE, entry(1), OWNER, begin=True)
    assert (again.status, again.epoch, again.begun) == ("DUP", 0, None)


async def test_an_answered_event_is_known_for_a_day(store: Store, mailbox: Mailbox):
    await mailbox.commit(await begun(mailbox, entry(1)), space=SPACE)
    assert await post(mailbox, entry(1)) == ["DUP"]
    assert 0 < await store.redis.pttl(LANE.event(event(1))) <= mailbox.rules.seen


async def test_a_full_lane_refuses_and_stores_nothing_and_takes_the_same_event_later(store: Store, mailbox: Mailbox):
    cap = mailbox.rules.cap
    turn = await begun(mailbox, *(entry(n) for n in range(cap)))
    assert await post(mailbox, entry(99)) == ["FULL"]
    assert await waiting(store) == cap
    assert await store.redis.exists(LANE.event(event(99))) == 0
    await mailbox.commit(turn, space=SPACE)
    assert await post(mailbox, entry(99)) == ["QUEUED"]


async def test_lanes_do_not_see_each_other(mailbox: Mailbox):
    lanes = [lane_keys(f"{n:032x}") for n in range(40)]
    turns = [await begun(mailbox, entry(n), lane=lane) for n, lane in enumerate(lanes)]
    assert [said(turn) for turn in turns] == [[f"message {n}"] for n in range(40)]


# --- which messages form a turn


async def test_messages_of_one_person_that_wait_become_one_turn(mailbox: Mailbox):
    turn = await begun(mailbox, *(entry(n) for n in range(5)))
    done = await mailbox.commit(turn, space=SPACE, begin=True)
    assert said(turn) == ["message 0"]
    assert said(done.begun) == [f"message {n}" for n in range(1, 5)]


async def test_at_most_ten_messages_become_one_turn(store: Store, mailbox: Mailbox):
    done = await mailbox.commit(await begun(mailbox, *(entry(n) for n in range(16))), space=SPACE, begin=True)
    assert said(done.begun) == [f"message {n}" for n in range(1, 11)]
    assert done.begun is not None
    rest = await mailbox.commit(done.begun, space=SPACE, begin=True)
    assert said(rest.begun) == [f"message {n}" for n in range(11, 16)]


async def test_messages_of_different_people_are_answered_apart(mailbox: Mailbox):
    people = [ANN, ANN, ANN, BEN, ANN, ANN]
    turn: Begun | None = await begun(mailbox, *(entry(n, who) for n, who in enumerate(people)))
    turns = []
    while turn is not None:
        turns.append([int(e.event, 16) for e in turn.entries])
        turn = (await mailbox.commit(turn, space=SPACE, begin=True)).begun
    assert turns == [[0], [1, 2], [3], [4, 5]]


async def test_a_command_stands_alone(mailbox: Mailbox):
    kinds = [False, False, True, False, False, True, True]
    turn: Begun | None = await begun(mailbox, *(entry(n, alone=k) for n, k in enumerate(kinds)))
    turns = []
    while turn is not None:
        turns.append([int(e.event, 16) for e in turn.entries])
        turn = (await mailbox.commit(turn, space=SPACE, begin=True)).begun
    assert turns == [[0], [1], [2], [3, 4], [5], [6]]


async def test_without_merging_each_message_is_a_turn(store: Store):
    mailbox = Mailbox(store, "one", Rules(merge=1))
    done = await mailbox.commit(await begun(mailbox, *(entry(n) for n in range(4))), space=SPACE, begin=True)
    assert said(done.begun) == ["message 1"]


async def test_an_entry_comes_back_as_it_was_posted_whatever_bytes_it_holds(mailbox: Mailbox):
    posted = entry(1, BEN, alone=True, body=bytes(range(256)) * 3 + b"\r\n\0")
    assert (await begun(mailbox, posted)).entries == (posted,)


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
    await mailbox.renew([turn], release=True)
    [(_, epoch)] = await other.sweep()
    following = await other.begin(LANE, epoch)
    assert following is not None
    assert (following.journal, following.tries) == ({"m0": b"done"}, 1)


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


async def test_a_turn_that_dies_again_and_again_is_counted(store: Store, mailbox: Mailbox):
    tries = [(await begun(mailbox, entry(1))).tries]
    tries += [(await taken_over(store, mailbox)).tries for _ in range(3)]
    assert tries == [1, 2, 3, 4]


async def test_a_turn_that_gets_on_is_no_poison(store: Store, mailbox: Mailbox):
    turn = await begun(mailbox, entry(1))
    tries = []
    for n in range(4):
        await mailbox.step(turn, f"m{n}", b"x")
        turn = await taken_over(store, mailbox)
        tries.append(turn.tries)
    turn = await taken_over(store, mailbox)
    assert (tries, turn.tries) == ([1, 1, 1, 1], 2)


async def test_the_count_begins_anew_with_the_next_turn(store: Store, mailbox: Mailbox):
    await begun(mailbox, entry(1), entry(2, BEN))
    await taken_over(store, mailbox)
    done = await mailbox.commit(await taken_over(store, mailbox), space=SPACE, begin=True)
    assert done.begun is not None
    assert (said(done.begun), done.begun.tries) == (["message 2"], 1)


async def test_a_poison_turn_is_buried_sealed_where_the_operator_finds_it(store: Store, mailbox: Mailbox):
    turn = await begun(mailbox, entry(1))
    await mailbox.bury(turn, "died 3 times")
    [(_, fields)] = await store.redis.xrange(f"{LANE.tag}:dead")
    assert fields == {b"l": LANE.id.encode(), b"o": OWNER.encode(), b"why": b"died 3 times", b"m": entry(1).packed()}


# --- commit


async def test_a_commit_leaves_one_reply_one_block_and_a_sleeping_lane(store: Store, mailbox: Mailbox):
    turn = await begun(mailbox, entry(1))
    done = await mailbox.commit(turn, space=SPACE, reply=b"answer", block=b"block")
    [out] = await mailbox.outbox(SPACE)
    assert (done.status, done.outbox) == ("IDLE", out.id)
    assert (out.lane, out.owner, out.turn, out.reply) == (LANE, OWNER, turn.turn, b"answer")
    assert not await mailbox.awake(LANE)
    assert await store.redis.exists(LANE.mailbox) == 0
    assert await store.redis.zscore(LANE.live, LANE.id) is None


async def test_a_commit_whose_answer_was_lost_is_repeated_without_harm(store: Store, mailbox: Mailbox):
    turn = await begun(mailbox, entry(1), entry(2, BEN))
    first = await mailbox.commit(turn, space=SPACE, reply=b"answer", block=b"block")
    again = await mailbox.commit(turn, space=SPACE, reply=b"answer", block=b"block")
    assert (first.status, again.status) == ("MORE", "FENCED")
    assert [o.reply for o in await mailbox.outbox(SPACE)] == [b"answer"]
    assert said(await mailbox.begin(LANE, first.epoch)) == ["message 2"]


async def test_a_commit_repeated_while_this_worker_holds_the_next_turn_is_fenced(store: Store, mailbox: Mailbox):
    turn = await begun(mailbox, entry(1), entry(2, BEN))
    following = (await mailbox.commit(turn, space=SPACE, begin=True)).begun
    assert following is not None
    assert (await mailbox.commit(turn, space=SPACE, reply=b"again")).status == "FENCED"
    assert (await mailbox.commit(following, space=SPACE, reply=b"answer")).status == "IDLE"


async def test_replies_stand_in_the_order_of_the_messages(mailbox: Mailbox):
    turn: Begun | None = await begun(mailbox, *(entry(n, (ANN, BEN)[n % 2]) for n in range(12)))
    while turn is not None:
        turn = (await mailbox.commit(turn, space=SPACE, reply=turn.entries[0].body, begin=True)).begun
    assert [o.reply for o in await mailbox.outbox(SPACE)] == [f"message {n}".encode() for n in range(12)]


async def test_a_turn_without_words_leaves_no_reply(mailbox: Mailbox):
    done = await mailbox.commit(await begun(mailbox, entry(1)), space=SPACE)
    assert (done.status, done.outbox) == ("IDLE", "")
    assert await mailbox.outbox(SPACE) == []


async def test_a_turn_needs_three_trips(store: Store, mailbox: Mailbox):
    before = store.trips
    turn = await begun(mailbox, entry(1))
    done = await mailbox.commit(turn, space=SPACE, reply=b"answer", block=b"block", sending=True)
    await mailbox.sent(LANE, turn.turn, SPACE, {"0": "77"}, done.outbox)
    assert store.trips - before == 3


# --- stop and edit


async def test_stop_reaches_the_running_turn_at_its_next_step_or_renewal(mailbox: Mailbox):
    turn = await begun(mailbox, entry(1), entry(2))
    assert await mailbox.stop(LANE, drop=False) == (turn.fence, 0)
    assert await mailbox.renew([turn]) == [HALTED]
    assert await mailbox.step(turn, "m0", b"x") == HALTED
    done = await mailbox.commit(turn, space=SPACE, reply=b"stopped", begin=True)
    assert done.begun is not None
    assert (said(done.begun), done.begun.halted) == (["message 2"], False)
    assert await mailbox.renew([done.begun]) == [1]


async def test_stop_can_also_drop_what_waits_but_not_what_runs(store: Store, mailbox: Mailbox):
    turn = await begun(mailbox, entry(1), entry(2), entry(3, BEN))
    assert await mailbox.stop(LANE, drop=True) == (turn.fence, 2)
    assert await waiting(store) == 1
    assert (await mailbox.commit(turn, space=SPACE)).status == "IDLE"


async def test_stop_drops_all_where_nothing_runs_yet(store: Store, mailbox: Mailbox):
    epoch = (await mailbox.accept(LANE, entry(1), OWNER, begin=False)).epoch
    await post(mailbox, entry(2))
    assert await mailbox.stop(LANE, drop=True) == (0, 2)
    assert not await mailbox.awake(LANE)
    assert await mailbox.begin(LANE, epoch) is None
    assert await post(mailbox, entry(3)) == ["WAKE"]


async def test_stop_of_a_silent_lane_changes_nothing(store: Store, mailbox: Mailbox):
    before = await store.redis.dbsize()
    assert await mailbox.stop(LANE, drop=True) == (0, 0)
    assert await mailbox.stop(LANE, drop=False) == (0, 0)
    assert await store.redis.dbsize() == before


async def test_a_stopped_turn_stays_stopped_however_many_workers_die_over_it(store: Store, mailbox: Mailbox):
    await begun(mailbox, entry(1))
    await mailbox.stop(LANE, drop=False)
    for _ in range(3):
        turn = await taken_over(store, mailbox)
        assert turn.halted
        assert await mailbox.renew([turn]) == [HALTED]


async def test_a_turn_whose_worker_died_can_still_be_stopped(store: Store, mailbox: Mailbox):
    await begun(mailbox, entry(1))
    await lapse(store)
    [(_, epoch)] = await mailbox.sweep()
    running, _ = await mailbox.stop(LANE, drop=False)
    turn = await mailbox.begin(LANE, epoch)
    assert running
    assert turn is not None
    assert turn.halted


async def test_an_edit_of_a_waiting_message_is_what_is_answered(mailbox: Mailbox):
    turn = await begun(mailbox, entry(1), entry(2), entry(3))
    assert await mailbox.edit(LANE, event(2), entry(2, body=b"better"))
    done = await mailbox.commit(turn, space=SPACE, begin=True)
    assert said(done.begun) == ["better", "message 3"]


async def test_a_waiting_message_can_be_taken_back(store: Store, mailbox: Mailbox):
    turn = await begun(mailbox, entry(1), entry(2), entry(3))
    assert await mailbox.edit(LANE, event(2), None)
    assert not await mailbox.edit(LANE, event(2), None)
    done = await mailbox.commit(turn, space=SPACE, begin=True)
    assert said(done.begun) == ["message 3"]


async def test_a_lane_whose_only_message_is_taken_back_sleeps(store: Store, mailbox: Mailbox):
    epoch = (await mailbox.accept(LANE, entry(1), OWNER, begin=False)).epoch
    assert await mailbox.edit(LANE, event(1), None)
    assert not await mailbox.awake(LANE)
    assert await mailbox.begin(LANE, epoch) is None
    assert await post(mailbox, entry(1), entry(2)) == ["DUP", "WAKE"]


async def test_a_message_that_is_being_answered_is_not_edited(store: Store, mailbox: Mailbox):
    first = await begun(mailbox, entry(1), entry(2), entry(3), entry(4, BEN))
    turn = (await mailbox.commit(first, space=SPACE, begin=True)).begun
    assert said(turn) == ["message 2", "message 3"]
    changes = [await mailbox.edit(LANE, event(n), entry(n, body=b"new")) for n in (1, 2, 3, 4, 5)]
    assert changes == [False, False, False, True, False]


async def test_a_message_whose_worker_died_is_not_edited(store: Store, mailbox: Mailbox):
    await begun(mailbox, entry(1))
    await lapse(store)
    [(_, epoch)] = await mailbox.sweep()
    assert not await mailbox.edit(LANE, event(1), entry(1, body=b"new"))
    assert said(await mailbox.begin(LANE, epoch)) == ["message 1"]


# --- the outbox


async def test_a_reply_beside_the_lane_is_said_once_an_event(store: Store, mailbox: Mailbox):
    says = [mailbox.say(LANE, event(1), SPACE, OWNER, b"status", sending=True) for _ in range(20)]
    answers = await asyncio.gather(*says)
    [out] = await mailbox.outbox(SPACE)
    assert sorted(a[0] for a in answers) == [""] * 19 + [out.id]
    assert (out.turn, out.reply) == (event(1), b"status")
    assert await mailbox.parts(LANE, event(1)) == {"0": "sending"}
    assert not await mailbox.awake(LANE)


async def test_a_delivered_reply_leaves_the_outbox_and_its_parts_are_known_for_a_day(store: Store, mailbox: Mailbox):
    turn = await begun(mailbox, entry(1))
    done = await mailbox.commit(turn, space=SPACE, reply=b"answer", sending=True)
    assert await mailbox.parts(LANE, turn.turn) == {"0": "sending"}
    await mailbox.sent(LANE, turn.turn, SPACE, {"0": "71", "1": "sending"})
    assert [o.id for o in await mailbox.outbox(SPACE)] == [done.outbox]
    await mailbox.sent(LANE, turn.turn, SPACE, {"1": "72"}, done.outbox)
    assert await mailbox.outbox(SPACE) == []
    assert await mailbox.parts(LANE, turn.turn) == {"0": "71", "1": "72"}
    assert await store.redis.pttl(LANE.sent(turn.turn)) > 0


async def test_nothing_is_known_of_a_reply_that_another_process_will_send(mailbox: Mailbox):
    turn = await begun(mailbox, entry(1))
    await mailbox.commit(turn, space=SPACE, reply=b"answer", sending=False)
    assert await mailbox.parts(LANE, turn.turn) == {}


async def test_each_account_of_ours_has_its_own_outbox_over_all_shards(mailbox: Mailbox):
    for n in range(30):
        turn = await begun(mailbox, entry(n), lane=lane_keys(f"{n:032x}"))
        await mailbox.commit(turn, space=("one", "two")[n % 2], reply=b"%d" % n)
    assert sorted(int(o.reply) for o in await mailbox.outbox("one")) == list(range(0, 30, 2))
    assert sorted(int(o.reply) for o in await mailbox.outbox("two")) == list(range(1, 30, 2))


# --- history and context


async def said_before(mailbox: Mailbox, blocks: list[bytes], first: int = 1000) -> None:
    for n, block in enumerate(blocks):
        done = await mailbox.commit(await begun(mailbox, entry(first + n)), space=SPACE, block=block)
        assert done.status == "IDLE"


async def test_a_turn_reads_the_newest_blocks_oldest_first(store: Store):
    mailbox = Mailbox(store, "one", Rules(read_blocks=3))
    await said_before(mailbox, [b"%d" % n for n in range(5)])
    turn = await begun(mailbox, entry(1))
    assert (turn.blocks, turn.total) == ((b"2", b"3", b"4"), 5)


async def test_a_turn_reads_no_more_than_its_bytes_but_always_the_newest_block(store: Store):
    mailbox = Mailbox(store, "one", Rules(read_bytes=10))
    await said_before(mailbox, [b"aaaa", b"bbbb", b"cccc", b"dddd"])
    turn = await begun(mailbox, entry(1))
    assert turn.blocks == (b"cccc", b"dddd")
    await mailbox.commit(turn, space=SPACE, block=b"e" * 1000)
    assert (await begun(mailbox, entry(2))).blocks == (b"e" * 1000,)


async def test_a_long_history_is_trimmed_and_blocks_keep_their_numbers(store: Store):
    mailbox = Mailbox(store, "one", Rules(keep_blocks=4, read_blocks=3))
    await said_before(mailbox, [b"%d" % n for n in range(10)])
    context, blocks, _ = await mailbox.context(LANE)
    assert blocks == (b"6", b"7", b"8", b"9")
    assert context["base"] == b"6"
    turn = await begun(mailbox, entry(1))
    assert (turn.blocks, turn.total) == ((b"7", b"8", b"9"), 10)


async def test_a_summary_stands_for_the_blocks_before_it(store: Store):
    mailbox = Mailbox(store, "one", Rules(keep_blocks=6))
    await said_before(mailbox, [b"%d" % n for n in range(5)])
    turn = await begun(mailbox, entry(1))
    assert await mailbox.summarize(turn, 3, b"0 to 2")
    await mailbox.commit(turn, space=SPACE, block=b"5")
    turn = await begun(mailbox, entry(2))
    assert (turn.context["sum"], turn.context["upto"]) == (b"0 to 2", b"3")
    assert turn.blocks == (b"3", b"4", b"5")
    await mailbox.commit(turn, space=SPACE, block=b"6")
    await said_before(mailbox, [b"7", b"8", b"9"], first=2000)
    turn = await begun(mailbox, entry(3))
    assert turn.context["base"] == b"4"
    assert turn.blocks == (b"4", b"5", b"6", b"7", b"8", b"9")


async def test_of_two_summaries_from_the_same_state_one_is_kept(mailbox: Mailbox):
    await said_before(mailbox, [b"0", b"1", b"2"])
    turn = await begun(mailbox, entry(1))
    answers = await asyncio.gather(*(mailbox.summarize(turn, 2, b"%d" % n) for n in range(10)))
    assert sorted(answers) == [False] * 9 + [True]
    assert (await mailbox.context(LANE))[0]["sum"] == b"%d" % answers.index(True)


async def test_a_summary_of_a_conversation_that_was_left_is_not_kept(mailbox: Mailbox):
    await said_before(mailbox, [b"0", b"1", b"2"])
    turn = await begun(mailbox, entry(1))
    await mailbox.commit(turn, space=SPACE, changes={"n": "1", "base": "", "upto": "", "sum": ""})
    assert not await mailbox.summarize(turn, 2, b"old")
    assert "sum" not in (await mailbox.context(LANE))[0]


async def test_a_new_conversation_begins_empty_and_the_old_one_stays_readable(store: Store, mailbox: Mailbox):
    await said_before(mailbox, [b"0", b"1"])
    await mailbox.commit(await begun(mailbox, entry(1)), space=SPACE, changes={"n": "1"})
    turn = await begun(mailbox, entry(2))
    assert (turn.conversation, turn.blocks, turn.total) == (1, (), 0)
    await mailbox.commit(turn, space=SPACE, block=b"new")
    assert (await mailbox.context(LANE))[1] == (b"new",)
    assert await store.redis.lrange(LANE.history(0), 0, -1) == [b"0", b"1"]
    assert await store.redis.pttl(LANE.history(0)) > 0


async def test_an_answer_can_take_the_place_of_the_newest_one(mailbox: Mailbox):
    await said_before(mailbox, [b"0", b"1"])
    await mailbox.commit(await begun(mailbox, entry(1)), space=SPACE, block=b"1 again", replace=True)
    assert (await mailbox.context(LANE))[1] == (b"0", b"1 again")


async def test_a_replacement_in_an_empty_history_is_its_first_block(mailbox: Mailbox):
    await mailbox.commit(await begun(mailbox, entry(1)), space=SPACE, block=b"first", replace=True)
    assert (await mailbox.context(LANE))[1] == (b"first",)


async def test_choices_of_a_lane_are_set_and_removed_with_the_commit(mailbox: Mailbox):
    await mailbox.commit(await begun(mailbox, entry(1)), space=SPACE, changes={"model": "one", "zone": "UTC"})
    await mailbox.commit(await begun(mailbox, entry(2)), space=SPACE, changes={"model": "", "n": 3})
    context, _, owner = await mailbox.context(LANE)
    assert (context, owner) == ({"zone": b"UTC", "n": b"3"}, OWNER)


async def test_history_does_not_end_before_the_choices_of_its_lane(store: Store, mailbox: Mailbox):
    await mailbox.commit(await begun(mailbox, entry(1)), space=SPACE, block=b"0", changes={"zone": "UTC"})
    await store.redis.pexpire(LANE.history(0), 1000)
    await mailbox.commit(await begun(mailbox, entry(2)), space=SPACE)
    assert await store.redis.pttl(LANE.history(0)) > mailbox.rules.keep - 60_000


async def test_a_lane_that_sleeps_is_forgotten_and_an_awake_one_is_not(store: Store, mailbox: Mailbox):
    turn = await begun(mailbox, entry(1))
    assert await store.redis.pttl(LANE.state) == -1
    await mailbox.commit(turn, space=SPACE)
    assert mailbox.rules.keep - 60_000 < await store.redis.pttl(LANE.state) <= mailbox.rules.keep
    await post(mailbox, entry(2))
    assert await store.redis.pttl(LANE.state) == -1


# --- timed work


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


# --- the store at its limits


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


async def clock(store: Store) -> int:
    seconds, micros = await store.redis.time()
    return int(seconds) * 1000 + int(micros) // 1000


def test_an_entry_has_a_head_of_fixed_width():
    packed = entry(1, alone=True, body=b"sealed").packed()
    assert packed == event(1).encode() + ANN.encode() + b"csealed"
    assert msgspec.structs.replace(entry(1), alone=False).packed()[64:65] == b"m"
