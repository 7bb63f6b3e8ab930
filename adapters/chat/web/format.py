"""Markdown as HTML for the page: drawn from core's tree, then sanitised by a library with a short list.

HTML that stands in the Markdown is text. Nothing that comes out loads anything: pictures are links in the tree already.
"""

import re
from functools import lru_cache
from html import escape

import nh3

from adapters.chat.web.formulas import LENGTH, mathml
from adapters.chat.web.highlight import coloured
from core.dialect import dialect
from core.markdown import (
    Block,
    Break,
    Code,
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
from core.text import balanced, parse


def render(markdown: str) -> str:
    """HTML that can be put into the page as it is: no scripts, no styles, no requests."""
    return _cleaner().clean(_blocks(parse(markdown).blocks))


class Growing:
    """Renders a text that grows, at the price of what is new: blocks that are complete are drawn once."""

    def __init__(self) -> None:
        self._settled = ""
        self._html = ""

    def html(self, markdown: str) -> str:
        """The HTML of the text so far, without half marks."""
        markdown = markdown.replace("\r\n", "\n").replace("\r", "\n")
        if not markdown.startswith(self._settled):
            self._settled = self._html = ""
        rest = markdown[len(self._settled) :]
        cut = _settled(rest)
        if cut:
            self._html += render(rest[:cut])
            self._settled = markdown[: len(self._settled) + cut]
            rest = rest[cut:]
        return self._html + render(balanced(rest))


def _settled(markdown: str) -> int:
    """Up to where what follows can change nothing, in characters: the last block, or an open formula, begins there."""
    if "\n" not in markdown:
        return 0
    tokens = _parser().parse(markdown)
    last = 0
    for index, token in enumerate(tokens):
        if token.level or token.nesting < 0 or not token.map:
            continue
        last = token.map[0]
        if token.type == "paragraph_open" and _OPEN_FORMULA.match(tokens[index + 1].content):
            if len(markdown) - _line(markdown, last) > LENGTH:
                continue  # no formula is that long: two dollars that mean something else
            break
    return _line(markdown, last)


_parser = lru_cache(maxsize=1)(dialect)
_OPEN_FORMULA = re.compile(r"\s*(?:\$\$(?!.*\$\$)|\\\[(?!.*\\\]))", re.DOTALL)


def _line(markdown: str, number: int) -> int:
    return len(markdown) - len(markdown.split("\n", number)[-1])


# blocks


def _blocks(blocks: tuple[Block, ...]) -> str:
    return "".join(map(_block, blocks))


def _block(block: Block) -> str:
    match block:
        case Paragraph():
            return f'<p dir="auto">{_spans(block.children)}</p>\n'
        case Heading():
            level = min(6, block.level + 2)  # the page has its own first and second
            return f'<h{level} dir="auto">{_spans(block.children)}</h{level}>\n'
        case Fence():
            return _fence(block)
        case MathBlock():
            return f'<div class="formula">{mathml(block.latex, display=True)}</div>\n'
        case Rule():
            return "<hr>\n"
        case Quote():
            return f'<blockquote dir="auto">\n{_blocks(block.blocks)}</blockquote>\n'
        case List():
            return _list(block)
        case Table():
            return _table(block)


def _fence(fence: Fence) -> str:
    return (
        f'<figure class="code"><figcaption><span>{escape(fence.language[:30] or "text")}</span>'
        '<button type="button" class="copy">Copy</button></figcaption>'
        f'<pre dir="ltr" tabindex="0"><code>{coloured(fence.text, fence.language)}\n</code></pre></figure>\n'
    )


def _list(block: List) -> str:
    loose = any(item.gap for item in block.items)
    items = "".join(_item(item, loose) for item in block.items)
    if block.ordered:
        start = f' start="{block.start}"' if block.start != 1 else ""
        return f"<ol{start}>\n{items}</ol>\n"
    tasks = ' class="tasks"' if all(item.checked is not None for item in block.items) else ""
    return f"<ul{tasks}>\n{items}</ul>\n"


def _item(item: Item, loose: bool) -> str:
    box = "" if item.checked is None else "\N{BALLOT BOX WITH CHECK} " if item.checked else "\N{BALLOT BOX} "
    first = item.blocks[0] if item.blocks else None
    if isinstance(first, Paragraph) and not loose:
        rest = _blocks(item.blocks[1:])
        return f'<li dir="auto">{box}{_spans(first.children)}{rest and chr(10)}{rest}</li>\n'
    return f'<li dir="auto">{box}{_blocks(item.blocks)}</li>\n'


def _table(table: Table) -> str:
    head = _row(table.header, table.align, "th")
    body = "".join(_row(row, table.align, "td") for row in table.rows)
    return (
        f'<div class="table" tabindex="0"><table>\n<thead>\n{head}</thead>\n<tbody>\n{body}</tbody>\n</table></div>\n'
    )


def _row(cells: tuple[tuple[Inline, ...], ...], align: tuple[str, ...], tag: str) -> str:
    sides = (f' class="{side}"' if side else "" for side in align)
    row = "".join(f'<{tag} dir="auto"{side}>{_spans(cell)}</{tag}>\n' for cell, side in zip(cells, sides, strict=False))
    return f"<tr>\n{row}</tr>\n"


# inside a line


def _spans(spans: tuple[Inline, ...]) -> str:
    return "".join(map(_span, spans))


def _span(span: Inline) -> str:
    match span:
        case Text():
            return escape(span.text, quote=False)
        case Code():
            return f"<code>{escape(span.text, quote=False)}</code>"
        case Math(latex, True):
            return f'<span class="formula">{mathml(latex, display=True)}</span>'
        case Math():
            return mathml(span.latex, display=False)
        case Break():
            return "<br>"
        case Strong():
            return f"<strong>{_spans(span.children)}</strong>"
        case Emphasis():
            return f"<em>{_spans(span.children)}</em>"
        case Strike():
            return f"<s>{_spans(span.children)}</s>"
        case Link():
            # the sanitiser takes every address that is not http, https or mailto
            return f'<a href="{escape(span.href)}">{_spans(span.children)}</a>'


_MATH = {
    *(
        "math",
        "mrow",
        "mi",
        "mn",
        "mo",
        "mtext",
        "mspace",
        "msup",
        "msub",
        "msubsup",
        "mfrac",
        "msqrt",
        "mroot",
        "munder",
    ),
    *("mover", "munderover", "mtable", "mtr", "mtd", "mstyle", "mpadded", "mphantom", "menclose"),
}
_MATH_ATTRIBUTES = {
    *(
        "stretchy",
        "fence",
        "form",
        "accent",
        "separator",
        "largeop",
        "movablelimits",
        "minsize",
        "maxsize",
        "symmetric",
    ),
    *(
        "displaystyle",
        "scriptlevel",
        "linethickness",
        "mathvariant",
        "columnalign",
        "width",
        "height",
        "depth",
        "lspace",
    ),
    *("rspace", "voffset", "notation", "columnspacing", "rowspacing"),
}
_TEXT = {
    *(
        "p",
        "br",
        "hr",
        "h3",
        "h4",
        "h5",
        "h6",
        "strong",
        "em",
        "s",
        "a",
        "ul",
        "ol",
        "li",
        "blockquote",
        "code",
        "pre",
        "span",
    ),
    *("figure", "figcaption", "button", "div", "table", "thead", "tbody", "tr", "th", "td"),
}


@lru_cache(maxsize=1)
def _cleaner() -> nh3.Cleaner:
    directed = {tag: {"dir"} for tag in ("p", "h3", "h4", "h5", "h6", "li", "blockquote", "th", "td")}
    return nh3.Cleaner(
        tags=_TEXT | _MATH,
        clean_content_tags={"script", "style", "iframe", "object", "template", "noscript"},
        attributes={
            **directed,
            **dict.fromkeys(_MATH, _MATH_ATTRIBUTES),
            "math": _MATH_ATTRIBUTES | {"display", "alttext"},
            "a": {"href"},
            "ol": {"start"},
            "pre": {"dir", "tabindex"},
            "div": {"tabindex"},
        },
        tag_attribute_values={"button": {"type": {"button"}}},
        set_tag_attribute_values={"a": {"target": "_blank"}},
        allowed_classes={
            "figure": {"code"},
            "button": {"copy"},
            "div": {"table", "formula"},
            "span": {"formula", "k", "s", "n", "c", "f"},
            "code": {"formula"},
            "th": {"left", "center", "right"},
            "td": {"left", "center", "right"},
            "ul": {"tasks"},
        },
        url_schemes={"http", "https", "mailto"},
        url_relative="deny",
        link_rel="noopener noreferrer nofollow",
    )
