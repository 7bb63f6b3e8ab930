"""What the commands of `pieria` do, once the store is being started or was found running."""

import argparse
import asyncio
import gc
import logging
import sys
import time
from collections.abc import Coroutine
from pathlib import Path

from adapters.http import quiet
from adapters.valkey import DataFolderBusy, Valkey
from bots import wiring
from bots.access import access
from bots.door import answers, door
from bots.settings import Settings

MINUTE = 60.0


def start(arguments: argparse.Namespace, settings: Settings, valkey: Valkey | None) -> int:
    """Run a command as the program that owns the data folder."""
    logs(settings)
    if arguments.command == "run":
        return _loop(wiring.run(settings, valkey, arguments.role))
    if arguments.command == "chat" and answers(socket := door(settings)):
        return _talk(socket, arguments, settings)
    if arguments.command == "chat":
        return _loop(wiring.chat(settings, valkey, " ".join(arguments.question)))
    return _loop(_alone(arguments, settings, valkey))


def beside(arguments: argparse.Namespace, settings: Settings, busy: DataFolderBusy) -> int:
    """Run a command while another program owns the data folder."""
    logs(settings)
    if arguments.command == "chat":
        return _talk(door(settings), arguments, settings)
    return _loop(access(arguments, settings, f"unix://{busy.socket}"))


def _talk(socket: Path, arguments: argparse.Namespace, settings: Settings) -> int:
    from bots.terminal import talk

    return _loop(talk(socket, " ".join(arguments.question), wiring.past(settings)))


def logs(settings: Settings) -> None:
    """Warnings to standard error, with secrets redacted."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S"))
    handler.addFilter(Once())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    quiet([handler], settings.secrets())


class Once(logging.Filter):
    """Many loops meet the same trouble again and again, such as a full disk: its sentence, which they end with, is said once
    a minute.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is written."""
        sentence = record.args[-1] if isinstance(record.args, tuple) and record.args else ""
        if record.levelno != logging.WARNING or not (isinstance(sentence, str) and sentence.endswith(".")):
            return True
        now = time.monotonic()
        self._said = {said: at for said, at in self._said.items() if now - at < MINUTE}
        return self._said.setdefault(sentence, now) == now


async def _alone(arguments: argparse.Namespace, settings: Settings, valkey: Valkey | None) -> int:
    if valkey is not None:
        await valkey.ready()
    return await access(arguments, settings, valkey.url if valkey else settings.redis_url.reveal())


def _loop(work: Coroutine[None, None, int]) -> int:
    gc.set_threshold(
        10_000, 20, 20
    )  # a turn makes many objects and hardly a cycle: looking for them less often is an eighth faster
    try:
        import uvloop
    except ImportError:  # not made for every system
        return asyncio.run(work)
    return uvloop.run(work)
