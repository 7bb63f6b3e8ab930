"""What of a text that still grows will not change any more, whatever comes next: a stream can only be added to.

The end of the text is read several times, each time with another continuation; what all readings share is settled. Marks
whose end has not come, half links, formulas and tables are held back so, and so is whatever stands behind a table, which
only the final message shows.
"""

import bisect
import itertools
import re

from adapters.chat.slack.format import flow
from core.markdown import Block, Document, Fence, Heading, Inline, Item, List, Paragraph, Quote, Table, Text, parse

MOST = 9_000
"""Characters of a stream; the rest comes with the final message."""
CONTINUATIONS = (
    "x",
    " x",
    "\n\nx",
    "* x",
    "x* x",
    "** x",
    "x** x",
    "*x** x",
    "_ x",
    "x_ x",
    "`x` x",
    "x` x",
    "``",
    "~~ x",
    "x~~ x",
    "~x~~ x",
    "$ x",
    "x$ x",
    "$$\n\nx",
    "y\n$$\n\nx",
    r"\) x",
    "y\\]\n\nx",
    "x](https://x.y) x",
    "](https://x.y) x",
    "(https://x.y) x",
    "https://x.y) x",
    ". x",
    ") x",
    ")) x",
    "x)) x",
    "-\n\nx",
    "\n```\n\nx",
)
"""Each would turn something that may have begun into something else."""
READINGS = len(CONTINUATIONS)


def settled(markdown: str) -> str:
    """The beginning of the text's markdown block that stands; "" where nothing does yet."""
    head, tail = _cut(_before_table(markdown))
    before = parse(head).blocks
    if any(isinstance(block, Table) for block in before):
        return _shown(_until_table(before))
    common: tuple[Block, ...] | None = None
    for more in CONTINUATIONS:
        blocks = parse(tail + more).blocks
        common = blocks if common is None else _blocks(common, blocks)
        if not common:
            break
    return _shown((*before, *_until_table(common or ())))


def _shown(blocks: tuple[Block, ...]) -> str:
    """The blocks as a text to which more can be added: a listing at its end stays open."""
    text = flow(Document(blocks))
    if blocks and _open(blocks[-1]):
        while (end := text.rfind("\n")) >= 0 and not text[end + 1 :].lstrip(" ").strip("`"):
            text = text[:end]
    text = text[: _whole(text)]
    return text if len(text) <= MOST else text[:MOST].rpartition("\n\n")[0]


def _whole(text: str) -> int:
    """Where the signs begin at the end of a text whose meaning hangs on what follows them. (A regular expression for any
    number of them can take for ever.)
    """
    address = ADDRESS.search(text, max(0, len(text) - 10))
    end = address.start() if address else len(text)
    while end:
        sign = text.rfind("&", 0, end)
        if text[end - 1] in HALF or text[end - 1].isspace():
            end -= 1
        elif sign >= 0 and ENTITY.fullmatch(text, sign, end):
            end = sign
        else:
            break
    return end


HALF = frozenset("*_~`\\([")
ENTITY = re.compile(r"&\w*;?")
ADDRESS = re.compile(r"(?<!\w)(?i:h|ht|htt|https?:?/?/?)\Z")


def _open(block: Block) -> bool:
    match block:
        case Fence():
            return True
        case List():
            return bool(block.items and block.items[-1].blocks) and _open(block.items[-1].blocks[-1])
        case Quote():
            return bool(block.blocks) and _open(block.blocks[-1])
        case _:
            return False


def _until_table(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
    for index, block in enumerate(blocks):
        if isinstance(block, Table):
            return blocks[:index]
    return blocks


UNDER = re.compile(r"[-|: \t]*")


def _before_table(markdown: str) -> str:
    """The text without a last line that may be the head of a table, and without what came under it."""
    start = markdown.rfind("\n\n") + 2 if "\n\n" in markdown else 0
    lines = markdown[start:].split("\n")
    last = len(lines) - 1
    head = last - 1 if last and UNDER.fullmatch(lines[last]) else last
    if "|" not in lines[head] or (head and UNDER.fullmatch(lines[head]) and "|" in lines[head - 1]):
        return markdown
    if head and _is_table(lines[:head]):
        return markdown
    at = start + sum(len(line) + 1 for line in lines[:head])
    return markdown[: at + lines[head].index("|")]


def _is_table(lines: list[str]) -> bool:
    return any("|" in a and "|" in b and UNDER.fullmatch(b) for a, b in itertools.pairwise(lines))


PLAIN_START = re.compile(r"\n\n(?=[^\W\d_])")


def _cut(markdown: str) -> tuple[str, str]:
    """The text before its last paragraphs, and these: so that a long text is not read once for each continuation."""
    fences = [found.start() for found in re.finditer(r"^[ >]*(?:```|~~~)", markdown, re.MULTILINE)]
    for found in reversed(list(PLAIN_START.finditer(markdown))):
        at = found.end()
        if bisect.bisect_left(fences, at) % 2 == 0 and "$$" not in markdown[at - 400 : at]:
            return markdown[:at], markdown[at:]
    return "", markdown


def _blocks(one: tuple[Block, ...], other: tuple[Block, ...]) -> tuple[Block, ...]:
    """The blocks that both begin with, the last one as far as it is the same."""
    shared: list[Block] = []
    for a, b in zip(one, other, strict=False):
        if a == b:
            shared.append(a)
            continue
        if (part := _block(a, b)) is not None:
            shared.append(part)
        break
    return tuple(shared)


def _block(one: Block, other: Block) -> Block | None:
    match one, other:
        case Paragraph(), Paragraph():
            children = _spans(one.children, other.children)
            return Paragraph(children, one.gap) if children else None
        case Heading(), Heading() if one.level == other.level:
            children = _spans(one.children, other.children)
            return Heading(children, one.level, one.gap) if children else None
        case Fence(), Fence() if one.language == other.language:
            text = _same(one.text, other.text)
            last = text.rpartition("\n")[2].strip()
            if last and not last.strip("`~"):
                text = text.rpartition("\n")[0]
            return Fence(text, one.language, one.gap) if text.strip() else None
        case Quote(), Quote():
            blocks = _blocks(one.blocks, other.blocks)
            return Quote(blocks, one.gap) if blocks else None
        case List(), List() if (one.marker, one.start) == (other.marker, other.start):
            items = _items(one.items, other.items)
            return List(items, one.marker, one.start, one.gap) if items else None
    return None


def _items(one: tuple[Item, ...], other: tuple[Item, ...]) -> tuple[Item, ...]:
    shared: list[Item] = []
    for a, b in zip(one, other, strict=False):
        if a == b:
            shared.append(a)
            continue
        blocks = _blocks(a.blocks, b.blocks) if a.checked == b.checked else ()
        if blocks:
            shared.append(Item(blocks, a.checked, a.gap))
        break
    return tuple(shared)


def _spans(one: tuple[Inline, ...], other: tuple[Inline, ...]) -> tuple[Inline, ...]:
    shared: list[Inline] = []
    for a, b in zip(one, other, strict=False):
        if a == b:
            shared.append(a)
            continue
        if isinstance(a, Text) and isinstance(b, Text) and (text := _same(a.text, b.text)):
            shared.append(Text(text))
        break
    return tuple(shared)


def _same(one: str, other: str) -> str:
    at = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return one[:at]
