"""A Discord of our own on loopback: strict about what it accepts, failing on order, and recording what a person would see.

It speaks REST v10 at `url`, the gateway at `gateway_url` and serves files at `cdn_url`, all on one port. What it cannot
accept it refuses as the platform would; what no honest client does, refused or not, is kept in `problems`.

    async with DiscordServer() as server:
        ada = server.person(1001, "Ada")
        chat = server.private(ada)
        await chat.say(ada, "hello")
        [reply] = await chat.replies(1)

The parts are in discord_api/. Entering a server again after it was left opens the same port again, with everything that
it knew.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from tests.servers import specs
from tests.servers.discord_api import answers, lookups, sending, threads
from tests.servers.discord_api.channels import DM, Channel
from tests.servers.discord_api.gateway import Gateway
from tests.servers.discord_api.guilds import Guild
from tests.servers.discord_api.interactions import Interaction
from tests.servers.discord_api.limits import Bucket, Fault, Limits, Window, limited
from tests.servers.discord_api.messages import File, Message
from tests.servers.discord_api.people import Person
from tests.servers.discord_api.routes import Route, same
from tests.servers.discord_api.wire import (
    DISHONEST,
    JSON,
    Ask,
    Call,
    Refused,
    Snowflakes,
    cut,
    described,
    encode,
    read_body,
    textual,
)
from tests.servers.loopback import Loopback

TOKEN = "NDI0MjQyNDI0MjQyNDI0MjQy.TESTte.TESTtestTESTtestTESTtestTESTtest123"
BOT = 424242424242424242
ROUTES = [*lookups.ROUTES, *sending.ROUTES, *threads.ROUTES, *answers.ROUTES]
VIA = "1.1 google"
PAGE = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center><hr><center>cloudflare</center></body></html>"


class DiscordServer:
    """The platform's side: its addresses, people and places, failures on order, the record."""

    def __init__(
        self,
        token: str = TOKEN,
        *,
        name: str = "Pieria",
        limits: Limits | None = None,
        message_content: bool = True,
        members_intent: bool = False,
        shards: int = 1,
        max_concurrency: int = 1,
        heartbeat: float = 41.25,
        answer_seconds: float = 3.0,
        token_seconds: float = 900.0,
        file_seconds: float = 86_400.0,
        check_specs: bool = True,
        port: int = 0,
    ) -> None:
        self.token = token
        self.bot = Person(BOT, name, name.lower(), is_bot=True)  # the application has the same id
        self.limits = limits or Limits()
        self.message_content = message_content  # whether the portal's switch is on
        self.members_intent = members_intent
        self.shards = shards  # what GET /gateway/bot recommends
        self.max_concurrency = max_concurrency
        self.answer_seconds = answer_seconds
        self.token_seconds = token_seconds
        self.file_seconds = file_seconds  # how long the address of a file works
        self.check_specs = check_specs
        self.people: dict[int, Person] = {}
        self.everybody: dict[int, Person] = {BOT: self.bot}
        self.guilds: dict[int, Guild] = {}
        self.channels: dict[int, Channel] = {}
        self.commands: dict[int | None, list[dict]] = {}  # by guild; None: everywhere
        self.interactions: dict[str, Interaction] = {}
        self.files: dict[int, tuple[File, float]] = {}  # with the moment at which the address ends
        self.calls: list[Call] = []
        self.problems: list[str] = []  # what an honest client does not do
        self.pings: list[Message] = []  # the bot's messages that notified somebody
        self.invalid = 0  # answers of 401, 403 and 429: 10,000 within ten minutes shut an address out
        self.faults: list[Fault] = []
        self.timers: list[asyncio.TimerHandle] = []
        self.ids = Snowflakes()
        self.gateway = Gateway(self, heartbeat)
        self._buckets: dict[tuple[str, ...], Bucket] = {}
        self._everything = Window(self.limits.per_second, 1.0)
        self._loopback = Loopback(port)

    async def __aenter__(self) -> Self:
        await self._loopback.open(self._serve, grace=0.2)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for timer in self.timers:
            timer.cancel()
        await self.gateway.end()
        await self._loopback.close()

    @property
    def url(self) -> str:
        return f"{self._loopback.url}/api/v10"

    @property
    def gateway_url(self) -> str:
        return f"{self._loopback.url.replace('http', 'ws')}/gateway"

    @property
    def resume_url(self) -> str:
        return f"{self._loopback.url.replace('http', 'ws')}/resume"

    @property
    def cdn_url(self) -> str:
        return self._loopback.url

    @property
    def application_flags(self) -> int:
        return (1 << 19 if self.message_content else 0) | (1 << 15 if self.members_intent else 0)

    def person(
        self,
        id: int,  # noqa: A002 - the platform says id
        name: str,
        username: str | None = None,
        locale: str = "en-US",
    ) -> Person:
        """A person whom the platform knows."""
        self.people[id] = self.everybody[id] = Person(id, name, username or name.lower(), locale)
        return self.people[id]

    def bot_person(self, id: int, name: str, username: str | None = None) -> Person:  # noqa: A002 - the platform says id
        """Another bot, for what must not be answered."""
        self.people[id] = self.everybody[id] = Person(id, name, username or name.lower(), is_bot=True)
        return self.people[id]

    def private(self, person: Person) -> Channel:
        """The direct messages of a person and the bot."""
        for channel in self.channels.values():
            if channel.direct and channel.owner is person:
                return channel
        number = self.ids.next()
        self.channels[number] = Channel(self, number, DM, person.name, owner=person)
        return self.channels[number]

    def guild(
        self,
        id: int,  # noqa: A002 - the platform says id
        name: str,
        *,
        owner: Person,
        members: Sequence[Person] = (),
        bot_in: bool = True,
    ) -> Guild:
        """A guild (a "server" to people); with the bot in it, unless `add_bot()` is to come later."""
        new = self.guilds[id] = Guild(self, id, name, owner, list(members), bot_in=bot_in)
        if bot_in:
            self.gateway.tell("GUILD_CREATE", new.arrival, new)
        return new

    def commands_of(self, guild: Guild | None) -> list[dict]:
        """The commands that people may use there."""
        return self.commands.get(None, []) + (self.commands.get(guild.id, []) if guild else [])

    def keep_file(
        self, channel: Channel, name: str, data: bytes, mime: str = "application/octet-stream", **more: Any
    ) -> File:
        """Put a file on the CDN, under an address that ends after `file_seconds`."""
        number, ends = self.ids.next(), time.time() + self.file_seconds
        signed = f"ex={int(ends):x}&is={int(time.time()):x}&hm={secrets.token_hex(16)}"
        url = f"{self.cdn_url}/attachments/{channel.id}/{number}/{name}?{signed}&"
        kept = File(number, name, data, mime, url, more)
        self.files[number] = (kept, ends)
        return kept

    def fail(
        self,
        route: str,
        *,
        status: int | None = None,
        code: int = 0,
        times: float = 1,
        retry_after: float | None = None,
        scope: str = "user",
        drop: str | None = None,
        delay: float = 0.0,
        lag: float = 0.0,
        garbled: bool = False,
        cloudflare: bool = False,
        channel: int | None = None,
        skip: int = 0,
    ) -> Fault:
        """Make the next `times` calls of a route ("*": any) fail, after `skip` that pass; in one channel only if named.

        status: answer with it, without effect (502 to 504 with a page of HTML, 429 with retry_after and scope "user",
        "global" or "shared"). code: the platform's, its status with it. drop="before" | "after": cut the connection before
        or after the effect. delay: wait before the effect (seconds), lag: between effect and reply. garbled: effect, then
        half a JSON. cloudflare: a 429 of the platform's front, HTML without Via.
        """
        if route != "*" and same(route) not in {same(known.name) for known in ROUTES}:
            raise ValueError(f"no route {route}")
        fault = Fault(
            route, times, status, code, retry_after, scope, drop, delay, lag, garbled, cloudflare, channel, skip
        )
        self.faults.append(fault)
        return fault

    def heal(self) -> None:
        """Forget all failures that were ordered."""
        self.faults.clear()

    def redeliver(self) -> None:
        """Deliver the last event once more."""
        self.gateway.redeliver()

    def push(self, raw: dict | str | bytes) -> None:
        """Send the bot anything at all."""
        self.gateway.push(raw)

    def called(self, route: str, status: int | None = None) -> list[Call]:
        """The calls of a route ("POST /channels/{id}/messages") so far, in order."""
        return [c for c in self.calls if same(c.route) == same(route) and status in (None, c.status)]

    async def wait_for(self, fact: Callable[[], Any], timeout: float = 10.0) -> Any:
        """Wait until `fact()` is true and return its value; an AssertionError tells what was called meanwhile."""
        deadline = time.monotonic() + timeout
        while not (value := fact()):
            if time.monotonic() > deadline:
                last = ", ".join(call.described for call in self.calls[-8:])
                raise AssertionError(f"not true within {timeout} s; last calls: {last or 'none'}")
            await asyncio.sleep(0.005)
        return value

    async def connected(self, timeout: float = 10.0) -> None:
        """Wait until the bot has a session at the gateway."""
        await self.wait_for(lambda: self.gateway.connected, timeout)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path in ("/gateway", "/resume"):
            return await self.gateway.serve(request)
        if request.path.startswith("/attachments/"):
            return self._file(request)
        path = request.rel_url.raw_path.removeprefix("/api/v10")
        route, ids = _route(request.method, path)
        name = route.name if route else f"{request.method} {path}"
        call = Call(request.method, path, name, None, time.monotonic(), dict(request.query))
        self.calls.append(call)
        headers = {"Via": VIA}
        try:
            call.body, call.files = await read_body(request)
            return await self._answer(request, call, route, ids, headers)
        except Refused as refusal:
            no = refusal
        except (AttributeError, KeyError, TypeError, ValueError) as error:  # JSON of a shape that nobody reads
            no = Refused(50035)
            self.problems.append(f"{call.route}: {error!r} with {call.body}")
        if no.code in DISHONEST:
            self.problems.append(f"{call.route}: {no.body}")
        return self._refuse(call, no.status, no.body, headers)

    async def _answer(
        self, request: web.BaseRequest, call: Call, route: Route | None, ids: tuple[str, ...], headers: dict[str, str]
    ) -> web.StreamResponse:
        fault = self._fault(call, ids) if self.faults else None
        if fault:
            await asyncio.sleep(fault.delay)
            if fault.drop == "before":
                return cut(request)
            if fault.status or fault.code or fault.cloudflare:
                return self._fail(call, fault, headers)
        if (agent := request.headers.get("User-Agent", "")) and not agent.startswith("DiscordBot ("):
            self.problems.append(f"{call.route}: User-Agent is {agent!r}, not DiscordBot (url, version)")
        if not agent:
            self.problems.append(f"{call.route}: no User-Agent")
            return self._page(call, 403, "403 Forbidden", {})
        if route is None or not request.path.startswith("/api/v10/"):
            self.problems.append(f"{request.method} {request.path}: no such route")
            raise Refused(0, status=404, message="404: Not Found")
        if not route.anonymous and request.headers.get("Authorization") != f"Bot {self.token}":
            raise Refused(0, status=401, message="401: Unauthorized")
        if limited_ := self._limit(call, route, ids, headers):
            return limited_
        ask = Ask(ids, call.query, call.body, call.files, call)
        found = specs.discord(call.method, call.path, textual(call.body)) if self.check_specs else []
        if found:
            raise described(found)
        result = route.act(self, ask)
        if fault:
            await asyncio.sleep(fault.lag)
            if fault.drop == "after":
                return cut(request)
        if result is None:
            call.status = 204
            return web.Response(status=204, headers=headers)
        call.status = route.status
        body = encode(result)
        body = body[: len(body) // 2] if fault and fault.garbled else body
        return web.Response(status=route.status, body=body, content_type=JSON, headers=headers)

    def _limit(
        self, call: Call, route: Route, ids: tuple[str, ...], headers: dict[str, str]
    ) -> web.StreamResponse | None:
        """Write the headers of the bucket; a 429 if it is empty, or if there were too many calls of all kinds."""
        if route.limit == "interactions":
            bucket = Bucket(secrets.token_hex(8), 1_000_000, 1.0)  # outside of all limits
            bucket.take()
            headers |= bucket.headers
            return None
        major = ids[:2] if route.anonymous else ids[:1]
        bucket = self._buckets.get((route.name, *major))
        if bucket is None:
            name = f"{abs(hash(route.name)):016x}"
            bucket = self._buckets[route.name, *major] = Bucket(name, *getattr(self.limits, route.limit))
        everywhere = 0.0 if route.anonymous else self._everything.take()
        wait = everywhere or bucket.take()
        headers |= bucket.headers
        if not wait:
            return None
        body, more = limited(wait, "global" if everywhere else "user")
        return self._refuse(call, 429, body, headers | more)

    def _refuse(self, call: Call, status: int, body: dict, headers: dict[str, str]) -> web.Response:
        call.status, call.code = status, body.get("code", 0)
        if status in (401, 403, 429) and headers.get("X-RateLimit-Scope") != "shared":
            self.invalid += 1
        return web.Response(status=status, body=encode(body), content_type=JSON, headers=headers)

    def _fail(self, call: Call, fault: Fault, headers: dict[str, str]) -> web.Response:
        """The answer that was ordered."""
        if fault.cloudflare:
            wait = str(int(fault.retry_after or 1))
            return self._page(call, fault.status or 429, "error code: 1015", {"Retry-After": wait})
        if fault.status == 429:
            body, more = limited(1.0 if fault.retry_after is None else fault.retry_after, fault.scope)
            full = {"X-RateLimit-Limit": "5", "X-RateLimit-Remaining": "0", "X-RateLimit-Bucket": "ordered"}
            full |= {"X-RateLimit-Reset": f"{time.time() + body['retry_after']:.3f}"}
            full |= {"X-RateLimit-Reset-After": str(body["retry_after"])}
            return self._refuse(call, 429, body, headers | full | more)
        if fault.status in (502, 503, 504):
            return self._page(call, fault.status, f"{fault.status} Bad Gateway", headers)
        no = Refused(fault.code, status=fault.status or 0, message=f"{fault.status}: ordered")
        return self._refuse(call, no.status, no.body, headers)

    def _page(self, call: Call, status: int, text: str, headers: dict[str, str]) -> web.Response:
        call.status = status
        self.invalid += status in (401, 403, 429)
        return web.Response(status=status, text=PAGE.format(text), content_type="text/html", headers=headers)

    def _fault(self, call: Call, ids: tuple[str, ...]) -> Fault | None:
        for fault in self.faults:
            here = fault.channel is None or ids[:1] == (str(fault.channel),)
            if here and (fault.route == "*" or same(fault.route) == same(call.route)):
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                fault.hits.append(time.monotonic())
                if fault.times <= 0:
                    self.faults.remove(fault)
                return fault
        return None

    def _file(self, request: web.BaseRequest) -> web.Response:
        """A file of the CDN; its address must be whole and young enough."""
        if "Authorization" in request.headers:
            self.problems.append("cdn: a token was sent along")
        number = request.path.split("/")[3] if request.path.count("/") >= 4 else ""
        kept, ends = self.files.get(int(number) if number.isdigit() else 0, (None, 0.0))
        if kept is None or f"hm={request.query.get('hm')}&" not in kept.url or time.time() > ends:
            return web.Response(status=404, text="This content is no longer available.")
        return web.Response(body=kept.data, content_type=kept.mime)


def _route(method: str, path: str) -> tuple[Route | None, tuple[str, ...]]:
    for route in ROUTES:
        if found := route.path.fullmatch(f"{method} {path}"):
            return route, found.groups()
    return None, ()
