"""Processes that share a store: one receives and delivers, another plays the turns, a third stands by."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from adapters.queue.local import Local
from core import engine as engine_module
from core.mailbox import Rules
from core.messages import Account, ChatRef, Partial, Prompt, Reply, Text
from core.ports import Drain, Part
from core.store import Store
from tests.conftest import wait_until
from tests.stage import ADA, MINE, Board, Brain, Stage, stage

GROUP = ChatRef("stage", "bot", "friends", private=False)
BOB = Account("stage", "bot", "bob")
RULES = Rules(lease=600)


class Line:
    """core.ports.Wakeups between the processes of a test."""

    def __init__(self) -> None:
        self._local = Local()

    def wake(self, lane: str, epoch: int) -> None:
        self._local.wake(lane, epoch)

    async def serve(self, drain: Drain | None) -> None:
        if drain is None:
            await asyncio.Event().wait()
        else:
            await self._local.serve(drain)


@asynccontextmanager
async def adapters(store: Store, line: Line, board: Board, name: str = "adapters") -> AsyncIterator[Stage]:
    async with stage(store, board=board, worker=name, rules=RULES, alone=False, plays=False, wakeups=line) as s:
        yield s


@asynccontextmanager
async def worker(store: Store, line: Line, brain: Brain, name: str = "worker") -> AsyncIterator[Stage]:
    async with stage(store, brain, worker=name, rules=RULES, alone=False, serves=False, wakeups=line) as s:
        yield s


def echo(prompt: Prompt) -> str:
    return f"You said: {prompt.lines[-1].text}"


def board(**traits: object) -> Board:
    return Board(preview_group_every=0.01, **traits)


async def test_a_turn_is_played_in_one_process_and_delivered_by_another(store: Store) -> None:
    line = Line()
    async with adapters(store, line, board()) as front, worker(store, line, echo) as back:
        for n in range(5):
            await front.say(f"hello {n}")
            assert (await front.replies(n + 1))[-1] == f"You said: hello {n}"
        assert len(back.model.prompts) == 5
        assert front.model.prompts == []


async def test_the_worker_knows_the_platform_that_it_does_not_serve(store: Store) -> None:
    line = Line()
    async with adapters(store, line, board(hint="Only capitals.")) as front, worker(store, line, echo) as back:
        await front.say("hello")
        await front.replies(1)
        assert "Only capitals." in back.model.prompts[0].system + back.model.prompts[0].now


async def test_a_reply_that_grows_is_one_message_from_the_first_words_to_the_final(store: Store) -> None:
    line, gate = Line(), asyncio.Event()
    seen = board()
    seen.placeholder = "growing"
    async with (
        adapters(store, line, seen) as front,
        worker(store, line, lambda _: [Text("so far"), gate, Text(" and on")]),
    ):
        await front.say("tell me", chat=GROUP, who=BOB)
        await wait_until(lambda: "so far" in seen.previews)
        gate.set()
        assert await front.replies(1, GROUP) == ["so far and on"]
        assert seen.edits == ["growing"]


async def test_stop_is_heard_by_the_process_that_plays_the_turn(store: Store) -> None:
    line, never = Line(), asyncio.Event()
    async with adapters(store, line, board()) as front, worker(store, line, lambda _: [Text("so far"), never]) as back:
        await front.say("tell me")
        await wait_until(lambda: "so far" in front.board.previews)
        await front.say("/stop")
        async with asyncio.timeout(RULES.lease / 3000):
            await wait_until(lambda: back.model.open == 0)
        assert (await front.replies(1))[0].startswith("so far")


async def test_what_was_committed_while_nobody_served_is_delivered_by_who_comes(store: Store) -> None:
    line, gate = Line(), asyncio.Event()
    first, second = board(), board()
    first.placeholder = second.placeholder = "growing"
    async with worker(store, line, lambda _: [Text("so far"), gate, Text(" and on")]) as back:
        async with adapters(store, line, first) as front:
            await front.say("tell me", chat=GROUP, who=BOB)
            await wait_until(lambda: first.previews)
        gate.set()
        await wait_until(lambda: back.model.open == 0)
        async with adapters(store, line, second, "later") as front:
            assert await front.replies(1, GROUP) == ["so far and on"]
    assert first.finals == []
    assert second.edits == ["growing"], "the message that grew is known to the next process"


async def test_of_two_that_serve_an_account_one_delivers_and_the_other_takes_over(store: Store) -> None:
    line = Line()
    first, second = board(), board()
    async with worker(store, line, echo), AsyncExitStack() as stack:
        early = AsyncExitStack()
        one = await early.enter_async_context(adapters(store, line, first, "one"))
        two = await stack.enter_async_context(adapters(store, line, second, "two"))
        await two.say("through the second")
        assert await one.replies(1) == ["You said: through the second"]
        assert second.finals == []
        await early.aclose()
        await two.say("alone now", event="later")
        assert await two.replies(1) == ["You said: alone now"]


async def test_only_one_receives_where_a_platform_lets_only_one(store: Store) -> None:
    line = Line()
    first, second = board(sole=True), board(sole=True)
    early = AsyncExitStack()
    await early.enter_async_context(adapters(store, line, first, "one"))
    await wait_until(lambda: first.accept)
    async with adapters(store, line, second, "process 7 on moon (1-2)") as two:
        told = await wait_until(lambda: two.engine.waits.get("stage"), 10)
        assert "(one)" in told
        assert second.accept is None
        await early.aclose()
        await wait_until(lambda: second.accept)
        assert two.engine.waits == {}


class Paused(Board):
    """A board whose process stands still in the middle of a preview, for as long as the test likes."""

    def __init__(self) -> None:
        super().__init__(preview_group_every=0.01)
        self.placeholder = "growing"
        self.on = asyncio.Event()

    async def preview(self, partial: Partial, shown: str) -> str:
        if self.previews:
            await self.on.wait()
        return await super().preview(partial, shown)


async def test_who_lost_an_account_shows_and_sends_nothing_more(store: Store) -> None:
    line, gate = Line(), asyncio.Event()
    first, second = Paused(), board()
    async with (
        worker(store, line, lambda _: [Text("so"), gate, Text(" on")]),
        adapters(store, line, first, "one") as one,
    ):
        await one.say("tell me", chat=GROUP, who=BOB)
        await wait_until(lambda: first.previews)
        taken = one.engine._holding.take
        one.engine._holding.take = refused  # type: ignore[method-assign]  # the process is cut off from the store
        one.engine._holding._until.clear()
        await store.redis.delete("pieria:lease:stage:bot")
        async with adapters(store, line, second, "two") as two:
            gate.set()
            assert await two.replies(1, GROUP) == ["so on"]
            assert second.edits == ["growing"]
            first.on.set()
            one.engine._holding.take = taken  # type: ignore[method-assign]
            await two.say("and now?", chat=GROUP, who=BOB, event="later")
            await two.replies(2, GROUP)
        assert first.finals == []
        assert len(first.previews) <= 2


async def refused(_: str) -> bool:
    return False


async def test_a_late_word_of_a_worker_that_lost_the_lane_changes_nothing(store: Store) -> None:
    line = Line()
    seen = board()
    seen.placeholder = "growing"
    async with adapters(store, line, seen) as front, worker(store, line, echo) as back:
        event = await front.say("hello", chat=GROUP, who=BOB)
        await front.replies(1, GROUP)
        begun = seen.previews.copy()
        turn = front.people.event(GROUP, event)
        late = Partial(turn, GROUP, 1, "late")
        await front.engine.delivery.mirrors.show(back.engine._lane(GROUP), late, "", unsure=False)
        await front.say("bye", chat=GROUP, who=BOB)
        await front.replies(2, GROUP)
        assert "late" not in seen.previews[len(begun) :]


class Page(Board):
    """A board that shows its chats from the history, as the page does: each process has its own onlookers."""

    def __init__(self) -> None:
        super().__init__(stored=True)
        self.seen: list[str] = []

    async def send(self, reply: Reply, part: Part, *, key: str, edit: str, last: bool) -> str:
        self.seen.append(part.body)
        return await super().send(reply, part, key=key, edit=edit, last=last)


async def test_a_page_that_several_processes_serve_is_up_to_date_on_each(store: Store) -> None:
    line = Line()
    first, second = Page(), Page()
    async with (
        worker(store, line, echo),
        adapters(store, line, first, "one") as one,
        adapters(store, line, second, "two"),
    ):
        channel = f"{one.engine._lane(MINE).tag}:out:stage:bot"
        await wait_until(lambda: both_hear(store, channel))
        await one.say("hello", chat=MINE, who=ADA)
        await wait_until(lambda: first.seen == second.seen == ["You said: hello"])


async def test_the_operator_is_told_that_nobody_answers(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(engine_module, "NEGLECTED", 0.0)
    line = Line()
    async with adapters(store, line, board()) as front:
        await front.engine._recover()
        assert front.engine.lack == ""
        await front.say("is anybody there?")
        await wait_until(lambda: neglected(front), RULES.grace / 1000 + 2)
        assert "--role worker" in caplog.text
        async with worker(store, line, echo):
            await front.replies(1)
            await front.engine._recover()
            assert front.engine.lack == ""


async def neglected(front: Stage) -> str:
    await front.engine._recover()
    return front.engine.lack


async def both_hear(store: Store, channel: str) -> bool:
    _, listeners = await store.redis.execute_command("PUBSUB", "SHARDNUMSUB", channel)
    return listeners == 2
