"""Whatever a model writes: nothing that people read is lost, no piece is too long, no character is cut in two."""

import html as markup
import os
import re

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.chat.telegram import format as telegram
from adapters.chat.terminal.format import LineRenderer, ansi, safe
from core.graphemes import boundary
from core.markdown import Text
from core.split import faithful
from core.text import balanced, cut, parse, plain, split, unicode_math

EXAMPLES = 2_000 if os.environ.get("LONG") else 100
quick = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))

MARKS = [
    "*",
    "**",
    "_",
    "__",
    "`",
    "```",
    "~~",
    "[",
    "](http://a.b/c_d)",
    "$",
    "$$",
    "\\(",
    "\\)",
    "\\",
    "<",
    ">",
    "&",
    "|",
    "#",
]
WORDS = [
    "word",
    "snake_case",
    "2 * 3",
    "https://a.b/x_(y)_z",
    "👨‍👩‍👧",
    "🇩🇪🇫🇷",
    "é",
    "שלום",
    "强调。",
    "$5",
    "&amp;",
    "<b>",
    "5*3*2",
    "x.",
]
STARTS = [
    "\n",
    "\n\n",
    "\n- ",
    "\n1. ",
    "\n  - ",
    "\n> ",
    "\n# ",
    "\n```py\n",
    "\n| a | b |\n|---|---|\n| 1 | 2 |\n",
    "\n---\n",
    "\n    ",
]
markdown = st.lists(st.sampled_from(MARKS + WORDS * 2 + STARTS + [" "] * 12), max_size=60).map("".join)
prose = st.text(alphabet=st.characters(blacklist_categories=["Cs", "Cc"]), max_size=300)


def squashed(text: str) -> str:
    return re.sub(r"\s+", "", text)


def stripped(text: str) -> str:
    return markup.unescape(re.sub(r"<[^>]+>", "", text))


@quick
@given(markdown)
def test_the_tags_taken_out_of_html_leave_the_plain_reading(text):
    document = parse(text)
    assert stripped(telegram.html(document)) == plain(document)


@quick
@given(markdown)
def test_html_is_well_formed_and_no_tag_stands_in_code(text):
    open_tags: list[str] = []
    for closing, name in re.findall(r"<(/?)([a-z]+)[^>]*>", telegram.html(parse(text))):
        if closing:
            assert open_tags.pop() == name
        else:
            assert "code" not in open_tags
            assert not (name == "blockquote" and name in open_tags)
            assert not (name == "a" and name in open_tags)
            open_tags.append(name)
    assert not open_tags


@quick
@given(markdown)
def test_a_document_written_as_markdown_reads_the_same(text):
    document = parse(text)
    assert squashed(plain(parse(faithful(document)))) == squashed(plain(document))


@quick
@given(st.text(max_size=200) | markdown)
def test_nothing_fails_whatever_is_written(text):
    for mode in ("rich", "html", "plain"):
        assert all(plain(parse(piece.markdown)).strip() or piece.text.strip() for piece in telegram.pieces(text, mode))
    parse(balanced(text))
    unicode_math(text)
    ansi(text, 80)


@quick
@given(st.lists(markdown, min_size=1, max_size=4).map("\n\n".join), st.integers(40, 120))
def test_pieces_fit_and_read_like_the_whole(text, limit):
    whole = parse(text)
    parts = cut(whole, lambda part: len(plain(part)) <= limit)
    assert all(len(plain(part)) <= limit for part in parts)
    # A table repeats its header; a formula that is cut is shown as its source.
    if not re.search(r"[|$]|\\\(", text):
        assert squashed("".join(plain(part) for part in parts)) == squashed(plain(whole))
    pieces = split(text, lambda piece: len(piece) <= limit * 4)
    assert all(len(piece) <= limit * 4 for piece in pieces)


@quick
@given(prose, st.integers(1, 40))
def test_prose_is_cut_only_between_characters(text, limit):
    document = parse(text)
    parts = cut(document, lambda part: len(plain(part)) <= limit)
    assert squashed("".join(plain(part) for part in parts)) == squashed(plain(document))


@quick
@given(st.lists(st.sampled_from(["👨‍👩‍👧‍👦", "🇩🇪", "👍🏽", "e\u0301", "a", "1️⃣", "क्षि", "한"]), min_size=1, max_size=40))
def test_a_cut_never_falls_inside_a_character(characters):
    text = "".join(characters)
    ends = set()
    at = 0
    for character in characters:
        at += len(character)
        ends.add(at)
    for place in range(1, len(text) + 1):
        found = boundary(text, place, 0)
        assert found == 0 or found in ends


@quick
@given(markdown)
def test_half_a_text_leaves_nothing_open(text):
    for end in range(0, len(text), 7):
        assert parse(balanced(text[:end]) + "\n\nafter").blocks[-1].children == (Text("after"),)


@quick
@given(markdown, st.integers(1, 9))
def test_a_terminal_shows_the_same_however_the_text_arrives(text, size):
    whole, parts = LineRenderer(), LineRenderer()
    at_once = whole.feed(text) + whole.finish()
    bit_by_bit = "".join(parts.feed(text[i : i + size]) for i in range(0, len(text), size)) + parts.finish()
    assert at_once == bit_by_bit


@quick
@given(st.text())
def test_nothing_steers_the_terminal(text):
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", safe(text))
    shown = ansi(text, 80)
    assert not re.search(r"[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]", re.sub(r"\x1b\[\d+m", "", shown))
    assert "\x1b" not in re.sub(r"\x1b\[\d+m", "", shown)
