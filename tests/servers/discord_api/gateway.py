"""The gateway: connections with their heartbeats, sessions that outlive them, and the events that both carry."""

import asyncio
import contextlib
import secrets
import time
import zlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import WSMsgType, web

from tests.servers.discord_api import intents
from tests.servers.discord_api.guilds import Guild
from tests.servers.discord_api.limits import Window
from tests.servers.discord_api.wire import cut, encode

if TYPE_CHECKING:
    from tests.servers.discord import DiscordServer

DISPATCH, HEARTBEAT, IDENTIFY, PRESENCE, VOICE, RESUME, RECONNECT, MEMBERS, INVALID, HELLO, ACK = (
    0,
    1,
    2,
    3,
    4,
    *range(6, 12),
)
FRAME = 4096
"""Bytes of a compressed frame: one message may come in several."""

Body = dict | Callable[[bool], dict]


@dataclass(slots=True, eq=False)
class Session:
    """What the bot was told and may ask for again, from one IDENTIFY on."""

    id: str
    shard: int
    shards: int
    intents: int
    sharded: bool
    seq: int = 0
    log: deque[tuple[int, bytes]] = field(default_factory=lambda: deque(maxlen=10_000))
    line: "Line | None" = None

    def dispatch(self, event: str, body: dict) -> None:
        self.seq += 1
        raw = encode({"op": DISPATCH, "s": self.seq, "t": event, "d": body})
        self.log.append((self.seq, raw))
        if self.line:
            self.line.put(raw)


class Line:
    """One websocket connection."""

    def __init__(self, socket: web.WebSocketResponse, request: web.BaseRequest, sends: Window) -> None:
        self.socket = socket
        self.request = request
        self.sends = sends
        self.session: Session | None = None
        self.beat = time.monotonic()
        self.deaf = False
        self.gone = False  # we ended it
        self._waiting: asyncio.Queue[bytes | str] = asyncio.Queue()
        self._deflate = zlib.compressobj() if request.query.get("compress") == "zlib-stream" else None

    def put(self, raw: bytes | str) -> None:
        """Send, after what waits already; a deaf connection swallows it."""
        if not self.deaf:
            self._waiting.put_nowait(raw)

    def send(self, op: int, body: Any) -> None:
        self.put(encode({"op": op, "d": body, "s": None, "t": None}))

    async def write(self) -> None:
        """Send what waits, as long as the connection lives."""
        while True:
            raw = await self._waiting.get()
            data = raw if isinstance(raw, bytes) else raw.encode()
            try:
                if self._deflate is None:
                    await self.socket.send_str(data.decode())
                    continue
                packed = self._deflate.compress(data) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
                for start in range(0, len(packed), FRAME):
                    await self.socket.send_bytes(packed[start : start + FRAME])
            except (ConnectionError, RuntimeError):  # it is closing; the session keeps what was not sent
                return

    async def close(self, code: int, reason: str) -> None:
        self.gone = True
        await self.socket.close(code=code, message=reason.encode())

    def cut(self) -> None:
        self.gone = True
        if self.request.transport:
            self.request.transport.abort()


class Gateway:
    """All connections and sessions, and what can go wrong with them on order."""

    def __init__(self, server: "DiscordServer", heartbeat: float) -> None:
        self.server = server
        self.heartbeat = heartbeat  # seconds
        self.forgetful = False  # refuse to resume: what happens in the gap is lost
        self.lines: list[Line] = []
        self.sessions: dict[str, Session] = {}
        self.identifies: list[dict] = []  # what was asked, accepted or not
        self.resumes: list[dict] = []
        self.heartbeats = 0
        self.refused = 0  # connections that were cut at the door
        self.closed_with: list[int] = []  # the codes that we closed with
        self._started: dict[int, Window] = {}
        self._open = asyncio.Event()
        self._open.set()
        self._refuse = False

    @property
    def connected(self) -> bool:
        """Whether a session can be spoken to now."""
        return any(line.session for line in self.lines)

    @property
    def session(self) -> Session:
        """The newest session."""
        return list(self.sessions.values())[-1]

    async def drop(self) -> None:
        """Cut every connection without a word; the client may come again at once."""
        lines = list(self.lines)
        for line in lines:
            line.cut()
        await self._left(lines)

    @contextlib.asynccontextmanager
    async def away(self, *, refuse: bool = False) -> AsyncIterator[None]:
        """Cut every connection; who comes again waits at the door until the end of the block, or is cut with `refuse`."""
        self._open.clear()
        self._refuse = refuse
        try:
            await self.drop()
            yield
        finally:
            self._open.set()

    async def reconnect(self) -> None:
        """Ask the client to come again (op 7)."""
        for line in self.lines:
            line.send(RECONNECT, None)

    async def invalidate(self, *, resumable: bool = False) -> None:
        """Tell the client that its session is over (op 9)."""
        for line in self.lines:
            if not resumable and line.session:
                self.sessions.pop(line.session.id, None)
            line.send(INVALID, resumable)

    async def close(self, code: int = 4000, reason: str = "") -> None:
        """Close every connection with a code."""
        lines = list(self.lines)
        await asyncio.gather(*(line.close(code, reason) for line in lines))
        await self._left(lines)

    def deaf(self) -> None:
        """Let the present connections hear nothing more, not even that heartbeats came; what they miss can be resumed."""
        for line in self.lines:
            line.deaf = True

    def redeliver(self) -> None:
        """The last dispatch of every session once more, under its number."""
        for session in self.sessions.values():
            if session.line and session.log:
                session.line.put(session.log[-1][1])

    def push(self, raw: dict | str | bytes) -> None:
        """Send anything: a dispatch by its t and d (it gets the next number), any other frame as it is."""
        for line in self.lines:
            if isinstance(raw, dict) and raw.get("op", DISPATCH) == DISPATCH and "s" not in raw and line.session:
                line.session.dispatch(raw["t"], raw["d"])
            else:
                line.put(encode(raw) if isinstance(raw, dict) else raw)

    def tell(self, event: str, body: Body, guild: Guild | None) -> None:
        """Tell every session of the right shard that asked for such events; `body` may depend on the content intent."""
        need = intents.wanted(event, direct=guild is None)
        for session in self.sessions.values():
            shard = (guild.id >> 22) % session.shards if guild else 0
            if session.shard == shard and (not need or session.intents & need):
                session.dispatch(event, body(bool(session.intents & intents.CONTENT)) if callable(body) else body)

    async def end(self) -> None:
        """The server goes away."""
        for line in list(self.lines):
            await line.close(1001, "going away")

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """One connection, from its HELLO to its end."""
        if not self._open.is_set() and self._refuse:
            self.refused += 1
            return cut(request)
        await self._open.wait()
        socket = web.WebSocketResponse(max_msg_size=4096)  # larger ones the platform refuses
        await socket.prepare(request)
        line = Line(socket, request, Window(*self.server.limits.sends))
        if refusal := self._refusal(request):
            await self._close(line, *refusal)
            return socket
        self.lines.append(line)
        line.send(HELLO, {"heartbeat_interval": int(self.heartbeat * 1000), "_trace": []})
        tasks = [asyncio.create_task(line.write()), asyncio.create_task(self._watch(line))]
        try:
            async for message in socket:
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    await self._hear(line, message.data)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self._leave(line)
        return socket

    def _refusal(self, request: web.BaseRequest) -> tuple[int, str] | None:
        query = request.query
        if query.get("v") != "10" or query.get("encoding") != "json":
            self.server.problems.append(f"gateway: asked for {request.query_string}")
            return 4012, "Invalid API version."
        if query.get("compress") not in (None, "zlib-stream"):
            return 4002, "This server compresses by zlib-stream only."
        return None

    async def _hear(self, line: Line, data: str | bytes) -> None:
        try:
            said = msgspec.json.decode(data, type=dict)
            op, body = said["op"], said.get("d")
        except (msgspec.DecodeError, msgspec.ValidationError, KeyError):
            await self._close(line, 4002, "Error while decoding payload.")
            return
        if line.sends.take():
            self.server.problems.append("gateway: too many sends")
            await self._close(line, 4008, "You are being rate limited.")
        elif op == HEARTBEAT:
            self.heartbeats += 1
            line.beat = time.monotonic()
            line.send(ACK, None)
        elif op == IDENTIFY:
            await self._identify(line, body)
        elif op == RESUME:
            await self._resume(line, body)
        elif line.session is None:
            await self._close(line, 4003, "Not authenticated.")
        elif op == MEMBERS:
            self._chunk(line.session, body)
        elif op not in (PRESENCE, VOICE):
            await self._close(line, 4001, "Unknown opcode.")

    async def _identify(self, line: Line, body: dict) -> None:
        self.identifies.append(body)
        if line.session:
            await self._close(line, 4005, "Already authenticated.")
            return
        if code := self._judge(body):
            await self._close(line, *code)
            return
        shard, shards = body.get("shard") or (0, 1)
        key = shard % self.server.max_concurrency
        limits = self.server.limits
        pace = self._started.setdefault(key, Window(1, limits.identify_seconds))
        if len(self.identifies) > limits.identifies or pace.take():
            line.send(INVALID, False)
            return
        session = Session(secrets.token_hex(16), shard, shards, body["intents"], "shard" in body)
        self.sessions[session.id] = session
        session.line, line.session = line, session
        self._welcome(session)

    def _judge(self, body: dict) -> tuple[int, str] | None:
        """Why an IDENTIFY cannot be accepted."""
        server, asked = self.server, body.get("intents")
        if body.get("token") != server.token:
            return 4004, "Authentication failed."
        if not {"os", "browser", "device"} <= (body.get("properties") or {}).keys():
            return 4002, "Error while decoding payload."
        shard = body.get("shard", [0, 1])
        if len(shard) != 2 or not 0 <= shard[0] < shard[1]:
            return 4010, "Invalid shard."
        if server.shards > shard[1] and any(len(self._guilds(n, shard[1])) > 2500 for n in range(shard[1])):
            return 4011, "Sharding required."
        if not isinstance(asked, int) or asked & ~intents.KNOWN:
            return 4013, "Invalid intent(s)."
        allowed = {
            intents.CONTENT: server.message_content,
            intents.MEMBERS: server.members_intent,
            intents.PRESENCES: False,
        }
        if any(asked & bit and not on for bit, on in allowed.items()):
            return 4014, "Disallowed intent(s)."
        return None

    def _welcome(self, session: Session) -> None:
        server, guilds = self.server, self._guilds(session.shard, session.shards)
        app = {"id": str(server.bot.id), "flags": server.application_flags}
        ready = {"v": 10, "user": server.bot.json | {"verified": True, "mfa_enabled": True, "email": None}}
        ready |= {"guilds": [{"id": str(g.id), "unavailable": True} for g in guilds], "session_id": session.id}
        ready |= {"resume_gateway_url": server.resume_url, "session_type": "normal", "application": app}
        ready |= {"private_channels": [], "presences": [], "relationships": [], "user_settings": {}, "_trace": []}
        session.dispatch("READY", ready | ({"shard": [session.shard, session.shards]} if session.sharded else {}))
        if session.intents & intents.GUILDS:
            for guild in guilds:
                session.dispatch("GUILD_CREATE", guild.arrival | {"unavailable": False})

    def _guilds(self, shard: int, shards: int) -> list[Guild]:
        return [g for g in self.server.guilds.values() if g.bot_in and (g.id >> 22) % shards == shard]

    async def _resume(self, line: Line, body: dict) -> None:
        self.resumes.append(body)
        if body.get("token") != self.server.token:
            await self._close(line, 4004, "Authentication failed.")
            return
        if line.request.path != "/resume":
            self.server.problems.append("gateway: RESUME did not come to resume_gateway_url")
        session = self.sessions.get(body.get("session_id"))
        if session is None or self.forgetful:
            self.sessions.pop(body.get("session_id"), None)
            line.send(INVALID, False)
            return
        seq = body.get("seq")
        if not isinstance(seq, int) or seq > session.seq or (session.log and seq < session.log[0][0] - 1):
            del self.sessions[session.id]
            await self._close(line, 4007, "Invalid seq.")
            return
        old, session.line, line.session = session.line, line, session
        if old:  # the client gave up a connection that we still held to be alive
            old.session = None
            old.cut()
        for number, raw in session.log:
            if number > seq:
                line.put(raw)
        session.dispatch("RESUMED", {"_trace": []})

    def _chunk(self, session: Session, body: dict) -> None:
        guild = self.server.guilds[int(body["guild_id"])]
        asked = body.get("user_ids")
        if asked is None and not session.intents & intents.MEMBERS:
            self.server.problems.append("gateway: asked for all members without the intent")
            return
        ids = [int(i) for i in (asked if isinstance(asked, list) else [asked])] if asked else list(guild.members)
        found = [guild.members[i].json for i in ids if i in guild.members]
        chunk = {"guild_id": str(guild.id), "members": found, "chunk_index": 0, "chunk_count": 1}
        chunk |= {"not_found": [str(i) for i in ids if i not in guild.members]}
        session.dispatch("GUILD_MEMBERS_CHUNK", chunk | ({"nonce": body["nonce"]} if "nonce" in body else {}))

    async def _watch(self, line: Line) -> None:
        """Close a connection whose client forgot its heartbeats."""
        most = self.heartbeat * 1.5 + 0.2
        while (left := line.beat + most - time.monotonic()) > 0:
            await asyncio.sleep(left)
        if not line.deaf:
            self.server.problems.append(f"gateway: no heartbeat within {most:.1f} s")
        await self._close(line, 4009, "Session timed out.")

    async def _close(self, line: Line, code: int, reason: str) -> None:
        self.closed_with.append(code)
        if line.session and code in (4007, 4009):  # the client has to begin anew
            self.sessions.pop(line.session.id, None)
        await line.close(code, reason)

    def _leave(self, line: Line) -> None:
        self.lines.remove(line)
        session = line.session
        if session is None or session.line is not line:
            return
        session.line = None
        if self._said_goodbye(line):
            self.sessions.pop(session.id, None)

    def _said_goodbye(self, line: Line) -> bool:
        """Whether the client ended its session: it closed with 1000 or 1001, we did not."""
        return line.socket.close_code in (1000, 1001) and not line.gone

    async def _left(self, lines: list[Line]) -> None:
        """Wait until connections are gone."""
        while any(line in self.lines for line in lines):
            await asyncio.sleep(0.005)
