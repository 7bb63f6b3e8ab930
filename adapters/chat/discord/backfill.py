"""Makes up for what was said while nobody listened: after a restart, and when a session could not be resumed.

Each channel's own lane fetches what it missed, before what comes in meanwhile; only what is a quarter of an hour old at most.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable

import msgspec

from adapters.chat.discord.events import Channel, Guild, Post
from adapters.chat.discord.failures import Refused
from adapters.chat.discord.lanes import Lanes
from adapters.chat.discord.rest import POSTS, Rest, pause
from adapters.chat.discord.seen import FIRST, Seen, moment
from core.errors import ChatBusy, ChatError

log = logging.getLogger(__name__)

PAGE, PAGES = 100, 5
SIDE_BY_SIDE = 4
MOST = 50
"""Channels of one server."""
TRIES = 3

_POST = msgspec.json.Decoder(Post)
_TEXT = (0, 2, 5, 10, 11, 12, 13)
"""Channels in which people write."""

Handle = Callable[[Post], Awaitable[None]]


class Backfill:
    """`handle` takes a message as if it had just come, `wanted` says whether a channel of a server concerns us."""

    def __init__(
        self, rest: Rest, seen: Seen, lanes: Lanes, handle: Handle, wanted: Callable[[str, str], Awaitable[bool]]
    ) -> None:
        self._rest = rest
        self._seen = seen
        self._lanes = lanes
        self._handle = handle
        self._wanted = wanted
        self._since = 0
        self._few = asyncio.Semaphore(SIDE_BY_SIDE)

    def gap(self) -> None:
        """A new session begins: look where people write to us alone. Servers tell of themselves a moment later."""
        self._since = self._seen.mark
        self._seen.start()
        if self._since:
            for place in self._seen.places:
                self._put(place, "", self._since)

    def server(self, guild: Guild) -> None:
        """A server tells of its channels: look into those in which something was said since."""
        if not self._since:
            return
        found = [one for one in (*(guild.channels or ()), *(guild.threads or ())) if self._newer(one)]
        found.sort(key=lambda one: int(one.last_message_id or 0), reverse=True)
        for channel in found[:MOST]:
            self._put(channel.id, guild.id, self._since)

    def after(self, channel: str, guild: str, message: str) -> None:
        """There was no room for a message, and for those that follow it."""
        self._put(channel, guild, int(message) - 1)

    def _newer(self, channel: Channel) -> bool:
        last = channel.last_message_id or ""
        return channel.type in _TEXT and last.isdecimal() and int(last) > self._since

    def _put(self, channel: str, guild: str, since: int) -> None:
        missed = Missed(channel, guild, since)

        async def fetch() -> None:
            if not guild or await self._wanted(guild, channel):
                await self._fetch(missed)

        first = str(since + 1)
        self._seen.begin(first)  # until it is done, nothing beyond is taken for heard
        if not self._lanes.put(channel, fetch, lambda: self._seen.end(first)):
            self._seen.end(first)

    async def _fetch(self, missed: "Missed") -> None:
        for _ in range(PAGES):
            posts = await self._page(missed)
            for post in posts:
                await self._handle(post)
                missed.after = max(missed.after, int(post.id))
            if len(posts) < PAGE:
                return

    async def _page(self, missed: "Missed") -> list[Post]:
        """The next messages, oldest first; none where they cannot be had."""
        oldest = moment(time.time() - self._rest.times.old) if missed.after >= FIRST else 0
        after = max(missed.after, oldest)
        query = {"after": str(after), "limit": str(PAGE)}
        for failures in range(1, TRIES + 1):
            try:
                async with self._few:
                    raw = await self._rest.call("GET", f"/channels/{missed.channel}/messages", POSTS, query=query)
                break
            except Refused as refused:
                log.debug("what was missed cannot be read: %s", refused.sentence)
                return []
            except ChatError as error:
                log.debug("what was missed: %s", error.sentence)
                wait = error.retry_after if isinstance(error, ChatBusy) else pause(failures, self._rest.times)
                await asyncio.sleep(wait * random.uniform(1.0, 1.2))
        else:
            log.warning("Discord: what was said in a channel meanwhile could not be read")
            return []
        posts = [post for post in (_read(one) for one in raw) if post is not None and post.id.isdecimal()]
        if missed.guild:
            for post in posts:
                post.guild_id = missed.guild
        return sorted(posts, key=lambda post: int(post.id))


class Missed(msgspec.Struct):
    """A channel, and the message after which to read on."""

    channel: str
    guild: str
    after: int


def _read(raw: msgspec.Raw) -> Post | None:
    try:
        return _POST.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        log.debug("a message that was missed cannot be read")
        return None
