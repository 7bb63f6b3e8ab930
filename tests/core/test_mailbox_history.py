"""What the mailbox keeps of a conversation: blocks, summaries, choices, and for how long."""

import asyncio

from core.mailbox import Mailbox, Rules
from core.store import Store
from tests.core.lane import LANE, OWNER, SPACE, begun, entry, post


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
