"""Where a channel belongs, whose thread it is, who rules a server: from what the library keeps, from our notes, from Discord."""

import logging
from collections import OrderedDict
from typing import Any

import discord
import msgspec

from adapters.chat.discord import inbound
from adapters.chat.discord.events import Channel, Post
from adapters.chat.discord.failures import Refused
from adapters.chat.discord.gateway import Gateway
from adapters.chat.discord.inbound import Me, Spot
from adapters.chat.discord.rest import CHANNEL, POST, Rest
from adapters.recent import keep
from core.errors import ChatError
from core.notes import Notes

log = logging.getLogger(__name__)

THREADS = (10, 11, 12)


class Places:
    """The channels of one bot."""

    def __init__(self, rest: Rest, notes: Notes, gateway: Gateway) -> None:
        self._rest = rest
        self._notes = notes
        self._gateway = gateway
        self._asked: OrderedDict[str, Channel] = OrderedDict()
        self._noted: OrderedDict[str, bool] = OrderedDict()

    def known(self, post: Post, me: Me) -> Spot | None:
        """Where a message stands, as far as it is known without asking anybody; None where it is not."""
        if not post.guild_id:
            return Spot(post.channel_id)
        guild = self.guild(post.guild_id)
        channel = guild.get_channel_or_thread(_number(post.channel_id)) if guild else None
        if guild is None or (channel is None and post.channel_id not in self._asked):
            return None
        parent, owner = _thread(channel) if channel else _asked(self._asked[post.channel_id])
        role = guild.self_role
        return Spot(
            post.channel_id,
            post.guild_id,
            parent,
            ours=bool(parent) and (owner == me.id or self._noted.get(post.channel_id, False)),
            role=str(role.id) if role else "",
            admin=_rules(guild, post),
            names=_names(guild, post),
        )

    async def find(self, post: Post, me: Me) -> Spot:
        """Where a message stands. Raises StoreError."""
        spot = self.known(post, me)
        if spot is None:
            try:
                asked = await self._rest.call("GET", f"/channels/{post.channel_id}", CHANNEL)
            except (Refused, ChatError) as error:
                log.debug("a channel cannot be looked up: %s", error.sentence)
                return Spot(post.channel_id, post.guild_id or "")
            keep(self._asked, post.channel_id, asked)
            spot = self.known(post, me)
            if spot is None:  # a server that we were not told of yet
                parent, owner = _asked(asked)
                spot = Spot(post.channel_id, post.guild_id or "", parent, ours=bool(parent) and owner == me.id)
        if spot.parent and not spot.ours and await self.owned(post.channel_id):
            return msgspec.structs.replace(spot, ours=True)
        return spot

    async def owned(self, thread: str) -> bool:
        """Whether we noted this thread as ours. Raises StoreError."""
        if thread not in self._noted:
            ours = bool(await self._notes.read("thread", thread))
            if ours:  # a note ends by itself where nobody talks any more
                await self._notes.write(b"1", "thread", thread)
            keep(self._noted, thread, ours)
        return self._noted[thread]

    async def own(self, thread: str) -> None:
        """From now on, what is said in this thread is said to us. Raises StoreError."""
        await self._notes.write(b"1", "thread", thread)
        keep(self._noted, thread, True)

    async def starter(self, spot: Spot, me: Me) -> str:
        """The text of the message from which a thread was made; "" where it was made from none."""
        try:
            post = await self._rest.call("GET", f"/channels/{spot.parent}/messages/{spot.channel}", POST)
        except (Refused, ChatError) as error:
            log.debug("no message at the head of a thread: %s", error.sentence)
            return ""
        return inbound.cleaned(inbound.text_of(post), post, me, spot)[: inbound.QUOTE_CAP]

    def unheard(self, post: Post) -> bool:
        """Whether a message seems empty because its content is kept from us."""
        return bool(self._gateway.lack) and post.type in {0, 19} and not post.content

    def guild(self, guild: str) -> discord.Guild | None:
        """A server, as the library keeps it."""
        line = self._gateway.line
        return line.get_guild(_number(guild)) if line else None

    def guilds(self) -> list[str]:
        """The servers that we are in."""
        line = self._gateway.line
        return [str(guild.id) for guild in line.guilds] if line else []

    def readable(self, guild: str, channel: str) -> bool:
        """Whether what was said in a channel can be read again; asking in vain would be held against us."""
        kept = self.guild(guild)
        found = kept.get_channel_or_thread(_number(channel)) if kept else None
        if kept is None or found is None or kept.me is None:  # the library says None, whatever its types say
            return True
        allowed = found.permissions_for(kept.me)
        return allowed.view_channel and allowed.read_message_history

    def lounge(self, guild: str, wanted: str = "") -> str:
        """A channel of a server in which we may write: the wanted one, its own for such news, else the first; "" if none."""
        kept = self.guild(guild)
        if kept is None:
            return wanted
        if wanted:
            return wanted
        mine = kept.me
        channels = ([kept.system_channel] if kept.system_channel else []) + list(kept.text_channels)
        for channel in channels:
            allowed = channel.permissions_for(mine) if mine else None
            if allowed is None or (allowed.view_channel and allowed.send_messages):
                return str(channel.id)
        return ""


def _thread(channel: Any) -> tuple[str, str]:
    """The channel that a thread belongs to, and who made it; "" for what is no thread."""
    return (str(channel.parent_id), str(channel.owner_id)) if isinstance(channel, discord.Thread) else ("", "")


def _asked(channel: Channel) -> tuple[str, str]:
    return (channel.parent_id or "", channel.owner_id or "") if channel.type in THREADS else ("", "")


def _rules(guild: discord.Guild, post: Post) -> bool:
    if post.author and _number(post.author.id) == guild.owner_id:
        return True
    roles = (guild.get_role(_number(role)) for role in (post.member.roles if post.member else ()))
    return any(role and (role.permissions.administrator or role.permissions.manage_guild) for role in roles)


def _names(guild: discord.Guild, post: Post) -> dict[str, str]:
    answered = post.referenced_message
    wanted = inbound.ids(post.content) + (inbound.ids(answered.content) if answered else [])
    found = {one: guild.get_channel_or_thread(_number(one)) or guild.get_role(_number(one)) for one in wanted}
    return {one: thing.name for one, thing in found.items() if thing}


def _number(snowflake: str) -> int:
    return int(snowflake) if snowflake.isdecimal() else 0
