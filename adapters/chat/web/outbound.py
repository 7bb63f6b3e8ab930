"""The page as a chat platform: what the engine says goes to the account's open pages, rendered here.

Nothing is kept for a page that is closed: it reads the transcript when it opens. Only what the transcript does not hold
yet stays in memory: the partials of running turns, and finals that nobody was there to see.
"""

import asyncio
import logging
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

from adapters.chat.web.door import Door
from adapters.chat.web.format import Growing, render
from adapters.chat.web.inbound import PLATFORM, SPACE, Unreadable
from adapters.chat.web.records import Records
from adapters.chat.web.streams import Again, Choice, Final, Grown, Pages, Stream, Working, Written
from core.apart import LONG, apart
from core.errors import traced
from core.messages import ChatRef, Message, Partial, Pressed, Reply
from core.ports import Accept, Command, Part, Traits

log = logging.getLogger(__name__)

ACCEPT_PATIENCE = 15.0
"""Seconds for the durable accept of a message; then the page keeps it and offers another try."""
PREVIEW_EVERY = 0.1
SMOOTH = 20_000
"""Characters up to which a growing reply is shown at the full rate; beyond, the rate falls as it grows."""
SHARE = 5
"""A preview that took long to draw is followed by a pause of this many times as long: others need the processor too."""
HELD = 1_000
"""Running turns, and users with unseen finals, that are kept in memory."""


class Web:
    """One page for many accounts. `sign` is a keyed MAC as hex; `public` says that others than this machine reach it."""

    platform = PLATFORM
    space = SPACE
    traits = Traits(
        label="Web page",
        hint="Markdown with tables, code and LaTeX maths is shown.",
        preview_every=PREVIEW_EVERY,
        preview_group_every=PREVIEW_EVERY,
        stored=True,
        trusted=True,
    )

    def __init__(self, sign: Callable[[str], str], records: Records, password: str = "", public: bool = False) -> None:
        self.door = Door(sign, password, public)
        self.records = records
        self.commands: tuple[Command, ...] = ()
        self._accept: Accept | None = None
        self._beside: asyncio.TaskGroup | None = None
        self._pages = Pages()
        self._running: OrderedDict[str, _Running] = OrderedDict()
        self._done: OrderedDict[str, None] = OrderedDict()
        self._unseen: OrderedDict[str, deque[Final]] = OrderedDict()
        self._orders: weakref.WeakValueDictionary[ChatRef, asyncio.Lock] = weakref.WeakValueDictionary()

    def invitation(self, user: str = "operator") -> str:
        """The path of a link that signs a browser in as `user`; it works once, within an hour."""
        return self.door.invite(user)

    async def serve(self, accept: Accept, commands: tuple[Command, ...]) -> None:
        """Let the routes take messages until cancelled; then end the open pages' streams."""
        self._accept, self.commands = accept, commands
        try:
            async with asyncio.TaskGroup() as self._beside:
                await asyncio.Event().wait()
        finally:
            self._accept = self._beside = None
            self._pages.close()

    async def take(self, inbound: Message | Pressed) -> None:
        """Hand an event to the engine, in the order of its chat. Raises StoreError, or Unreadable with status 503."""
        accept = self._accept
        if accept is None:
            raise Unreadable("The assistant is still starting. Try again in a moment.", 503)
        order = self._orders.setdefault(inbound.chat, asyncio.Lock())
        try:
            async with asyncio.timeout(ACCEPT_PATIENCE), order:
                await accept(inbound)
        except TimeoutError as error:
            raise Unreadable("The message could not be stored in time. Try again.", 503) from error
        if isinstance(inbound, Message):
            self._pages.tell(inbound.chat.chat, Written(inbound.chat.thread, inbound.message_id, inbound.text))
        elif inbound.action == "/retry":
            self._pages.tell(inbound.chat.chat, Again(inbound.chat.thread))

    def parts(self, reply: Reply) -> list[Part]:
        """The page shows a reply as one message, however long."""
        return [Part(reply.text, "html")]

    async def send(self, reply: Reply, part: Part, *, key: str, edit: str, last: bool) -> str:  # noqa: ARG002 - the port's
        """Show a final on every open page of the account, in place of its partial. The id is the turn."""
        user = reply.chat.chat
        self._done[reply.turn] = None
        running = self._running.pop(reply.turn, None)
        if running and running.later:
            running.later.cancel()
        _trim(self._done)
        html = await apart(len(part.body), render, part.body)
        buttons = tuple(Choice(button.label, button.action) for button in reply.buttons) if last else ()
        final = Final(reply.chat.thread, reply.turn, html, part.body, buttons, reply.at, reply.reply_to, reply.failed)
        if not self._pages.tell(user, final, over=reply.turn):
            self._unseen.setdefault(user, deque(maxlen=20)).append(final)
            _trim(self._unseen)
        return reply.turn

    async def preview(self, partial: Partial, shown: str) -> str:  # noqa: ARG002 - the port's
        """Show the reply so far on the open pages; drawn only if somebody looks. It vanishes by itself: always ""."""
        if partial.turn in self._done:
            return ""
        if not partial.whole():
            await self.typing(partial.chat)
            return ""
        running = self._running.get(partial.turn)
        if running is None:
            running = self._running[partial.turn] = _Running(partial.chat, partial.reply_to)
            _trim(self._running)
        running.text, running.doing = partial.text, partial.doing
        loop = asyncio.get_running_loop()
        pause = max(PREVIEW_EVERY * (len(partial.whole()) // SMOOTH), SHARE * running.cost)
        if loop.time() - running.drawn >= pause:
            await self._draw(partial.turn, running)
        elif running.later is None:  # the model may pause now: what it said last is shown all the same
            running.later = loop.call_at(running.drawn + pause, self._draw_soon, partial.turn)
        return ""

    async def typing(self, chat: ChatRef) -> None:
        """Show that the assistant is at work."""
        self._pages.tell(chat.chat, Working(chat.thread), over=f"typing {chat.thread}")

    async def find(self, reply: Reply, key: str) -> str:  # noqa: ARG002 - the port's
        """Never asked: a page that was closed reads the transcript."""
        return ""

    def growing(self, chat: ChatRef) -> list[Grown]:
        """The replies of this chat that grow just now, for a page that opens."""
        found = [(turn, running) for turn, running in self._running.items() if running.chat == chat]
        for _, running in found:
            if len(running.text) < LONG:
                running.draw()
        return [running.event(turn) for turn, running in found]

    @contextmanager
    def stream(self, user: str) -> Iterator[Stream]:
        """The events of an account, with the finals that nobody has seen, for as long as the block lasts."""
        with self._pages.open(user) as stream:
            for final in self._unseen.pop(user, ()):
                self._pages.tell(user, final, over=final.turn)
            yield stream

    def _draw_soon(self, turn: str) -> None:
        running = self._running.get(turn)
        if running is None:
            return
        running.later = None
        if self._beside is not None:
            self._beside.create_task(self._drawn(turn, running))

    async def _drawn(self, turn: str, running: "_Running") -> None:
        try:
            await self._draw(turn, running)
        except Exception as error:  # noqa: BLE001 - a preview must not end the page
            log.error("a preview failed: %s", traced(error))  # noqa: TRY400 - a trace would hold what was said

    async def _draw(self, turn: str, running: "_Running") -> None:
        if running.later is not None:
            running.later.cancel()
            running.later = None
        loop = asyncio.get_running_loop()
        if running.drawing:
            running.later = loop.call_later(PREVIEW_EVERY, self._draw_soon, turn)
        elif self._pages.any(running.chat.chat):
            begun = time.monotonic()
            running.drawing = True
            try:
                await apart(len(running.text), running.draw)
            finally:
                running.drawing = False
            running.cost = time.monotonic() - begun
            if self._running.get(turn) is running:  # else its final was shown meanwhile
                self._pages.tell(running.chat.chat, running.event(turn), over=turn)
        running.drawn = loop.time()


class _Running:
    """A turn that runs: its text so far, drawn when somebody looks."""

    def __init__(self, chat: ChatRef, asked: str) -> None:
        self.chat = chat
        self.asked = asked
        self.text = ""
        self.doing = ""
        self.drawn = 0.0
        self.drawing = False
        self.cost = 0.0
        self.later: asyncio.TimerHandle | None = None
        self._seq = 0
        self._growing = Growing()
        self._html = ""

    def draw(self) -> None:
        self._html = self._growing.html(self.text)

    def event(self, turn: str) -> Grown:
        self._seq += 1
        doing = f'<p class="doing">{escape(self.doing)} …</p>' if self.doing else ""
        return Grown(self.chat.thread, turn, self._seq, self._html + doing, self.asked)


def _trim(held: OrderedDict[Any, Any]) -> None:
    while len(held) > HELD:
        held.popitem(last=False)
