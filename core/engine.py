"""The one path of a message: accept it once and durably, wake its lane, play the turn, deliver the reply.

`accept` is what adapters call; it returns when the event is safe. Everything else runs in the background of `run`:
turns, previews, deliveries, lease renewal, the sweeper, and the recovery of what an earlier process left behind.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime

import msgspec
from redis.exceptions import RedisError

from core import commands
from core.conversation import REPLY, Conversations, encode
from core.delivery import Delivery, Out, space_of
from core.errors import ChatError, PieriaError, SealError, StoreError, traced
from core.keys import NEWS, Lane, lane_keys
from core.mailbox import Begun, Entry, Mailbox, Rules
from core.messages import Account, ChatRef, Deleted, Edited, Inbound, Joined, Message, Pressed, Reply
from core.people import Known, People
from core.ports import Chat, Models, Wakeups
from core.records import MESSAGE, Records
from core.running import Running
from core.store import Store
from core.tools import Toolbox
from core.words import words

log = logging.getLogger(__name__)

MOST_TEXT = 200_000
"""Characters of one message."""
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
    ) -> None:
        """`worker` names this process among those of the store; `slots` turns run side by side."""
        self._store = store
        self._people = people
        self._models = models
        self._wakeups = wakeups
        self._slots = slots
        self._mailbox = Mailbox(store, worker, rules or Rules())
        self.records = Records(store, people, self._mailbox)
        self.delivery = Delivery(self._mailbox, self._spawn)
        self._conversations = Conversations(
            people=people,
            mailbox=self._mailbox,
            delivery=self.delivery,
            records=self.records,
            models=models,
            tools=tools,
            zone=zone,
            later=self._spawn,
        )
        self._tasks: asyncio.TaskGroup | None = None
        self._spawned: set[asyncio.Task[None]] = set()
        self._running: dict[str, Running] = {}
        self._still = asyncio.Event()
        self._still.set()
        self._closing = False
        self._since = datetime.now(UTC)

    async def run(self, chats: list[Chat], stop: asyncio.Event) -> None:
        """Serve these platforms until `stop`; then take nothing new, let running turns finish, hand the others back."""
        for chat in chats:
            self.delivery.join(chat)
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            # What is in the outbox now was left by a process that ended; later looks spare what is being committed.
            await self._recover(older=0.0)
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
                    )
                )
            case Edited():
                await self._edited(inbound.message)
            case Deleted():
                lane = self._lane(inbound.chat)
                await self._mailbox.edit(lane, self._people.event(inbound.chat, inbound.original), None)
            case Joined():
                key = "welcome" if inbound.chat.private else "joined"
                known = await self._meet(inbound.chat, inbound.sender)
                if known.allowed or not inbound.chat.private:
                    await self._say(inbound.chat, inbound.event, known, words(key))

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
        known = await self._meet(message.chat, message.sender)
        if message.chat.private and await self._claims(message, known):
            return
        line = commands.read(message.text)
        language = message.language or "en"
        if not known.allowed:
            await self._turn_away(message, known)
        elif len(message.text) > MOST_TEXT:
            text = words("too_long", language, size=len(message.text), most=MOST_TEXT)
            await self._say(message.chat, message.event, known, text, message.message_id)
        elif not (message.text.strip() or message.quoted.strip() or message.attachments):
            await self._say(message.chat, message.event, known, words("empty", language), message.message_id)
        elif line is not None and commands.beside(line):
            await self._aside(line, message, known)
        else:
            await self._post(message, known, alone=line is not None)

    async def _post(self, message: Message, known: Known, *, alone: bool) -> None:
        lane = self._lane(message.chat)
        owner = self._people.owner(message.chat, known)
        entry = await self._entry(message, known, owner, alone=alone)
        free = not self._closing and len(self._running) < self._slots
        accepted = await self._mailbox.accept(lane, entry, owner, begin=free)
        if accepted.begun is not None:
            self._spawn(self._play(accepted.begun))
        elif accepted.epoch:
            self._wakeups.wake(lane.id, accepted.epoch)
        elif accepted.status == "FULL":
            text = words("full", message.language or "en")
            await self._say(message.chat, message.event, known, text, message.message_id)

    async def _edited(self, message: Message) -> None:
        known = await self._meet(message.chat, message.sender)
        if not known.allowed or len(message.text) > MOST_TEXT:
            return
        owner = self._people.owner(message.chat, known)
        entry = await self._entry(message, known, owner, alone=commands.read(message.text) is not None)
        await self._mailbox.edit(self._lane(message.chat), entry.event, entry)

    async def _entry(self, message: Message, known: Known, owner: str, *, alone: bool) -> Entry:
        box = await self._people.box(owner)
        event = self._people.event(message.chat, message.event)
        return Entry(event, known.account, alone, box.seal(encode(message), MESSAGE))

    # Beside the lane

    async def _claims(self, message: Message, known: Known) -> bool:
        code = message.start or message.text.strip()
        if known.admin or not await self._people.claimed(message.sender, code):
            return False
        await self._say(message.chat, message.event, await self._meet(message.chat, message.sender), words("claimed"))
        return True

    async def _turn_away(self, message: Message, known: Known) -> None:
        language = message.language or "en"
        if self._people.policy == "closed":
            return
        if not message.chat.private:
            if await self._people.first_today(message.sender):
                text = words("code_in_group", language)
                await self._say(message.chat, message.event, known, text, message.message_id)
            return
        code = await self._people.ask(message.sender, message.name)
        if code:
            await self._say(message.chat, message.event, known, words("code", language, code=code))

    async def _aside(self, line: commands.Line, message: Message, known: Known) -> None:
        language = message.language or "en"
        chat = self.delivery.chat(message.chat)
        prefix = chat.traits.command if chat else "/"
        match line.name:
            case "start":
                text = words("welcome", language)
            case "help":
                text = commands.help_text(prefix, self._models.speaking, language)
            case "stop":
                text = await self._stop(message, language)
            case "model":
                offered = ", ".join(f"`{prefix}model {name}`" for name in self._models.offered())
                text = words("model_now", language, model=await self._speaking(message.chat))
                text += "\n\n" + words("model_offered", language, list=offered) if offered else ""
            case "status":
                text = await self._status(message.chat, language)
            case "whoami":
                text = words(
                    "whoami",
                    language,
                    name=message.name or message.sender.user,
                    platform=chat.traits.label if chat else message.chat.platform,
                    user=message.sender.user,
                    access=words("is_admin" if known.admin else "is_allowed", language),
                    kind=words("private_chat" if message.chat.private else "group_chat", language),
                )
            case _:
                text = words("unknown_command", language, command=f"{prefix}{line.name[:40]}")
        if text:
            await self._say(message.chat, message.event, known, text, message.message_id)

    async def _stop(self, message: Message, language: str) -> str:
        lane = self._lane(message.chat)
        fence, dropped = await self._mailbox.stop(lane, drop=message.chat.private)
        running = self._running.get(lane.id)
        if fence and running is not None and running.begun.fence == fence:
            running.halt()
        if dropped:
            return words("dropped", language, count=dropped)
        return "" if fence else words("nothing_runs", language)  # the turn itself says that it was stopped

    async def _speaking(self, chat: ChatRef) -> str:
        context, _, _ = await self._mailbox.context(self._lane(chat))
        chosen = context.get("model")
        return chosen.decode() if chosen else self._models.speaking

    async def _status(self, chat: ChatRef, language: str) -> str:
        _, blocks, _ = await self._mailbox.context(self._lane(chat))
        await self._store.ping()
        return words(
            "status",
            language,
            model=await self._speaking(chat),
            turns=len(blocks),
            since=self._since.strftime("%Y-%m-%d %H:%M UTC"),
        )

    async def _say(self, chat: ChatRef, event: str, known: Known, text: str, reply_to: str = "") -> None:
        lane = self._lane(chat)
        turn = self._people.event(chat, event)
        owner = self._people.owner(chat, known)
        box = await self._people.box(owner)
        local = self.delivery.holds(chat)
        at = int(datetime.now(UTC).timestamp() * 1000)
        reply = Reply(turn, chat, text, at=at, reply_to=reply_to)
        sealed = box.seal(encode(reply), REPLY)
        outbox, _ = await self._mailbox.say(lane, turn, space_of(chat), owner, sealed, sending=local)
        if local and not outbox:
            # Said before: when the event came first, or just now, and the store's answer got lost.
            outbox = await self._mailbox.left(lane, space_of(chat), sealed)
        if outbox and local:
            self.delivery.deliver(Out(lane, outbox, reply))

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
        await self._renew()  # after the store was away: our own turns are not lost ones
        for lane, epoch in await self._mailbox.sweep():
            self._wakeups.wake(lane, epoch)

    async def _recover(self, older: float = 10.0) -> None:
        """Deliver what was committed and never delivered: by a process that died, or while the store was away."""
        for space in self.delivery.spaces():
            for waiting in await self._mailbox.outbox(space):
                if self.delivery.on_way(waiting.turn) or waiting.age() < older:
                    continue
                try:
                    box = await self._people.opened(waiting.owner)
                    reply = _reply.decode(box.open(waiting.reply, REPLY))
                except (SealError, msgspec.DecodeError):
                    await self._mailbox.sent(waiting.lane, waiting.turn, space, {"0": "forgotten"}, waiting.id)
                    continue
                self.delivery.deliver(Out(waiting.lane, waiting.id, reply, doubtful=True))

    async def _serve(self, chat: Chat) -> None:
        try:
            await chat.serve(self.accept, commands.commands())
        except ChatError as error:
            log.error("%s is off: %s", chat.traits.label, error.sentence)  # noqa: TRY400 - the sentence says all
        except Exception as error:  # noqa: BLE001 - the other platforms go on
            log.error("%s is off: %s", chat.traits.label, traced(error))  # noqa: TRY400 - no words in the log

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

    async def _meet(self, chat: ChatRef, account: Account) -> Known:
        adapter = self.delivery.chat(chat)
        return await self._people.meet(account, trusted=adapter is not None and adapter.traits.trusted)

    def _lane(self, chat: ChatRef) -> Lane:
        return lane_keys(self._people.lane(chat))
