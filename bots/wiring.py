"""The composition root: settings become a running house. The only file that knows every part."""

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import msgspec

from adapters.http import Http
from adapters.models.offline import Offline
from adapters.models.registry import Plan, Registry, bar
from adapters.queue.local import Local
from adapters.tools.science import calculator
from adapters.valkey import Valkey
from bots import process
from bots.connection import PLATFORMS, Connection, platform
from bots.door import door, terminal_door
from bots.settings import Settings
from bots.table import Row, Table
from bots.web import PageRecords
from core.engine import Engine
from core.errors import PieriaError, SettingsError, StoreError
from core.holding import Holding
from core.keys import DAY
from core.mailbox import Rules
from core.notes import Notes
from core.people import People
from core.ports import Wakeups
from core.prompt import warming
from core.seal import Keyring, Seal
from core.store import Store
from core.tools import Toolbox

if TYPE_CHECKING:
    from bots.terminal import Past

KEY_FILE = "key"
SLOTS = 256
"""Turns that a process plays side by side."""

Role = Literal["all", "adapters", "worker"]
"""What a process does of those that share a store: `adapters` receive and deliver, a `worker` plays turns."""


class House(msgspec.Struct):
    """All parts, joined and not yet running."""

    settings: Settings
    store: Store
    seal: Seal
    people: People
    models: Registry
    engine: Engine
    http: Http
    connections: list[Connection] = msgspec.field(default_factory=list)

    async def ready(self) -> str:
        """What is missing before work can be taken; "" where nothing is."""
        try:
            await self.store.ping()
        except StoreError as error:
            return error.sentence
        deaf = (deaf for connection in self.connections if (deaf := connection.deaf))
        return self.store.tight or self.engine.lack or next(deaf, "")


@asynccontextmanager
async def house(settings: Settings, valkey: Valkey | None, role: Role = "all") -> AsyncIterator[House]:
    """Join the parts. `valkey` is the embedded server, spawned already; None where REDIS_URL names the store."""
    if role != "all" and valkey is not None:
        raise SettingsError(f"--role {role} is for several processes: they meet in the store that REDIS_URL names.")
    name, rules = process.name(), Rules(keep=settings.keep_days * DAY)
    wakeups = Local(SLOTS) if role == "all" else _dockets(settings, name, role)
    async with AsyncExitStack() as stack:
        if valkey is not None:
            stack.callback(valkey.close)
            await valkey.ready()
        seal = Seal(installation_key(settings))
        store = Store(valkey.url, folder=valkey.folder) if valkey else Store(settings.redis_url.reveal())
        stack.push_async_callback(store.close)
        await store.open(seal.fingerprint)
        people = People(store, seal, Keyring(seal, store.fetch_or_set), settings.access)
        http = Http()
        stack.push_async_callback(http.close)
        plan = Plan(
            models=settings.model,
            providers={name: (p.key.reveal(), p.base_url) for name, p in settings.providers.items()},
            cache=settings.cache,
            weights=settings.weights,
            data=settings.data,
            first=warming("2 + 2", (calculator.spec,)),
            arithmetic=calculator.spec.name,
            elsewhere=role == "adapters",
        )
        models = Registry(http, plan, bar)
        stack.push_async_callback(models.close)
        engine = Engine(
            store=store,
            people=people,
            models=models,
            tools=Toolbox((calculator,)),
            wakeups=wakeups,
            worker=name,
            rules=rules,
            holding=Holding(store, name, rules.lease, alone=valkey is not None, gone=process.gone),
            slots=0 if role == "adapters" else SLOTS,
            zone=settings.zone,
            paced=settings.send_limits,
            rate=settings.rate,
            budget=settings.budget,
        )
        yield House(settings, store, seal, people, models, engine, http)


def _dockets(settings: Settings, name: str, role: Role) -> Wakeups:
    from adapters.queue.docket import Dockets, open_store

    url = settings.redis_url.reveal()
    if role == "worker" and (why := open_store(url)):
        raise SettingsError(why)
    return Dockets(url, name, SLOTS)


def installation_key(settings: Settings) -> bytes:
    """The installation's key: PIERIA_KEY, else the file in the data folder, made at the first start."""
    if settings.key:
        return bytes.fromhex(settings.key.reveal())
    path = settings.data / KEY_FILE
    try:
        settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            fresh = path.with_suffix(".new")
            handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(secrets.token_bytes(32))
                file.flush()
                os.fsync(file.fileno())
            fresh.rename(path)
        key = path.read_bytes()
    except OSError as error:
        raise StoreError(f"The key file {path} cannot be used: {error.strerror}.") from error
    if len(key) != 32:
        raise SettingsError(f"The key file {path} is damaged: bring the one that belongs to this data folder.")
    return key


def past(settings: Settings) -> "Past":
    """What was typed at the terminal's prompt."""
    from bots.terminal import Past

    return Past(settings.data / "prompt", installation_key(settings))


def connect(parts: House) -> list[Row]:
    """Make the adapters of the platforms that have a token; returns what is to be said of the others."""
    off = []
    for name in PLATFORMS:
        module = platform(name)
        connection = module.connect(parts.settings, parts.http, Notes(parts.store, parts.people, name))
        if connection is not None:
            parts.connections.append(connection)
        else:
            off.append(Row(name.title(), "off", module.OFF))
    return off


async def run(settings: Settings, valkey: Valkey | None, role: Role) -> int:
    """`pieria run`, until a signal ends it."""
    return await (work(settings, valkey) if role == "worker" else serve(settings, valkey, role))


async def work(settings: Settings, valkey: Valkey | None) -> int:
    """Play turns for the processes that serve the platforms."""
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(house(settings, valkey, "worker"))
        stop = stop_signal()
        table = Table([], {}, {})
        table.rows = [Row("Worker", "on", f"up to {SLOTS} turns side by side, for `pieria run --role adapters`")]
        async with asyncio.TaskGroup() as tasks:
            preparing = tasks.create_task(parts.models.prepare(warm=True))
            serving = tasks.create_task(parts.engine.run([], stop))
            await asyncio.wait((preparing,), timeout=0.5)
            table.show(*await _state(parts))
            await _settled(parts.models, serving)
            await serving
            preparing.cancel()
    return 0


async def serve(settings: Settings, valkey: Valkey | None, role: Role) -> int:
    """Serve the page and every platform that has a token."""
    from adapters.chat.terminal.outbound import Terminal
    from adapters.chat.web.outbound import Web
    from adapters.chat.web.routes import routes as page_routes
    from adapters.web import app as web_app
    from adapters.web.probes import routes as probe_routes

    web_app.check_exposure(settings.host, settings.public_url, settings.password.reveal())
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(house(settings, valkey, role))
        off = connect(parts)
        chats = [connection.chat for connection in parts.connections]
        labels = ["Web page", *(c.traits.label for c in chats), "Terminal"]
        records = PageRecords(parts.engine.records, parts.models, labels)
        public = bool(settings.public_url) or not web_app.is_loopback(settings.host)
        page = Web(parts.seal.sign, records, settings.password.reveal(), public)
        terminal = Terminal(parts.models.line)
        hosts = [urlsplit(settings.public_url).netloc] if settings.public_url else []
        if settings.host not in {"0.0.0.0", "::", ""}:  # noqa: S104 - compared, not bound
            hosts.append(settings.host)
        ready = [page_routes(page), probe_routes(parts.ready), *(c.routes for c in parts.connections)]
        url = await stack.enter_async_context(
            web_app.serve(
                web_app.app(ready, hosts),
                settings.host,
                settings.port,
                password=settings.password.reveal(),
                public_url=settings.public_url,
            )
        )
        beside = await stack.enter_async_context(terminal_door(settings, terminal)) is None
        link = f"{settings.public_url or url}{page.invitation()}"
        table = Table(parts.connections, parts.engine.off, parts.engine.waits)
        table.rows = [
            Row("Web page", "on", f"{link}  (your own link, works once; then {url})"),
            Row("Terminal", "off", "another program has it on this data folder")
            if beside
            else Row("Terminal", "on", "make chat"),
            *off,
        ]
        if role == "adapters":
            table.rows.append(Row("Answers", "", "from `pieria run --role worker`, any number of them on this store"))
        stop = stop_signal()
        async with asyncio.TaskGroup() as tasks:
            preparing = tasks.create_task(parts.models.prepare(warm=True))
            serving = tasks.create_task(parts.engine.run([page, terminal, *chats], stop))
            if valkey is not None:
                guard = tasks.create_task(_watch(valkey, stop))
            await asyncio.wait((preparing,), timeout=0.5)
            await table.settled()
            table.show(*await _state(parts))
            following = tasks.create_task(table.follow())
            await _settled(parts.models, serving)
            await serving
            for task in (preparing, following):
                task.cancel()
            if valkey is not None:
                guard.cancel()
    return 0


async def chat(settings: Settings, valkey: Valkey | None, question: str) -> int:
    """`pieria chat` where no program runs on the data folder: the house with a terminal and nothing else."""
    from adapters.chat.terminal.outbound import Terminal
    from bots.terminal import talk

    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(house(settings, valkey))
        terminal = Terminal(parts.models.line)
        address = await stack.enter_async_context(terminal_door(settings, terminal)) or door(settings)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            preparing = tasks.create_task(parts.models.prepare())
            serving = tasks.create_task(parts.engine.run([terminal], stop))
            try:
                code = await talk(address, question, past(settings))
            finally:
                stop.set()
            await serving
            preparing.cancel()
    return code


def stop_signal() -> asyncio.Event:
    """Set by Ctrl-C and SIGTERM; a second Ctrl-C ends at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stopped() -> None:
        if stop.is_set():
            os._exit(130)
        print("\nEnding: running answers finish first (Ctrl-C again ends at once) …", file=sys.stderr, flush=True)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped)
    return stop


async def _settled(models: Registry, serving: "asyncio.Task[None]") -> None:
    """Say which model speaks where that took a while."""
    if not models.progress:
        return
    settled = asyncio.ensure_future(models.settled())
    await asyncio.wait((settled, serving), return_when=asyncio.FIRST_COMPLETED)
    if not settled.cancel():
        what = "No model" if models.speaking == Offline.name else "Model ready"
        print(f"  {what}: {models.speaking} ({models.why})\n", flush=True)


async def _watch(valkey: Valkey, stop: asyncio.Event) -> None:
    code = await valkey.ended()
    if not stop.is_set():
        raise PieriaError(
            f"The embedded Valkey ended by itself (exit code {code}): see {valkey.folder / 'valkey.log'}."
        )


async def _state(parts: House) -> list[Row]:
    """The last rows of the table: which model speaks, where the data lie, who rules."""
    settings = parts.settings
    why = f" ({parts.models.why})" if parts.models.why else ""
    store = "sealed, in an embedded Valkey" if not settings.redis_url else "sealed, in the store of REDIS_URL"
    rows = [Row("Model", "", f"{parts.models.speaking}{why}"), Row("Data", "", f"{settings.data} ({store})")]
    if parts.connections and (code := await parts.people.claim()):
        start = "" if all(c.chat.traits.command == "!" for c in parts.connections) else "/start "
        rows.append(
            Row(
                "Operator",
                "nobody",
                f"send  {start}{code}  to your bot in a direct message: it makes you the operator",
            )
        )
    return rows
