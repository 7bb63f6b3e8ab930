"""How a call of the Bot API fails: python-telegram-bot's tree and its reading of answers, without the library, which takes 15 MB and a
third of a second at every start.
"""


class TelegramError(Exception):
    """Whatever else: nobody knows whether the server did it."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class NetworkError(TelegramError):
    """The connection broke, or the server did."""


class TimedOut(NetworkError):
    """No answer in time; it may have been done."""


class NotDone(NetworkError):
    """The server surely did not do what was asked: it was not reached, or it says so itself."""


class BadRequest(NetworkError):
    """The server does not take this call."""


class Forbidden(TelegramError):
    """We may not write there."""


class InvalidToken(TelegramError):
    """The server does not know the token."""


class EndPointNotFound(TelegramError):
    """The server does not know the method, or the token is malformed."""


class Conflict(TelegramError):
    """Somebody else polls, or a webhook is set."""


class RetryAfter(TelegramError):
    """The server asks us to wait so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"Flood control exceeded. Retry in {seconds:g} seconds")
        self.seconds = seconds


class ChatMigrated(TelegramError):
    """The group has become a supergroup."""

    def __init__(self, new_chat_id: int) -> None:
        super().__init__(f"Group migrated to supergroup. New chat id: {new_chat_id}")
        self.new_chat_id = new_chat_id


KINDS: dict[int, type[TelegramError]] = {
    400: BadRequest,
    401: InvalidToken,
    403: Forbidden,
    404: EndPointNotFound,
    409: Conflict,
}
"""By status; any other is a NetworkError."""


def said(description: str) -> str:
    """A description without what its class says already."""
    short = description.removeprefix("Error: ").removeprefix("[Error]: ").removeprefix("Bad Request: ")
    return short if short == description else short.capitalize()
