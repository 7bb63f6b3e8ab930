"""Telegram's forms of a text: Rich HTML, the HTML of parse_mode, plain text, and the messages that a long one needs."""

import html as markup
import re

import pytest

from adapters.chat.telegram.format import html, pieces, plain_text, rich_html, utf16_len
from core.text import parse, plain

ALL = ["rich", "html", "plain"]
PROSE = [
    "2 * 3 * 4 = 24 and snake_case_names",
    "<tags> & &amp; \"quotes\" 'too' a < b",
    "It costs $5 and $6.",
    r"back\slash, C:\temp",
    "https://a.b/c_(d)_e?x=1&y=2 and https://c.d/_under_/x",
    "שלום 👨‍👩‍👧‍👦 مرحبا",
    "line one\nline two\n\nparagraph two",
]


def read(piece):
    """What a person sees of a message."""
    if piece.mode == "plain":
        return piece.text
    text = piece.text.replace("</p>\n\n<p>", "\n\n")
    return markup.unescape(re.sub(r"<[^>]+>", "", text))


@pytest.mark.parametrize("mode", ALL)
@pytest.mark.parametrize("text", PROSE)
def test_what_a_person_reads_is_what_was_said(text, mode):
    assert [read(piece) for piece in pieces(text, mode)] == [text]


@pytest.mark.parametrize("mode", ALL)
@pytest.mark.parametrize("text", PROSE)
def test_a_long_text_reads_the_same_in_parts(text, mode):
    long = "\n\n".join([text] * 600)
    parts = pieces(long, mode)
    assert len(parts) > 1
    assert "".join("".join(read(part) for part in parts).split()) == "".join(long.split())


@pytest.mark.parametrize("mode", ALL)
@pytest.mark.parametrize(
    "text", ["", "   ", "---", "\n\n", "```\n```", ">", "#", "- ", "`", "**", "| a |\n|-|", "\u00a0"]
)
def test_no_piece_is_empty(text, mode):
    found = pieces(text, mode)
    assert all(read(piece).strip() for piece in found)
    assert bool(found) == bool(text.strip())


@pytest.mark.parametrize(
    "text", ["👍" * 4_097, "<&>" * 3_000, "word " * 3_000, "a" * 9_000, "`x` " * 500, "**b** " * 400]
)
def test_html_pieces_stay_within_the_limits(text):
    for piece in pieces(text, "html"):
        assert utf16_len(read(piece)) <= 4_096
        assert utf16_len(piece.text) <= 4_096
        assert piece.text.count("</") <= 100


def test_rich_pieces_stay_within_the_limits():
    for text in (
        "- a\n" * 2_000,
        "word " * 20_000,
        "| a |\n|-|\n" + "| 1 |\n" * 2_000,
        "> " * 40 + "deep",
        "a\n\n" * 2_000,
    ):
        for piece in pieces(text, "rich"):
            assert len(piece.text) <= 32_768
            assert len(re.findall(r"<(?:p|li|tr|h\d|pre|hr|blockquote|table|ul|ol)\b", piece.text)) <= 500
            assert depth(piece.text) <= 16


def depth(text):
    deepest = now = 0
    for closing, name in re.findall(r"<(/?)([a-z][\w-]*)[^>]*>", text):
        if name in {"br", "hr", "input"}:
            continue
        now += -1 if closing else 1
        deepest = max(deepest, now)
    assert now == 0
    return deepest


def test_a_table_of_many_columns_is_read_cell_by_cell():
    text = "|" + "h|" * 30 + "\n|" + "-|" * 30 + "\n|" + "v|" * 30
    (piece,) = pieces(text, "rich")
    assert "<table" not in piece.text
    assert piece.text.count("v") == 30


def test_rich_html_uses_the_tags_that_it_may():
    text = (
        "# Head\n\na **b** *i* ~~s~~ `c<d` [l](https://x.y/?a=1&b=2) $x<y$\nnext\n\n- [x] done\n- open\n  - inner\n\n3. c\n\n"
        "| a | b |\n|:-:|--:|\n| 1 | 2 |\n\n```c++\na < b\n```\n\n> q\n\n---\n\n$$\nx\n$$"
    )
    assert rich_html(parse(text)) == (
        '<h1>Head</h1>\n\n<p>a <b>b</b> <i>i</i> <s>s</s> <code>c&lt;d</code> <a href="https://x.y/?a=1&amp;b=2">l</a>'
        " <tg-math>x&lt;y</tg-math><br>\nnext</p>\n\n"
        '<ul>\n<li><input type="checkbox" checked>done</li>\n<li>open\n<ul>\n<li>inner</li>\n</ul></li>\n</ul>\n\n'
        '<ol start="3">\n<li>c</li>\n</ol>\n\n'
        '<table bordered striped>\n<tr><th align="center">a</th> <th align="right">b</th></tr>\n'
        '<tr><td align="center">1</td> <td align="right">2</td></tr>\n</table>\n\n'
        '<pre><code class="language-c++">a &lt; b</code></pre>\n\n<blockquote><p>q</p></blockquote>\n\n<hr/>\n\n'
        "<tg-math-block>x</tg-math-block>"
    )


def test_html_has_headings_lists_and_tables_without_their_tags():
    text = "# Head\n\n- a\n  - b\n\n2. c\n   d\n\n| a | b |\n|---|---|\n| 1 | <2 |\n\n```py\nx & y\n```\n\n> q\n> > r"
    assert html(parse(text)) == (
        "<b>Head</b>\n\n• a\n  • b\n\n2. c\n   d\n\n<pre>a  b\n─  ──\n1  &lt;2</pre>\n\n"
        '<pre><code class="language-py">x &amp; y</code></pre>\n\n<blockquote>q\nr</blockquote>'
    )


def test_code_takes_no_other_mark():
    assert html(parse("**a `b` c**")) == "<b>a </b><code>b</code><b> c</b>"
    assert html(parse("[`x`](https://a.b)")) == '<a href="https://a.b">x</a>'


def test_only_addresses_that_open_are_links():
    assert html(parse("[a](notes.md) [b](mailto:x@y.z) [c](tg://user?id=1)")) == (
        'a (notes.md) <a href="mailto:x@y.z">b</a> <a href="tg://user?id=1">c</a>'
    )
    assert "<a" not in html(parse("[x](javascript:alert) [y](data:text/html,z)"))


def test_plain_text_shows_where_a_link_leads():
    assert (
        plain_text(parse("see [the page](https://a.b) and https://c.d")) == "see the page (https://a.b) and https://c.d"
    )


def test_model_html_stays_text():
    for render in (html, rich_html):
        assert "<script" not in render(parse("<script>alert(1)</script> <img src=x>"))


def test_a_piece_can_be_cut_again_for_another_mode():
    text = "\n\n".join(f"**Point {number}**: " + "word " * 200 for number in range(60))
    for piece in pieces(text, "rich"):
        again = pieces(piece.markdown, "html")
        assert "".join("".join(read(part) for part in again).split()) == "".join(plain(parse(piece.markdown)).split())
