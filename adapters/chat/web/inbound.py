"""What the page posts, as values of core. The account comes from the cookie, never from the body."""

import re
from typing import TypeVar

import msgspec

from core.errors import PieriaError
from core.messages import Account, ChatRef, Message, Pressed

PLATFORM = "web"
SPACE = "page"
TEXT_CAP = 100_000
"""Characters of one message."""

_THREAD = re.compile(r"[A-Za-z0-9_-]{16,64}")
_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_ZONE = re.compile(r"[A-Za-z0-9_+\-]+(/[A-Za-z0-9_+\-]+){0,2}")
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}")
_ACTION = re.compile(r"/[a-z][a-z0-9_]*( [^\x00-\x1f]*)?")

_Body = TypeVar("_Body", "Words", "Press")


class Unreadable(PieriaError):
    """The page, or somebody in its place, posted something that cannot be taken; `status` is the HTTP status."""

    def __init__(self, sentence: str, status: int = 400) -> None:
        super().__init__(sentence)
        self.status = status


class Words(msgspec.Struct, frozen=True):
    """The body of `POST /api/messages`."""

    thread: str
    id: str
    text: str
    zone: str = ""
    language: str = ""


class Press(msgspec.Struct, frozen=True):
    """The body of `POST /api/press`, `/api/stop` and `/api/retry`."""

    thread: str
    id: str
    action: str = ""


def account(user: str) -> Account:
    """The account of a visitor."""
    return Account(PLATFORM, SPACE, user)


def chat(user: str, thread: str) -> ChatRef:
    """The place of one conversation of the page; raises Unreadable for a thread that no page of ours made."""
    if not _THREAD.fullmatch(thread):
        raise Unreadable("This is not the address of a chat. Start a new one.")
    return ChatRef(PLATFORM, SPACE, user, thread, private=True)


def message(body: bytes, user: str) -> Message:
    """A posted message; raises Unreadable. The same client id gives the same event."""
    words = _decode(body, Words)
    place = chat(user, words.thread)
    if not words.text.strip():
        raise Unreadable("The message is empty. Write something first.")
    if len(words.text) > TEXT_CAP:
        raise Unreadable(f"The message is too long: {len(words.text):,} of at most {TEXT_CAP:,} characters.", 413)
    return Message(
        event=_event(user, words.id),
        chat=place,
        sender=account(user),
        text=words.text,
        message_id=words.id,
        language=words.language if len(words.language) <= 35 and _LANGUAGE.fullmatch(words.language) else "",
        zone=words.zone if len(words.zone) <= 64 and _ZONE.fullmatch(words.zone) else "",
    )


def pressed(body: bytes, user: str, action: str = "") -> Pressed:
    """A pressed button; `action` wins over the body's. Raises Unreadable."""
    press = _decode(body, Press)
    place = chat(user, press.thread)
    line = action or press.action
    if len(line.encode()) > 60 or not _ACTION.fullmatch(line):
        raise Unreadable("This button is not known here. Reload the page.")
    return Pressed(event=_event(user, press.id), chat=place, sender=account(user), action=line)


def _event(user: str, client_id: str) -> str:
    if not _ID.fullmatch(client_id):
        raise Unreadable("The message came without a usable id. Reload the page and try again.")
    return f"{user}:{client_id}"


def _decode(body: bytes, kind: type[_Body]) -> _Body:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable("The page sent something that cannot be read. Reload it and try again.") from error
