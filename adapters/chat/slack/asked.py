"""Who asked what, as long as the answer may need it: whom a growing answer is for, over which address a command is
answered, what a conversation is about. In memory only: an address that answers for somebody is a secret, and short-lived.
"""

import time
from collections import OrderedDict

import msgspec

from adapters.recent import keep
from core.messages import ChatRef

_CAP = 5_000
LIFE = 1_700.0
"""Seconds of the half hour that Slack keeps an address open for answers."""
USES = 5


class Asked(msgspec.Struct):
    """One message, command or press."""

    user: str
    team: str = ""
    url: str = ""
    title: str = ""
    """The first words of a conversation that begins with it."""
    uses: int = USES
    at: float = 0.0


class Book:
    """The newest ones, by message and by thread."""

    def __init__(self) -> None:
        self._by_message: OrderedDict[tuple[str, str], Asked] = OrderedDict()
        self._threads: OrderedDict[tuple[str, str], ChatRef] = OrderedDict()

    def note(self, chat: ChatRef, message: str, asked: Asked) -> None:
        """Somebody asked something in a place."""
        asked.at = time.monotonic()
        for key in ((chat.chat, message), (chat.chat, f"in {chat.thread}")):
            keep(self._by_message, key, asked, _CAP)
        keep(self._threads, (chat.chat, asked.user), chat, _CAP)

    def asked(self, chat: ChatRef, message: str = "") -> Asked | None:
        """Who asked the message that is answered, or spoke last in the place."""
        found = self._by_message.get((chat.chat, message)) if message else None
        return found or self._by_message.get((chat.chat, f"in {chat.thread}"))

    def url(self, chat: ChatRef, message: str) -> str:
        """An address that still takes an answer, used up by one; "" where there is none."""
        asked = self.asked(chat, message)
        if asked is None or not asked.url or not asked.uses or time.monotonic() - asked.at > LIFE:
            return ""
        asked.uses -= 1
        return asked.url

    def newest(self, channel: str, user: str) -> ChatRef | None:
        """The thread in which somebody spoke with us last."""
        return self._threads.get((channel, user))
