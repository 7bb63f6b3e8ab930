"""What the operator reads in the shell: a table at the start, and a line when a platform settles or lacks something later."""

import asyncio

import msgspec

from bots.connection import Connection

SETTLING = 2.0
"""Seconds that the table waits for platforms to say who we are there."""
LOOK = 0.1
"""Seconds between two looks at what platforms say."""


class Row(msgspec.Struct, frozen=True):
    """A line of the table."""

    what: str
    state: str
    more: str


class Table:
    """The rows that are known, and the connections whose rows may still change."""

    def __init__(self, connections: list[Connection]) -> None:
        self.rows: list[Row] = []
        self._connections = connections
        self._told: dict[str, str] = {}

    async def settled(self) -> None:
        """Wait a moment for every platform to say who we are there."""
        for _ in range(int(SETTLING / LOOK)):
            if all(connection.chat.space for connection in self._connections):
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
            await asyncio.sleep(LOOK)
            for connection in self._connections:
                if self._told.get(connection.chat.platform) != connection.about:
                    print(_line(self._row(connection)), flush=True)

    def _row(self, connection: Connection) -> Row:
        self._told[connection.chat.platform] = connection.about
        return Row(connection.chat.traits.label, "on" if connection.chat.space else "waits", connection.about)


def _line(row: Row) -> str:
    return f"  {row.what:<10}{row.state:<8}{row.more}"
