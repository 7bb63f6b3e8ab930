"""Markdown as people read it: what is markup, what is text, where a long text is cut, and how half a text is shown."""

import time

import pytest

from core.markdown import Fence, Heading, Link, List, MathBlock, Paragraph, Quote, Rule, Table
from core.split import faithful
from core.text import balanced, cut, parse, plain, split, unicode_math, write

TEXTS = [
    "2 * 3 * 4 = 24, 5*3*2 = 30, x**2 + y**2",
    "snake_case_names and __init__ and _private_",
    "<tags> & entities &amp; stay, a < b > c",
    "It costs $5 and $6, or US$5-$10; $PATH:$HOME",
    r"C:\new\temp and \d+ stay",
    "see https://en.wikipedia.org/wiki/Foo_(bar)_baz_qux, or (https://a.b/c_d).",
    "שלום עולם, مرحبا, 👨‍👩‍👧‍👦 🇩🇪",
    "first line\nsecond line\n\n\nthird after two empty lines",
    "  a poem\n    with indentation kept\n  inside".strip(),
    "arr[0] = {x: 1}; a|b; 50% ~5 #tag @name",
    "a - b\n+1 for that\n#hashtag\n1.5 is a number",
    "[1]: https://a.b is no definition",
    "Title\n===",
]


@pytest.mark.parametrize("text", TEXTS)
def test_text_that_is_no_markup_reads_as_it_was_written(text):
    expected = text.replace("_private_", "private")
    assert plain(parse(text)) == expected


@pytest.mark.parametrize("text", TEXTS)
def test_text_survives_being_written_as_markdown(text):
    assert plain(parse(write(parse(text)))) == plain(parse(text))


def test_a_document_has_every_kind_of_block():
    document = parse(
        "# Head\n\ntext **bold** *it* ~~gone~~ `code` [label](http://a.b) ![alt](http://i.j/k.png)\n\n"
        "- one\n  - two\n- [x] done\n- [ ] open\n\n3. three\n4. four\n\n| a | b |\n|:-:|--:|\n| 1 | 2 |\n\n"
        "```py\nprint()\n```\n\n> quoted\n\n---\n\n$$\nx^2\n$$\n\n\\[ y \\]"
    )
    kinds = [type(block) for block in document.blocks]
    assert kinds == [Heading, Paragraph, List, List, Table, Fence, Quote, Rule, MathBlock, MathBlock]
    assert document.blocks[2].items[1].checked is True
    assert document.blocks[2].items[2].checked is False
    assert document.blocks[3].start == 3
    assert document.blocks[4].align == ("center", "right")
    assert document.blocks[5] == Fence("print()", "py")
    assert plain(document).startswith(
        "Head\n\ntext bold it gone code label alt\n\n• one\n  • two\n☑ done\n☐ open\n\n3. three"
    )


@pytest.mark.parametrize("text", ["1.", "-", ">", "#", "42)"])
def test_a_mark_that_marks_nothing_is_text(text):
    assert plain(parse(text)) == text


def test_a_script_without_spaces_can_be_bold():
    assert plain(parse("这是**强调：**文字")) == "这是强调：文字"


def test_a_script_address_is_no_link():
    assert plain(parse("[x](javascript:alert(1))")) == "[x](javascript:alert(1))"


def test_an_address_keeps_its_brackets_and_loses_the_full_stop():
    (paragraph,) = parse("at (https://a.b/c_(d)_e).").blocks
    assert [span.href for span in paragraph.children if isinstance(span, Link)] == ["https://a.b/c_(d)_e"]


def test_formulas_are_seen_and_prices_are_not():
    assert plain(parse(r"$E=mc^2$ and \(x_1\) for $5 and $6")) == "E=mc² and x₁ for $5 and $6"


def test_formulas_in_code_stay_code():
    assert plain(parse(r"`$x^2$ \(a\)`")) == r"$x^2$ \(a\)"


def test_a_wide_table_is_read_row_by_row():
    text = "| Name | What |\n|---|---|\n| Ann | " + "long " * 20 + "|"
    assert plain(parse(text)).startswith("Name: Ann\nWhat: long long")


def test_an_aligned_table_counts_wide_characters_twice():
    lines = plain(parse("| a | b |\n|---|--:|\n| 漢字 | 1 |\n| x | 22 |")).split("\n")
    assert lines == ["a      b", "────  ──", "漢字   1", "x     22"]


@pytest.mark.parametrize(
    ("latex", "read"),
    [
        (r"e^{-x^2}", "e^(-x²)"),
        (r"\frac{n(n+1)}{2}", "(n(n+1))/2"),
        (r"\sum_{i=1}^{n} i", "∑ᵢ₌₁ⁿ i"),
        (r"x = \frac{-b \pm \sqrt{b^2-4ac}}{2a}", "x = (-b ± √(b²-4ac))/(2a)"),
        (r"\int_0^\infty e^{-x}\,dx", "∫₀^∞ e⁻ˣ dx"),
        (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", "(1, 2; 3, 4)"),
        (r"\begin{cases} x & x>0 \\ -x & \text{otherwise}\end{cases}", "{ x, x>0; -x, otherwise"),
        (r"x_{\text{max}}", "xₘₐₓ"),
        (r"x_{bad}", "x_(bad)"),
        (r"\mathbb{R}^n", "ℝⁿ"),
        (r"90^\circ", "90°"),
        (r"\frac12 mv^2", "(1/2) mv²"),
        (r"a \leq b \Rightarrow \neg c", "a ≤ b ⇒ ¬c"),
        (r"\unknown{x}", r"\unknown{x}"),
        (r"f'(x) = \sqrt[3]{x}", "f′(x) = ∛x"),
    ],
)
def test_a_formula_keeps_its_meaning_in_unicode(latex, read):
    assert unicode_math(latex) == read


def test_a_hostile_formula_stays_its_source():
    for hostile in ("{" * 10_000, r"\sqrt" * 1_000, "^" * 3_000, r"\frac" * 3_000, r"\left(" * 2_000):
        assert unicode_math(hostile) == hostile


def within(limit):
    return lambda text: len(text) <= limit


def test_a_text_that_fits_comes_back_as_it_is():
    assert split("**hello**", within(100)) == ["**hello**"]
    assert split("  \n ", within(100)) == []


def test_a_fence_is_cut_between_lines_and_opened_again():
    text = "```py\n" + "\n".join(f"line_{number} = {number}" for number in range(40)) + "\n```"
    pieces = split(text, within(120))
    assert all(piece.startswith("```py\n") and piece.endswith("\n```") for piece in pieces)
    assert "\n".join(plain(parse(piece)) for piece in pieces) == plain(parse(text))


def test_a_list_keeps_its_numbers_across_a_cut():
    text = "\n".join(f"{number}. item number {number}" for number in range(1, 30))
    pieces = split(text, within(100))
    assert "\n".join(plain(parse(piece)) for piece in pieces) == text


def test_a_table_repeats_its_header():
    text = "| a | b |\n|---|---|\n" + "\n".join(f"| {number} | x |" for number in range(40))
    pieces = split(text, within(90))
    assert len(pieces) > 2
    assert all(piece.startswith("| a | b |\n|---|---|\n") for piece in pieces)


def test_a_paragraph_is_cut_after_a_sentence():
    pieces = split("One sentence here. Another sentence there. A third one ends. " * 3, within(70))
    assert all(piece.endswith(".") for piece in pieces)


def test_bold_goes_on_in_the_next_piece():
    pieces = split("**" + "word " * 40 + "end**", within(60))
    assert all(piece.startswith("**") and piece.endswith("**") for piece in pieces)


def test_a_link_is_never_cut():
    text = "some words before it " * 3 + "[a label of several words](http://a.b/c) and more words after it"
    pieces = split(text, within(70))
    assert any("[a label of several words](<http://a.b/c>)" in piece for piece in pieces)


def test_a_heading_stays_with_its_text():
    document = parse("intro text\n\n## Head\n\n" + "body " * 30)
    pieces = [plain(piece) for piece in cut(document, lambda piece: len(plain(piece)) <= 160)]
    assert pieces[0] == "intro text"
    assert pieces[1].startswith("Head\n\nbody")


@pytest.mark.parametrize(
    "hostile",
    [
        "👍" * 4_097,
        "👨‍👩‍👧‍👦" * 2_000,
        "@someone " * 10_000,
        "a" * 1_000_000,
        ">" * 10_000,
        "[" * 50_000,
        "[a](" * 5_000,
        "__a" * 20_000,
        "://" * 20_000,
        "http://a.b/" + "." * 50_000,
        "# a\n" * 5_000,
        "```\n" + "x\n" * 50_000,
        "*a " * 5_000,
        "\\(" * 20_000,
        "$$a\n\n" * 3_000,
        "a" + "\u0301" * 20_000,
        "- " * 3_000 + "x",
    ],
    ids=lambda text: text[:4].strip() or "newline",
)
def test_hostile_text_is_cut_in_good_time_and_nothing_is_lost(hostile):
    began = time.monotonic()
    document = parse(hostile)
    pieces = cut(document, lambda piece: len(plain(piece)) <= 3_900)
    assert time.monotonic() - began < 5
    joined = "".join("".join(plain(piece).split()) for piece in pieces)
    assert joined == "".join(plain(document).split())
    assert len(pieces) < len(hostile) // 1_000, "a piece holds what it can"


@pytest.mark.parametrize("hostile", ["*a_ ", "[", "[a](", "`a", "$a ", "~~", "_a", "| a\n", "```a\n"])
def test_hostile_text_that_grows_is_closed_in_good_time(hostile):
    began = time.monotonic()
    balanced(hostile * (100_000 // len(hostile)))
    assert time.monotonic() - began < 5


def test_headings_go_with_what_they_head_and_headings_alone_are_cut_like_text():
    whole = parse("text\n\n# One\n\n## Two\n\n" + "body " * 30)
    assert [plain(piece).split()[0] for piece in cut(whole, lambda piece: len(plain(piece)) <= 160)] == ["text", "One"]
    alone = cut(parse("# head\n\n" * 100), lambda piece: len(plain(piece)) <= 160)
    assert len(alone) < 10


def test_marks_that_cannot_be_written_go_before_a_word_does():
    document = parse("*a*_b_c **x**`y`")
    assert plain(parse(faithful(document))) == plain(document)


@pytest.mark.parametrize(
    ("half", "shown"),
    [
        ("**bold", "**bold**"),
        ("a **", "a "),
        ("**a*", "**a**"),
        ("a `code", "a `code`"),
        ("a [text](http://x", "a text"),
        ("a [text](http://x) b", "a [text](http://x) b"),
        ("```py\nx = 1", "```py\nx = 1\n```"),
        ("```\na\n``", "```\na\n```"),
        ("```\na\n```\n**b", "```\na\n```\n**b**"),
        ("| a | b |\n|--", ""),
        ("| a | b |\n|---|---|\n| 1 | 2 |\n| 3", "| a | b |\n|---|---|\n| 1 | 2 |"),
        ("so $$a + ", "so "),
        ("so $ax^2 + b", "so "),
        ("so $x$ and $y", "so $x$ and "),
        ("so $2x^", "so "),
        ("it costs $5 or $6 at", "it costs $5 or $6 at"),
        ("echo $HOME and then", "echo $HOME and then"),
        ("2 * 3 and 5*3", "2 * 3 and 5*3"),
        ("snake_case_na", "snake_case_na"),
        ("", ""),
    ],
)
def test_half_a_text_is_shown_without_half_marks(half, shown):
    assert balanced(half) == shown
