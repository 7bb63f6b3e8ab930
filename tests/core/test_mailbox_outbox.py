"""The mailbox's commits and the outbox: one reply for each turn, known until it is delivered."""

import asyncio

from core.keys import lane_keys
from core.mailbox import Begun, Mailbox
from core.store import Store
from tests.core.lane import ANN, BEN, LANE, OWNER, SPACE, begun, entry, event, said

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
