"""Carries wake-ups between processes and machines: core.ports.Wakeups on Docket, one docket a shard.

A docket is named like its shard's tag, so that in a Redis Cluster all that concerns a shard lies together. It carries lane and
epoch, nothing of a person. The mailbox decides what a wake-up is worth and the sweeper repeats one that was lost, so of Docket
only the stream and its consumers are used: what it does by the clock for its schedule, its lists of workers and its tasks of
its own is slowed down or left out. An idle worker of eight dockets then sends 4 commands a second, not 170, at 0.03 % of a core,
not 1.5.
"""

import asyncio
import contextlib
import logging
import re
from datetime import timedelta
from ipaddress import IPv6Address, ip_address
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode

from redis.asyncio.cluster import RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from core.errors import SettingsError, traced
from core.keys import tag, tags
from core.ports import Drain

try:
    from docket import Docket, Worker
except ModuleNotFoundError as missing:
    raise SettingsError(
        "Work on several machines needs Docket, which is not installed: run python3 deploy/bootstrap.py --cluster."
    ) from missing

log = logging.getLogger(__name__)

MOST = 10_000
"""Wake-ups of a shard that wait in this process to be sent."""
PATIENCE = 60.0
"""Seconds for one exchange with the store: a sentinel that does not answer takes half of them, at the first connection."""
ENDING = 1.0
"""Seconds in which dockets are left in order; a store that is away must not hold up our end."""
IDLE = timedelta(seconds=5)
"""How long one read of a docket waits for wake-ups: they end it at once."""
FULL = timedelta(milliseconds=50)
"""How soon a worker without a free slot looks again whether there is one."""
HEARTBEAT = timedelta(minutes=1)
"""Who works on a docket is only told to people who look into it."""
NEVER = timedelta(days=1)
"""For Docket's schedule, which nothing of ours is put on."""
LOOK = 2.0
"""Seconds between two looks at whether a cluster is still known as it is."""
GONE = 3600 * 1000
"""Milliseconds after which a consumer that read nothing is one of a process that ended."""


class Dockets:
    """core.ports.Wakeups for all processes that share a store."""

    def __init__(self, url: str, worker: str, slots: int = 256) -> None:
        """`worker` names this process among those of the store; `slots`: how many lanes are worked on side by side."""
        self._url = _roomy(url, 4 * slots)
        self._worker = worker
        self._hints = {shard: _Hints() for shard in tags()}
        self._slots = _Slots(slots)
        self._drain: Drain | None = None
        self._turns: set[asyncio.Task[None]] = set()
        self._tasks = asyncio.TaskGroup()
        self._closing = False

    def wake(self, lane: str, epoch: int) -> None:
        """Hint that a turn of this lane can begin; returns at once."""
        self._hints[tag(lane)].put(lane, epoch)

    async def serve(self, drain: Drain | None) -> None:
        """Send what `wake` is told, and call `drain` for each hint that comes to this process, until cancelled."""
        self._drain = drain
        self._closing = False
        async with asyncio.TaskGroup() as self._tasks:
            shards = [self._tasks.create_task(self._serve(shard, hints)) for shard, hints in self._hints.items()]
            try:
                await asyncio.wait(shards)
            finally:
                self._closing = True
                for task in (*self._turns, *shards):
                    task.cancel()
                await asyncio.wait(shards, timeout=ENDING)

    async def _serve(self, shard: str, hints: "_Hints") -> None:
        while not self._closing:
            try:
                async with Docket(
                    shard.strip("{}"), self._url, heartbeat_interval=HEARTBEAT, execution_ttl=timedelta(0)
                ) as docket:
                    docket.tasks.clear()  # those that Docket brings along
                    docket.register(self._play, names=["play"])
                    async with asyncio.TaskGroup() as tasks:
                        sending = tasks.create_task(_send(docket, hints))
                        looking = tasks.create_task(_know_the_cluster(docket))
                        if self._drain is None:
                            await asyncio.wait([sending])
                        else:
                            await self._work(docket)
                        sending.cancel()
                        looking.cancel()
            except Exception as error:  # noqa: BLE001 - the other shards go on, and this one begins again
                log.error("the wake-ups of a shard failed: %s", traced(error))  # noqa: TRY400 - the place says enough
                await asyncio.sleep(1.0)

    async def _work(self, docket: Docket) -> None:
        """Play what the docket brings; a cancellation makes this return as soon as its turns have ended."""
        await _forget_the_gone(docket)
        async with _Worker(
            docket,
            name=self._worker,
            reconnection_delay=timedelta(seconds=1),
            minimum_check_interval=IDLE,
            scheduling_resolution=NEVER,
            schedule_automatic_tasks=False,
            message_batch=self._slots.batch,
        ) as worker:
            with self._slots.bounding(worker):
                await worker.run_forever()

    async def _play(self, lane: str, epoch: int) -> None:
        """Docket's task. It never fails, and when the program ends it ends in order, so that nothing of it stays behind."""
        if self._closing:
            return
        turn = self._tasks.create_task(self._turn(lane, epoch))
        self._turns.add(turn)
        try:
            await asyncio.wait([turn])
        finally:
            self._turns.discard(turn)

    async def _turn(self, lane: str, epoch: int) -> None:
        assert self._drain is not None
        try:
            async with self._slots:
                await self._drain(lane, epoch)
        except Exception as error:  # noqa: BLE001 - one lane's failure must not end the others
            # The sweeper wakes this lane again.
            log.error("a turn failed: %s", traced(error))  # noqa: TRY400 - a trace would hold what people said


class _Worker(Worker):
    """A worker that nobody cancels from afar: stops are the mailbox' business.

    Docket's listener would wake this process eighty times a second, and after the node of a cluster died that it listens to,
    no worker would begin again. It has no option for that.
    """

    async def _cancellation_listener(self) -> None:
        session = self._processing_session
        if session is not None:
            session.cancellation_ready.set()
            await session.stopping.wait()


class _Hints:
    """Wake-ups of a shard that wait to be sent: of each lane the newest, which makes the older ones void."""

    def __init__(self) -> None:
        self._epochs: dict[str, int] = {}
        self.some = asyncio.Event()

    def put(self, lane: str, epoch: int) -> None:
        if len(self._epochs) >= MOST and lane not in self._epochs:
            log.debug("a wake-up was dropped: too many wait to be sent")
            return
        self._epochs[lane] = max(epoch, self._epochs.get(lane, epoch))
        self.some.set()

    def take(self) -> list[tuple[str, int]]:
        taken = list(self._epochs.items())
        self._epochs.clear()
        self.some.clear()
        return taken


class _Slots:
    """Room for so many turns, of all shards together. While there is none, no docket is read: what comes is for others."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0
        self._room = asyncio.Semaphore(most)
        self._workers: list[Worker] = []
        self.batch = max(1, most // 32)
        """Most wake-ups of one read: eight reads that wait already may bring so many beyond the room."""

    @contextlib.contextmanager
    def bounding(self, worker: Worker) -> Any:
        """Let a docket's worker take no more than there is room for."""
        self._workers.append(worker)
        self._bound()
        try:
            yield
        finally:
            self._workers.remove(worker)

    async def __aenter__(self) -> None:
        self._taken += 1
        self._bound()
        try:
            await self._room.acquire()
        except BaseException:
            self._left()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._room.release()
        self._left()

    def _left(self) -> None:
        self._taken -= 1
        self._bound()

    def _bound(self) -> None:
        full = self._taken >= self._most
        for worker in self._workers:
            worker.concurrency = 0 if full else self._most  # which Docket looks at before each read
            worker.minimum_check_interval = FULL if full else IDLE


async def _send(docket: Docket, hints: _Hints) -> None:
    """Put wake-ups on the docket as they come, those of one tick together. One that cannot be sent is lost, as hints may be."""
    while True:
        await hints.some.wait()
        taken = hints.take()
        try:
            async with asyncio.timeout(PATIENCE):
                if len(taken) == 1:
                    lane, epoch = taken[0]
                    await docket.add("play", key=f"{lane}:{epoch}")(lane, epoch)
                else:
                    calls = [docket.call("play", key=f"{lane}:{epoch}")(lane, epoch) for lane, epoch in taken]
                    for execution in await docket.add_many(calls):
                        if execution.schedule_exception is not None:
                            raise execution.schedule_exception
        except (RedisError, OSError) as error:
            level = logging.DEBUG if _is_away(error) else logging.WARNING
            log.log(level, "wake-ups of %s were lost: %s", docket.name, _told(error))


async def _forget_the_gone(docket: Docket) -> None:
    """Strike consumers of processes that ended off the docket's list, where Docket leaves them for ever."""
    with contextlib.suppress(RedisError, OSError):
        async with asyncio.timeout(PATIENCE), docket.redis() as client:
            redis = cast("Any", client)
            for consumer in await redis.xinfo_consumers(docket.stream_key, docket.worker_group_name):
                if not consumer["pending"] and consumer["idle"] > GONE:
                    await redis.xgroup_delconsumer(docket.stream_key, docket.worker_group_name, consumer["name"])


async def _know_the_cluster(docket: Docket) -> None:
    """Let a cluster be learnt anew when a node was lost: redis-py asks one node where the keys of a read lie, and asks that one
    for ever.
    """
    async with docket.redis() as client:
        cluster: Any = client
        while isinstance(cluster, RedisCluster):
            await asyncio.sleep(LOOK)
            try:
                async with asyncio.timeout(LOOK):
                    await cluster.commands_parser.get_keys(
                        "XREADGROUP", "GROUP", "g", "c", "STREAMS", docket.stream_key, ">"
                    )
            except (RedisError, OSError):
                await cluster.aclose()  # it opens again by itself


def _is_away(error: BaseException) -> bool:
    """Whether it tells of a store that does not answer, of which the sweeper tells people."""
    if isinstance(error, BaseExceptionGroup):
        return all(_is_away(inner) for inner in error.exceptions)
    return isinstance(error, RedisConnectionError | RedisTimeoutError | OSError)


def _told(error: BaseException) -> str:
    return f"{type(error).__name__} ({str(error)[:200]})" if isinstance(error, RedisError) else traced(error)


def _heeded(record: logging.LogRecord) -> bool:
    """Of Docket's log what went wrong, in a line; the store's refusal of a command looks like an outage to Docket."""
    error = record.exc_info[1] if record.exc_info else None
    if error is None or _is_away(error):
        return False
    record.msg, record.args, record.exc_info = "a docket failed: %s", (_told(error),), None
    return True


logging.getLogger("docket").setLevel(logging.WARNING)
for _name in ("worker", "strikelist", "_redelivery"):
    logging.getLogger(f"docket.{_name}").addFilter(_heeded)


def _roomy(url: str, connections: int) -> str:
    """The URL with room for so many connections, of which redis-py allows a hundred, and for reads that wait for long."""
    base, _, query = url.partition("?")
    options = dict(parse_qsl(query))
    options.pop("socket_timeout", None)
    options["max_connections"] = str(max(connections, int(options.get("max_connections", 0))))
    return f"{base}?{urlencode(options)}"


def open_store(url: str) -> str:
    """Why a worker must not take its work from this store, in one sentence; "" where it may.

    Docket unpickles what lies in the store, so whoever can write there runs code in workers. Enough of a guard are loopback, a
    unix socket, TLS, or a password.
    """
    scheme, _, rest = url.partition("://")
    if scheme.lower() == "unix" or scheme.lower().startswith("rediss"):
        return ""
    authority, options = re.split(r"[/?#]", rest, maxsplit=1)[0], dict(parse_qsl(rest.partition("?")[2]))
    login, _, hosts = authority.rpartition("@")
    if login.partition(":")[2] or (options.get("password") and "sentinel" not in scheme.lower()):
        return ""
    strangers = [host for host in map(_host, hosts.split(",")) if not _is_loopback(host)]
    if not strangers:
        return ""
    return (
        f"A worker does not take its work from {strangers[0]} without TLS or a password, since whoever can write there runs "
        "code in workers: use rediss://, or set a password (deploy/redis/users.acl has a user for each role)."
    )


def _host(place: str) -> str:
    """The host of `host:port`, `[::1]:port` or a bare address; redis-py takes none for localhost."""
    bracketed = re.match(r"\[(.*)\]", place)
    return bracketed[1] if bracketed else place.partition(":")[0] or "localhost"


def _is_loopback(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback
