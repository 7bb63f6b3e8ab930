"""The wire to Slack's Web API: one call out, one typed answer in, failures as slack_sdk's own kinds of error.

slack_sdk's AsyncWebClient is not used for calls: it logs bodies at DEBUG, does not say whether a message may have arrived
when a connection broke, and decodes into dictionaries; the shapes of the calls (JSON where something is written, a query
where something is read) are its own.
"""

from collections.abc import Mapping
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec
from slack_sdk.errors import SlackApiError, SlackClientError
from yarl import URL

T = TypeVar("T")

_JSON = {"Content-Type": "application/json; charset=utf-8"}


class Times(msgspec.Struct, frozen=True):
    """How long things may take and when they are tried again; all in seconds."""

    connect: float = 5.0
    answer: float = 20.0
    """A call that does something."""
    aside: float = 5.0
    """A call whose failure nobody notices: typing, titles, prompts."""
    preview: float = 8.0
    member: float = 2.0
    """Looking up who somebody is, so that a command is still acknowledged within Slack's 3 s."""
    backoff: float = 0.5
    """The first pause after a failure; each next one is twice as long."""
    backoff_cap: float = 20.0
    ping: float = 5.0
    """Between two pings of a socket; four without an answer and it is given up."""
    watch: float = 0.25
    """Between two looks at a socket."""
    latch: float = 600.0
    """How long what the workspace does not know is left alone."""
    known: float = 3600.0
    """How long what is known of a person is believed."""
    stream: float = 240.0
    """Age at which a growing message is finished by edits: Slack ends streams after about five minutes."""
    every: float = 1.2
    """Between two edits of one message."""
    owed: float = 90.0
    """How long later requests of a chat are refused for one that Slack still has to bring again."""
    hold: float = 1.5
    """How long a request is kept while the store is away."""
    body: float = 3.0
    """For a request's body to arrive."""


class Unreached(SlackClientError):
    """Slack surely did not do what was asked: it was not reached."""


class Unanswered(SlackClientError):
    """Slack may have done what was asked: the connection broke, or what came is no answer."""


class Refused(SlackApiError):
    """Slack says no, in a `word` of its own."""

    def __init__(self, method: str, word: str, more: str = "") -> None:
        super().__init__(f"{method}: {word}", {"ok": False, "error": word})  # type: ignore[no-untyped-call]
        self.method = method
        self.word = word
        self.more = more
        """What it adds: the scope that is missing, the block that it does not take."""


class Busy(Refused):
    """Slack asks us to wait."""

    def __init__(self, method: str, wait: float) -> None:
        super().__init__(method, "ratelimited")
        self.wait = wait


class Told(msgspec.Struct):
    """What stands in every answer; `messages` explain a refusal."""

    ok: bool = False
    error: str = ""
    needed: str = ""
    errors: list[Any] = []
    response_metadata: dict[str, Any] | None = None


class Sent(msgspec.Struct):
    """What we read of a message of ours."""

    ts: str = ""


class Answer(msgspec.Struct, Generic[T]):
    """An answer with the headers that we read."""

    value: T
    scopes: str = ""


SENT = msgspec.json.Decoder(Sent)


class Myself(msgspec.Struct):
    """Who a token belongs to, as auth.test tells."""

    team: str = ""
    team_id: str = ""
    user: str = ""
    user_id: str = ""
    bot_id: str = ""


ANYTHING = msgspec.json.Decoder(msgspec.Raw)
MYSELF = msgspec.json.Decoder(Myself)
_TOLD = msgspec.json.Decoder(Told)
_NO_METHOD = frozenset({404, 405, 501})


def bases(api_url: str) -> list[str]:
    """Where the methods may stand: below a URL with a path; below Slack's own path or at the root of one without."""
    root = api_url.rstrip("/") + "/"
    return [root] if urlsplit(root).path.strip("/") else [root + "api/", root]


def pause(failures: int, times: Times) -> float:
    """Seconds to wait after so many failures in a row, before chance is added."""
    return float(min(times.backoff_cap, times.backoff * 2 ** min(failures - 1, 16)))


class Client:
    """Calls of one bot. The token stands in a header and nowhere else: no error and no log line carries it."""

    def __init__(self, token: str, session: aiohttp.ClientSession, api_url: str, times: Times) -> None:
        self.times = times
        self.session = session
        self._token = token
        self._base, *self._others = bases(api_url)

    async def introduce(self) -> "Answer[Myself]":
        """Who the token belongs to; also finds out where the methods stand. Raises SlackClientError."""
        try:
            return await self.ask("auth.test", MYSELF)
        except Refused as error:
            if error.word != "unknown_method" or not self._others:
                raise
        tried, self._base = self._base, self._others[0]
        try:
            told = await self.ask("auth.test", MYSELF)
        except SlackClientError:
            self._base = tried
            raise
        self._others = []
        return told

    async def write(
        self, method: str, body: Mapping[str, Any], decoder: msgspec.json.Decoder[T], *, timeout: float = 0.0
    ) -> T:
        """A call that changes something, as JSON. Raises SlackClientError."""
        data = msgspec.json.encode(body)
        return (await self._call("POST", method, decoder, timeout, data=data, headers=_JSON)).value

    async def read(
        self, method: str, query: Mapping[str, str], decoder: msgspec.json.Decoder[T], *, timeout: float = 0.0
    ) -> T:
        """A call that looks something up. Raises SlackClientError."""
        return (await self._call("GET", method, decoder, timeout, params=query)).value

    async def ask(self, method: str, decoder: msgspec.json.Decoder[T], *, token: str = "") -> Answer[T]:
        """A call without arguments that also tells the token's scopes; by another `token` where one is given."""
        return await self._call("POST", method, decoder, 0.0, token=token)

    async def post(self, url: str, body: Mapping[str, Any]) -> bool:
        """Answer over an address that came with a command; whether it was taken."""
        limits = aiohttp.ClientTimeout(total=self.times.answer, sock_connect=self.times.connect)
        try:
            async with self.session.post(
                URL(url, encoded=True),
                data=msgspec.json.encode(body),
                headers=_JSON,
                timeout=limits,
                allow_redirects=False,
            ) as response:
                return 200 <= response.status < 300
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return False

    async def _call(
        self,
        verb: str,
        method: str,
        decoder: msgspec.json.Decoder[T],
        timeout: float,
        *,
        token: str = "",
        data: bytes | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer[T]:
        timeout = timeout or self.times.answer
        limits = aiohttp.ClientTimeout(total=timeout, sock_connect=min(self.times.connect, timeout))
        head = {"Authorization": f"Bearer {token or self._token}", **(headers or {})}
        try:
            async with self.session.request(
                verb, self._base + method, data=data, params=params, headers=head, timeout=limits, allow_redirects=False
            ) as response:
                status, payload = response.status, await response.read()
                wait, scopes = _wait(response.headers), response.headers.get("x-oauth-scopes", "")
        # Chained errors would show what was sent: each is replaced, not wrapped.
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as error:
            raise Unreached(f"{method}: no connection ({type(error).__name__})") from None
        except TimeoutError:
            raise Unanswered(f"{method}: no answer within {timeout:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unanswered(f"{method}: the connection broke ({type(error).__name__})") from None
        if status == 429:
            raise Busy(method, wait)
        try:
            told = _TOLD.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if status in _NO_METHOD:
                raise Refused(method, "unknown_method") from None
            # Not Slack but something in front of it: whether Slack did it, nobody knows.
            raise Unanswered(f"{method}: status {status} without a reason") from None
        if not told.ok:
            if told.error == "ratelimited":
                raise Busy(method, wait)
            more = (told.response_metadata or {}).get("messages") or told.errors
            said = told.error or ("unknown_method" if status in _NO_METHOD else f"status_{status}")
            raise Refused(method, said, told.needed or "; ".join(map(str, more))[:500])
        try:
            return Answer(decoder.decode(payload), scopes)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise Unanswered(f"{method}: the answer cannot be read") from None


def _wait(headers: Mapping[str, str]) -> float:
    """Seconds that we are asked to wait."""
    told = headers.get("Retry-After", "")
    return max(0.1, float(told)) if told.replace(".", "", 1).isdecimal() else 1.0
