"""What nobody foresaw: one failure stays one failure, the person reads a sentence, the log holds no words."""

import asyncio

import msgspec
import pytest

from core.errors import ModelBusy, ModelFailed
from core.keys import lane_keys
from core.mailbox import Rules
from core.messages import Attachment, ChatRef, Message, ModelEvent, Prompt, Text, ToolCall
from core.seal import Box
from core.store import Store
from core.tools import Toolbox, tool
from tests.conftest import wait_until
from tests.stage import ADA, MINE, Account, Board, Scripted, stage

Script = list[ModelEvent | asyncio.Event | Exception]


@tool(label="breaking")
async def broken(text: str) -> str:
    """Fail."""
    return str(int(text))


async def test_a_bug_in_a_tool_is_a_sentence_for_the_model(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    def brain(prompt: Prompt) -> str | Script:
        if prompt.lines[-1].role == "tool":
            return prompt.lines[-1].text
        return [ToolCall("c", "broken", '{"text": "xylophone"}')]

    async with stage(store, brain, tools=Toolbox((broken,))) as s:
        await s.say("go")
        assert "broken failed" in (await s.replies(1))[0]
    assert "ValueError" in caplog.text
    assert "xylophone" not in caplog.text


async def test_a_message_at_which_the_model_always_breaks_is_put_aside_with_an_apology_and_the_lane_goes_on(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    def brain(prompt: Prompt) -> str | Script:
        return [Text("growing"), KeyError("xylophone")] if prompt.lines[-1].text == "xylophone" else "fine"

    board = Board()
    board.placeholder = "p1"
    async with stage(store, brain, board=board, rules=Rules(lease=300, grace=300, pause=30)) as s:
        await s.say("xylophone")
        assert "again and again" in (await s.replies(1, seconds=20.0))[0]
        await s.say("and now?")
        assert (await s.replies(2))[1] == "fine"
        assert sum([await store.redis.xlen(f"{{pieria{n}}}:dead") for n in range(8)]) == 1
        await store.redis.delete(*[f"{{pieria{n}}}:dead" for n in range(8)])
    assert "KeyError" in caplog.text
    assert "xylophone" not in caplog.text


async def test_work_behind_a_turn_that_fails_does_not_end_the_engine(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    def brain(prompt: Prompt) -> str | Script:
        return [RuntimeError("xylophone")] if prompt.limit == 700 else "noted " + "filler " * 40

    async with stage(store, model=Scripted(brain, window=1_500)) as s:
        for n in range(12):
            await s.say(f"talk {n} " + "words " * 60)
            await s.replies(n + 1)
        await wait_until(lambda: "RuntimeError" in caplog.text)
        await s.say("still there?")
        await s.replies(13)
    assert "xylophone" not in caplog.text


async def test_a_message_that_cannot_be_read_does_not_stop_its_lane(store: Store) -> None:
    gate = asyncio.Event()
    async with stage(store, lambda p: [gate, Text(p.lines[-1].text)], rules=Rules(merge=1)) as s:
        await s.say("first")
        await wait_until(lambda: s.model.open)
        event = await s.say("second")
        await s.say("third")
        lane = lane_keys(s.people.lane(MINE))
        person = (await s.people.meet(ADA, trusted=True)).person
        sealed = (await s.people.box(person)).seal(msgspec.msgpack.encode({"no": "message"}), "message")
        entry = await store.redis.lindex(lane.mailbox, 1)
        assert s.people.event(MINE, event).encode() == entry[:32]
        await store.redis.lset(lane.mailbox, 1, entry[:65] + sealed)
        gate.set()
        assert await s.replies(2) == ["first", "third"]


async def test_new_helps_where_the_history_cannot_be_opened_any_more(store: Store) -> None:
    async with stage(store) as s:
        await s.say("one")
        await s.replies(1)
        lane = lane_keys(s.people.lane(MINE))
        await store.redis.lset(lane.history(0), 0, Box(b"x" * 32).seal(b"lost", "history"))
        await s.say("two")
        assert "cannot be opened" in (await s.replies(2))[1]
        await s.say("/new")
        await s.replies(3)
        await s.say("three")
        assert (await s.replies(4))[3] == "You said: three"


async def test_a_retry_that_fails_leaves_what_was_answered_before(store: Store) -> None:
    scripts: list[Script] = [[Text("a good answer")], [ModelBusy("Too busy.", retry_after=1)], [Text("ok")]]
    scripts_left = iter(scripts)
    async with stage(store, lambda _: next(scripts_left)) as s:
        await s.say("question")
        await s.replies(1)
        await s.say("/retry")
        await s.replies(2)
        await s.say("next")
        await s.replies(3)
        assert [line.text for line in s.model.prompts[2].lines] == ["question", "a good answer", "next"]


async def test_nothing_of_many_chats_stays_in_memory(store: Store) -> None:
    def brain(prompt: Prompt) -> str | Script:
        return [ModelFailed("no")] if prompt.lines[-1].text == "7" else "ok"

    async with stage(store, brain) as s:
        for first in range(0, 3_000, 100):
            async with asyncio.TaskGroup() as tasks:
                for n in range(first, first + 100):
                    place = ChatRef("stage", "bot", f"room {n}")
                    tasks.create_task(s.say(str(n % 9), chat=place, who=Account("stage", "bot", f"u{n % 50}")))
        await wait_until(lambda: len(s.board.finals) == 3_000, 20.0)
        await s.engine.delivery.settled()
        await wait_until(lambda: not s.engine._spawned)
        delivery, conversations = s.engine.delivery, s.engine._conversations
        kept = (delivery._queues, delivery._on_way, delivery._failed, s.engine._running, conversations._summarising)
        assert not any(kept)
        assert len(s.people._near) <= 50


async def test_an_event_that_breaks_us_is_left_out_and_the_next_is_answered(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    async with stage(store) as s:
        monster = (Attachment("document", "h", name="xylophone", size=1 << 200),)
        await s.engine.accept(Message("e0", MINE, ADA, "look", attachments=monster))
        await s.say("hello")
        assert await s.replies(1) == ["You said: hello"]
    assert "an event could not be taken" in caplog.text
    assert "xylophone" not in caplog.text
