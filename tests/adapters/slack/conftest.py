"""A workspace that no test may leave with problems, a person with direct messages, a channel, and real notes."""

import pytest

from core.notes import Notes
from core.people import People
from core.seal import Keyring, Seal
from tests.adapters.slack.bench import LIMITS
from tests.servers.slack import SlackServer
from tests.stage import KEY


@pytest.fixture
async def server():
    async with SlackServer(limits=LIMITS) as one:
        yield one
        assert one.problems == []


@pytest.fixture
def ada(server):
    return server.person("U1", "Ada")


@pytest.fixture
def dm(server, ada):
    return server.private(ada)


@pytest.fixture
def channel(server, ada):
    return server.channel("C1", "friends", [ada, server.person("U2", "Bob")])


@pytest.fixture
def notes(store):
    seal = Seal(KEY)
    return Notes(store, People(store, seal, Keyring(seal, store.fetch_or_set), "pairing"), "slack")
