"""A port on this machine with a test's server behind it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
LARGEST = 64 * 2**20
"""Bytes of a request: a bot uploads up to 50 MB, pictures and voices travel inside JSON, and the default ends at 1 MB."""


class Loopback:
    """Opened again after it was closed, it is the same port again."""

    def __init__(self, port: int = 0) -> None:
        self._port = port
        self._server: web.Server | None = None
        self._runner: web.ServerRunner | None = None

    async def open(self, handler: Handler, *, grace: float, **how: Any) -> None:
        """Serve; at the end requests under way have `grace` seconds. `how` goes into web.Server as it is."""
        loop = asyncio.get_running_loop()
        roomy = lambda *parts: web.BaseRequest(*parts, loop, client_max_size=LARGEST)  # noqa: E731 - it closes over the loop
        self._server = web.Server(handler, access_log=None, request_factory=roomy, **how)
        self._runner = web.ServerRunner(self._server, shutdown_timeout=grace)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]

    async def close(self) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def connections(self) -> int:
        """TCP connections that are open now, idle ones too."""
        return len(self._server.connections)
