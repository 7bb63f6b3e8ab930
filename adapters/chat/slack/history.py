"""Looking for what we said: an earlier send whose answer got lost is found again by the key in its metadata."""

from typing import Any

import msgspec
from slack_sdk.errors import SlackClientError

from adapters.chat.slack.client import Client
from adapters.chat.slack.failures import word
from adapters.chat.slack.inbound import ASIDE, Me
from adapters.chat.slack.postbox import EVENT
from core.messages import ChatRef

PAGES = 4
PAGE = 15
"""What an app may read at once that is sold outside Slack's marketplace."""
SKEW = 300.0
"""Seconds that the store's clock and Slack's may differ."""


class Metadata(msgspec.Struct):
    """What we wrote beside a message."""

    event_type: str = ""
    event_payload: dict[str, Any] = {}


class Past(msgspec.Struct):
    """A message, as it stands in a channel."""

    ts: str = ""
    user: str | None = None
    bot_id: str | None = None
    text: str | None = None
    metadata: Metadata | None = None


class Cursor(msgspec.Struct):
    """Where to read on."""

    next_cursor: str = ""


class Page(msgspec.Struct):
    """Some messages of a channel or thread."""

    messages: list[Past] = []
    response_metadata: Cursor | None = None


_PAGE = msgspec.json.Decoder(Page)


class History:
    """What stands in the workspace's channels."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.lack = ""
        """What keeps us from looking, in one line."""

    async def find(self, chat: ChatRef, me: Me, key: str, at: int, text: str = "", *, since: str = "") -> str:
        """The message of ours that was sent with a key after `at` (milliseconds), else ""; with key "" the newest one
        that was sent with none. Where nothing of ours has metadata at all, the newest one that says `text`.
        Raises SlackClientError.
        """
        query = {"channel": chat.chat, "limit": str(PAGE), "include_all_metadata": "true"}
        method = "conversations.history"
        if chat.thread and not chat.thread.startswith(ASIDE):
            method, query["ts"] = "conversations.replies", chat.thread
        if not chat.thread or _dated(chat.thread):
            query["oldest"] = since if _dated(since) else f"{max(0.0, at / 1000 - SKEW):.6f}"
        found = same = ""
        bare = True
        for _ in range(PAGES):
            try:
                page = await self._client.read(method, query, _PAGE)
            except SlackClientError as error:
                if word(error) in {"missing_scope", "unknown_method", "thread_not_found"}:
                    self.lack = f"The app may not read back what it said ({method}): a message may come twice."
                    return ""
                raise
            for message in page.messages:
                if me.user not in {message.user, ""} and me.bot not in {message.bot_id, ""}:
                    continue
                told = message.metadata
                bare = bare and told is None
                same = message.ts if text and message.text == text else same
                sent = str(told.event_payload.get("turn", "")) if told and told.event_type == EVENT else ""
                if sent == key:
                    found = message.ts
                    if key:
                        return found
            cursor = page.response_metadata.next_cursor if page.response_metadata else ""
            if not cursor:
                break
            query["cursor"] = cursor
        return found or (same if bare else "")


def _dated(stamp: str) -> bool:
    """Whether time stamps are times here: a server that only counts would skip everything since a time."""
    return len(stamp.partition(".")[0]) >= len("1000000000")
