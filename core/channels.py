"""What processes tell each other at once, over the store's channels: a reply that grows, one that is ready, one to stop.

All of it is a hint. A channel forgets what nobody hears, so whatever must not be lost lies in the store besides, and who
begins to hear, or hears again after a pause, looks there first.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

import msgspec
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from core.errors import traced
from core.store import Store

log = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds until a lost connection is made anew."""

Heard = Callable[[bytes], Awaitable[None]]
Again = Callable[[], None]


class _Ear(msgspec.Struct, frozen=True):
    heard: Heard
    again: Again


class Channels:
    """The channels of one process, on one connection."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ears: dict[str, _Ear] = {}
        self._pubsub: PubSub | None = None

    async def hear(self, channels: tuple[str, ...], heard: Heard, again: Again) -> None:
        """Hand on what is told from now on, one after the other. `again` is called each time that these channels are open,
        for the first time too: what was told before is lost.
        """
        for channel in channels:
            self._ears[channel] = _Ear(heard, again)
        if self._pubsub is not None:
            with contextlib.suppress(RedisError, OSError):  # `run` notices too, and opens all of them anew
                await self._pubsub.ssubscribe(*channels)

    async def leave(self, channels: tuple[str, ...]) -> None:
        """Hear no more of these."""
        for channel in channels:
            self._ears.pop(channel, None)
        if self._pubsub is not None:
            with contextlib.suppress(RedisError, OSError):
                await self._pubsub.sunsubscribe(*channels)

    async def run(self) -> None:
        """Listen until cancelled. At least one channel must be heard by then."""
        while True:
            try:
                async with self._store.pubsub() as pubsub:
                    await pubsub.ssubscribe(*self._ears)
                    self._pubsub = pubsub
                    async for item in pubsub.listen():
                        await self._take(item["type"], item["channel"].decode(), item["data"])
            except (RedisError, OSError) as error:
                log.debug("the store's channels are closed: %s", error)
            finally:
                self._pubsub = None
            await asyncio.sleep(PAUSE)

    async def _take(self, kind: str, channel: str, data: bytes) -> None:
        ear = self._ears.get(channel)
        if ear is None:
            return
        try:
            if kind == "ssubscribe":  # also after the connection was lost and made anew
                ear.again()
            elif kind == "smessage":
                await ear.heard(data)
        except Exception as error:  # noqa: BLE001 - one message must not close the channels
            log.error("what came over a channel could not be taken: %s", traced(error))  # noqa: TRY400 - no words in the log

    async def tell(self, channel: str, value: bytes) -> None:
        """Tell whoever hears. Raises StoreError."""
        pipeline = self._store.redis.pipeline(transaction=False)
        pipeline.spublish(channel, value)
        await self._store.execute(pipeline)
