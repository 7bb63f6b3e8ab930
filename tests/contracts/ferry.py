"""A way to the store that can be cut: the program talks to the real Valkey through it, until the test takes it away."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from core.store import Store
from tests.conftest import FINGERPRINT


class Ferry:
    """Carries bytes between the program and the store."""

    def __init__(self, target: str, socket: Path) -> None:
        self._target = target
        self._socket = socket
        self._server: asyncio.Server | None = None
        self._crossing: set[asyncio.Task] = set()

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

    async def run(self) -> None:
        """The store can be reached."""
        self._socket.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._carry, str(self._socket))

    async def stop(self) -> None:
        """The store is away: connections break and new ones are refused."""
        if self._server:
            self._server.close()
            self._server = None
        self._socket.unlink(missing_ok=True)
        for task in self._crossing:
            task.cancel()
        while self._crossing:
            await asyncio.wait(self._crossing)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._crossing.add(task)
        there = None
        try:
            back, there = await asyncio.open_unix_connection(self._target)
            async with asyncio.TaskGroup() as ways:
                ways.create_task(_pour(reader, there))
                ways.create_task(_pour(back, writer))
        except* (asyncio.CancelledError, OSError):
            pass
        finally:
            self._crossing.discard(task)
            for end in (writer, there):
                if end:
                    end.close()


async def _pour(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(65_536):
        target.write(data)
        await target.drain()
    target.close()


@contextlib.asynccontextmanager
async def ferried(valkey_url: str) -> AsyncIterator[tuple[Ferry, Store]]:
    """A ferry, and a store that is reached by it alone."""
    folder = Path(tempfile.mkdtemp(prefix="pieria-"))
    ferry = Ferry(valkey_url.removeprefix("unix://"), folder / "store")
    await ferry.run()
    store = Store(ferry.url)
    try:
        await store.open(FINGERPRINT)
        yield ferry, store
    finally:
        await store.close()
        await ferry.stop()
        shutil.rmtree(folder)
