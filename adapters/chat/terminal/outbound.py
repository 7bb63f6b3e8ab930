"""The terminal as a chat platform: what the engine says goes to the open streams of the data folder's socket.

A stream belongs to one message and ends with its final. A reply that nobody waits for any more is kept until a terminal
opens the conversation again.
"""

import asyncio
import re
import weakref
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from adapters.chat.terminal.inbound import PLATFORM, SPACE, Starting, Unreadable
from core import commands
from core.messages import ChatRef, Message, Partial, Pressed, Reply
from core.ports import Accept, Command, Part, Traits

ACCEPT_PATIENCE = 15.0
"""Seconds for the durable accept of a message."""
STOP_PATIENCE = 5.0
"""Seconds after a stop in which the final of a stopped message comes; one that only waited gets none."""
KEPT = 20
"""Replies that nobody has seen, of one conversation; and conversations that have some."""

Event = dict[str, Any]


class Terminal:
    """The terminals of one data folder. `about` says in one line which model speaks."""

    platform = PLATFORM
    space = SPACE
    traits = Traits(
        label="Terminal",
        hint="A terminal: plain text, short lines, little Markdown.",
        preview_every=0.05,
        preview_group_every=0.05,
        readback="key",
        stored=True,
        trusted=True,
    )

    def __init__(self, about: Callable[[], Awaitable[str]]) -> None:
        self.about = about
        self._accept: Accept | None = None
        self._streams: list[Stream] = []
        self._missed: OrderedDict[ChatRef, deque[Reply]] = OrderedDict()
        self._shown: deque[str] = deque(maxlen=200)
        self._orders: weakref.WeakValueDictionary[ChatRef, asyncio.Lock] = weakref.WeakValueDictionary()

    async def serve(self, accept: Accept, commands: tuple[Command, ...]) -> None:  # noqa: ARG002 - people type them
        """Let the routes take messages until cancelled. Streams stay: running turns still end with their finals."""
        self._accept = accept
        try:
            await asyncio.Event().wait()
        finally:
            self._accept = None

    async def take(self, inbound: Message | Pressed) -> None:
        """Hand an event to the engine, in the order of its chat. Raises StoreError, Starting, or Unreadable."""
        if self._accept is None:
            raise Starting
        order = self._orders.setdefault(inbound.chat, asyncio.Lock())
        try:
            async with asyncio.timeout(ACCEPT_PATIENCE), order:
                await self._accept(inbound)
        except TimeoutError as error:
            raise Unreadable("The message could not be stored in time. Try again.", 503) from error
        if isinstance(inbound, Pressed):
            # what waited behind the running turn was dropped: no reply of its own will come
            for stream in self._streams:
                if stream.message.chat == inbound.chat:
                    stream.give_up(STOP_PATIENCE)

    def parts(self, reply: Reply) -> list[Part]:
        """A terminal shows a reply as one, however long."""
        return [Part(reply.text)]

    async def send(self, reply: Reply, part: Part, *, key: str, edit: str, last: bool) -> str:  # noqa: ARG002 - the port's
        """Show a final to whoever waits for it, else beside what the newest stream shows, else keep it. Once a turn."""
        if reply.turn in self._shown:
            return reply.turn
        self._shown.append(reply.turn)
        here = [s for s in self._streams if s.message.chat == reply.chat and not s.ended and s.alive()]
        asked = next((s for s in here if s.message.message_id == reply.reply_to), None)
        if asked is not None:
            # messages that were sent while a turn ran are answered together, by a reply to the newest
            together = [s for s in here[: here.index(asked)] if s.in_turn and asked.in_turn]
            for stream in (*together, asked):
                stream.end(reply)
        elif here:
            here[-1].tell({"other": reply.text, "turn": reply.turn})
        else:
            self._miss(reply)
        return reply.turn

    async def preview(self, partial: Partial, shown: str) -> str:  # noqa: ARG002 - the port's
        """Show the reply so far to whoever waits for it. It vanishes by itself: always ""."""
        for stream in self._streams:
            if stream.message.chat == partial.chat and stream.message.message_id == partial.reply_to:
                stream.grow(partial.text)
        return ""

    async def typing(self, chat: ChatRef) -> None:
        """The terminal shows by itself that it waits."""

    async def find(self, reply: Reply, key: str) -> str:  # noqa: ARG002 - the port's
        """Copies are told apart by the turn."""
        return ""

    @contextmanager
    def stream(self, message: Message, alive: Callable[[], bool]) -> Iterator["Stream"]:
        """The events of one message for as long as the block lasts; a final that was not taken by then is kept. `alive`
        tells whether somebody still reads.
        """
        stream = Stream(message, alive)
        for reply in self._missed.get(message.chat, ()):
            if reply.reply_to == message.message_id:
                stream.end(reply)
        self._streams.append(stream)
        try:
            yield stream
        finally:
            self._streams.remove(stream)
            if stream.final is not None and not stream.taken:
                self._miss(stream.final)

    def missed(self, chat: ChatRef) -> list[str]:
        """The replies of a conversation that nobody has seen; they count as seen from now on."""
        return [reply.text for reply in self._missed.pop(chat, ())]

    def _miss(self, reply: Reply) -> None:
        kept = self._missed.setdefault(reply.chat, deque(maxlen=KEPT))
        if reply not in kept:
            kept.append(reply)
        while len(self._missed) > KEPT:
            self._missed.popitem(last=False)


class Stream:
    """What one waiting terminal is told: always the newest state, however slowly it reads."""

    def __init__(self, message: Message, alive: Callable[[], bool]) -> None:
        line = commands.read(message.text)
        self.message = message
        self.alive = alive
        self.in_turn = line is None or not commands.beside(line)
        self.ended = False
        self.taken = False
        self.final: Reply | None = None
        self._others: deque[Event] = deque(maxlen=KEPT)
        self._grown: Event | None = None
        self._last: Event | None = None
        self._news = asyncio.Event()
        self._deadline: float | None = None

    def tell(self, event: Event) -> None:
        """Something beside the reply."""
        self._others.append(event)
        self._news.set()

    def grow(self, text: str) -> None:
        """The reply so far. What is being done just now stands at its end, in core's form: ` *calculating …*`."""
        if not self.ended:
            doing = _DOING.search(text)
            said = text[: doing.start()] if doing else text
            self._grown = {"partial": said, "doing": doing[1]} if doing else {"partial": said}
            self._news.set()

    def end(self, reply: Reply) -> None:
        """The whole reply: the last event."""
        if not self.ended:
            buttons = [{"label": b.label, "action": b.action} for b in reply.buttons]
            self.ended, self.final, self._grown = True, reply, None
            self._last = {"final": reply.text, "turn": reply.turn, "buttons": buttons}
            if reply.failed:
                self._last["failed"] = True
            self._news.set()

    def give_up(self, seconds: float) -> None:
        """End after so many seconds if no final came."""
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().time() + seconds
            self._news.set()

    async def take(self, patience: float) -> list[Event]:
        """What is new, in order; nothing after `patience` seconds of silence. Nothing more comes once `taken`."""
        if self.ended:
            self._news.set()
        until = asyncio.get_running_loop().time() + patience
        while not self._news.is_set():
            end = until if self._deadline is None else min(until, self._deadline)
            try:
                async with asyncio.timeout_at(end):
                    await self._news.wait()
            except TimeoutError:
                if end == self._deadline:
                    self.ended, self._grown = True, None
                    self._last = {"error": "Stopped before its turn came."}
                break
            if not (self._others or self._grown or self._last):
                self._news.clear()  # woken by a new deadline only
        self._news.clear()
        events = [*self._others, *(e for e in (self._grown, self._last) if e)]
        self._others.clear()
        self._grown = None
        return events


_DOING = re.compile(r"(?:\A|\n\n)\*([^*\n]+) …\*\Z")
