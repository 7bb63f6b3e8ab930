"""Rich HTML: the rules that a rich message must keep, its text as it is read, its blocks.

The text is in plain Markdown's layout: blocks are a blank line apart, "- " and "1. " stand before items, "[x] " for a
ticked box, " | " between the cells of a row, "---" for a rule; the marks inside a line are gone.
"""

import re

from tests.servers.bot_api.markup import NAMED_RICH, RICH, Node, tree
from tests.servers.bot_api.messages import Content
from tests.servers.bot_api.wire import Refused, words

INLINE = words(
    "a b strong i em u ins s strike del code mark sub sup tg-spoiler cite input tg-math tg-emoji tg-time tg-reference br"
)
HEADINGS = {f"h{n}" for n in range(1, 7)}
MEDIA = {"img", "video", "audio"}
BLOCKS = (
    HEADINGS
    | MEDIA
    | words(
        "p pre footer hr ul ol li blockquote aside figure table tr details tg-math-block tg-map tg-collage tg-slideshow "
        "tg-thinking"
    )
)
PARTS = words("figcaption caption th td summary")
VOID = {"br", "hr", "img", "input"}
FLOW = {"", "li", "blockquote", "details"}  # what holds blocks and running text
ONLY = {  # what holds nothing but these
    "ul": {"li"},
    "ol": {"li"},
    "table": {"tr", "caption"},
    "tr": {"th", "td"},
    "figure": MEDIA | {"figcaption", "tg-map"},
    "tg-collage": MEDIA | {"figure", "figcaption"},
    "tg-slideshow": MEDIA | {"figure", "figcaption"},
}
WITHIN = {  # what stands nowhere else
    "li": {"ul", "ol"},
    "tr": {"table"},
    "th": {"tr"},
    "td": {"tr"},
    "caption": {"table"},
    "figcaption": {"figure", "tg-collage", "tg-slideshow"},
    "summary": {"details"},
    "cite": {"blockquote", "aside", "figcaption"},
    "input": {"li", "p"},
}
CELL = {"colspan": r"[1-9]\d?", "rowspan": r"[1-9]\d?", "align": "left|center|right", "valign": "top|middle|bottom"}
ATTRS: dict[str, dict[str, str]] = {
    "a": {"href": ".+", "name": ".+"},
    "code": {"class": r"language-\S+"},
    "ol": {"start": r"-?\d+", "type": "[aAiI1]", "reversed": ".*"},
    "li": {"value": r"-?\d+", "type": "[aAiI1]"},
    "input": {"type": "checkbox", "checked": ".*", "disabled": ".*"},
    "blockquote": {"expandable": ".*"},
    "details": {"open": ".*"},
    "table": {"bordered": ".*", "striped": ".*"},
    "td": CELL,
    "th": CELL,
    "tg-emoji": {"emoji-id": r"\d+"},
    "tg-time": {"unix": r"\d+", "format": ".*"},
    "tg-reference": {"name": ".+"},
    "tg-map": {"lat": ".+", "long": ".+", "zoom": r"\d+", "width": r"\d+", "height": r"\d+"},
    **{tag: {"src": ".+", "alt": ".*", "tg-spoiler": ".*", "loop": ".*", "title": ".*"} for tag in MEDIA},
}


def read_rich(html: str, *, draft: bool = False) -> Content:
    """The text, blocks and links of Rich HTML; Refused where it breaks the rules or the limits."""
    root = tree(html, INLINE | BLOCKS | PARTS, VOID, NAMED_RICH, RICH)
    content = Content("rich", "", html)
    if _count(root, 0, content, draft=draft) > 500:
        raise Refused(400, f"Bad Request: {RICH}: too many blocks")
    if len(content.media) > 50:
        raise Refused(400, f"Bad Request: {RICH}: too much media")
    content.text = _plain(root).strip("\n")
    content.blocks = _blocks(root)
    return content


def _count(node: Node, depth: int, content: Content, *, draft: bool) -> int:
    if depth > 16:
        raise Refused(400, f"Bad Request: {RICH}: nested too deeply")
    _permit(node, draft=draft)
    if node.tag == "a" and "href" in node.attrs:
        content.links.append(node.attrs["href"])
    elif node.tag in MEDIA:
        content.media.append(node.attrs.get("src", ""))
    elif node.tag == "tr" and sum(int(c.attrs.get("colspan", 1)) for c in node.children if isinstance(c, Node)) > 20:
        raise Refused(400, f"Bad Request: {RICH}: a table has at most 20 columns")
    blocks, running = int(node.tag in BLOCKS), False
    for child in node.children:
        if isinstance(child, str):
            if node.tag in ONLY and child.strip():
                raise Refused(400, f"Bad Request: {RICH}: text directly in <{node.tag}>")
            begins = bool(child.strip())
        else:
            if not _fits(child.tag, node.tag):
                raise Refused(400, f"Bad Request: {RICH}: <{child.tag}> can't stand in <{node.tag or 'the message'}>")
            blocks += _count(child, depth + 1, content, draft=draft)
            begins = child.tag in INLINE
            running = running and begins
        if node.tag in FLOW - {"li"} and begins and not running:
            blocks, running = blocks + 1, True  # a paragraph without its tag
    return blocks


def _permit(node: Node, *, draft: bool) -> None:
    if node.tag == "tg-thinking" and not draft:
        raise Refused(400, f"Bad Request: {RICH}: <tg-thinking> is for drafts")
    known = ATTRS.get(node.tag, {})
    for name, value in node.attrs.items():
        if name not in known or not re.fullmatch(known[name], value):
            raise Refused(400, f'Bad Request: {RICH}: <{node.tag}> has no attribute {name}="{value}"')
    needed = {"a": ("href", "name"), "input": ("type",), "tg-time": ("unix",), "img": ("src",)}.get(node.tag)
    if needed and not set(needed) & set(node.attrs):
        raise Refused(400, f"Bad Request: {RICH}: <{node.tag}> needs {' or '.join(needed)}")
    source = node.attrs.get("src", "tg:")
    if node.tag in MEDIA and not re.match(r"(https?:|tg:)", source):
        raise Refused(400, f"Bad Request: {RICH}: wrong media address {source}")


def _fits(tag: str, parent: str) -> bool:
    if tag in WITHIN and parent not in WITHIN[tag]:
        return False
    if parent in ONLY:
        return tag in ONLY[parent]
    if parent == "pre":
        return tag == "code"
    if parent in ("code", "tg-math", "tg-math-block"):
        return False
    return tag in INLINE or parent in FLOW


def _plain(node: Node, depth: int = 0) -> str:
    """What is read, in the layout that the module's text describes."""
    tag = node.tag
    if tag == "br":
        return "\n"
    if tag == "hr":
        return "---"
    if tag == "input":
        return "[x] " if "checked" in node.attrs else "[ ] "
    if tag in ("pre", "tg-math-block", "tg-math", "code"):
        return "".join(c if isinstance(c, str) else _plain(c) for c in node.children)
    inner = [c for c in node.children if isinstance(c, Node)]
    if tag in ("ul", "ol"):
        first = int(node.attrs.get("start", 1))
        labels = (f"{first + n}. " if tag == "ol" else "- " for n in range(len(inner)))
        return "\n".join(
            label + _plain(item).replace("\n", "\n" + " " * len(label))
            for label, item in zip(labels, inner, strict=True)
        )
    if tag == "table":
        return "\n".join(map(_plain, inner))
    if tag == "tr":
        return " | ".join(map(_plain, inner))
    if tag in FLOW:
        between = "\n" if tag in ("li", "details") else "\n\n"
        return between.join(text if isinstance(text, str) else _plain(text) for text in _paragraphs(node))
    return _line(node.children)


def _paragraphs(node: Node) -> list[Node]:
    """The blocks of a place that holds blocks and running text; running text becomes a <p>."""
    found: list[Node] = []
    running: list[Node | str] = []

    def end() -> None:
        if running and _line(running).strip():
            found.append(Node("p", {}, running.copy()))
        running.clear()

    for child in node.children:
        if isinstance(child, str) or child.tag in INLINE:
            running.append(child)
        else:
            end()
            found.append(child)
    end()
    return found


def _line(children: list[Node | str]) -> str:
    text = "".join(re.sub(r"\s*\n\s*", " ", c) if isinstance(c, str) else _plain(c) for c in children)
    return re.sub(r" *\n *", "\n", text).strip(" \n") if "\n" in text else text.strip(" ")


def _blocks(node: Node) -> list[dict]:
    return [_block(child) for child in _paragraphs(node)]


def _block(node: Node) -> dict:
    tag, inner = node.tag, [c for c in node.children if isinstance(c, Node)]
    if tag in HEADINGS:
        return {"type": "heading", "size": int(tag[1]), "text": _plain(node)}
    if tag == "pre":
        language = inner[0].attrs.get("class", "").removeprefix("language-") if inner else ""
        return {"type": "pre", "text": _plain(node)} | ({"language": language} if language else {})
    if tag == "hr":
        return {"type": "divider"}
    if tag == "tg-math-block":
        return {"type": "mathematical_expression", "expression": _plain(node)}
    if tag in ("ul", "ol"):
        return {
            "type": "list",
            "items": [_item(i, n, tag) for n, i in enumerate(inner, int(node.attrs.get("start", 1)))],
        }
    if tag == "blockquote":
        return {"type": "blockquote", "blocks": _blocks(node)}
    if tag == "details":
        summary = next((c for c in inner if c.tag == "summary"), Node("summary", {}))
        rest = Node("", {}, [c for c in node.children if c is not summary])
        return {"type": "details", "summary": _plain(summary), "blocks": _blocks(rest)}
    if tag == "table":
        rows = [[c for c in row.children if isinstance(c, Node)] for row in inner if row.tag == "tr"]
        return {"type": "table", "cells": [[_cell(c) for c in row] for row in rows]}
    return {
        "type": {"footer": "footer", "aside": "pullquote", "tg-thinking": "thinking"}.get(tag, "paragraph"),
        "text": _plain(node),
    }


def _item(node: Node, number: int, kind: str) -> dict:
    boxes = [c for c in node.children if isinstance(c, Node) and c.tag == "input"]
    ticked = {"has_checkbox": True, "is_checked": "checked" in boxes[0].attrs} if boxes else {}
    rest = Node("li", {}, [c for c in node.children if c not in boxes])
    return {"label": f"{number}." if kind == "ol" else "•", "blocks": _blocks(rest)} | ticked


def _cell(node: Node) -> dict:
    places = {"align": node.attrs.get("align", "left"), "valign": node.attrs.get("valign", "top")}
    return {"text": _plain(node)} | ({"is_header": True} if node.tag == "th" else {}) | places
