"""A first preview of which nobody heard, on a platform that cannot be asked: it may stand for ever, and say all."""

import asyncio
from contextlib import suppress

from core.errors import ChatUnreachable
from core.mailbox import Rules
from core.messages import Account, ChatRef, Partial, Text
from core.store import Store
from core.words import words
from tests.conftest import wait_until
from tests.stage import Board, Scripted, stage

GROUP = ChatRef("stage", "bot", "friends", private=False)
BOB = Account("stage", "bot", "bob")
RULES = Rules(lease=400)


class Deaf(Board):
    """A board whose previews arrive, and whose answers to them get lost. `dies` is set where the process dies meanwhile."""

    def __init__(self, *, arrived: bool = True) -> None:
        super().__init__(preview_group_every=0.01)
        self.arrived = arrived
        self.hangs = False

    async def preview(self, partial: Partial, shown: str) -> str:
        await super().preview(partial, shown)
        if self.hangs:
            await asyncio.Event().wait()
        raise ChatUnreachable("The line broke.", arrived=self.arrived)


async def answered(store: Store, board: Board, last: str) -> list[str]:
    gate = asyncio.Event()
    async with stage(store, lambda _: [Text("all of it"), gate, Text(last)], board=board) as s:
        await s.say("hello", chat=GROUP, who=BOB)
        await wait_until(lambda: board.previews)
        gate.set()
        return await s.replies(1, GROUP)


async def test_a_final_that_a_lost_preview_may_have_shown_whole_is_marked(store: Store) -> None:
    board = Deaf()
    assert await answered(store, board, "") == [f"{words('sent_again')}\n\nall of it"]
    assert board.previews == ["all of it"], "no second message beside the one that may stand"


async def test_a_final_that_says_more_than_the_lost_preview_is_not_marked(store: Store) -> None:
    assert await answered(store, Deaf(), " and more") == ["all of it and more"]


async def test_a_preview_that_surely_was_not_shown_leaves_no_doubt(store: Store) -> None:
    assert await answered(store, Deaf(arrived=False), "") == ["all of it"]


async def test_the_doubt_outlives_the_process_that_had_it(store: Store) -> None:
    board = Deaf()
    board.hangs = True
    forever = Scripted(lambda _: [Text("all of it"), asyncio.Event()])
    dying = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:

        async def first() -> None:
            async with stage(store, model=forever, board=board, rules=RULES, worker="first") as s:
                await s.say("hello", chat=GROUP, who=BOB)
                await wait_until(lambda: board.previews)
                await dying.wait()

        dies = tasks.create_task(first())
        await wait_until(lambda: board.previews)
        dies.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait([dies])
    async with stage(store, lambda _: "all of it", rules=RULES, worker="second") as s:
        assert await s.replies(1, GROUP) == [f"{words('sent_again')}\n\nall of it"]
