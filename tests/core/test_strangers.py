"""Who is not let in: told once how to get in, never answered, and nobody guesses their way to the operator's place."""

import asyncio

from core.keys import CLAIM, CODES
from core.messages import Account, ChatRef
from core.store import Store
from tests.conftest import wait_until
from tests.stage import ADA, Board, stage

GROUP = ChatRef("stage", "bot", "group", private=False)
BOB = Account("stage", "bot", "bob")


async def test_a_stranger_in_groups_is_told_once_a_day_that_the_assistant_is_private(store: Store) -> None:
    other = ChatRef("stage", "bot", "another group", private=False)
    async with stage(store, board=Board(trusted=False)) as s:
        for _ in range(5):
            await s.say("hey you", chat=GROUP)
            await s.say("hey you", chat=other)
        await s.say("let me in")
        assert "**" in (await s.replies(1))[0]
        assert "private" in (await s.replies(1, GROUP))[0]
        await s.say("hey", chat=GROUP, who=BOB)
        await s.replies(2, GROUP)
        await s.engine.delivery.settled()
        assert len(s.board.finals) == 3
        assert not s.model.prompts


async def test_a_closed_house_is_silent_in_groups_too(store: Store) -> None:
    async with stage(store, board=Board(trusted=False), policy="closed") as s:
        await s.say("hey you", chat=GROUP)
        await s.people.allow(BOB)
        await s.say("hey", chat=GROUP, who=BOB)
        assert await s.replies(1, GROUP) == ["You said: hey"]


async def test_who_found_no_code_left_gets_one_when_there_is_room(store: Store) -> None:
    async with stage(store, board=Board(trusted=False)) as s:
        for n in range(50):
            assert await s.people.ask(Account("stage", "bot", f"u{n}"), "U")
        await s.say("let me in")
        assert not s.board.finals
        await store.redis.delete(CODES)
        await s.say("let me in")
        assert "**" in (await s.replies(1))[0]


async def test_strangers_who_come_at_once_get_no_more_codes_than_there_are(store: Store) -> None:
    async with stage(store, board=Board(trusted=False)) as s:
        await asyncio.gather(*(s.people.ask(Account("stage", "bot", f"u{n}"), "U") for n in range(200)))
        assert await store.redis.zcard(CODES) <= 50
        assert len([k async for k in store.redis.scan_iter("pieria:code:*")]) <= 50


async def test_the_operators_code_cannot_be_guessed_for_long(store: Store) -> None:
    async with stage(store, board=Board(trusted=False)) as s:
        code = await s.people.claim()
        for n in range(5):
            assert not await s.people.claimed(BOB, f"{n:016x}")
        assert not await s.people.claimed(BOB, code)
        assert await s.people.claimed(ADA, code)


async def test_a_code_ends_when_somebody_else_becomes_the_operator(store: Store) -> None:
    async with stage(store, board=Board(trusted=False)) as s:
        code = await s.people.claim()
        await s.people.crown(ADA)
        assert not await s.people.claimed(BOB, code)
        assert not await store.redis.exists(CLAIM)


async def test_a_right_that_is_taken_away_while_it_is_read_is_not_kept(store: Store) -> None:
    async with stage(store, board=Board(trusted=False)) as s:
        await s.people.crown(ADA)
        await asyncio.gather(s.people.meet(ADA, trusted=False), s.people.uncrown(ADA))
        assert not (await s.people.meet(ADA, trusted=False)).admin


async def test_what_is_kept_near_of_a_forgotten_owner_is_dropped_by_the_news(store: Store) -> None:
    async with stage(store) as s:
        await s.say("hello")
        await s.replies(1)
        owner = (await s.people.meet(ADA, trusted=True)).person
        await wait_until(lambda: store.redis.spublish("pieria:news", owner))
        await wait_until(lambda: owner not in s.people._ring._near)
