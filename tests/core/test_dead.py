"""What failed again and again is put aside with an apology; the operator reads it, tries it again, or forgets it."""

import msgspec
import pytest

from core.dead import DeadLetters
from core.errors import LaneFull, StoreAway
from core.keys import owner_key
from core.mailbox import Rules
from core.store import Store
from tests.conftest import wait_until
from tests.stage import Stage, stage


def broken(prompt: object) -> str:
    raise ValueError("xylophone")


RULES = Rules(lease=120, grace=60, pause=30)


async def buried(s: Stage) -> DeadLetters:
    """A message that always broke has been put aside."""
    await s.say("the question")
    assert "put it aside" in (await s.replies(1, seconds=20))[0]
    return DeadLetters(s.store, s.people, s.engine._mailbox)


async def test_what_was_put_aside_can_be_read_and_is_answered_at_another_try(store: Store) -> None:
    async with stage(store, broken, rules=RULES) as s:
        dead = await buried(s)
        (letter,) = await dead.letters()
        message = await dead.read(letter)
        assert message is not None
        assert (message.text, letter.why) == ("the question", "failed 3 times")
        s.model.brain = lambda _: "An answer at last."
        await dead.retry(letter)
        assert (await s.replies(2, seconds=20))[1] == "An answer at last."
        assert await dead.letters() == []


async def test_a_message_that_the_store_broke_off_again_and_again_is_answered_all_the_same(store: Store) -> None:
    troubles: list[Exception] = [StoreAway("It does not answer.") for _ in range(3)]
    async with stage(store, lambda _: [troubles.pop()] if troubles else "At last.", rules=RULES) as s:
        await s.say("the question")
        assert await s.replies(1, seconds=20) == ["At last."]
        assert await DeadLetters(s.store, s.people, s.engine._mailbox).letters() == []


async def test_it_can_be_forgotten(store: Store) -> None:
    async with stage(store, broken, rules=RULES) as s:
        dead = await buried(s)
        await dead.drop(*await dead.letters())
        assert await dead.letters() == []


async def test_nobody_can_read_it_once_its_owner_was_forgotten(store: Store) -> None:
    async with stage(store, broken, rules=RULES) as s:
        dead = await buried(s)
        (letter,) = await dead.letters()
        await store.redis.delete(owner_key(letter.owner))
        s.people.forget_near(letter.owner)
        assert await dead.read(letter) is None
        await dead.drop(letter)


async def test_another_try_waits_for_room(store: Store) -> None:
    async with stage(store, broken, rules=msgspec.structs.replace(RULES, cap=0)) as s:
        full = DeadLetters(store, s.people, s.engine._mailbox)
    async with stage(store, broken, rules=RULES) as s:
        dead = await buried(s)
        (letter,) = await dead.letters()
        with pytest.raises(LaneFull):
            await full.retry(letter)
        await wait_until(lambda: not s.engine._running)
        assert await dead.letters() == [letter]
        await dead.drop(letter)
