"""Tables that keep their newest entries, so that none grows for ever."""

from collections import OrderedDict
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")

MOST = 2_000


def keep(table: OrderedDict[K, V], key: K, value: V, most: int = MOST) -> V:
    """Make this entry the newest of at most so many, and return its value."""
    table[key] = value
    table.move_to_end(key)
    while len(table) > most:
        table.popitem(last=False)
    return value
