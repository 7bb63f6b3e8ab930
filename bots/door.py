"""Where terminals enter a running program: a unix socket in its data folder."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from adapters.child import socket_path
from bots.settings import Settings

SOCKET = "pieria.sock"


@asynccontextmanager
async def terminal_door(settings: Settings, terminal: Any) -> AsyncIterator[Path | None]:
    """The unix socket through which `pieria chat` reaches a running program; the 0700 data folder guards it. None where
    another program on this folder has it.
    """
    from adapters.chat.terminal.routes import routes
    from adapters.web import app as web_app

    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    address = door(settings)
    if answers(address):
        yield None
        return
    address.unlink(missing_ok=True)
    async with web_app.serve(web_app.app([routes(terminal)]), "localhost", 0, uds=str(address)):
        address.chmod(0o600)
        try:
            yield address
        finally:
            address.unlink(missing_ok=True)


def door(settings: Settings) -> Path:
    """Where a running program listens for terminals."""
    return socket_path(settings.data, SOCKET)


def answers(address: Path) -> bool:
    """Whether a program listens there."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(str(address)) == 0
