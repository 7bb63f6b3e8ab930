"""Blocks and summaries: sealed, cut to size, and without losing names, numbers and decisions."""

import pytest

from core.errors import SealError
from core.history import facts, newest_that_fit, open_block, seal_block, weight, with_facts
from core.messages import Said, ToolCall
from core.seal import Box

BOX = Box(b"b" * 32)


def test_a_block_comes_back_as_it_was():
    lines = (
        Said("user", "hi", speaker="Ada", at=5),
        Said("assistant", "", calls=(ToolCall("c", "calculator", '{"expression": "1"}'),)),
        Said("tool", "1", call="c"),
        Said("assistant", "One. 👩‍👩‍👧"),
    )
    sealed = seal_block(BOX, lines)
    assert b"assistant" not in sealed
    assert open_block(BOX, sealed) == lines


def test_a_block_of_another_owner_does_not_open():
    with pytest.raises(SealError):
        open_block(Box(b"c" * 32), seal_block(BOX, (Said("user", "hi"),)))


def test_only_whole_blocks_are_taken_and_the_newest_always():
    blocks = [(Said("user", "x" * 300),) for _ in range(10)]
    kept = newest_that_fit(blocks, 350)
    assert kept == blocks[-3:]
    assert len(newest_that_fit([(Said("user", "y" * 9_000),)], 100)) == 1
    assert weight(newest_that_fit([(Said("user", "y" * 9_000),)], 1_000)[0]) <= 1_010


@pytest.mark.parametrize(
    "sentence",
    [
        "My sister Élodie moved to Kraków.",
        "The flight leaves at 17:45 on 3 May.",
        "We decided against the red one.",
        "I am allergic to nuts.",
        "Версия 2.7.1 упала.",
    ],
)
def test_a_sentence_with_a_name_a_number_or_a_decision_is_a_fact(sentence):
    assert list(facts(f"well well. {sentence} ok")) == [sentence] or sentence in facts(sentence)


def test_small_talk_is_no_fact():
    assert facts("hello there, how are you? fine, thanks.") == {}


def test_facts_survive_summary_after_summary():
    summary = ""
    for n in range(5):
        lines = [Said("user", f"Room {n} is booked for Zoë{n}."), Said("assistant", "Noted 99.")]
        summary = with_facts("They talk.", summary, lines)
    assert all(f"Room {n} is booked for Zoë{n}." in summary for n in range(5))
    assert "99" not in summary


def test_what_the_summary_says_already_is_not_repeated():
    assert with_facts("Zoë has room 4.", "", [Said("user", "Zoë has room 4.")]) == "Zoë has room 4."


def test_carried_facts_are_bounded():
    lines = [Said("user", f"Number {n} matters.") for n in range(1_000)]
    assert len(with_facts("s", "", lines, most=500)) < 600
