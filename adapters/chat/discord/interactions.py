"""Commands and buttons: acknowledged within three seconds whatever else is slow, answered in their own place while that is open.

A command's place is kept in memory only: after a restart, or a quarter of an hour, its answer is an ordinary message.
"""

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from typing import Any

import msgspec

from adapters.chat.discord.events import Interaction
from adapters.chat.discord.failures import Refused
from adapters.chat.discord.rest import NOTHING, SENT, Haste, Rest, Sent
from adapters.recent import keep
from core.errors import ChatError
from core.messages import ChatRef

log = logging.getLogger(__name__)

ACKNOWLEDGED = 40060


class Ticket(msgspec.Struct):
    """A command that waits for its answer, by the name of its event. In `path` stands its token, a secret."""

    name: str
    path: str
    chat: ChatRef
    until: float
    key: str = ""
    """The part of a reply that took it."""
    message: str = ""
    """The id of the answer, once there is one."""
    taken: bool = False
    """Discord took our acknowledgement: there is a place for the answer."""
    settled: asyncio.Event = msgspec.field(default_factory=asyncio.Event)
    """It took it, or it did not."""


class Interactions:
    """The interactions of one bot."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self._tickets: OrderedDict[str, Ticket] = OrderedDict()

    def expect(self, interaction: Interaction, event: str, chat: ChatRef) -> None:
        """A command was given: remember where its answer goes."""
        patience = self._rest.times
        brief = interaction.data is not None and interaction.data.name == "stop"
        until = time.monotonic() + (patience.stop if brief else patience.command)
        path = f"/webhooks/{interaction.application_id}/{interaction.token}/messages/@original"
        keep(self._tickets, event, Ticket(event, path, chat, until))

    async def acknowledge(self, interaction: Interaction, event: str) -> None:
        """Tell Discord that we heard: a command shows that we think, a button that it was pressed."""
        times = self._rest.times
        body = {"type": 5 if interaction.type == 2 else 6}
        path = f"/interactions/{interaction.id}/{interaction.token}/callback"
        good = False
        try:
            for _ in range(2):
                try:
                    await self._rest.call("POST", path, NOTHING, body, timeout=times.acknowledge / 2, patience=0.5)
                    good = True
                except (Refused, ChatError) as error:
                    log.debug("an interaction could not be acknowledged: %s", error.sentence)
                    if isinstance(error, ChatError) or error.status >= 500:
                        continue
                    good = error.code == ACKNOWLEDGED  # by the try before, whose answer got lost
                break
        finally:
            if ticket := self._tickets.get(event):
                ticket.taken = good
                ticket.settled.set()

    async def place(self, chat: ChatRef, reply_to: str, key: str) -> Ticket | None:
        """The place of a command that this part of a reply answers; None where it is an ordinary message."""
        ticket = self._tickets.get(reply_to)
        if ticket is None and not reply_to:  # some answers do not say what they answer
            names = (name for name, one in self._tickets.items() if one.chat == chat and one.key in {"", key})
            reply_to = next(names, "")
            ticket = self._tickets.get(reply_to)
        if ticket is None or ticket.key not in {"", key} or time.monotonic() > ticket.until:
            return None
        ticket.key = key
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._rest.times.acknowledge * 2):
                await ticket.settled.wait()
        return ticket if ticket.taken else None

    def holding(self, message: str) -> Ticket | None:
        """The place in which this message of ours stands, while it can be reached that way."""
        found = (one for one in reversed(self._tickets.values()) if one.message == message)
        ticket = next(found, None)
        return ticket if ticket and time.monotonic() < ticket.until else None

    async def answer(self, ticket: Ticket, body: dict[str, Any], haste: Haste) -> Sent:
        """Put a message into the place of a command. Raises as Rest.call does."""
        sent = await self._rest.call("PATCH", ticket.path, SENT, body, timeout=haste.timeout, patience=haste.patience)
        ticket.message = sent.id or ticket.name
        return sent

    async def tidy(self) -> None:
        """Take away what still says that we think, where no answer came."""
        now = time.monotonic()
        for name, ticket in [(n, t) for n, t in self._tickets.items() if now > t.until]:
            del self._tickets[name]
            if ticket.taken and not ticket.key:
                try:
                    await self._rest.call("DELETE", ticket.path, NOTHING)
                except (Refused, ChatError) as error:
                    log.debug("an unanswered command stays: %s", error.sentence)
