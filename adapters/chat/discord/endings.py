"""One table from what discord.py raises to core's failures; a test walks its classes and fails on one without a row."""

from collections.abc import Callable

import aiohttp
import discord
from discord.gateway import ReconnectWebSocket, WebSocketClosure
from discord.oggparse import OggError
from discord.opus import OpusError, OpusNotLoaded

from adapters.chat.discord.failures import NO_CONTENT, REFUSED
from core.errors import ChatBusy, ChatError, ChatRefusedToken, ChatRejected, ChatUnreachable

BUSY = 30.0
"""Seconds, where the library does not say how long."""


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
    return ChatBusy("Discord asks us to wait.", retry_after=BUSY) if status == 429 else _away(error)


def _away(error: BaseException) -> ChatError:
    return ChatUnreachable(f"Discord's gateway cannot be reached ({told(error)}).", arrived=False)


def _limited(error: BaseException) -> ChatError:
    wait = error.retry_after if isinstance(error, discord.RateLimited) else BUSY
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
