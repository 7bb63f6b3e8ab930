"""What the commands of `pieria` do, once the store is being started or was found running."""

import argparse
import asyncio
import logging
import sys
from collections.abc import Coroutine

from adapters.child import socket_path
from adapters.http import Redaction
from adapters.valkey import DataFolderBusy, Valkey
from bots import wiring
from bots.settings import Settings
from core.errors import PieriaError
from core.people import People
from core.seal import Keyring, Seal
from core.store import Store


def start(arguments: argparse.Namespace, settings: Settings, valkey: Valkey | None) -> int:
    """Run a command as the program that owns the data folder."""
    logs()
    if arguments.command == "run":
        return _loop(wiring.run(settings, valkey))
    if arguments.command == "chat":
        return _loop(wiring.chat(settings, valkey, " ".join(arguments.question)))
    return _loop(_approve_alone(arguments, settings, valkey))


def beside(arguments: argparse.Namespace, settings: Settings, busy: DataFolderBusy) -> int:
    """Run a command while another program owns the data folder."""
    logs()
    if arguments.command == "chat":
        from bots.terminal import talk

        socket = socket_path(settings.data, wiring.TERMINAL_SOCKET)
        return _loop(talk(socket, " ".join(arguments.question), wiring.past(settings)))
    return _loop(_approve(arguments, settings, f"unix://{busy.socket}"))


def logs() -> None:
    """Warnings to standard error, with secrets redacted."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S"))
    handler.addFilter(Redaction())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


async def _approve_alone(arguments: argparse.Namespace, settings: Settings, valkey: Valkey | None) -> int:
    if valkey is not None:
        await valkey.ready()
    return await _approve(arguments, settings, valkey.url if valkey else settings.redis_url.reveal())


async def _approve(arguments: argparse.Namespace, settings: Settings, url: str) -> int:
    seal = Seal(wiring.installation_key(settings))
    store = Store(url)
    try:
        await store.open(seal.fingerprint)
        people = People(store, seal, Keyring(seal, store.fetch_or_set), settings.access)
        found = await people.waiting(arguments.code)
        if found is None:
            raise PieriaError("Nobody waits with that code: codes are valid for an hour. Ask them to write again.")
        account = found.account
        print(f"{found.name or 'Somebody'} on {account.platform}, id {account.user}")
        if not arguments.yes:
            answer = await asyncio.to_thread(input, "Let them in? [y/N] ")
            if answer.strip().lower() not in {"y", "yes"}:
                print("Not let in.")
                return 1
        await people.approve(arguments.code)
        print("Let in. They can write now.")
        return 0
    finally:
        await store.close()


def _loop(work: Coroutine[None, None, int]) -> int:
    try:
        import uvloop
    except ImportError:  # not made for every system
        return asyncio.run(work)
    return uvloop.run(work)
