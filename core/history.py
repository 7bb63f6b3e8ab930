"""What was said: sealed blocks per conversation, one block a turn, plus one summary of what is older.

A turn reads the summary and the newest blocks that fit, never the whole.
"""

import re
from collections.abc import Iterable

import msgspec

from core.messages import Said
from core.seal import Box

_decode = msgspec.msgpack.Decoder(tuple[Said, ...]).decode
_encode = msgspec.msgpack.Encoder().encode

BLOCK = "history"
SUMMARY = "summary"
ALSO = "\nAlso said: "
"""Stands in a summary before the facts that its author lost."""


def seal_block(box: Box, lines: tuple[Said, ...]) -> bytes:
    """One turn's lines as they lie in the store."""
    return box.seal(_encode(lines), BLOCK)


def open_block(box: Box, block: bytes) -> tuple[Said, ...]:
    """The lines of a block."""
    return _decode(box.open(block, BLOCK))


def open_summary(box: Box, context: dict[str, bytes]) -> str:
    """The summary of what is older than the blocks; "" where there is none."""
    sealed = context.get("sum")
    return box.open(sealed, SUMMARY).decode() if sealed else ""


def seal_summary(box: Box, summary: str) -> bytes:
    """A summary as it lies in the store."""
    return box.seal(summary.encode(), SUMMARY)


def tokens(text: str) -> int:
    """About how many tokens a text has: a third of its bytes, which is on the safe side for most scripts."""
    return len(text.encode("utf-8", "surrogatepass")) // 3 + 4


def weight(lines: Iterable[Said]) -> int:
    """About how many tokens these lines have."""
    return sum(tokens(s.text) + sum(tokens(c.arguments) + 8 for c in s.calls) for s in lines)


def newest_that_fit(blocks: list[tuple[Said, ...]], budget: int) -> list[tuple[Said, ...]]:
    """The newest blocks within a budget of tokens, oldest first; at least the newest one, shortened where it must be."""
    kept: list[tuple[Said, ...]] = []
    left = budget
    for block in reversed(blocks):
        size = weight(block)
        if size > left:
            if not kept:
                kept.append(tuple(_shortened(s, max(left, 200) // max(len(block), 1)) for s in block))
            break
        left -= size
        kept.append(block)
    kept.reverse()
    return kept


def _shortened(line: Said, budget: int) -> Said:
    most = budget * 3
    if len(line.text) <= most:
        return line
    half = most // 2
    return msgspec.structs.replace(line, text=line.text[:half] + "\n[…]\n" + line.text[-half:])


# What a summary must not lose: numbers with what they count, names, and sentences that decide something.
_NUMBER = re.compile(r"\S*\d\S*(?:\s(?!\d)[^\W\d_]{1,12})?")
_NAME = re.compile(r"(?<![.!?:\n]\s)(?<!^)\b[^\W\d_a-z][^\W\d_]{1,30}(?:\s[^\W\d_a-z][^\W\d_]{1,30})*", re.MULTILINE)
_DECISION = re.compile(
    r"[^.!?\n]*\b(?:decid|agree|chose|choos|prefer|must|always|never|remember|promis|deadline|allerg)\w*\b[^.!?\n]*[.!?]?",
    re.IGNORECASE,
)


def facts(lines: Iterable[Said]) -> list[str]:
    """Numbers, names and decisions of what people wrote, in order, each once: what a summary must keep."""
    found: dict[str, None] = {}
    for line in lines:
        if line.role != "user":
            continue
        for pattern in (_DECISION, _NUMBER, _NAME):
            for match in pattern.finditer(line.text):
                fact = match.group().strip(" ,;:()[]\"'*_`").strip()
                if 1 < len(fact) <= 300 or fact.isdigit():
                    found.setdefault(fact)
    return list(found)


def with_facts(summary: str, earlier: str, lines: Iterable[Said], most: int = 2_000) -> str:
    """The summary, with what its author lost put behind it: facts of the earlier summary first, then those of the lines
    that it covers, up to `most` characters."""
    prose, _, carried = earlier.partition(ALSO)
    wanted = [*carried.split("; "), *facts([Said("user", prose)]), *facts(lines)]
    lowered = summary.lower()
    lost: list[str] = []
    size = 0
    for fact in wanted:
        if not fact or fact.lower() in lowered or any(fact in longer for longer in lost):
            continue
        if size + len(fact) > most:
            break
        lost.append(fact)
        size += len(fact) + 2
    return f"{summary}{ALSO}{'; '.join(lost)}" if lost else summary
