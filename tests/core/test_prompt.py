"""What a model sees: how many bytes it costs, and that what is stable stands first."""

import msgspec

from adapters.tools.science import calculator
from core.messages import Said, ToolSpec
from core.prompt import IN_GROUP, INSTRUCTIONS, SMALL_INSTRUCTIONS, build, moment

HINT = "Markdown with tables, code and LaTeX maths is shown, mostly on a phone."


def _build(text: str = "hello", **more):
    fields = {
        "hint": HINT,
        "group": False,
        "summary": "",
        "blocks": [],
        "newest": (Said("user", text),),
        "tools": (),
        "window": 8_192,
        "now": moment(1_795_485_600_000, "Europe/Berlin"),
        "key": "k",
    }
    return build(**{**fields, **more})


def _bytes(prompt) -> int:
    tools = sum(len(t.name) + len(t.about.encode()) + len(bytes(t.schema)) for t in prompt.tools)
    return len(prompt.system.encode()) + len(prompt.now.encode()) + tools


def test_the_instructions_of_a_plain_chat_are_short():
    assert len(INSTRUCTIONS.encode()) + len(HINT) + 40 <= 1_024
    assert _bytes(_build()) <= 1_024
    assert _bytes(_build(small=True, tools=(calculator.spec,))) <= 1_200
    assert len(SMALL_INSTRUCTIONS.encode()) <= 200


def test_with_tools_the_prompt_stays_small():
    assert _bytes(_build(tools=(calculator.spec,), group=True)) <= 4_096


def test_what_stands_first_does_not_change_with_time_or_message():
    one = _build("a", now=moment(0, "UTC"))
    other = _build("b", now=moment(86_400_000, "UTC"))
    assert one.system == other.system
    assert one.now != other.now


def test_a_group_is_told_to_tell_people_apart():
    assert IN_GROUP in _build(group=True).system
    assert IN_GROUP not in _build().system


def test_history_is_cut_to_the_window_newest_first():
    blocks = [(Said("user", f"question {n} " + "x" * 300), Said("assistant", "y" * 300)) for n in range(200)]
    prompt = _build(blocks=blocks, window=4_096)
    texts = [line.text for line in prompt.lines]
    assert texts[-3].startswith("question 199")
    assert "question 0 " not in "".join(texts)
    assert sum(len(t) for t in texts) // 3 < 4_096 * 3 // 4


def test_one_enormous_turn_is_shortened_not_dropped():
    prompt = _build(blocks=[(Said("user", "begin " + "x" * 100_000 + " end"),)], window=4_096)
    assert prompt.lines[0].text.startswith("begin")
    assert prompt.lines[0].text.endswith("end")
    assert len(prompt.lines[0].text) < 12_000


def test_the_summary_stands_before_the_history():
    prompt = _build(summary="They talked of Lisbon.", blocks=[(Said("user", "old"),)])
    assert "Lisbon" in prompt.lines[0].text
    assert [line.text for line in prompt.lines[1:]] == ["old", "hello"]


def test_a_small_model_reads_the_date_only_when_it_is_asked_for():
    assert _build("what day is it?", small=True).now
    assert not _build("hello", small=True).now
    assert _build("hello").now


def test_an_unknown_zone_is_utc():
    assert moment(0, "Mars/Olympus").startswith("Thursday 01 January 1970, 00:00")


def test_tools_are_offered_as_they_are():
    spec = ToolSpec("t", "about", msgspec.Raw(b"{}"))
    assert _build(tools=(spec,)).tools == (spec,)
