"""Puts one message into a place, new or in place of an older one, and remembers for a while what the workspace does not know."""

import time
from collections.abc import Sequence
from typing import Any

from slack_sdk.errors import SlackClientError

from adapters.chat.slack.client import ANYTHING, SENT, Client
from adapters.chat.slack.format import Mode, Piece
from adapters.chat.slack.inbound import ASIDE
from core.messages import Button, ChatRef

EVENT = "pieria_turn"
ACTION_CAP, LABEL_CAP = 2_000, 75
BUTTONS = 25
NAMELESS = "nameless"
"""Stands for the id of a message that cannot be found again: one person alone saw it, or Slack told no id."""
QUIET = {"unfurl_links": False, "unfurl_media": False}
"""Fetching a link would tell its owner what is being said."""


class Postbox:
    """Where messages of one bot go out."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._unknown: dict[str, float] = {}

    @property
    def form(self) -> Mode:
        """The best form that the workspace takes."""
        return "markdown" if self.knows("markdown") else "mrkdwn" if self.knows("mrkdwn") else "plain"

    def knows(self, what: str) -> bool:
        """Whether the workspace may know a method or a form."""
        until = self._unknown.get(what)
        return until is None or time.monotonic() >= until

    def forgo(self, what: str) -> None:
        """The workspace does not know this: leave it alone for a while, not for ever, apps and plans change."""
        self._unknown[what] = time.monotonic() + self.client.times.latch

    async def sent(self, method: str, body: dict[str, Any], timeout: float = 0.0) -> str:
        """A call that makes a message; its time stamp, NAMELESS where none is told. Raises SlackClientError."""
        return (await self.client.write(method, body, SENT, timeout=timeout)).ts or NAMELESS

    async def post(
        self, chat: ChatRef, piece: Piece, key: str, buttons: Sequence[Button] = (), *, timeout: float = 0.0
    ) -> str:
        """A new message; its time stamp. Raises SlackClientError."""
        body = {"channel": chat.chat, **content(piece, buttons), **QUIET}
        if chat.thread and not chat.thread.startswith(ASIDE):
            body["thread_ts"] = chat.thread
        if key:
            body["metadata"] = metadata(key)
        if not piece.blocks:
            body["mrkdwn"] = False
        return await self.sent("chat.postMessage", body, timeout)

    async def edit(
        self, chat: ChatRef, ts: str, piece: Piece, key: str, buttons: Sequence[Button] = (), *, timeout: float = 0.0
    ) -> None:
        """An older message is this now. Raises SlackClientError."""
        # without a list the old blocks would stay
        body = {"blocks": [], **content(piece, buttons), "channel": chat.chat, "ts": ts}
        if key:
            body["metadata"] = metadata(key)
        await self.client.write("chat.update", body, ANYTHING, timeout=timeout)

    async def delete(self, chat: ChatRef, ts: str) -> None:
        """Take a message away, as far as that is possible."""
        try:
            await self.client.write(
                "chat.delete", {"channel": chat.chat, "ts": ts}, ANYTHING, timeout=self.client.times.aside
            )
        except SlackClientError:
            return


def content(piece: Piece, buttons: Sequence[Button]) -> dict[str, Any]:
    """The fields that say what."""
    body: dict[str, Any] = {"text": piece.text}
    blocks = [*piece.blocks, *actions(buttons)]
    if buttons and not piece.blocks:
        section = {"type": "section", "text": {"type": "plain_text", "text": piece.text[:2_900]}}
        blocks = [section, *blocks] if len(piece.text) <= 2_900 else []
    if blocks:
        body["blocks"] = blocks
    return body


def actions(buttons: Sequence[Button]) -> list[dict[str, Any]]:
    """Buttons as a block; one whose action is too long for Slack is left out."""
    elements = [
        {
            "type": "button",
            "text": {"type": "plain_text", "text": button.label[:LABEL_CAP]},
            "action_id": f"{number}{button.action}"[:255],
            "value": button.action,
        }
        for number, button in enumerate(buttons[:BUTTONS])
        if 1 <= len(button.action) <= ACTION_CAP and button.label
    ]
    return [{"type": "actions", "elements": elements}] if elements else []


def metadata(key: str) -> dict[str, Any]:
    """By which an earlier send is found again."""
    return {"event_type": EVENT, "event_payload": {"turn": key}}
