"""A few seconds of chaos on all three platforms, and the ledger, which must see what it is there to see."""

import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.chaos.__main__ import recovery
from tests.chaos.house import Many, One
from tests.chaos.ledger import Ledger
from tests.chaos.people import DONE, People
from tests.chaos.platforms import Telegram
from tests.chaos.soak import Plan, soak
from tests.servers.models import ModelServer
from tests.servers.telegram import TOKEN

MEMORY = Path("/dev/shm")
ROOM = 48 * 1024**2
GREETINGS = 12
LATEST = 30.0
"""Seconds within which a chat goes on here, on a machine that is busy with other tests."""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory, where there is room: while a slow disk writes, a store holds back what it has to add, and a kill loses it."""
    if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM:
        with tempfile.TemporaryDirectory(prefix="pieria-chaos-", dir=MEMORY) as made:
            yield Path(made)
    else:
        yield tmp_path


@pytest.mark.xdist_group("chaos")
@pytest.mark.parametrize(
    ("house", "acts"),
    [(One, ("kill program", "kill store")), (Many, ("kill worker", "kill adapters", "kill store"))],
)
async def test_kills_lose_double_and_disorder_nothing_on_any_platform(
    house: type[One | Many], acts: tuple[str, ...], folder: Path
) -> None:
    plan = Plan(house, private=3, groups=1, rate=5.0, acts=acts, gap=2.0, nag=3.0, grace=2.0)
    result = await soak(plan, int(os.environ.get("SEED") or 1), folder / "data")
    told = "\n".join([*map(str, result.verdicts), *result.findings, *result.story, result.output])
    print(*(f"{v.platform}: {recovery(v.recovery)}" for v in result.verdicts))
    assert not result.bad, told
    assert sum(verdict.said for verdict in result.verdicts) > GREETINGS
    assert all(max(verdict.recovery, default=0.0) < LATEST for verdict in result.verdicts), told


async def test_the_ledger_counts_what_is_lost_doubled_marked_left_over_and_out_of_order() -> None:
    platform = Telegram(1, 0)
    async with ModelServer() as models, platform.server, aiohttp.ClientSession() as session:
        people = People([platform], random.Random(1))
        ledger = Ledger([platform], people, models)
        for _ in range(5):
            await people.greet()
        chat = platform.places[0].chat.id
        for text in (
            f"Answer to m00001. {DONE}",
            f"Answer to m00001. {DONE}",
            f"(Sent again: I could not tell.) Answer to m00001. {DONE}",
            f"Answer to m00003. {DONE}",
            f"Answer to m00002. {DONE}",
            "Answer to m00004. wo",
        ):
            await session.post(f"{platform.server.url}/bot{TOKEN}/sendMessage", json={"chat_id": chat, "text": text})
        assert not ledger.settled
        (verdict,) = ledger.judge()
    told = (verdict.said, verdict.lost, verdict.copies, verdict.marked, verdict.stray, verdict.disorder)
    assert told == (5, 2, 1, 1, 1, 1)
    assert verdict.bad
