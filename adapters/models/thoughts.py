"""What only one provider understands between the calls of one turn: encrypted reasoning, signed thinking.

It is part of no value of core and of no history. A turn that goes on in another process has none of it, and does without.
"""

import hashlib
from collections import OrderedDict
from typing import Final

from core.messages import ToolCall

MOST: Final = 8 * 2**20
"""Bytes that are remembered in all; the oldest go first."""


class Thoughts:
    """Remembers an answer in the provider's own words, by the calls that it made and by all that stood before it.

    The second because providers bind thoughts to what they were thought about: where a word of it changed since, they refuse
    the request that shows them.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._size = 0
        self._kept: OrderedDict[tuple[tuple[str, ...], bytes], bytes] = OrderedDict()

    def keep(self, calls: list[ToolCall], before: bytes, told: bytes) -> None:
        """Remember the answer `told` that made these calls; `before` is what Trace says of all before it."""
        key = (tuple([call.id for call in calls]), before)
        self._size += len(told) - len(self._kept.pop(key, b""))
        self._kept[key] = told
        while self._size > self._most:
            self._size -= len(self._kept.popitem(last=False)[1])

    def find(self, calls: tuple[ToolCall, ...], before: bytes) -> bytes:
        """The answer that made exactly these calls after exactly this; empty where it is not known."""
        return self._kept.get((tuple([call.id for call in calls]), before), b"")

    def forget(self) -> bool:
        """Forget everything; true where there was something."""
        had = bool(self._kept)
        self._kept.clear()
        self._size = 0
        return had


class Trace:
    """Tells two beginnings of a conversation apart."""

    __slots__ = ("_hash",)

    def __init__(self, *beginning: bytes) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        for part in beginning:
            self.add(part)

    def add(self, part: bytes) -> None:
        """One more part of the conversation."""
        self._hash.update(b"%d:" % len(part))
        self._hash.update(part)

    def here(self) -> bytes:
        """What stands for all parts so far."""
        return self._hash.copy().digest()
