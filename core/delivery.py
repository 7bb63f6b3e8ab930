"""From a reply to what people see: exactly one visible final, whatever breaks in between.

A lane's replies leave one after the other. Before a part is sent, the store notes `sending`; after it, the platform's
id. A part found in doubt (we died, or the answer of the platform got lost) is settled by the platform's own means where
it has one (a key, a look-up, an edit of the message that is there); else it is sent again with a first line that says so.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine

import msgspec

from core.apart import apart
from core.channels import Channels
from core.errors import (
    ChatBusy,
    ChatGone,
    ChatRefusedToken,
    ChatRejected,
    ChatUnreachable,
    StoreAway,
    StoreError,
    StoreFull,
    traced,
)
from core.holding import Holding
from core.keys import Lane
from core.live import Live
from core.mailbox import Begun, Mailbox
from core.messages import ChatRef, Partial, Reply
from core.pace import Pace
from core.places import space_of
from core.ports import Chat, Part
from core.relay import SHOWN, TRIED, Marks, Mirrors, Relay
from core.running import Pages
from core.seal import Box
from core.words import words

log = logging.getLogger(__name__)

SENDING = "sending"
UNSENT = ""
"""It was to be sent, and surely was not."""
PATIENCE = 5.0
"""Seconds that a delivery may still wait for its platform when the program ends."""
TRIES = 3
"""Looks at the outbox that a reply gets when its delivery fails in a way that nobody foresaw."""
DONE = 1_000
"""Delivered replies that are kept in mind."""
OLD = 15 * 60 * 1000
"""Milliseconds after which a reply says that it was held up."""


class Out(msgspec.Struct, frozen=True):
    """A reply on its way: `outbox` is its entry, `doubtful` that another process may have begun to send it, `far` that
    another process committed it.
    """

    lane: Lane
    outbox: str
    reply: Reply
    doubtful: bool = False
    far: bool = False


class _Lost(Exception):
    """Another process delivers here now."""


class Delivery:
    """The last mile to the platforms that this process holds."""

    def __init__(
        self,
        mailbox: Mailbox,
        spawn: Callable[[Coroutine[None, None, None]], None],
        *,
        pace: Pace,
        holding: Holding,
        channels: Channels,
        digest: Callable[[str], str],
    ) -> None:
        """`digest` names words, and tells nothing of them."""
        self._digest = digest
        self._mailbox = mailbox
        self._pace = pace
        self._spawn = spawn
        self._holding = holding
        self._channels = channels
        self.mirrors = Mirrors(mailbox, self._mirrored, self._since, spawn)
        self._chats: dict[str, Chat] = {}
        self._queues: dict[str, deque[Out]] = {}
        self._on_way: set[str] = set()
        self._late: dict[str, dict[str, Out]] = {}
        """Accounts of ours in whose outboxes somebody looks for what was missed, and the replies that wait for that."""
        self._failed: dict[str, int] = {}
        self._done: OrderedDict[str, None] = OrderedDict()
        """Replies of other processes that were delivered just now: they may be told of once more, from the outbox or late."""
        self._left: set[str] = set()
        """Lanes one of whose replies is left to the next process: what follows it must not overtake it."""
        self._ending = asyncio.Event()
        self._leaving = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def join(self, chat: Chat) -> None:
        """This process delivers for an account of ours from now on."""
        self._chats[space_of(chat)] = chat
        if not self._ending.is_set():
            self._left.clear()

    def part(self, space: str) -> None:
        """Another process delivers for it from now on."""
        self._chats.pop(space, None)
        self._late.pop(space, None)
        self._rest()

    def chat(self, ref: ChatRef) -> Chat | None:
        """The adapter of a place, where this process delivers there."""
        chat = self._chats.get(space_of(ref))
        return chat if chat and (chat.traits.stored or self._holding.holds(space_of(ref))) else None

    def live(self, begun: Begun, box: Box, partial: Partial, pages: Pages) -> Live | Relay:
        """The previews of one turn, also where another process shows them."""
        chat = self.chat(partial.chat)
        if chat is None:
            return Relay(self._channels, begun, box, partial, pages.shown)
        return self._live(chat, begun.lane, partial, pages)

    def _mirrored(self, lane: Lane, partial: Partial, marks: Marks) -> Live:
        return self._live(self._held(partial.chat), lane, partial, marks)

    def _live(self, chat: Chat, lane: Lane, partial: Partial, pages: Pages | Marks) -> Live:
        since = self._since(partial.chat)
        return Live(
            chat,
            partial,
            pages,
            self._pace,
            self._digest,
            behind=lambda: lane.id in self._queues or lane.id in self._left or space_of(partial.chat) in self._late,
            held=lambda: self.holds(partial.chat) and self._since(partial.chat) == since,
        )

    def _held(self, ref: ChatRef) -> Chat:
        chat = self.chat(ref)
        if chat is None:
            raise _Lost
        return chat

    def unsure(self, ref: ChatRef, at: int) -> bool:
        """Whether another process may have shown something of a turn that began at this time (ms)."""
        return at < self._since(ref)

    def _since(self, ref: ChatRef) -> int:
        return self._holding.since(space_of(ref))

    def spaces(self) -> list[str]:
        """The accounts of ours that this process delivers for, as keys name them."""
        return list(self._chats)

    def holds(self, ref: ChatRef) -> bool:
        """Whether this process delivers to a place."""
        return self.chat(ref) is not None

    def on_way(self, turn: str) -> bool:
        """Whether this process delivers the reply of a turn, or just did. (Ids of outbox entries repeat across shards.)"""
        return turn in self._on_way or turn in self._done

    def deliver(self, out: Out) -> None:
        """Send a reply after the lane's earlier ones; returns at once."""
        if self.on_way(out.reply.turn):
            return
        if (late := self._late.get(space_of(out.reply.chat))) is not None:
            late.setdefault(out.reply.turn, out)
            return
        self._on_way.add(out.reply.turn)
        self._idle.clear()
        queue = self._queues.get(out.lane.id)
        if queue is not None:
            queue.append(out)
            return
        self._queues[out.lane.id] = deque((out,))
        self._spawn(self._empty(out.lane.id))

    def hold_back(self, space: str) -> None:
        """From now on replies of an account wait: some may lie in its outboxes that come before them."""
        self._late.setdefault(space, {})
        self._idle.clear()

    def go_on(self, space: str, left: list[Out]) -> None:
        """Send what was found in the outboxes, then what waited meanwhile."""
        late = self._late.pop(space, {})
        for out in left:
            self.deliver(late.pop(out.reply.turn, out))
        for out in late.values():
            self.deliver(out)
        self._rest()

    def _rest(self) -> None:
        if not self._queues and not self._late:
            self._idle.set()

    def close(self) -> None:
        """The program ends: what waits long for its platform is left to the next process."""
        self._ending.set()

    async def settled(self) -> None:
        """Wait until nothing is on its way."""
        await self._idle.wait()

    async def leave(self) -> None:
        """Wait a moment more for what is on its way; then leave all that is not under way just now to the next process."""
        for _ in range(2):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await self.settled()
            self._leaving.set()

    async def _empty(self, lane: str) -> None:
        queue = self._queues[lane]
        while queue:
            out = queue[0]
            if self._leaving.is_set():
                self._left.add(lane)
            try:
                if lane not in self._left:
                    await self._send(out)
                    self._failed.pop(out.reply.turn, None)
                    self._remember(out)
                elif self._ending.is_set() and not (out.doubtful or out.far):
                    await self._note(out, {"0": UNSENT})
            except _Lost:  # whoever delivers here now finds it in the outbox, and all that follows it
                self._left.add(lane)
            except ChatUnreachable as error:  # the program ends, and the next one finds all of it in the outbox
                log.warning("delivery to %s: %s", out.reply.chat.platform, error.sentence)
                self._left.add(lane)
            except StoreError as error:
                log.warning("delivery to %s: %s", out.reply.chat.platform, error.sentence)
                queue[0] = msgspec.structs.replace(out, doubtful=True)
                await asyncio.sleep(1.0)
                continue
            except Exception as error:  # noqa: BLE001 - the lane's later replies must go out
                log.error("delivery to %s failed: %s", out.reply.chat.platform, traced(error))  # noqa: TRY400 - a trace would hold what people said
                await self._give_up(out)
            queue.popleft()
            self._on_way.discard(out.reply.turn)
        del self._queues[lane]
        self._rest()

    def _remember(self, out: Out) -> None:
        if out.far:
            self._done[out.reply.turn] = None
            while len(self._done) > DONE:
                self._done.popitem(last=False)

    async def _give_up(self, out: Out) -> None:
        """Take a reply that fails again and again off the outbox: sent for ever, it may be seen for ever."""
        turn = out.reply.turn
        self._failed[turn] = self._failed.get(turn, 0) + 1
        if self._failed[turn] < TRIES:
            return
        with contextlib.suppress(StoreError):
            await self._mailbox.sent(out.lane, turn, space_of(out.reply.chat), {"0": "failed"}, out.outbox)
            del self._failed[turn]

    async def _send(self, out: Out) -> None:
        reply, known = await self._settled(out)
        parts = await apart(len(reply.text), self._held(reply.chat).parts, reply)
        done: dict[str, str] = {}
        for number, part in enumerate(parts):
            name = str(number)
            doubt = known.get(name)
            if doubt is not None and doubt not in (SENDING, UNSENT):
                continue  # an earlier process got this part through
            if number or out.doubtful or out.far:
                await self._note(out, {**done, name: SENDING})
                done = {}
            try:
                last = number == len(parts) - 1
                in_doubt = doubt == SENDING or (reply.copied and not number)
                done[name] = await self._part(reply, part, number, last=last, in_doubt=in_doubt)
            except ChatGone as error:
                log.info("%s: %s", reply.chat.platform, error.sentence)
                break
            except ChatRejected as error:
                log.error("%s does not take a part of a reply: %s", reply.chat.platform, error.sentence)  # noqa: TRY400 - as above
                done[name] = "refused"
            except ChatUnreachable as error:  # the program ends
                if not error.arrived:
                    await self._note(out, {**done, name: UNSENT})
                raise
        await self._note(out, done, out.outbox)

    async def _settled(self, out: Out) -> tuple[Reply, dict[str, str]]:
        """The reply with all that is known of what people see of it already, and the fate of its parts."""
        reply, live = out.reply, None
        if out.far:
            self._held(reply.chat)
            live = await self.mirrors.end(reply.turn, reply.chat)
        doubt = out.doubtful
        # a turn that began while we deliver here, and that was never shown from here, nobody has shown or sent
        if out.far and live is None and not self._held(reply.chat).traits.stored:  # else each has its own onlookers
            doubt = doubt or reply.again or self.unsure(reply.chat, reply.at)
        known = await self._mailbox.parts(out.lane, reply.turn) if doubt else {}
        shown, tried = known.pop(SHOWN, ""), known.pop(TRIED, "")
        if out.far:
            shown, tried = reply.shown or (live.shown if live else shown), live.doubt if live else tried
            copied = not shown and tried == self._digest(reply.text)
            reply = msgspec.structs.replace(reply, shown=shown, again=False, copied=copied)
        if doubt and not reply.shown:
            reply = msgspec.structs.replace(reply, again=True)
        if out.doubtful and _age(reply) > OLD and not any(fate not in (SENDING, UNSENT) for fate in known.values()):
            reply = msgspec.structs.replace(reply, text=f"{words('held_up')}\n\n{reply.text}")
        return reply, known

    async def _note(self, out: Out, parts: dict[str, str], outbox: str = "") -> None:
        """Note the fate of parts. While the store is away it is kept in mind, or people would see them again."""
        while True:
            try:
                await self._mailbox.sent(out.lane, out.reply.turn, space_of(out.reply.chat), parts, outbox)
            except (StoreAway, StoreFull) as error:
                log.warning("a delivered reply waits for the store: %s", error.sentence)
                await asyncio.sleep(0.5)
            else:
                return

    async def _part(self, reply: Reply, part: Part, number: int, *, last: bool, in_doubt: bool) -> str:
        key = f"{reply.turn}:{number}"
        edit = reply.shown if number == 0 else ""
        tries, plain, arrived = 0, part, in_doubt
        while True:
            chat = self._held(reply.chat)
            try:
                if in_doubt and not edit:
                    if chat.traits.readback == "lookup" and (found := await chat.find(reply, key)):
                        return found
                    if chat.traits.readback == "none":
                        part = msgspec.structs.replace(part, body=f"{words('sent_again')}\n\n{plain.body}")
                        in_doubt = False
                if wait := await self._pace.final(chat.traits, reply.chat):
                    await self._pause(wait, arrived=arrived)
                chat = self._held(reply.chat)  # looked up again at last: we may have stood still meanwhile
                return await chat.send(reply, part, key=key, edit=edit, last=last)
            except ChatBusy as error:
                await self._pace.hold(chat.traits, reply.chat, error.retry_after)
                await self._pause(error.retry_after, arrived=arrived)
            except ChatUnreachable as error:
                in_doubt = in_doubt or error.arrived
                arrived = arrived or error.arrived
                tries += 1
                await self._pause(min(30.0, 0.25 * 2 ** min(tries, 8)) * random.uniform(0.8, 1.2), arrived=arrived)
            except ChatRefusedToken as error:
                log.error("%s", error.sentence)  # noqa: TRY400 - the sentence says all; a trace would not help
                await self._pause(60.0, arrived=arrived)

    async def _pause(self, seconds: float, *, arrived: bool) -> None:
        """Wait before the next try. Raises ChatUnreachable when the program ends before it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await (self._ending if seconds >= PATIENCE else self._leaving).wait()
                raise ChatUnreachable("The program ends; the reply waits in the outbox.", arrived=arrived)


def _age(reply: Reply) -> float:
    return time.time() * 1000 - reply.at
