"""Telegram's markup: HTML as a tree of nodes, and the text with entities that parse_mode=HTML makes of it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.servers.bot_api.wire import Refused, words


@dataclass(slots=True)
class Node:
    """An element of markup."""

    tag: str
    attrs: dict[str, str]
    children: list["Node | str"] = field(default_factory=list)


MARK = re.compile(
    r"<(?:/(?P<end>[a-zA-Z][\w-]*)\s*|(?P<tag>[a-zA-Z][\w-]*)"
    r"(?P<attrs>(?:\s+[\w-]+(?:=(?:\"[^\"<]*\"|'[^'<]*'|[\w.:-]+))?)*)\s*(?P<closed>/?))>"
)
ATTR = re.compile(r"([\w-]+)(?:=(?:\"([^\"]*)\"|'([^']*)'|([\w.:-]+)))?")
NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}
NAMED_RICH = NAMED | {
    "apos": "'",
    "nbsp": "\xa0",
    "hellip": "…",
    "mdash": "—",
    "ndash": "–",
    "lsquo": "‘",
    "rsquo": "’",
    "ldquo": "“",
    "rdquo": "”",
}
RICH = "can't parse rich message"
BASIC = words("b strong i em u ins s strike del span tg-spoiler a tg-emoji tg-time code pre blockquote")
MARKS = {
    **dict.fromkeys(("b", "strong"), "bold"),
    **dict.fromkeys(("i", "em"), "italic"),
    **dict.fromkeys(("u", "ins"), "underline"),
    **dict.fromkeys(("s", "strike", "del"), "strikethrough"),
    **dict.fromkeys(("span", "tg-spoiler"), "spoiler"),
    "code": "code",
    "pre": "pre",
    "blockquote": "blockquote",
    "tg-emoji": "custom_emoji",
    "tg-time": "date_time",
}


def read_html(html: str) -> tuple[str, list[dict]]:
    """Text and entities of parse_mode=HTML, trimmed as the platform trims; Refused where it would refuse."""
    entities: list[dict] = []
    parts: list[str] = []

    def walk(node: Node, start: int) -> int:
        at = start
        for child in node.children:
            if isinstance(child, str):
                parts.append(child)
                at += units(child)
            else:
                place = len(entities)
                end = walk(child, at)
                if end > at and (found := _entity(child, node)):
                    entities.insert(place, found | {"offset": at, "length": end - at})
                at = end
        return at

    walk(tree(html, BASIC, (), NAMED, "can't parse entities"), 0)
    text = "".join(parts)
    kept = text.rstrip(" \n\t\r")
    first = entities[0]["offset"] if entities else len(kept)
    lead = min(len(kept) - len(kept.lstrip(" \n\t\r")), first)
    end = units(kept)
    trimmed = [e | {"offset": e["offset"] - lead, "length": min(e["length"], end - e["offset"])} for e in entities]
    return kept[lead:], [e for e in trimmed if e["length"] > 0][:100]


def _entity(node: Node, parent: Node) -> dict | None:
    tag, attrs = node.tag, node.attrs
    if tag == "a":
        url = attrs.get("href", "")
        return {"type": "text_link", "url": url} if re.match(r"(https?|tg|mailto|tel):", url) else None
    if tag == "code" and parent.tag == "pre":
        return None
    if tag == "pre":
        [inner, *rest] = node.children or [""]
        if isinstance(inner, Node) and inner.tag == "code" and not rest and "class" in inner.attrs:
            return {"type": "pre", "language": inner.attrs["class"].removeprefix("language-")}
    if tag == "blockquote" and "expandable" in attrs:
        return {"type": "expandable_blockquote"}
    if tag == "tg-emoji":
        return {"type": "custom_emoji", "custom_emoji_id": attrs.get("emoji-id", "")}
    return {"type": MARKS[tag]}


def tree(html: str, allowed: set[str], void: Iterable[str], named: dict[str, str], what: str) -> Node:
    root = Node("", {})
    stack, at = [root], 0
    while (less := html.find("<", at)) >= 0:
        if less > at:
            stack[-1].children.append(unescape(html[at:less], named, what))
        mark, where = MARK.match(html, less), f"at byte offset {len(html[:less].encode())}"
        if mark is None:
            raise Refused(400, f"Bad Request: {what}: Unclosed or unsupported start tag {where}")
        at = mark.end()
        if end := mark["end"]:
            if len(stack) == 1:
                raise Refused(400, f"Bad Request: {what}: Unexpected end tag {where}")
            if end.lower() != stack[-1].tag:
                expected = f'expected "</{stack[-1].tag}>", found "</{end}>"'
                raise Refused(400, f"Bad Request: {what}: Unmatched end tag {where}, {expected}")
            stack.pop()
            continue
        tag = mark["tag"].lower()
        if tag not in allowed:
            raise Refused(400, f'Bad Request: {what}: Unsupported start tag "{tag}" {where}')
        attrs = {m[1]: unescape(m[2] or m[3] or m[4] or "", named, what) for m in ATTR.finditer(mark["attrs"])}
        if tag == "span" and attrs.get("class") != "tg-spoiler":
            raise Refused(400, f'Bad Request: {what}: Tag "span" must have class "tg-spoiler" {where}')
        stack[-1].children.append(node := Node(tag, attrs))
        if tag not in void and not mark["closed"]:
            stack.append(node)
    if at < len(html):
        stack[-1].children.append(unescape(html[at:], named, what))
    if len(stack) > 1:
        raise Refused(400, f'Bad Request: {what}: Can\'t find end tag corresponding to start tag "{stack[-1].tag}"')
    return root


def unescape(text: str, named: dict[str, str], what: str) -> str:
    if "&" not in text:
        return text

    def one(match: re.Match) -> str:
        name = match[1]
        if name.startswith("#"):
            code = int(name[1:] if name[1].isdigit() else "0" + name[1:], 0 if name[1] in "xX" else 10)
            return chr(code) if 0 < code < 0x110000 and not 0xD800 <= code < 0xE000 else match[0]
        if name not in named and named is NAMED_RICH:
            raise Refused(400, f'Bad Request: {what}: Unsupported entity "&{name};"')
        return named.get(name, match[0])

    return re.sub(r"&(#[xX][0-9a-fA-F]+|#[0-9]+|[a-zA-Z]+);", one, text)


def entities_of(text: str) -> list[dict]:
    found = []
    for match in re.finditer(r"(?<![\w/@])(/[A-Za-z0-9_]{1,32}(?:@\w{3,32})?|@\w{3,32}|https?://[^\s<>]+)", text):
        kind = {"/": "bot_command", "@": "mention"}.get(match[0][0], "url")
        found.append({"type": kind, "offset": units(text[: match.start()]), "length": units(match[0])})
    return found


def units(text: str) -> int:
    """The length as Telegram counts it: UTF-16 code units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2
