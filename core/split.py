"""Cutting a long text into pieces that a platform takes, where a reader would cut it."""

import bisect
import functools
import re
from collections.abc import Callable, Sequence

from core.graphemes import boundary
from core.layout import PLAIN, plain, spans
from core.markdown import (
    LINE_BREAK,
    Block,
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
    write,
)

LONGEST_HREF = 1500
"""Characters; where a text has to be cut, a longer address is text that can be cut too."""

MANY = 1_000
"""Items, rows or blocks; what has more is halved before it is cut."""
HEADS = 6
"""Headings in a row that are kept with what they head."""

Fits = Callable[[Document], bool]


def split(markdown: str, fits: Callable[[str], bool]) -> list[str]:
    """Pieces of Markdown, in order, each of which `fits`; a text that fits comes back as it is, an empty one as no piece.

    What people read in the pieces is what they read in the whole, apart from whitespace at the cuts and repeated table
    headers. Only where a single character does not fit is a piece too long.
    """
    if not markdown.strip():
        return []
    if fits(markdown):
        return [markdown]
    return [faithful(piece) for piece in cut(parse(markdown), lambda document: fits(faithful(document)))]


def faithful(document: Document) -> str:
    """The document as Markdown; marks that stand so that they cannot be written are left out before a word is."""
    markdown = write(document)
    if _reads(markdown, document):
        return markdown
    blocks = (block if _reads(write(alone := Document((block,))), alone) else _bare(block) for block in document.blocks)
    return write(Document(tuple(blocks)))


def _reads(markdown: str, document: Document) -> bool:
    return plain(parse(markdown)).split() == plain(document).split()


def cut(document: Document, fits: Fits) -> list[Document]:
    """Documents, in order, each of which `fits`. `fits` has to hold for the beginning of whatever it holds for."""
    if not document.blocks:
        return []
    if fits(document):
        return [document]
    pieces: list[Document] = []
    blocks = list(document.blocks)
    at = taken = 0
    while at < len(blocks):
        taken = _longest(len(blocks) - at, functools.partial(_prefix_fits, fits, blocks, at), taken)
        if at + taken == len(blocks):
            pieces.append(Document(tuple(blocks[at:])))
            break
        # A heading belongs to what it heads; one heading after the other heads nothing.
        heads = next((n for n in range(taken) if not isinstance(blocks[at + taken - 1 - n], Heading)), taken)
        taken -= heads if heads <= HEADS and heads < taken else 0
        whole = tuple(blocks[at : at + taken])
        at += taken
        block = blocks[at]
        if halves := _halves(block):
            blocks[at : at + 1] = halves
            at -= taken
            continue
        if taken and fits(Document((block,))):
            pieces.append(Document(whole))
            continue
        room = functools.partial(_joined_fits, fits, whole)
        head, rest = _break(block, room, functools.partial(_joined_fits, fits, ()), not taken)
        if head is None and not taken and rest == [block]:
            head, rest = block, []
        if head is not None or taken:
            pieces.append(Document((*whole, head) if head is not None else whole))
        blocks[: at + 1] = rest
        at = 0
    return pieces


def _halves(block: Block) -> list[Block]:
    """A long list, table or quotation as two: one that is looked at whole for each piece of it costs its square."""
    match block:
        case List() if len(block.items) > MANY:
            half = len(block.items) // 2
            return [
                List(block.items[:half], block.marker, block.start, block.gap),
                List(block.items[half:], block.marker, block.start + half, block.items[half].gap),
            ]
        case Table() if len(block.rows) > MANY:
            half = len(block.rows) // 2
            return [
                Table(block.header, block.rows[:half], block.align, block.gap),
                Table(block.header, block.rows[half:], block.align),
            ]
        case Quote() if len(block.blocks) > MANY:
            half = len(block.blocks) // 2
            return [Quote(block.blocks[:half], block.gap), Quote(block.blocks[half:])]
    return []


def _prefix_fits(fits: Fits, blocks: list[Block], at: int, count: int) -> bool:
    return fits(Document(tuple(blocks[at : at + count])))


def _joined_fits(fits: Fits, whole: tuple[Block, ...], block: Block) -> bool:
    return fits(Document((*whole, block)))


Room = Callable[[Block], bool]
Broken = tuple[Block | None, list[Block]]


def _break(block: Block, room: Room, alone: Room, alone_now: bool) -> Broken:
    """What of a block fits into the room, and the rest, which is never lost. `alone` asks of an empty piece, which this is `alone_now`."""
    match block:
        case Fence():
            return _break_fence(block, room, alone_now)
        case Paragraph() | Heading():
            return _break_spans(block, room, alone, alone_now)
        case Table():
            return _break_table(block, room, alone_now)
        case List():
            return _break_list(block, room, alone, alone_now)
        case Quote():
            head, rest = _break_blocks(
                block.blocks,
                lambda inner: room(Quote(inner, block.gap)),
                lambda inner: alone(Quote(inner)),
                alone_now,
            )
            return Quote(head, block.gap) if head else None, [Quote(tuple(rest))] if rest else []
        case MathBlock():
            return None, [Fence(block.latex, "latex", block.gap)] if alone_now else [block]
        case Rule():
            return None, [block]


def _break_blocks(
    blocks: tuple[Block, ...],
    room: Callable[[tuple[Block, ...]], bool],
    alone: Callable[[tuple[Block, ...]], bool],
    alone_now: bool,
) -> tuple[tuple[Block, ...], list[Block]]:
    count = _longest(len(blocks), lambda count: room(blocks[:count]))
    if count or not blocks:
        return blocks[:count], list(blocks[count:])
    head, rest = _break(blocks[0], lambda b: room((b,)), lambda b: alone((b,)), alone_now)
    return (head,) if head is not None else (), [*rest, *blocks[1:]]


def _break_fence(block: Fence, room: Room, alone_now: bool) -> Broken:
    text = block.text
    count = _longest(len(text), lambda count: room(Fence(text[:count], block.language, block.gap)))
    end = text.rfind("\n", 0, count + 1)
    if end > 0:
        return Fence(text[:end], block.language, block.gap), [Fence(text[end + 1 :], block.language)]
    if not alone_now or not count:
        return None, [block]
    end = boundary(text, count, 0) or count
    return Fence(text[:end], block.language, block.gap), [Fence(text[end:], block.language)]


def _break_table(block: Table, room: Room, alone_now: bool) -> Broken:
    rows = block.rows
    count = _longest(len(rows), lambda count: room(Table(block.header, rows[:count], block.align, block.gap)))
    if count:
        rest: list[Block] = [Table(block.header, rows[count:], block.align)] if rows[count:] else []
        return Table(block.header, rows[:count], block.align, block.gap), rest
    if not alone_now:
        return None, [block]
    # A row too long for a table is read cell by cell.
    if not rows:
        return None, [Paragraph(cell, int(not index)) for index, cell in enumerate(block.header) if cell]
    cells: list[Block] = []
    for name, cell in zip(block.header, rows[0], strict=False):
        if cell:
            label = spans(name, PLAIN)
            cells.append(Paragraph((Strong((Text(label + ":"),)), Text(" "), *cell) if label else cell, int(not cells)))
    more: list[Block] = [Table(block.header, rows[1:], block.align)] if rows[1:] else []
    return None, cells + more


def _break_list(block: List, room: Room, alone: Room, alone_now: bool) -> Broken:
    items = block.items
    count = _longest(len(items), lambda count: room(List(items[:count], block.marker, block.start, block.gap)))
    later: list[Block] = []
    if items[count + bool(not count) :]:
        skipped = count or 1
        later = [List(items[skipped:], block.marker, block.start + skipped)]
    if count:
        return List(items[:count], block.marker, block.start, block.gap), later
    if not alone_now or not items:
        return None, [block]
    first = items[0]

    def one(inner: tuple[Block, ...]) -> List:
        return List((Item(inner, first.checked),), block.marker, block.start, block.gap)

    head, rest = _break_blocks(
        first.blocks, lambda b: room(one(b)), lambda b: all(alone(each) for each in b), alone_now
    )
    rest = [_apart(each) if not index else each for index, each in enumerate(rest)]
    return one(head) if head else None, [*rest, *later]


def _apart(block: Block) -> Block:
    """A block that stood in a list and now begins a piece of its own."""
    return type(block)(**{name: getattr(block, name) for name in block.__struct_fields__} | {"gap": 1})


def _break_spans(block: Paragraph | Heading, room: Room, alone: Room, alone_now: bool) -> Broken:
    line = _Line(block.children)

    def made(start: int, end: int, gap: int = 1) -> Paragraph | Heading:
        children = line.between(start, end)
        return Heading(children, block.level, gap) if isinstance(block, Heading) else Paragraph(children, gap)

    def fits(start: int, count: int) -> bool:
        return alone(made(start, start + count)) if start else room(made(0, count, block.gap))

    start = 0
    head: Block | None = None
    rest: list[Block] = []
    guess = 0
    total = len(line.text)
    while start < total:
        first = not start
        count = _longest(total - start, functools.partial(fits, start), guess)
        limit = start + count
        end = total if limit == total else line.cut(start, limit, anywhere=not first or alone_now)
        if end <= start and first and not alone_now:
            return None, [block]
        end = max(end, start + 1)
        piece = made(start, end, block.gap if first else 1)
        if piece.children:
            if first:
                head = piece
            else:
                rest.append(piece)
        guess = end - start
        start = end
        while start < total and line.text[start].isspace():
            start += 1
    return head, rest


class _Line:
    """A paragraph as its characters in a row, each still knowing its marks."""

    def __init__(self, children: Sequence[Inline]) -> None:
        self.leaves: list[tuple[tuple[Inline, ...], Inline]] = []
        _leaves(children, (), self.leaves)
        read = [_read(leaf) for _, leaf in self.leaves]
        self.starts: list[int] = []
        at = 0
        for text in read:
            self.starts.append(at)
            at += len(text)
        self.text = "".join(read)

    def between(self, start: int, end: int) -> tuple[Inline, ...]:
        """The stretch with its marks closed and opened again, without whitespace at its ends."""
        while end > start and self.text[end - 1].isspace():
            end -= 1
        index = max(bisect.bisect_right(self.starts, start) - 1, 0)
        found: list[tuple[tuple[Inline, ...], Inline]] = []
        while index < len(self.leaves) and self.starts[index] < end:
            marks, leaf = self.leaves[index]
            low, high = max(start - self.starts[index], 0), end - self.starts[index]
            found.append((marks, _part(leaf, low, high)))
            index += 1
        return _woven(found, 0)

    def cut(self, start: int, limit: int, *, anywhere: bool) -> int:
        """Where to cut at or before `limit`: after a line, a sentence, a word, and, with `anywhere`, a character."""
        window = self.text[start : limit + 1]
        half = len(window) // 2
        lines = window.rfind("\n\n", half)
        candidates = [lines if lines > 0 else window.rfind("\n", half)]
        candidates.append(
            max((found.end() for found in SENTENCE.finditer(window, half) if found.end() < len(window)), default=-1)
        )
        candidates.append(max((found.start() for found in SPACE.finditer(window, len(window) // 8)), default=-1))
        for candidate in candidates:
            if candidate > 0 and (place := self.outside(start + candidate)) > start:
                return place
        if not anywhere:
            return start
        place = self.outside(limit)
        if place > start + (limit - start) // 8:
            return boundary(self.text, place, start) or place
        return boundary(self.text, limit, start) or limit

    def outside(self, place: int) -> int:
        """The place, or the beginning of the link, code or formula that it would cut."""
        index = bisect.bisect_right(self.starts, place) - 1
        marks, leaf = self.leaves[index]
        link = next((mark for mark in marks if isinstance(mark, Link)), None)
        if link is None:
            return self.starts[index] if isinstance(leaf, Code | Math) else place
        while index and any(mark is link for mark in self.leaves[index - 1][0]):
            index -= 1
        return self.starts[index]


SENTENCE = re.compile(r"[.!?…]{1,9}[\"'”’»)\]]{0,9}(?=\s)|[。！？]{1,9}[”’」』）]{0,9}")
SPACE = re.compile(r"\s")


def _leaves(
    children: Sequence[Inline], marks: tuple[Inline, ...], into: list[tuple[tuple[Inline, ...], Inline]]
) -> None:
    for child in children:
        if isinstance(child, Link) and len(child.href) > LONGEST_HREF:
            _leaves(child.children, marks, into)
            if spans(child.children, PLAIN) != child.href:
                into.append((marks, Text(f" ({child.href})")))
        elif isinstance(child, Strong | Emphasis | Strike | Link):
            _leaves(child.children, (*marks, child), into)
        else:
            into.append((marks, child))


def _read(leaf: Inline) -> str:
    match leaf:
        case Text() | Code():
            return leaf.text
        case Math():
            return leaf.latex
        case _:
            return "\n"


def _part(leaf: Inline, low: int, high: int) -> Inline:
    match leaf:
        case Text():
            return Text(leaf.text[low:high]) if low > 0 or high < len(leaf.text) else leaf
        case Code():
            return Code(leaf.text[low:high])
        case Math() if low > 0 or high < len(leaf.latex):
            return Code(leaf.latex[low:high])
        case _:
            return leaf


def _woven(leaves: list[tuple[tuple[Inline, ...], Inline]], depth: int) -> tuple[Inline, ...]:
    """The leaves under their marks again."""
    found: list[Inline] = []
    at = 0
    while at < len(leaves):
        marks, leaf = leaves[at]
        if len(marks) <= depth:
            found.append(leaf)
            at += 1
            continue
        mark = marks[depth]
        end = at
        while end < len(leaves) and len(leaves[end][0]) > depth and leaves[end][0][depth] is mark:
            end += 1
        inner = _woven(leaves[at:end], depth + 1)
        match mark:
            case Link():
                found.append(Link(inner, mark.href))
            case Strong():
                found.append(Strong(inner))
            case Emphasis():
                found.append(Emphasis(inner))
            case _:
                found.append(Strike(inner))
        at = end
    return tuple(found)


def _bare(block: Block) -> Block:
    """The block without marks inside its lines."""
    match block:
        case Paragraph():
            return Paragraph(_bare_spans(block.children), block.gap)
        case Heading():
            return Heading(_bare_spans(block.children), block.level, block.gap)
        case Quote():
            return Quote(tuple(_bare(inner) for inner in block.blocks), block.gap)
        case List():
            items = tuple(
                Item(tuple(_bare(inner) for inner in item.blocks), item.checked, item.gap) for item in block.items
            )
            return List(items, block.marker, block.start, block.gap)
        case Table():
            rows = [tuple(_bare_spans(cell) for cell in row) for row in (block.header, *block.rows)]
            return Table(rows[0], tuple(rows[1:]), block.align, block.gap)
        case _:
            return block


def _bare_spans(children: tuple[Inline, ...]) -> tuple[Inline, ...]:
    found: list[Inline] = []
    for index, line in enumerate(spans(children, PLAIN).split("\n")):
        if index:
            found.append(LINE_BREAK)
        if line:
            found.append(Text(line))
    return tuple(found)


def _longest(total: int, fits: Callable[[int], bool], guess: int = 0) -> int:
    """The largest count up to `total` that fits, or 0: looked for around the guess, never far beyond the answer."""
    if not total:
        return 0
    at, step = min(max(guess, 1), total), 1
    rising = fits(at)
    low, high = (at, total + 1) if rising else (0, at)
    while high - low > 1:
        ahead = min(low + step, high - 1) if rising else max(high - step, low + 1)
        at = ahead if step else (low + high) // 2
        fitted = fits(at)
        low, high = (at, high) if fitted else (low, at)
        step = step * 2 if fitted == rising else 0
    return low
