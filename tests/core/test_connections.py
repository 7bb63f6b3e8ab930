"""How REDIS_URL is read: as Docket reads it, so that one URL serves both, and never so that a piece of it is told."""

import pytest
from docket._redis_sentinel import parse_sentinel_url
from redis.asyncio import BlockingConnectionPool

from core import connections
from core.connections import Watch, address, client, node
from core.store import Store

SENTINELS = [
    "redis+sentinel://one/mymaster",
    "redis+sentinel://one:1,two:2/mymaster/3",
    "redis+sentinel://:secret@one,[::1]:26380,[fe80::2]/mymaster",
    "redis+sentinel://ada:s%40cr%2Ft@one/mymaster/0?sentinel_username=bob&sentinel_password=p%26w",
    "redis+sentinel://one/mymaster?socket_timeout=3&health_check_interval=5&db=7&password=no",
    "rediss+sentinel://one/mymaster?ssl_ca_certs=/etc/ca.pem&ssl_cert_reqs=none",
]


@pytest.mark.parametrize("url", SENTINELS)
def test_sentinels_are_named_as_docket_names_them(url: str) -> None:
    ours, theirs = address(url), parse_sentinel_url(url)
    assert (list(ours.sentinels), ours.service, ours.options["db"]) == (
        theirs.sentinels,
        theirs.service_name,
        theirs.db,
    )
    assert ours.asking == theirs.sentinel_kwargs
    options = {k: v for k, v in ours.options.items() if k != "db"}
    assert options == {k: v for k, v in theirs.connection_kwargs.items() if k != "ssl"}
    assert ours.connection.__name__.endswith("Encrypted") == theirs.connection_kwargs.get("ssl", False)


@pytest.mark.parametrize(
    "url", [*SENTINELS, "redis://one", "rediss://one", "unix:///run/s", "redis+cluster://one", "rediss+cluster://one"]
)
async def test_every_connection_is_one_that_heeds_a_cancellation(url: str) -> None:
    where = address(url)
    made = node(where, ("one", 1), 5, 1.0) if where.kind == "cluster" else client(where, 5, 1.0)
    pools = [made.connection_pool]
    if isinstance(made.connection_pool, Watch):
        pools += [sentinel.connection_pool for sentinel in made.connection_pool.sentinel_manager.sentinels]
    for pool in pools:
        connection = pool.make_connection()
        assert isinstance(connection, connections._Cancellable)
        assert connection.protocol == 2
    assert isinstance(made.connection_pool, BlockingConnectionPool)


def test_a_url_may_say_how_many_connections_there_are() -> None:
    assert Store("redis://one?max_connections=7").redis.connection_pool.max_connections == 7
    assert Store("redis://one").redis.connection_pool.max_connections == 256
