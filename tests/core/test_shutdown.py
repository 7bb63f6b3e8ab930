"""SIGTERM: nothing is begun again, what runs may finish, the rest goes to the next process."""

import asyncio
import time
from typing import Any

import pytest

from core import delivery as delivery_module
from core import engine as engine_module
from core.errors import ChatBusy
from core.mailbox import Committed, Rules
from core.messages import ModelEvent, Prompt, Text
from core.ports import Rate
from core.store import Store
from tests.conftest import wait_until
from tests.stage import Board, Stage, stage

Script = list[ModelEvent | asyncio.Event | Exception]


async def _open_when_closing(s: Stage, gate: asyncio.Event) -> None:
    await wait_until(lambda: s.engine._closing)
    gate.set()


async def test_a_running_turn_is_finished_and_the_next_one_is_left_to_the_next_process(store: Store) -> None:
    gate = asyncio.Event()
    board = Board()
    rules = Rules(merge=1, grace=100)
    answering = stage(store, lambda p: [gate, Text(p.lines[-1].text)], board=board, rules=rules)
    async with asyncio.TaskGroup() as tasks, answering as s:
        for n in range(4):
            await s.say(str(n))
        await wait_until(lambda: s.model.open)
        tasks.create_task(_open_when_closing(s, gate))
    assert board.read() == ["0"]
    assert len(s.model.prompts) == 1
    async with stage(store, lambda p: p.lines[-1].text, rules=rules, worker="heir") as s:
        assert await s.replies(3) == ["1", "2", "3"]


async def test_a_turn_that_a_commit_took_at_the_end_is_finished_too(store: Store) -> None:
    gates = [asyncio.Event(), asyncio.Event()]
    board = Board()
    asked: list[Prompt] = []

    def brain(prompt: Prompt) -> Script:
        asked.append(prompt)
        return [gates[len(asked) - 1], Text(prompt.lines[-1].text)]

    async with asyncio.TaskGroup() as tasks, stage(store, brain, board=board, rules=Rules(merge=1)) as s:
        commit = s.engine._mailbox.commit
        called = asyncio.Event()

        async def late(*given: Any, **more: Any) -> Committed:
            called.set()
            await wait_until(lambda: s.engine._closing)
            await asyncio.sleep(0.05)  # the end is waiting for this turn
            return await commit(*given, **more)

        s.engine._mailbox.commit = late  # type: ignore[method-assign]
        await s.say("a")
        await s.say("b")
        gates[0].set()
        await called.wait()

        async def finish() -> None:
            await wait_until(lambda: len(asked) == 2)
            gates[1].set()

        tasks.create_task(finish())
    assert board.read() == ["a", "b"]


async def test_a_turn_that_does_not_end_is_handed_to_the_next_process(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "DRAIN", 0.3)
    begun = time.monotonic()
    async with stage(store, lambda _: [Text("x"), asyncio.Event()], rules=Rules(lease=60_000)) as s:
        await s.say("go")
        await wait_until(lambda: s.board.previews)
    assert time.monotonic() - begun < 5.0
    assert not s.model.open
    async with stage(store, lambda _: "there", worker="heir") as s:
        assert await s.replies(1, seconds=5.0) == ["there"]


async def test_a_reply_that_waits_for_its_platform_does_not_hold_up_the_end_and_is_sent_once(store: Store) -> None:
    board = Board()
    board.fails = [ChatBusy("wait", retry_after=600)]
    begun = time.monotonic()
    async with stage(store, board=board) as s:
        await s.say("hello")
        await wait_until(lambda: not board.fails)
    assert time.monotonic() - begun < 5.0
    async with stage(store, worker="heir") as s:
        assert await s.replies(1) == ["You said: hello"]


async def test_finals_that_wait_for_their_pace_are_left_after_a_moment_and_are_sent_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_module, "PATIENCE", 1.0)
    slow = Rate(0.5, 1)
    rules = Rules(merge=1)
    async with stage(store, board=Board(chat_rate=slow), rules=rules, paced=True) as s:
        for n in range(12):
            await s.say(f"question {n}")
        await wait_until(lambda: len(s.model.prompts) == 12)
        ending = time.monotonic()
    assert time.monotonic() - ending < 4.0, "and not the six seconds that the pace would take"
    first = s.board.read()
    async with stage(store, worker="heir") as s:
        rest = await s.replies(12 - len(first))
    assert [*first, *rest] == [f"You said: question {n}" for n in range(12)]


async def test_what_arrives_at_the_very_end_is_kept_for_the_next_process(store: Store) -> None:
    gate = asyncio.Event()
    rules = Rules(grace=100)
    async with asyncio.TaskGroup() as tasks, stage(store, lambda _: [gate, Text("one")], rules=rules) as s:
        await s.say("first")
        await wait_until(lambda: s.model.open)

        async def late() -> None:
            await wait_until(lambda: s.engine._closing)
            await s.say("second")
            gate.set()

        tasks.create_task(late())
    assert len(s.model.prompts) == 1
    async with stage(store, rules=rules, worker="heir") as s:
        assert await s.replies(1) == ["You said: second"]
