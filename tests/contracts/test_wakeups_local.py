"""Wake-ups inside one process keep the promises of all."""

import pytest

from adapters.queue.local import Local
from tests.contracts.wakeups import Process, Promises


class TestLocal(Promises):
    @pytest.fixture
    def process(self) -> Process:
        return Local
