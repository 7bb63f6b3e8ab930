"""Markdown as a small tree of frozen values: what every platform's renderer walks, and the way back to Markdown."""

import functools
import re

import msgspec
from markdown_it import MarkdownIt
from markdown_it.token import Token

from core.dialect import dialect

INLINE_DEPTH = 4
"""Marks within marks; deeper ones are dropped and their text stays."""


class Text(msgspec.Struct, frozen=True):
    """Characters as people read them."""

    text: str


class Code(msgspec.Struct, frozen=True):
    """A code span."""

    text: str


class Math(msgspec.Struct, frozen=True):
    """A formula in LaTeX inside a line."""

    latex: str
    display: bool = False


class Break(msgspec.Struct, frozen=True):
    """A new line inside a paragraph, soft or hard: in a chat both are one."""


class Strong(msgspec.Struct, frozen=True):
    """Bold."""

    children: tuple["Inline", ...]


class Emphasis(msgspec.Struct, frozen=True):
    """Italic."""

    children: tuple["Inline", ...]


class Strike(msgspec.Struct, frozen=True):
    """Crossed out."""

    children: tuple["Inline", ...]


class Link(msgspec.Struct, frozen=True):
    """A link, or an image, which is shown as one."""

    children: tuple["Inline", ...]
    href: str


Inline = Text | Code | Math | Break | Strong | Emphasis | Strike | Link


class Paragraph(msgspec.Struct, frozen=True):
    """A paragraph. `gap`, here and below, is the number of empty lines that stood before the block."""

    children: tuple[Inline, ...]
    gap: int = 1


class Heading(msgspec.Struct, frozen=True):
    """A heading of level 1 to 6."""

    children: tuple[Inline, ...]
    level: int
    gap: int = 1


class Fence(msgspec.Struct, frozen=True):
    """A block of code, without its last newline."""

    text: str
    language: str = ""
    gap: int = 1


class MathBlock(msgspec.Struct, frozen=True):
    """A formula in LaTeX on lines of its own."""

    latex: str
    gap: int = 1


class Rule(msgspec.Struct, frozen=True):
    """A line across."""

    gap: int = 1


class Item(msgspec.Struct, frozen=True):
    """An item of a list; `checked` is None where it is no task."""

    blocks: tuple["Block", ...]
    checked: bool | None = None
    gap: int = 0


class List(msgspec.Struct, frozen=True):
    """A list; `marker` is the character that the writer used, `.` and `)` for ordered ones, which begin at `start`."""

    items: tuple[Item, ...]
    marker: str = "-"
    start: int = 1
    gap: int = 1

    @property
    def ordered(self) -> bool:
        """Whether its items have numbers."""
        return self.marker in ".)"


Cells = tuple[tuple[Inline, ...], ...]


class Table(msgspec.Struct, frozen=True):
    """A table; `align` has `left`, `center`, `right` or nothing for each column."""

    header: Cells
    rows: tuple[Cells, ...]
    align: tuple[str, ...]
    gap: int = 1


class Quote(msgspec.Struct, frozen=True):
    """A quotation."""

    blocks: tuple["Block", ...]
    gap: int = 1


Block = Paragraph | Heading | Fence | MathBlock | Rule | List | Table | Quote


class Document(msgspec.Struct, frozen=True):
    """A text. An empty one has no blocks."""

    blocks: tuple[Block, ...]


def parse(markdown: str) -> Document:
    """The tree of a text; never fails, and takes time in proportion to the length. Text without markup costs microseconds."""
    markdown = normal(markdown)
    if not MARKUP.search(markdown):
        return _prose(markdown)
    return Document(_Tree(markdown, _parser().parse(markdown)).blocks(""))


def inline(markdown: str) -> tuple[Inline, ...]:
    """The tree of one line: block marks are text in it."""
    markdown = normal(markdown)
    if not MARKUP.search(markdown):
        return _lines(markdown)
    (token,) = _parser().parseInline(markdown)
    return _spans(token.children or [])


def normal(text: str) -> str:
    """The text with one kind of newline and without what no medium takes: NUL and halves of surrogate pairs."""
    if text.isascii() and "\r" not in text and "\0" not in text:
        return text
    return BROKEN.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


BROKEN = re.compile("[\0\ud800-\udfff]")
MARKUP = re.compile(
    r"[*_`~\[$\\|]|://|<[a-zA-Z]|^ *(?:#|>|[-+](?:\s|$)|---|\d{1,9}[.)](?:\s|$))|^(?: {4}| {0,3}\t)", re.MULTILINE
)
"""Anything that could be a mark; without it the parser has nothing to find."""
EMPTY_LINES = re.compile(r"\n((?:[ \t]*\n)+)")


@functools.cache
def _parser() -> MarkdownIt:
    return dialect()


def _prose(text: str) -> Document:
    parts = EMPTY_LINES.split(text.strip("\n"))
    blocks = [Paragraph(_lines(parts[0]))]
    blocks += [
        Paragraph(_lines(part), gap.count("\n")) for gap, part in zip(parts[1::2], parts[2::2], strict=True) if part
    ]
    return Document(tuple(block for block in blocks if block.children))


def _lines(text: str) -> tuple[Inline, ...]:
    if "\n" not in text:
        return (Text(text),) if text.strip() else ()
    parts: list[Inline] = []
    for line in text.split("\n"):
        if line:
            parts.append(Text(line))
        parts.append(LINE_BREAK)
    return tuple(parts[:-1]) if text.strip() else ()


LINE_BREAK = Break()


class _Tree:
    """The parser's flat tokens while they become a tree."""

    def __init__(self, source: str, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.at = 0
        self.empty = [not line.strip(" \t>") for line in source.split("\n")]

    def blocks(self, end: str) -> tuple[Block, ...]:
        """The blocks up to the token of type `end`, which is passed over."""
        found: list[Block] = []
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            self.at += 1
            if token.type == end:
                break
            gap = self.gap(token) if found else 1
            match token.type:
                case "paragraph_open" | "heading_open":
                    children = _spans(self.tokens[self.at].children or [])
                    self.at += 2
                    if token.type == "heading_open" and children:
                        found.append(Heading(children, int(token.tag[1]), gap))
                    elif token.type == "heading_open":
                        found.append(Paragraph((Text(token.markup),), gap))
                    elif children:
                        found.append(Paragraph(children, gap))
                case "fence" | "code_block":
                    language = "".join(token.info.replace("`", "").split()[:1])
                    text = token.content.removesuffix("\n")
                    maths = language == "math" and text.strip()
                    found.append(MathBlock(text, gap) if maths else Fence(text, language, gap))
                case "math_block":
                    found.append(MathBlock(token.content, gap))
                case "hr":
                    found.append(Rule(gap))
                case "blockquote_open":
                    inner = self.blocks("blockquote_close")
                    found.append(Quote(inner, gap) if inner else Paragraph((Text(">"),), gap))
                case "bullet_list_open" | "ordered_list_open":
                    start = token.attrs.get("start", 1)
                    items = self.items(token.type.replace("open", "close"))
                    made = List(items, token.markup, int(start), gap)
                    # "1." alone is an answer, not a list.
                    found.append(made if any(item.blocks for item in items) else Paragraph(_bullets(made), gap))
                case "table_open":
                    found.append(self.table(gap))
        return tuple(found)

    def items(self, end: str) -> tuple[Item, ...]:
        found: list[Item] = []
        while self.tokens[self.at].type != end:
            token = self.tokens[self.at]
            self.at += 1
            gap = self.gap(token) if found else 0
            task = (
                TASK.match(self.tokens[self.at + 1].content) if self.tokens[self.at].type == "paragraph_open" else None
            )
            blocks = self.blocks("list_item_close")
            checked = None
            if task and isinstance(first := blocks[0], Paragraph) and isinstance(words := first.children[0], Text):
                checked = task[1] != " "
                rest = (Text(words.text[4:]), *first.children[1:]) if words.text[4:] else first.children[1:]
                blocks = (Paragraph(rest, first.gap), *blocks[1:])
            found.append(Item(blocks, checked, gap))
        self.at += 1
        return tuple(found)

    def table(self, gap: int) -> Table:
        rows: list[Cells] = []
        row: list[tuple[Inline, ...]] = []
        align: list[str] = []
        while (token := self.tokens[self.at]).type != "table_close":
            self.at += 1
            if token.type == "th_open":
                align.append(str(token.attrGet("style") or "").removeprefix("text-align:"))
            elif token.type == "inline":
                row.append(_spans(token.children or []))
            elif token.type == "tr_close":
                rows.append(tuple(row))
                row = []
        self.at += 1
        return Table(rows[0], tuple(rows[1:]), tuple(align), gap)

    def gap(self, token: Token) -> int:
        assert token.map is not None
        line = token.map[0] - 1
        count = 0
        while line >= 0 and self.empty[line]:
            count += 1
            line -= 1
        return count


def _bullets(empty: List) -> tuple[Inline, ...]:
    marks = [f"{empty.start + index}" if empty.ordered else "" for index in range(len(empty.items))]
    return _lines("\n".join(mark + empty.marker for mark in marks))


TASK = re.compile(r"\[([ xX])\] \S")


def _spans(tokens: list[Token]) -> tuple[Inline, ...]:
    found: list[Inline] = []
    stack: list[tuple[list[Inline], str]] = []
    dropped = 0
    for token in tokens:
        kind = token.type
        if kind in {"text", "text_special"}:
            if token.content:
                _say(found, token.content)
        elif kind in {"softbreak", "hardbreak"}:
            found.append(LINE_BREAK)
        elif kind == "code_inline":
            found.append(Code(token.content))
        elif kind == "math_inline":
            found.append(Math(token.content, token.markup in {"$$", r"\["}))
        elif kind == "image":
            href = str(token.attrGet("src") or "")
            found.append(Link(_spans(token.children or []) or (Text(href),), href))
        elif token.nesting > 0:
            if len(stack) >= INLINE_DEPTH:
                dropped += 1
                continue
            stack.append((found, str(token.attrGet("href") or "")))
            found = []
        elif dropped:
            dropped -= 1
        elif stack:
            children, (found, href) = tuple(found), stack.pop()
            if kind == "link_close":
                found.append(Link(children or (Text(href),), href))
            elif children:
                found.append(MARKS[kind](children))
    return tuple(found)


MARKS: dict[str, type[Strong] | type[Emphasis] | type[Strike]] = {
    "strong_close": Strong,
    "em_close": Emphasis,
    "s_close": Strike,
}


def _say(found: list[Inline], text: str) -> None:
    """Text beside text is one text."""
    last = found[-1] if found else None
    if isinstance(last, Text):
        found[-1] = Text(last.text + text)
    else:
        found.append(Text(text))


def write(document: Document) -> str:
    """Markdown that parses to the same reading."""
    return _write_blocks(document.blocks)


def _write_blocks(blocks: tuple[Block, ...]) -> str:
    parts: list[str] = []
    for index, block in enumerate(blocks):
        if index:
            # Right under a list, a quote or a table a paragraph would become a part of it.
            joins = isinstance(block, Paragraph) and isinstance(blocks[index - 1], Paragraph | List | Quote | Table)
            # Nor does an empty item, or a number other than 1, begin a list right under one.
            joins |= isinstance(block, List) and (not block.items[0].blocks or block.start != 1)
            parts.append("\n" * (max(block.gap, int(joins)) + 1))
        parts.append(_write_block(block))
    return "".join(parts)


def _write_block(block: Block) -> str:
    match block:
        case Paragraph():
            return _write_spans(block.children)
        case Heading():
            return "#" * block.level + " " + _write_spans(block.children).replace("\n", " ")
        case Fence():
            ticks = "`" * max(3, *(len(run) + 1 for run in re.findall(r"`{3,}", block.text)), 3)
            return f"{ticks}{block.language}\n{block.text}\n{ticks}"
        case MathBlock():
            return f"$$\n{block.latex}\n$$"
        case Rule():
            return "___"
        case Quote():
            return re.sub(r"^", "> ", _write_blocks(block.blocks), flags=re.MULTILINE)
        case Table():
            lines = [_write_row(block.header), "|" + "|".join(DASHES.get(side, "---") for side in block.align) + "|"]
            return "\n".join(lines + [_write_row(row) for row in block.rows])
        case List():
            return "".join(_write_item(block, index) for index in range(len(block.items)))


DASHES = {"left": ":---", "center": ":---:", "right": "---:"}


def _write_row(row: Cells) -> str:
    return "| " + " | ".join(_write_spans(cell).replace("\n", " ") for cell in row) + " |"


def _write_item(block: List, index: int) -> str:
    item = block.items[index]
    marker = f"{block.start + index}{block.marker}" if block.ordered else block.marker
    task = "" if item.checked is None else "[x] " if item.checked else "[ ] "
    body = re.sub(r"\n(?=[^\n])", "\n" + " " * (len(marker) + 1), task + _write_blocks(item.blocks))
    return ("\n" * (item.gap + 1) if index else "") + f"{marker} {body}"


def _write_spans(spans: tuple[Inline, ...]) -> str:
    out = ""
    parts: list[str] = []
    for span in spans:
        match span:
            case Text():
                out = MEANT.sub(r"\\\g<0>", span.text)
                if not parts or parts[-1].endswith("\n"):
                    out = LEADING.sub(r"\1\2\\\3", out)
            case Code():
                ticks = "`"
                while ticks in span.text:
                    ticks += "`"
                pad = " " if PADDED.search(span.text) else ""
                out = ticks + pad + span.text + pad + ticks
            case Math():
                pair = ("$$", "$$") if span.display else (r"\(", r"\)")
                out = span.latex.join(pair)
            case Break():
                out = "\n"
            case Strong():
                out = f"**{_write_spans(span.children)}**"
            case Emphasis():
                mark = "_" if parts and parts[-1].endswith("*") else "*"
                out = mark + _write_spans(span.children) + mark
            case Strike():
                out = f"~~{_write_spans(span.children)}~~"
            case Link():
                out = f"[{_write_spans(span.children)}](<{span.href}>)"
        parts.append(out)
    return "".join(parts)


PADDED = re.compile(r"^$|^`|`$|^ .* $", re.DOTALL)
MEANT = re.compile(r"[\\*_~`\]$<|]|:(?=//)")
"""What is escaped inside a line. An opening bracket is not: behind a backslash it would begin a formula."""
LEADING = re.compile(r"^( *)(\d{0,9})([#>+.)-])")
