"""A text as Discord takes it: its own Markdown, in which every character that the text means as itself is escaped.

A short text is a message's content, a longer one the text displays of a message in components; both read the same marks.
What Discord has no mark for (tables, formulas, deeper headings, tasks) is laid out in characters.
"""

import re
from typing import Literal
from urllib.parse import unquote

import msgspec

from core.layout import Ink, layout, plain
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
from core.split import cut

Form = Literal["content", "components"]

SHORT = 1_900
"""UTF-16 units of 2,000 that a content may have."""
LONG = 3_800
"""Of 4,000 that all text displays of a message may have together."""
HEADINGS = 3


class Piece(msgspec.Struct, frozen=True):
    """One message in Discord's Markdown."""

    text: str
    form: Form


def pieces(markdown: str, *, flat: bool = False) -> list[Piece]:
    """The messages that a text needs, in order, each within Discord's limits and none of them empty; `flat`: without components."""
    if not markdown.strip():
        return []
    limit = SHORT if flat else LONG
    document = parse(markdown)
    whole = rendered(document)
    if units(whole) <= limit:
        texts = [whole] if _says(document) else []
    else:
        texts = [rendered(part) for part in cut(document, lambda part: units(rendered(part)) <= limit) if _says(part)]
    if not texts:  # nothing but marks, such as a line or an empty fence: people read the marks
        texts = [escape(markdown.strip()[at : at + SHORT // 2]) for at in range(0, len(markdown.strip()), SHORT // 2)]
    if len(texts) == 1:
        return [Piece(texts[0], "content" if units(texts[0]) <= SHORT else "components")]
    return [Piece(text, "content" if flat else "components") for text in texts]


def units(text: str) -> int:
    """The length in UTF-16 units, the strictest of the ways in which Discord may count."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def rendered(document: Document) -> str:
    """The text in Discord's Markdown."""
    return _blocks(document.blocks, "", deep=False)


def escape(text: str) -> str:
    """Text that stands inside a line as itself; an address stays whole, for in one nothing is a mark."""
    pieces: list[str] = []
    at = 0
    for found in ADDRESS.finditer(text) if "://" in text else ():
        pieces += [MARK.sub(r"\\\g<0>", text[at : found.start()]), found[0]]
        at = found.end()
    return "".join((*pieces, MARK.sub(r"\\\g<0>", text[at:])))


MARK = re.compile(r"[\\*_~|`\[]|<(?=[@#:/&\w])|:(?=[\w+-]+(?:::[\w-]+)?:)")
"""What could begin a mark: emphasis, code, a spoiler, a link, a mention, a time, an emoji by its name."""
ADDRESS = re.compile(r"\bhttps?://[^\s<]+[^<.,:;\"'\])\s]", re.IGNORECASE)
LEADING = re.compile(
    r"^([ \t]*)(#{1,3}(?=\s)|-(?=#?#?#?\s)|\+(?=\s)|>(?=\s|>>\s))|^([ \t]*\d+)(?=[.)]\s)", re.MULTILINE
)
"""What would make a line a heading, an item of a list, small print or a quotation."""


def _says(document: Document) -> bool:
    return bool(plain(document).strip("─ \t\n"))


def _blocks(blocks: tuple[Block, ...], indent: str, *, deep: bool) -> str:
    """The blocks; their lines begin with `indent`, save the first, and those of what Discord sets apart by itself."""
    parts: list[str] = []
    for block in blocks:
        text = _block(block, deep=deep)
        if not text:
            continue
        if indent and not isinstance(block, APART):
            text = re.sub(r"\n(?=[^\n])", "\n" + indent, text)
            text = indent + text if parts else text
        if parts:
            parts.append("\n" * (block.gap + 1))
        parts.append(text)
    return "".join(parts)


APART = (Fence, Quote, Table)


def _block(block: Block, *, deep: bool) -> str:
    """One block; `deep` stands for inside of a list or a quotation, where fewer marks work."""
    match block:
        case Paragraph():
            return _lines(_spans(block.children))
        case Heading():
            line = _spans(block.children).replace("\n", " ")
            return f"{'#' * block.level} {line}" if block.level <= HEADINGS and not deep else f"**{line}**"
        case Fence():
            return _fence(block.text, block.language)
        case MathBlock():
            return _lines(escape(unicode_math(block.latex)))
        case Rule():
            return "─" * 12
        case Quote():
            # A quotation in a quotation is none to Discord.
            inner = "".join(_blocks(_unquoted(block.blocks), "", deep=True))
            return re.sub(r"^", "> ", inner, flags=re.MULTILINE)
        case Table():
            return layout(Document((block,)), INK)
        case List():
            items = (
                ("\n" * (item.gap + 1) if index else "") + _item(block, item, index)
                for index, item in enumerate(block.items)
            )
            return "".join(items)


def _unquoted(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
    """The blocks without the quotations that they hold, inside of lists too."""
    found: list[Block] = []
    for block in blocks:
        match block:
            case Quote():
                found += _unquoted(block.blocks)
            case List():
                items = (msgspec.structs.replace(item, blocks=_unquoted(item.blocks)) for item in block.items)
                found.append(msgspec.structs.replace(block, items=tuple(items)))
            case _:
                found.append(block)
    return tuple(found)


def _item(parent: List, item: Item, index: int) -> str:
    marker = f"{parent.start + index}. " if parent.ordered else "- "
    box = "" if item.checked is None else "☑ " if item.checked else "☐ "
    body = _blocks(item.blocks, " " * len(marker), deep=True)
    if not body or isinstance(
        item.blocks[0], (*APART, List)
    ):  # a line with nothing behind its mark is no item to Discord
        inner = " " * len(marker) if body and isinstance(item.blocks[0], List) else ""
        return f"{marker if parent.ordered else '• '}{box}".rstrip() + (f"\n{inner}{body}" if body else "")
    return f"{marker}{box}{body}"


def _lines(text: str) -> str:
    """A paragraph whose lines begin with nothing that Discord would take for more than text."""
    return LEADING.sub(lambda found: f"{found[1]}\\{found[2]}" if found[2] else f"{found[3]}\\", text)


def _spans(children: tuple[Inline, ...]) -> str:
    pieces: list[str] = []
    for span in children:
        piece = _span(span, pieces[-1][-1:] if pieces else "")
        if pieces and ADDRESS.fullmatch(pieces[-1]) and not ENDED.match(piece):
            pieces[-1] = f"<{pieces[-1]}>"  # Discord would take what follows an address for a part of it
        if pieces and LINED.fullmatch(pieces[-1]) and re.match(r"\w", piece):
            pieces[-1] = pieces[-1][1:-1]  # a line below ends at no letter: there is no mark that would be read
        pieces.append(piece)
    return "".join(pieces)


LINED = re.compile(r"_.*[^\\]_", re.DOTALL)
ENDED = re.compile(r"[.,:;!?\"'\])]*(?:\s|$)")


def _span(span: Inline, before: str) -> str:
    """One span; `before` is the character in front of it."""
    match span:
        case Text():
            return escape(span.text)
        case Break():
            return "\n"
        case Code():
            return _code(span.text)
        case Strong():
            return _around("**", _spans(span.children))
        case Emphasis():
            inner = _spans(span.children)
            # Stars beside stars could be read in more than one way; a lone one ends the emphasis even inside code.
            stars = "*" in (before, inner[:1], inner[-1:]) or "*" in inner.replace("**", "")
            if stars and (re.match(r"\w", before) or "_" in inner.replace("\\_", "").replace("__", "")):
                return inner  # a line below begins in no word, and ends as early: there is no mark that would be read
            return _around("_" if stars else "*", inner)
        case Strike():
            return _around("~~", _spans(span.children))
        case Link():
            return _link(_spans(span.children), layout(Document((Paragraph(span.children),)), Ink()), span.href)
        case Math():
            return escape(unicode_math(span.latex))


def _around(mark: str, inner: str) -> str:
    """The marks close around the text: spaces inside them would undo them."""
    bare = inner.strip()
    if not bare:
        return inner
    start = inner.index(bare)
    return f"{inner[:start]}{mark}{bare}{mark}{inner[start + len(bare) :]}"


def _link(shown: str, read: str, href: str) -> str:
    """A link behind its label where Discord makes one: to an address of the web, under a label that is none itself."""
    if unquote(href).removeprefix("mailto:") == unquote(read):
        return read if ADDRESS.fullmatch(read) else escape(read)
    if not re.match(r"https?://\S", href, re.IGNORECASE) or "://" in read or "\n" in read or not read.strip():
        return f"{shown} ({escape(href)})"
    address = re.sub(r"[\s<>]", lambda found: f"%{ord(found[0]):02X}", href)
    label = shown.replace("]", "\\]")
    return f"[{label}](<{address}>)" if "(" in address or ")" in address else f"[{label}]({address})"


def _code(text: str) -> str:
    """A code span; the text itself where its backticks leave no way to write one."""
    runs = {len(run) for run in re.findall(r"`+", text)}
    ticks = next((mark for mark in ("`", "``") if len(mark) not in runs), "")
    if not text.strip() or not ticks:
        return escape(text)
    left = " " if text.startswith(("`", " `")) else ""
    right = " " if text.endswith(("`", "` ")) else ""
    return f"{ticks}{left}{text}{right}{ticks}"


def _fence(text: str, language: str) -> str:
    """A block of code. Three backticks end one wherever they stand: a line that holds them becomes a span of code."""
    if not text.strip():
        return ""
    name = language if re.fullmatch(r"[\w+#.-]+", language, re.ASCII) else ""
    if "```" not in text:
        return "\n".join(_blocked(text.split("\n"), name))
    parts: list[str] = []
    block: list[str] = []
    for line in (*text.split("\n"), "```"):
        if "```" not in line:
            block.append(line)
            continue
        parts += _blocked(block, name)
        block = []
        bare = line.lstrip()
        parts.append(line[: len(line) - len(bare)] + _code(bare))
    return "\n".join(parts[:-1])


def _blocked(lines: list[str], name: str) -> list[str]:
    """The lines as a block of code. Discord drops the empty ones at its ends: those stand around it."""
    full = [index for index, line in enumerate(lines) if line.strip()]
    if not full:
        return lines
    start, end = full[0], full[-1] + 1
    body = "\n".join(lines[start:end])
    return [*lines[:start], f"```{name}\n{body}\n```", *lines[end:]]


INK = Ink(
    text=escape,
    code=_code,
    strong=lambda inner: _around("**", inner),
    emphasis=lambda inner: _around("*", inner),
    strike=lambda inner: _around("~~", inner),
    link=_link,
    fence=_fence,
)
"""For tables, which the shared layout draws."""
