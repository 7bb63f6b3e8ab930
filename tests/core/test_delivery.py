"""One visible final, whatever the store, the line to it and the platform do in between."""

import asyncio
from pathlib import Path

import pytest

from core.errors import ChatBusy, ChatError, ChatUnreachable
from core.mailbox import Rules
from core.messages import ChatRef, Partial, Reply, Text
from core.ports import Part
from core.store import Store
from tests.conftest import wait_until
from tests.core.line import Line, line_to
from tests.stage import Board, stage


async def test_a_commit_whose_answer_got_lost_is_delivered_at_once_and_without_doubt(
    store: Store, tmp_path: Path
) -> None:
    async with line_to(store, tmp_path) as (line, far), stage(far) as s:
        line.lose(far._shas["commit"])
        await s.say("hello")
        assert await s.replies(1, seconds=5.0) == ["You said: hello"]
        await s.say("again")
        assert await s.replies(2) == ["You said: hello", "You said: again"]


async def test_a_word_beside_the_lane_is_delivered_when_the_answer_of_the_store_got_lost(
    store: Store, tmp_path: Path
) -> None:
    async with line_to(store, tmp_path) as (line, far), stage(far) as s:
        line.lose(far._shas["say"])
        event = await s.say("/whoami")
        assert "ada" in (await s.replies(1, seconds=5.0))[0]
        await s.say("/whoami", event=event)
        await s.say("bye")
        assert (await s.replies(2))[1] == "You said: bye"


async def test_a_turn_that_ends_while_the_store_is_away_is_committed_when_it_is_back(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gate = asyncio.Event()
    rules = Rules(lease=1_000)
    async with (
        line_to(store, tmp_path) as (line, far),
        stage(far, lambda _: [Text("so far"), gate, Text(" done")], rules=rules) as s,
    ):
        await s.say("hello")
        await wait_until(lambda: s.board.previews)
        line.down()
        gate.set()
        await wait_until(lambda: "a finished turn waits for the store" in caplog.text, 15.0)
        await line.up()
        assert await s.replies(1) == ["so far done"]
        assert len(s.model.prompts) == 1


class Cutting(Board):
    """A board whose first message takes the line to the store down."""

    line: Line | None = None

    async def send(self, reply: Reply, part: Part, *, key: str, edit: str, last: bool) -> str:
        if self.line is not None:
            self.line.down()
            self.line = None
        return await super().send(reply, part, key=key, edit=edit, last=last)


async def test_a_reply_that_went_out_while_the_store_is_away_is_not_sent_again(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    board = Cutting()
    async with line_to(store, tmp_path) as (line, far), stage(far, board=board) as s:
        board.line = line
        await s.say("hello")
        await wait_until(lambda: "a delivered reply waits for the store" in caplog.text, 15.0)
        await line.up()
        await s.engine.delivery.settled()
        await s.engine._recover(young=True)
        await s.engine.delivery.settled()
        assert board.read() == ["You said: hello"]


class Broken(Board):
    """A board that shows a message and then fails in a way that no port allows."""

    async def send(self, reply: Reply, part: Part, *, key: str, edit: str, last: bool) -> str:
        await super().send(reply, part, key=key, edit=edit, last=last)
        raise ValueError(reply.text)


async def test_a_platform_that_fails_for_ever_is_not_tried_for_ever_and_the_log_holds_no_words(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    async with stage(store, lambda _: "xylophone-confession", board=Broken()) as s:
        await s.say("hello")
        await s.replies(1)
        for _ in range(5):
            await s.engine.delivery.settled()
            await s.engine._recover(young=True)
        assert len(s.board.read()) == 3
        assert not await s.engine._mailbox.outbox("stage:bot")
        assert not s.engine.delivery._failed
    assert "ValueError" in caplog.text
    assert "xylophone" not in caplog.text


class Blind(Board):
    """A board on which nothing can be shown but finals."""

    async def preview(self, partial: Partial, shown: str) -> str:
        raise RuntimeError(partial.text)

    async def typing(self, chat: ChatRef) -> None:
        raise RuntimeError(chat.chat)


async def test_a_preview_that_fails_does_not_fail_the_turn(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    gate = asyncio.Event()
    async with stage(store, lambda _: [gate, Text("xylophone"), gate], board=Blind()) as s:
        await s.say("hello")
        await wait_until(lambda: "typing failed" in caplog.text)
        gate.set()
        assert await s.replies(1) == ["xylophone"]
    gate.clear()
    async with stage(store, lambda _: [Text("xylophone"), gate], board=Blind()) as s:
        await s.say("hello", event="another")
        await wait_until(lambda: "a preview failed" in caplog.text)
        gate.set()
        assert await s.replies(1) == ["xylophone"]
        assert len(s.model.prompts) == 1
    assert "xylophone" not in caplog.text


class Searching(Board):
    """A board that can look messages up, but not at the first try."""

    def __init__(self) -> None:
        super().__init__(readback="lookup")
        self.lookups = 0

    async def find(self, reply: Reply, key: str) -> str:
        self.lookups += 1
        if self.lookups == 1:
            raise ChatUnreachable("no line", arrived=False)
        return "m1"


async def test_a_look_up_that_fails_is_tried_again(store: Store) -> None:
    board = Searching()
    board.fails = [ChatUnreachable("lost the answer", arrived=True)]
    async with stage(store, board=board) as s:
        await s.say("hello")
        await wait_until(lambda: board.lookups == 2)
        await s.engine.delivery.settled()
        assert not await s.engine._mailbox.outbox("stage:bot")
        assert not board.read()


async def test_an_error_that_names_no_reason_is_tried_again_at_the_next_look(store: Store) -> None:
    board = Board(readback="key")
    board.fails = [ChatError("odd")]
    async with stage(store, board=board) as s:
        await s.say("hello")
        await wait_until(lambda: not board.fails)
        await s.engine.delivery.settled()
        await s.engine._recover(young=True)
        assert await s.replies(1) == ["You said: hello"]
        await s.engine.delivery.settled()
        assert not s.engine.delivery._failed


class Slow(Board):
    """A board whose first message arrives when the gate opens."""

    def __init__(self, gate: asyncio.Event, **traits: object) -> None:
        super().__init__(**traits)
        self.gate = gate

    async def send(self, reply: Reply, part: Part, *, key: str, edit: str, last: bool) -> str:
        await self.gate.wait()
        return await super().send(reply, part, key=key, edit=edit, last=last)


async def test_no_preview_is_made_above_an_earlier_reply_that_is_still_on_its_way(store: Store) -> None:
    gate, end = asyncio.Event(), asyncio.Event()
    board = Slow(gate)
    board.placeholder = "p1"
    async with stage(
        store, lambda p: [Text("second"), end] if "two" in p.lines[-1].text else "first", board=board
    ) as s:
        await s.say("one")
        await s.say("two")
        await wait_until(lambda: len(s.model.prompts) == 2 and board.typed)
        assert board.previews == []
        gate.set()
        await s.replies(1)
        await wait_until(lambda: board.previews == ["second"])
        end.set()
        assert await s.replies(2) == ["first", "second"]


async def test_what_follows_a_reply_that_is_left_to_the_next_process_is_left_to_it_too(store: Store) -> None:
    board = Board()
    board.fails = [ChatBusy("Stage is busy.", retry_after=60.0)]
    async with stage(store, board=board) as s:
        await s.say("one")
        await wait_until(lambda: not board.fails)
        await s.say("two")
        await wait_until(lambda: len(s.model.prompts) == 2)
    assert board.read() == []
    async with stage(store, board=board, worker="w2") as s:
        assert await s.replies(2) == ["You said: one", "You said: two"]


class Noting(Board):
    """A board that notes whether a reply may already be shown somewhere."""

    def __init__(self) -> None:
        super().__init__(readback="key")
        self.again: list[bool] = []

    async def send(self, reply: Reply, part: Part, *, key: str, edit: str, last: bool) -> str:
        self.again.append(reply.again)
        return await super().send(reply, part, key=key, edit=edit, last=last)


async def test_a_reply_that_another_process_left_may_be_shown_already(store: Store) -> None:
    board = Noting()
    board.fails = [ChatBusy("Stage is busy.", retry_after=60.0)]
    async with stage(store, board=board) as s:
        await s.say("one")
        await wait_until(lambda: not board.fails)
    async with stage(store, board=board, worker="w2") as s:
        await s.replies(1)
        await s.say("two", event="another")
        await s.replies(2)
    assert board.again == [False, True, False]
