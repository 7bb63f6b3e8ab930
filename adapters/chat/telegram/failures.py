"""One table from the Bot API's failures to core's; a test walks their classes and fails on one without a row."""

from collections.abc import Callable

from adapters.chat.telegram.errors import (
    BadRequest,
    ChatMigrated,
    Conflict,
    EndPointNotFound,
    Forbidden,
    InvalidToken,
    NetworkError,
    NotDone,
    RetryAfter,
    TelegramError,
    TimedOut,
)
from core.errors import ChatBusy, ChatError, ChatGone, ChatRefusedToken, ChatRejected, ChatUnreachable

REFUSED = (
    "Telegram does not accept TELEGRAM_BOT_TOKEN. Copy it again from @BotFather (/mybots, API Token), and check "
    "TELEGRAM_API_URL if you set one."
)
ANOTHER = (
    "Another program polls this bot: Telegram gives messages to one at a time. Stop the other one, or give this one a "
    "bot of its own (@BotFather, /newbot)."
)

_GONE = (
    "chat not found",
    "peer_id_invalid",
    "user not found",
    "message thread not found",
    "topic_deleted",
    "topic_closed",
    "not enough rights to send",
    "have no rights to send",
    "need administrator rights",
    "chat_write_forbidden",
    "chat_restricted",
    "bot is not a member",
    "group chat was deactivated",
)
_MISSING = ("message to edit not found", "message can't be edited", "message_id_invalid")


def chat_error(error: TelegramError) -> ChatError:
    """What core is told."""
    for kind in type(error).__mro__:
        if kind in TABLE:
            return TABLE[kind](error)
    raise AssertionError(type(error))


def unchanged(error: BadRequest) -> bool:
    """An edit that changes nothing: what was wanted is already there."""
    return "message is not modified" in error.message.lower()


def missing(error: BadRequest) -> bool:
    """The message to be edited cannot be edited any more."""
    text = error.message.lower()
    return any(phrase in text for phrase in _MISSING)


def _rejected(error: TelegramError) -> ChatError:
    text = error.message.lower()
    if any(phrase in text for phrase in _GONE):
        return ChatGone(f"Telegram: nothing can be sent there any more ({error.message}).")
    return ChatRejected(f"Telegram does not take this message: {error.message}.")


def _busy(error: TelegramError) -> ChatError:
    wait = error.seconds if isinstance(error, RetryAfter) else 1.0
    return ChatBusy(f"Telegram asks us to wait {wait:g} s.", retry_after=wait)


TABLE: dict[type, Callable[[TelegramError], ChatError]] = {
    BadRequest: _rejected,
    ChatMigrated: lambda error: ChatGone(f"Telegram: the group has moved ({error.message})."),
    Conflict: lambda _: ChatRefusedToken(ANOTHER),
    EndPointNotFound: lambda _: ChatRefusedToken(REFUSED),
    Forbidden: lambda error: ChatGone(f"Telegram: {error.message}."),
    InvalidToken: lambda _: ChatRefusedToken(REFUSED),
    NetworkError: lambda error: ChatUnreachable(f"Telegram: {error.message}.", arrived=True),
    NotDone: lambda error: ChatUnreachable(f"Telegram cannot be reached: {error.message}.", arrived=False),
    RetryAfter: _busy,
    TelegramError: lambda error: ChatUnreachable(f"Telegram: {error.message}.", arrived=True),
    TimedOut: lambda error: ChatUnreachable(f"Telegram: {error.message}.", arrived=True),
}
