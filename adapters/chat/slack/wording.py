"""What people wrote in Slack as they read it: references in <…> by their names, escapes undone, rich text as its words."""

import re
from collections.abc import Callable, Iterator
from typing import Any

REFERENCE = re.compile(r"<([@#!]?)([^<>|\s][^<>|]*)(?:\|([^<>]*))?>")
_DEPTH = 16
_FENCE = "```"

Names = Callable[[str], str]
"""What somebody is called, by id; the id itself for somebody unknown."""


def unescaped(text: str) -> str:
    """The three signs that Slack escapes."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def escaped(text: str) -> str:
    """Text that Slack shows as it is: nothing in it can become a mention or a link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def shown_link(label: str, read: str, href: str) -> str:
    """A link as text: its label, and its address unless that is the label."""
    return label if not href or read in {href, href.removeprefix("mailto:")} else f"{label} ({href})"


def opens(href: str) -> bool:
    """Whether an address may be a link: one of the web, nothing that runs or reads."""
    return bool(re.match(r"https?://\S", href, re.IGNORECASE))


def plain(text: str, me: str, names: Names) -> str:
    """Escaped text as it is read; a mention of `me` leaves nothing."""
    return unescaped(REFERENCE.sub(lambda found: _reference(found, me, names), text))


def people(text: str, blocks: list[Any] | None) -> Iterator[str]:
    """The ids of the people whom a message mentions without a name."""
    for mark, who, label in REFERENCE.findall(text):
        if mark == "@" and not label:
            yield who
    for element in _elements(blocks, "user"):
        yield str(element.get("user_id") or "")


def mentions(me: str, text: str, blocks: list[Any] | None) -> bool:
    """Whether a message mentions `me`."""
    return bool(me) and (
        f"<@{me}>" in text or f"<@{me}|" in text or any(e.get("user_id") == me for e in _elements(blocks, "user"))
    )


def rich(blocks: list[Any] | None, me: str, names: Names) -> str:
    """The words of rich text; "" where a message has none."""
    parts = [
        _sections(block.get("elements"), me, names) for block in _dicts(blocks) if block.get("type") == "rich_text"
    ]
    return "\n".join(part for part in parts if part)


def _sections(elements: Any, me: str, names: Names) -> str:
    parts: list[str] = []
    for element in _dicts(elements):
        match element.get("type"):
            case "rich_text_list":
                parts.append(_list(element, me, names))
            case "rich_text_preformatted":
                code = _inline(element.get("elements"), me, names).strip("\n")
                parts.append(f"{_FENCE}{element.get('language') or ''}\n{code}\n{_FENCE}")
            case "rich_text_quote":
                quoted = _inline(element.get("elements"), me, names).strip("\n")
                parts.append("\n".join(f"> {line}" for line in quoted.split("\n")))
            case _:
                parts.append(_inline(element.get("elements"), me, names).strip("\n"))
    return "\n".join(part for part in parts if part)


def _list(element: dict[str, Any], me: str, names: Names) -> str:
    indent = element.get("indent")
    lead = "  " * min(indent, _DEPTH) if isinstance(indent, int) and indent > 0 else ""
    offset = element.get("offset")
    number = (offset if isinstance(offset, int) else 0) + 1
    lines = []
    for item in _dicts(element.get("elements")):
        mark = f"{number}." if element.get("style") == "ordered" else "-"
        lines.append(f"{lead}{mark} {_inline(item.get('elements'), me, names)}")
        number += 1
    return "\n".join(lines)


def _inline(elements: Any, me: str, names: Names) -> str:
    return "".join(_piece(element, me, names) for element in _dicts(elements))


def _piece(element: dict[str, Any], me: str, names: Names) -> str:
    def told(key: str) -> str:
        value = element.get(key)
        return value if isinstance(value, str) else ""

    match element.get("type"):
        case "text":
            style = element.get("style")
            code = isinstance(style, dict) and style.get("code") and "`" not in told("text")
            return f"`{told('text')}`" if code else told("text")
        case "link":
            return _link(told("text"), told("url"))
        case "user":
            return "" if me and told("user_id") == me else f"@{names(told('user_id'))}"
        case "usergroup":
            return f"@{told('usergroup_id')}"
        case "broadcast":
            return f"@{told('range')}"
        case "channel":
            return f"#{told('name') or told('channel_id')}"
        case "emoji":
            return _emoji(told("unicode")) or f":{told('name')}:"
        case "date":
            return told("fallback")
        case _:
            return told("text")


def _emoji(codes: str) -> str:
    try:
        return "".join(chr(int(code, 16)) for code in codes.split("-")) if codes else ""
    except (ValueError, OverflowError):
        return ""


def _reference(found: re.Match[str], me: str, names: Names) -> str:
    mark, name, label = found[1], found[2], found[3] or ""
    if mark == "@":
        return "" if me and name == me else f"@{label.removeprefix('@') or names(name)}"
    if mark == "#":
        return f"#{label or name}"
    if mark == "!":
        return label or f"@{name.partition('^')[0]}"
    return _link(label, name)


def _link(label: str, href: str) -> str:
    """A link as it reads; Slack makes links of bare names too."""
    bare = href.partition("://")[2].rstrip("/") or href.removeprefix("mailto:").removeprefix("tel:")
    if label in {"", href, bare, bare + "/"}:
        return label or (href if "://" in href else bare)
    return f"{label} ({href})"


def _elements(blocks: Any, kind: str, depth: int = 0) -> Iterator[dict[str, Any]]:
    if depth > _DEPTH:
        return
    for block in _dicts(blocks):
        if block.get("type") == kind:
            yield block
        yield from _elements(block.get("elements"), kind, depth + 1)


def _dicts(values: Any) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []
