"""What a terminal posts, as values of core. Whoever can open the socket in the data folder is the operator."""

import re
from typing import TypeVar

import msgspec

from core.errors import PieriaError
from core.messages import Account, ChatRef, Message, Pressed

PLATFORM = "terminal"
SPACE = "local"
OPERATOR = "operator"
TEXT_CAP = 1_000_000
"""Bytes of one message, as UTF-8."""

_WORD = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ZONE = re.compile(r"[A-Za-z0-9_+-]{1,24}(?:/[A-Za-z0-9_+-]{1,24}){0,2}")

_Body = TypeVar("_Body", "Words", "Stop")


class Unreadable(PieriaError):
    """What was posted cannot be taken; `status` is the HTTP status."""

    def __init__(self, sentence: str, status: int = 400) -> None:
        super().__init__(sentence)
        self.status = status


class Starting(Unreadable):
    """Nobody serves yet, or not any more: worth another try."""

    def __init__(self) -> None:
        super().__init__("The assistant is still starting, or ending. Try again in a moment.", 503)


class Words(msgspec.Struct, frozen=True):
    """The body of `POST /terminal/say`. The same `id` is the same message."""

    text: str
    thread: str
    id: str
    zone: str = ""


class Stop(msgspec.Struct, frozen=True):
    """The body of `POST /terminal/stop`."""

    thread: str
    id: str


def account() -> Account:
    """The one who sits at the terminal."""
    return Account(PLATFORM, SPACE, OPERATOR)


def chat(thread: str) -> ChatRef:
    """One conversation of the terminal. Raises Unreadable."""
    if not _WORD.fullmatch(thread):
        raise Unreadable("The name of a conversation has 1 to 64 letters, digits, - and _.")
    return ChatRef(PLATFORM, SPACE, OPERATOR, thread)


def message(body: bytes) -> Message:
    """A message. Raises Unreadable."""
    words = _decoded(body, Words)
    place = chat(words.thread)
    if not words.text.strip():
        raise Unreadable("The message is empty. Write something first.")
    size = len(words.text.encode())
    if size > TEXT_CAP:
        raise Unreadable(f"The message is too long: {size:,} of at most {TEXT_CAP:,} bytes.", 413)
    return Message(
        event=_event(words.id),
        chat=place,
        sender=account(),
        text=words.text,
        message_id=words.id,
        zone=words.zone if _ZONE.fullmatch(words.zone) else "",
    )


def stopped(body: bytes) -> Pressed:
    """The wish that the running reply ends. Raises Unreadable."""
    stop = _decoded(body, Stop)
    return Pressed(event=_event(stop.id), chat=chat(stop.thread), sender=account(), action="/stop")


def _event(client_id: str) -> str:
    if not _WORD.fullmatch(client_id):
        raise Unreadable("A message needs an id of 1 to 64 letters, digits, - and _.")
    return client_id


def _decoded(body: bytes, kind: type[_Body]) -> _Body:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable("The terminal sent something that cannot be read. Is it of the same version?") from error
