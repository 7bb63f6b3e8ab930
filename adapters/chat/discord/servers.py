"""Which servers are let in. Where they have to be approved, a card asks for it once a day: whoever holds Manage Server there
presses its button, and from then on the members may talk, in the server and in direct messages.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from typing import Any

from adapters.chat.discord.events import Interaction
from adapters.chat.discord.failures import Refused
from adapters.chat.discord.inbound import rules
from adapters.chat.discord.places import Places
from adapters.chat.discord.postbox import QUIET
from adapters.chat.discord.rest import MEMBER, NOTHING, Rest
from adapters.recent import keep
from core.errors import ChatError, StoreError
from core.notes import Notes

log = logging.getLogger(__name__)

LET_IN = "server:let-in"
"""What the card's button carries."""
CARD = (
    "**Hello! I am Pieria, an assistant (a bot).** I answer when somebody mentions me or replies to me. I keep only what "
    "was addressed to me, sealed.\n\nBefore I may talk here, somebody with the permission *Manage Server* has to let this "
    "server in."
)
DONE = (
    "**Hello! I am Pieria, an assistant (a bot).** This server was let in: mention me or reply to me, and I answer; in "
    "direct messages too. `/help` shows more."
)
BUTTON = "Let this server in"
NOT_YOU = "Only somebody with the permission Manage Server can let this server in."
NOT_NOW = "That could not be noted just now. Please press again in a moment."
UNHEARD = "I can read only messages that mention me here. Please mention me, or write to me in a direct message."
MOST = 20
"""Servers that are asked whether somebody belongs to them."""
SURE = 60.0
"""Seconds that it is believed without looking whether a server is let in."""
DAY = 86_400.0


class Servers:
    """The servers of one bot. Without `pairing` none has to be approved."""

    def __init__(self, rest: Rest, notes: Notes, places: Places, *, pairing: bool) -> None:
        self._rest = rest
        self._notes = notes
        self._places = places
        self.pairing = pairing
        self._approved: dict[str, tuple[float, bool]] = {}
        self._members: OrderedDict[tuple[str, str], tuple[float, bool]] = OrderedDict()
        self._kept: dict[str, float] = {}

    async def approved(self, guild: str) -> bool:
        """Whether a server was let in. Raises StoreError."""
        if not self.pairing:
            return True
        since, known = self._approved.get(guild, (0.0, False))
        if since and time.monotonic() - since < SURE:
            return known
        known = bool(await self._notes.read("server", guild))
        self._approved[guild] = (time.monotonic(), known)
        if known and time.monotonic() - self._kept.get(guild, 0.0) > DAY:
            await self.approve(guild)  # a note ends by itself where nobody talks any more
        return known

    async def approve(self, guild: str) -> None:
        """Let a server in. Raises StoreError."""
        await self._notes.write(b"1", "server", guild)
        self._approved[guild] = (time.monotonic(), True)
        self._kept[guild] = time.monotonic()

    async def forget(self, guild: str) -> None:
        """We are no longer there: whoever invites us again is asked again. Raises StoreError."""
        await self._notes.write(b"", "server", guild)
        await self._notes.write(b"", "card", guild)
        self._approved.pop(guild, None)

    async def vouches(self, guild: str, user: str) -> bool:
        """Whether the sender belongs to a server that was let in; `guild` is "" in a direct message. Raises StoreError."""
        if not self.pairing:
            return False
        if guild:
            return await self.approved(guild)
        asked = 0
        for one in self._places.guilds():
            if await self.approved(one):
                if await self._belongs(one, user):
                    return True
                asked += 1
                if asked >= MOST:
                    break
        return False

    async def offer(self, guild: str, channel: str = "") -> None:
        """Show the card, once a day; `channel` is where somebody called us. Raises StoreError."""
        place = self._places.lounge(guild, channel)
        if not place or await self._notes.read("card", guild):
            return
        await self._notes.write(b"1", "card", guild, days=self._rest.times.card)
        try:
            await self._rest.call("POST", f"/channels/{place}/messages", NOTHING, card(CARD, button=True))
        except (Refused, ChatError) as error:
            log.info("Discord: a server could not be told that it is not let in: %s", error.sentence)
            await self._notes.write(b"", "card", guild)

    async def ask(self, thread: str) -> None:
        """Say once a day in a thread of ours that we hear only what mentions us. Raises StoreError."""
        if await self._notes.read("unheard", thread):
            return
        await self._notes.write(b"1", "unheard", thread, days=self._rest.times.card)
        try:
            await self._rest.call("POST", f"/channels/{thread}/messages", NOTHING, {"content": UNHEARD})
        except (Refused, ChatError) as error:
            log.debug("a thread could not be told that it is not heard: %s", error.sentence)

    async def pressed(self, interaction: Interaction) -> None:
        """The card's button was pressed: whoever may manage the server lets it in."""
        allowed = bool(interaction.guild_id) and rules(interaction.member)
        answer = whispered(NOT_YOU)
        if allowed and interaction.guild_id:
            try:
                async with asyncio.timeout(self._rest.times.acknowledge / 2):
                    await self.approve(interaction.guild_id)
                answer = {"type": 7, "data": card(DONE, button=False)}
            except (StoreError, TimeoutError):
                answer = whispered(NOT_NOW)
        path = f"/interactions/{interaction.id}/{interaction.token}/callback"
        try:
            await self._rest.call("POST", path, NOTHING, answer, timeout=self._rest.times.acknowledge)
        except (Refused, ChatError) as error:
            log.debug("a pressed button could not be answered: %s", error.sentence)

    async def _belongs(self, guild: str, user: str) -> bool:
        since, known = self._members.get((guild, user), (0.0, False))
        if since and time.monotonic() - since < self._rest.times.members:
            return known
        try:
            await self._rest.call("GET", f"/guilds/{guild}/members/{user}", MEMBER)
            known = True
        except Refused as refused:
            if refused.status != 404:
                log.debug("a member cannot be looked up: %s", refused.sentence)
            known = False
        except ChatError as error:
            log.debug("a member cannot be looked up: %s", error.sentence)
            return False
        keep(self._members, (guild, user), (time.monotonic(), known))
        return known


def card(text: str, *, button: bool) -> dict[str, Any]:
    """The body of the card, with its button or without."""
    row = {"type": 1, "components": [{"type": 2, "style": 1, "label": BUTTON, "custom_id": LET_IN}]}
    return {"content": text, "components": [row] if button else [], "allowed_mentions": QUIET}


def whispered(text: str) -> dict[str, Any]:
    """An answer that only whoever pressed the button sees."""
    return {"type": 4, "data": {"content": text, "flags": 64, "allowed_mentions": QUIET}}
