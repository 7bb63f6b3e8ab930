"""What the tests of several adapters share."""

from collections.abc import AsyncIterator

import pytest

from adapters.http import Http


@pytest.fixture
async def http() -> AsyncIterator[Http]:
    """Our client, closed after the test."""
    opened = Http()
    yield opened
    await opened.close()
