"""How far we have listened: up to which message everything is accepted, and where else to look for what was missed.

Ids of messages grow, with time on Discord itself, so one mark stands for all channels. A note keeps it over restarts.
"""

import asyncio
import time
from collections import OrderedDict

import msgspec

from adapters.recent import keep
from core.notes import Notes

EPOCH = 1_420_070_400_000
"""Milliseconds: the first moment of a snowflake, 1 January 2015."""
FIRST = 1 << 55
"""A snowflake of April 2015, before Discord opened: where ids are smaller, a server counts by itself, and they tell no time."""
MOST = 200
"""Direct messages that are remembered, newest first."""


class Note(msgspec.Struct, array_like=True):
    """What is kept over a restart."""

    mark: int
    places: tuple[str, ...] = ()


class Seen:
    """What one bot has heard."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._newest = 0
        self._open: dict[int, int] = {}
        self._places: OrderedDict[str, None] = OrderedDict()
        self._written = b""
        self._writing = asyncio.Lock()

    async def remember(self) -> None:
        """Read what an earlier life noted. Raises StoreError."""
        kept = await self._notes.read("seen")
        if not kept:
            return
        try:
            note = msgspec.msgpack.decode(kept, type=Note)
        except msgspec.DecodeError:
            return
        self._newest = max(self._newest, note.mark)
        for place in reversed(note.places):
            self._places.setdefault(place)
        self._written = kept

    @property
    def mark(self) -> int:
        """The message up to which all are accepted; 0 before the first ever."""
        return min(self._open, default=self._newest + 1) - 1

    @property
    def places(self) -> list[str]:
        """Direct messages, the newest first."""
        return list(reversed(self._places))

    def begin(self, message: str) -> None:
        """A message came in."""
        self.skip(message)
        number = int(message) if message.isdecimal() else 0
        self._open[number] = self._open.get(number, 0) + 1

    def end(self, message: str) -> None:
        """It is accepted, or does not concern us."""
        number = int(message) if message.isdecimal() else 0
        left = self._open.get(number, 0) - 1
        if left > 0:
            self._open[number] = left
        else:
            self._open.pop(number, None)

    def skip(self, message: str) -> None:
        """A message came in that does not concern us."""
        number = int(message) if message.isdecimal() else 0
        if number:
            self._newest = number if number < FIRST <= self._newest else max(self._newest, number)

    def visit(self, channel: str) -> bool:
        """Somebody writes to us there; whether that is new."""
        new = channel not in self._places
        keep(self._places, channel, None, MOST)
        return new

    def start(self) -> None:
        """The first session ever begins: what is older is none of ours."""
        if not self._newest:
            self._newest = moment(time.time())

    async def write(self) -> None:
        """Note it, where it changed. Raises StoreError."""
        async with self._writing:  # an older note must not come behind a newer one
            value = msgspec.msgpack.encode(Note(self.mark, tuple(self.places)))
            if value != self._written:
                await self._notes.write(value, "seen")
                self._written = value


def moment(at: float) -> int:
    """The snowflake of a moment, in seconds."""
    return max(0, int(at * 1000) - EPOCH) << 22
