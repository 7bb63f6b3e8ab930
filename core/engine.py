"""The one path of a message: accept it once and durably, wake its lane, play the turn, deliver the reply.

`accept` is what adapters call; it returns when the event is safe. Everything else runs in the background of `run`:
turns, previews, deliveries, lease renewal, the sweeper, and the recovery of what an earlier process left behind.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine

import msgspec
from redis.exceptions import RedisError

from core import commands
from core.aside import Aside
from core.budget import Budgets, Limit
from core.conversation import REPLY, Conversations, encode
from core.delivery import Delivery, Out
from core.errors import ChatError, PieriaError, SealError, StoreError, traced
from core.keys import NEWS, Lane, lane_keys
from core.limits import Limits
from core.mailbox import Begun, Entry, Mailbox, Rules
from core.messages import Account, ChatRef, Deleted, Edited, Inbound, Joined, Message, Pressed, Reply
from core.notes import SPACE, Notes
from core.pace import Pace
from core.people import Known, People
from core.ports import Chat, Models, Rate, Wakeups
from core.records import MESSAGE, Records
from core.running import Running
from core.store import Store
from core.tools import Toolbox
from core.words import words

log = logging.getLogger(__name__)

MOST_TEXT = 200_000
"""Characters of one message."""
MOST_PAUSE = 60.0
"""Seconds until a platform that broke again and again is tried once more."""
DRAIN = 30.0
"""Seconds that running turns get to finish when the program ends."""

_reply = msgspec.msgpack.Decoder(Reply)


class Engine:
    """One process' share of the house."""

    def __init__(
        self,
        *,
        store: Store,
        people: People,
        models: Models,
        tools: Toolbox,
        wakeups: Wakeups,
        worker: str,
        rules: Rules | None = None,
        slots: int = 256,
        zone: str = "UTC",
        paced: bool = False,
        rate: Rate | None = None,
        budget: tuple[Limit, ...] = (),
    ) -> None:
        """`worker` names this process among those of the store; `slots` turns run side by side; `paced` keeps the platforms'
        limits of sending; `rate` bounds a person's turns, `budget` what models may cost.
        """
        self._store = store
        self._people = people
        self._wakeups = wakeups
        self._slots = slots
        self._mailbox = Mailbox(store, worker, rules or Rules())
        self._limits = Limits(store, people, rate)
        self.records = Records(store, people, self._mailbox)
        self.delivery = Delivery(self._mailbox, self._spawn, Pace(store, people, on=paced))
        budgets = Budgets(store, people, budget)
        self._conversations = Conversations(
            people=people,
            mailbox=self._mailbox,
            delivery=self.delivery,
            records=self.records,
            models=models,
            budgets=budgets,
            tools=tools,
            zone=zone,
            later=self._spawn,
        )
        self._tasks: asyncio.TaskGroup | None = None
        self._spawned: set[asyncio.Task[None]] = set()
        self.off: dict[str, str] = {}
        """Platforms that only the operator can help, and how."""
        self._unjoined: list[Chat] = []
        """Platforms whose account of ours is not known yet."""
        self._running: dict[str, Running] = {}
        self._still = asyncio.Event()
        self._still.set()
        self._closing = False
        self._aside = Aside(people, self._mailbox, self.delivery, models, budgets, running=self._running)

    async def run(self, chats: list[Chat], stop: asyncio.Event) -> None:
        """Serve these platforms until `stop`; then take nothing new, let running turns finish, hand the others back."""
        self._unjoined = list(chats)
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            await self._join()
            work = [
                tasks.create_task(self._wakeups.serve(self.drain)),
                tasks.create_task(self._every(self._mailbox.rules.lease / 3000, self._renew)),
                tasks.create_task(self._every(1.0, self._sweep)),
                tasks.create_task(self._every(30.0, self._recover)),
                tasks.create_task(self._listen()),
            ]
            serving = [tasks.create_task(self._serve(chat)) for chat in chats]
            await stop.wait()
            await self._close(serving)
            left = [r.begun for r in self._running.values()]
            ending = {*work, *self._spawned}
            for task in ending:
                task.cancel()
            await asyncio.wait(ending, timeout=1.0)  # nothing renews a lease any more
            await self._hand_back(left)
        self._tasks = None

    async def accept(self, inbound: Inbound) -> None:
        """Make an event durable, once; a repeated one changes nothing. Raises StoreError when it is not safe."""
        try:
            if self._unjoined:
                await self._join()
            await self._take(inbound)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - brought again, it would break us again, and hold up all that follows
            log.error("an event could not be taken: %s", traced(error))  # noqa: TRY400 - a trace would hold what people said

    async def _take(self, inbound: Inbound) -> None:
        match inbound:
            case Message():
                await self._message(inbound)
            case Pressed():
                await self._message(
                    Message(
                        event=inbound.event,
                        chat=inbound.chat,
                        sender=inbound.sender,
                        text=inbound.action,
                        name=inbound.name,
                        admin=inbound.admin,
                        vouched=inbound.vouched,
                    )
                )
            case Edited():
                await self._edited(inbound.message)
            case Deleted():
                lane = self._lane(inbound.chat)
                await self._mailbox.edit(lane, self._people.event(inbound.chat, inbound.original), None)
            case Joined():
                key = "welcome" if inbound.chat.private else "joined"
                known = await self._meet(inbound.chat, inbound.sender, vouched=inbound.vouched)
                if known.allowed or not inbound.chat.private:
                    await self._aside.say(
                        inbound.chat, inbound.event, known, words(key, prefix=self.delivery.prefix(inbound.chat))
                    )

    async def drain(self, lane: str, epoch: int) -> None:
        """Play the turns of a lane that a wake-up names, if they are ours to play."""
        if self._closing:
            return  # whoever comes next finds the lane awake
        begun = await self._mailbox.begin(lane_keys(lane), epoch)
        if begun is not None:
            await self._play(begun)

    async def _message(self, message: Message) -> None:
        if not message.chat.private and not message.addressed:
            return
        known = await self._meet(message.chat, message.sender, vouched=message.vouched)
        if message.chat.private and await self._aside.claims(message, known):
            return
        line = commands.read(message.text)
        if not known.allowed:
            await self._aside.turn_away(message, known)
        elif len(message.text) > MOST_TEXT:
            await self._aside.answer(message, known, "too_long", size=len(message.text), most=MOST_TEXT)
        elif not (message.text.strip() or message.quoted.strip() or message.attachments):
            await self._aside.answer(message, known, "empty")
        elif line is not None and commands.beside(line):
            await self._aside.command(line, message, known)
        else:
            await self._post(message, known, alone=line is not None)

    async def _post(self, message: Message, known: Known, *, alone: bool) -> None:
        lane = self._lane(message.chat)
        owner = self._people.owner(message.chat, known)
        refused = await self._limits.take(message.chat, known)
        if refused and not await self._mailbox.knows(lane, self._people.event(message.chat, message.event)):
            if refused.tell:
                key = "slow_group" if refused.group else "slow"
                await self._aside.answer(message, known, key, seconds=refused.seconds)
            return
        new = False
        try:
            entry = await self._entry(message, known, owner, alone=alone)
            free = not self._closing and len(self._running) < self._slots
            accepted = await self._mailbox.accept(lane, entry, owner, begin=free)
            new = accepted.status not in {"DUP", "FULL"}
        finally:
            if not new:
                await self._limits.undo(refused, message.chat, known)
        if accepted.begun is not None:
            self._spawn(self._play(accepted.begun))
        elif accepted.epoch:
            self._wakeups.wake(lane.id, accepted.epoch)
        elif accepted.status == "FULL":
            await self._aside.answer(message, known, "full")

    async def _edited(self, message: Message) -> None:
        known = await self._meet(message.chat, message.sender, vouched=message.vouched)
        if not known.allowed or len(message.text) > MOST_TEXT:
            return
        owner = self._people.owner(message.chat, known)
        entry = await self._entry(message, known, owner, alone=commands.read(message.text) is not None)
        await self._mailbox.edit(self._lane(message.chat), entry.event, entry)

    async def _entry(self, message: Message, known: Known, owner: str, *, alone: bool) -> Entry:
        box = await self._people.box(owner)
        event = self._people.event(message.chat, message.event)
        return Entry(event, known.account, alone, box.seal(encode(message), MESSAGE))

    # Turns

    async def _play(self, begun: Begun) -> None:
        following: Begun | None = begun
        while following is not None:
            running = Running(following)
            self._running[following.lane.id] = running
            self._still.clear()
            try:
                committed = await self._conversations.turn(running, more=self._goes_on)
            finally:
                if self._running.get(following.lane.id) is running:
                    del self._running[following.lane.id]
                if not self._running:
                    self._still.set()
            following = committed.begun if committed else None
            if committed and committed.status == "MORE":
                self._wakeups.wake(begun.lane.id, committed.epoch)

    def _goes_on(self) -> bool:
        """Whether a lane's next turn may begin right behind the one that ends."""
        return not self._closing and len(self._running) <= self._slots

    async def _renew(self) -> None:
        turns = list(self._running.values())
        if turns:
            for running, signal in zip(turns, await self._mailbox.renew([t.begun for t in turns]), strict=True):
                running.heed(signal)

    async def _sweep(self) -> None:
        await self._join()
        await self._store.measure()
        await self._renew()  # after the store was away: our own turns are not lost ones
        for lane, epoch in await self._mailbox.sweep():
            self._wakeups.wake(lane, epoch)

    async def _join(self) -> None:
        """Take up accounts of ours as soon as they are known. What their outboxes hold was left by a process that ended."""
        for chat in [chat for chat in self._unjoined if chat.space]:
            left = await self._left(f"{chat.platform}:{chat.space}", older=0.0)
            if chat in self._unjoined:  # nobody else was quicker
                self._unjoined.remove(chat)
                self.delivery.join(chat)
                for out in left:
                    self.delivery.deliver(out)
                await Notes(self._store, self._people, chat.platform).write(chat.space.encode(), SPACE)

    async def _recover(self, older: float = 10.0) -> None:
        """Deliver what was committed and never delivered, because the store was away; spare what is being committed."""
        for space in self.delivery.spaces():
            for out in await self._left(space, older):
                self.delivery.deliver(out)

    async def _left(self, space: str, older: float) -> list[Out]:
        """Replies in the outboxes of an account of ours, committed more than `older` seconds ago."""
        found = []
        for waiting in await self._mailbox.outbox(space):
            if self.delivery.on_way(waiting.turn) or waiting.age() < older:
                continue
            try:
                box = await self._people.opened(waiting.owner)
                reply = _reply.decode(box.open(waiting.reply, REPLY))
            except (SealError, msgspec.DecodeError):
                await self._mailbox.sent(waiting.lane, waiting.turn, space, {"0": "forgotten"}, waiting.id)
                continue
            found.append(Out(waiting.lane, waiting.id, reply, doubtful=True))
        return found

    async def _serve(self, chat: Chat) -> None:
        """Serve a platform; one that broke begins again, one that only the operator can help is off."""
        pause = 1.0
        while True:
            begun = time.monotonic()
            try:
                await chat.serve(self.accept, commands.commands())
            except ChatError as error:
                log.error("%s is off: %s", chat.traits.label, error.sentence)  # noqa: TRY400 - the sentence says all
                self.off[chat.platform] = error.sentence
                return
            except Exception as error:  # noqa: BLE001 - the other platforms go on
                log.error("%s broke and begins again: %s", chat.traits.label, traced(error))  # noqa: TRY400 - no words in the log
            else:
                return
            pause = 1.0 if time.monotonic() - begun > MOST_PAUSE else min(pause * 2, MOST_PAUSE)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))

    async def _listen(self) -> None:
        """Hear of changes that other processes made to accounts."""
        while True:
            try:
                async with self._store.redis.pubsub() as pubsub:
                    await pubsub.subscribe(NEWS)
                    async for item in pubsub.listen():
                        if item["type"] == "message":
                            self._people.forget_near(item["data"].decode())
            except (RedisError, OSError):  # a lost connection: what changed meanwhile is unknown
                self._people.forget_near("")
                await asyncio.sleep(1.0)

    @staticmethod
    async def _every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await work()
            except StoreError as error:
                log.warning("%s", error.sentence)
            except Exception as error:  # noqa: BLE001 - the loop must live on
                log.error("work in the background failed: %s", traced(error))  # noqa: TRY400 - as above

    async def _close(self, serving: list[asyncio.Task[None]]) -> None:
        self._closing = True
        for task in serving:
            task.cancel()
        self.delivery.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN):
                await asyncio.sleep(0)  # lets turns that were just taken begin
                while self._running:
                    await self._still.wait()
                await self.delivery.settled()

    async def _hand_back(self, left: list[Begun]) -> None:
        if left:
            with contextlib.suppress(StoreError):
                await self._mailbox.renew(left, release=True)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        if self._tasks is None:
            work.close()
            raise PieriaError("The engine does not run.")
        task = self._tasks.create_task(self._alone(work))
        self._spawned.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._spawned.discard(task)
            work.close()  # one that was cancelled before it began

        task.add_done_callback(ended)

    @staticmethod
    async def _alone(work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - one chat's failure must not end the others
            # A turn's lease ends by itself, and the sweeper wakes its lane again: three tries, then an apology.
            log.error("a turn, or work behind one, failed: %s", traced(error))  # noqa: TRY400 - as above

    async def _meet(self, chat: ChatRef, account: Account, *, vouched: bool = False) -> Known:
        adapter = self.delivery.chat(chat)
        trusted = adapter is not None and adapter.traits.trusted
        return await self._people.meet(account, trusted=trusted, vouched=vouched)

    def _lane(self, chat: ChatRef) -> Lane:
        return lane_keys(self._people.lane(chat))
