"""How often people may have a turn: so many a minute a person, three times as many a group; what is refused leaves no trace.

A person has one bucket wherever they write, and a group has one for all its threads. Being refused spends nothing.
"""

import math
from contextlib import suppress

import msgspec

from core.errors import StoreError
from core.keys import rate_key
from core.messages import ChatRef
from core.pace import whole
from core.people import Known, People
from core.ports import Rate
from core.store import Store

GROUP = 3
"""A group may have as many turns as so many people."""


class Refused(msgspec.Struct, frozen=True):
    """A turn that must wait."""

    seconds: int
    group: bool
    """The group had its share, not this person."""
    tell: bool
    """Nobody was told of it for a minute."""


class Limits:
    """The rates of all people and groups, shared by every process."""

    def __init__(self, store: Store, people: People, rate: Rate | None) -> None:
        """`rate` is a person's; None: no limit."""
        self._store = store
        self._people = people
        self._rate = rate

    async def take(self, chat: ChatRef, known: Known) -> Refused | None:
        """Take a place for a turn; None when there was one. Raises StoreError."""
        if self._rate is None:
            return None
        keys, numbers = self._buckets(self._rate, chat, known)
        wait, full, tell = await self._store.run("take", keys, *numbers)
        return Refused(math.ceil(wait / 1000), full > 1, bool(tell)) if wait else None

    async def undo(self, refused: Refused | None, chat: ChatRef, known: Known) -> None:
        """As if nothing had been taken or refused: the event had its turn before, or gets none now."""
        if self._rate is not None and (refused is None or refused.tell):
            keys, numbers = self._buckets(self._rate, chat, known)
            with suppress(StoreError):
                await self._store.run("return", keys, *numbers, int(refused is not None))

    def _buckets(self, rate: Rate, chat: ChatRef, known: Known) -> tuple[list[str], list[int]]:
        """Their keys, and for each the milliseconds between two turns and how many may come at once."""
        every = round(rate.every * 1000)
        keys, numbers = [rate_key(known.person)], [every, rate.burst]
        if not chat.private:
            keys.append(rate_key(self._people.lane(whole(chat))))
            numbers += [every // GROUP, rate.burst * GROUP]
        return keys, numbers
