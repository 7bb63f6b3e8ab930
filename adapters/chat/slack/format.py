"""A text as Slack takes it: a markdown block with a native table, sections of mrkdwn where a workspace is older, plain
text at last.

Slack's markdown block reads CommonMark with backslashes and entities, and its own `<…>` references besides: whatever the
tree has as plain text is escaped, so that people read what was said and nobody is called by accident.
"""

import re
import unicodedata
from typing import Any, Literal

import msgspec

from adapters.chat.slack.mrkdwn import MRKDWN
from adapters.chat.slack.wording import escaped, opens, shown_link
from core.layout import Ink, layout, spans
from core.markdown import (
    Block,
    Break,
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
    parse,
)
from core.maths import unicode_math
from core.split import cut, faithful

Mode = Literal["markdown", "mrkdwn", "plain"]

CHARACTERS = 11_500  # of 12,000 over all markdown blocks of a message
SECTION = 2_900  # of 3,000
SECTIONS = 45  # of 50 blocks; buttons are one more
PLAIN_CHARACTERS = 3_800  # of the 4,000 that an edit takes
ROWS, COLUMNS, CELLS = 100, 20, 9_000
"""Of a native table: rows with the header, columns, characters."""
FALLBACK = 3_500
"""Characters of what notifications and screen readers get."""


class Piece(msgspec.Struct, frozen=True):
    """One message: its blocks, the words for those who see no blocks, and the Markdown that it came from."""

    blocks: tuple[dict[str, Any], ...]
    text: str
    markdown: str

    @property
    def flow(self) -> str:
        """The text of its only block, where a growing message can end as it: "" for a message with a table."""
        only = self.blocks[0] if len(self.blocks) == 1 else {}
        return str(only["text"]) if only.get("type") == "markdown" else ""


def pieces(markdown: str, mode: Mode) -> list[Piece]:
    """The messages that a text needs, in order, each within Slack's limits and none of them empty."""
    if not markdown.strip():
        return []
    document = parse(markdown)
    if _fits(document, mode):
        return [_piece(document, mode, markdown)]
    return [_piece(part, mode, faithful(part)) for part in cut(document, lambda part: _fits(part, mode))]


def piece(markdown: str, mode: Mode) -> Piece:
    """The same of a text that is known to fit."""
    return _piece(parse(markdown), mode, markdown)


def units(text: str) -> int:
    """The length, counted the longer way: in UTF-16 units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def flow(document: Document) -> str:
    """The text as one markdown block, tables as aligned code."""
    return "\n\n".join(_block(block, "") for block in document.blocks)


def words(document: Document) -> str:
    """The text without any mark; a link that hides its address shows it behind the label."""
    return layout(document, Ink(link=shown_link))


def _piece(document: Document, mode: Mode, markdown: str) -> Piece:
    said = escaped(words(document))
    if mode == "plain":
        return Piece((), said or "…", markdown)
    brief = said if units(said) <= FALLBACK else re.sub(r"&\w*$", "", said[: FALLBACK // 2]) + "…"
    if mode == "mrkdwn":
        sections = cut(document, lambda part: units(layout(part, MRKDWN)) <= SECTION)
        texts = [text for section in sections if (text := layout(section, MRKDWN)).strip()]
        blocks = tuple({"type": "section", "text": {"type": "mrkdwn", "text": text}} for text in texts)
        return Piece(blocks, brief or "…", markdown)
    return Piece(tuple(_blocks(document)) or ({"type": "markdown", "text": "…"},), brief or "…", markdown)


def _blocks(document: Document) -> list[dict[str, Any]]:
    """Blocks of a message: the first table that fits stands between two texts."""
    at = _native(document)
    if at is None:
        text = flow(document)
        return [{"type": "markdown", "text": text}] if text.strip() else []
    table = document.blocks[at]
    assert isinstance(table, Table)
    around = [flow(Document(document.blocks[:at])), flow(Document(document.blocks[at + 1 :]))]
    before, after = ([{"type": "markdown", "text": text}] if text.strip() else [] for text in around)
    return [*before, _table(table), *after]


def _native(document: Document) -> int | None:
    for index, block in enumerate(document.blocks):
        if isinstance(block, Table) and _is_native(block):
            return index
    return None


def _is_native(table: Table) -> bool:
    if len(table.rows) >= ROWS or len(table.header) > COLUMNS:
        return False
    cells = [cell for row in (table.header, *table.rows) for cell in row]
    return sum(units(spans(cell, Ink(link=shown_link))) for cell in cells) <= CELLS


def _fits(document: Document, mode: Mode) -> bool:
    if mode == "plain":
        return units(escaped(words(document))) <= PLAIN_CHARACTERS
    if mode == "mrkdwn":
        return units(layout(document, MRKDWN)) <= min(CHARACTERS, SECTION * SECTIONS // 4)
    at = _native(document)
    rest = document.blocks if at is None else (*document.blocks[:at], *document.blocks[at + 1 :])
    return units(flow(Document(rest))) <= CHARACTERS


# --- the markdown block ------------------------------------------------------------------------------------------------


def _block(block: Block, indent: str) -> str:
    """One block; its lines after the first begin with `indent`."""
    match block:
        case Paragraph():
            return _lines(_spans(block.children), indent)
        case Heading():
            return "#" * block.level + " " + _spans(block.children).replace(_HARD, " ")
        case Fence():
            return _fence(block.text, re.sub(r"[^\w+#.-]", "", block.language), indent)
        case MathBlock():
            return _lines(_escape(unicode_math(block.latex).replace("\n", _HARD)), indent)
        case Rule():
            return "---"
        case Quote():
            inner = "\n\n".join(_block(each, "") for each in block.blocks)
            return ("> " + inner.replace("\n", "\n> ")).replace("\n", "\n" + indent)
        case Table():
            return _record(block, indent)
        case List():
            return ("\n" + indent).join(_item(block, item, index, indent) for index, item in enumerate(block.items))


def _item(parent: List, item: Item, index: int, indent: str) -> str:
    mark = f"{parent.start + index}{parent.marker}" if parent.ordered else "-"
    inner = indent + " " * (len(mark) + 1)
    task = "" if item.checked is None else "[x] " if item.checked else "[ ] "
    body = ""
    for number, block in enumerate(item.blocks):
        tight = isinstance(block, List) and number and isinstance(item.blocks[number - 1], Paragraph)
        body += ("\n" if tight else "\n\n") + inner if number else ""
        body += _block(block, inner)
    return f"{mark} {task}{body}".rstrip()


def _fence(text: str, language: str, indent: str) -> str:
    ticks = "`" * max([3, *(len(run) + 1 for run in re.findall(r"`{3,}", text))])
    return f"{ticks}{language}\n{text}\n{ticks}".replace("\n", "\n" + indent)


def _record(table: Table, indent: str) -> str:
    """A table that is not native: aligned, or row by row where it is too wide for that or has links."""
    aligned: list[str] = []
    rows_shown = layout(Document((table,)), Ink(fence=lambda text, _: aligned.append(text) or "", link=shown_link))  # type: ignore[func-returns-value]
    if aligned:
        return _fence(aligned[0], "", indent)
    rows = [[_lines(_escape(line), indent) for line in row.split("\n")] for row in rows_shown.split("\n\n")]
    return f"\n\n{indent}".join((_HARD + indent).join(row) for row in rows)


def _lines(text: str, indent: str) -> str:
    """Lines of a paragraph, none of which looks like the beginning of something else."""
    kept = [
        LEADING.sub(lambda found: "\u00a0" * len(found[0]), LIKE.sub(r"\1\\\2", line)) for line in text.split(_HARD)
    ]
    return (_HARD + indent).join(kept)


_HARD = "  \n"
LEADING = re.compile(r"^ +")
LIKE = re.compile(r"^( *(?:\d{1,9}(?=[.)](?:\s|$)))?)(#{1,6}(?=\s|$)|[-+](?=\s|$)|[.)](?=\s|$)|-{2,}\s*$|=+\s*$)")
"""What would begin a heading, a list or a line across at the beginning of a line."""


def _spans(children: tuple[Inline, ...]) -> str:
    out = ""
    for index, span in enumerate(children):
        after = _first(children[index + 1]) if index + 1 < len(children) else ""
        match span:
            case Text():
                out += _escape(span.text)
            case Break():
                out = out.rstrip(" ") + _HARD
            case Code():
                out += _code(span.text)
            case Math():
                out += _escape(unicode_math(span.latex).replace("\n", " "))
            case Strong():
                out += _marked("**", span.children, out, after)
            case Emphasis():
                out += _marked("*", span.children, out, after)
            case Strike():
                out += _marked("~~", span.children, out, after)
            case Link():
                out += _link(span)
    return out


def _first(span: Inline) -> str:
    """What stands directly behind a mark, as far as it matters to the mark."""
    match span:
        case Text():
            return span.text[:1]
        case Break():
            return "\n"
        case Math():
            return unicode_math(span.latex)[:1]
        case Code():
            return "`"
        case Link():
            return "["
        case _:
            return "*"


def _marked(mark: str, children: tuple[Inline, ...], before: str, after: str) -> str:
    """Text under a mark; without it where Slack would not see the mark as one."""
    inner = _spans(children)
    if before.endswith(mark[0]) and not before.endswith("\\" + mark[0]):
        mark = mark.replace("*", "_")
        if before.endswith("_") or after.isalnum() or mark == "~~":
            return inner
    if not inner.strip() or inner[0].isspace() or inner[-1].isspace() or _HARD in inner:
        return inner
    opens = not _punctuation(inner[0]) or not before or before[-1].isspace() or _punctuation(before[-1])
    closes = not _punctuation(inner[-1]) or not after or after.isspace() or _punctuation(after)
    return f"{mark}{inner}{mark}" if opens and closes else inner


def _punctuation(char: str) -> bool:
    return unicodedata.category(char)[0] in "PS"


def _code(text: str) -> str:
    if not text.strip():
        return text
    text = text.replace("\n", " ")
    ticks = "`"
    while ticks in text:
        ticks += "`"
    pad = " " if text[0] == "`" or text[-1] == "`" or (text[0] == text[-1] == " ") else ""
    return f"{ticks}{pad}{text}{pad}{ticks}"


def _link(span: Link) -> str:
    label = _spans(span.children).replace(_HARD, " ")
    read = spans(span.children, Ink())
    if not opens(span.href):
        return label if read in {span.href, span.href.removeprefix("mailto:")} else f"{label} ({_escape(span.href)})"
    href = re.sub(r"[\s<>\"\\`]", lambda found: f"%{ord(found[0]):02X}" if found[0].isascii() else found[0], span.href)
    if not _balanced(href):
        href = href.replace("(", "%28").replace(")", "%29")
    label = BRACKET.sub(r"\\\g<0>", NESTED.sub(r"\1", label))
    return f"[{label}]({href})"


BRACKET = re.compile(r"(?<!\\)[\[\]]")
NESTED = re.compile(r"\[((?:\\.|[^\]\\])*)\]\([^)\s]*\)")


def _balanced(href: str) -> bool:
    depth = 0
    for char in href:
        depth += (char == "(") - (char == ")")
        if depth < 0:
            return False
    return depth == 0


def _escape(text: str) -> str:
    """Words that read in a markdown block as they are."""
    return MEANT.sub(r"\\\g<0>", text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


MEANT = re.compile(
    r"""
      `
    | \\(?=[!-/:-@\[-`{-~]|$)
    | (?<!\s)\*|\*(?!\s)                # a star alone between spaces is one
    | (?<![^\W_])_|_(?![^\W_])          # snake_case is a word
    | ~(?=~)|(?<=~)~|~(?=[^~]*~)|(?<=[^\s~])~
    | (?<=\])\(|(?<=\])\[
    """,
    re.VERBOSE,
)


# --- tables --------------------------------------------------------------------------------------------------------------


def _table(table: Table) -> dict[str, Any]:
    rows = [[_cell(cell) for cell in row] for row in (table.header, *table.rows)]
    block: dict[str, Any] = {"type": "table", "rows": rows}
    if any(side in {"center", "right"} for side in table.align):
        block["column_settings"] = [{"align": side or "left"} for side in table.align]
    return block


def _cell(cell: tuple[Inline, ...]) -> dict[str, Any]:
    if all(isinstance(span, Text | Break | Math) for span in cell):
        return {"type": "raw_text", "text": spans(cell, Ink()) or " "}
    section = {"type": "rich_text_section", "elements": _elements(cell, {})}
    return {"type": "rich_text", "elements": [section]}


def _elements(children: tuple[Inline, ...], style: dict[str, bool]) -> list[dict[str, Any]]:
    """Spans as rich text, in which nothing is a mark."""
    found: list[dict[str, Any]] = []
    for span in children:
        more = {"style": style} if style else {}
        match span:
            case Strong():
                found += _elements(span.children, {**style, "bold": True})
            case Emphasis():
                found += _elements(span.children, {**style, "italic": True})
            case Strike():
                found += _elements(span.children, {**style, "strike": True})
            case Link() if opens(span.href):
                found.append(
                    {"type": "link", "url": span.href, "text": spans(span.children, Ink()) or span.href, **more}
                )
            case Link():
                found.append({"type": "text", "text": spans((span,), Ink(link=shown_link)), **more})
            case Code():
                found.append({"type": "text", "text": span.text, "style": {**style, "code": True}})
            case _:
                found.append({"type": "text", "text": spans((span,), Ink()), **more})
    return [element for element in found if element["text"]]
