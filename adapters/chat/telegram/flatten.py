"""A rich message that a person sent, as Markdown: its blocks are many and still grow, so unknown ones give their text."""

from typing import Any

_MARKS = {"bold": "**", "italic": "*", "strikethrough": "~~", "code": "`"}
_DEPTH = 32


def flat(blocks: list[Any]) -> str:
    """The text of the blocks; "" where there is none."""
    return _blocks(blocks, 0).strip()


def _blocks(blocks: Any, depth: int) -> str:
    if not isinstance(blocks, list) or depth > _DEPTH:
        return ""
    return "\n\n".join(part for part in (_block(block, depth) for block in blocks) if part)


def _block(block: Any, depth: int) -> str:
    if not isinstance(block, dict):
        return ""
    kind, text = block.get("type", ""), _inline(block.get("text"), depth)
    match kind:
        case "heading":
            size = block.get("size")
            return f"{'#' * (size if isinstance(size, int) and 1 <= size <= 6 else 2)} {text}"
        case "pre":
            return f"```{block.get('language') or ''}\n{text}\n```"
        case "mathematical_expression":
            return f"$$\n{block.get('expression') or ''}\n$$"
        case "list":
            return "\n".join(_item(item, depth) for item in _dicts(block.get("items")))
        case "blockquote":
            inner = _blocks(block.get("blocks"), depth + 1) or text
            return "\n".join(f"> {line}" for line in inner.split("\n"))
        case "table":
            return _table(block.get("cells"), depth)
        case "divider":
            return "---"
        case _:
            summary = _inline(block.get("summary"), depth)
            return "\n\n".join(part for part in (summary, text, _blocks(block.get("blocks"), depth + 1)) if part)


def _item(item: dict[str, Any], depth: int) -> str:
    label = str(item.get("label") or "-")
    label = label if label[:1].isalnum() else "-"
    box = ("[x] " if item.get("is_checked") else "[ ] ") if item.get("has_checkbox") else ""
    inner = _blocks(item.get("blocks"), depth + 1) or _inline(item.get("text"), depth)
    return f"{label} {box}" + inner.replace("\n", "\n  ")


def _table(rows: Any, depth: int) -> str:
    lines = []
    for row in rows if isinstance(rows, list) else ():
        cells = [_inline(cell.get("text"), depth).replace("\n", " ") for cell in _dicts(row)]
        lines.append(f"| {' | '.join(cells)} |")
        if len(lines) == 1:
            lines.append("|" + " --- |" * len(cells))
    return "\n".join(lines)


def _inline(text: Any, depth: int) -> str:
    if isinstance(text, str):
        return text
    if depth > _DEPTH:
        return ""
    if isinstance(text, list):
        return "".join(_inline(part, depth + 1) for part in text)
    if not isinstance(text, dict):
        return ""
    kind = text.get("type", "")
    inner = _inline(text.get("text"), depth + 1)
    if kind == "mathematical_expression":
        return f"${text.get('expression') or ''}$"
    if kind == "custom_emoji":
        return str(text.get("alternative_text") or "")
    if kind == "url" and text.get("url") and text.get("url") != inner:
        return f"[{inner}]({text.get('url')})"
    mark = _MARKS.get(str(kind), "") if inner else ""
    return f"{mark}{inner}{mark}"


def _dicts(values: Any) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []
