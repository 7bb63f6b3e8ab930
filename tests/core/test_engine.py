"""What the engine promises, told through a person who writes and reads."""

import asyncio
import time

import msgspec
import pytest

from core.errors import ChatBusy, ChatUnreachable, ModelBusy, PromptTooLong
from core.mailbox import Rules
from core.messages import (
    Account,
    ChatRef,
    Edited,
    Fallback,
    Joined,
    Message,
    ModelEvent,
    Pressed,
    Prompt,
    Stop,
    Text,
    ToolCall,
)
from core.store import Store
from core.tools import Toolbox, tool
from tests.conftest import wait_until
from tests.stage import ADA, MINE, Board, Choice, Scripted, stage

GROUP = ChatRef("stage", "bot", "group", private=False)
BOB = Account("stage", "bot", "bob")


async def test_a_message_is_answered(store: Store) -> None:
    async with stage(store) as s:
        await s.say("hello")
        assert await s.replies(1) == ["You said: hello"]


async def test_a_redelivered_message_is_answered_once(store: Store) -> None:
    async with stage(store) as s:
        event = await s.say("hello")
        await asyncio.gather(*(s.say("hello", event=event) for _ in range(20)))
        await s.say("next")
        assert await s.replies(2) == ["You said: hello", "You said: next"]


async def test_messages_that_arrive_during_a_turn_become_the_next_one(store: Store) -> None:
    gate = asyncio.Event()

    def brain(prompt: Prompt) -> str | list[ModelEvent | asyncio.Event | Exception]:
        if prompt.lines[-1].text == "first":
            return [Text("one"), gate]
        return " + ".join(line.text for line in prompt.lines[-2:])

    async with stage(store, brain) as s:
        await s.say("first")
        await wait_until(lambda: s.model.open)
        await s.say("a")
        await s.say("b")
        gate.set()
        assert await s.replies(2) == ["one", "a + b"]
        assert len(s.model.prompts) == 2


async def test_a_follow_up_of_another_person_in_a_group_is_a_turn_of_its_own(store: Store) -> None:
    gate = asyncio.Event()

    def brain(prompt: Prompt) -> list[ModelEvent | asyncio.Event | Exception]:
        newest = prompt.lines[-1]
        return [gate, Text(f"{newest.speaker}: {newest.text}")]

    async with stage(store, brain) as s:
        await s.say("one", chat=GROUP)
        await wait_until(lambda: s.model.open)
        await s.say("two", chat=GROUP)
        await s.say("three", chat=GROUP, who=BOB)
        gate.set()
        assert await s.replies(3, GROUP) == ["Ada: one", "Ada: two", "Bob: three"]


async def test_what_is_not_addressed_in_a_group_is_neither_answered_nor_stored(store: Store) -> None:
    async with stage(store) as s:
        await s.say("just talking", chat=GROUP, addressed=False)
        await s.say("hey you", chat=GROUP)
        assert await s.replies(1, GROUP) == ["You said: hey you"]
        assert [line.text for line in s.model.prompts[0].lines] == ["hey you"]


async def test_the_conversation_is_remembered_until_new(store: Store) -> None:
    async with stage(store, lambda p: str(len(p.lines))) as s:
        await s.say("a")
        await s.replies(1)
        await s.say("b")
        assert (await s.replies(2))[1] == "3"
        await s.say("/new")
        await s.replies(3)
        await s.say("c")
        assert (await s.replies(4))[3] == "1"


async def test_two_people_never_share_a_prompt(store: Store) -> None:
    theirs = ChatRef("stage", "bot", "bob")
    async with stage(store) as s:
        await s.say("my secret is 4711")
        await s.replies(1)
        await s.say("what do you know?", chat=theirs, who=BOB)
        await s.say("what do you know?", chat=GROUP)
        await s.replies(1, theirs)
        await s.replies(1, GROUP)
        for prompt in s.model.prompts[1:]:
            assert "4711" not in msgspec.json.encode(prompt.lines).decode() + prompt.system


async def test_stop_ends_a_running_turn_within_a_second_and_keeps_what_was_said(store: Store) -> None:
    async with stage(store, lambda _: [Text("so far"), asyncio.Event()]) as s:
        await s.say("tell me everything")
        await wait_until(lambda: s.board.previews)
        begun = time.monotonic()
        await s.say("/stop")
        assert await s.replies(1) == ["so far\n\n*(stopped)*"]
        assert time.monotonic() - begun < 1.0
        assert s.model.open == 0


async def test_stop_before_the_first_word_says_stopped(store: Store) -> None:
    async with stage(store, lambda _: [asyncio.Event()]) as s:
        await s.say("hm")
        await wait_until(lambda: s.model.open)
        await s.say("!stop")
        assert await s.replies(1) == ["Stopped."]


async def test_the_stop_button_is_the_stop_command(store: Store) -> None:
    async with stage(store, lambda _: [Text("so far"), asyncio.Event()]) as s:
        await s.say("go")
        await wait_until(lambda: s.board.previews)
        await s.engine.accept(Pressed("press", MINE, ADA, "/stop"))
        assert await s.replies(1) == ["so far\n\n*(stopped)*"]


async def test_stop_with_nothing_running_says_so(store: Store) -> None:
    async with stage(store) as s:
        await s.say("/stop")
        assert await s.replies(1) == ["Nothing is running."]


async def test_stop_drops_what_waits_and_says_how_much(store: Store) -> None:
    async with stage(store, lambda _: [Text("x"), asyncio.Event()]) as s:
        await s.say("go")
        await wait_until(lambda: s.board.previews)
        await s.say("and this")
        await s.say("/stop")
        assert sorted(await s.replies(2)) == ["Messages that waited were dropped: 1.", "x\n\n*(stopped)*"]
        await s.say("/help")
        await s.replies(3)
        assert len(s.model.prompts) == 1


async def test_retry_answers_the_last_message_again_and_replaces_the_answer(store: Store) -> None:
    answers = iter(["bad", "better", "fine"])
    async with stage(store, lambda _: next(answers)) as s:
        await s.say("question")
        await s.replies(1)
        await s.say("/retry")
        assert await s.replies(2) == ["bad", "better"]
        await s.say("next")
        await s.replies(3)
        assert [line.text for line in s.model.prompts[2].lines] == ["question", "better", "next"]


async def test_retry_with_nothing_said_is_a_sentence(store: Store) -> None:
    async with stage(store) as s:
        await s.say("/retry")
        assert await s.replies(1) == ["There is nothing to try again yet."]


async def test_a_failed_turn_can_be_retried(store: Store) -> None:
    scripts = iter([[ModelBusy("Too busy.", retry_after=1)], [Text("now it works")]])
    async with stage(store, lambda _: next(scripts)) as s:
        await s.say("question")
        assert await s.replies(1) == ["Too busy."]
        await s.say("/retry")
        assert (await s.replies(2))[1] == "now it works"
        assert [line.text for line in s.model.prompts[1].lines] == ["question"]


@pytest.mark.parametrize("line", ["/help", "!help", "/HELP", "/help me"])
async def test_help_is_the_same_however_it_is_typed(store: Store, line: str) -> None:
    async with stage(store) as s:
        await s.say(line)
        assert "/new" in (await s.replies(1))[0]
        assert not s.model.prompts


async def test_an_unknown_command_is_named_and_an_exclamation_is_just_text(store: Store) -> None:
    async with stage(store) as s:
        await s.say("/frobnicate now")
        assert "/frobnicate" in (await s.replies(1))[0]
        await s.say("!important question")
        assert (await s.replies(2))[1] == "You said: !important question"


async def test_the_model_of_a_chat_can_be_chosen(store: Store) -> None:
    one, two = Scripted(lambda _: "one"), Scripted(lambda _: "two")
    two.name = "stage:two"
    async with stage(store, models=Choice(one, two)) as s:
        await s.say("/model")
        assert "stage:two" in (await s.replies(1))[0]
        await s.say("/model stage:two")
        await s.replies(2)
        await s.say("who?")
        assert (await s.replies(3))[2] == "two"
        await s.say("/model nonsense:x")
        assert "nonsense:x" in (await s.replies(4))[3]
        await s.say("/model default")
        await s.replies(5)
        await s.say("who?")
        assert (await s.replies(6))[5] == "one"


async def test_whoami_and_status_tell_the_facts(store: Store) -> None:
    async with stage(store) as s:
        await s.say("/whoami")
        assert "ada" in (await s.replies(1))[0]
        await s.say("/status")
        assert "stage:model" in (await s.replies(2))[1]


async def test_an_edit_of_a_message_that_waits_is_what_is_answered(store: Store) -> None:
    gate = asyncio.Event()
    async with stage(store, lambda p: [gate, Text(p.lines[-1].text)]) as s:
        await s.say("first")
        await wait_until(lambda: s.model.open)
        event = await s.say("teh question")
        await s.engine.accept(Edited("edit", Message(event, MINE, ADA, "the question")))
        gate.set()
        assert await s.replies(2) == ["first", "the question"]


async def test_a_full_mailbox_is_said_once_and_nothing_that_was_taken_is_lost(store: Store) -> None:
    gate = asyncio.Event()
    async with stage(store, lambda p: [gate, Text("ok")], rules=Rules(cap=3, merge=1)) as s:
        await s.say("0")
        await wait_until(lambda: s.model.open)
        for n in range(1, 5):
            await s.say(str(n))
        assert "Too many messages" in (await s.replies(1))[0]
        gate.set()
        await s.replies(5)
        assert [p.lines[-1].text for p in s.model.prompts] == ["0", "1", "2"]


async def test_a_message_that_is_too_long_is_refused_in_a_sentence(store: Store) -> None:
    async with stage(store) as s:
        await s.say("x" * 1_000_000)
        assert "1000000" in (await s.replies(1))[0]


async def test_an_empty_message_is_answered_with_a_sentence(store: Store) -> None:
    async with stage(store) as s:
        await s.say(" \n ")
        assert "no text" in (await s.replies(1))[0]


async def test_a_voice_note_alone_is_answered_without_a_model(store: Store) -> None:
    async with stage(store) as s:
        await s.say("", kinds=("voice",))
        assert "voice notes" in (await s.replies(1))[0]
        assert not s.model.prompts
        await s.say("look at this", kinds=("image",))
        assert "pictures" in (await s.replies(2))[1]
        assert "pictures" in s.model.prompts[0].lines[-1].text


@tool(label="adding")
async def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


async def test_the_model_calls_tools_until_it_has_its_answer(store: Store) -> None:
    def brain(prompt: Prompt) -> str | list[ModelEvent | asyncio.Event | Exception]:
        results = [line.text for line in prompt.lines if line.role == "tool"]
        if len(results) == 3:
            return f"{results}"
        if len(results) == 1:
            return [ToolCall("c2", "add", '{"a": 3, "b": 4}'), ToolCall("c3", "add", '{"a": "x"}')]
        return [Text("Let me see."), ToolCall("c1", "add", '{"a": 1, "b": 2}')]

    async with stage(store, brain, tools=Toolbox((add,))) as s:
        await s.say("1+2, 3+4")
        reply = (await s.replies(1))[0]
        assert reply.startswith("Let me see.\n\n['3', '7', 'Error: wrong arguments")
        assert [c.id for line in s.model.prompts[-1].lines for c in line.calls] == ["c1", "c2", "c3"]
        await s.say("again")
        await s.replies(2)


async def test_a_tool_loop_without_end_is_ended(store: Store) -> None:
    async with stage(store, lambda _: [Text("hm"), ToolCall("c", "add", '{"a":1,"b":1}')], tools=Toolbox((add,))) as s:
        await s.say("loop")
        await s.replies(1)
        assert len(s.model.prompts) == 8


async def test_a_prompt_that_is_too_long_is_shortened_and_tried_again(store: Store) -> None:
    def brain(prompt: Prompt) -> str | list[ModelEvent | asyncio.Event | Exception]:
        return [PromptTooLong("Too long.")] if len(prompt.lines) > 10 else f"{len(prompt.lines)} lines"

    async with stage(store, brain) as s:
        for n in range(7):
            await s.say("x")
            await s.replies(n + 1)
        assert (await s.replies(7))[-1] == "5 lines"


async def test_an_answer_cut_at_the_limit_and_a_fallback_are_told(store: Store) -> None:
    script = [Fallback("b:2", "a:1", "busy"), Text("half"), Stop("length")]
    async with stage(store, lambda _: script) as s:
        await s.say("go")
        reply = (await s.replies(1))[0]
        assert reply.startswith("half\n\n")
        assert "go on" in reply
        assert "b:2" in reply


async def test_older_turns_are_summarised_without_losing_names_and_numbers(store: Store) -> None:
    def brain(prompt: Prompt) -> str:
        return "They spoke at length." if prompt.limit == 700 else "noted " + "filler " * 40

    model = Scripted(brain, window=3_000)
    async with stage(store, model=model) as s:
        await s.say("My daughter Mathilda was born on 17 May 2019. We decided to move to Lisbon.")
        await s.replies(1)
        for n in range(16):
            await s.say(f"more talk {n} " + "words " * 40)
            await s.replies(n + 2)
        await wait_until(lambda: any(p.limit == 700 for p in model.prompts))

        async def kept() -> bool:
            await s.say("what is her name?")
            await s.replies(len(s.board.read()) + 1)
            return "Mathilda" in model.prompts[-1].lines[0].text

        await wait_until(kept)
        summary = model.prompts[-1].lines[0].text
        assert "17 May 2019" in summary
        assert "We decided to move to Lisbon" in summary
        assert sum(len(line.text) for line in model.prompts[-1].lines) < 9_000


async def test_a_summary_is_made_by_the_model_that_the_chat_chose(store: Store) -> None:
    one = Scripted(lambda _: "one", window=3_000)
    two = Scripted(lambda _: "two " + "filler " * 60, window=3_000)
    two.name = "stage:two"
    async with stage(store, models=Choice(one, two)) as s:
        await s.say("/model stage:two")
        await s.replies(1)
        for n in range(16):
            await s.say(f"more talk {n} " + "words " * 40)
            await s.replies(n + 2)
        await wait_until(lambda: any(p.limit == 700 for p in two.prompts))
        assert one.prompts == []


async def test_a_turn_costs_three_trips_to_the_store(store: Store) -> None:
    async with stage(store) as s:
        await s.say("warm up")
        await s.replies(1)
        await s.engine.delivery.settled()
        before = store.trips
        for n in range(10):
            await s.say("hello")
            await s.replies(n + 2)
        await s.engine.delivery.settled()
        assert (store.trips - before) / 10 <= 4


async def test_a_turn_resumed_from_the_journal_repeats_only_the_call_in_flight(store: Store) -> None:
    gate = asyncio.Event()

    def brain(prompt: Prompt) -> list[ModelEvent | asyncio.Event | Exception]:
        if prompt.lines[-1].role == "tool":
            return [Text(" the end"), gate]
        return [Text("Begin."), ToolCall("c", "add", '{"a":1,"b":1}')]

    rules = Rules(lease=400)
    async with asyncio.TaskGroup() as tasks:
        first = Scripted(brain)

        async def dies() -> None:
            async with stage(store, model=first, tools=Toolbox((add,)), rules=rules, worker="dies") as s:
                await s.say("go")
                await wait_until(lambda: len(first.prompts) == 2)
                # a killed process neither commits nor renews nor hands back
                s.engine._renew = _never  # type: ignore[method-assign]
                for running in s.engine._running.values():
                    running.fenced = True
                    running._obey()

        tasks.create_task(dies())
    gate.set()
    second = Scripted(brain)
    async with stage(store, model=second, tools=Toolbox((add,)), rules=rules, worker="heir") as s:
        assert await s.replies(1) == ["Begin.\n\n the end"]
        assert len(second.prompts) == 1


async def _never() -> None:
    return None


async def test_a_busy_platform_is_obeyed_and_nothing_is_lost(store: Store) -> None:
    board = Board()
    board.fails = [ChatBusy("wait", retry_after=0.05), ChatUnreachable("gone", arrived=False)]
    async with stage(store, board=board) as s:
        await s.say("hello")
        assert await s.replies(1) == ["You said: hello"]


async def test_a_final_whose_fate_is_unknown_is_sent_again_with_a_note(store: Store) -> None:
    board = Board()
    board.fails = [ChatUnreachable("lost the answer", arrived=True)]
    async with stage(store, board=board) as s:
        await s.say("hello")
        reply = (await s.replies(1))[0]
        assert reply.startswith("*(Sent again")
        assert reply.endswith("You said: hello")


async def test_a_platform_with_keys_needs_no_note(store: Store) -> None:
    board = Board(readback="key")
    board.fails = [ChatUnreachable("lost the answer", arrived=True)]
    async with stage(store, board=board) as s:
        await s.say("hello")
        assert await s.replies(1) == ["You said: hello"]


async def test_a_message_that_shows_the_growing_text_is_edited_by_the_final(store: Store) -> None:
    gate = asyncio.Event()
    board = Board()
    board.placeholder = "p1"
    async with stage(store, lambda _: [Text("growing"), gate, Text(" done")], board=board) as s:
        await s.say("hello")
        await wait_until(lambda: board.previews)
        gate.set()
        assert await s.replies(1) == ["growing done"]
        assert board.edits == ["p1"]


async def test_replies_of_many_parts_arrive_in_order(store: Store) -> None:
    board = Board()
    board.piece = 3
    async with stage(store, lambda _: "abcdefgh", board=board) as s:
        await s.say("go")
        assert await s.replies(3) == ["abc", "def", "gh"]


async def test_what_an_earlier_process_committed_is_delivered_after_its_death(store: Store) -> None:
    board = Board(readback="key")
    board.fails = [ChatUnreachable("down", arrived=False)] * 3
    async with stage(store, board=board) as s:
        await s.say("hello")
        await wait_until(lambda: len(board.fails) < 3)
        for task in list(s.engine._spawned):
            task.cancel()
        s.engine.delivery._idle.set()
    heir = Board(readback="key")
    async with stage(store, board=heir) as s:
        assert await s.replies(1) == ["You said: hello"]


async def test_a_stranger_gets_one_code_and_is_let_in_by_it(store: Store) -> None:
    async with stage(store, board=Board(trusted=False)) as s:
        await s.say("hello")
        text = (await s.replies(1))[0]
        code = text.partition("**")[2][:9]
        await s.say("hello?")
        found = await s.people.approve(code)
        assert found is not None
        assert found.account == ADA
        await s.say("and now?")
        assert (await s.replies(2))[1] == "You said: and now?"
        assert len(s.model.prompts) == 1


async def test_strangers_leave_nothing_but_counters_and_at_most_fifty_codes(store: Store) -> None:
    async with stage(store, board=Board(trusted=False)) as s:
        for n in range(80):
            await s.say("let me in", chat=ChatRef("stage", "bot", f"u{n}"), who=Account("stage", "bot", f"u{n}"))
        await wait_until(lambda: len(s.board.finals) == 50)
        await s.engine.delivery.settled()
        assert not [k async for k in store.redis.scan_iter("pieria:account:*")]
        assert len([k async for k in store.redis.scan_iter("pieria:code:*")]) == 50
        assert not s.model.prompts


async def test_the_claim_code_makes_its_sender_the_operator_once(store: Store) -> None:
    async with stage(store, board=Board(trusted=False)) as s:
        code = await s.people.claim()
        await s.say("/start", start=code)
        assert "operator" in (await s.replies(1))[0]
        await s.say("hello")
        assert (await s.replies(2))[1] == "You said: hello"
        await s.say("/start", start=code, who=BOB, chat=ChatRef("stage", "bot", "bob"))
        assert "private" in (await s.replies(1, ChatRef("stage", "bot", "bob")))[0]
        assert await s.people.claim() == ""


async def test_a_closed_house_does_not_answer_strangers(store: Store) -> None:
    async with stage(store, board=Board(trusted=False), policy="closed") as s:
        await s.say("hello")
        await s.people.allow(ADA)
        await s.say("hello again")
        assert await s.replies(1) == ["You said: hello again"]


async def test_a_group_is_greeted_when_the_assistant_joins(store: Store) -> None:
    async with stage(store) as s:
        await s.engine.accept(Joined("j", GROUP, ADA))
        assert "Mention me" in (await s.replies(1, GROUP))[0]


async def test_nothing_that_people_said_lies_in_the_store_in_plain_text(store: Store) -> None:
    gate = asyncio.Event()
    words = b"xylophone-confession"
    async with stage(store, lambda p: [Text("xylophone-confession noted"), gate], board=Board(stored=True)) as s:
        await s.say("xylophone-confession of Ada Lovelace", name="Ada Lovelace")
        await wait_until(lambda: s.board.previews)
        await s.say("xylophone-confession, more")
        dumps = [await store.redis.dump(k) or b"" async for k in store.redis.scan_iter()]
        gate.set()
        await s.replies(2)
        await s.engine.delivery.settled()
        dumps += [k + (await store.redis.dump(k) or b"") async for k in store.redis.scan_iter()]
    assert dumps
    assert not [d for d in dumps if words in d or b"Lovelace" in d or b"ada" in d]


async def test_many_chats_are_answered_at_once(store: Store) -> None:
    places = [ChatRef("stage", "bot", f"room {n}") for n in range(200)]
    async with stage(store) as s:
        async with asyncio.TaskGroup() as tasks:
            for place in places:
                tasks.create_task(s.say("hello", chat=place, who=Account("stage", "bot", place.chat)))
        async with asyncio.timeout(5.0):
            while len(s.board.finals) < len(places):
                await asyncio.sleep(0.01)
        assert {where.chat for where, _ in s.board.finals} == {place.chat for place in places}
