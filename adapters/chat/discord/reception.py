"""Takes events in: adds what an event cannot tell by itself and hands them to core, each channel's in order.

The gateway does not wait for anybody: an event lies in memory until it is durable, and what did not get so far is fetched
again after a restart.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from adapters.chat.discord import inbound
from adapters.chat.discord.backfill import Backfill
from adapters.chat.discord.events import (
    Changed,
    Departure,
    Edit,
    Event,
    Guild,
    Interaction,
    Post,
    Ready,
    Removal,
    User,
)
from adapters.chat.discord.inbound import Me, Spot
from adapters.chat.discord.interactions import Interactions
from adapters.chat.discord.lanes import ROOM, Lanes
from adapters.chat.discord.places import Places
from adapters.chat.discord.rest import Rest
from adapters.chat.discord.seen import Seen
from adapters.chat.discord.servers import LET_IN, Servers
from core.errors import StoreError
from core.messages import Joined, Message
from core.ports import Accept

log = logging.getLogger(__name__)


class Reception:
    """`me` is who we are, `wrote` knows messages of ours, `accept` is core's, `beside` runs what nobody has to wait for."""

    def __init__(
        self,
        me: Me,
        *,
        rest: Rest,
        places: Places,
        servers: Servers,
        interactions: Interactions,
        wrote: Callable[[str], bool],
        seen: Seen,
        accept: Accept,
        beside: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._me = me
        self._rest = rest
        self._places = places
        self._servers = servers
        self._interactions = interactions
        self._wrote = wrote
        self._seen = seen
        self._accept = accept
        self._beside = beside
        self._lanes = Lanes(rest.times, beside)
        self._backfill = Backfill(rest, seen, self._lanes, self._handle, self._listens)
        self._there: set[str] = set()
        self._lost: dict[str, tuple[str, str]] = {}

    def take(self, event: Event) -> None:
        """An event of the gateway; returns at once."""
        match event:
            case Edit() if event.edited_timestamp and event.author and not event.author.bot:
                self._lanes.put(event.channel_id, lambda: self._edited(event))
            case Edit():
                pass  # a message of ours, or Discord put a link's picture below one
            case Post() if event.author is None or event.author.bot:
                self._seen.skip(event.id)
            case Post():
                self._post(event)
            case Removal():
                self._lanes.put(event.channel_id, lambda: self._removed(event))
            case Interaction():
                self._interaction(event)
            case Ready():
                self._there = {guild.id for guild in event.guilds}
                self._rest.buckets.reopen()
                self._backfill.gap()
            case Guild():
                self._guild(event)
            case Departure() if not event.unavailable:
                self._there.discard(event.id)
                self._lanes.put(event.id, lambda: self._servers.forget(event.id))
            case Changed():
                self._rest.buckets.reopen()
            case _:
                pass

    async def keep(self) -> None:
        """Note how far we have listened, now and then, and once more at the end."""
        times = self._rest.times
        try:
            while True:
                await asyncio.sleep(times.note)
                await self._note()
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._note()

    async def tidy(self) -> None:
        """Look after what has run out."""
        while True:
            await asyncio.sleep(self._rest.times.poll)
            await self._interactions.tidy()
            if self._lost and self._lanes.waiting < ROOM // 2:
                lost, self._lost = self._lost, {}
                for channel, (guild, message) in lost.items():
                    self._backfill.after(channel, guild, message)
                    self._seen.end(message)

    async def _visited(self, channel: str) -> None:
        """A direct message that is new to us is noted at once: nothing but the note leads there after a restart."""
        if self._seen.visit(channel):
            await self._note()

    async def _note(self) -> None:
        try:
            await self._seen.write()
        except StoreError as error:
            log.debug("how far we listened is noted later: %s", error.sentence)

    # Messages

    def _post(self, post: Post) -> None:
        self._rest.buckets.reopen(post.channel_id)
        if post.referenced_message is None and self._wrote(inbound.answered(post)):
            post.referenced_message = Post(channel_id=post.channel_id, author=User(self._me.id))
        known = self._places.known(post, self._me)
        aside = known is not None and known.guild and not known.parent
        if aside and known and not inbound.addressed(post, self._me, known):
            self._seen.skip(post.id)  # people among themselves
            return
        self._seen.begin(post.id)
        lost = post.channel_id in self._lost
        if not lost and self._lanes.put(post.channel_id, lambda: self._handle(post), lambda: self._seen.end(post.id)):
            return
        if not self._lost:
            log.warning("Discord: more messages wait than fit into memory; the newest are read again later")
        if lost:
            self._seen.end(post.id)  # the first that was lost holds the mark for those behind it
        else:
            self._lost[post.channel_id] = (post.guild_id or "", post.id)

    async def _handle(self, post: Post) -> None:
        """Accept one message, if it concerns us. Raises StoreError."""
        if post.author is None or post.author.bot:
            return
        spot = await self._places.find(post, self._me)
        message = inbound.message(post, self._me, spot)
        if message is None:
            if spot.parent and spot.ours and self._places.unheard(post):
                await self._servers.ask(spot.channel)
            return
        if spot.guild and not message.addressed:
            return
        vouched = await self._vouched(spot, post.author.id)
        if not spot.guild:
            await self._visited(spot.channel)
        elif spot.parent:
            message = await self._in_thread(message, spot)
        await self._accept(msgspec.structs.replace(message, vouched=vouched))

    async def _vouched(self, spot: Spot, user: str) -> bool:
        """Whether the sender belongs to a server that was let in; one that was not is asked for it."""
        vouched = await self._servers.vouches(spot.guild, user)
        if spot.guild and self._servers.pairing and not vouched:
            await self._servers.offer(spot.guild, spot.channel)
        return vouched

    async def _listens(self, guild: str, channel: str) -> bool:
        """Whether a channel of a server can hold something for us that can be read again."""
        return self._places.readable(guild, channel) and await self._servers.approved(guild)

    async def _in_thread(self, message: Message, spot: Spot) -> Message:
        """A thread in which we are addressed is ours from then on; at first we look at what it was made from."""
        if await self._places.owned(spot.channel):
            return message
        if not message.quoted:
            message = msgspec.structs.replace(message, quoted=await self._places.starter(spot, self._me))
        await self._places.own(spot.channel)
        return message

    async def _edited(self, edit: Edit) -> None:
        spot = await self._places.find(edit, self._me)
        event = inbound.edited(edit, self._me, spot)
        if event:
            vouched = await self._servers.vouches(spot.guild, event.message.sender.user)
            await self._accept(
                msgspec.structs.replace(event, message=msgspec.structs.replace(event.message, vouched=vouched))
            )

    async def _removed(self, removal: Removal) -> None:
        spot = await self._places.find(Post(channel_id=removal.channel_id, guild_id=removal.guild_id), self._me)
        for event in inbound.deleted(removal, self._me, spot):
            await self._accept(event)

    # Commands and buttons

    def _interaction(self, interaction: Interaction) -> None:
        if interaction.data and interaction.data.custom_id == LET_IN:
            self._beside(self._servers.pressed(interaction))
            return
        spot = inbound.spot_of(interaction)
        if spot is None or interaction.type not in {2, 3}:
            return
        event = f"i:{interaction.id}"
        if interaction.type == 2:
            self._interactions.expect(interaction, event, inbound.where(self._me, spot))
        self._beside(self._interactions.acknowledge(interaction, event))
        self._lanes.put(spot.channel, lambda: self._act(interaction, spot))

    async def _act(self, interaction: Interaction, spot: Spot) -> None:
        event = inbound.command(interaction, self._me, spot) or inbound.pressed(interaction, self._me, spot)
        if event is None:
            return
        vouched = await self._vouched(spot, event.sender.user)
        if not spot.guild:
            await self._visited(spot.channel)
        elif spot.parent:
            await self._places.own(spot.channel)
        await self._accept(msgspec.structs.replace(event, vouched=vouched))

    # Servers

    def _guild(self, guild: Guild) -> None:
        if guild.unavailable:
            return
        self._rest.buckets.reopen()
        if guild.id in self._there:
            self._backfill.server(guild)
        else:
            self._there.add(guild.id)
            self._lanes.put(guild.id, lambda: self._joined(guild))

    async def _joined(self, guild: Guild) -> None:
        """We are in a server that was not there before: somebody invited us, or nobody had told us of it."""
        if not await self._servers.approved(guild.id):
            await self._servers.offer(guild.id)
            return
        place = self._places.lounge(guild.id)
        if place and guild.owner_id and inbound.later(guild.joined_at, time.time() - self._rest.times.old):
            chat = inbound.where(self._me, Spot(place, guild.id))
            owner = inbound.account(guild.owner_id, self._me)
            event = f"joined:{guild.id}:{guild.joined_at}"
            await self._accept(Joined(event, chat, owner, guild.name or "", vouched=True))
