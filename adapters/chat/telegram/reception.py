"""Takes updates in: adds what an update cannot tell by itself (our name, who administers a group) and hands them to core.

Poll and webhook both end here. Whatever is slow or may fail beside the accept (answering a pressed button) runs beside.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import msgspec

from adapters.chat.telegram import inbound
from adapters.chat.telegram.client import ANYTHING, ME, Answer, Client, User, pause
from adapters.chat.telegram.errors import TelegramError
from adapters.chat.telegram.inbound import Me
from adapters.chat.telegram.updates import Update
from adapters.chat.telegram.updates import User as Person
from core.messages import ChatRef, Edited, Inbound, Message, Pressed
from core.ports import Accept

log = logging.getLogger(__name__)

_CAP = 1_000


class Admin(msgspec.Struct):
    """One of those who rule a group."""

    user: Person


_ADMINS = msgspec.json.Decoder(Answer[list[Admin]])


class Reception:
    """`moved` is told of groups that became supergroups (old id, new id), `drafted` says where a draft was shown,
    `beside` runs what nobody has to wait for.
    """

    def __init__(
        self,
        client: Client,
        accept: Accept,
        moved: Callable[[str, str], None],
        drafted: Callable[[int], ChatRef | None],
        beside: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._client = client
        self._accept = accept
        self._moved = moved
        self._drafted = drafted
        self._beside = beside
        self._me = Me(int(client.space))
        self._named = asyncio.Event()
        self._admins: OrderedDict[str, tuple[float, frozenset[str]]] = OrderedDict()
        self._albums: OrderedDict[str, bool] = OrderedDict()

    async def introduce(self) -> User:
        """Learn our name; tried until it is known, because mentions in groups wait for it."""
        failures = 0
        while True:
            try:
                user = await self._client.call("getMe", {}, ME, timeout=self._client.times.answer)
            except TelegramError as error:
                failures += 1
                log.debug("getMe: %s", error.message)
                await asyncio.sleep(pause(failures, self._client.times))
            else:
                self._me = Me(self._me.id, user.username)
                self._named.set()
                return user

    async def receive(self, updates: Sequence[Update]) -> None:
        """Accept an update, or the parts of an album as one; returns when it is durable. Raises StoreError."""
        first = updates[0]
        if first.place and first.place.type != "private":
            await self._named.wait()
        if first.callback_query:
            self._beside(self._answer(first.callback_query.id))
        if first.message and first.message.migrate_to_chat_id:
            self._moved(str(first.message.chat.id), str(first.message.migrate_to_chat_id))
        event = self._read(updates)
        if event:
            await self._accept(await self._with_rights(event))

    def _read(self, updates: Sequence[Update]) -> Inbound | None:
        if not updates[0].album:
            event = inbound.read(updates[0], self._me)
            stopped = updates[0].stopped_message_generation
            if stopped and isinstance(event, Pressed) and (place := self._drafted(stopped.draft_id)):
                return msgspec.structs.replace(event, chat=place)  # the update does not name the topic
            return event
        parts = [part for part in (inbound.read(update, self._me) for update in updates) if isinstance(part, Message)]
        if not parts:
            return None
        message = inbound.merge(parts)
        # By webhook the parts come one by one, and only one of them carries the caption with the mention.
        album = f"{message.chat.chat}:{updates[0].album}"
        addressed = message.addressed or self._albums.get(album, False)
        self._albums[album] = addressed
        while len(self._albums) > _CAP:
            self._albums.popitem(last=False)
        return msgspec.structs.replace(message, addressed=addressed)

    async def _with_rights(self, event: Inbound) -> Inbound:
        told = event.message if isinstance(event, Edited) else event
        if not isinstance(told, Message | Pressed) or told.chat.private or told.admin or not inbound.command(told):
            return event
        if isinstance(told, Message) and not told.addressed and not told.text.startswith("!"):
            return event
        if told.sender.user not in await self._administrators(told.chat.chat):
            return event
        told = msgspec.structs.replace(told, admin=True)
        if isinstance(event, Edited) and isinstance(told, Message):
            return msgspec.structs.replace(event, message=told)
        return told

    async def _administrators(self, chat: str) -> frozenset[str]:
        since, known = self._admins.get(chat, (0.0, frozenset[str]()))
        if since and time.monotonic() - since < self._client.times.admins:
            return known
        try:
            admins = await self._client.call(
                "getChatAdministrators", {"chat_id": chat}, _ADMINS, timeout=self._client.times.typing
            )
        except TelegramError as error:
            log.debug("getChatAdministrators: %s", error.message)
            return known
        known = frozenset(str(admin.user.id) for admin in admins)
        self._admins[chat] = (time.monotonic(), known)
        while len(self._admins) > _CAP:
            self._admins.popitem(last=False)
        return known

    async def _answer(self, query: str) -> None:
        try:
            await self._client.call(
                "answerCallbackQuery", {"callback_query_id": query}, ANYTHING, timeout=self._client.times.typing
            )
        except TelegramError as error:
            log.debug("answerCallbackQuery: %s", error.message)
