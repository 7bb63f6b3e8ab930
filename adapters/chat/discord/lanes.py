"""What came in and is not accepted yet: one queue a channel, all side by side, each in order, also when one is tried again."""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from adapters.chat.discord.rest import Times, pause
from core.errors import StoreError, traced

log = logging.getLogger(__name__)

ROOM = 2_000
"""Events in memory, in all."""
TRIES = 3
"""How often an event that fails for an unknown reason is tried before it is left out."""

Work = Callable[[], Awaitable[None]]
Done = Callable[[], None]


class Lanes:
    """`beside` runs what nobody has to wait for."""

    def __init__(self, times: Times, beside: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        self._times = times
        self._beside = beside
        self._lanes: dict[str, deque[tuple[Work, Done]]] = {}
        self.waiting = 0

    def put(self, lane: str, work: Work, done: Done = lambda: None) -> bool:
        """Do it after what waits there already, and call `done` after that; returns at once. False where there is no room:
        nothing will be done.
        """
        if self.waiting >= ROOM:
            return False
        self.waiting += 1
        queue = self._lanes.get(lane)
        if queue is None:
            self._lanes[lane] = deque(((work, done),))
            self._beside(self._empty(lane))
        else:
            queue.append((work, done))
        return True

    async def _empty(self, lane: str) -> None:
        queue = self._lanes[lane]
        while queue:
            work, done = queue[0]
            await self._do(work)
            done()
            queue.popleft()
            self.waiting -= 1
        del self._lanes[lane]

    async def _do(self, work: Work) -> None:
        failures = strange = 0
        while True:
            try:
                await work()
            except StoreError as error:
                failures += 1
                log.log(logging.WARNING if failures == 1 else logging.DEBUG, "a message waits: %s", error.sentence)
            except Exception as error:  # noqa: BLE001 - one event that breaks us must not make the bot deaf
                failures, strange = failures + 1, strange + 1
                log.error("an event failed: %s", traced(error))  # noqa: TRY400 - a trace may hold what people said
                if strange >= TRIES:
                    return
            else:
                return
            await asyncio.sleep(min(5.0, pause(failures, self._times)) * random.uniform(0.5, 1.0))
