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
ALSO = "\nAlso said:\n"
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
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return size // 3 + 4


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


# What a summary must not lose: sentences with numbers or names in them, and those that decide something.
_SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?](?=\S)[^.!?\n]*)*[.!?]?")
_NUMBER = re.compile(r"\w*\d[\w.,:%/-]*\b")
_NAME = re.compile(r"(?<=\s)[^\W\d_a-z][^\W\d_]+")
_DECISION = re.compile(
    r"\b(?:decid|agree|chose|choos|prefer|must|always|never|remember|promis|deadline|allerg)\w*", re.IGNORECASE
)
_LONGEST = 240


def facts(text: str) -> dict[str, list[str]]:
    """The sentences that hold a number, a name or a decision, each with the words that a summary of it must hold."""
    found: dict[str, list[str]] = {}
    for match in _SENTENCE.finditer(text):
        sentence = " ".join(match.group().split())[:_LONGEST]
        keys = [*_NUMBER.findall(sentence), *_NAME.findall(sentence), *_DECISION.findall(sentence)]
        if keys:
            found[sentence] = keys
    return found


def with_facts(summary: str, earlier: str, lines: Iterable[Said], most: int = 2_000) -> str:
    """The summary, with what its author lost put behind it, word for word, up to `most` characters.

    First what was carried behind the earlier summary, then sentences of that summary, then what people wrote in the lines.
    """
    prose, _, carried = earlier.partition(ALSO)
    wanted = {sentence: [sentence] for sentence in carried.splitlines()} | facts(prose)
    for line in lines:
        if line.role == "user":
            wanted |= facts(line.text)
    lowered = summary.lower()
    lost: list[str] = []
    size = 0
    for sentence, keys in wanted.items():
        if all(key.lower() in lowered for key in keys):
            continue
        size += len(sentence) + 1
        if size > most:
            break
        lost.append(sentence)
    return f"{summary}{ALSO}{chr(10).join(lost)}" if lost else summary
