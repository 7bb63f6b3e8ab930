"""How a line is read as a command, and that every text that commands need is there."""

import re
from pathlib import Path

import pytest

from core.commands import NAMES, Line, beside, commands, help_text, read
from core.words import words


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("/new", Line("new", "")),
        ("/NEW", Line("new", "")),
        ("!new", Line("new", "")),
        ("/model openai:gpt-5", Line("model", "openai:gpt-5")),
        ("/model  a:b  ", Line("model", "a:b")),
        ("/help\nplease", Line("help", "")),
        ("/frobnicate", Line("frobnicate", "")),
        ("!frobnicate", None),
        ("!important: read this", None),
        ("/", None),
        ("//", None),
        ("/usr/bin/python is where", None),
        ("/ new", None),
        ("", None),
        ("new", None),
        ("/été", None),
        ("/1st", None),
    ],
)
def test_a_line_is_read(text, line):
    assert read(text) == line


def test_only_what_changes_a_conversation_waits_for_its_turn():
    assert [n for n in NAMES if not beside(Line(n, ""))] == ["new", "retry"]
    assert not beside(Line("model", "a:b"))


def test_every_command_is_explained():
    assert all(c.about and c.about != c.name for c in commands())
    assert all(f"/{name}" in help_text("/", "m") for name in NAMES)


def test_every_text_that_the_house_says_is_in_the_table():
    sources = [p.read_text() for folder in ("core", "adapters", "bots") for p in Path(folder).rglob("*.py")]
    keys = {key for source in sources for key in re.findall(r"""\bwords\(\s*["'](\w+)["']""", source)}
    assert len(keys) > 30
    for key in keys:
        assert words(key)
    table = set(re.findall(r'^        "(\w+)":', Path("core/words.py").read_text(), re.MULTILINE))
    used = keys | set(re.findall(r'"(\w+)"', "\n".join(sources).replace(Path("core/words.py").read_text(), "")))
    assert {k for k in table if k not in used and not k.startswith("about_")} == set()
