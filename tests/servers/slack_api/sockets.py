"""Socket Mode: tickets, websockets, envelopes and their acknowledgements."""

import asyncio
import itertools
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import WSMsgType, web

from tests.servers.slack_api.delivery import Delivery
from tests.servers.slack_api.methods import Methods
from tests.servers.slack_api.wire import Refused, encode

if TYPE_CHECKING:
    from tests.servers.slack import SlackServer

METHODS = Methods()
MOST = 10
ANSWERED = {"slash_commands", "interactive"}


@dataclass(slots=True, eq=False)
class Socket:
    """One open connection."""

    id: str
    ws: web.WebSocketResponse
    request: web.BaseRequest
    deaf: bool = False
    leaving: bool = False  # asked to go: gets nothing new
    pings: int = 0  # what the client sent
    pongs: int = 0
    waiting: dict[str, asyncio.Future[Any]] = field(default_factory=dict)  # by envelope_id


class Sockets:
    """The open connections of the app; each delivery goes to one of them."""

    def __init__(self, server: "SlackServer", ping_seconds: float) -> None:
        self.open: list[Socket] = []
        self.opened = 0  # connections that there were
        self.tickets: set[str] = set()
        self.enabled = True
        self._server = server
        self._ping_seconds = ping_seconds
        self._turn = itertools.count()
        self._known: set[str] = set()  # envelope ids that were sent
        self._ready = asyncio.Event()

    def ticket(self) -> str:
        """The address of a connection; it opens once."""
        ticket = secrets.token_urlsafe(12)
        self.tickets.add(ticket)
        origin = self._server.origin.replace("http://", "ws://")
        return f"{origin}/link/?ticket={ticket}&app_id={self._server.app_id}"

    async def drop(self) -> int:
        """Cut all connections without a word; how many there were."""
        gone = list(self.open)
        for socket in gone:
            if socket.request.transport:
                socket.request.transport.abort()
        await self._server.wait_for(lambda: not set(gone) & set(self.open))
        return len(gone)

    async def disconnect(self, reason: str = "refresh_requested", *, grace: float = 0.2) -> None:
        """Say good-bye to all connections: warning, refresh_requested, link_disabled. They are closed after `grace` seconds."""
        gone = list(self.open)
        for socket in gone:
            socket.leaving = reason != "warning"
            await self._say(socket, {"type": "disconnect", "reason": reason, "debug_info": {"host": "loopback"}})
        if reason == "link_disabled":
            self.enabled = False
        self._mark()
        await asyncio.sleep(grace)
        for socket in gone:
            await socket.ws.close()

    def deaf(self, deaf: bool = True) -> None:
        """Make all connections that are open now dead silent: nothing comes through, no pong either."""
        for socket in self.open:
            socket.deaf = deaf

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """One connection from its first to its last frame."""
        ticket = request.query.get("ticket", "")
        if ticket not in self.tickets:
            self._server.problems.append("a socket was opened with a ticket that is unknown or used")
            return web.Response(status=408)
        self.tickets.remove(ticket)
        ws = web.WebSocketResponse(autoping=False, max_msg_size=2**20)
        await ws.prepare(request)
        if len(self.open) >= MOST:
            await ws.send_str(encode({"type": "disconnect", "reason": "too_many_websockets"}).decode())
            await ws.close()
            return ws
        self.opened += 1
        socket = Socket(f"S{self.opened}", ws, request)
        self.open.append(socket)
        pinger = asyncio.create_task(self._ping(socket))
        try:
            await self._hello(socket)
            self._mark()
            async for frame in ws:
                await self._hear(socket, frame)
        finally:
            pinger.cancel()
            self.open.remove(socket)
            self._mark()
            for future in socket.waiting.values():
                if not future.done():
                    future.set_exception(ConnectionResetError())
        return ws

    async def send(self, delivery: Delivery, seconds: float) -> tuple[bool, Any]:
        """Try it over one connection, once there is one; whether it was acknowledged, and with what."""
        socket = await self._free()
        envelope = self._server.new_uuid()
        self._known.add(envelope)
        body = {"envelope_id": envelope, "type": delivery.kind, "payload": delivery.payload}
        body["accepts_response_payload"] = delivery.kind in ANSWERED
        if delivery.kind == "events_api":
            body |= {"retry_attempt": delivery.retry, "retry_reason": delivery.reason}
        future = socket.waiting[envelope] = asyncio.get_running_loop().create_future()
        try:
            await self._say(socket, body)
            return True, await asyncio.wait_for(future, seconds)
        except TimeoutError:
            return False, "timeout"
        except ConnectionError:
            return False, "connection_closed"
        finally:
            socket.waiting.pop(envelope, None)

    async def _free(self) -> Socket:
        while True:
            able = [s for s in self.open if not s.leaving]
            if able:
                return able[next(self._turn) % len(able)]
            self._ready.clear()
            await self._ready.wait()

    async def _hello(self, socket: Socket) -> None:
        debug = {"host": "loopback", "build_number": 1, "approximate_connection_time": 18060}
        hello = {"type": "hello", "num_connections": len(self.open), "debug_info": debug}
        await self._say(socket, hello | {"connection_info": {"app_id": self._server.app_id}})

    async def _say(self, socket: Socket, body: dict) -> None:
        if not socket.deaf:
            await socket.ws.send_str(encode(body).decode())

    async def _hear(self, socket: Socket, frame: Any) -> None:
        if socket.deaf:
            return
        if frame.type == WSMsgType.PING:
            socket.pings += 1
            await socket.ws.pong(frame.data)
        elif frame.type == WSMsgType.PONG:
            socket.pongs += 1
        elif frame.type == WSMsgType.TEXT:
            self._acknowledge(socket, frame.data)
        else:
            self._server.problems.append(f"a frame of kind {frame.type} over the socket")

    def _acknowledge(self, socket: Socket, text: str) -> None:
        try:
            ack = msgspec.json.decode(text, type=dict)
        except (msgspec.DecodeError, msgspec.ValidationError):
            self._server.problems.append(f"no JSON over the socket: {text[:80]}")
            return
        envelope = ack.get("envelope_id")
        if envelope not in self._known:
            self._server.problems.append(f"an acknowledgement of an unknown envelope: {text[:80]}")
        if extra := set(ack) - {"envelope_id", "payload"}:
            self._server.problems.append(f"an acknowledgement with {sorted(extra)}")
        future = socket.waiting.get(envelope)
        if future and not future.done():
            future.set_result(ack.get("payload"))
        else:
            self._server.late.append(envelope)

    async def _ping(self, socket: Socket) -> None:
        while True:
            await asyncio.sleep(self._ping_seconds)
            if not socket.deaf:
                await socket.ws.ping(b"Ping from applink")

    def _mark(self) -> None:
        if any(not s.leaving for s in self.open):
            self._ready.set()


@METHODS.method("apps.connections.open", "T3", "connections:write", token="app")
def _open(server: "SlackServer", params: dict) -> dict:
    if not server.sockets.enabled:
        raise Refused("socket_mode_disabled")
    return {"url": server.sockets.ticket()}
