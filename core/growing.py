"""A text that is still being written, made fit to be shown: open marks are closed, halves are held back."""

import re


def balanced(markdown: str) -> str:
    """The text so far as Markdown that shows no half mark: fences and marks closed, a half link, formula or table row hidden."""
    fence, start = _open_fence(markdown)
    if fence:
        body, _, last = markdown.rpartition("\n")
        if start < len(body) and last.strip() and not last.strip().strip(fence[0]):
            markdown = body
        if "\n" not in markdown[start:]:
            return markdown[:start].rstrip("\n")
        at = markdown.index(fence, start)
        lead = re.sub(r"[^\s>]", " ", markdown[markdown.rfind("\n", 0, at) + 1 : at])
        body = markdown.rstrip("\n")
        return f"{body}\n{lead}{fence}"
    # Inline marks do not reach beyond their paragraph.
    start = max(start, markdown.rfind("\n\n", start) + 2 if "\n\n" in markdown[start:] else start)
    return markdown[:start] + _closed(_whole_rows(_whole_formula(markdown[start:])))


FENCE = re.compile(r"^((?:[ \t>]|[-+*] |\d+[.)] )*)(`{3,}(?=[^`\n]*$)|~{3,})", re.MULTILINE)


def _open_fence(markdown: str) -> tuple[str, int]:
    """The marks of a fence that is still open, and where it began; or nothing, and the end of the last fence."""
    at = 0
    while found := FENCE.search(markdown, at):
        lead, marks = found[1], found[2]
        # A fence ends by its marks, and by the end of the quote or list item that it stands in.
        left = r"^(?! {0,3}>)" if ">" in lead else rf"^ {{0,{len(lead) - 1}}}\S" if lead.strip() else r"(?!)"
        close = re.compile(rf"(^[ \t>]*{re.escape(marks[0])}{{{len(marks)},}}[ \t]*$)|{left}", re.MULTILINE)
        line = markdown.find("\n", found.end())
        ended = close.search(markdown, line + 1) if 0 <= line < len(markdown) - 1 else None
        if not ended:
            return marks, found.start()
        at = ended.end() if ended[1] is not None else ended.start()
    return "", at


def _whole_formula(block: str) -> str:
    for opening, closing in (("$$", "$$"), (r"\[", r"\]"), (r"\(", r"\)")):
        last = block.rfind(opening)
        if opening == closing and block.count(opening) % 2 == 0:
            continue
        if last >= 0 and block.find(closing, last + 2) < 0 and block[:last].count("`") % 2 == 0:
            block = block[:last]
    half = HALF_FORMULA.search(block)
    if half and block[: half.start()].count("`") % 2 == 0:
        dollars = block[: half.start()].replace("$$", "").replace(r"\$", "").count("$")
        block = block if dollars % 2 else block[: half.start()]
    return block


# A dollar that a digit or two words follow is rather money, or a variable of a shell, than a formula.
HALF_FORMULA = re.compile(
    r"(?<![\\$])\$(?!\s|\$|\d[^\\^_]*$)(?![^$\n]*(?<![\\A-Za-z])[A-Za-z]{2,}\s+[A-Za-z]{2,})[^$`\n]{0,200}$"
)
DELIMITER = re.compile(r"\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*")


def _whole_rows(block: str) -> str:
    lines = block.split("\n")
    first = next((index for index, line in enumerate(lines) if line.lstrip().startswith("|")), None)
    if first is None:
        return block
    table = lines[first:]
    if len(table) < 3:
        # Without the line under its header a table is not one yet.
        ready = len(table) == 2 and DELIMITER.fullmatch(table[1]) and _cells(table[1]) >= _cells(table[0])
        return block if ready else "\n".join(lines[:first])
    if lines[-1].lstrip().startswith("|") and (
        not lines[-1].rstrip().endswith("|") or _cells(lines[-1]) < _cells(table[0])
    ):
        lines.pop()
    return "\n".join(lines)


def _cells(line: str) -> int:
    return line.strip().strip("|").count("|")


MOST = 50
"""Marks that stand open; what has more is shown as it stands."""
MARK = re.compile(
    r"\\.|`+|\*+|(?<!\w)_+(?=\w)|(?<=[^\s_])_+(?!\w)|~~|!?\[|\]\([^()\n]*(?:\([^()\n]*\)[^()\n]*)*\)?|\]", re.DOTALL
)


def _closed(block: str) -> str:
    opened: list[tuple[str, int]] = []
    at = 0
    while found := MARK.search(block, at):
        mark, at = found[0], found.end()
        if mark[0] == "\\":
            continue
        if mark[0] == "`":
            close = re.compile(rf"(?<!`){mark}(?!`)").search(block, at)
            if not close:
                if not block[at:].strip():
                    return _ended(block[: found.start()], opened)
                # A half of the closing marks may have come.
                return _ended(block.rstrip("`"), [*opened, (mark, at)])
            at = close.end()
        elif len(opened) > MOST:
            return block  # nobody means so many marks
        elif mark in {"[", "!["}:
            opened.append((mark, found.start()))
        elif mark[0] == "]":
            begin = next((index for index in range(len(opened) - 1, -1, -1) if opened[index][0] in {"[", "!["}), None)
            if begin is None:
                continue
            bracket, place = opened[begin]
            half = mark.startswith("](") and not mark.endswith(")")
            if half and at == len(block):
                label = block[place + len(bracket) : found.start()]
                return _ended(block[:place] + label, opened[:begin])
            del opened[begin:]
        else:
            _toggle(block, found, mark, opened)
    return _ended(block, opened)


def _toggle(block: str, found: re.Match[str], mark: str, opened: list[tuple[str, int]]) -> None:
    before, after = block[found.start() - 1 : found.start()], block[found.end() : found.end() + 1]
    closes = bool(before.strip())
    opens = bool(after.strip()) and not (before.isalnum() and after.isalnum() and mark[0] == "*")
    if not after and not closes:
        opened.append((mark, found.start()))
        return
    if closes:
        for index in range(len(opened) - 1, -1, -1):
            held = opened[index][0]
            if held[0] == mark[0]:
                if len(held) > len(mark):
                    # The second star of two may not have come yet: it is closed at the end.
                    opened[index] = (held[len(mark) :], opened[index][1])
                else:
                    del opened[index:]
                return
    if (opens and len(mark) <= 3) or not after:
        opened.append((mark, found.start()))


def _ended(block: str, opened: list[tuple[str, int]]) -> str:
    """The block with its open marks closed from the inside out; marks with nothing after them are dropped."""
    for mark, place in reversed(opened):
        bare = block.rstrip()
        if mark in {"[", "!["}:
            block = block[:place] + block[place + len(mark) :]
        elif place + len(mark) >= len(bare) and bare.endswith(mark):
            block = bare[: -len(mark)]
        else:
            block = bare + mark
    return block
