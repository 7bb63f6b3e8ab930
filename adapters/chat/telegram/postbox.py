"""Puts one message into a chat, new or in place of an older one, in any of the three forms Telegram reads.

Remembers for this process what the server taught on the way: methods that it does not know, groups that moved.
"""

import time
from collections.abc import Sequence

import msgspec

from adapters.chat.telegram.client import SENT, Client, Sent
from adapters.chat.telegram.errors import BadRequest, ChatMigrated
from adapters.chat.telegram.failures import missing, unchanged
from adapters.chat.telegram.format import Mode
from core.messages import Button, ChatRef

ACTION_CAP = 64
"""Bytes behind a button."""
ROW_CAP = 36
"""Characters of labels side by side, so that a phone shows them whole."""

_NO_LINK_PREVIEW = '{"is_disabled":true}'
"""Fetching a link would tell its owner what is being said."""


class Frame(msgspec.Struct, frozen=True):
    """What stands around a text."""

    chat: ChatRef
    reply_to: str = ""
    buttons: tuple[Button, ...] = ()


class Postbox:
    """Where messages of one bot go out."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.moved: dict[str, str] = {}
        """Groups that became supergroups: old id to new."""
        self._unknown: dict[str, float] = {}

    @property
    def form(self) -> Mode:
        """The best form that the server takes: rich or html."""
        return "rich" if self.knows("sendRichMessage") else "html"

    def knows(self, method: str) -> bool:
        """Whether the server may know a method."""
        until = self._unknown.get(method)
        return until is None or time.monotonic() >= until

    def forgo(self, method: str) -> None:
        """The server does not know this method: leave it alone for a while, not for ever, servers are updated."""
        self._unknown[method] = time.monotonic() + self.client.times.latch

    def move(self, old: str, new: str) -> None:
        """A group became a supergroup: what is said to the old id goes to the new one."""
        self.moved[old] = new

    def address(self, chat: ChatRef) -> dict[str, str]:
        """The fields that say where."""
        fields = {"chat_id": self.moved.get(chat.chat, chat.chat)}
        if chat.thread:
            fields["message_thread_id"] = chat.thread
        return fields

    async def put(self, frame: Frame, form: Mode, body: str, edit: str = "", *, patience: float = 0.0) -> str:
        """Put a message and return its id; `edit` names one that is replaced where it can be. Raises TelegramError."""
        fields = {**self.address(frame.chat), **content(form, body)}
        if frame.buttons:
            fields["reply_markup"] = keyboard(frame.buttons)
        patience = patience or self.client.times.answer
        try:
            if edit and await self._edited(fields, edit, patience):
                return edit
            if frame.reply_to.isdecimal() and not frame.chat.private:
                fields["reply_parameters"] = f'{{"message_id":{frame.reply_to},"allow_sending_without_reply":true}}'
            method = "sendRichMessage" if form == "rich" else "sendMessage"
            sent = await self.client.call(method, fields, SENT, timeout=patience)
        except ChatMigrated as error:
            if self.moved.get(frame.chat.chat) == str(error.new_chat_id):
                raise
            self.move(frame.chat.chat, str(error.new_chat_id))
            return await self.put(frame, form, body, patience=patience)  # ids of the old group mean nothing in the new
        return str(sent.message_id) if isinstance(sent, Sent) else ""

    async def _edited(self, fields: dict[str, str], edit: str, patience: float) -> bool:
        """Whether the message now reads so; False where it cannot be edited any more."""
        fields = {name: value for name, value in fields.items() if name != "message_thread_id"}
        try:
            await self.client.call("editMessageText", {**fields, "message_id": edit}, SENT, timeout=patience)
        except BadRequest as error:
            if missing(error):
                return False
            if not unchanged(error):
                raise
        return True


def content(form: Mode, body: str) -> dict[str, str]:
    """The fields that say what."""
    if form == "rich":
        # without detection no name or word becomes a mention, a command or a link by accident
        rich = {"html": body, "skip_entity_detection": True}
        return {"rich_message": msgspec.json.encode(rich).decode()}
    fields = {"text": body, "link_preview_options": _NO_LINK_PREVIEW}
    if form == "html":
        fields["parse_mode"] = "HTML"
    return fields


def keyboard(buttons: Sequence[Button]) -> str:
    """Buttons as JSON, short ones side by side; one whose action is too long for Telegram is left out."""
    rows: list[list[dict[str, str]]] = []
    width = ROW_CAP
    for button in buttons:
        if not 1 <= len(button.action.encode()) <= ACTION_CAP:
            continue
        if width + len(button.label) > ROW_CAP:
            rows.append([])
            width = 0
        rows[-1].append({"text": button.label, "callback_data": button.action})
        width += len(button.label)
    return msgspec.json.encode({"inline_keyboard": rows}).decode()
