"""Wake-ups go on when another server takes the place of the one that died: under sentinels, and in a cluster."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.queue.docket import Dockets
from core.keys import lane_keys
from tests.contracts.wakeups import LANES, Player, serving
from tests.servers.valkeys import Cluster, Watched

SHARDS = tuple({lane_keys(lane).tag: lane for lane in LANES[:100]}.values())
"""A lane of each shard."""


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    servers = Watched(tmp_path)
    try:
        await servers.start()
        yield servers
    finally:
        servers.close()


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    servers = Cluster(tmp_path, replica=True)
    try:
        await servers.start()
        yield servers
    finally:
        servers.close()


async def played(adapters: Dockets, player: Player, epoch: int) -> None:
    """Say it again and again, as the sweeper does, until all shards have played it."""
    async with asyncio.timeout(30):
        while not {(lane, epoch) for lane in SHARDS} <= set(player.played):
            for lane in SHARDS:
                adapters.wake(lane, epoch)
            await asyncio.sleep(0.1)


async def test_the_replica_that_a_sentinel_names_carries_them_on(watched: Watched) -> None:
    player, adapters = Player(), Dockets(watched.url, "adapters")
    async with serving(adapters, None), serving(Dockets(watched.url, "worker"), player.drain):
        await played(adapters, player, 1)
        watched.one.kill()
        await played(adapters, player, 2)


async def test_the_other_nodes_of_a_cluster_carry_them_on(cluster: Cluster) -> None:
    player, adapters = Player(), Dockets(cluster.url, "adapters")
    async with serving(adapters, None), serving(Dockets(cluster.url, "worker"), player.drain):
        await played(adapters, player, 1)
        cluster.servers[0].kill()
        await played(adapters, player, 2)
