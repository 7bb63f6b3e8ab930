"""Carries wake-ups inside one process: a queue, a number of slots, and nothing to import."""

import asyncio
import logging

from core.errors import traced
from core.ports import Drain

log = logging.getLogger(__name__)


class Local:
    """core.ports.Wakeups for one process."""

    def __init__(self, slots: int = 256) -> None:
        """`slots`: how many lanes are worked on side by side."""
        self._hints: dict[str, int] = {}
        self._hinted = asyncio.Event()
        self._slots = asyncio.Semaphore(slots)

    def wake(self, lane: str, epoch: int) -> None:
        """Hint that a turn of this lane can begin; returns at once."""
        self._hints[lane] = epoch  # a newer hint makes the older one void
        self._hinted.set()

    async def serve(self, drain: Drain | None) -> None:
        """Call `drain` for each hint until cancelled; without one hints lead nowhere."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._hinted.wait()
                if drain is None:
                    self._hints.clear()
                    self._hinted.clear()
                    continue
                await self._slots.acquire()
                lane = next(iter(self._hints))
                epoch = self._hints.pop(lane)
                if not self._hints:
                    self._hinted.clear()
                tasks.create_task(self._drain(drain, lane, epoch))

    async def _drain(self, drain: Drain, lane: str, epoch: int) -> None:
        try:
            await drain(lane, epoch)
        except Exception as error:  # noqa: BLE001 - one lane's failure must not end the others
            # The sweeper wakes this lane again.
            log.error("a turn failed: %s", traced(error))  # noqa: TRY400 - a trace would hold what people said
        finally:
            self._slots.release()
