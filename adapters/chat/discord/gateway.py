"""The gateway: discord.py's client carries the connection (heartbeats, resuming, shards), a supervisor of ours its life.

Each frame is handed on as it came, in order; the library itself keeps only who is where: servers, their roles, channels
and threads. Whatever ends the client, it is made anew, with pauses that keep below the sessions that Discord allows a day.
"""

import asyncio
import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import discord
import msgspec
import yarl
from discord.gateway import DiscordWebSocket, KeepAliveHandler
from discord.http import Route

from adapters.chat.discord import completed, events
from adapters.chat.discord.endings import gateway_error, told
from adapters.chat.discord.events import Event, Ready
from adapters.chat.discord.failures import NO_CONTENT, Refused, chat_error
from adapters.chat.discord.rest import ANYTHING, WAY, Rest, Started, Way, pause
from core.errors import ChatBusy, ChatRefusedToken, ChatUnreachable, traced

log = logging.getLogger(__name__)

SPENT = "Discord: no new session may begin today."
GATEWAY = "wss://gateway.discord.gg/"
LOCAL = frozenset(("localhost", "127.0.0.1", "::1"))
KEPT = frozenset(
    (
        *("READY", "RESUMED", "GUILD_CREATE", "GUILD_UPDATE", "GUILD_DELETE"),
        *("GUILD_ROLE_CREATE", "GUILD_ROLE_UPDATE", "GUILD_ROLE_DELETE"),
        *("CHANNEL_CREATE", "CHANNEL_UPDATE", "CHANNEL_DELETE"),
        *("THREAD_CREATE", "THREAD_UPDATE", "THREAD_DELETE", "THREAD_LIST_SYNC"),
    )
)
"""What the library keeps account of; the rest would cost time, and a surprise in it would end the session."""


class Line(discord.AutoShardedClient):
    """One life of the library's client. `own` is the gateway that the operator named, if any; `heard` gets each frame as
    text; `begins` is asked before each new session.
    """

    def __init__(
        self,
        rest: Rest,
        way: Way,
        *,
        own: str,
        heard: Callable[[str], None],
        begins: Callable[[int], float],
        **options: Any,
    ) -> None:
        super().__init__(
            max_messages=None,
            chunk_guilds_at_startup=False,
            member_cache_flags=discord.MemberCacheFlags.none(),
            allowed_mentions=discord.AllowedMentions.none(),
            guild_ready_timeout=0.0,
            enable_debug_events=True,
            shard_count=max(1, way.shards),
            **options,
        )
        self._rest = rest
        self._own = yarl.URL(own)
        self._heard = heard
        self._begins = begins
        self.http.request = self._ask  # type: ignore[method-assign]
        self.http.ws_connect = self._connect  # type: ignore[method-assign]
        parsers = self._connection.parsers
        for name in list(parsers):
            if name in KEPT:
                parsers[name] = _careful(name, parsers[name])
            else:
                del parsers[name]

    def dispatch(self, event: str, /, *args: Any, **_kwargs: Any) -> None:
        """Frames are taken here and now: the library's own way would start a task for each, and lose their order."""
        if event == "socket_raw_receive":
            self._heard(args[0])

    async def prepare(self) -> None:
        """What the library has to do inside a loop; before it, a client cannot even be closed."""
        await self._async_setup_hook()

    async def login(self, token: str) -> None:
        """Learn who we are. The library's own would also ask for all about the application, which READY tells."""
        user: Any = await self.http.static_login(token)
        self._connection.user = discord.ClientUser(state=self._connection, data=completed.user(user))

    async def _ask(self, route: Route, **_kwargs: Any) -> Any:
        """The library's calls go out by our own client: within the same limits, and without a word in the log."""
        return await self._rest.call(route.method, route.url.removeprefix(Route.BASE), ANYTHING)

    async def _connect(self, url: str, **options: Any) -> Any:
        """A session is resumed at the address that its beginning told, but never away from the host that the operator named."""
        asked = yarl.URL(url)
        if self._own.host and asked.host != self._own.host and not {asked.host, self._own.host} <= LOCAL:
            url = str(self._own.with_query(asked.query))
        return await type(self.http).ws_connect(self.http, url, **options)

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:  # noqa: ARG002 - the library's shape
        """Wait until a new session may begin."""
        await asyncio.sleep(self._begins(shard_id or 0))


class Gateway:
    """The connection of one bot."""

    def __init__(self, rest: Rest, token: str, gateway_url: str) -> None:
        self._rest = rest
        self._times = rest.times
        self._token = token
        self._url = gateway_url
        self._take: Callable[[Event], None] | None = None
        self._content = True
        self._begun: list[float] = []
        self._left = Started()
        self._ready = 0.0
        self.line: Line | None = None
        """The library's client, which knows the servers and their channels."""
        self.heard = time.monotonic()
        """When the last frame came, by the monotonic clock; before the first, since when it is waited for."""
        self.lack = ""

    async def run(self, take: Callable[[Event], None]) -> NoReturn:
        """Listen until cancelled; `take` gets each event that concerns us, and returns at once. Raises ChatRefusedToken
        when only the operator can help.
        """
        self._take = take
        failures = 0
        while True:
            began = time.monotonic()
            self._ready = 0.0
            try:
                await self._live()
                log.info("Discord: the connection ended; a new one is made")
            except ChatRefusedToken:
                raise
            except discord.PrivilegedIntentsRequired:
                if not self._content:
                    raise ChatRefusedToken(NO_CONTENT) from None
                self._content, self.lack = False, NO_CONTENT
                log.warning("%s", NO_CONTENT)
                continue
            except ChatBusy as error:
                log.warning("%s", error.sentence)
                await asyncio.sleep(error.retry_after)
                continue
            except Exception as error:  # noqa: BLE001 - whatever ends a client, the bot must hear again
                failure = chat_error(error) if isinstance(error, Refused) else gateway_error(error)
                if isinstance(failure, ChatRefusedToken):
                    raise failure from None
                log.warning("%s", failure.sentence)
            steady = self._ready and time.monotonic() - max(self._ready, began) > self._times.steady
            failures = 1 if steady else failures + 1
            await asyncio.sleep(pause(failures, self._times) * random.uniform(0.5, 1.0))

    async def _live(self) -> None:
        """One client, from its beginning to its end."""
        way = await self._way()
        self._left = way.session_start_limit
        if self._left.remaining < max(1, way.shards):
            wait = max(self._left.reset_after / 1000, self._times.identify)
            raise ChatBusy(f"Discord: too many sessions today; the next begins in {wait:.0f} s.", retry_after=wait)
        _point(self._rest.base, way.url)
        intents = discord.Intents(guilds=True, guild_messages=True, dm_messages=True, message_content=self._content)
        line = Line(
            self._rest,
            way,
            own=self._url,
            heard=self._frame,
            begins=self._begin,
            intents=intents,
            heartbeat_timeout=self._times.silence,
            proxy=_proxy(way.url),
        )
        self.line, begun = line, time.monotonic()
        await line.prepare()
        running = asyncio.create_task(line.start(self._token))
        try:
            while not running.done():
                await asyncio.wait((running,), timeout=self._times.poll)
                if self._left.remaining < 0:
                    raise ChatBusy(SPENT, retry_after=self._times.identify)
                if time.monotonic() - max(self.heard, begun) > self._times.deaf:
                    raise ChatUnreachable(f"Discord has said nothing for {self._times.deaf:.0f} s.", arrived=False)
            await running
        finally:
            running.cancel()
            await asyncio.wait((running,), timeout=2.0)
            if running.done() and not running.cancelled():
                running.exception()  # looked at, or asyncio would print it with its trace
            await _end(line)

    async def _way(self) -> Way:
        """Where to connect; asked each time, for it says how many sessions may still begin."""
        try:
            way = await self._rest.call("GET", "/gateway/bot", WAY)
        except Refused as refused:
            if refused.status != 404:
                raise chat_error(refused) from None
            way = Way(GATEWAY)
        except ChatUnreachable:
            if not self._url:
                raise
            way = Way(GATEWAY)
        return msgspec.structs.replace(way, url=self._url) if self._url else way

    def _begin(self, shard: int) -> float:
        """Seconds until a new session may begin; where none may today, the client is given up meanwhile."""
        now = time.monotonic()
        self._begun = [at for at in self._begun if now - at < 120 * self._times.identify]
        self._begun.append(now)
        self._left.remaining -= 1
        if self._left.remaining < 0:
            return self._times.deaf
        many = len(self._begun) - 1 if shard == 0 else min(len(self._begun) - 1, 1)
        return self._times.identify * min(2 ** (many - 1), 6) if many else 0.0

    def _frame(self, frame: str) -> None:
        self.heard = time.monotonic()
        try:
            event = events.read(frame)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            log.debug("a frame of Discord's cannot be read")
            return
        if isinstance(event, Ready):
            self._ready = self.heard
            log.info("Discord: connected as %s", event.user.username)
        if event is not None and self._take:
            try:
                self._take(event)
            except Exception as error:  # noqa: BLE001 - one event that breaks us must not end the session
                log.error("an event failed: %s", traced(error))  # noqa: TRY400 - a trace may hold what people said


def _point(api: str, gateway: str) -> None:
    """The library keeps its addresses in its classes: this is the one place that sets them."""
    Route.BASE = api
    DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway)
    for name in ("client", "gateway", "http", "shard", "state", "webhook.async_"):
        logger = logging.getLogger(f"discord.{name}")
        logger.setLevel(logging.WARNING)
        if not any(isinstance(one, Terse) for one in logger.filters):
            logger.addFilter(Terse())


class Terse(logging.Filter):
    """The library shows whole frames, with people's words and our token, at DEBUG, and traces of each lost connection."""

    def filter(self, record: logging.LogRecord) -> bool:
        """One line of each record, none of those below a warning."""
        if record.levelno < logging.WARNING or "is not installed" in str(record.msg):
            return False
        why = record.exc_info[1] if record.exc_info else None
        where = record.name.rpartition(".")[2]
        record.msg = f"discord.py ({where}): {str(record.msg).partition(chr(10))[0]}"
        if why is not None:
            record.msg, record.args = f"discord.py ({where}): the connection broke ({told(why)}); it tries again", None
            record.exc_info = record.exc_text = None
            record.levelno, record.levelname = logging.WARNING, "WARNING"
        return True


def _careful(name: str, parse: Callable[[Any], None]) -> Callable[[Any], None]:
    """A parser of the library that gives one event up instead of the session."""

    def careful(data: Any) -> None:
        try:
            parse(completed.complete(name, data))
        except Exception as error:  # noqa: BLE001 - the library's parsers may stumble over anything
            log.warning("discord.py cannot read an event of kind %s (%s)", name, type(error).__name__)

    return careful


def _proxy(url: str) -> str | None:
    """The environment's proxy for an address."""
    parts = urlsplit(url)
    proxies = getproxies_environment()
    host = parts.hostname or ""
    if proxy_bypass(host) or host in LOCAL:
        return None
    return proxies.get("https" if parts.scheme == "wss" else "http")


async def _end(line: Line) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(2.0):
            # A connection that was given up before it was whole is known to nobody but the thread that keeps it alive.
            for thread in threading.enumerate():
                if isinstance(thread, KeepAliveHandler) and thread.ws._dispatch == line.dispatch:  # noqa: SLF001 - nothing else tells
                    await thread.ws.close(1000)
            await line.close()
