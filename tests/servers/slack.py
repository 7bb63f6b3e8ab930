"""A Slack on loopback: strict about what it accepts, failing on order, and recording what a person would see.

On one port it speaks the Web API (`url`), Socket Mode (the address comes from apps.connections.open), downloads, uploads
and response_url; after `deliver_http` it posts signed events to an address of the app instead. The app is an agent with
the manifest of our guide unless said otherwise. What it cannot accept it refuses as the platform would; what the platform
would pass over in silence and no adapter of ours should send is kept in `problems`.

    async with SlackServer() as server:
        ada = server.person("U1", "Ada")
        dm = server.private(ada)
        await dm.say(ada, "hello")
        [reply] = await dm.replies(1)

The parts are in slack_api/; in which layout the text of blocks is read back, slack_api/text.py says.
Entering a server again after it was left opens the same port again, with everything that it knew.
"""

import asyncio
import itertools
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Self

from tests.servers.loopback import Loopback
from tests.servers.slack_api import posts
from tests.servers.slack_api.chats import Chat
from tests.servers.slack_api.delivery import Deliveries, Delivery
from tests.servers.slack_api.faults import Fault, Limits, Tiers
from tests.servers.slack_api.files import Files
from tests.servers.slack_api.front import Call, Front
from tests.servers.slack_api.interactions import Interactions
from tests.servers.slack_api.messages import Message
from tests.servers.slack_api.people import Person
from tests.servers.slack_api.posts import Posts
from tests.servers.slack_api.sockets import Sockets
from tests.servers.slack_api.wire import Refused, words

BOT_TOKEN = "xoxb-1-2-TESTtestTESTtest"
APP_TOKEN = "xapp-1-A1-2-TESTtestTESTtest"
SIGNING_SECRET = "5ec2e7000000000000000000000000ff"
SCOPES = words(
    "app_mentions:read assistant:write chat:write commands im:history im:read im:write channels:history channels:read "
    "groups:history groups:read mpim:history mpim:read files:read files:write reactions:read reactions:write users:read"
)
EVENTS = words(
    "app_home_opened app_mention app_context_changed agent_session_stopped agent_session_title_changed message.im "
    "message.mpim message.channels message.groups reaction_added reaction_removed member_joined_channel app_uninstalled "
    "tokens_revoked assistant_thread_started assistant_thread_context_changed"
)
PLURAL = {"channel": "message.channels", "group": "message.groups", "im": "message.im", "mpim": "message.mpim"}


class SlackServer:
    """The platform's side: `url` for SLACK_API_URL, people and conversations, failures on order, the record."""

    def __init__(
        self,
        *,
        bot_token: str = BOT_TOKEN,
        app_token: str = APP_TOKEN,
        team: str = "T1",
        domain: str = "loopback",
        team_name: str = "Loopback",
        app_id: str = "A1",
        name: str = "Pieria",
        agent: bool = True,
        home_tab: bool = True,
        scopes: Iterable[str] = SCOPES,
        events: Iterable[str] = EVENTS,
        limits: Limits | bool = True,
        ack_seconds: float = 3.0,
        retry_delays: Sequence[float] = (0.0, 0.1, 0.3),
        stream_seconds: float = 300.0,
        edit_seconds: float | None = None,
        ping_seconds: float = 5.0,
        port: int = 0,
    ) -> None:
        """ack_seconds, retry_delays: how long an acknowledgement may take, and the pauses before each of the retries.

        stream_seconds: the life of a stream. edit_seconds: the workspace's edit window (None: always open).
        """
        self.bot_token = bot_token
        self.app_token = app_token
        self.team = team
        self.domain = domain
        self.team_name = team_name
        self.app_id = app_id
        self.agent = agent
        self.home_tab = home_tab
        self.scopes = set(scopes)
        self.events = set(events)
        self.stream_seconds = stream_seconds
        self.edit_seconds = edit_seconds
        self.longest_text = 40_000
        self.longest_update = 4_000
        self.longest_blocks: int | None = None  # characters of JSON; reports name some 13,200, the reference none
        self.largest_file = 2**30
        self.emoji: set[str] = set()  # empty: every well-formed name is one
        self.installed = True
        self.bot = Person("UBOT", name, team, bot_id="B1", app_id=app_id)
        self.people: dict[str, Person] = {}
        self.chats: dict[str, Chat] = {}
        self.homes: dict[str, dict] = {}  # the Home tab by person
        self.modals: list[tuple[Person, dict]] = []
        self.used_triggers: dict[str, set[str]] = {}
        self.calls: list[Call] = []
        self.problems: list[str] = []  # what an honest client must not do
        self.unacked: list[Delivery] = []  # one entry for each attempt without an acknowledgement
        self.late: list[str] = []  # envelopes acknowledged too late or twice
        self.faults: list[Fault] = []
        self.files = Files(self)
        self.sockets = Sockets(self, ping_seconds)
        self.posts = Posts(self)
        self.deliveries = Deliveries(self, ack_seconds, tuple(retry_delays))
        self.interactions = Interactions(self)
        self.limits = limits
        self._ids = itertools.count(1)
        self._last = 0.0
        self._loopback = Loopback(port)

    async def __aenter__(self) -> Self:
        await self._loopback.open(Front(self).serve, grace=0.2)
        self.deliveries.resume()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.deliveries.close()
        await self.posts.close()
        await self.sockets.drop()
        await self._loopback.close()

    @property
    def origin(self) -> str:
        return self._loopback.url

    @property
    def url(self) -> str:
        return f"{self.origin}/api/"

    @property
    def limits(self) -> Limits | None:
        """The tiers that are enforced; False switches them off, True sets the platform's own."""
        return self.tiers.limits if self.tiers else None

    @limits.setter
    def limits(self, limits: Limits | bool | None) -> None:
        limits = Limits() if limits is True else limits
        self.tiers = Tiers(limits) if limits else None

    @property
    def flooded(self) -> int:
        """How many calls were answered 429."""
        return sum(call.status == 429 for call in self.calls)

    def person(self, id: str, name: str, *, stranger: bool = False, **more: Any) -> Person:  # noqa: A002
        """A person: admin, owner, guest, single_channel_guest, deleted, tz; stranger: of another workspace (T2)."""
        self.people[id] = Person(id, name, more.pop("team", "T2" if stranger else self.team), **more)
        return self.people[id]

    def bot_person(self, id: str, name: str, *, bot_id: str = "", **more: Any) -> Person:  # noqa: A002
        """Another app's bot, for what must not be answered."""
        bot_id = bot_id or f"B{id}"
        self.people[id] = Person(id, name, more.pop("team", self.team), bot_id=bot_id, app_id=f"A{id}", **more)
        return self.people[id]

    def private(self, person: Person) -> Chat:
        """The direct messages of a person with the app."""
        return self._chat(f"D{person.id}", "im", person.name, [person])

    def channel(
        self,
        id: str,  # noqa: A002
        name: str,
        members: Sequence[Person] = (),
        *,
        private: bool = False,
        bot: bool = True,
    ) -> Chat:
        """A channel, with the bot in it unless said otherwise."""
        chat = self._chat(id, "group" if private else "channel", name, members)
        chat.bot_in = bot
        return chat

    def group_dm(self, people: Sequence[Person]) -> Chat:
        """Direct messages of several people and the app."""
        key = "".join(sorted(p.id for p in people))
        return self._chat(f"G{key}", "mpim", "mpdm-" + "--".join(p.handle for p in people), people)

    async def deliver_http(self, url: str, signing_secret: str = SIGNING_SECRET, *, verify: bool = True) -> None:
        """Post everything to this address from now on, after it answered the challenge; "" goes back to sockets."""
        self.posts.url, self.posts.secret = url, signing_secret
        if url and verify:
            await self.posts.verify()

    async def post_raw(
        self,
        payload: dict,
        kind: str = "events_api",
        *,
        url: str | None = None,
        secret: str | None = None,
        age: float = 0.0,
        timestamp: str | None = None,
        signature: str | None = None,
        signed: bool = True,
        length: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, str]:
        """Post a payload as nobody should: status and text of the answer.

        age: seconds by which the (truly signed) time is old. secret, signature, timestamp: forged ones. signed=False: no
        signature at all. length: only so many bytes of the body, signed as if it were whole.
        """
        body, content_type = posts.as_body(kind, payload)
        at = str(int(time.time() - age)) if timestamp is None else timestamp
        head = {"Content-Type": content_type}
        if signed:
            made = posts.signature(self.posts.secret if secret is None else secret, at, body)
            head |= {"X-Slack-Request-Timestamp": at, "X-Slack-Signature": made if signature is None else signature}
        return await self.posts.send(url or self.posts.url, body[:length], head | (headers or {}))

    def push(self, event: dict, **outer: Any) -> Delivery:
        """Deliver an event as it is, subscribed or not; `outer` goes into the body around it."""
        return self.deliveries.push(Delivery("events_api", self.wrapped(event) | outer))

    def tell(self, event: dict, *, shared: bool = False) -> Delivery | None:
        """Deliver an event if the app subscribed to it."""
        kind = PLURAL[event["channel_type"]] if event["type"] == "message" else event["type"]
        if kind not in self.events or not self.installed:
            return None
        return self.push(event, is_ext_shared_channel=shared)

    def redeliver(self, count: int = 1) -> list[Delivery]:
        """Deliver the last events again, under the same event_id."""
        return self.deliveries.again(count)

    async def uninstall(self) -> None:
        """Remove the app from the workspace: two events, and the token is dead."""
        self.push({"type": "tokens_revoked", "tokens": {"oauth": [], "bot": [self.bot.id]}})
        self.push({"type": "app_uninstalled"})
        self.installed = False

    def rate_limit_events(self) -> Delivery:
        """Tell the app that its events are cut off for a minute."""
        body = {"token": "verification", "type": "app_rate_limited", "team_id": self.team, "api_app_id": self.app_id}
        return self.deliveries.push(Delivery("events_api", body | {"minute_rate_limited": self.seconds()}))

    def fail(
        self,
        method: str,
        *,
        status: int | None = None,
        times: float = 1,
        retry_after: int | None = None,
        error: str | None = None,
        drop: str | None = None,
        delay: float = 0.0,
        lag: float = 0.0,
        garbled: bool = False,
        proxy: bool = False,
        channel: str | None = None,
        skip: int = 0,
    ) -> Fault:
        """Make the next `times` calls of a method ("*": any) fail, after `skip` that pass; for one channel only if named.

        What is no method goes by "upload", "download", "response_url", "socket" (the opening of one).
        error: answer ok:false with it, without effect. status: answer with it (429 with retry_after; 5xx), without effect.
        drop="before" | "after": cut the connection before or after the effect. delay: wait before the effect (seconds),
        lag: wait between effect and reply. garbled: effect, then half a JSON.
        proxy: an HTML page of a proxy with `status` (502), without effect.
        """
        fault = Fault(method, times, status, retry_after, error, drop, delay, lag, garbled, proxy, channel, skip)
        self.faults.append(fault)
        return fault

    def heal(self) -> None:
        """Forget all failures that were ordered."""
        self.faults.clear()

    def called(self, method: str, status: int | None = None) -> list[Call]:
        """The calls of one method so far, in order."""
        return [c for c in self.calls if c.method == method and status in (None, c.status)]

    async def wait_for(self, fact: Callable[[], Any], timeout: float = 10.0) -> Any:
        """Wait until `fact()` is true and return its value; an AssertionError tells what was called meanwhile."""
        deadline = time.monotonic() + timeout
        while not (value := fact()):
            if time.monotonic() > deadline:
                last = ", ".join(f"{c.method} {c.status} {c.error}".strip() for c in self.calls[-8:])
                raise AssertionError(f"not true within {timeout} s; last calls: {last or 'none'}")
            await asyncio.sleep(0.005)
        return value

    async def settled(self, timeout: float = 10.0) -> None:
        """Wait until everything that was delivered is acknowledged or given up."""
        await self.wait_for(lambda: all(d.settled for d in self.deliveries.all), timeout)

    def chat_of(self, channel: str, *, write: bool = True, people: bool = True) -> Chat:
        """The conversation that a call names (a person's id is their direct messages); the platform's refusal otherwise."""
        if channel in self.people and people and write:
            return self.private(self.people[channel])
        chat = self.chats.get(channel)
        if chat is None or (chat.kind != "channel" and not chat.bot_in):
            raise Refused("channel_not_found")
        if not chat.bot_in and write:
            raise Refused("not_in_channel")
        if chat.archived and write:
            raise Refused("is_archived")
        return chat

    def need(self, scope: str) -> None:
        """Refuses a call that lacks a scope."""
        if scope not in self.scopes:
            raise Refused("missing_scope", needed=scope, provided=",".join(sorted(self.scopes)))

    def name_of(self, id: str) -> str:  # noqa: A002
        """What people read for an id."""
        known = self.bot if id == self.bot.id else self.people.get(id) or self.chats.get(id)
        return known.name if known else id

    def stream_state(self, message: Message) -> str:
        """Whether a message still streams: open, stopped, expired, stopped_by_user; "" for one that never did."""
        stream = message.stream
        if stream is None:
            return ""
        if stream.state == "open" and time.monotonic() - stream.began > self.stream_seconds:
            stream.state = "expired"
        return stream.state

    def wrapped(self, event: dict) -> dict:
        """The body around an event."""
        who = {"enterprise_id": None, "team_id": self.team, "user_id": self.bot.id, "is_bot": True}
        return {
            "token": "verification",
            "team_id": self.team,
            "context_team_id": self.team,
            "context_enterprise_id": None,
            "api_app_id": self.app_id,
            "event": event,
            "type": "event_callback",
            "event_id": self.new_id("Ev"),
            "event_time": self.seconds(),
            "authorizations": [who | {"is_enterprise_install": False}],
            "is_ext_shared_channel": False,
            "event_context": self.new_id("4-"),
        }

    def now(self) -> str:
        """A ts that nobody had before."""
        self._last = max(round(time.time(), 6), round(self._last + 1e-6, 6))
        return f"{self._last:.6f}"

    def seconds(self) -> int:
        return int(time.time())

    def new_id(self, prefix: str) -> str:
        return f"{prefix}{next(self._ids):08}"

    def new_uuid(self) -> str:
        return str(uuid.uuid4())

    def _chat(self, id: str, kind: str, name: str, members: Iterable[Person]) -> Chat:  # noqa: A002
        if id not in self.chats:
            self.chats[id] = Chat(self, id, kind, name, members)
        return self.chats[id]
