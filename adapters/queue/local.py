"""Carries wake-ups inside one process: a queue, a number of slots, and nothing to import."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)


class Local:
    """core.ports.Wakeups for one process."""

    def __init__(self, slots: int = 256) -> None:
        """`slots`: how many lanes are worked on side by side."""
        self._hints: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
        self._slots = asyncio.Semaphore(slots)

    def wake(self, lane: str, epoch: int) -> None:
        """Hint that a turn of this lane can begin; returns at once."""
        self._hints.put_nowait((lane, epoch))

    async def serve(self, drain: Callable[[str, int], Awaitable[None]]) -> None:
        """Call `drain` for each hint until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                lane, epoch = await self._hints.get()
                await self._slots.acquire()
                tasks.create_task(self._drain(drain, lane, epoch))

    async def _drain(self, drain: Callable[[str, int], Awaitable[None]], lane: str, epoch: int) -> None:
        try:
            await drain(lane, epoch)
        except Exception:
            # One lane's failure must not end the others; the sweeper wakes this one again.
            log.exception("a turn failed")
        finally:
            self._slots.release()
