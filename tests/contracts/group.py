"""The promises about groups: who is heard, who is told apart, to whom an answer belongs, and that nobody is disturbed."""

import asyncio

import pytest

from core.messages import Prompt, Text
from core.store import Store
from tests.conftest import wait_until
from tests.contracts.reading import squashed
from tests.contracts.scene import PATIENCE, echo, scene
from tests.contracts.suite import Suite, needs
from tests.contracts.texts import CALLS, PLAIN, READY
from tests.stage import Scripted


class GroupPromises(Suite):
    """Each method is one promise."""

    # Who is heard

    @needs("group")
    async def test_what_is_not_addressed_in_a_group_is_neither_answered_nor_stored(self, store: Store) -> None:
        model = Scripted(echo)
        async with scene(self.place, store, model=model) as s:
            await s.place.group_say("my secret is 4711")
            await s.place.group_say("who are you?", way="mention")
            await wait_until(s.place.group_read)
            assert s.place.group_read() == ["You said: who are you?"]
            assert [line.text for line in model.prompts[0].lines] == ["who are you?"]

    @needs("group")
    async def test_an_answer_to_it_and_a_command_are_addressed(self, store: Store) -> None:
        async with scene(self.place, store) as s:
            await s.place.group_say("hello", way="mention")
            await wait_until(lambda: s.place.group_read() == ["You said: hello"])
            await s.place.group_say("and you?", by="bob", way="reply")
            await wait_until(lambda: len(s.place.group_read()) == 2)
            assert s.place.group_read()[1].endswith("and you?")
            await s.place.group_say("/help", way="command")
            await wait_until(lambda: len(s.place.group_read()) == 3)

    @needs("group")
    async def test_other_bots_are_never_answered(self, store: Store) -> None:
        model = Scripted(echo)
        async with scene(self.place, store, model=model) as s:
            await s.place.group_say("hello", way="mention")
            await wait_until(lambda: s.place.group_read() == ["You said: hello"])
            await s.place.group_say("beep", by="robot", way="mention")
            await s.place.group_say("beep", by="robot", way="reply")
            await s.place.group_say("/help", by="robot", way="command")
            await s.place.group_say("next", way="mention")
            await wait_until(lambda: len(s.place.group_read()) == 2)
            assert s.place.group_read()[1] == "You said: next"
            assert len(model.prompts) == 2

    @needs("group")
    async def test_people_of_a_group_are_told_apart(self, store: Store) -> None:
        model = Scripted(echo)
        async with scene(self.place, store, model=model) as s:
            await s.place.group_say("one", by="ada", way="mention")
            await wait_until(lambda: len(s.place.group_read()) == 1)
            await s.place.group_say("two", by="bob", way="mention")
            await wait_until(lambda: len(s.place.group_read()) == 2)
            assert [(line.speaker, line.text) for line in model.prompts[1].lines if line.role == "user"] == [
                ("Ada", "one"),
                ("Bob", "two"),
            ]

    @needs("group")
    async def test_a_group_and_a_private_chat_never_share_a_prompt(self, store: Store) -> None:
        model = Scripted(echo)
        async with scene(self.place, store, model=model) as s:
            await s.say("my secret is 4711")
            await s.replies(1)
            await s.place.group_say("what do you know?", way="mention")
            await wait_until(s.place.group_read)
            assert not [line for line in model.prompts[1].lines if "4711" in line.text]

    @needs("group")
    async def test_a_growing_reply_in_a_group_becomes_its_final(self, store: Store) -> None:
        gate = asyncio.Event()
        scripts = iter([[Text("hello")], [Text(READY), gate, Text(" The end.")]])
        async with scene(self.place, store, lambda _: next(scripts)) as s:
            await s.place.group_say("hello", way="mention")
            await wait_until(s.place.group_read)
            await s.place.group_say("go", way="mention")
            await wait_until(lambda: s.place.group_read() == ["hello", READY])
            gate.set()
            await wait_until(lambda: s.place.group_read() == ["hello", f"{READY} The end."])

    @needs("group")
    async def test_a_burst_of_two_people_is_told_apart_and_answered_in_order(self, store: Store) -> None:
        gate = asyncio.Event()
        model = Scripted(lambda prompt: [gate, Text(" | ".join(_newest(prompt)))])
        async with scene(self.place, store, model=model) as s:
            sent = [await s.place.group_say("a1", by="ada", way="mention")]
            await wait_until(lambda: model.open)
            for by, text in (("bob", "b1"), ("ada", "a2"), ("bob", "b2"), ("bob", "b3")):
                sent.append(await s.place.group_say(text, by=by, way="mention"))
            await wait_until(lambda: all(one.told for one in sent))
            gate.set()
            await wait_until(lambda: len(s.place.group_read()) == 4, PATIENCE)
            assert s.place.group_read() == ["Ada: a1", "Bob: b1", "Ada: a2", "Bob: b2 | Bob: b3"]

    @needs("group", "take back")
    async def test_a_message_taken_back_in_a_group_is_not_answered(self, store: Store) -> None:
        gate = asyncio.Event()
        model = Scripted(lambda prompt: [gate, Text(" | ".join(_newest(prompt)))])
        async with scene(self.place, store, model=model) as s:
            await s.place.group_say("a1", by="ada", way="mention")
            await wait_until(lambda: model.open)
            sent = await s.place.group_say("a2", by="ada", way="mention")
            await wait_until(lambda: sent.told)
            await s.place.take_back(sent)
            after = await s.place.group_say("b1", by="bob", way="mention")
            await wait_until(lambda: after.told)
            gate.set()
            await wait_until(lambda: len(s.place.group_read()) == 2)
            assert s.place.group_read() == ["Ada: a1", "Bob: b1"]

    @needs("group", "edit")
    async def test_an_edit_in_a_group_is_what_is_answered(self, store: Store) -> None:
        gate = asyncio.Event()
        model = Scripted(lambda prompt: [gate, Text(" | ".join(_newest(prompt)))])
        async with scene(self.place, store, model=model) as s:
            await s.place.group_say("a1", by="ada", way="mention")
            await wait_until(lambda: model.open)
            sent = await s.place.group_say("teh question", by="ada", way="mention")
            await wait_until(lambda: sent.told)
            await s.place.edit(sent, "the question")
            after = await s.place.group_say("b1", by="bob", way="mention")
            await wait_until(lambda: after.told)
            gate.set()
            await wait_until(lambda: len(s.place.group_read()) == 3)
            assert s.place.group_read() == ["Ada: a1", "Ada: the question", "Bob: b1"]

    @needs("group")
    async def test_stop_in_a_group_ends_the_running_answer(self, store: Store) -> None:
        scripts = iter([[Text("hello")], [Text(READY), asyncio.Event()]])
        model = Scripted(lambda _: next(scripts))
        async with scene(self.place, store, model=model) as s:
            await s.place.group_say("hello", way="mention")
            await wait_until(s.place.group_read)
            await s.place.group_say("go", way="mention")
            await wait_until(lambda: s.place.group_read() == ["hello", READY])
            await s.place.group_say("/stop", way="command")
            await wait_until(lambda: s.place.group_read()[1:2] == [f"{READY}\n\n(stopped)"])
            assert model.open == 0

    # To whom an answer belongs

    @needs("group", "replies")
    async def test_an_answer_shows_which_message_it_answers(self, store: Store) -> None:
        gate = asyncio.Event()
        script = [Text(READY), gate, Text(" The end.")]
        model = Scripted(lambda prompt: script if prompt.lines[-1].text == "grow" else echo(prompt))
        async with scene(self.place, store, model=model) as s:
            await s.place.group_say("one", by="ada", way="opening")
            await wait_until(lambda: len(s.place.group_read()) == 1)
            await s.place.group_say("nothing for you", by="bob")
            await s.place.group_say("grow", by="bob", way="opening")
            await wait_until(lambda: len(s.place.group_read()) == 2)
            await s.place.group_say("two", by="ada", way="opening")
            gate.set()
            await wait_until(lambda: len(s.place.group_read()) == 3)
            await s.rests()
            assert sorted(s.place.group_pairs()) == sorted(
                [("one", "You said: one"), ("grow", f"{READY} The end."), ("two", "You said: two")]
            )

    @needs("group", "replies", "rules")
    async def test_an_answer_whose_question_was_taken_away_holds_nothing_up(self, store: Store) -> None:
        gate = asyncio.Event()
        model = Scripted(lambda prompt: [gate, Text("late")] if prompt.lines[-1].text == "go" else echo(prompt))
        async with scene(self.place, store, model=model) as s:
            sent = await s.place.group_say("go", by="bob", way="opening")
            await wait_until(lambda: model.open)
            await s.place.wipe(sent)
            gate.set()
            await s.rests()
            assert s.place.group_read() in ([], ["late"])
            before = s.place.group_read()
            await s.place.group_say("next", by="ada", way="opening")
            await wait_until(lambda: s.place.group_read() == [*before, "You said: next"])

    # Nobody is disturbed

    @needs("group", "pings")
    @pytest.mark.parametrize("growing", [False, True])
    async def test_a_reply_that_names_people_notifies_nobody(self, store: Store, growing: bool) -> None:
        gate = asyncio.Event()
        async with scene(self.place, store, lambda _: [Text(CALLS), *([gate] if growing else []), Text(" So.")]) as s:
            await s.place.group_say("whom do you call?", way="mention")
            if growing:
                await wait_until(s.place.group_read)
                gate.set()
            await wait_until(lambda: s.place.group_read() == [f"{CALLS} So."])
            await s.rests()
            assert s.place.pinged() == []

    @needs("group")
    async def test_a_long_reply_in_a_group_is_read_whole_and_in_order(self, store: Store) -> None:
        said = PLAIN["sixty_paragraphs"]
        async with scene(self.place, store, lambda _: said) as s:
            await s.place.group_say("go", way="mention")
            size = len(squashed(said))
            await wait_until(lambda: len(squashed("".join(s.place.group_read()))) >= size, PATIENCE)
            await s.rests()
            assert squashed("".join(s.place.group_read())) == squashed(said)


def _newest(prompt: Prompt) -> list[str]:
    """What people asked since the last answer, with who asked."""
    asked: list[str] = []
    for line in prompt.lines:
        asked = [] if line.role == "assistant" else [*asked, f"{line.speaker}: {line.text}"]
    return asked
