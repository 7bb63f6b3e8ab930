"""Platforms that come late, break, or vouch for the people who write."""

import asyncio

import pytest

from core.errors import ChatRefusedToken
from core.messages import Account, ChatRef
from core.notes import Notes
from core.ports import Accept, Command
from core.store import Store
from tests.conftest import wait_until
from tests.stage import ADA, Board, stage

GROUP = ChatRef("stage", "bot", "group", private=False)


class Late(Board):
    """A board that learns its account only when the platform tells it."""

    space = ""

    async def serve(self, accept: Accept, commands: tuple[Command, ...]) -> None:
        self.accept = accept
        self.told = asyncio.Event()
        await self.told.wait()
        self.space = "bot"
        await asyncio.Event().wait()


async def test_what_was_left_for_an_account_goes_out_as_soon_as_the_account_is_known(store: Store) -> None:
    late = Late()
    async with stage(store, board=late, policy="open", worker="before") as s:
        await s.say("hello")  # answered, and nobody can deliver it
        await wait_until(lambda: s.engine._mailbox.outbox("stage:bot"))
    board = Late()
    async with stage(store, board=board, policy="open") as s:
        assert not board.read()
        board.told.set()
        assert await s.replies(1) == ["You said: hello"]
        await s.say("again", event="another")
        assert (await s.replies(2))[1] == "You said: again"
    assert not late.read()


class Shaky(Board):
    """A board whose line breaks in a way that nobody foresaw."""

    begun = 0

    async def serve(self, accept: Accept, commands: tuple[Command, ...]) -> None:
        self.begun += 1
        if self.begun == 1:
            self.accept = accept
            raise ValueError("xylophone")
        await super().serve(accept, commands)


async def test_a_platform_that_broke_begins_again(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    board = Shaky()
    async with stage(store, board=board) as s:
        await wait_until(lambda: board.begun == 2)
        await s.say("hello")
        assert await s.replies(1) == ["You said: hello"]
    assert "begins again" in caplog.text
    assert "xylophone" not in caplog.text


class Refused(Board):
    async def serve(self, accept: Accept, commands: tuple[Command, ...]) -> None:
        self.accept = accept
        raise ChatRefusedToken("Copy the token again.")


async def test_a_platform_that_only_the_operator_can_help_is_off(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    async with stage(store, board=Refused()):
        await wait_until(lambda: "Copy the token again." in caplog.text)


async def test_members_of_a_community_that_was_let_in_may_talk_while_they_write_from_there(store: Store) -> None:
    async with stage(store, board=Board(trusted=False)) as s:
        await s.say("hello", chat=GROUP, vouched=True)
        assert await s.replies(1, GROUP) == ["You said: hello"]
        await s.say("hello from elsewhere")
        assert "private" in (await s.replies(1))[0]
        assert len(s.model.prompts) == 1


async def test_in_a_closed_house_nobody_can_vouch(store: Store) -> None:
    async with stage(store, board=Board(trusted=False), policy="closed") as s:
        await s.say("hello", vouched=True)
        await s.people.allow(ADA)
        await s.say("hello again", vouched=True)
        assert await s.replies(1) == ["You said: hello again"]


async def test_what_is_kept_near_of_a_member_heeds_changes(store: Store) -> None:
    async with stage(store, board=Board(trusted=False)) as s:
        bob = Account("stage", "bot", "bob")
        assert (await s.people.meet(bob, trusted=False, vouched=True)).allowed
        assert not (await s.people.meet(bob, trusted=False)).allowed
        await s.people.crown(bob)
        assert (await s.people.meet(bob, trusted=False, vouched=True)).admin
        await s.people.uncrown(bob)
        assert not (await s.people.meet(bob, trusted=False, vouched=True)).admin


async def test_notes_outlive_the_program_sealed_and_without_names_in_their_keys(store: Store) -> None:
    async with stage(store) as s:
        notes = Notes(store, s.people, "stage")
        before = {key async for key in store.redis.scan_iter("pieria:note:*")}
        assert await notes.read("thread", "42") == b""
        await notes.write(b"ours", "thread", "42")
        assert await Notes(store, s.people, "other").read("thread", "42") == b""
    async with stage(store) as s:
        notes = Notes(store, s.people, "stage")
        assert await notes.read("thread", "42") == b"ours"
        (key,) = {key async for key in store.redis.scan_iter("pieria:note:*")} - before
        assert b"42" not in key
        assert b"ours" not in await store.redis.get(key)
        await notes.write(b"", "thread", "42")
        assert await notes.read("thread", "42") == b""
