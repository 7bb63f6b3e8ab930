"""The accounts of ours that a process serves: which of them it holds, what it hears of them, what lies in their outboxes.

A process that delivers for an account looks into its outboxes first, and again whenever it may have missed what was told.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from functools import partial

import msgspec

from core import relay
from core.channels import Channels
from core.conversation import REPLY
from core.delivery import Delivery, Out
from core.errors import SealError, StoreError
from core.holding import Holding
from core.keys import lane_keys, tags
from core.mailbox import Mailbox, Outgoing
from core.messages import Reply
from core.notes import SPACE, Notes
from core.people import People
from core.places import Places, space_of
from core.ports import Chat
from core.store import Store
from core.words import words

log = logging.getLogger(__name__)

YOUNG = 10.0
"""Seconds in which a process that committed a reply sends it itself: nobody else looks at it meanwhile."""

_reply = msgspec.msgpack.Decoder(Reply)


class Accounts:
    """Those of one process."""

    def __init__(
        self,
        *,
        store: Store,
        people: People,
        mailbox: Mailbox,
        delivery: Delivery,
        places: Places,
        holding: Holding,
        channels: Channels,
        spawn: Callable[[Coroutine[None, None, None]], None],
    ) -> None:
        """`spawn` runs work that nobody waits for."""
        self._store = store
        self._people = people
        self._mailbox = mailbox
        self._delivery = delivery
        self._places = places
        self._holding = holding
        self._channels = channels
        self._spawn = spawn
        self.waits: dict[str, str] = {}
        """Platforms that another process serves, of which only one may; and which."""
        self.receiving: dict[str, asyncio.Task[None]] = {}
        """What receives from a platform."""
        self._chats: list[Chat] = []
        self._met: set[str] = set()
        """Platforms whose account of ours was known when we last looked."""
        self._joined: dict[str, int] = {}
        """Accounts that this process delivers for, and since when it does so without a break."""
        self._missed: dict[str, int] = {}
        """Accounts whose outboxes are to be looked into, and how often that was found."""
        self._joining = asyncio.Lock()
        self._closing = False

    async def serve(self, chats: list[Chat]) -> None:
        """This process serves these platforms. Raises StoreError."""
        self._chats = list(chats)
        for chat in chats:
            self._places.serve(chat)
        await self.hold()

    def close(self) -> None:
        """The program ends."""
        self._closing = True
        self._delivery.close()

    async def meet(self) -> None:
        """Take up accounts that have just become known. Raises StoreError."""
        if any(chat.space and chat.platform not in self._met for chat in self._chats):
            await self.hold()

    async def hold(self) -> None:
        """Deliver for the accounts of ours that are known and free; leave those that another process took."""
        async with self._joining:
            for chat in self._chats:
                if not chat.space:
                    continue
                space = space_of(chat)
                ours = chat.traits.stored or await self._holding.take(space)
                since = self._joined.get(space)
                if ours and since != self._holding.since(space):  # also where our lease ended unnoticed
                    await self._join(chat, space)
                elif since is not None and not ours:
                    await self._part(chat, space)
                self._met.add(chat.platform)

    async def _join(self, chat: Chat, space: str) -> None:
        """Deliver for an account from now on. What its outboxes hold was left by a process that ended."""
        self._catch_up(space, young=True)
        self._delivery.join(chat)
        since = self._holding.since(space)
        if not self._holding.alone:
            await self._places.tell(chat)
            outboxes, partials = _channels(space)
            await self._channels.hear(outboxes, partial(self._committed, space), partial(self._catch_up, space))
            await self._channels.hear(partials, self._grown, lambda: None)
        await Notes(self._store, self._people, chat.platform).write(chat.space.encode(), SPACE)
        self._joined[space] = since

    async def _part(self, chat: Chat, space: str) -> None:
        """Another process took the account, while this one stood still or was cut off."""
        log.warning("%s is served by another process now: %s", chat.traits.label, self._holding.others.get(space, ""))
        self._delivery.part(space)
        del self._joined[space]
        for channels in _channels(space):
            await self._channels.leave(channels)
        if chat.traits.sole and (receiving := self.receiving.get(chat.platform)):
            receiving.cancel()

    async def _committed(self, space: str, told: bytes) -> None:
        """Another process has put a reply into an outbox of ours (core/scripts/mailbox.lua, put)."""
        lane, turn, owner, outbox = (told[a:b].decode().rstrip() for a, b in ((0, 32), (32, 64), (64, 96), (96, 136)))
        waiting = Outgoing(outbox, lane_keys(lane), owner, turn, told[136:], sending=False)
        if not self._delivery.on_way(turn) and (out := await self._opened(space, waiting, doubtful=False)):
            self._delivery.deliver(out)

    async def _grown(self, told: bytes) -> None:
        """A reply grows in another process."""
        grown = relay.read(told)
        growing = relay.opened(grown, await self._people.opened(grown.owner))
        if self._delivery.holds(growing.chat) and not self._delivery.on_way(growing.turn):
            unsure = growing.again or self._delivery.unsure(growing.chat, grown.at)
            await self._delivery.mirrors.show(lane_keys(grown.lane), growing, grown.shown, unsure=unsure)

    async def turn_to_receive(self, chat: Chat) -> None:
        """Wait while another process receives for this account of ours."""
        space, patience = space_of(chat), self._mailbox.rules.lease / 1000 + 2.0
        begun = time.monotonic()
        while not self._holding.holds(space):
            # one that was killed holds its lease for a while
            if (other := self._holding.others.get(space)) and time.monotonic() - begun > patience:
                sentence = words("another_receives", other=other.partition(" (")[0])
                if self.waits.get(chat.platform) != sentence:
                    log.warning("%s: %s", chat.traits.label, sentence)
                self.waits[chat.platform] = sentence
            await asyncio.sleep(0.1)
        self.waits.pop(chat.platform, None)

    def recover(self, *, young: bool = False) -> None:
        """Look for what was committed and never delivered, because the store was away."""
        for space in self._delivery.spaces():
            self._catch_up(space, young=young)

    def _catch_up(self, space: str, *, young: bool = False) -> None:
        """Deliver what lies in the outboxes of an account of ours and was not told, or not heard, before all that follows."""
        self._delivery.hold_back(space)
        self._missed[space] = self._missed.get(space, 0) + 1
        if self._missed[space] == 1:
            self._spawn(self._caught_up(space, young=young))

    async def _caught_up(self, space: str, *, young: bool) -> None:
        left: list[Out] = []
        looked = 0
        try:
            while looked != self._missed[space] and space in self._delivery.spaces():
                looked = self._missed[space]
                try:
                    left = await self._left(space, young=young)
                except StoreError as error:
                    log.warning("%s", error.sentence)
                    if self._closing:
                        break
                    looked = 0
                    await asyncio.sleep(1.0)
        finally:
            del self._missed[space]
        self._delivery.go_on(space, left)

    async def _left(self, space: str, *, young: bool) -> list[Out]:
        """Replies in the outboxes of an account of ours; without `young` those are spared that their own process is about to
        send.
        """
        found = []
        for waiting in await self._mailbox.outbox(space):
            if self._delivery.on_way(waiting.turn) or (waiting.sending and not young and waiting.age() < YOUNG):
                continue
            if out := await self._opened(space, waiting, doubtful=True):
                found.append(out)
        return found

    async def _opened(self, space: str, waiting: Outgoing, *, doubtful: bool) -> Out | None:
        try:
            box = await self._people.opened(waiting.owner)
            reply = _reply.decode(box.open(waiting.reply, REPLY))
        except (SealError, msgspec.DecodeError):
            await self._mailbox.sent(waiting.lane, waiting.turn, space, {"0": "forgotten"}, waiting.id)
            return None
        return Out(waiting.lane, waiting.id, reply, doubtful=doubtful, far=not waiting.sending)


def _channels(space: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those of an account of ours: of replies that are ready, and of replies that grow."""
    return tuple(f"{tag}:out:{space}" for tag in tags()), tuple(f"{tag}:part:{space}" for tag in tags())
