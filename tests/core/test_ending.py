"""A worker that is told to end hands on what still comes to it."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from adapters.queue.docket import Dockets
from core.messages import Account, ChatRef, ModelEvent, Prompt
from core.store import Store
from tests.conftest import FINGERPRINT, wait_until
from tests.stage import Board, stage

CHATS = [ChatRef("stage", "bot", f"p{n}") for n in range(12)]


@pytest.fixture
async def shared(valkey_url: str) -> AsyncIterator[Store]:
    """A store in which Docket may leave what it needs."""
    store = Store(valkey_url)
    await store.redis.flushall()
    await store.open(FINGERPRINT)
    yield store
    await store.redis.flushall()
    await store.close()


async def test_what_comes_to_a_worker_that_ends_is_answered_by_another_at_once(shared: Store, valkey_url: str) -> None:
    gate, up, busy = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def brain(prompt: Prompt) -> "str | list[ModelEvent | asyncio.Event | Exception]":
        said = prompt.lines[-1].text
        return [gate] if said == "long" else f"You said: {said}"

    def dockets(name: str) -> dict:
        return {"worker": name, "alone": False, "wakeups": Dockets(valkey_url, name)}

    async def end_early() -> None:
        async with stage(shared, brain, serves=False, **dockets("one")) as s:
            up.set()
            await wait_until(lambda: s.model.open, 20.0)
            busy.set()

    async with stage(shared, plays=False, board=Board(), **dockets("front")) as front, asyncio.TaskGroup() as tasks:
        ending = tasks.create_task(end_early())
        await up.wait()
        await front.say("long")
        await busy.wait()
        async with stage(shared, brain, serves=False, **dockets("two")):
            began = time.monotonic()
            for chat in CHATS:
                await front.say("hi", chat=chat, who=Account("stage", "bot", chat.chat))
            for chat in CHATS:
                await front.replies(1, chat, 20.0)
            took = time.monotonic() - began
            assert not ending.done()
            gate.set()
            await front.replies(1)
    assert took < front.engine._mailbox.rules.grace / 1000, "nobody waited until the sweeper came"
