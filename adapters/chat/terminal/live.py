"""A reply on a tty while it grows: complete lines are rendered for good, the one that still grows is drawn again and again.

Nothing is written here: each step gives back what to print.
"""

import re
from collections.abc import Callable

from adapters.chat.terminal.format import DIM, OFF, LineRenderer, ansi, safe
from core.layout import columns

FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
MARKS = re.compile(r"[ \t>]*[`~]+")
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"


class Live:
    """One reply. `size` gives columns and lines of the terminal."""

    def __init__(self, size: Callable[[], tuple[int, int]]) -> None:
        self._size = size
        self._renderer = LineRenderer(size()[0])
        self._fixed = ""
        self._half = ""
        self._doing = ""
        self._rows = 0
        self._frame = 0

    def tick(self) -> str:
        """The next picture of the spinner, where there is one."""
        if self._half or (self._fixed and not self._doing):
            return ""
        self._frame += 1
        return self._drawn("")

    def grow(self, text: str, doing: str = "") -> str:
        """The whole text so far; one that takes back a line that stands already waits for the end."""
        if not text.startswith(self._fixed):
            return ""
        fixed = text[: text.rfind("\n") + 1]
        new, self._half, self._doing = fixed[len(self._fixed) :], text[len(fixed) :], doing
        self._fixed = fixed
        return self._drawn(self._renderer.feed(new))

    def beside(self, text: str) -> str:
        """Something else, complete, above the line that still grows."""
        return self._drawn(f"{text}\n")

    def finish(self, text: str) -> str:
        """The reply as it stays."""
        self._half = self._doing = ""
        if text.startswith(self._fixed):
            out = self._renderer.feed(text[len(self._fixed) :]) + self._renderer.finish()
        else:
            out = f"{DIM}(again, as it stands now){OFF}\n{ansi(text, self._size()[0])}\n"
        return self._erased() + out

    def end(self) -> str:
        """No more comes: what was there stays as it is."""
        half, self._half = safe(self._half), ""
        return self._erased() + self._renderer.feed(half) + self._renderer.finish()

    def _erased(self) -> str:
        up, self._rows = self._rows - 1, 0
        return "" if up < 0 else f"\r\x1b[{up}A\x1b[J" if up else "\r\x1b[J"

    def _drawn(self, out: str) -> str:
        width, height = self._size()
        live = [safe(line) for line in self._renderer.table]
        # a line of nothing but marks may be the beginning or the end of a listing: it shows when it is complete
        half = "" if MARKS.fullmatch(self._half) else self._half
        live += _wrapped(safe(half), width - 1) if half else []
        if self._doing or not (self._fixed or self._half):
            live.append(f"{DIM}{FRAMES[self._frame % len(FRAMES)]} {safe(self._doing)}{OFF}".rstrip())
        live = live[-max(1, height - 1) :]
        erased = self._erased()
        self._rows = len(live)
        # without wrapping, a row that is wider than it was taken for stays one row
        return f"{erased}{out}{_NO_WRAP}" + "\r\n".join(live) + _WRAP if live else erased + out


def _wrapped(line: str, width: int) -> list[str]:
    rows, row, used = [], "", 0
    for word in line.split(" "):
        size = columns(word)
        if row and used + 1 + size > width:
            rows.append(row)
            row, used = word, size
        else:
            row, used = (f"{row} {word}", used + 1 + size) if row else (word, size)
        while used > width > 0:
            cut = max(1, _fitting(row, width))
            rows.append(row[:cut])
            row = row[cut:]
            used = columns(row)
    return [*rows, row]


def _fitting(text: str, width: int) -> int:
    """How many characters fit."""
    low, high = 0, min(len(text), width)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if columns(text[:middle]) <= width else (low, middle - 1)
    return low
