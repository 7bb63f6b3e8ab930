"""The promises about texts that no honest person or model writes: they are answered or refused, in good time, and hold up
nobody.
"""

import asyncio
import faulthandler
import os
from collections.abc import Iterator

import pytest

from core.messages import ModelEvent, Prompt, Text
from core.store import Store
from tests.conftest import wait_until
from tests.contracts.reading import squashed
from tests.contracts.scene import scene
from tests.contracts.suite import Suite
from tests.stage import Brain

LONG = bool(os.environ.get("LONG"))
SECONDS = 120.0 if LONG else 30.0
"""A place that takes longer hangs."""

QUESTIONS = {
    "four_thousand_emoji": "🙂" * 4_097,
    "ten_thousand_mentions": " ".join(f"@user{number}" for number in range(10_000)),
    "a_fence_that_nobody_closed": "Why?\n\n```py\nx = 1\n" + "y = [x]\n" * 500,
}
INLINE = (
    r"* ** _ __a ` `` ~~ [ ![ ](http://a.b/c_d) [a]( $ $$ \( \[ \ > & < <@U1> # word snake_case https://a.b/x_(y)_z"
)
MARKS = (*INLINE.split(), "👨‍👩‍👧", " ", " ", " ", "\n", "\n\n", "\n- ", "\n1. ", "\n> ", "\n# ", "\n    ")


def marks(size: int) -> str:
    """All marks that there are, most of them open, in an order that never repeats."""
    made, at, length = [], 0, 0
    while length < size:
        at = (at * 1103515245 + 12345) % 2**31
        made.append(MARKS[at // 65536 % len(MARKS)])
        length += len(made[-1])
    return "".join(made)


ANSWERS = {"marks_of_all_kinds": marks(60_000), "backslashes": "\\" * 10_000 + "x"}
if LONG:
    ANSWERS |= {
        f"a_page_of_{unit.strip()}": unit * (200_000 // len(unit)) for unit in ("[", "*a ", "`a", "\\", "- a\n")
    }
    ANSWERS |= {"a_megabyte_of_words": "words to make it long " * 45_000, "marks_of_all_kinds": marks(300_000)}


class AbusePromises(Suite):
    """Each method is one promise."""

    @pytest.fixture(autouse=True)
    def watched(self) -> Iterator[None]:
        """A regular expression that never ends lets no time-out of asyncio pass: then the process ends, and says where."""
        faulthandler.dump_traceback_later(2 * SECONDS, exit=True)
        yield
        faulthandler.cancel_dump_traceback_later()

    async def test_a_question_of_a_megabyte_is_refused_in_a_sentence(self, store: Store) -> None:
        async with asyncio.timeout(SECONDS), scene(self.place, store) as s:
            await s.say("word " * 200_000)
            await s.say("hello")
            await wait_until(lambda: "You said: hello" in s.place.read(), SECONDS)
            (refusal,) = [text for text in s.place.read() if text != "You said: hello"]
            assert len(refusal) < 200
            assert "too long" in refusal

    @pytest.mark.parametrize("name", QUESTIONS)
    async def test_a_strange_question_is_answered(self, store: Store, name: str) -> None:
        said = QUESTIONS[name]
        async with asyncio.timeout(SECONDS), scene(self.place, store) as s:
            await s.say(said)
            words = squashed(said.replace("```py", ""))
            await wait_until(lambda: words in squashed("".join(s.place.read())), SECONDS)

    @pytest.mark.parametrize("name", ANSWERS)
    async def test_a_strange_answer_arrives_and_the_next_one_too(self, store: Store, name: str) -> None:
        async with asyncio.timeout(SECONDS), scene(self.place, store, _in_pieces(ANSWERS[name])) as s:
            await s.say("go")
            await wait_until(lambda: s.place.read() and not s.engine._running, SECONDS)
            await s.say("hello")
            await wait_until(lambda: s.place.read()[-1] == "You said: hello", SECONDS)


def _in_pieces(said: str) -> Brain:
    script: list[ModelEvent | asyncio.Event | Exception] = [
        Text(said[at : at + 2_000]) for at in range(0, len(said), 2_000)
    ]

    def brain(prompt: Prompt) -> str | list[ModelEvent | asyncio.Event | Exception]:
        asked = prompt.lines[-1].text
        return script if asked == "go" else f"You said: {asked}"

    return brain
