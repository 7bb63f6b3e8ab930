"""An operator whose store does not end with one machine: a cluster, or a primary that sentinels watch over."""

from pathlib import Path

import pytest

from tests.servers.models import ModelServer, Reply, last_asked
from tests.servers.telegram import TOKEN, TelegramServer
from tests.servers.valkeys import Cluster, Watched
from tests.stories.program import environment, running

PEOPLE = range(1, 17)
"""Some on most shards."""


def echo(request: dict) -> Reply:
    return Reply(text="Answer to " + last_asked(request).split()[-1], first_token_delay=0.1)


@pytest.mark.parametrize("kind", ["sentinel", "cluster"])
async def test_processes_go_on_when_a_part_of_their_store_was_killed(tmp_path: Path, kind: str) -> None:
    store = Cluster(tmp_path, replica=True) if kind == "cluster" else Watched(tmp_path)
    try:
        await store.start()
        async with TelegramServer() as telegram, ModelServer() as models:
            told = {
                "REDIS_URL": store.url,
                "PIERIA_KEY": "11" * 32,
                "TELEGRAM_BOT_TOKEN": TOKEN,
                "TELEGRAM_API_URL": telegram.url,
                "OPENAI_BASE_URL": models.url,
                "PIERIA_ACCESS": "open",
            }
            models.brain = echo
            adapters = running(environment(tmp_path / "a", **told), "--role", "adapters")
            worker = running(environment(tmp_path / "b", **told), "--role", "worker")
            people = [telegram.person(id=n, name=f"P{n}") for n in PEOPLE]
            async with adapters, worker:
                for word in ("before", "after"):
                    for person in people:
                        await telegram.private(person).say(person, f"{word}{person.id}")
                    for person in people:
                        answers = await telegram.private(person).replies(1 if word == "before" else 2, timeout=30.0)
                        assert [a.text for a in answers][-1] == f"Answer to {word}{person.id}"
                    if word == "before":
                        (store.servers[0] if kind == "cluster" else store.one).kill()
            assert telegram.problems == []
    finally:
        store.close()
