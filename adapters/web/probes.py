"""Two answers for whoever watches the program: it lives, and it can take work."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

Ready = Callable[[], Awaitable[str]]
"""Says in one sentence what is missing, or "" when work can be taken."""

PATIENCE = 2.0
"""Seconds after which a silent store counts as missing."""


def routes(ready: Ready) -> list[web.RouteDef]:
    """`/healthz` answers 200 while the program lives; `/readyz` 200 when work can be taken, else 503 and the reason."""

    async def health(_request: web.Request) -> web.Response:
        return _answer(200, "")

    async def readiness(_request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(PATIENCE):
                missing = await ready()
        except TimeoutError:
            missing = f"No answer within {PATIENCE:.0f} s."
        return _answer(503 if missing else 200, missing)

    return [web.get("/healthz", health), web.get("/readyz", readiness)]


def _answer(status: int, missing: str) -> web.Response:
    body = msgspec.json.encode({"ok": not missing, "missing": missing})
    return web.Response(status=status, body=body, content_type="application/json")
