"""The wire to Discord's REST API: JSON out, typed answers in, within the limits that Discord tells.

The token stands in a header and nowhere else; tokens of interactions stand in addresses, so no address is ever logged.
"""

from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec
from yarl import URL

from adapters.chat.discord.buckets import BANNED, Buckets, Told
from adapters.chat.discord.events import Channel, Component, Member, Post, User
from adapters.chat.discord.failures import Refused, chat_error
from core.errors import ChatBusy, ChatGone, ChatUnreachable

T = TypeVar("T")

AGENT = "DiscordBot (https://discord.com/developers/docs, 1.0)"
"""Discord wants an address and a version here."""


class Times(msgspec.Struct, frozen=True):
    """How long things may take and when they are tried again; all in seconds."""

    connect: float = 5.0
    answer: float = 20.0
    """A call that does something."""
    preview: float = 8.0
    typing: float = 5.0
    acknowledge: float = 2.5
    """An interaction that is not acknowledged within three is lost."""
    patience: float = 4.0
    """The longest wait for a bucket inside a call; what takes longer is given back with the time to wait."""
    backoff: float = 0.5
    """The first pause after a failure; each next one is twice as long."""
    backoff_cap: float = 60.0
    identify: float = 5.0
    """Between two new sessions; grows while they follow each other."""
    silence: float = 60.0
    """Without a frame for so long, the library gives a connection up and resumes."""
    deaf: float = 90.0
    """Without a frame for so long, the client is made anew."""
    steady: float = 60.0
    """A session that lasted so long was a good one."""
    note: float = 5.0
    """Between two notes of what was seen."""
    old: float = 900.0
    """Older messages are not made up for."""
    members: float = 3_600.0
    """How long it is remembered who belongs to a server."""
    card: int = 1
    """Days between two cards in a server that did not let us in."""
    command: float = 840.0
    """A command can be answered in its own place for a little longer than that."""
    stop: float = 2.0
    """How long /stop shows that it is at work, where there is nothing to say."""
    poll: float = 0.5
    """Between two looks at a connection."""


class Haste(msgspec.Struct, frozen=True):
    """How much time a call may take: seconds for the answer (0: the usual), and for its turn before that (see `Rest.call`)."""

    timeout: float = 0.0
    patience: float | None = None


class Started(msgspec.Struct):
    """How many sessions may still begin today."""

    remaining: int = 1_000
    reset_after: int = 0
    """Milliseconds."""


class Way(msgspec.Struct):
    """Where the gateway is, and in how many pieces we should listen."""

    url: str
    shards: int = 1
    session_start_limit: Started = msgspec.field(default_factory=Started)


class Application(msgspec.Struct):
    """Our application."""

    id: str
    flags: int = 0


class Sent(msgspec.Struct):
    """What we read of a message of ours; nothing where an answer is empty."""

    id: str = ""
    content: str | None = ""
    components: tuple[Component, ...] | None = ()


class Limit(msgspec.Struct):
    """Why we have to wait; 0 where it stands in the headers only."""

    retry_after: float = 0.0
    is_global: bool = msgspec.field(default=False, name="global")


class Failure(msgspec.Struct):
    """Why Discord says no."""

    message: str = ""
    code: int = 0


ANYTHING = msgspec.json.Decoder(Any)
NOTHING = msgspec.json.Decoder(msgspec.Raw)
ME = msgspec.json.Decoder(User)
WAY = msgspec.json.Decoder(Way)
APPLICATION = msgspec.json.Decoder(Application)
SENT = msgspec.json.Decoder(Sent)
POST = msgspec.json.Decoder(Post)
POSTS = msgspec.json.Decoder(list[msgspec.Raw])
CHANNEL = msgspec.json.Decoder(Channel)
MEMBER = msgspec.json.Decoder(Member)
_LIMIT = msgspec.json.Decoder(Limit)
_FAILURE = msgspec.json.Decoder(Failure)
_MAJOR = ("channels", "guilds", "webhooks", "interactions")


class Rest:
    """Calls of one bot."""

    def __init__(self, token: str, session: aiohttp.ClientSession, api_url: str, times: Times) -> None:
        self.times = times
        self.buckets = Buckets()
        self.bases = bases(api_url)
        self.base = self.bases[0]
        self._session = session
        self._headers = {"Authorization": f"Bot {token}", "User-Agent": AGENT}
        self._json = {**self._headers, "Content-Type": "application/json"}

    async def call(
        self,
        method: str,
        path: str,
        decoder: msgspec.json.Decoder[T],
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        timeout: float = 0.0,
        patience: float | None = None,
    ) -> T:
        """One call, one try. It waits for its bucket up to `patience` seconds; 0: not at all, and the bucket's last call is
        left for others.

        Raises Refused where Discord says no, ChatBusy, ChatUnreachable, whose `arrived` is False where nothing can have happened.
        """
        timeout = timeout or self.times.answer
        route, major = named(method, path)
        if code := self.buckets.closed(route, major):
            raise Refused(403, code, "refused before, and nothing has changed there")
        outside = path.startswith(("/interactions/", "/webhooks/"))
        patience = self.times.patience if patience is None else patience
        bucket = await self.buckets.enter(route, major, keep=int(not patience), patience=patience, outside=outside)
        told: Told | None = None
        answered = False
        try:
            status, headers, payload = await self._send(method, path, body, query, timeout)
            told, answered = Told.read(headers), True
        finally:
            self.buckets.learn(bucket, route, major, told, answered=answered)
        if 200 <= status < 300:
            try:
                return decoder.decode(payload or b"{}")
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                raise ChatUnreachable(f"Discord: the answer to {route} cannot be read.", arrived=True) from None
        if status == 429:
            scope = headers.get("X-RateLimit-Scope", "")
            if scope != "shared":
                self.buckets.blame()
            try:
                limit = _LIMIT.decode(payload)
            except (msgspec.DecodeError, UnicodeDecodeError):
                limit = Limit(is_global=True)  # not Discord but what stands in front of it
            wait = limit.retry_after or _seconds(headers.get("Retry-After", "")) or BANNED
            if limit.is_global or scope == "global":
                self.buckets.hold(wait)
            else:
                bucket.empty(wait)
            raise ChatBusy(f"Discord asks us to wait {wait:g} s.", retry_after=wait)
        raise self._refused(route, major, status, payload)

    async def _send(
        self, method: str, path: str, body: Any, query: Mapping[str, str] | None, timeout: float
    ) -> tuple[int, Mapping[str, str], bytes]:
        url = URL(self.base + path, encoded=True)
        limits = aiohttp.ClientTimeout(total=timeout, sock_connect=min(self.times.connect, timeout))
        data = None if body is None else msgspec.json.encode(body)
        try:
            async with self._session.request(
                method,
                url.with_query(query) if query else url,
                data=data,
                headers=self._headers if data is None else self._json,
                timeout=limits,
                allow_redirects=False,
            ) as response:
                return response.status, response.headers, await response.read()
        # Chained errors would show the address, in which tokens of interactions stand: each is replaced, not wrapped.
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as error:
            raise ChatUnreachable(f"Discord cannot be reached ({type(error).__name__}).", arrived=False) from None
        except TimeoutError:
            raise ChatUnreachable(f"Discord did not answer within {timeout:g} s.", arrived=True) from None
        except (aiohttp.ClientError, OSError) as error:
            raise ChatUnreachable(f"Discord: the connection broke ({type(error).__name__}).", arrived=True) from None

    def _refused(self, route: str, major: str, status: int, payload: bytes) -> Refused:
        try:
            failure = _FAILURE.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            failure = Failure(f"status {status} without a reason")
        if status in {401, 403}:
            self.buckets.blame()
        refused = Refused(status, failure.code, failure.message or f"status {status}")
        if status == 403 and major and isinstance(chat_error(refused), ChatGone):
            self.buckets.close(route, major, failure.code or -1)
        return refused


def bases(url: str) -> tuple[str, ...]:
    """Where version 10 of the API may be, the likeliest first: people give more or less of its address."""
    url = url.rstrip("/")
    path = urlsplit(url).path
    if not path:
        return (f"{url}/api/v10", url)
    return (f"{url}/v10", url) if path.endswith("/api") else (url,)


def named(method: str, path: str) -> tuple[str, str]:
    """The route of a path, and the place that it is about: limits are counted apart by both."""
    steps = path.strip("/").split("/")
    major = ""
    if len(steps) > 1 and steps[0] in _MAJOR and steps[1].isdecimal():
        major = "/".join(steps[1:3]) if steps[0] in {"webhooks", "interactions"} else steps[1]
    if steps[0] in {"webhooks", "interactions"}:
        shape = [steps[0], "{}", "{}", *steps[3:]]  # the third step is a secret
    else:
        shape = ["{}" if step.isdecimal() else step for step in steps]
    return f"{method} /{'/'.join(shape)}", major


def pause(failures: int, times: Times) -> float:
    """Seconds to wait after so many failures in a row, before chance is added."""
    return float(min(times.backoff_cap, times.backoff * 2 ** min(failures - 1, 16)))


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
