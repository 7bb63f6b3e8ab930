"""One part of a reply on its way out: as the end of a stream, in place of an older message, new, or for one person's eyes.

A part that is refused in its form goes out in a simpler one, which may need several messages.
"""

import logging
from collections import OrderedDict
from typing import Any

import msgspec

from adapters.chat.slack.asked import Book
from adapters.chat.slack.client import ANYTHING, Refused
from adapters.chat.slack.failures import FORM, LOST
from adapters.chat.slack.format import Mode, Piece, piece, pieces
from adapters.chat.slack.history import History
from adapters.chat.slack.inbound import ASIDE, Me
from adapters.chat.slack.postbox import NAMELESS, Postbox, actions, content, metadata
from adapters.chat.slack.sessions import Sessions
from adapters.chat.slack.streams import Streams
from adapters.recent import keep
from core.apart import apart
from core.messages import Button, Reply
from core.ports import Part

log = logging.getLogger(__name__)

SIMPLER: dict[Mode, Mode] = {"markdown": "mrkdwn", "mrkdwn": "plain"}
_CAP = 200


class Frame(msgspec.Struct, frozen=True):
    """What stands around a part."""

    reply: Reply
    key: str
    edit: str
    buttons: tuple[Button, ...] = ()
    last: bool = False


class Torn(msgspec.Struct):
    """A part that became several messages, some of which are sent."""

    pieces: list[Piece]
    sent: list[str]


class Sending:
    """The way out of one bot. All methods raise SlackClientError."""

    def __init__(self, postbox: Postbox, streams: Streams, sessions: Sessions, history: History, book: Book) -> None:
        self._postbox = postbox
        self._streams = streams
        self._sessions = sessions
        self._history = history
        self._book = book
        self._torn: OrderedDict[str, Torn] = OrderedDict()

    async def send(self, frame: Frame, part: Part, me: Me, known: Piece | None) -> str:
        """The id of the message that shows the part, or of the first of several. `known` is what it was rendered to."""
        begun = frame.reply.again or self._streams.lost(frame.reply.turn)
        if begun and not frame.edit and frame.key.endswith(":0"):
            stray = await self._history.find(frame.reply.chat, me, "", frame.reply.at, since=frame.reply.reply_to)
            sent = await self._whole(msgspec.structs.replace(frame, edit=stray), part, known)
            self._streams.forget(frame.reply.turn)
            return sent
        return await self._whole(frame, part, known)

    async def _whole(self, frame: Frame, part: Part, known: Piece | None) -> str:
        torn = self._torn.get(frame.key)
        form: Mode = part.form if part.form in {"markdown", "mrkdwn"} else "plain"  # type: ignore[assignment]
        while torn is None:
            try:
                if known is None:
                    known = await apart(len(part.body), piece, part.body, form)
                return await self._one(frame, known)
            except Refused as error:
                if error.word not in FORM or form not in SIMPLER:
                    raise
                log.debug("a message goes out in a simpler form than %s: %s", form, error.word)
                if "unsupported type" in error.more:
                    self._postbox.forgo(form)
            form, known = SIMPLER[form], None
            cut = await apart(len(part.body), pieces, part.body, form)
            torn = Torn(cut, []) if len(cut) > 1 else None
        keep(self._torn, frame.key, torn, _CAP)
        while (number := len(torn.sent)) < len(torn.pieces):
            ends = number == len(torn.pieces) - 1
            here = Frame(
                frame.reply,
                f"{frame.key}/{number}" if number else frame.key,
                "" if number else frame.edit,
                frame.buttons if ends else (),
                frame.last and ends,
            )
            torn.sent.append(await self._one(here, torn.pieces[number]))
        self._torn.pop(frame.key, None)
        return torn.sent[0]

    async def _one(self, frame: Frame, one: Piece) -> str:
        chat, edit = frame.reply.chat, frame.edit
        if chat.thread.startswith(ASIDE):
            return await self._whisper(frame, one)
        told = False
        if edit:
            growing = self._streams.of(edit)
            if growing is not None and growing.open:
                told = await self._finish(frame, one, growing.sent)
                growing.open = False
            if not told and not await self._replace(frame, one):
                edit = ""
        sent = edit or await self._postbox.post(chat, one, frame.key, frame.buttons)
        if frame.last and not self._streams.grows(chat):
            await self._sessions.rest(chat, told=told, unsure=bool(edit))
        return sent

    async def _finish(self, frame: Frame, one: Piece, sent: str) -> bool:
        """End a stream as the message; False where it has to be edited besides."""
        fits = bool(one.flow) and one.flow.startswith(sent)
        more: dict[str, Any] = {}
        if fits:
            more["metadata"] = metadata(frame.key)
            if below := actions(frame.buttons):
                more["blocks"] = below
        rest = one.flow[len(sent) :] if fits else ""
        return await self._streams.end(frame.reply.chat.chat, frame.edit, rest, **more) and fits

    async def _replace(self, frame: Frame, one: Piece) -> bool:
        """Put a message in place of another one; False where that one cannot be edited any more."""
        chat, ts = frame.reply.chat, frame.edit
        ended = False
        while True:
            try:
                await self._postbox.edit(chat, ts, one, frame.key, frame.buttons)
            except Refused as error:
                if error.word == "streaming_state_conflict" and not ended:  # a process that died left it growing
                    ended = True
                    await self._streams.end(chat.chat, ts)
                    continue
                if error.word == "unknown_method":
                    self._postbox.forgo("chat.update")
                elif error.word not in LOST | {"streaming_state_conflict"}:
                    raise
                if error.word != "message_not_found":
                    await self._postbox.delete(chat, ts)
                return False
            return True

    async def _whisper(self, frame: Frame, one: Piece) -> str:
        """An answer for the eyes of whoever gave a slash command; openly where Slack cannot whisper."""
        chat, body = frame.reply.chat, content(one, frame.buttons)
        url = self._book.url(chat, frame.reply.reply_to)
        client = self._postbox.client
        if url and await client.post(url, {"response_type": "ephemeral", "replace_original": False, **body}):
            return NAMELESS
        try:
            whisper = {"channel": chat.chat, "user": chat.thread.removeprefix(ASIDE), **body}
            await client.write("chat.postEphemeral", whisper, ANYTHING)
        except Refused as error:
            if error.word != "unknown_method":
                raise
            return await self._postbox.post(chat, one, "", frame.buttons)
        return NAMELESS
