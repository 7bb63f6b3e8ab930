"""Puts one message into a channel, new or in place of an older one, once: as content, or in components where it is long.

A key of ours goes with each new message, and Discord gives back the earlier message instead of making a second of the
same key; what then stands there with other words is edited to ours. It forgets a key after some minutes: later, a message
of ours is found by its words.
"""

import base64
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import msgspec

from adapters.chat.discord.events import Component, Post
from adapters.chat.discord.failures import ARCHIVED, BAD_FORM, EMPTY, NO_HISTORY, UNKNOWN_MESSAGE, Refused, chat_error
from adapters.chat.discord.format import Form, Piece
from adapters.chat.discord.interactions import Interactions
from adapters.chat.discord.rest import NOTHING, SENT, Haste, Rest, Sent
from adapters.recent import keep
from core.errors import ChatRejected
from core.messages import Button, ChatRef

log = logging.getLogger(__name__)

NO_EMBEDS, IN_COMPONENTS = 1 << 2, 1 << 15
"""Flags: without the previews of links, whose fetching would tell their owners what is being said; text in components."""
ROW, ROWS = 5, 5
LABEL, ACTION = 80, 100
QUIET: dict[str, Any] = {"parse": [], "replied_user": False}
"""Nobody is notified, whoever is named."""

USUAL = Haste()


class Frame(msgspec.Struct, frozen=True):
    """What stands around a text."""

    channel: str
    chat: ChatRef
    key: str
    reply_to: str = ""
    buttons: tuple[Button, ...] = ()
    first: bool = True
    """The message with which a reply begins: it may take the place of a command."""


class Postbox:
    """Where messages of one bot go out."""

    def __init__(self, rest: Rest, interactions: Interactions) -> None:
        self._rest = rest
        self._interactions = interactions
        self._forms: OrderedDict[str, Form] = OrderedDict()
        self.flat = False
        """This server knows no messages in components: there are such that speak Discord's API and are not Discord."""

    async def put(self, frame: Frame, piece: Piece, edit: str = "", haste: Haste = USUAL) -> str:
        """Put a message and return its id; `edit` names one that is replaced where it can be. Raises Refused, ChatBusy,
        ChatUnreachable.
        """
        try:
            return await self._put(frame, piece, edit, haste)
        except Refused as refused:
            if piece.form == "components" and refused.status == 400 and refused.code in {0, BAD_FORM, EMPTY}:
                self._flatten()
            raise

    async def found(self, frame: Frame, piece: Piece, me: str) -> str:
        """The id of an earlier send of this message, among those after the one that it answers; "" where there is none.
        Raises Refused, ChatBusy, ChatUnreachable.
        """
        if not frame.reply_to.isdecimal():
            return ""
        path, query = f"/channels/{frame.channel}/messages", {"after": frame.reply_to, "limit": "100"}
        for post in await self._rest.call("GET", path, _POSTS, query=query):
            if post.author and post.author.id == me and _reads(post, piece):
                return post.id
        return ""

    async def _put(self, frame: Frame, piece: Piece, edit: str, haste: Haste) -> str:
        key = frame.key
        if edit:
            if await self._replaced(frame, piece, edit, haste):
                return edit
            key += ":again"  # the old key would give back the message that is gone
        elif frame.first and (sent := await self._answered(frame, piece, haste)):
            return sent
        body = {**content(piece.form, piece.text), "components": components(piece, frame.buttons)}
        body |= {"nonce": nonce(key), "enforce_nonce": True, "allowed_mentions": QUIET}
        if frame.reply_to.isdecimal() and not frame.chat.private:
            body["message_reference"] = {"message_id": frame.reply_to, "fail_if_not_exists": False}
        path = f"/channels/{frame.channel}/messages"
        try:
            sent_ = await self._rest.call("POST", path, SENT, body, timeout=haste.timeout, patience=haste.patience)
        except Refused as refused:
            if refused.code not in {BAD_FORM, NO_HISTORY} or not body.pop("message_reference", None):
                raise
            # who may not read what was said before may not answer it either: the words matter more
            sent_ = await self._rest.call("POST", path, SENT, body, timeout=haste.timeout, patience=haste.patience)
        if not sent_.id:  # it was taken, and we are not told more
            return ""
        if self._unseen(sent_, piece):
            await self._rest.call("DELETE", f"{path}/{sent_.id}", NOTHING)
            raise Refused(400, 0, "messages in components are not shown")
        keep(self._forms, sent_.id, _form_of(sent_) or piece.form)
        if not _reads(sent_, piece):
            await self._replaced(frame, piece, sent_.id, haste)
        return sent_.id

    async def _answered(self, frame: Frame, piece: Piece, haste: Haste) -> str:
        """Put the message where a command waits for it; "" where none does, or its place is gone."""
        ticket = await self._interactions.place(frame.chat, frame.reply_to, frame.key)
        if ticket is None:
            return ""
        if ticket.message:
            return ticket.message if await self._replaced(frame, piece, ticket.message, haste) else ""
        try:
            await self._interactions.answer(ticket, self._changed(piece, frame.buttons, "content"), haste)
        except Refused:
            ticket.taken = False
            return ""
        keep(self._forms, ticket.message, piece.form)
        return ticket.message

    async def _replaced(self, frame: Frame, piece: Piece, edit: str, haste: Haste) -> bool:
        """Whether the message now reads so; False where it cannot be edited any more."""
        try:
            old = self._forms.get(edit) or await self._looked_up(frame.channel, edit, haste)
            changed = await self._edit(frame.channel, edit, self._changed(piece, frame.buttons, old), haste)
        except Refused as refused:
            # Gone, be it said by a code or not; in an archived thread, to which one can only add; or not to be had in this form.
            unnamed = refused.status == 404 and not refused.code
            if unnamed or refused.code in {UNKNOWN_MESSAGE, ARCHIVED} or isinstance(chat_error(refused), ChatRejected):
                return False
            raise
        if self._unseen(changed, piece):
            raise Refused(400, 0, "messages in components are not shown")
        keep(self._forms, edit, "components" if old == "components" else piece.form)
        return True

    async def _looked_up(self, channel: str, message: str, haste: Haste) -> Form:
        """In which form an earlier process left a message."""
        path = f"/channels/{channel}/messages/{message}"
        try:
            found = await self._rest.call("GET", path, SENT, timeout=haste.timeout, patience=haste.patience)
        except Refused as refused:
            if refused.code == UNKNOWN_MESSAGE:
                raise
            return "content"
        return _form_of(found) or "content"

    async def _edit(self, channel: str, message: str, body: dict[str, Any], haste: Haste) -> Sent:
        if ticket := self._interactions.holding(message):
            try:
                return await self._interactions.answer(ticket, body, haste)
            except Refused:
                ticket.until = 0.0
        path = f"/channels/{channel}/messages/{message}"
        return await self._rest.call("PATCH", path, SENT, body, timeout=haste.timeout, patience=haste.patience)

    @staticmethod
    def _changed(piece: Piece, buttons: Sequence[Button], old: Form) -> dict[str, Any]:
        """The body that changes a message of the form `old`: components never become content again."""
        if piece.form == "content" and old == "components":
            piece = Piece(piece.text, "components")
        body = {**content(piece.form, piece.text), "components": components(piece, buttons), "allowed_mentions": QUIET}
        if piece.form == "components" and old == "content":
            body |= {"content": None, "embeds": []}
        return body

    def wrote(self, message: str) -> bool:
        """Whether a message is one of our newest."""
        return message in self._forms

    def _unseen(self, sent: Sent, piece: Piece) -> bool:
        """Whether a message in components was taken, and shows nothing."""
        unseen = bool(sent.id) and piece.form == "components" and _form_of(sent) is None
        if unseen:
            self._flatten()
        return unseen

    def _flatten(self) -> None:
        if not self.flat:
            log.warning("Discord: this server takes no messages in components; long replies are cut smaller")
        self.flat = True


def content(form: Form, text: str) -> dict[str, Any]:
    """The fields that say what, without the components."""
    return {"flags": IN_COMPONENTS} if form == "components" else {"content": text, "flags": NO_EMBEDS}


def components(piece: Piece, buttons: Sequence[Button]) -> list[dict[str, Any]]:
    """The text of a long message, and rows of buttons; one whose action is too long for Discord is left out."""
    made: dict[str, dict[str, Any]] = {}
    for button in buttons:
        if 1 <= len(button.action) <= ACTION:
            label = button.label[:LABEL] or "…"
            made.setdefault(button.action, {"type": 2, "style": 2, "label": label, "custom_id": button.action})
    row = list(made.values())[: ROW * ROWS]
    rows = [{"type": 1, "components": row[at : at + ROW]} for at in range(0, len(row), ROW)]
    return [{"type": 10, "content": piece.text}, *rows] if piece.form == "components" else rows


def nonce(key: str) -> str:
    """The key as Discord takes it: 24 characters of 25."""
    return base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest()[:18]).decode()


_POSTS = msgspec.json.Decoder(list[Post])


def _reads(sent: Sent | Post, piece: Piece) -> bool:
    """Whether a message reads as it should, however Discord treats the spaces at its ends."""
    shown = sent.content or "".join(_texts(sent.components or ()))
    return shown.split() == piece.text.split()


def _texts(parts: tuple[Component, ...]) -> list[str]:
    return [text for part in parts for text in ([part.content] if part.content else _texts(part.components))]


def _form_of(sent: Sent) -> Form | None:
    if sent.content:
        return "content"
    return "components" if _texts(sent.components or ()) else None
