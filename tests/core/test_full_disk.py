"""The store's disk is full: nothing new is taken; what was taken waits, and is answered once when there is room."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from adapters.valkey import Valkey
from core.errors import StoreFull
from core.mailbox import Mailbox, Rules
from core.messages import ChatRef, ModelEvent, Prompt, Text, ToolCall
from core.store import FULL_DISK, ROOM, Store
from core.tools import Toolbox, tool
from tests.conftest import FINGERPRINT, wait_until
from tests.core.lane import LANE, OWNER, SPACE, begun, entry, post
from tests.servers.disk import Disk, small_disk
from tests.stage import MINE, Stage, stage

ELSEWHERE = ChatRef("stage", "bot", "elsewhere")
ONE_BY_ONE = Rules(merge=1)


@asynccontextmanager
async def store_on(disk: Disk, *, watched: bool = True) -> AsyncIterator[Store]:
    """A store whose files lie on a small disk, as the embedded one does; `watched`: it refuses before that is full."""
    server = Valkey(disk.folder / "data")
    server.spawn()
    try:
        await server.ready()
        store = Store(server.url, folder=server.folder if watched else None)
        await store.open(FINGERPRINT)
        yield store
        await store.close()
    finally:
        server.close()


async def said_until_refused(s: Stage, chat: ChatRef = MINE, most: int = 200) -> list[str]:
    """What was taken of messages that are said on a full disk, up to the first that was refused in a sentence."""
    taken: list[str] = []
    while len(taken) < most:
        text = f"message {len(taken)}"
        try:
            await s.say(text, chat=chat, event=text)
        except StoreFull as error:
            return taken if error.sentence == FULL_DISK else []
        taken.append(text)
    raise AssertionError("the disk is not full")


async def test_turns_wait_and_go_on_by_themselves_and_a_refused_message_is_taken_when_it_comes_again(
    tmp_path: Path,
) -> None:
    gate = asyncio.Event()
    with small_disk(tmp_path / "disk") as disk:
        async with (
            store_on(disk, watched=False) as store,
            stage(store, lambda p: [gate, Text(p.lines[-1].text)], rules=ONE_BY_ONE) as s,
        ):
            await s.say("before")
            await wait_until(lambda: s.model.open)
            disk.fill()
            taken = ["before", *await said_until_refused(s)]
            gate.set()
            await wait_until(lambda: not s.model.open)
            with pytest.raises(StoreFull):
                await s.say("again", event="again")
            assert s.board.read() == []
            disk.free()
            assert await s.replies(len(taken), seconds=20) == taken
            await s.say("again", event="again")
            assert (await s.replies(len(taken) + 1))[-1] == "again"
            assert len(s.model.prompts) == len(taken) + 1, "a model was asked twice"


async def test_a_turn_that_cannot_keep_a_step_is_played_again_when_there_is_room(tmp_path: Path) -> None:
    gate = asyncio.Event()

    @tool(label="waiting")
    async def waits() -> str:
        """Wait."""
        await gate.wait()
        return "done"

    def brain(prompt: Prompt) -> str | list[ModelEvent | asyncio.Event | Exception]:
        return "At last." if prompt.lines[-1].role == "tool" else [ToolCall("c", "waits", "{}")]

    with small_disk(tmp_path / "disk") as disk:
        async with (
            store_on(disk, watched=False) as store,
            stage(store, brain, tools=Toolbox((waits,)), rules=Rules(lease=500, grace=500)) as s,
        ):
            await s.say("go")
            await wait_until(lambda: s.model.prompts and not s.model.open)
            disk.fill()
            await said_until_refused(s, ELSEWHERE)
            gate.set()
            await wait_until(lambda: not s.engine._running)
            disk.free()
            assert await s.replies(1, seconds=20) == ["At last."]


async def test_nothing_new_is_taken_before_the_disk_is_full_and_turns_go_on(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=16) as disk:
        async with store_on(disk) as store:
            mailbox = Mailbox(store, "one", Rules())
            await store.measure()
            turn = await begun(mailbox, entry(1), entry(2))
            disk.fill(but=ROOM - 1)
            await store.measure()
            with pytest.raises(StoreFull, match="free space"):
                await mailbox.accept(LANE, entry(3), OWNER, begin=True)
            assert (await mailbox.commit(turn, space=SPACE, reply=b"answer", block=b"block")).status == "MORE"
            disk.free()
            await store.measure()
            assert (await mailbox.accept(LANE, entry(3), OWNER, begin=True)).status == "QUEUED"


async def test_what_was_taken_outlives_a_store_that_is_killed_on_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=16) as disk:
        async with store_on(disk) as store:
            mailbox = Mailbox(store, "one", Rules(cap=1_000))
            taken = [await post(mailbox, entry(n)) for n in range(100)]
            disk.fill(but=ROOM - 1)
            await store.measure()
            os.kill((await store.redis.info("server"))["process_id"], signal.SIGKILL)
        async with store_on(disk) as store:
            assert await store.redis.llen(LANE.mailbox) == len(taken)
            disk.fill()
            await store.measure()
            assert store.tight == FULL_DISK
