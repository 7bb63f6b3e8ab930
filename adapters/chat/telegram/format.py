"""A text as Telegram takes it: Rich HTML where the server has it, the HTML of parse_mode elsewhere, plain text at last."""

import html as markup
import re
from typing import Literal

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
from core.split import cut, faithful

Mode = Literal["rich", "html", "plain"]

RICH_CHARACTERS = 30_000  # of 32,768
RICH_BLOCKS = 450  # of 500; list items and table rows count
RICH_COLUMNS = 20
RICH_DEPTH = 16
UNITS = 3_900  # of 4,096 UTF-16 units, after the marks are taken out
RAW_UNITS = 4_096  # some servers count the marks too
ENTITIES = 95  # of 100; what comes after is shown without its mark


class Piece(msgspec.Struct, frozen=True):
    """One message: its text in the syntax of `mode`, and the Markdown that it came from, to be cut again for another mode."""

    text: str
    mode: Mode
    markdown: str


def pieces(markdown: str, mode: Mode) -> list[Piece]:
    """The messages that a text needs, in order, each within Telegram's limits and none of them empty."""
    if not markdown.strip():
        return []
    document = parse(markdown)
    render, fits = RENDERERS[mode], FITS[mode]
    whole = render(document)
    if fits(document, whole):
        found = [(document, whole, markdown)]
    else:
        parts = cut(document, lambda part: fits(part, render(part)))
        found = [(part, render(part), faithful(part)) for part in parts]
    kept = [Piece(text, mode, source) for part, text, source in found if plain(part).strip("─ \t\n")]
    if kept:
        return kept
    # Nothing but marks, such as a line or an empty fence: people read the marks.
    return [Piece(part if mode == "plain" else escape(part), mode, part) for part in _stripes(markdown.strip())]


def utf16_len(text: str) -> int:
    """The length as Telegram counts it, in UTF-16 units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def escape(text: str) -> str:
    """Text that stands in either HTML as itself."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def plain_text(document: Document) -> str:
    """The text without any mark; a link that hides its address shows it behind the label."""
    return layout(document, PLAIN_TEXT)


def html(document: Document) -> str:
    """The text for parse_mode=HTML: no tag inside code, no quote inside a quote, links only to addresses that Telegram opens."""
    return layout(document, HTML)


def rich_html(document: Document) -> str:
    """The text as Rich HTML, with newlines between the blocks, so that it still reads as text when the tags are taken out."""
    return _rich_blocks(document.blocks)


def _stripes(text: str) -> list[str]:
    return [text[at : at + RAW_UNITS // 5] for at in range(0, len(text), RAW_UNITS // 5)]


def _quoted(text: str) -> str:
    return escape(text).replace('"', "&quot;")


def _opens(href: str) -> bool:
    return bool(SCHEMES.match(href))


SCHEMES = re.compile(r"(?:https?://|tg://|mailto:)\S", re.IGNORECASE)


def _shown(label: str, read: str, href: str) -> str:
    """A link as text: its label, and its address unless that is the label."""
    return label if not href or read in {href, href.removeprefix("mailto:")} else f"{label} ({href})"


# --- parse_mode=HTML ---------------------------------------------------------------------------------------------------


def _around(tag: str, inner: str) -> str:
    """The mark around the text, interrupted around code, which takes no other mark."""
    if "<code>" not in inner:
        return f"<{tag}>{inner}</{tag}>"
    inner = inner.replace("<code>", f"</{tag}><code>").replace("</code>", f"</code><{tag}>")
    return f"<{tag}>{inner}</{tag}>".replace(f"<{tag}></{tag}>", "")


def _html_link(label: str, read: str, href: str) -> str:
    if not _opens(href):
        return _shown(label, read, escape(href))
    label = label.replace("<code>", "").replace("</code>", "")
    return f'<a href="{_quoted(href)}">{NESTED_LINK.sub("", label)}</a>'


NESTED_LINK = re.compile(r"</?a\b[^>]*>")


def _html_fence(text: str, language: str) -> str:
    if not text.strip():
        return escape(text)
    name = re.sub(r"[^\w+#.-]", "", language)
    return f'<pre><code class="language-{name}">{escape(text)}</code></pre>' if name else f"<pre>{escape(text)}</pre>"


HTML = Ink(
    text=escape,
    code=lambda text: f"<code>{escape(text)}</code>" if text.strip() else escape(text),
    strong=lambda inner: _around("b", inner),
    emphasis=lambda inner: _around("i", inner),
    strike=lambda inner: _around("s", inner),
    link=_html_link,
    heading=lambda inner, _level: _around("b", inner),
    fence=_html_fence,
    quote=lambda inner, depth: inner if depth or not inner.strip() else f"<blockquote>{inner}</blockquote>",
)
PLAIN_TEXT = Ink(link=_shown)


def _fits_html(document: Document, text: str) -> bool:
    units = utf16_len(text)
    if units > RAW_UNITS:
        return False
    return text.count("</") <= ENTITIES and (units <= UNITS or utf16_len(plain(document)) <= UNITS)


def _fits_plain(_document: Document, text: str) -> bool:
    return utf16_len(text) <= UNITS


# --- Rich HTML ---------------------------------------------------------------------------------------------------------


def _rich_blocks(blocks: tuple[Block, ...]) -> str:
    return "".join(("\n" * (block.gap + 1) if index else "") + _rich(block) for index, block in enumerate(blocks))


def _rich(block: Block) -> str:
    match block:
        case Paragraph():
            return f"<p>{_rich_spans(block.children)}</p>"
        case Heading():
            return f"<h{block.level}>{_rich_spans(block.children)}</h{block.level}>"
        case Fence():
            language = re.sub(r"[^\w+#.-]", "", block.language)
            name = f' class="language-{language}"' if language else ""
            return f"<pre><code{name}>{escape(block.text)}</code></pre>"
        case MathBlock():
            return f"<tg-math-block>{escape(block.latex)}</tg-math-block>"
        case Rule():
            return "<hr/>"
        case Quote():
            return f"<blockquote>{_rich_blocks(block.blocks)}</blockquote>"
        case Table():
            rows = [
                _rich_row(block.header, "th", block.align),
                *(_rich_row(row, "td", block.align) for row in block.rows),
            ]
            return "<table bordered striped>\n" + "\n".join(rows) + "\n</table>"
        case List():
            start = f' start="{block.start}"' if block.ordered and block.start != 1 else ""
            tag = "ol" if block.ordered else "ul"
            return f"<{tag}{start}>\n" + "\n".join(_rich_item(item) for item in block.items) + f"\n</{tag}>"


def _rich_item(item: Item) -> str:
    box = (
        "" if item.checked is None else '<input type="checkbox" checked>' if item.checked else '<input type="checkbox">'
    )
    blocks = item.blocks
    if not blocks or not isinstance(first := blocks[0], Paragraph):
        return f"<li>{box}{_rich_blocks(blocks)}</li>"
    # The first paragraph stands beside its bullet, not under it.
    rest = "\n" + _rich_blocks(blocks[1:]) if blocks[1:] else ""
    return f"<li>{box}{_rich_spans(first.children)}{rest}</li>"


def _rich_row(row: tuple[tuple[Inline, ...], ...], tag: str, align: tuple[str, ...]) -> str:
    cells = (
        f'<{tag} align="{side}">{_rich_spans(cell)}</{tag}>' if side else f"<{tag}>{_rich_spans(cell)}</{tag}>"
        for cell, side in zip(row, align, strict=False)
    )
    return f"<tr>{' '.join(cells)}</tr>"


def _rich_spans(children: tuple[Inline, ...]) -> str:
    parts: list[str] = []
    for span in children:
        match span:
            case Text():
                parts.append(escape(span.text))
            case Break():
                parts.append("<br>\n")
            case Code():
                parts.append(f"<code>{escape(span.text)}</code>")
            case Strong():
                parts.append(f"<b>{_rich_spans(span.children)}</b>")
            case Emphasis():
                parts.append(f"<i>{_rich_spans(span.children)}</i>")
            case Strike():
                parts.append(f"<s>{_rich_spans(span.children)}</s>")
            case Math():
                parts.append(f"<tg-math>{escape(span.latex)}</tg-math>")
            case Link():
                label = _rich_spans(span.children)
                if _opens(span.href):
                    parts.append(f'<a href="{_quoted(span.href)}">{NESTED_LINK.sub("", label)}</a>')
                else:
                    parts.append(_shown(label, markup.unescape(TAGS.sub("", label)), escape(span.href)))
    return "".join(parts)


TAGS = re.compile(r"<[^>]+>")


def _fits_rich(document: Document, text: str) -> bool:
    if len(text) > RICH_CHARACTERS:
        return False
    return sum(_count(block) for block in document.blocks) <= RICH_BLOCKS and all(
        _depth(block) <= RICH_DEPTH and _narrow(block) for block in document.blocks
    )


def _count(block: Block) -> int:
    match block:
        case List():
            return 1 + sum(1 + sum(_count(inner) for inner in item.blocks) for item in block.items)
        case Quote():
            return 1 + sum(_count(inner) for inner in block.blocks)
        case Table():
            return 2 + len(block.rows)
        case _:
            return 1


def _depth(block: Block) -> int:
    match block:
        case List():
            return 2 + max((_depth(inner) for item in block.items for inner in item.blocks), default=0)
        case Quote():
            return 1 + max((_depth(inner) for inner in block.blocks), default=0)
        case _:
            return 1


def _narrow(block: Block) -> bool:
    match block:
        case List():
            return all(_narrow(inner) for item in block.items for inner in item.blocks)
        case Quote():
            return all(_narrow(inner) for inner in block.blocks)
        case Table():
            return len(block.header) <= RICH_COLUMNS
        case _:
            return True


RENDERERS = {"rich": rich_html, "html": html, "plain": plain_text}
FITS = {"rich": _fits_rich, "html": _fits_html, "plain": _fits_plain}
