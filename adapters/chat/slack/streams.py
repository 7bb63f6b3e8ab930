"""A reply while it grows: as one of Slack's streams in a thread, as a message that is edited elsewhere.

A stream can only be added to, so it gets no more than what is settled, and ends as the final where that begins with what
was streamed. Slack ends a stream after about five minutes, and people can; from then on the message is edited.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import msgspec
from slack_sdk.errors import SlackClientError

from adapters.chat.slack.asked import Book
from adapters.chat.slack.client import ANYTHING, Unanswered
from adapters.chat.slack.failures import ENDED, LOST, NOT_HERE, UNKNOWN, word
from adapters.chat.slack.format import Mode, Piece, pieces
from adapters.chat.slack.pace import Bucket
from adapters.chat.slack.postbox import NAMELESS, Postbox
from adapters.chat.slack.settled import MOST, READINGS, settled
from adapters.recent import keep
from core.apart import LONG, apart
from core.messages import ChatRef, Partial
from core.text import balanced

STARTS, APPENDS, EDITS = 18.0, 80.0, 40.0
"""A minute, of 20, 100 and 50; the rest is for finals."""
EVERY = 0.9
"""Seconds between two pieces of one stream."""
SHARE = 5
"""A look at a text that took long is followed by a pause of this many times as long: others need the processor too."""
_CAP = 1_000

P = ParamSpec("P")
T = TypeVar("T")


class Growing(msgspec.Struct):
    """What is known of one reply that grows."""

    chat: ChatRef
    ts: str = ""
    sent: str = ""
    """What was streamed."""
    open: bool = False
    """It is a stream, as far as we know."""
    edited: bool = False
    """It is shown by edits from the beginning."""
    left: bool = False
    """Nothing more is shown until the final: the person stopped it, or nobody knows what became of its beginning."""
    begun: float = 0.0
    at: float = 0.0
    rest: float = 0.0
    """Until when its text is not looked at again, for the last look took long."""


class Streams:
    """The growing replies of one bot."""

    def __init__(self, postbox: Postbox, book: Book) -> None:
        self._postbox = postbox
        self._book = book
        self._growing: OrderedDict[str, Growing] = OrderedDict()
        self._starts = Bucket(STARTS, 10.0)
        self._appends = Bucket(APPENDS, 40.0)
        self._edits = Bucket(EDITS, 20.0)

    def of(self, ts: str) -> Growing | None:
        """What is known of a message that grows, or grew."""
        return next((growing for growing in self._growing.values() if growing.ts == ts), None) if ts else None

    def grows(self, chat: ChatRef) -> bool:
        """Whether something else still grows in a place."""
        return any(growing.open and growing.chat == chat for growing in self._growing.values())

    def lost(self, turn: str) -> bool:
        """Whether a reply began to be shown in a message that we know nothing of."""
        growing = self._growing.get(turn)
        return growing is not None and growing.left and not growing.ts

    def forget(self, turn: str) -> None:
        """What was shown of a reply does not matter any more."""
        self._growing.pop(turn, None)

    async def show(self, partial: Partial, shown: str) -> str:
        """Show what there is; the id of the message that does. Raises SlackClientError."""
        growing = self._growing.get(partial.turn)
        if growing is None:
            left = partial.again and not shown  # somewhere a message may grow that only the final looks for
            growing = keep(self._growing, partial.turn, Growing(partial.chat, ts=shown, left=left), _CAP)
        if growing.left or not partial.whole():
            return growing.ts or shown
        now = time.monotonic()
        if now < growing.rest:
            return growing.ts
        if not (growing.ts or growing.edited) and partial.chat.thread and self._streams(partial.chat):
            await self._start(partial, growing, now)
        elif growing.open:
            await self._append(partial, growing, now)
        else:
            await self._edit(partial, growing, now)
        return growing.ts

    async def end(self, channel: str, ts: str, rest: str = "", **more: Any) -> bool:
        """End a stream, with what is left of the text; False where it does not grow any more. Raises SlackClientError."""
        body = {"channel": channel, "ts": ts, **more}
        if rest:
            body["markdown_text"] = rest
        try:
            await self._postbox.client.write("chat.stopStream", body, ANYTHING)
        except SlackClientError as error:
            if word(error) not in ENDED | LOST | UNKNOWN:
                raise
            if word(error) in UNKNOWN:  # what cannot be ended had better not begin
                for private in (True, False):
                    self._postbox.forgo(f"chat.startStream {private}")
            return False
        return True

    def _streams(self, chat: ChatRef) -> bool:
        return self._postbox.knows(f"chat.startStream {chat.private}")

    async def _start(self, partial: Partial, growing: Growing, now: float) -> None:
        text = await _looked(growing, len(partial.text) * READINGS, settled, partial.text)
        if not text or not self._starts.take():
            return
        chat, asked = partial.chat, self._book.asked(partial.chat, partial.reply_to)
        body = {"channel": chat.chat, "thread_ts": chat.thread, "markdown_text": text}
        if asked is not None:
            body |= {"recipient_user_id": asked.user, "recipient_team_id": asked.team or chat.space}
        client = self._postbox.client
        try:
            started = await self._postbox.sent("chat.startStream", body, client.times.preview)
        except Unanswered:
            growing.left = True
            raise
        except SlackClientError as error:
            if word(error) not in UNKNOWN | NOT_HERE:
                raise
            growing.edited = True
            if word(error) in UNKNOWN:
                self._postbox.forgo(f"chat.startStream {chat.private}")
            await self._edit(partial, growing, now)
            return
        if started == NAMELESS:  # it cannot be added to
            self._postbox.forgo(f"chat.startStream {chat.private}")
            growing.left = True
            return
        growing.ts, growing.sent, growing.open = started, text, True
        growing.begun = growing.at = now

    async def _append(self, partial: Partial, growing: Growing, now: float) -> None:
        if now - growing.begun > self._postbox.client.times.stream:
            growing.open = False
            await self.end(partial.chat.chat, growing.ts)
            return
        if now - growing.at < EVERY or len(growing.sent) > MOST - 500:
            return
        text = await _looked(growing, len(partial.text) * READINGS, settled, partial.text)
        more = text[len(growing.sent) :]
        if not more or not text.startswith(growing.sent) or not self._appends.take():
            return
        growing.at = now
        body = {"channel": partial.chat.chat, "ts": growing.ts, "markdown_text": more}
        try:
            await self._postbox.client.write(
                "chat.appendStream", body, ANYTHING, timeout=self._postbox.client.times.preview
            )
        except Unanswered:
            # What it shows now nobody knows: the final replaces it whole.
            growing.left, growing.sent = True, "\0"
            raise
        except SlackClientError as error:
            if word(error) in ENDED:
                growing.open, growing.left = False, word(error) == "stopped_by_user"
            elif word(error) in UNKNOWN:
                growing.left = True
            else:
                raise
            return
        growing.sent = text

    async def _edit(self, partial: Partial, growing: Growing, now: float) -> None:
        every = self._postbox.client.times.every
        if (
            not self._postbox.knows("chat.update")
            or (growing.at and now - growing.at < every)
            or not self._edits.take()
        ):
            return
        shown = await _looked(growing, len(partial.text), _rendered, partial.whole(), self._postbox.form)
        if not shown:
            return
        growing.at = now
        newest = shown[-1]
        if len(shown) > 1:
            newest = msgspec.structs.replace(newest, blocks=({"type": "markdown", "text": "…"}, *newest.blocks))
            newest = newest if self._postbox.form == "markdown" else shown[-1]
        client = self._postbox.client
        try:
            if growing.ts:
                await self._postbox.edit(partial.chat, growing.ts, newest, "", timeout=client.times.preview)
            else:
                growing.ts = await self._postbox.post(partial.chat, newest, "", timeout=client.times.preview)
        except Unanswered:
            growing.left = not growing.ts
            raise
        except SlackClientError as error:
            if word(error) == "streaming_state_conflict":  # of a program that died
                await self.end(partial.chat.chat, growing.ts)
            elif word(error) == "unknown_method" and growing.ts:
                self._postbox.forgo("chat.update")
            else:
                raise


async def _looked(growing: Growing, size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What a look at the text of a reply that grows comes to."""
    begun = time.monotonic()
    made = await apart(size, work, *args, **kwargs)
    ended = time.monotonic()
    growing.rest = ended + SHARE * (ended - begun) if size > LONG else 0.0
    return made


def _rendered(text: str, form: Mode) -> list[Piece]:
    return pieces(balanced(text), form)
