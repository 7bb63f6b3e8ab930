"""How a text stands on a page of characters: one walk over the tree, and an Ink that says what a mark looks like.

Every platform that shows lines of characters shares the walk, so that what a person reads is the same everywhere.
"""

import unicodedata
from collections.abc import Callable

import msgspec

from core.markdown import (
    Block,
    Break,
    Cells,
    Code,
    Document,
    Emphasis,
    Fence,
    Heading,
    Inline,
    Item,
    Link,
    List,
    Math,
    MathBlock,
    Paragraph,
    Quote,
    Rule,
    Strike,
    Strong,
    Table,
    Text,
)
from core.maths import unicode_math

WIDTH = 60
"""Columns; a wider table is read row by row."""


def _same(text: str) -> str:
    return text


class Ink(msgspec.Struct, frozen=True):
    """What each mark looks like in a medium; whatever is left out shows the bare text."""

    text: Callable[[str], str] = _same
    """Escapes what people read."""
    code: Callable[[str], str] = _same
    """A code span, not yet escaped."""
    strong: Callable[[str], str] = _same
    emphasis: Callable[[str], str] = _same
    strike: Callable[[str], str] = _same
    link: Callable[[str, str, str], str] = lambda shown, _read, _href: shown
    """From the inked label, the label as it reads, and the address."""
    heading: Callable[[str, int], str] = lambda shown, _level: shown
    fence: Callable[[str, str], str] = lambda text, _language: text
    """Code, or a table that is aligned by spaces, not yet escaped, and its language."""
    quote: Callable[[str, int], str] = lambda shown, _depth: shown
    """The quoted blocks, and how many quotes stand around this one."""


PLAIN = Ink()


def plain(document: Document) -> str:
    """What a person reads, with all markup removed. A link reads as its label."""
    return layout(document, PLAIN)


def layout(document: Document, ink: Ink, width: int = WIDTH) -> str:
    """The text in one medium. Tables wider than `width` columns become lines of `Header: value`."""
    blocks = document.blocks
    if len(blocks) == 1 and isinstance(only := blocks[0], Paragraph):
        return _spans(only.children, ink, "\n")
    return _Page(ink, width).blocks(blocks, "", 0)


def spans(children: tuple[Inline, ...], ink: Ink) -> str:
    """A line's worth of text in one medium."""
    return _spans(children, ink, "\n")


def columns(text: str) -> int:
    """How many columns of a fixed-width font the text takes."""
    if text.isascii():
        return len(text)
    return sum(_column(char) for char in text)


def _column(char: str) -> int:
    if char < "\u0300":
        return 1
    if unicodedata.combining(char) or unicodedata.category(char) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


class _Page(msgspec.Struct, frozen=True):
    """The walk over the blocks."""

    ink: Ink
    width: int

    def blocks(self, blocks: tuple[Block, ...], indent: str, quotes: int) -> str:
        parts: list[str] = []
        for block in blocks:
            if parts:
                parts.append("\n" * (block.gap + 1))
                if isinstance(block, Paragraph | Heading | MathBlock | Rule):
                    parts.append(indent)
            parts.append(self.block(block, indent, quotes))
        return "".join(parts)

    def block(self, block: Block, indent: str, quotes: int) -> str:
        """One block; lines after its first begin with `indent`, save in blocks that a medium sets apart."""
        ink = self.ink
        match block:
            case Paragraph():
                return _spans(block.children, ink, "\n" + indent)
            case Heading():
                return ink.heading(_spans(block.children, ink, "\n" + indent), block.level)
            case Fence():
                return ink.fence(block.text, block.language)
            case MathBlock():
                return ink.text(unicode_math(block.latex).replace("\n", "\n" + indent))
            case Rule():
                return "─" * min(12, self.width)
            case Quote():
                return ink.quote(self.blocks(block.blocks, "", quotes + 1), quotes)
            case Table():
                return self.table(block)
            case List():
                parts: list[str] = []
                for index, item in enumerate(block.items):
                    if index:
                        parts.append("\n" * (item.gap + 1))
                    parts.append(self.item(block, item, index, indent, quotes))
                return "".join(parts)

    def item(self, parent: List, item: Item, index: int, indent: str, quotes: int) -> str:
        marker = f"{parent.start + index}{parent.marker} " if parent.ordered else "• "
        if item.checked is not None:
            marker = (
                ("☑ " if item.checked else "☐ ") if not parent.ordered else marker + ("☑ " if item.checked else "☐ ")
            )
        inner = indent + " " * (len(marker) if parent.ordered else 2)
        apart = item.blocks and isinstance(item.blocks[0], Fence | Quote | Table)
        body = self.blocks(item.blocks, inner, quotes)
        if item.blocks and isinstance(item.blocks[0], List):
            body = body.removeprefix(inner)
        return indent + marker + ("\n" if apart else "") + body

    def table(self, table: Table) -> str:
        rows = (table.header, *table.rows)
        if not any(_has_link(cell) for row in rows for cell in row):
            cells = [[_spans(cell, PLAIN, " ") for cell in row] for row in rows]
            widths = [max(columns(row[index]) for row in cells) for index in range(len(cells[0]))]
            if sum(widths) + 2 * (len(widths) - 1) <= self.width:
                lines = [_aligned(row, widths, table.align) for row in cells]
                return self.ink.fence("\n".join([lines[0], "  ".join("─" * width for width in widths), *lines[1:]]), "")
        if not table.rows:
            return "\n".join(_spans(cell, self.ink, " ") for cell in table.header)
        return "\n\n".join(self.record(table.header, row) for row in table.rows)

    def record(self, header: Cells, row: Cells) -> str:
        lines: list[str] = []
        for name, cell in zip(header, row, strict=False):
            value = _spans(cell, self.ink, " ")
            label = _spans(name, PLAIN, " ")
            if label and value:
                value = f"{self.ink.strong(self.ink.text(label + ':'))} {value}"
            if value:
                lines.append(value)
        return "\n".join(lines)


def _aligned(row: list[str], widths: list[int], align: tuple[str, ...]) -> str:
    cells: list[str] = []
    for text, width, side in zip(row, widths, align, strict=False):
        room = width - columns(text)
        left = {"right": room, "center": room // 2}.get(side, 0)
        cells.append(" " * left + text + " " * (room - left))
    return "  ".join(cells).rstrip()


def _has_link(cell: tuple[Inline, ...]) -> bool:
    return any(isinstance(span, Link) for span in cell)


def _spans(children: tuple[Inline, ...], ink: Ink, newline: str) -> str:
    parts: list[str] = []
    for span in children:
        match span:
            case Text():
                parts.append(ink.text(span.text))
            case Break():
                parts.append(newline)
            case Code():
                parts.append(ink.code(span.text))
            case Strong():
                parts.append(ink.strong(_spans(span.children, ink, newline)))
            case Emphasis():
                parts.append(ink.emphasis(_spans(span.children, ink, newline)))
            case Strike():
                parts.append(ink.strike(_spans(span.children, ink, newline)))
            case Link():
                shown = _spans(span.children, ink, newline)
                read = shown if ink is PLAIN else _spans(span.children, PLAIN, newline)
                parts.append(ink.link(shown, read, span.href))
            case Math():
                parts.append(ink.text(unicode_math(span.latex)))
    return "".join(parts)
