"""Each promise of the mailbox, one by one: which messages it takes, and which of them form a turn.

The test_mailbox_*.py beside it have the other promises. That they hold in every order is
tests/properties/test_mailbox_model.py's.
"""

import asyncio

import msgspec

from core.keys import lane_keys
from core.mailbox import HALTED, Begun, Mailbox, Rules
from core.store import Store
from tests.core.lane import ANN, BEN, LANE, OWNER, SPACE, begun, entry, event, lapse, post, said, taken_over, waiting

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


def test_an_entry_has_a_head_of_fixed_width():
    packed = entry(1, alone=True, body=b"sealed").packed()
    assert packed == event(1).encode() + ANN.encode() + b"csealed"
    assert msgspec.structs.replace(entry(1), alone=False).packed()[64:65] == b"m"


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
