"""What is said is what is read, in each form that Slack takes, and nobody is called by accident."""

import pytest

from adapters.chat.slack.format import CHARACTERS, SECTION, piece, pieces, units
from adapters.chat.slack.settled import settled
from tests.contracts.places.slack import read_message
from tests.contracts.reading import squashed, tokens
from tests.contracts.texts import CODE, GROWING, LONG_LISTING, LONG_TABLE, MARKED, PLAIN, ROWS
from tests.servers.slack_api.blocks import check_blocks

MODES = ("markdown", "mrkdwn", "plain")
FORMULA = r"With $E=mc^2$ and \(x_1\) it costs $5 and $6. Then:" + "\n\n$$\n\\frac{a}{b} \\leq \\sqrt{2}\n$$\n\nDone."
HOSTILE = "<!channel> <!here> <@U1> <#C1|x> <!subteam^S1> &lt;!everyone&gt;"


def shown(markdown, mode="markdown"):
    return [read_message(list(one.blocks), one.text) for one in pieces(markdown, mode)]


def flow(markdown):
    (one,) = pieces(markdown, "markdown")
    return one.flow


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", [*PLAIN, *MARKED, *CODE, "formula", "table", "listing"])
def test_slack_takes_every_piece(name, mode):
    told = {"formula": FORMULA, "table": LONG_TABLE, "listing": LONG_LISTING}
    told |= PLAIN | {key: value[0] for key, value in (MARKED | CODE).items()}
    for one in pieces(told[name], mode):
        check_blocks(list(one.blocks))
        assert one.text.strip()
        assert sum(units(block["text"]) for block in one.blocks if block["type"] == "markdown") <= CHARACTERS
        assert all(units(block["text"]["text"]) <= SECTION for block in one.blocks if block["type"] == "section")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", MARKED)
def test_words_are_read_in_order_in_every_form(name, mode):
    said, read = MARKED[name]
    assert tokens("\n".join(shown(said, mode))) == read.split()


@pytest.mark.parametrize("mode", MODES)
def test_nobody_is_called(mode):
    (one,) = pieces(HOSTILE, mode)
    assert shown(HOSTILE, mode) == [HOSTILE]
    raw = [block.get("text") for block in one.blocks] + [one.text]
    for text in raw:
        told = text["text"] if isinstance(text, dict) else text
        assert "<!" not in told
        assert "<@" not in told
        assert "<#" not in told


def test_the_words_for_those_who_see_no_blocks_call_nobody_either():
    (one,) = pieces(f"# {HOSTILE}\n\n`<!channel>`", "markdown")
    assert "<" not in one.text
    assert "*" not in one.text


def test_code_stands_as_it_is():
    assert flow("`<!here> & &amp;`") == "`<!here> & &amp;`"
    assert flow("```py\nx = a < b & c\n```") == "```py\nx = a < b & c\n```"


def test_marks_links_lists_and_headings():
    said = "## Title\n\nSome **bold**, *slanted*, ~~gone~~ [link](https://a.example/x_(y)).\n\n- one\n  - two\n3. three"
    assert flow(said) == (
        "## Title\n\nSome **bold**, *slanted*, ~~gone~~ [link](https://a.example/x_(y)).\n\n- one\n  - two\n\n3. three"
    )


@pytest.mark.parametrize(
    "said",
    [
        "**“quoted”**word",
        "a**b*c*d**e",
        "***both***",
        "**a***b*",
        "**中文（括号）**后",
        "1\\. no list",
        "\\# no heading",
        "a\n-- b",
        "a\n===",
        "[x\\](y)",
        "ends with \\\\",
        "`a`*b*",
        "~/one ~/two",
        "_a_b_ __c__",
    ],
)
def test_whatever_is_marked_reads_as_in_plain_words(said):
    from core.text import parse, plain

    assert tokens("\n".join(shown(said))) == tokens(plain(parse(said)))


def test_only_web_addresses_are_links():
    assert flow("[x](ftp://a.example/b) [y](https://a.example)") == "x (ftp://a.example/b) [y](https://a.example)"


def test_a_table_stands_between_the_texts_around_it():
    said = "Before\n\n| a | **b** | c |\n|:--|:-:|--:|\n| 1 | [x](https://a.example) | |\n\nAfter"
    (one,) = pieces(said, "markdown")
    first, table, last = one.blocks
    assert (first["text"], last["text"]) == ("Before", "After")
    assert [column["align"] for column in table["column_settings"]] == ["left", "center", "right"]
    head, row = table["rows"]
    assert head[0] == {"type": "raw_text", "text": "a"}
    assert head[1]["elements"][0]["elements"] == [{"type": "text", "text": "b", "style": {"bold": True}}]
    assert row[1]["elements"][0]["elements"] == [{"type": "link", "url": "https://a.example", "text": "x"}]
    assert row[2] == {"type": "raw_text", "text": " "}
    assert one.flow == ""


def test_a_second_table_is_aligned_code():
    table = "| a | b |\n|---|---|\n| 1 | 2 |"
    (one,) = pieces(f"{table}\n\n{table}", "markdown")
    assert [block["type"] for block in one.blocks] == ["table", "markdown"]
    assert "```\na  b\n" in one.blocks[1]["text"]


def test_a_long_table_keeps_each_row():
    wanted = [word for n in range(ROWS) for word in (f"n{n}", f"w{n}")]
    for mode in MODES:
        read = [word for word in tokens("\n".join(shown(LONG_TABLE, mode))) if word not in {"Number", "Word"}]
        assert read == wanted


def test_a_formula_is_read_in_plain_signs():
    assert squashed("".join(shown(FORMULA))) == "WithE=mc²andx₁itcosts$5and$6.Then:a/b≤√2Done."


def test_quotes_inside_quotes_are_quotes_where_slack_nests_none():
    (section,) = pieces("> one\n>\n> > two\n>\n> three", "mrkdwn")[0].blocks
    assert {line[:2] for line in section["text"]["text"].split("\n")} == {"> "}


def test_nothing_is_no_piece():
    assert pieces(" \n", "markdown") == []


def test_a_part_renders_to_what_it_was_cut_to():
    for one in pieces(PLAIN["sixty_paragraphs"], "markdown"):
        assert read_message(list(piece(one.markdown, "markdown").blocks), "") == read_message(list(one.blocks), "")


STREAMED = {
    **{name: said for name, (said, _) in MARKED.items()},
    **{name: said for name, said in PLAIN.items() if len(said) < 1_000},
    "growing": "".join(GROWING),
    "formula": FORMULA,
    "everything": "# T\n\n1. one **b**\n2. two `c`\n   - x\n\nThen *it* is $5 and ~~no~~ [l](http://a.b/c) end.\n\n> so\n> it is",
}


@pytest.mark.parametrize("name", STREAMED)
def test_what_is_settled_is_how_the_final_begins(name):
    said = STREAMED[name]
    (final,) = pieces(said, "markdown")
    whole = final.blocks[0].get("text", "")  # nothing where it begins with a table
    longest = 0
    for end in range(len(said) + 1):
        text = settled(said[:end])
        assert whole.startswith(text), said[:end]
        longest = max(longest, len(text))
    assert longest >= len(whole) * 0.4 or len(final.blocks) > 1


def test_a_line_is_shown_before_it_ends():
    assert settled("This is a line that goes on") == "This is a line that goes on"


@pytest.mark.parametrize(
    ("so_far", "shows"),
    [
        ("Some **bold", "Some"),
        ("Some **bold** text", "Some **bold** text"),
        ("See [the page](https://exa", "See"),
        ("It is `co", "It is"),
        ("It costs $5", "It costs"),
        ("Text\n\n| a | b |", "Text"),
        ("Text\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nMore", "Text"),
        ("Text\n\n```py\nx = 1\ny = ", "Text\n\n```py\nx = 1\ny ="),
        ("Text\n\n```py\nx = 1\n``", "Text\n\n```py\nx = 1"),
        ("Text\n\n- one\n- tw", "Text\n\n- one\n- tw"),
        ("Text\n\n#", "Text"),
        ("**", ""),
        ("", ""),
    ],
)
def test_what_may_still_become_something_else_is_held_back(so_far, shows):
    assert settled(so_far) == shows


def test_a_long_text_that_grows_is_quick():
    import time

    said = PLAIN["sixty_paragraphs"] + "\n\nAnd *more"
    begun = time.perf_counter()
    settled(said)
    assert time.perf_counter() - begun < 0.5
