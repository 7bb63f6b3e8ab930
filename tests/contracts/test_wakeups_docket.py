"""Wake-ups over Docket keep the promises of all, and those of processes that share a store."""

from collections.abc import AsyncIterator
from itertools import count

import pytest
from redis.asyncio import Redis

from adapters.queue.docket import Dockets
from tests.contracts.wakeups import Joined, Process


class TestDocket(Joined):
    @pytest.fixture
    async def process(self, valkey_url: str) -> AsyncIterator[Process]:
        number = count(1)
        async with Redis.from_url(valkey_url) as redis:
            await redis.flushall()
            yield lambda slots=256: Dockets(valkey_url, f"worker-{next(number)}", slots)
            await redis.flushall()
