"""A text as a terminal shows it: a few ANSI marks, and never a control character that came from a model."""

import re

from core.layout import Ink, layout, spans
from core.markdown import inline, parse

BOLD, DIM, ITALIC, STRUCK, UNDER, CYAN, OFF = (f"\x1b[{code}m" for code in ("1", "2", "3", "9", "4", "36", "0"))


def safe(text: str) -> str:
    """The text without characters that would steer the terminal; newlines and tabs stay."""
    return CONTROLS.sub("", text)


def ansi(markdown: str, width: int) -> str:
    """The whole text in ANSI colours for a terminal of `width` columns, without a last newline."""
    return layout(parse(safe(markdown)), INK, width)


class LineRenderer:
    """Renders a text while it grows: feed it what arrives, print what it gives back. A line is shown when it is complete."""

    def __init__(self, width: int = 80) -> None:
        self.width = width
        self.half = ""
        self.fence = ""
        self.formula = ""
        self.table: list[str] = []
        """Lines that wait for the last of them: a table's, or a formula's."""

    def feed(self, delta: str) -> str:
        """What can be printed now, possibly nothing."""
        if "\n" not in delta:
            self.half += delta
            return ""
        *lines, self.half = (self.half + delta).split("\n")
        return "".join(self.line(safe(line)) for line in lines)

    def finish(self) -> str:
        """What is left at the end, with a last newline when there was anything."""
        last, self.half = safe(self.half), ""
        shown = (self.line(last) if last else "") + self.rows()
        self.fence = self.formula = ""
        return shown

    def line(self, line: str) -> str:
        """One complete line, rendered; lines of a table or formula wait for the last of them."""
        if self.fence:
            marks = line.strip()
            if len(marks) >= len(self.fence) and not marks.strip(self.fence[0]):
                self.fence = ""
                return f"{DIM}{line}{OFF}\n"
            return f"{CYAN}{line}{OFF}\n"
        if self.formula:
            if not line.strip():  # no formula goes on beyond an empty line
                self.formula = ""
                return self.rows() + "\n"
            self.table.append(line)
            if self.formula in line:
                self.formula = ""
                return self.rows()
            return ""
        if (opened := FORMULA.match(line)) and CLOSING[opened[1]] not in line[opened.end() :]:
            shown = self.rows()
            self.formula = CLOSING[opened[1]]
            self.table.append(line)
            return shown
        if line.lstrip().startswith("|"):
            self.table.append(line)
            return ""
        return self.rows() + self.prose(line)

    def prose(self, line: str) -> str:
        """A line outside fences and tables, rendered."""
        if fence := FENCE.match(line):
            self.fence = fence[1]
            return f"{DIM}{line}{OFF}\n"
        if heading := HEADING.match(line):
            return f"{BOLD}{UNDER}{_spans(heading[1])}{OFF}\n"
        if RULE.fullmatch(line):
            return f"{DIM}{'─' * min(self.width, 12)}{OFF}\n"
        lead = LEAD.match(line)
        assert lead is not None
        start, marker, task = lead[1].replace(">", f"{DIM}│{OFF}"), lead[2], lead[3]
        if marker and marker.strip() in "-*+":
            marker = "" if task else "• "
        box = {"": "", "[ ] ": "☐ "}.get(task, "☑ ")
        return f"{start}{marker}{box}{_spans(line[lead.end() :])}\n"

    def rows(self) -> str:
        """The table or formula that has waited, if there is one."""
        rows, self.table = "\n".join(self.table), []
        return layout(parse(rows), INK, self.width) + "\n" if rows else ""


def _spans(line: str) -> str:
    return spans(inline(line), INK) if line.strip() else line


def _within(code: str, inner: str) -> str:
    """The mark on the text, taken up again after each mark inside that ended."""
    return f"{code}{inner.replace(OFF, OFF + code)}{OFF}"


def _link(label: str, read: str, href: str) -> str:
    return _within(UNDER, label) if read == href or not href else f"{_within(UNDER, label)} {DIM}({safe(href)}){OFF}"


CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
FENCE = re.compile(r"^[\s>]*(?:[-*+] |\d+[.)] )*(`{3,}(?=[^`]*$)|~{3,})")
FORMULA = re.compile(r" {0,3}(\$\$|\\\[)")
CLOSING = {"$$": "$$", "\\[": "\\]"}
HEADING = re.compile(r"^ {0,3}#{1,6}\s+(.*?)(?:\s+#+)?\s*$")
RULE = re.compile(r" {0,3}([-*_])(?:\s*\1){2,}\s*")
LEAD = re.compile(r"((?:\s|>)*)((?:[-*+]|\d{1,9}[.)])\s+|)(\[[ xX]\] |)")

INK = Ink(
    code=lambda text: f"{CYAN}{text}{OFF}",
    strong=lambda inner: _within(BOLD, inner),
    emphasis=lambda inner: _within(ITALIC, inner),
    strike=lambda inner: _within(STRUCK, inner),
    link=_link,
    heading=lambda inner, _level: _within(BOLD + UNDER, inner),
    fence=lambda text, _language: "\n".join(f"{CYAN}{line}{OFF}" for line in text.split("\n")),
    quote=lambda inner, _depth: re.sub(r"^", f"{DIM}│{OFF} ", inner, flags=re.MULTILINE),
)
