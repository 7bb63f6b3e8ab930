"""A Telegram server that no test may leave with problems, and a person with a chat on it."""

import pytest

from tests.servers.telegram import TelegramServer


@pytest.fixture
async def server():
    async with TelegramServer() as one:
        yield one
        assert one.problems == []


@pytest.fixture
def ada(server):
    return server.person(1, "Ada")


@pytest.fixture
async def chat(server, ada):
    """A private chat that the person has begun; what began it is confirmed already."""
    one = server.private(ada)
    one.started = True
    return one
