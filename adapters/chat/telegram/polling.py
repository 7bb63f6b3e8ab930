"""The long poll: asks Telegram for updates for ever, and asks for the next ones only when these are durable.

The server keeps the offset: whatever was not confirmed by a later poll comes again, and the mailbox drops what it knows.
Chats are served side by side, the updates of one chat one after the other, also when one has to be tried again. An
album arrives as several updates: its chat waits until no more parts come, its numbers stay unconfirmed so long.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn

import msgspec

from adapters.chat.telegram.client import ANYTHING, Client, mended, pause
from adapters.chat.telegram.errors import (
    BadRequest,
    Conflict,
    EndPointNotFound,
    InvalidToken,
    RetryAfter,
    TelegramError,
)
from adapters.chat.telegram.failures import ANOTHER, REFUSED
from adapters.chat.telegram.inbound import KINDS
from adapters.chat.telegram.updates import Unread, Update
from core.errors import ChatRefusedToken, StoreError, traced

log = logging.getLogger(__name__)

RECONNECT_AFTER = 3
"""Failures in a row after which connections are made anew."""
LOOK_AGAIN = 0.2
"""Seconds between polls while an album may grow: others wait no longer than that."""
TRIES = 3
"""How often an update that fails for an unknown reason is tried before it is left out."""

Receive = Callable[[Sequence[Update]], Awaitable[None]]
"""Takes the update, or the updates of one album; returns when they are durable, raises StoreError when they are not."""

_ALL = msgspec.json.Decoder(list[Update])
_EACH = msgspec.json.Decoder(list[msgspec.Raw])
_UPDATE = msgspec.json.Decoder(Update)
_UNREAD = msgspec.json.Decoder(Unread)


class Polling:
    """One bot's poll. `heard` is when Telegram last answered it well, by the monotonic clock."""

    def __init__(self, client: Client, receive: Receive) -> None:
        self._client = client
        self._times = client.times
        self._receive = receive
        self._kinds: tuple[str, ...] = KINDS
        self._offset = 0
        self._done: set[int] = set()
        self._held: dict[int, list[Update]] = {}
        self._grown: dict[tuple[int, str], float] = {}
        self._conflicts = (0.0, 0.0)
        self.heard = time.monotonic()

    async def run(self) -> NoReturn:
        """Poll until cancelled. Raises ChatRefusedToken when only the operator can help, nothing else."""
        try:
            while True:
                updates = await self._next(0.0 if self._held else self._times.poll)
                await self._take(updates)
                if self._held:
                    await asyncio.sleep(min(LOOK_AGAIN, self._times.album / 4))
        finally:
            await self._client.close()

    async def _next(self, wait: float) -> list[Update]:
        """The updates that are not confirmed yet, after `wait` seconds at most without any."""
        failures = strangers = 0
        while True:
            fields = {"offset": str(self._offset), "limit": "100", "timeout": str(round(wait))}
            fields["allowed_updates"] = msgspec.json.encode(self._kinds).decode()
            try:
                patience = wait + self._times.poll_slack
                raw = await self._client.call("getUpdates", fields, ANYTHING, timeout=patience, poll=True)
                updates = _updates(raw)
            except RetryAfter as error:
                log.warning("Telegram asks the poll to wait %.0f s", error.seconds)
                await asyncio.sleep(error.seconds)
            except Conflict as error:
                await self._conflict(error)
            except InvalidToken:
                raise ChatRefusedToken(REFUSED) from None
            except TelegramError as error:
                failures += 1
                if isinstance(error, EndPointNotFound):
                    strangers += 1
                    if strangers >= RECONNECT_AFTER:
                        raise ChatRefusedToken(REFUSED) from None
                if isinstance(error, BadRequest) and len(self._kinds) == len(KINDS):
                    self._kinds = KINDS[:-1]  # an older server may not know the newest kind
                await self._failed(error, failures)
            else:
                if failures >= RECONNECT_AFTER:
                    log.info("Telegram answers again")
                self.heard = time.monotonic()
                return updates

    async def _conflict(self, error: Conflict) -> None:
        if "webhook" in error.message.lower():
            log.info("Telegram: a webhook is set, it is removed in favour of polling")
            try:
                await self._client.call("deleteWebhook", {}, ANYTHING, timeout=self._times.answer)
            except TelegramError as failed:
                log.warning("Telegram: the webhook could not be removed: %s", failed.message)
                await asyncio.sleep(self._times.backoff)
            return
        # Two programs take turns, so a good poll in between proves nothing: only a minute without a conflict does.
        now = time.monotonic()
        first, last = self._conflicts
        first = now if not last or now - last > self._times.conflict else first
        self._conflicts = (first, now)
        if now - first >= self._times.conflict:
            raise ChatRefusedToken(ANOTHER)
        log.warning("Telegram: another poll of this bot is open; waiting for it to end")
        await asyncio.sleep(min(5.0, self._times.conflict / 10))

    async def _failed(self, error: TelegramError, failures: int) -> None:
        deaf = time.monotonic() - self.heard
        log.log(logging.WARNING if failures == RECONNECT_AFTER else logging.DEBUG, "poll: %s", error.message)
        if failures % RECONNECT_AFTER == 0 or deaf > self._times.deaf:
            await self._client.reconnect()
        await asyncio.sleep(pause(failures, self._times) * random.uniform(0.5, 1.0))

    async def _take(self, updates: list[Update]) -> None:
        now = time.monotonic()
        known = self._done.union(*({part.update_id for part in held} for held in self._held.values()))
        for update in updates:
            if update.update_id in known:
                continue
            place = update.place
            chat = place.id if place else 0
            self._held.setdefault(chat, []).append(update)
            if update.album:
                self._grown[chat, update.album] = now
        async with asyncio.TaskGroup() as chats:
            for chat, lane in self._held.items():
                chats.create_task(self._drain(chat, lane, now))
        for chat in [chat for chat, lane in self._held.items() if not lane]:
            del self._held[chat]
        waiting = [update.update_id for lane in self._held.values() for update in lane]
        if waiting:
            self._offset = min(waiting)
            self._done = {number for number in self._done if number > self._offset}
        elif updates:
            self._offset = max(update.update_id for update in updates) + 1
            self._done = set()

    async def _drain(self, chat: int, lane: list[Update], now: float) -> None:
        """Hand on what a chat has; stop at an album that may still grow."""
        while lane:
            album = lane[0].album
            if album and now - self._grown.get((chat, album), 0.0) < self._times.album:
                return
            self._grown.pop((chat, album), None)
            parts = [update for update in lane if update.album == album] if album else [lane[0]]
            await self._hand_on(parts)
            for part in parts:
                lane.remove(part)
                self._done.add(part.update_id)

    async def _hand_on(self, parts: list[Update]) -> None:
        failures = strange = 0
        while True:
            try:
                await self._receive(parts)
            except StoreError as error:
                failures += 1
                log.warning("update %s waits: %s", parts[0].update_id, error.sentence)
            except Exception as error:  # noqa: BLE001 - one update that breaks us must not make the bot deaf
                failures, strange = failures + 1, strange + 1
                log.error("update %s failed: %s", parts[0].update_id, traced(error))  # noqa: TRY400 - a trace would hold what people said
                if strange >= TRIES:
                    return
            else:
                return
            await asyncio.sleep(pause(failures, self._times) * random.uniform(0.5, 1.0))


def decode(payload: bytes) -> Update | None:
    """One update, None if it is not one that we understand. Raises msgspec.DecodeError for what is none at all."""
    try:
        return _UPDATE.decode(payload)
    except msgspec.ValidationError:
        number = _UNREAD.decode(payload).update_id
        log.debug("update %s is of a shape that is not understood", number)
        return None


def _updates(raw: msgspec.Raw) -> list[Update]:
    """All updates of a batch; of one that is not understood only the number, so that it blocks nothing."""
    try:
        return _ALL.decode(raw)
    except (msgspec.ValidationError, RecursionError):
        pass
    except (msgspec.DecodeError, UnicodeDecodeError):
        try:
            raw = msgspec.Raw(mended(bytes(raw)))
        except (msgspec.DecodeError, RecursionError):
            raise TelegramError("getUpdates: the updates cannot be read") from None
    updates = []
    try:
        each = _EACH.decode(raw)
        for one in each:
            try:
                updates.append(decode(bytes(one)) or Update(_UNREAD.decode(one).update_id))
            except (msgspec.ValidationError, RecursionError):
                log.debug("an update without a number is left out")
    except msgspec.DecodeError:
        raise TelegramError("getUpdates: the updates cannot be read") from None
    if each and not updates:
        raise TelegramError("getUpdates: the updates have no numbers")
    return updates
