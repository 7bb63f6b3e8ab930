"""The promises about what a platform, or whoever rules a group, forbids or takes away while the assistant answers."""

import asyncio

import pytest

from core.messages import Prompt, Text
from core.store import Store
from tests.conftest import wait_until
from tests.contracts.scene import PATIENCE, Scene, echo, scene
from tests.contracts.suite import Suite, needs
from tests.contracts.texts import READY
from tests.stage import Brain, Scripted

HELLO = "You said: hello"


class RulesPromises(Suite):
    """Each method is one promise."""

    # Limits

    @needs("faults", "group")
    async def test_a_limit_on_a_reply_is_waited_for_in_order_and_holds_up_no_other_chat(self, store: Store) -> None:
        async with scene(self.place, store) as s:
            s.place.fail("busy", lasting=True)
            await s.say("one")
            await wait_until(s.place.struck)
            await s.say("two")
            await s.place.group_say("three", way="mention")
            await wait_until(lambda: s.place.group_read() == ["You said: three"])
            assert s.place.read() == []
            s.place.heal()
            assert await s.replies(2) == ["You said: one", "You said: two"]
            await s.rests()
            assert s.place.read() == ["You said: one", "You said: two"]

    @needs("faults", "group")
    async def test_a_limit_on_a_reply_that_grows_in_a_group_costs_no_word(self, store: Store) -> None:
        gates = [asyncio.Event(), asyncio.Event()]
        script = [Text(READY), gates[0], Text(" There is more."), gates[1], Text(" The end.")]
        whole = f"{READY} There is more. The end."
        model = Scripted(_once("go", script))
        async with scene(self.place, store, model=model) as s:
            await _begin(s, model, READY)
            s.place.fail("busy", "preview", "group", lasting=True)
            gates[0].set()
            await wait_until(s.place.struck, PATIENCE)
            await s.say("hello")
            assert await s.replies(1) == ["You said: hello"]
            assert s.place.group_read() == [HELLO, READY]
            s.place.heal()
            gates[1].set()
            await wait_until(lambda: s.place.group_read() == [HELLO, whole], PATIENCE)
            await s.rests()
            assert s.place.group_read() == [HELLO, whole]

    # Messages that disappear

    @needs("group", "rules")
    @pytest.mark.parametrize("goes_on", [False, True])
    async def test_a_growing_reply_that_somebody_deletes_arrives_once(self, store: Store, goes_on: bool) -> None:
        gates = [asyncio.Event(), asyncio.Event()]
        script = [Text(READY), gates[0], Text(" There is more."), gates[1], Text(" The end.")]
        whole = f"{READY} There is more. The end."
        model = Scripted(_once("go", script))
        async with scene(self.place, store, model=model) as s:
            await _begin(s, model, READY)
            await s.place.wipe()
            assert s.place.group_read() == [HELLO]
            before = s.place.tried()
            gates[0].set()
            if goes_on:
                await wait_until(lambda: s.place.tried() > before, PATIENCE)
            gates[1].set()
            await wait_until(lambda: whole in s.place.group_read(), PATIENCE)
            await s.rests()
            assert s.place.group_read() == [HELLO, whole]
            await s.place.group_say("next", way="mention")
            await wait_until(lambda: s.place.group_read() == [HELLO, whole, "You said: next"])

    # Where it may not write

    @needs("group", "rules")
    @pytest.mark.parametrize("shown", ["", READY])
    async def test_a_group_that_put_it_out_holds_up_nobody_and_hears_nothing_more(
        self, store: Store, shown: str
    ) -> None:
        gate = asyncio.Event()
        model = Scripted(_once("go", [Text(shown), gate, Text(" Too late.")]))
        async with scene(self.place, store, model=model) as s:
            await _begin(s, model, shown)
            await s.place.remove()
            before = s.place.group_read()
            gate.set()
            await s.rests()
            await s.say("hello")
            assert await s.replies(1) == ["You said: hello"]
            await s.end()
            await s.start()
            await s.say("still there?")
            assert await s.replies(2) == ["You said: hello", "You said: still there?"]
            await s.rests()
            assert s.place.group_read() == before
            await s.place.readmit()
            await s.place.group_say("again", way="mention")
            await wait_until(lambda: "You said: again" in s.place.group_read(), PATIENCE)
            assert not [text for text in s.place.group_read() if "Too late" in text]

    @needs("group", "previews", "rules")
    @pytest.mark.parametrize("how", ["put out", "muted"])
    async def test_what_a_group_refuses_is_not_refused_to_others(self, store: Store, how: str) -> None:
        gate = asyncio.Event()
        scripts = {"go": [Text(READY), gate], "tell me": [Text(READY), asyncio.Event()]}
        model = Scripted(lambda prompt: scripts.get(prompt.lines[-1].text) or echo(prompt))
        async with scene(self.place, store, model=model) as s:
            await s.place.group_say("go", way="mention")
            await (s.place.remove() if how == "put out" else s.place.mute())
            await wait_until(s.place.tried)
            gate.set()
            await s.rests()
            await s.say("tell me")
            await wait_until(s.place.previews)
            await s.place.press_stop()
            assert await s.replies(1) == [f"{READY}\n\n(stopped)"]

    @needs("group", "rules")
    @pytest.mark.parametrize("shown", ["", READY])
    async def test_a_group_where_it_may_not_write_is_given_up_and_answered_when_it_may(
        self, store: Store, shown: str
    ) -> None:
        gate = asyncio.Event()
        model = Scripted(_once("go", [Text(shown), gate, Text(" The end.")]))
        async with scene(self.place, store, model=model) as s:
            await _begin(s, model, shown)
            await s.place.mute()
            gate.set()
            await s.rests()
            await s.place.group_say("are you there?", way="mention")
            await wait_until(lambda: len(model.prompts) == 3)
            await s.say("hello")
            assert await s.replies(1) == ["You said: hello"]
            await s.rests()
            before = s.place.group_read()
            assert before[0] == HELLO
            assert len(before) <= 2
            await s.place.unmute()
            await s.place.group_say("again", way="mention")
            await wait_until(lambda: s.place.group_read() == [*before, "You said: again"], PATIENCE)

    @needs("block", "strangers")
    async def test_a_person_who_shut_it_out_holds_up_nobody_and_is_answered_again_later(self, store: Store) -> None:
        gate = asyncio.Event()
        model = Scripted(_once("go", [gate, Text("Too late.")]))
        async with scene(self.place, store, model=model) as s:
            await s.say("hello")
            await s.replies(1)
            await s.say("go")
            await wait_until(lambda: model.open)
            await s.place.block()
            gate.set()
            await s.rests()
            await s.place.say_as_stranger("hello")
            await wait_until(lambda: s.place.stranger_reads() == ["You said: hello"])
            await s.end()
            await s.start()
            await s.place.unblock()
            await s.say("again")
            assert await s.replies(2) == ["You said: hello", "You said: again"]

    @needs("group", "forms")
    async def test_a_group_that_refuses_a_form_gets_another(self, store: Store) -> None:
        async with scene(self.place, store) as s:
            await s.place.refuse_form()
            await s.place.group_say("hello", way="mention")
            await wait_until(lambda: s.place.group_read() == [HELLO], PATIENCE)
            await s.rests()
            await s.place.group_say("again", way="mention")
            await wait_until(lambda: s.place.group_read() == [HELLO, "You said: again"], PATIENCE)

    @needs("group", "forms")
    async def test_a_reply_whose_previews_are_refused_in_their_form_arrives_all_the_same(self, store: Store) -> None:
        gate = asyncio.Event()
        model = Scripted(_once("go", [Text(READY), gate, Text(" The end.")]))
        async with scene(self.place, store, model=model) as s:
            await s.place.group_say("hello", way="mention")
            await wait_until(lambda: s.place.group_read() == [HELLO])
            await s.place.refuse_form()
            before = s.place.tried()
            await s.place.group_say("go", way="mention")
            await wait_until(lambda: s.place.tried() > before)
            gate.set()
            await wait_until(lambda: s.place.group_read() == [HELLO, f"{READY} The end."], PATIENCE)
            await s.rests()
            assert s.place.group_read() == [HELLO, f"{READY} The end."]


def _once(text: str, script: list) -> Brain:
    """A brain that has this script for this text, and repeats all others."""

    def brain(prompt: Prompt) -> object:
        return script if prompt.lines[-1].text == text else echo(prompt)

    return brain


async def _begin(s: Scene, model: Scripted, shown: str) -> None:
    """Greet in the group, ask, and wait until the answer is under way, and as much of it shown."""
    await s.place.group_say("hello", way="mention")
    await wait_until(lambda: s.place.group_read() == [HELLO])
    await s.place.group_say("go", way="mention")
    await wait_until(lambda: model.open and s.place.group_read() == [HELLO, *filter(None, [shown])])
