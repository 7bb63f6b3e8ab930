"""The terminal's form of a text, whole and line by line."""

from adapters.chat.terminal.format import BOLD, LineRenderer, ansi, safe


def test_a_model_cannot_steer_the_terminal():
    assert safe("a\x1b[2Jb\x07\x9b31mc\r\nd\te") == "a[2Jb31mc\nd\te"
    assert "\x1b]" not in ansi("[x](https://a.b) \x1b]0;title\x07", 80)


def test_bold_is_bold():
    assert ansi("a **b** c", 80) == f"a {BOLD}b\x1b[0m c"


def test_a_line_is_shown_when_it_is_complete():
    lines = LineRenderer()
    assert lines.feed("Hello **wor") == ""
    assert lines.feed("ld**\nnext") == f"Hello {BOLD}world\x1b[0m\n"
    assert lines.finish() == "next\n"


def test_marks_inside_a_fence_are_code():
    lines = LineRenderer()
    shown = lines.feed("```py\n**kwargs  # not bold\n```\n- item\n") + lines.finish()
    assert "**kwargs" in shown
    assert BOLD not in shown
    assert shown.endswith("• item\n")


def test_a_table_is_shown_when_its_last_row_is_there():
    lines = LineRenderer()
    assert lines.feed("| a | b |\n|---|---|\n| 1 | 2 |\n") == ""
    assert "1  2" in lines.feed("\nafter\n")
