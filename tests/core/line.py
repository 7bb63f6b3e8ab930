"""A line to the store that tests can cut: a unix socket in front of the real one, byte for byte."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from core.store import Store
from tests.conftest import FINGERPRINT


class Line:
    """Carries bytes; goes down and up, and loses the answer to a script, as networks do."""

    def __init__(self, front: str, back: str) -> None:
        self._front = front
        self._back = back
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._lost = b""

    async def up(self) -> None:
        """From now on connections are taken."""
        self._server = await asyncio.start_unix_server(self._carry, self._front)

    def down(self) -> None:
        """Break every connection and take no new one."""
        if self._server is not None:
            self._server.close()
            Path(self._front).unlink(missing_ok=True)
        self._break()

    def lose(self, request: str) -> None:
        """The store does the next request that holds this, and the connection breaks before its answer arrives."""
        self._lost = request.encode()

    def _break(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            store_reader, store = await asyncio.open_unix_connection(self._back)
            self._open |= {writer, store}
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._pass(reader, store, store_reader, writer))
                    tasks.create_task(self._back_to(store_reader, writer))
            except* OSError:
                pass
            finally:
                self._open -= {writer, store}
                store.transport.abort()
                writer.transport.abort()

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        store: asyncio.StreamWriter,
        store_reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        while data := await reader.read(1 << 20):
            if self._lost and self._lost in data:
                self._lost = b""
                writer.transport.abort()
                store.write(data)
                await store.drain()
                await asyncio.sleep(0.2)  # the store does it; nobody reads what it says
                break
            store.write(data)
            await store.drain()
        store.transport.abort()

    @staticmethod
    async def _back_to(store_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await store_reader.read(1 << 20):
            writer.write(data)
            await writer.drain()
        writer.transport.abort()


@asynccontextmanager
async def line_to(store: Store, folder: Path) -> AsyncIterator[tuple[Line, Store]]:
    """A line to the same store as `store`, and a store opened through it."""
    back = store.redis.connection_pool.connection_kwargs["path"]
    line = Line(str(folder / "line.sock"), back)
    await line.up()
    far = Store(f"unix://{folder}/line.sock")
    try:
        await far.open(FINGERPRINT)
        yield line, far
    finally:
        await far.close()
        line.down()
