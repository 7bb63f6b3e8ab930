"""The promises that every core.ports.Chat keeps, asked of the real adapter with the real engine.

    class TestTelegram(Promises, place=TelegramPlace):
        ...

collects each promise that the place can be asked for as a test of its own; which it cannot stands in the place's `lacks`.
What concerns several people in one chat stands in group.py, what a platform forbids or takes away in rules.py.
"""

import asyncio
import re
import time

import pytest

from core.errors import ModelBusy, ModelUnreachable
from core.mailbox import Rules
from core.messages import Fallback, Prompt, Stop, Text
from core.store import Store
from tests.conftest import wait_until
from tests.contracts.ferry import ferried
from tests.contracts.reading import squashed, tokens
from tests.contracts.scene import PATIENCE, Scene, echo, scene
from tests.contracts.suite import Suite, needs
from tests.contracts.texts import (
    CLUSTERS,
    CODE,
    FAMILY,
    FORMULAS,
    GROWING,
    LINKED_TABLE,
    LONG_LISTING,
    LONG_TABLE,
    MARKED,
    PLAIN,
    READY,
    ROWS,
)
from tests.stage import Choice, Scripted


class Promises(Suite):
    """Each method is one promise."""

    # A message's way

    async def test_a_message_is_answered(self, store: Store) -> None:
        async with scene(self.place, store) as s:
            await s.say("hello")
            assert await s.replies(1) == ["You said: hello"]

    async def test_a_redelivered_message_is_answered_once(self, store: Store) -> None:
        async with scene(self.place, store) as s:
            sent = await s.say("hello")
            await s.replies(1)
            await s.place.redeliver(sent)
            await s.place.redeliver(sent)
            await s.say("next")
            assert await s.replies(2) == ["You said: hello", "You said: next"]

    async def test_the_platform_hears_of_a_message_only_when_it_is_safe(self, store: Store, valkey_url: str) -> None:
        async with ferried(valkey_url) as (ferry, far), scene(self.place, far) as s:
            await s.say("before")
            await s.replies(1)
            await s.engine.delivery.settled()
            await ferry.stop()
            sent = await s.say("hello")
            await wait_until(lambda: s.engine.refused, PATIENCE)
            assert not sent.told
            await ferry.run()
            assert await s.replies(2) == ["You said: before", "You said: hello"]
            await wait_until(lambda: sent.told)
            await s.say("next")
            assert await s.replies(3) == ["You said: before", "You said: hello", "You said: next"]

    async def test_a_burst_is_answered_in_full_and_in_order_with_few_turns(self, store: Store) -> None:
        gate = asyncio.Event()
        model = Scripted(lambda prompt: [gate, Text(" | ".join(_asked(prompt)))])
        async with scene(self.place, store, model=model) as s:
            sent = [await s.say("question 0")]
            await wait_until(lambda: model.open)
            sent += [await s.say(f"question {n}") for n in range(1, 6)]
            await wait_until(lambda: all(one.told for one in sent))
            gate.set()
            assert " | ".join(await s.replies(2)).split(" | ") == [f"question {n}" for n in range(6)]
            assert len(model.prompts) == 2

    async def test_a_follow_up_during_a_turn_is_the_next_turn(self, store: Store) -> None:
        gate = asyncio.Event()
        model = Scripted(lambda prompt: [gate, Text(f"Answer to {prompt.lines[-1].text}")])
        async with scene(self.place, store, model=model) as s:
            await s.say("one")
            await wait_until(lambda: model.open)
            sent = await s.say("two")
            await wait_until(lambda: sent.told)
            gate.set()
            assert await s.replies(2) == ["Answer to one", "Answer to two"]
            assert [line.text for line in model.prompts[1].lines] == ["one", "Answer to one", "two"]

    async def test_many_turns_are_answered_each_once(self, store: Store) -> None:
        async with scene(self.place, store) as s:
            for n in range(12):
                await s.say(f"number {n}")
                await s.replies(n + 1)
            assert s.place.read() == [f"You said: number {n}" for n in range(12)]

    # Commands

    @pytest.mark.parametrize("line", ["/help", "!help", "/HELP", "/help me"])
    async def test_help_shows_however_it_is_typed(self, store: Store, line: str) -> None:
        model = Scripted(echo)
        async with scene(self.place, store, model=model) as s:
            await s.say(line)
            (told,) = await s.replies(1)
            assert all(
                f"{s.chat.traits.command}{name}" in told
                for name in ("help", "new", "stop", "retry", "model", "status", "whoami")
            )
            assert not model.prompts

    @pytest.mark.parametrize("line", ["/new", "!new"])
    async def test_new_begins_afresh(self, store: Store, line: str) -> None:
        model = Scripted(echo)
        async with scene(self.place, store, model=model) as s:
            await s.say("remember me")
            await s.replies(1)
            await s.say(line)
            assert "new conversation" in (await s.replies(2))[1]
            await s.say("who am I?")
            await s.replies(3)
            assert [entry.text for entry in model.prompts[-1].lines] == ["who am I?"]

    @needs("previews")
    @pytest.mark.parametrize("line", ["/stop", "!stop"])
    async def test_stop_ends_a_running_answer_within_a_second(self, store: Store, line: str) -> None:
        model = Scripted(lambda _: [Text(READY), asyncio.Event()])
        async with scene(self.place, store, model=model) as s:
            await s.say("tell me everything")
            await wait_until(s.place.previews)
            begun = time.monotonic()
            await s.say(line)
            assert await s.replies(1) == [f"{READY}\n\n(stopped)"]
            assert time.monotonic() - begun < 1.0
            assert model.open == 0

    @needs("previews")
    async def test_the_stop_button_ends_a_running_answer(self, store: Store) -> None:
        async with scene(self.place, store, lambda _: [Text(READY), asyncio.Event()]) as s:
            await s.say("tell me everything")
            await wait_until(s.place.previews)
            await s.place.press_stop()
            assert await s.replies(1) == [f"{READY}\n\n(stopped)"]

    async def test_stop_with_nothing_running_says_so(self, store: Store) -> None:
        async with scene(self.place, store) as s:
            await s.say("/stop")
            assert await s.replies(1) == ["Nothing is running."]

    async def test_retry_answers_again_and_replaces_the_answer(self, store: Store) -> None:
        answers = iter(["bad", "better", "fine"])
        model = Scripted(lambda _: next(answers))
        async with scene(self.place, store, model=model) as s:
            await s.say("question")
            await s.replies(1)
            await s.say("/retry")
            assert (await s.replies(2))[-1] == "better"
            await s.say("next")
            await s.replies(3)
            assert [line.text for line in model.prompts[2].lines] == ["question", "better", "next"]

    async def test_the_model_can_be_seen_and_chosen(self, store: Store) -> None:
        one, two = Scripted(lambda _: "one"), Scripted(lambda _: "two")
        two.name = "stage:two"
        async with scene(self.place, store, models=Choice(one, two)) as s:
            await s.say("/model")
            assert "stage:two" in (await s.replies(1))[0]
            await s.say("!model stage:two")
            await s.replies(2)
            await s.say("who?")
            assert (await s.replies(3))[2] == "two"
            await s.say("/model nonsense:x")
            assert "nonsense:x" in (await s.replies(4))[3]

    async def test_status_and_whoami_tell_the_facts(self, store: Store) -> None:
        async with scene(self.place, store) as s:
            await s.say("/status")
            assert "stage:model" in (await s.replies(1))[0]
            await s.say("!whoami")
            assert s.chat.traits.label in (await s.replies(2))[1]

    async def test_an_unknown_command_is_named_and_an_exclamation_is_just_text(self, store: Store) -> None:
        async with scene(self.place, store) as s:
            await s.say("/frobnicate now")
            assert f"{s.chat.traits.command}frobnicate" in (await s.replies(1))[0]
            await s.say("!important question")
            assert (await s.replies(2))[1] == "You said: !important question"

    @needs("edit")
    async def test_an_edit_of_a_message_that_waits_is_what_is_answered(self, store: Store) -> None:
        gate = asyncio.Event()
        model = Scripted(lambda prompt: [gate, Text(prompt.lines[-1].text)])
        async with scene(self.place, store, model=model) as s:
            await s.say("first")
            await wait_until(lambda: model.open)
            sent = await s.say("teh question")
            await s.place.edit(sent, "the question")
            after = await s.say("/whoami")
            await wait_until(lambda: after.told)
            gate.set()
            assert (await s.replies(3))[1:] == ["first", "the question"]

    @needs("take back")
    async def test_a_message_taken_back_while_it_waits_is_not_answered(self, store: Store) -> None:
        gate = asyncio.Event()
        model = Scripted(lambda prompt: [gate, Text(f"Answer to {prompt.lines[-1].text}")])
        async with scene(self.place, store, model=model) as s:
            await s.say("one")
            await wait_until(lambda: model.open)
            waiting = await s.say("two")
            await wait_until(lambda: waiting.told)
            await s.place.take_back(waiting)
            after = await s.say("three")
            await wait_until(lambda: after.told)
            gate.set()
            assert await s.replies(2) == ["Answer to one", "Answer to three"]
            assert [line.text for line in model.prompts[-1].lines] == ["one", "Answer to one", "three"]

    @needs("take back")
    async def test_a_message_taken_back_while_it_is_answered_holds_nothing_up(self, store: Store) -> None:
        gate = asyncio.Event()
        model = Scripted(lambda prompt: [gate, Text(prompt.lines[-1].text)])
        async with scene(self.place, store, model=model) as s:
            gate.set()
            await s.say("one")
            await s.replies(1)
            gate.clear()
            sent = await s.say("two")
            await wait_until(lambda: model.open)
            await s.place.take_back(sent)
            gate.set()
            await s.rests()
            await s.say("three")
            await wait_until(lambda: s.place.read()[-1] == "three", PATIENCE)
            assert s.place.read() in (["one", "three"], ["one", "two", "three"])

    @needs("threads")
    async def test_conversations_of_one_place_never_share_a_prompt(self, store: Store) -> None:
        model = Scripted(echo)
        async with scene(self.place, store, model=model) as s:
            for n, text in enumerate(("my secret is 4711", "and what more?")):
                await s.place.thread_say("one", text)
                await wait_until(lambda n=n: len(s.place.thread_read("one")) > n)
            await s.place.thread_say("two", "what do you know?")
            await wait_until(lambda: s.place.thread_read("two") == ["You said: what do you know?"])
            await s.place.thread_say("one", "and now?")
            await wait_until(lambda: len(s.place.thread_read("one")) == 3)
            asked = [[line.text for line in prompt.lines if line.role == "user"] for prompt in model.prompts]
            assert asked[1:] == [
                ["my secret is 4711", "and what more?"],
                ["what do you know?"],
                ["my secret is 4711", "and what more?", "and now?"],
            ]
            assert s.place.thread_read("one") == [f"You said: {text}" for text in asked[3]]

    @needs("threads")
    async def test_conversations_of_one_place_are_answered_side_by_side(self, store: Store) -> None:
        gate = asyncio.Event()
        model = Scripted(lambda prompt: [gate, Text("late")] if "slow" in prompt.lines[-1].text else echo(prompt))
        async with scene(self.place, store, model=model) as s:
            await s.place.thread_say("one", "slow")
            await wait_until(lambda: model.open)
            await s.place.thread_say("two", "quick")
            await wait_until(lambda: s.place.thread_read("two") == ["You said: quick"])
            assert s.place.thread_read("one") == []
            gate.set()
            await wait_until(lambda: s.place.thread_read("one") == ["late"])
            await s.rests()
            assert s.place.thread_read("two") == ["You said: quick"]

    @needs("threads")
    async def test_stop_and_new_in_one_conversation_leave_the_others_alone(self, store: Store) -> None:
        gate = asyncio.Event()
        model = Scripted(lambda prompt: [gate, Text("all of it")] if "slow" in prompt.lines[-1].text else echo(prompt))
        async with scene(self.place, store, model=model) as s:
            await s.place.thread_say("one", "slow")
            await wait_until(lambda: model.open)
            for n, text in enumerate(("quick", "/stop", "/new")):
                await s.place.thread_say("two", text)
                await wait_until(lambda n=n: len(s.place.thread_read("two")) > n)
            assert s.place.thread_read("two")[1] == "Nothing is running."
            gate.set()
            await wait_until(lambda: s.place.thread_read("one") == ["all of it"])
            await s.place.thread_say("one", "next")
            await wait_until(lambda: len(s.place.thread_read("one")) == 2)
            assert [line.text for line in model.prompts[-1].lines] == ["slow", "all of it", "next"]

    @needs("files")
    async def test_a_picture_is_answered_in_words_and_its_caption_by_the_model(self, store: Store) -> None:
        async with scene(self.place, store) as s:
            await s.place.send_picture("")
            assert "cannot read pictures" in (await s.replies(1))[0]
            await s.place.send_picture("What is this?")
            assert "What is this?" in (await s.replies(2))[1]

    # What people read

    @pytest.mark.parametrize("name", PLAIN)
    async def test_what_is_read_is_what_was_said(self, store: Store, name: str) -> None:
        said = PLAIN[name]
        async with scene(self.place, store, lambda _: said) as s:
            messages = await _answer(s, said)
            at = 0
            for message in messages:
                found = said.find(message, at)
                assert found >= 0, f"not said: {_differing(message, said[at:])}"
                assert not said[at:found].strip(), f"left out: {said[at:found][:80]!r}"
                at = found + len(message)
            assert not said[at:].strip()
            if name == "four_thousand_joined_emoji":
                assert not [message for message in messages if message.replace(FAMILY, "")], "an emoji was cut in two"
            if name == "emoji_of_many_kinds_without_a_space":
                whole = re.compile("(?:" + "|".join(map(re.escape, CLUSTERS)) + ")*")
                assert all(whole.fullmatch(message) for message in messages), "a sign was cut in two"

    @pytest.mark.parametrize("name", MARKED)
    async def test_the_words_of_marked_text_are_read_in_order(self, store: Store, name: str) -> None:
        said, read = MARKED[name]
        async with scene(self.place, store, lambda _: said) as s:
            assert tokens("\n".join(await _answer(s, read))) == read.split()

    @pytest.mark.parametrize("name", CODE)
    async def test_a_listing_is_read_as_it_is(self, store: Store, name: str) -> None:
        said, listing, before, after = CODE[name]
        async with scene(self.place, store, lambda _: said) as s:
            read = "\n".join(await _answer(s, before + listing + after))
            assert listing in read
            assert [part.strip() for part in read.split(listing)] == [before, after]

    @pytest.mark.parametrize("name", FORMULAS)
    async def test_a_formula_is_read_and_a_price_is_none(self, store: Store, name: str) -> None:
        said, read = FORMULAS[name]
        async with scene(self.place, store, lambda _: said) as s:
            await s.say("go")
            (answer,) = await s.replies(1)
            assert read.fullmatch(squashed(answer)), answer

    async def test_a_link_in_a_table_is_read_with_its_address(self, store: Store) -> None:
        said, read = LINKED_TABLE
        async with scene(self.place, store, lambda _: said) as s:
            head = ("Name", "Where", "Name:", "Where:")  # at the top, or in front of each cell
            found = tokens("\n".join(await _answer(s, read)))
            assert [word for word in found if word not in head] == read.split()

    async def test_a_long_table_shows_each_row_once_and_in_order(self, store: Store) -> None:
        async with scene(self.place, store, lambda _: LONG_TABLE) as s:
            await s.say("go")
            wanted = [word for n in range(ROWS) for word in (f"n{n}", f"w{n}")]

            def rows() -> list[str]:
                head = ("Number", "Word", "Number:", "Word:")
                return [word for word in tokens("\n".join(s.place.read())) if word not in head]

            await wait_until(lambda: len(rows()) >= len(wanted), PATIENCE)
            assert rows() == wanted

    async def test_a_long_listing_stays_a_listing_line_by_line(self, store: Store) -> None:
        async with scene(self.place, store, lambda _: LONG_LISTING) as s:
            lines = LONG_LISTING.split("\n")[1:-1]
            messages = await _answer(s, "\n".join(lines))
            assert [line for message in messages for line in message.split("\n")] == lines

    @needs("previews")
    async def test_previews_grow_and_never_show_half_a_listing(self, store: Store) -> None:
        gates = [asyncio.Event() for _ in GROWING]
        pieces = zip(GROWING, gates, strict=True)
        async with scene(self.place, store, lambda _: [event for t, gate in pieces for event in (Text(t), gate)]) as s:
            await s.say("go")
            for marker, gate in zip(("first = 1", "second = 2", "all there is"), gates, strict=True):
                await wait_until(lambda word=marker: any(word in shown for shown in s.place.previews()))
                gate.set()
            (final,) = await s.replies(1)
            shown = s.place.previews()
            assert all(squashed(final).startswith(squashed(one)) for one in shown), shown
            assert sorted(map(len, shown)) == [len(one) for one in shown]
            assert len(set(shown)) >= 3

    @needs("previews")
    async def test_one_final_takes_the_place_of_its_previews(self, store: Store) -> None:
        gate = asyncio.Event()
        async with scene(self.place, store, lambda _: [Text(READY), gate, Text(" The end.")]) as s:
            await s.say("go")
            await wait_until(s.place.previews)
            gate.set()
            await wait_until(lambda: s.place.read() == [f"{READY} The end."])
            await s.say("/whoami")
            assert (await s.replies(2))[:-1] == [f"{READY} The end."]
            assert not s.place.growing()

    @needs("typing")
    async def test_a_sign_of_life_comes_before_the_first_word(self, store: Store) -> None:
        gate = asyncio.Event()
        async with scene(self.place, store, lambda _: [gate, Text("done")]) as s:
            await s.say("think")
            await wait_until(s.place.working)
            gate.set()
            assert await s.replies(1) == ["done"]

    # What goes wrong

    @needs("faults")
    @pytest.mark.parametrize("fault", ["busy", "broken", "cut before", "cut after"])
    async def test_nothing_is_lost_when_a_send_fails(self, store: Store, fault: str) -> None:
        async with scene(self.place, store) as s:
            s.place.fail(fault)
            await s.say("hello")
            (first, *_) = await s.replies(1)
            await s.engine.delivery.settled()
            await s.say("next")
            await wait_until(lambda: "You said: next" in s.place.read(), PATIENCE)
            *copies, last = s.place.read()
            assert last == "You said: next"
            assert first.endswith("You said: hello")
            if copies != ["You said: hello"]:  # a copy is possible only where the platform cannot tell, and says so
                assert s.chat.traits.readback == "none"
                assert fault.startswith(("cut", "broken"))
                assert all("Sent again" in copy and copy.endswith("You said: hello") for copy in copies[-1:])
                assert len(copies) <= 2

    @needs("faults")
    async def test_each_part_of_a_long_reply_arrives_although_sends_fail(self, store: Store) -> None:
        said = PLAIN["ten_thousand_mentions"]
        async with scene(self.place, store, lambda _: said) as s:
            s.place.fail("cut before")
            s.place.fail("busy")
            messages = await _answer(s, said)
            read = " ".join(messages).replace("(Sent again: I could not tell whether this arrived.)", "")
            assert read.split() == said.split()

    @needs("faults", "previews")
    async def test_a_limit_in_the_middle_of_a_growing_reply_ends_previews_and_costs_no_word(self, store: Store) -> None:
        gates = [asyncio.Event(), asyncio.Event()]
        script = [Text(READY), gates[0], Text(" There is more."), gates[1], Text(" The end.")]
        async with scene(self.place, store, lambda _: script) as s:
            await s.say("go")
            await wait_until(s.place.previews)
            s.place.fail("busy", "preview", lasting=True)
            gates[0].set()
            await wait_until(s.place.struck)
            await s.say("/whoami")
            await s.replies(1)
            assert s.place.struck() == 1
            s.place.heal()
            gates[1].set()
            whole = f"{READY} There is more. The end."
            await wait_until(lambda: whole in s.place.read(), PATIENCE)
            await s.rests()
            assert s.place.read().count(whole) == 1
            assert len(s.place.read()) == 2
            assert not s.place.growing()

    @needs("hang up")
    async def test_a_reply_waits_for_a_person_whose_line_broke(self, store: Store) -> None:
        gate = asyncio.Event()
        async with scene(self.place, store, lambda _: [Text(READY), gate]) as s:
            await s.say("go")
            await wait_until(s.place.previews)
            await s.place.hang_up()
            gate.set()
            await wait_until(lambda: not s.engine._running)
            await s.engine.delivery.settled()
            s.place.come_back()
            assert await s.replies(1) == [READY]
            await s.say("/whoami")
            assert len(await s.replies(2)) == 2

    async def test_a_failure_of_the_model_is_one_sentence(self, store: Store) -> None:
        scripts = iter([[ModelBusy("Too busy.", retry_after=1)], [Text("now it works")]])
        async with scene(self.place, store, lambda _: next(scripts)) as s:
            await s.say("question")
            assert await s.replies(1) == ["Too busy."]
            await s.say("/retry")
            assert (await s.replies(2))[-1] == "now it works"

    async def test_a_failure_in_the_middle_keeps_what_was_said(self, store: Store) -> None:
        async with scene(self.place, store, lambda _: [Text("Half of"), ModelUnreachable("The line broke.")]) as s:
            await s.say("question")
            assert await s.replies(1) == ["Half of\n\nThe line broke."]

    async def test_a_fallback_and_a_cut_answer_are_told(self, store: Store) -> None:
        script = [Fallback("b:2", "a:1", "busy"), Text("half"), Stop("length")]
        async with scene(self.place, store, lambda _: script) as s:
            await s.say("go")
            (told,) = await s.replies(1)
            assert told.startswith("half\n\n")
            assert "(a:1 did not answer (busy); b:2 did.)" in told
            assert "go on" in told

    async def test_a_message_of_a_million_letters_is_refused_in_a_sentence(self, store: Store) -> None:
        async with scene(self.place, store) as s:
            await s.say("x" * 1_048_576)
            assert "too long" in (await s.replies(1))[0]
            await s.say("next")
            assert (await s.replies(2))[1:] == ["You said: next"]

    @pytest.mark.parametrize("text", ["", " \n\t "])
    async def test_an_empty_message_is_ignored_or_told(self, store: Store, text: str) -> None:
        async with scene(self.place, store) as s:
            await s.say(text)
            await s.say("next")
            await wait_until(lambda: "You said: next" in s.place.read())
            *told, _ = s.place.read()
            assert all("empty" in one or "no text" in one for one in told)
            assert len(told) <= 1

    @pytest.mark.parametrize("text", ["a\0b", "\x1b[2J\x1b]0;owned\x07hi", "\x01\x02\x7f\x9b31m", "a\u202eb\u2066c"])
    async def test_control_characters_do_no_harm(self, store: Store, text: str) -> None:
        async with scene(self.place, store) as s:
            await s.say(text)
            await s.say("next")
            await wait_until(lambda: any(one.endswith("next") for one in s.place.read()), PATIENCE)

    @pytest.mark.parametrize("text", [b'"\\ud800 half"', b'"\\u0000"', b"5", b"null", b'{"a":1}', b'["x"]', b'"\xc3"'])
    async def test_a_text_that_is_none_is_ignored_or_told(self, store: Store, text: bytes) -> None:
        async with scene(self.place, store) as s:
            await s.place.say_raw(text)
            await s.say("next")
            await wait_until(lambda: any(one.endswith("next") for one in s.place.read()), PATIENCE)
            assert all("Traceback" not in one for one in s.place.read())

    async def test_events_that_nobody_understands_do_not_make_it_deaf(self, store: Store) -> None:
        async with scene(self.place, store) as s:
            await s.place.send_nonsense()
            await s.say("next")
            await wait_until(lambda: any(one.endswith("next") for one in s.place.read()), PATIENCE)

    # Ends and beginnings

    @needs("previews")
    async def test_a_running_answer_is_delivered_before_the_program_ends(self, store: Store) -> None:
        gate = asyncio.Event()
        async with scene(self.place, store, lambda _: [Text(READY), gate, Text(" The end.")]) as s:
            await s.say("go")
            await wait_until(s.place.previews)
            s.begin_to_end()
            gate.set()
            await s.end()
            await s.start()
            assert await s.replies(1) == [f"{READY} The end."]
            await s.say("/whoami")
            assert (await s.replies(2))[:-1] == [f"{READY} The end."]

    async def test_a_program_that_starts_again_goes_on(self, store: Store) -> None:
        model = Scripted(lambda prompt: f"{len(prompt.lines)} lines")
        async with scene(self.place, store, model=model) as s:
            await s.say("one")
            await s.replies(1)
            await s.end()
            sent = await s.say("two")
            await s.start()
            await wait_until(lambda: sent.told, PATIENCE)
            assert (await s.replies(2))[-1] == "3 lines"

    @needs("previews")
    async def test_a_program_that_died_in_the_middle_says_the_reply_once(self, store: Store) -> None:
        gate = asyncio.Event()
        model = Scripted(lambda _: [Text(READY), gate, Text(" The end.")])
        async with scene(self.place, store, model=model, rules=Rules(lease=400, grace=200)) as s:
            await s.say("go")
            await wait_until(s.place.previews)
            await s.break_off()
            gate.set()
            await s.start()
            assert await s.replies(1) == [f"{READY} The end."]
            await s.say("/whoami")
            assert (await s.replies(2))[:-1] == [f"{READY} The end."]

    # Strangers

    @needs("strangers")
    async def test_a_stranger_is_told_the_way_in_and_comes_in_by_it(self, store: Store) -> None:
        model = Scripted(echo)
        async with scene(self.place, store, model=model, policy="pairing") as s:
            await s.place.say_as_stranger("hello")
            await wait_until(s.place.stranger_reads)
            (told,) = s.place.stranger_reads()
            assert "This assistant is private" in told
            code = told.partition("runs it: ")[2][:9]
            assert await s.people.approve(code)
            await s.place.say_as_stranger("and now?")
            await wait_until(lambda: s.place.stranger_reads()[1:] == ["You said: and now?"])
            assert len(model.prompts) == 1

    @needs("strangers")
    async def test_a_closed_house_is_silent_for_strangers(self, store: Store) -> None:
        async with scene(self.place, store, policy="closed") as s:
            before = s.engine.refused
            await s.place.say_as_stranger("hello")
            sent = await s.say("hello?")
            await wait_until(lambda: sent.told)
            assert s.engine.refused == before
            assert s.place.stranger_reads() == s.place.read() == []


def _asked(prompt: Prompt) -> list[str]:
    """What the person asked since the last answer."""
    asked: list[str] = []
    for line in prompt.lines:
        asked = [] if line.role == "assistant" else [*asked, line.text]
    return asked


async def _answer(s: Scene, read: str) -> list[str]:
    """Ask, and wait until as much as this is to be read."""
    await s.say("go")
    size = len(squashed(read))
    try:
        await wait_until(lambda: sum(len(squashed(one)) for one in s.place.read()) >= size, PATIENCE)
    except AssertionError:
        got = sum(len(squashed(one)) for one in s.place.read())
        raise AssertionError(f"only {got} of {size} characters are to be read: {s.place.read()!s:.2000}") from None
    await s.engine.delivery.settled()
    return s.place.read()


def _differing(message: str, said: str) -> str:
    place = next((n for n, (a, b) in enumerate(zip(message, said, strict=False)) if a != b), 0)
    return f"…{message[max(0, place - 40) : place + 40]!r} where …{said[max(0, place - 40) : place + 40]!r} was said"
