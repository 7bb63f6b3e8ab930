"""What the operator reads in the shell: a table at the start, and a line when a platform settles or lacks something later."""

import asyncio
from collections.abc import Mapping

import msgspec

from bots.connection import Connection

SETTLING = 2.0
"""Seconds that the table waits for platforms to say who we are there."""
LOOK = 0.1
"""Seconds between two looks at what platforms say, at the start."""
FOLLOW = 1.0
"""And later."""


class Row(msgspec.Struct, frozen=True):
    """A line of the table."""

    what: str
    state: str
    more: str


class Table:
    """The rows that are known, and the connections whose rows may still change."""

    def __init__(self, connections: list[Connection], off: Mapping[str, str], waits: Mapping[str, str]) -> None:
        """`off` tells of each platform that cannot be served why, as soon as that is known, `waits` of each that waits for
        another process what it waits for.
        """
        self.rows: list[Row] = []
        self._connections = connections
        self._off = off
        self._waits = waits
        self._told: dict[str, Row] = {}

    async def settled(self) -> None:
        """Wait a moment for every platform to say who we are there."""
        for _ in range(int(SETTLING / LOOK)):
            if all(c.chat.space or c.chat.platform in self._off for c in self._connections):
                return
            await asyncio.sleep(LOOK)

    def show(self, *last: Row) -> None:
        """Print the table."""
        rows = [*self.rows, *(self._row(connection) for connection in self._connections), *last]
        lines = "\n".join(_line(row) for row in rows)
        print(f"\nPieria\n\n{lines}\n\nCtrl-C ends it.\n", flush=True)

    async def follow(self) -> None:
        """Print a platform's row again whenever what is to be said of it changed; until cancelled."""
        while True:
            await asyncio.sleep(FOLLOW)
            for connection in self._connections:
                before = self._told.get(connection.chat.platform)
                if before != (row := self._row(connection)):
                    print(_line(row), flush=True)

    def _row(self, connection: Connection) -> Row:
        chat = connection.chat
        if why := self._off.get(chat.platform):
            row = Row(chat.traits.label, "off", why)
        elif what := self._waits.get(chat.platform):
            row = Row(chat.traits.label, "waits", what)
        else:
            row = Row(chat.traits.label, "on" if chat.space else "waits", connection.about)
        self._told[chat.platform] = row
        return row


def _line(row: Row) -> str:
    return f"  {row.what:<10}{row.state:<8}{row.more}"
