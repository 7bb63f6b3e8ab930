"""Slack's own way of writing: escaping, references in <...>, what a person reads of it, and rich text made of it.

Layout of what is read: paragraphs and blocks are apart by an empty line, items of lists begin with "• " or "1. ", cells of
a table are joined by " | ", a link shows its label.
"""

import re
from collections.abc import Callable

from markdown_it import MarkdownIt
from markdown_it.token import Token

REFERENCE = re.compile(r"<([@#!]?)([^<>|\s][^<>|]*)(?:\|([^<>]*))?>")
LINK = re.compile(r"https?://[^\s<>|)\]]+")
STYLE = re.compile(
    r"(?<![\w*])\*(\S(?:[^*\n]*\S)?)\*(?!\w)|(?<!\w)_(\S(?:[^_\n]*\S)?)_(?!\w)|(?<!\w)~(\S(?:[^~\n]*\S)?)~(?!\w)"
)
CODE = re.compile(r"```(.*?)```|`([^`\n]+)`", re.DOTALL)
LESS = re.compile(r"&(?:lt|#0*60|#[xX]0*3[cC]);")
MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
Names = Callable[[str], str]
"""The name of a person or channel by id; the id itself for one that nobody knows."""


def escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def unescape(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def pings(text: str) -> list[str]:
    """Whom a text would call: "here", "channel", "everyone", a subteam's id, a person's id."""
    found = []
    for mark, name, _ in REFERENCE.findall(text):
        if mark == "@":
            found.append(name)
        elif mark == "!" and name.partition("^")[0] in ("here", "channel", "everyone", "subteam"):
            found.append(name.partition("^")[2] or name)
    return found


def links(text: str) -> list[str]:
    """Addresses that would be unfurled."""
    return [unescape(found) for found in LINK.findall(text)]


def read_mrkdwn(text: str, names: Names) -> str:
    """What a person reads of mrkdwn."""
    kept: list[str] = []

    def keep(match: re.Match) -> str:
        kept.append((match[1] if match[1] is not None else match[2]).strip("\n"))
        return f"\0{len(kept) - 1}\0"

    text = CODE.sub(keep, text)
    text = STYLE.sub(lambda m: next(g for g in m.groups() if g is not None), text)
    text = re.sub(r"^&gt; ?", "", text, flags=re.MULTILINE)
    text = re.sub(r"\0(\d+)\0", lambda m: kept[int(m[1])], text)
    return read_plain(text, names)


def read_plain(text: str, names: Names) -> str:
    """What a person reads of escaped text with references and no style."""
    return unescape(REFERENCE.sub(lambda m: _reference(m, names), text))


def _reference(match: re.Match, names: Names) -> str:
    mark, name, label = match[1], match[2], match[3]
    if mark == "@":
        return f"@{names(name)}"
    if mark == "#":
        return f"#{label or names(name)}"
    if mark == "!":
        return label or f"@{name.partition('^')[0]}"
    if "://" in name or name.startswith("mailto:"):
        return label or name
    return match[0]


def read_markdown(text: str, names: Names) -> str:
    """What a person reads of a markdown block."""
    parts: list[str] = []
    lines: list[str] = []  # of the list or table that is open
    row: list[str] = []
    lists: list[int | None] = []  # the next number of each list that is open; None for one of bullets
    mark, cell = "", False
    for token in MARKDOWN.parse(text):
        match token.type:
            case "bullet_list_open":
                lists.append(None)
            case "ordered_list_open":
                lists.append(int(token.attrGet("start") or 1))
            case "list_item_open":
                number = lists[-1]
                mark = "  " * (len(lists) - 1) + ("• " if number is None else f"{number}. ")
                lists[-1] = None if number is None else number + 1
            case "bullet_list_close" | "ordered_list_close":
                lists.pop()
            case "th_open" | "td_open":
                cell = True
            case "th_close" | "td_close":
                cell = False
            case "tr_close":
                lines.append(" | ".join(row))
                row = []
            case "inline" if cell:
                row.append(_inline(token, names))
            case "inline" | "fence" | "code_block" | "html_block" | "hr":
                read = _inline(token, names) if token.type == "inline" else token.content.rstrip("\n")
                (lines if lists else parts).append(mark + ("———" if token.type == "hr" else read))
                mark = ""
        if lines and not lists and token.type in ("bullet_list_close", "ordered_list_close", "table_close"):
            parts.append("\n".join(lines))
            lines = []
    return "\n\n".join(parts)


def _inline(token: Token, names: Names) -> str:
    text = ""
    for child in token.children or []:
        if child.type in ("text", "code_inline", "html_inline"):
            text += child.content
        elif child.type in ("softbreak", "hardbreak"):
            text += "\n"
        elif child.type == "image":
            text += child.content
    return REFERENCE.sub(lambda m: _reference(m, names), text)


def markdown_pings(text: str) -> list[str]:
    """Whom a markdown block would call; what stands in code, or with an entity for its bracket, calls nobody."""
    found = []
    for token in MARKDOWN.parse(LESS.sub("‹", text)):
        for child in token.children or []:
            if child.type not in ("code_inline", "image"):
                found += pings(child.content)
        if token.type == "html_block":
            found += pings(token.content)
        elif token.type == "inline":
            found += [
                p for p in pings("".join(c.content for c in token.children or [] if c.type == "text")) if p not in found
            ]
    return found


def rich_text(text: str, block_id: str) -> dict:
    """The rich_text block that a client makes of what a person wrote (escaped, with references)."""
    elements = []
    for number, piece in enumerate(re.split(r"```\n?(.*?)```", text, flags=re.DOTALL)):
        if number % 2:
            code = [{"type": "text", "text": unescape(piece)}]
            elements.append({"type": "rich_text_preformatted", "elements": code, "border": 0})
        elif piece.strip("\n"):
            elements.append({"type": "rich_text_section", "elements": _rich(piece)})
    return {"type": "rich_text", "block_id": block_id, "elements": elements}


def _rich(text: str) -> list[dict]:
    elements: list[dict] = []
    end = 0
    for match in REFERENCE.finditer(text):
        mark, name, label = match.groups()
        if match.start() > end:
            elements.append({"type": "text", "text": unescape(text[end : match.start()])})
        end = match.end()
        if mark == "@":
            elements.append({"type": "user", "user_id": name})
        elif mark == "#":
            elements.append({"type": "channel", "channel_id": name})
        elif mark == "!" and name.startswith("subteam^"):
            elements.append({"type": "usergroup", "usergroup_id": name.removeprefix("subteam^")})
        elif mark == "!":
            elements.append({"type": "broadcast", "range": name})
        else:
            shown = {"text": unescape(label)} if label else {}
            elements.append({"type": "link", "url": unescape(name)} | shown)
    if end < len(text):
        elements.append({"type": "text", "text": unescape(text[end:])})
    return elements
