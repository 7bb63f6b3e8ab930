"""Two tables: from what Discord answers, and from what its library raises, to core's failures. A test walks the library's
classes and fails on one without a row.
"""

from collections.abc import Callable

import aiohttp
import discord
from discord.gateway import ReconnectWebSocket, WebSocketClosure
from discord.oggparse import OggError
from discord.opus import OpusError, OpusNotLoaded

from core.errors import ChatBusy, ChatError, ChatGone, ChatRefusedToken, ChatRejected, ChatUnreachable

REFUSED = (
    "Discord does not accept DISCORD_BOT_TOKEN. Make a new one (discord.com/developers/applications, your application, "
    "Bot, Reset Token) and set it; check DISCORD_API_URL if you set one."
)
NO_CONTENT = (
    "Discord: Message Content Intent is off, so only mentions, answers to me and direct messages are read. Switch it on: "
    "discord.com/developers/applications, your application, Bot, Message Content Intent; then start again."
)

AWAY, GATEWAY_BUSY = 5.0, 30.0


class Refused(Exception):
    """Discord answered, and said no."""

    def __init__(self, status: int, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code
        self.sentence = sentence


UNKNOWN_CHANNEL, UNKNOWN_MESSAGE, UNKNOWN_WEBHOOK, UNKNOWN_INTERACTION = 10003, 10008, 10015, 10062
NO_ACCESS, NO_DMS, NO_RIGHT, BAD_WEBHOOK_TOKEN, ARCHIVED, HAS_THREAD = 50001, 50007, 50013, 50027, 50083, 160004

CODES: dict[int, type[ChatGone] | type[ChatRejected]] = {
    UNKNOWN_CHANNEL: ChatGone,
    10004: ChatGone,  # the server
    10013: ChatGone,  # the user
    UNKNOWN_MESSAGE: ChatRejected,
    UNKNOWN_WEBHOOK: ChatRejected,
    UNKNOWN_INTERACTION: ChatRejected,
    40001: ChatGone,  # not authorised
    40002: ChatGone,  # the account must be verified
    40060: ChatRejected,  # acknowledged already
    NO_ACCESS: ChatGone,
    50003: ChatGone,  # not in a direct message
    NO_DMS: ChatGone,
    50005: ChatRejected,  # somebody else's message
    50008: ChatGone,  # a channel that takes no text
    50009: ChatGone,  # the channel's verification level
    NO_RIGHT: ChatGone,
    50020: ChatGone,  # the owner must use two factors
    BAD_WEBHOOK_TOKEN: ChatRejected,
    50021: ChatRejected,  # a message of Discord's own
    ARCHIVED: ChatGone,  # and locked: else a message would open it again
    50278: ChatGone,  # no server in common
    HAS_THREAD: ChatRejected,
    160005: ChatGone,  # the thread is locked
    200000: ChatRejected,  # blocked by the server's own filter
    240000: ChatRejected,
}
"""The codes that mean more than the status that they come with."""


def chat_error(refused: Refused) -> ChatError:
    """What core is told of an answer."""
    if refused.code in CODES:
        return CODES[refused.code](f"Discord: {refused.sentence}.")
    match refused.status:
        case 401:
            return ChatRefusedToken(REFUSED)
        case 403 | 404:
            return ChatGone(f"Discord: {refused.sentence}.")
        case status if status >= 500:
            return ChatUnreachable(f"Discord: {refused.sentence}.", arrived=True)
        case _:
            return ChatRejected(f"Discord does not take this: {refused.sentence}.")


def gateway_error(error: BaseException) -> ChatError:
    """What core is told of the end of a connection."""
    if isinstance(error, ChatError):
        return error
    for kind in type(error).__mro__:
        if kind in TABLE:
            return TABLE[kind](error)
    raise AssertionError(type(error))


def told(error: BaseException) -> str:
    """Why a connection ended, in a word: never the error's own text, which may hold an address."""
    code = getattr(error, "code", None) if isinstance(error, discord.ConnectionClosed) else None
    status = getattr(error, "status", None)
    more = code or status
    return f"{type(error).__name__} {more}" if isinstance(more, int) and more else type(error).__name__


def _closed(error: BaseException) -> ChatError:
    code = error.code if isinstance(error, discord.ConnectionClosed) else 0
    if code == 4004:
        return ChatRefusedToken(REFUSED)
    if code == 4014:
        return ChatRejected(NO_CONTENT)
    return _away(error)


def _answered(error: BaseException) -> ChatError:
    status = error.status if isinstance(error, discord.HTTPException) else 0
    if status == 401:
        return ChatRefusedToken(REFUSED)
    return ChatBusy("Discord asks us to wait.", retry_after=GATEWAY_BUSY) if status == 429 else _away(error)


def _away(error: BaseException) -> ChatError:
    return ChatUnreachable(f"Discord's gateway cannot be reached ({told(error)}).", arrived=False)


def _limited(error: BaseException) -> ChatError:
    wait = error.retry_after if isinstance(error, discord.RateLimited) else GATEWAY_BUSY
    return ChatBusy(f"Discord asks us to wait {wait:g} s.", retry_after=wait)


TABLE: dict[type, Callable[[BaseException], ChatError]] = {
    Exception: _away,  # the library's own mistakes end a connection too
    OSError: _away,
    TimeoutError: _away,
    aiohttp.ClientError: _away,
    discord.ClientException: _away,
    discord.ConnectionClosed: _closed,
    discord.DiscordException: _away,
    discord.DiscordServerError: _away,
    discord.FFmpegProcessError: _away,
    discord.Forbidden: _answered,
    discord.GatewayNotFound: _away,
    discord.HTTPException: _answered,
    discord.InteractionResponded: _away,
    discord.InvalidData: _away,
    discord.LoginFailure: lambda _: ChatRefusedToken(REFUSED),
    discord.MissingApplicationID: _away,
    discord.NotFound: _answered,
    discord.PrivilegedIntentsRequired: lambda _: ChatRejected(NO_CONTENT),
    discord.RateLimited: _limited,
    OggError: _away,
    OpusError: _away,
    OpusNotLoaded: _away,
    ReconnectWebSocket: _away,
    WebSocketClosure: _away,
}
