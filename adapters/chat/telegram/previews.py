"""A reply while it grows: as a draft that vanishes by itself in a private chat, as a message that is edited elsewhere.

One try each, and a failure says nothing about sends: a half-written text may be refused where the whole one is not.
"""

import time
import zlib
from collections import OrderedDict

import msgspec

from adapters.chat.telegram.client import ANYTHING
from adapters.chat.telegram.errors import BadRequest, EndPointNotFound, NotDone, TelegramError
from adapters.chat.telegram.failures import chat_error
from adapters.chat.telegram.format import Mode, pieces, utf16_len
from adapters.chat.telegram.postbox import Frame, Postbox, content
from core.apart import apart
from core.errors import ChatUnreachable
from core.messages import ChatRef, Partial
from core.text import balanced

EDIT_EVERY = 1.2
"""Seconds between two edits in a private chat, where the server has no drafts."""
SMOOTH = 10_000
"""Characters up to which previews come at the full rate; each as many more cost a second, for all is rendered again."""

ROOM = 4_000
"""UTF-16 units of a message that leave room for a sign that something stood before."""

_CAP = 1_000


class Growing(msgspec.Struct):
    """What is known of one reply that grows."""

    chat: ChatRef
    plain: bool = False
    """A rich preview of it was refused."""
    at: float = 0.0


class Previews:
    """The previews of one bot."""

    def __init__(self, postbox: Postbox) -> None:
        self._postbox = postbox
        self._can_stop = True
        self._growing: OrderedDict[int, Growing] = OrderedDict()

    def place(self, draft: int) -> ChatRef | None:
        """Where a draft of ours was shown."""
        growing = self._growing.get(draft)
        return growing.chat if growing else None

    async def show(self, partial: Partial, shown: str) -> str:
        """Show what there is; the id of the message that does, "" for a draft. Raises TelegramError."""
        number = zlib.crc32(partial.turn.encode()) & 0x7FFFFFFF or 1
        growing = self._growing.setdefault(number, Growing(partial.chat))
        while len(self._growing) > _CAP:
            self._growing.popitem(last=False)
        as_draft = partial.chat.private and not shown and self._postbox.knows("sendMessageDraft")
        if not (partial.whole() or as_draft):
            return shown
        now = time.monotonic()
        pause = EDIT_EVERY if partial.chat.private and not as_draft else 0.0
        if growing.at and now - growing.at < max(pause, len(partial.whole()) / SMOOTH - 1.0):
            return shown
        growing.at = now
        form: Mode = "html" if growing.plain else self._postbox.form
        try:
            if as_draft:
                await self._draft(partial, number, form)
                return ""
            frame, patience = Frame(partial.chat, partial.reply_to), self._postbox.client.times.preview
            text = await apart(len(partial.text), newest, partial.whole(), form)
            return await self._postbox.put(frame, form, text, shown, patience=patience)
        except EndPointNotFound:
            if not as_draft and form == "rich":
                self._postbox.forgo("sendRichMessage")
            raise
        except BadRequest:
            growing.plain = True
            raise

    async def _draft(self, partial: Partial, number: int, form: Mode) -> None:
        rich = form == "rich" and partial.whole() and self._postbox.knows("sendRichMessageDraft")
        method = "sendRichMessageDraft" if rich else "sendMessageDraft"
        fields = {**self._postbox.address(partial.chat), "draft_id": str(number)}
        if partial.whole():
            form = "rich" if rich else "html"
            fields |= content(form, await apart(len(partial.text), newest, partial.whole(), form))
            fields.pop("link_preview_options", None)
        else:
            fields["text"] = ""  # shows that we think
        if self._can_stop:
            fields["can_stop"] = "true"
        client = self._postbox.client
        try:
            await client.call(method, fields, ANYTHING, timeout=client.times.preview)
        except EndPointNotFound:
            self._postbox.forgo(method)
            raise
        except BadRequest as error:
            if "can_stop" in error.message.lower():
                self._can_stop = False
            raise
        except TelegramError as error:
            if isinstance(chat_error(error), ChatUnreachable):
                raise NotDone(error.message) from None  # it vanishes by itself: as good as not shown
            raise


def newest(text: str, form: Mode) -> str:
    """A text that still grows, rendered for one message: all of it, or its end where it is too long for one."""
    rendered = pieces(balanced(text), form)
    if not rendered:
        return "…"
    body = rendered[-1].text
    if len(rendered) == 1 or (form != "rich" and utf16_len(body) > ROOM):
        return body
    return ("<p>…</p>" if form == "rich" else "…\n\n") + body
