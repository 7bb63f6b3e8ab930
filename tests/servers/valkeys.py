"""Real Valkeys on this machine in the shapes that operators run: a primary with a replica under a sentinel, and a cluster."""

import asyncio
import contextlib
import os
import random
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from adapters.child import Child
from adapters.valkey import _binary

SLOTS = 16384
KEY = "{pieria0}:probe"
"""Of the first third of the slots."""
SERVICE = "house"
"""What the sentinel calls the store."""


class Server:
    """One process, on a port of its own; killed ones start again with what their folder holds."""

    def __init__(self, folder: Path, settings: dict[str, Any] | None = None, *, sentinel: str = "") -> None:
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._settings = {"port": self.port, "bind": "127.0.0.1", "dir": folder, "save": '""', **(settings or {})}
        if not sentinel:
            self._settings["repl-diskless-sync-delay"] = 0  # a replica is there at once
        self._conf = folder / "valkey.conf"
        lines = [f"{name} {value}" for name, value in self._settings.items()]
        self._conf.write_text("\n".join([*lines, f"logfile {folder / 'log'}", sentinel]) + "\n")
        self._flags = ["--sentinel"] if sentinel else []
        self._child: Child | None = None

    def start(self) -> None:
        self._child = Child([_binary(), str(self._conf), *self._flags])

    async def ask(self, *command: Any) -> Any:
        """What it answers to one command."""
        async with Redis(host="127.0.0.1", port=self.port, protocol=2, socket_timeout=5.0) as redis:
            return await redis.execute_command(*command)

    async def name(self) -> str:
        """Its name in a cluster."""
        return (await self.ask("CLUSTER", "MYID")).decode()

    async def ready(self) -> None:
        await until(lambda: self.ask("PING"))

    def kill(self) -> None:
        """As the machine dies: no last words, and no waiting for replicas."""
        if self._child is not None:
            os.kill(self._child.pid, signal.SIGKILL)
            self._child.close()
            self._child = None

    def pause(self) -> None:
        os.kill(self._child.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self._child.pid, signal.SIGCONT)


class Watched:
    """A primary, its replica, and a sentinel that puts the replica in its place after a second without an answer."""

    def __init__(self, folder: Path) -> None:
        self.one = Server(folder / "one")
        self.two = Server(folder / "two", {"replicaof": f"127.0.0.1 {self.one.port}"})
        told = f"sentinel monitor {SERVICE} 127.0.0.1 {self.one.port} 1"
        more = [f"sentinel down-after-milliseconds {SERVICE} 1000", f"sentinel failover-timeout {SERVICE} 3000"]
        self.sentinel = Server(folder / "sentinel", sentinel="\n".join([told, *more]))
        self.url = f"redis+sentinel://127.0.0.1:{self.sentinel.port}/{SERVICE}/0"

    async def start(self) -> None:
        self.one.start()
        await self.one.ready()
        self.two.start()
        await until(lambda: copies(self.one))
        self.sentinel.start()
        await until(self._known)

    async def primary(self) -> int:
        """The port of the store that the sentinel calls the primary."""
        found = await self.sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return int(found[1])

    async def _known(self) -> bool:
        replicas = await self.sentinel.ask("SENTINEL", "REPLICAS", SERVICE)
        return bool(replicas)

    def close(self) -> None:
        for server in (self.sentinel, self.one, self.two):
            server.kill()


class Cluster:
    """Three primaries with a third of the slots each, and where asked a replica of the first."""

    def __init__(self, folder: Path, *, replica: bool = False) -> None:
        common = {"cluster-enabled": "yes", "cluster-node-timeout": 1000, "cluster-require-full-coverage": "no"}
        names = ["one", "two", "three", *(["four"] if replica else [])]
        self.servers = [
            Server(folder / name, {**common, "cluster-port": free_port(), "cluster-replica-validity-factor": 0})
            for name in names
        ]

    @property
    def url(self) -> str:
        return f"redis+cluster://127.0.0.1:{self.servers[1].port}"

    async def start(self) -> None:
        for server in self.servers:
            server.start()
        for n, server in enumerate(self.servers):
            await server.ready()
            await server.ask("CLUSTER", "SET-CONFIG-EPOCH", n + 1)
        for n, server in enumerate(self.servers[:3]):
            first, last = SLOTS * n // 3, SLOTS * (n + 1) // 3 - 1
            await server.ask("CLUSTER", "ADDSLOTSRANGE", first, last)
        for server in self.servers[1:]:
            bus = server._settings["cluster-port"]
            await self.servers[0].ask("CLUSTER", "MEET", "127.0.0.1", server.port, bus)
        for server in self.servers:
            await until(lambda server=server: self._whole(server))
        if len(self.servers) > 3:
            await self.servers[3].ask("CLUSTER", "REPLICATE", await self.servers[0].name())
            await until(lambda: copies(self.servers[0]))
            for server in self.servers[1:3]:
                await until(lambda server=server: _names(server, self.servers[3]))

    async def empty(self) -> None:
        """Forget all that is stored."""
        for server in self.servers[:3]:
            await server.ask("FLUSHALL")
            await server.ask("SCRIPT", "FLUSH")

    async def _whole(self, server: Server) -> bool:
        info = await server.ask("CLUSTER", "INFO")
        known = info if isinstance(info, dict) else dict(line.split(":") for line in info.decode().split())
        return known["cluster_state"] == "ok" and int(known["cluster_known_nodes"]) == len(self.servers)

    def close(self) -> None:
        for server in self.servers:
            server.kill()


async def copies(primary: Server) -> bool:
    """Whether a replica follows: it is called online a moment before it does."""
    async with Redis(host="127.0.0.1", port=primary.port, protocol=2) as redis:
        if (await redis.info("replication")).get("slave0", {}).get("state") != "online":
            return False
        pipeline = redis.pipeline(transaction=False)
        pipeline.set(KEY, "1")
        pipeline.delete(KEY)
        pipeline.execute_command("WAIT", 1, 5000)
        return (await pipeline.execute())[-1] > 0


async def _names(server: Server, replica: Server) -> bool:
    """Whether a server knows of the other that it is a replica."""
    rows = await server.ask("CLUSTER", "SLOTS")
    return any(node[1] == replica.port for row in rows for node in row[3:])


async def owns(server: Server, slot: int) -> bool:
    """Whether it says that a slot is its own."""
    rows = await server.ask("CLUSTER", "SLOTS")
    return any(row[0] <= slot <= row[1] and row[2][1] == server.port for row in rows)


async def until(fact: Callable[[], Awaitable[Any]], seconds: float = 15.0) -> Any:
    """Wait for a fact about servers that may not answer yet."""
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(RedisError, OSError):
            if found := await fact():
                return found
        if time.monotonic() > end:
            raise AssertionError("the servers did not come up")
        await asyncio.sleep(0.02)


def free_port() -> int:
    """A port below those that connections are given."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as found, contextlib.suppress(OSError):
            found.bind(("127.0.0.1", port))
            return port
