"""What stands beside a conversation: that the assistant is at work, with a button to stop it, and a title. Never fails.

Apps that Slack knows as agents have sessions; older ones a line of status. Both share one place, so only one is set.
"""

import logging
from collections import OrderedDict
from typing import Any

from slack_sdk.errors import SlackClientError

from adapters.chat.slack.asked import Book
from adapters.chat.slack.client import ANYTHING, Refused
from adapters.chat.slack.failures import GONE, PASSING
from adapters.chat.slack.inbound import ASIDE
from adapters.chat.slack.postbox import Postbox
from adapters.recent import keep
from core.messages import ChatRef

log = logging.getLogger(__name__)

SET, RENAME = "agents.sessions.setStatus", "agents.sessions.rename"
LINE, TITLE = "assistant.threads.setStatus", "assistant.threads.setTitle"
_CAP = 5_000


class Sessions:
    """The conversations of one bot."""

    def __init__(self, postbox: Postbox, book: Book) -> None:
        self._postbox = postbox
        self._book = book
        self._busy: OrderedDict[tuple[str, str], bool] = OrderedDict()
        self._titled: OrderedDict[tuple[str, str], bool] = OrderedDict()

    async def work(self, chat: ChatRef) -> None:
        """The assistant is at work in a thread."""
        if not chat.thread or chat.thread.startswith(ASIDE):
            return
        key = (chat.chat, chat.thread)
        if self._busy.get(key):
            return  # a session stays at work until it is told otherwise
        if self._postbox.knows(SET):
            body = {"channel_id": chat.chat, "thread_ts": chat.thread, "status": "processing"}
            title = self._title(chat)
            if await self._try(SET, body | ({"title": title} if title else {})):
                keep(self._busy, key, True, _CAP)
                if title:
                    keep(self._titled, key, True, _CAP)
                return
        await self._try(LINE, {"channel_id": chat.chat, "thread_ts": chat.thread, "status": "is thinking…"})

    async def rest(self, chat: ChatRef, *, told: bool, unsure: bool) -> None:
        """The answer is there. `told`: Slack knows it already; `unsure`: an earlier process may have begun."""
        if not chat.thread or chat.thread.startswith(ASIDE):
            return
        busy = self._busy.pop((chat.chat, chat.thread), False)
        if (busy or unsure) and not told and self._postbox.knows(SET):
            await self._try(SET, {"channel_id": chat.chat, "thread_ts": chat.thread, "status": "active"})
        if busy or told or unsure or not self._postbox.knows(SET):
            await self._name(chat)  # an answer that came at once has no session that could be named

    async def _name(self, chat: ChatRef) -> None:
        """Give a conversation that began with a question the question's first words as a title, once."""
        asked = self._book.asked(chat, chat.thread)
        key = (chat.chat, chat.thread)
        if not chat.private or asked is None or not asked.title or key in self._titled:
            return
        keep(self._titled, key, True, _CAP)
        body = {"channel_id": chat.chat, "thread_ts": chat.thread, "title": asked.title}
        if self._postbox.knows(SET):
            await self._try(RENAME, body)
        else:
            await self._try(TITLE, body)

    def _title(self, chat: ChatRef) -> str:
        asked = self._book.asked(chat, chat.thread)
        return asked.title if chat.private and asked is not None else ""

    async def _try(self, method: str, body: dict[str, Any]) -> bool:
        try:
            await self._postbox.client.write(method, body, ANYTHING, timeout=self._postbox.client.times.aside)
        except SlackClientError as error:
            log.debug("%s", error)
            here = {"ratelimited", "invalid_thread_ts", *GONE, *PASSING}  # says nothing of other places and times
            if method == SET and isinstance(error, Refused) and error.word not in here:
                self._postbox.forgo(SET)
            return False
        return True
