"""Socket Mode: one socket at a time, a new one before the old one goes, and events acknowledged only when they are durable.

slack_sdk's SocketModeClient carries a socket: it pings and reads frames. It is not left to reconnect by itself: it would
try a used ticket for ever, and close the old socket before the new one is open. Chats are served side by side, the events
of one chat one after the other; while the store is away they wait here, unacknowledged, and copies that Slack sends
meanwhile wait behind them.
"""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NoReturn

import aiohttp
import msgspec
from slack_sdk.errors import SlackClientError
from slack_sdk.socket_mode.aiohttp import SocketModeClient

from adapters.chat.slack import events
from adapters.chat.slack.client import Busy, Client, Refused, Times, pause
from adapters.chat.slack.events import Envelope, Payload
from adapters.chat.slack.failures import NO_SOCKETS, PASSING, REFUSED_APP, TOKEN
from core.errors import ChatRefusedToken, StoreError, traced

log = logging.getLogger(__name__)

WARNED = 3
"""Failures in a row after which the operator is told."""
SHORT = 1.0
"""Seconds; a socket that lived no longer and said nothing counts as a failure."""
WAITING = 5_000
"""Events that may wait for the store; what comes beyond is left to Slack."""
TRIES = 3
"""How often an event that fails for an unknown reason is tried before it is left out."""
READ = ("events_api", "slash_commands", "interactive")

_QUIET = logging.Logger("slack_sdk", logging.CRITICAL + 1)  # noqa: LOG001 - known to nobody, so that no setting can raise its voice
"""slack_sdk's own lines hold addresses with tickets, and what people wrote."""

Receive = Callable[[Payload], Awaitable[None]]


class Ticket(msgspec.Struct):
    """The answer of apps.connections.open: an address that opens once, and soon."""

    url: str = ""


_TICKET = msgspec.json.Decoder(Ticket)


class _NoCalls:
    """In place of slack_sdk's Web API client, which would open a socket by itself when Slack says good-bye."""

    ssl = None

    async def apps_connections_open(self, **_: Any) -> NoReturn:
        raise SlackClientError("sockets are opened elsewhere")


class Line:
    """One socket."""

    def __init__(self, session: aiohttp.ClientSession, times: Times, take: Callable[[Envelope, "Line"], None]) -> None:
        self._session = session
        self._times = times
        self._take = take
        self._client: SocketModeClient | None = None
        self._bye = asyncio.Event()
        self._sign = time.monotonic()
        self.reason = ""
        """Why Slack said good-bye."""
        self.app = ""
        """The app whose socket this is."""
        self.heard = False
        """It has carried something."""
        self.began = time.monotonic()

    async def open(self, url: str) -> None:
        """Connect. Raises OSError where that fails."""
        client = SocketModeClient(
            app_token="",
            logger=_QUIET,
            web_client=_NoCalls(),  # type: ignore[arg-type]
            auto_reconnect_enabled=False,
            ping_interval=self._times.ping,
            on_message_listeners=[self._frame],
        )
        self._client = client
        own, client.aiohttp_client_session = client.aiohttp_client_session, self._session
        await own.close()
        client.proxy = None  # the shared session knows proxies, and what not to ask them for
        client.wss_uri = url
        opened = False
        try:
            async with asyncio.timeout(self._times.connect):
                await client.connect()  # type: ignore[no-untyped-call]
            opened = True
        except TimeoutError:
            raise OSError("the socket did not open") from None
        finally:
            if not opened:
                await self.close()

    async def ended(self) -> str:
        """Wait until it should be replaced: Slack's reason for a good-bye, or "" where it broke or went silent."""
        while not self._bye.is_set() and await self._alive():
            try:
                async with asyncio.timeout(self._times.watch):
                    await self._bye.wait()
            except TimeoutError:
                continue
        return self.reason

    async def acknowledge(self, envelope: str) -> None:
        """Tell Slack that an event is durable; a socket that is gone tells nothing, and the event comes again."""
        if self._client is None:
            return
        try:
            await self._client.send_message(msgspec.json.encode({"envelope_id": envelope}).decode())
        except (aiohttp.ClientError, OSError, AttributeError) as error:
            log.debug("an acknowledgement was not sent: %s", type(error).__name__)

    @property
    def silent(self) -> float:
        """Seconds since the last sign of life."""
        client = self._client
        pinged = time.time() - client.last_ping_pong_time if client and client.last_ping_pong_time else 1e9
        return max(0.0, min(time.monotonic() - self._sign, pinged))

    async def close(self) -> None:
        """Hang up."""
        client, self._client = self._client, None
        if client is None:
            return
        client.aiohttp_client_session = None  # type: ignore[assignment] # shared: it stays its owner's
        tasks = [client.message_processor, client.current_session_monitor, client.message_receiver]
        try:
            async with asyncio.timeout(1.0):
                await client.close()  # type: ignore[no-untyped-call]
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            log.debug("a socket did not end cleanly: %s", type(error).__name__)
        running = [task for task in tasks if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _alive(self) -> bool:
        return self._client is not None and await self._client.is_connected()

    async def _frame(self, message: aiohttp.WSMessage) -> None:
        self._sign = time.monotonic()
        envelope = events.envelope(message.data)
        if envelope is None:
            log.debug("a frame that is no envelope is left out")
            return
        if envelope.type == "hello":
            app = (envelope.connection_info or {}).get("app_id")
            self.app = app if isinstance(app, str) else ""
        elif envelope.type == "disconnect":
            self.reason = envelope.reason or "refresh_requested"
            self._bye.set()
            return
        elif envelope.envelope_id:
            self._take(envelope, self)
        self.heard = True


class Sockets:
    """The sockets of one app; `beside` runs the work of a chat."""

    def __init__(
        self, client: Client, app_token: str, receive: Receive, beside: Callable[[Coroutine[Any, Any, None]], None]
    ) -> None:
        self._client = client
        self._times = client.times
        self._token = app_token
        self._receive = receive
        self._beside = beside
        self._lanes: dict[str, deque[tuple[Payload, str, Line]]] = {}
        self._line: Line | None = None
        self._lost = time.monotonic()

    @property
    def app(self) -> str:
        """The app's id, as the socket told it."""
        return self._line.app if self._line else ""

    @property
    def silent(self) -> float:
        """Seconds since the last sign of life."""
        return self._line.silent if self._line else time.monotonic() - self._lost

    async def run(self) -> NoReturn:
        """Hear until cancelled. Raises ChatRefusedToken when only the operator can help, nothing else."""
        failures = disabled = 0
        try:
            while True:
                fresh = await self._open(failures)
                old, self._line = self._line, fresh
                if old:
                    await old.close()
                reason = await fresh.ended()
                short = time.monotonic() - fresh.began < SHORT and reason != "warning"
                failures = (1 if fresh.heard else failures + 1) if short else 0
                log.debug("a socket ends: %s", reason or "it broke or went silent")
                disabled = disabled + 1 if short and reason == "link_disabled" else 0
                if disabled == WARNED:
                    raise ChatRefusedToken(NO_SOCKETS)
                if reason not in {"warning", "refresh_requested"}:
                    self._lost, self._line = time.monotonic(), None
                    await fresh.close()
        finally:
            if self._line:
                await self._line.close()
                self._line = None

    async def _open(self, failures: int) -> Line:
        while True:
            if failures:
                await asyncio.sleep(pause(failures, self._times) * random.uniform(0.5, 1.0))
            line = Line(self._client.session, self._times, self._take)
            try:
                await line.open((await self._client.ask("apps.connections.open", _TICKET, token=self._token)).value.url)
            except Busy as error:
                log.debug("%s: wait %g s", error.method, error.wait)
                await asyncio.sleep(error.wait)
            except (SlackClientError, OSError) as error:
                _unless_hopeless(error)
                failures += 1
                log.log(logging.WARNING if failures == WARNED else logging.DEBUG, "Slack's socket: %s", _said(error))
            else:
                return line

    def _take(self, envelope: Envelope, line: Line) -> None:
        try:
            payload = events.payload(envelope.payload) if envelope.type in READ else None
        except msgspec.DecodeError:
            payload = None
        lane = payload.lane if payload else ""
        waiting = self._lanes.get(lane)
        if payload is None:
            log.debug("an envelope of type %.40s is not understood", envelope.type)
            payload = Payload()
        if sum(map(len, self._lanes.values())) >= WAITING:
            return
        if waiting is not None:
            waiting.append((payload, envelope.envelope_id, line))
            return
        self._lanes[lane] = deque(((payload, envelope.envelope_id, line),))
        self._beside(self._drain(lane))

    async def _drain(self, lane: str) -> None:
        waiting = self._lanes[lane]
        try:
            while waiting:
                payload, envelope, line = waiting[0]
                await self._hand_on(payload)
                await line.acknowledge(envelope)
                waiting.popleft()
        finally:
            del self._lanes[lane]

    async def _hand_on(self, payload: Payload) -> None:
        failures = strange = 0
        while True:
            try:
                await self._receive(payload)
            except StoreError as error:
                failures += 1
                log.warning("an event waits: %s", error.sentence)
            except Exception as error:  # noqa: BLE001 - one event that breaks us must not make us deaf
                failures, strange = failures + 1, strange + 1
                log.error("an event failed: %s", traced(error))  # noqa: TRY400 - a trace would hold what people said
                if strange >= TRIES:
                    return
            else:
                return
            await asyncio.sleep(pause(failures, self._times) * random.uniform(0.5, 1.0))


def _unless_hopeless(error: Exception) -> None:
    """Raise ChatRefusedToken where another try would not help."""
    if isinstance(error, Refused) and error.word not in PASSING:
        hopeless = error.word in TOKEN | {"missing_scope", "invalid_app", "no_permission"}
        raise ChatRefusedToken(REFUSED_APP if hopeless else f"{NO_SOCKETS} (Slack says {error.word}.)")


def _said(error: Exception) -> str:
    # an OSError of a connection would name the address, and the ticket in it
    return str(error) if isinstance(error, SlackClientError) else type(error).__name__
