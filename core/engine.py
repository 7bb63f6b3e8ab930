"""The one path of a message: accept it once and durably, wake its lane, play the turn, deliver the reply.

`accept` is what adapters call; it returns when the event is safe. Everything else runs in the background of `run`:
turns, previews, deliveries, lease renewal, the sweeper, and the recovery of what an earlier process left behind. A process
may serve platforms, play turns, or both; what one needs of another it finds in the store, and hears of over a channel.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial

from core import commands
from core.accounts import Accounts
from core.aside import Aside
from core.budget import Budgets, Limit
from core.channels import Channels
from core.conversation import Conversations, encode
from core.delivery import Delivery
from core.errors import ChatError, PieriaError, StoreError, traced
from core.holding import Holding
from core.keys import NEWS, Lane, lane_keys, tags
from core.limits import Limits
from core.mailbox import Begun, Entry, Mailbox, Rules
from core.messages import Account, ChatRef, Deleted, Edited, Inbound, Joined, Message, Pressed
from core.pace import Pace
from core.people import Known, People
from core.places import Places
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
MEASURED = 3
"""Seconds between two looks at how much room one server has left."""
NEGLECTED = 15.0
"""Seconds without a sweep of a chat that has work, after which it is said that no worker runs."""
NO_WORKER = "People wait, and no worker answers them: start `pieria run --role worker` on this store."
PASSED_ON = 0.05
"""Seconds after which a wake-up that comes to a process that ends is sent again, for another one to take."""


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
        holding: Holding | None = None,
        slots: int = 256,
        zone: str = "UTC",
        paced: bool = False,
        rate: Rate | None = None,
        budget: tuple[Limit, ...] = (),
    ) -> None:
        """`worker` names this process among those of the store; `holding` says which accounts of ours are this process', where
        others serve them too; `slots` turns run side by side, 0: others play them; `paced` keeps the platforms' limits of
        sending; `rate` bounds a person's turns, `budget` what models may cost.
        """
        self._store = store
        self._people = people
        self._wakeups = wakeups
        self._slots = slots
        self._mailbox = Mailbox(store, worker, rules or Rules())
        self._limits = Limits(store, people, rate)
        self.records = Records(store, people, self._mailbox)
        self._holding = holding or Holding(store, worker, self._mailbox.rules.lease)
        self._channels = Channels(store)
        self._places = Places(store)
        self.delivery = Delivery(
            self._mailbox,
            self._spawn,
            pace=Pace(store, people, on=paced),
            holding=self._holding,
            channels=self._channels,
            digest=people.digest,
        )
        budgets = Budgets(store, people, budget)
        self._conversations = Conversations(
            people=people,
            mailbox=self._mailbox,
            delivery=self.delivery,
            places=self._places,
            records=self.records,
            models=models,
            budgets=budgets,
            tools=tools,
            zone=zone,
            later=self._spawn,
        )
        self._accounts = Accounts(
            store=store,
            people=people,
            mailbox=self._mailbox,
            delivery=self.delivery,
            places=self._places,
            holding=self._holding,
            channels=self._channels,
            spawn=self._spawn,
        )
        self.waits = self._accounts.waits
        """Platforms that another process serves, of which only one may; and which."""
        self._tasks: asyncio.TaskGroup | None = None
        self._spawned: set[asyncio.Task[None]] = set()
        self.off: dict[str, str] = {}
        """Platforms that only the operator can help, and how."""
        self.lack = ""
        """What keeps messages from being answered, in a sentence for the operator."""
        self._running: dict[str, Running] = {}
        self._looks = 0
        self._still = asyncio.Event()
        self._still.set()
        self._closing = False
        self._aside = Aside(
            people=people,
            mailbox=self._mailbox,
            delivery=self.delivery,
            places=self._places,
            models=models,
            budgets=budgets,
            running=self._running,
        )

    async def run(self, chats: list[Chat], stop: asyncio.Event) -> None:
        """Serve these platforms until `stop`; then take nothing new, let running turns finish, hand the others back."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            await self._channels.hear((NEWS,), self._news, partial(self._people.forget_near, ""))
            if self._slots and not self._holding.alone:
                await self._channels.hear(tuple(f"{tag}:ctl" for tag in tags()), self._halt, lambda: None)
            await self._accounts.serve(chats)
            work = [
                tasks.create_task(self._channels.run()),
                tasks.create_task(self._wakeups.serve(self.drain if self._slots else None)),
                tasks.create_task(self._every(self._mailbox.rules.lease / 3000, self._keep)),
                tasks.create_task(self._every(1.0, self._look)),
                tasks.create_task(self._every(30.0, self._recover)),
            ]
            serving = [tasks.create_task(self._serve(chat)) for chat in chats]
            await stop.wait()
            await self._close(serving)
            left = [r.begun for r in self._running.values()]
            ending = {*work, *self._spawned}
            await _cancel(ending)  # nothing renews a lease any more
            await self._hand_back(left)
            await self._holding.give_back()
            while ending := {task for task in ending if not task.done()}:
                await _cancel(ending)
        self._tasks = None

    async def accept(self, inbound: Inbound) -> None:
        """Make an event durable, once; a repeated one changes nothing. Raises StoreError when it is not safe."""
        try:
            await self._accounts.meet()
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
                    text = words(key, prefix=self._places.traits(inbound.chat).command)
                    await self._aside.say(inbound.chat, inbound.event, known, text)

    async def drain(self, lane: str, epoch: int) -> None:
        """Play the turns of a lane that a wake-up names, if they are ours to play."""
        if self._closing:  # whoever comes next finds the lane awake
            if not self._holding.alone:
                self._spawn(self._pass_on(lane, epoch))
            return
        begun = await self._mailbox.begin(lane_keys(lane), epoch)
        if begun is not None:
            await self._play(begun)

    async def _pass_on(self, lane: str, epoch: int) -> None:
        await asyncio.sleep(PASSED_ON)
        self._wakeups.wake(lane, epoch)

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
            except Exception as error:
                if not _by_store(error):
                    with contextlib.suppress(StoreError):  # then its lease ends by itself
                        await self._mailbox.failed(following)
                raise
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

    async def _keep(self) -> None:
        """Renew every lease of this process."""
        await self._accounts.hold()
        await self._renew()

    async def _look(self) -> None:
        await self._keep()  # after the store was away: our own turns are not lost ones
        self._looks += 1
        if self._store.watched or self._looks % MEASURED == 0:
            await self._store.measure()
        if self._slots:
            for lane, epoch in await self._mailbox.sweep():
                self._wakeups.wake(lane, epoch)

    async def _halt(self, told: bytes) -> None:
        """Another process heard /stop."""
        running = self._running.get(told[:32].decode())
        if running is not None and running.begun.fence == int(told[32:]):
            running.halt()

    async def _news(self, told: bytes) -> None:
        """Another process changed an account or an owner."""
        self._people.forget_near(told.decode())

    async def _recover(self, *, young: bool = False) -> None:
        """Deliver what was committed and never delivered, because the store was away."""
        if self._slots and not self._holding.alone:
            await self._places.learn()
        elif not self._slots:
            self.lack = NO_WORKER if await self._mailbox.neglected(NEGLECTED) else ""
            if self.lack:
                log.warning("%s", self.lack)
        self._accounts.recover(young=young)

    async def _serve(self, chat: Chat) -> None:
        """Serve a platform; one that broke begins again, one that only the operator can help is off."""
        pause = 1.0
        while True:
            if chat.traits.sole:
                await self._accounts.turn_to_receive(chat)
            begun = time.monotonic()
            receiving = asyncio.ensure_future(chat.serve(self.accept, commands.commands()))
            self._accounts.receiving[chat.platform] = receiving
            try:
                await receiving
            except asyncio.CancelledError:
                if _cancelled():
                    raise
                continue  # another process receives now
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
        self._accounts.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN):
                await asyncio.sleep(0)  # lets turns that were just taken begin
                while self._running:
                    await self._still.wait()
        await self.delivery.leave()

    async def _hand_back(self, left: list[Begun]) -> None:
        if left:
            with contextlib.suppress(StoreError):
                await self._mailbox.hand_back(left)

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
            # The sweeper wakes a turn's lane again: three tries, then an apology.
            log.error("a turn, or work behind one, failed: %s", traced(error))  # noqa: TRY400 - as above

    async def _meet(self, chat: ChatRef, account: Account, *, vouched: bool = False) -> Known:
        trusted = self._places.traits(chat).trusted
        return await self._people.meet(account, trusted=trusted, vouched=vouched)

    def _lane(self, chat: ChatRef) -> Lane:
        return lane_keys(self._people.lane(chat))


async def _cancel(tasks: set[asyncio.Task[None]]) -> None:
    """Cancel them, and wait a moment; what they call may lose a cancellation (docs/decisions/0008)."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=1.0)


def _cancelled() -> bool:
    """Whether it is we who are to end, and not only what we wait for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _by_store(error: Exception) -> bool:
    """Whether the store failed, and not the turn: then its lease ends by itself, and it is tried again when the store serves."""
    group = isinstance(error, ExceptionGroup) and error.subgroup(StoreError) is not None
    return group or isinstance(error, StoreError)
