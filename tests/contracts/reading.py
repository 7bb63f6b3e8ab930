"""What a person reads of what a platform shows: HTML and terminal output as text.

A list item keeps its bullet or number, cells of a row stand " | " apart, a link that hides its address shows it behind the
label, a formula is read as its LaTeX where the markup tells it.
"""

import re
from html.parser import HTMLParser

BLOCKS = {"p", "pre", "blockquote", "table", "ul", "ol", "hr", "div", "figure", "tg-math-block"}
BLOCKS |= {f"h{level}" for level in range(1, 7)}
FURNITURE = {"figcaption", "button"}
"""What a page puts around a text by itself."""


def html_text(html: str, *, laid_out: bool = True) -> str:
    """HTML as it is read; with `laid_out=False` every space and line break stands for itself and tags only mark."""
    reader = _Reader(laid_out=laid_out)
    reader.feed(html)
    reader.close()
    text = "".join(reader.out)
    return re.sub(r" +\n", "\n", text).strip() if laid_out else text.strip()


def terminal_text(output: str) -> str:
    """What stands on a terminal wide enough for every line after this output; fails where it would steer anything else."""
    lines, row, column = [""], 0, 0
    for found in _TERMINAL.finditer(output):
        text, mark = found["text"], found["mark"]
        if text:
            lines[row] = lines[row][:column] + text + lines[row][column + len(text) :]
            column += len(text)
        elif mark == "\n":
            row, column = row + 1, 0
            lines += [""] * (row == len(lines))
        elif mark == "\r":
            column = 0
        elif mark == "\x1b[J":
            lines = [*lines[:row], lines[row][:column]]
        elif up := re.fullmatch(r"\x1b\[(\d+)A", mark):
            row -= int(up[1])
            assert row >= 0, "the cursor left the screen"
        else:
            assert re.fullmatch(r"\x1b\[(\d+m|\?7[lh])", mark), f"steers the terminal: {mark!r}"
    return "\n".join(lines).strip()


def tokens(text: str) -> list[str]:
    """The words in order, without what only lays out a list or a table."""
    return [word for word in text.split() if not _FURNITURE.fullmatch(word)]


def squashed(text: str) -> str:
    return "".join(text.split())


_TERMINAL = re.compile(r"(?P<text>[^\x00-\x09\x0b-\x1f\n]+|\t)|(?P<mark>\n|\r|\x1b\[[?\d]*[A-Za-z]|[\x00-\x1f])")
_FURNITURE = re.compile(r"[•│|]|[-─┼]+|\[[ x]\]|[☐☑]")
_SPACE = re.compile(r"[ \t\n\r\f]+")


class _Reader(HTMLParser):
    def __init__(self, *, laid_out: bool) -> None:
        super().__init__(convert_charrefs=True)
        self.out: list[str] = []
        self._laid_out = laid_out
        self._lines = 0
        self._fresh = True
        self._skipping = ""
        self._literal = 0
        self._lists: list[int | None] = []
        self._links: list[tuple[str, int]] = []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if self._skipping:
            return
        if tag == "a":
            self._links.append((given.get("href") or "", len(self.out)))
        if not self._laid_out:
            return
        if tag in FURNITURE or tag == "math":
            self._skipping = tag
            if tag == "math":
                self._write(given["alttext"])
        elif tag in {"ul", "ol"}:
            self._break(1 if self._lists else 2)
            self._lists.append(int(given.get("start") or 1) if tag == "ol" else None)
        elif tag in BLOCKS:
            self._break(2)
            self._literal += tag == "pre"
        elif tag == "li":
            self._break(1)
            number = self._lists[-1]
            self._write("• " if number is None else f"{number}. ")
            self._lists[-1] = None if number is None else number + 1
            self._fresh = True
        elif tag == "tr":
            self._break(1)
        elif tag in {"td", "th"}:
            if not self._lines:
                self._write(" | ")
        elif tag == "br":
            self._write("\n")
            self._fresh = True

    def handle_endtag(self, tag):
        if self._skipping:
            if tag == self._skipping:
                self._skipping = ""
            return
        if tag == "a":
            href, start = self._links.pop()
            label = "".join(self.out[start:]).strip()
            if href not in {"", label, f"mailto:{label}"}:
                self._write(f" ({href})")
        if not self._laid_out:
            return
        if tag in {"ul", "ol"}:
            self._lists.pop()
            self._break(1 if self._lists else 2)
        elif tag in BLOCKS:
            self._literal -= tag == "pre"
            self._break(2)
        elif tag in {"li", "tr"}:
            self._break(1)

    def handle_data(self, data):
        if self._skipping:
            return
        if self._laid_out and not self._literal:
            data = _SPACE.sub(" ", data)
            data = data.lstrip(" ") if self._fresh or self._lines else data
        self._write(data)

    def _break(self, lines):
        self._lines = max(self._lines, lines)

    def _write(self, text):
        if not text:
            return
        if self._lines and self.out:
            self.out.append("\n" * self._lines)
        self._lines, self._fresh = 0, False
        self.out.append(text)
