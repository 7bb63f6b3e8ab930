"""The wire to a Bot API server: one form out, one typed answer in.

A call on the way of every message builds its form once and decodes with msgspec.
"""

import json
from collections.abc import Mapping
from typing import Generic, TypeVar

import aiohttp
import msgspec
from yarl import URL

from adapters.chat.telegram.errors import (
    KINDS,
    ChatMigrated,
    EndPointNotFound,
    NetworkError,
    NotDone,
    RetryAfter,
    TelegramError,
    TimedOut,
    said,
)
from adapters.http import Http

T = TypeVar("T")

_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Times(msgspec.Struct, frozen=True):
    """How long things may take and when they are tried again; all in seconds."""

    poll: float = 30.0
    """A long poll without news; whole seconds."""
    poll_slack: float = 10.0
    """What a poll may take beyond that."""
    connect: float = 5.0
    answer: float = 20.0
    """A call that does something."""
    typing: float = 5.0
    preview: float = 8.0
    backoff: float = 0.5
    """The first pause after a failure; each next one is twice as long."""
    backoff_cap: float = 20.0
    album: float = 0.7
    """Quiet after which an album is complete."""
    conflict: float = 60.0
    """How long another program may be seen polling: the last poll of one that was killed lingers at the server."""
    deaf: float = 90.0
    """Without a good poll for so long, nothing is trusted any more: fresh connections, and health says so."""
    latch: float = 600.0
    """How long a method that the server does not know is left alone."""
    admins: float = 300.0


class Answer(msgspec.Struct, Generic[T]):
    """What the server sends when all is well."""

    result: T


class Sent(msgspec.Struct):
    """What we read of a message of ours."""

    message_id: int


class Webhook(msgspec.Struct):
    """Where updates are delivered; no URL: they wait for polls."""

    url: str = ""


class User(msgspec.Struct):
    """Our own account, as getMe tells."""

    id: int
    username: str = ""
    can_read_all_group_messages: bool = False


class Parameters(msgspec.Struct):
    """What a refusal may add."""

    retry_after: float = 0.0
    migrate_to_chat_id: int = 0


class Failure(msgspec.Struct):
    """What the server sends when something is wrong."""

    ok: bool
    description: str = ""
    parameters: Parameters | None = None


ANYTHING = msgspec.json.Decoder(Answer[msgspec.Raw])
SENT = msgspec.json.Decoder(Answer[Sent | bool])
ME = msgspec.json.Decoder(Answer[User])
WEBHOOK = msgspec.json.Decoder(Answer[Webhook])
_FAILURE = msgspec.json.Decoder(Failure)


class Client:
    """Calls of one bot. The token stands in the addresses and nowhere else: no error and no log line carries it."""

    def __init__(self, token: str, session: aiohttp.ClientSession, api_url: str, times: Times) -> None:
        self.space = token.partition(":")[0]
        """The bot's id; the token begins with it."""
        self.times = times
        self._token = token
        self._session = session
        self._own: Http | None = None
        self._base = f"{api_url.rstrip('/')}/bot{token}/"
        self._urls: dict[str, URL] = {}

    async def call(
        self,
        method: str,
        fields: Mapping[str, str],
        decoder: msgspec.json.Decoder[Answer[T]],
        *,
        timeout: float,
        poll: bool = False,
    ) -> T:
        """One call, one try. Raises TelegramError: NotDone where nothing can have happened, TimedOut where it may have.

        `poll` calls go over connections of their own after `reconnect`.
        """
        url = self._urls.get(method) or self._urls.setdefault(method, URL(self._base + method, encoded=True))
        session = self._own.session_for(self._base) if poll and self._own else self._session
        limits = aiohttp.ClientTimeout(total=timeout, sock_connect=min(self.times.connect, timeout))
        try:
            async with session.post(
                url, data=form(fields), headers=_FORM, timeout=limits, allow_redirects=False
            ) as response:
                status, payload = response.status, await response.read()
        # Chained errors would show the address, and the token with it: each is replaced, not wrapped.
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as error:
            raise NotDone(self._clean(f"{method}: no connection ({type(error).__name__})")) from None
        except TimeoutError:
            raise TimedOut(f"{method}: no answer within {timeout:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise NetworkError(self._clean(f"{method}: the connection broke ({type(error).__name__})")) from None
        if status == 200:
            try:
                return decoder.decode(payload).result
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                pass
            try:
                return decoder.decode(mended(payload)).result
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                raise TelegramError(f"{method}: the answer cannot be read") from None
        raise self._refusal(method, status, payload)

    async def reconnect(self) -> None:
        """From now on poll over connections that nobody used before."""
        await self.close()
        self._own = Http()

    async def close(self) -> None:
        """Give up the polls' own connections; the shared session stays open."""
        own, self._own = self._own, None
        if own:
            await own.close()

    def _refusal(self, method: str, status: int, payload: bytes) -> TelegramError:
        try:
            told = _FAILURE.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # Not the server but something in front of it: whether the server did it, nobody knows.
            return NetworkError(f"{method}: status {status} without a reason")
        parameters = told.parameters
        if parameters and parameters.retry_after:
            return RetryAfter(parameters.retry_after)
        if parameters and parameters.migrate_to_chat_id:
            return ChatMigrated(parameters.migrate_to_chat_id)
        text = self._clean(told.description or f"status {status}")
        if status >= 500 and not told.ok:
            return NotDone(f"{method}: {text}")
        if status == 404:
            return EndPointNotFound(f"{method}: {text}")
        return KINDS.get(status, NetworkError)(said(text))

    def _clean(self, text: str) -> str:
        return text.replace(self._token, "…")


def form(fields: Mapping[str, str]) -> bytes:
    """The body of a call. A form, because every Bot API server takes one, also those that strangers wrote for tests."""
    return URL.build(query=fields).raw_query_string.encode("ascii")


def pause(failures: int, times: Times) -> float:
    """Seconds to wait after so many failures in a row, before chance is added."""
    return float(min(times.backoff_cap, times.backoff * 2 ** min(failures - 1, 16)))


def mended(payload: bytes) -> bytes:
    """The same JSON with a sign in place of what is no text (bytes that are no UTF-8, half a pair of surrogates): one such
    message must not hold up all that come after it. Raises msgspec.DecodeError for what is no JSON either way.
    """
    try:
        value = json.loads(payload.decode("utf-8", "replace"))
    except ValueError as error:
        raise msgspec.DecodeError(str(error)) from None
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
