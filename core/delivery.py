"""From a reply to what people see: previews while it grows, then exactly one visible final, whatever breaks in between.

A lane's replies leave one after the other. Before a part is sent, the store notes `sending`; after it, the platform's
id. A part found in doubt (we died, or the answer of the platform got lost) is settled by the platform's own means where
it has one (a key, a look-up, an edit of the message that is there); else it is sent again with a first line that says so.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Coroutine

import msgspec

from core.errors import ChatBusy, ChatError, ChatGone, ChatRefusedToken, ChatRejected, ChatUnreachable, StoreError
from core.keys import Lane
from core.mailbox import Mailbox
from core.messages import ChatRef, Partial, Reply
from core.ports import Chat, Part
from core.running import Pages
from core.words import words

log = logging.getLogger(__name__)

SENDING = "sending"
TYPING_AFTER = 0.12
"""Seconds: a reply that is there sooner needs no sign of life."""
TYPING_EVERY = 4.5
REFRESH = 20.0
"""Seconds after which a preview is shown again: where it vanishes by itself, it does so after half a minute."""
OLD = 15 * 60 * 1000
"""Milliseconds after which a reply says that it was held up."""


class Out(msgspec.Struct, frozen=True):
    """A reply on its way: `outbox` is its entry, `doubtful` that another process may have begun to send it."""

    lane: Lane
    outbox: str
    reply: Reply
    doubtful: bool = False


class Delivery:
    """The last mile to the platforms that this process holds."""

    def __init__(self, mailbox: Mailbox, spawn: Callable[[Coroutine[None, None, None]], None]) -> None:
        self._mailbox = mailbox
        self._spawn = spawn
        self._chats: dict[tuple[str, str], Chat] = {}
        self._queues: dict[str, deque[Out]] = {}
        self._on_way: set[str] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    def join(self, chat: Chat) -> None:
        """A platform is held by this process."""
        self._chats[chat.platform, chat.space] = chat

    def chat(self, ref: ChatRef) -> Chat | None:
        """The adapter of a place, where this process holds it."""
        return self._chats.get((ref.platform, ref.space))

    def spaces(self) -> list[str]:
        """The accounts of ours that this process holds, as keys name them."""
        return [f"{platform}:{space}" for platform, space in self._chats]

    def holds(self, ref: ChatRef) -> bool:
        """Whether this process delivers to a place."""
        return (ref.platform, ref.space) in self._chats

    def on_way(self, turn: str) -> bool:
        """Whether this process is delivering the reply of a turn already. (Ids of outbox entries repeat across shards.)"""
        return turn in self._on_way

    def deliver(self, out: Out) -> None:
        """Send a reply after the lane's earlier ones; returns at once."""
        if out.reply.turn in self._on_way:
            return
        self._on_way.add(out.reply.turn)
        self._idle.clear()
        queue = self._queues.get(out.lane.id)
        if queue is not None:
            queue.append(out)
            return
        self._queues[out.lane.id] = deque((out,))
        self._spawn(self._empty(out.lane.id))

    async def settled(self) -> None:
        """Wait until nothing is on its way."""
        await self._idle.wait()

    async def _empty(self, lane: str) -> None:
        queue = self._queues[lane]
        while queue:
            out = queue[0]
            try:
                await self._send(out)
            except StoreError as error:
                # Delivered or not, the outbox keeps it: the next look at the outbox settles it.
                log.warning("delivery: %s", error.sentence)
            except ChatError as error:
                log.warning("delivery to %s: %s", out.reply.chat.platform, error.sentence)
            except Exception:
                log.exception("delivery to %s failed", out.reply.chat.platform)
            queue.popleft()
            self._on_way.discard(out.reply.turn)
        del self._queues[lane]
        if not self._queues:
            self._idle.set()

    async def _send(self, out: Out) -> None:
        chat = self._chats[out.reply.chat.platform, out.reply.chat.space]
        reply, lane = out.reply, out.lane
        space = space_of(reply.chat)
        known = await self._mailbox.parts(lane, reply.turn) if out.doubtful else {}
        if out.doubtful and _age(reply) > OLD:
            reply = msgspec.structs.replace(reply, text=f"{words('held_up')}\n\n{reply.text}")
        parts = chat.parts(reply)
        done: dict[str, str] = {}
        for number, part in enumerate(parts):
            name = str(number)
            doubt = known.get(name)
            if doubt is not None and doubt != SENDING:
                continue  # an earlier process got this part through
            if number or out.doubtful:
                await self._mailbox.sent(lane, reply.turn, space, {**done, name: SENDING})
                done = {}
            try:
                last = number == len(parts) - 1
                done[name] = await self._part(reply, part, number, last=last, in_doubt=doubt == SENDING)
            except ChatGone as error:
                log.info("%s: %s", reply.chat.platform, error.sentence)
                break
            except ChatRejected as error:
                log.error("%s does not take a part of a reply: %s", reply.chat.platform, error.sentence)  # noqa: TRY400 - as above
                done[name] = "refused"
        await self._mailbox.sent(lane, reply.turn, space, done, out.outbox)

    async def _part(self, reply: Reply, part: Part, number: int, *, last: bool, in_doubt: bool) -> str:
        chat = self._chats[reply.chat.platform, reply.chat.space]
        key = f"{reply.turn}:{number}"
        edit = reply.shown if number == 0 else ""
        tries, plain = 0, part
        while True:
            if in_doubt and not edit:
                if chat.traits.readback == "lookup" and (found := await chat.find(reply, key)):
                    return found
                if chat.traits.readback == "none":
                    part = msgspec.structs.replace(part, body=f"{words('sent_again')}\n\n{plain.body}")
                    in_doubt = False
            try:
                return await chat.send(reply, part, key=key, edit=edit, last=last)
            except ChatBusy as error:
                await asyncio.sleep(error.retry_after)
            except ChatUnreachable as error:
                in_doubt = in_doubt or error.arrived
                tries += 1
                await asyncio.sleep(min(30.0, 0.25 * 2 ** min(tries, 8)) * random.uniform(0.8, 1.2))
            except ChatRefusedToken as error:
                log.error("%s", error.sentence)  # noqa: TRY400 - the sentence says all; a trace would not help
                await asyncio.sleep(60.0)


class Live:
    """The previews of one turn: typing first, then the growing text, no faster than the platform likes.

    At most one call is under way; a preview that fails never fails the turn.
    """

    def __init__(self, chat: Chat | None, partial: Partial, pages: Pages) -> None:
        """`chat` is None where another process holds the platform: then nothing is shown from here."""
        self._chat = chat
        self._partial = partial
        self._pages = pages
        traits = chat.traits if chat else None
        private = partial.chat.private
        self._every = (traits.preview_every if private else traits.preview_group_every) if traits else 1.0
        self._delay = 0.05 if private else 0.4
        self._from = traits.preview_from if traits else 1
        self._text = ""
        self._doing = ""
        self._seen: Partial | None = None
        self._seen_at = 0.0
        self._changed = asyncio.Event()
        self.shown = pages.shown
        """The message that the final must edit, where the platform shows previews as one."""

    def show(self, text: str, doing: str) -> None:
        """The whole text so far, and what is being done."""
        self._text = text
        self._doing = doing
        if not self._changed.is_set():
            self._changed.set()

    async def run(self) -> None:
        """Show until cancelled; a call that is under way is finished first, so that nothing overtakes the final."""
        if self._chat is None:
            return
        typing = asyncio.create_task(self._typing(self._chat))
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(REFRESH):
                        await self._changed.wait()
                await asyncio.sleep(self._delay)
                self._delay = 0.0
                self._changed.clear()
                partial = msgspec.structs.replace(self._partial, text=self._text, doing=self._doing)
                fading = time.monotonic() - self._seen_at > REFRESH - 1.0 and not self.shown and self._seen is not None
                if not (fading or self._worth(partial)):
                    continue
                typing.cancel()
                wait = self._every
                call = asyncio.ensure_future(self._preview(self._chat, partial))
                try:
                    wait = await asyncio.shield(call)
                except asyncio.CancelledError:
                    await asyncio.wait((call,), timeout=3.0)
                    call.cancel()
                    raise
                await asyncio.sleep(wait)
        finally:
            typing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await typing

    def _worth(self, partial: Partial) -> bool:
        return partial != self._seen and (len(partial.text) >= self._from or bool(partial.doing))

    async def _preview(self, chat: Chat, partial: Partial) -> float:
        """Seconds until the next one."""
        try:
            shown = await chat.preview(partial, self.shown)
            self._seen, self._seen_at = partial, time.monotonic()
            if shown != self.shown:
                self.shown = shown
                await self._pages.show(shown)
        except ChatBusy as error:
            self._every = min(self._every * 2, 60.0)
            return max(error.retry_after, self._every)
        except ChatError as error:
            log.debug("preview: %s", error.sentence)
        return self._every

    async def _typing(self, chat: Chat) -> None:
        await asyncio.sleep(TYPING_AFTER)
        while True:
            await chat.typing(self._partial.chat)
            await asyncio.sleep(TYPING_EVERY)


def space_of(chat: ChatRef) -> str:
    """The name of one account of ours in keys."""
    return f"{chat.platform}:{chat.space}"


def _age(reply: Reply) -> float:
    return time.time() * 1000 - reply.at
