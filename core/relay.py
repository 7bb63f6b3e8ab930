"""A reply that grows in one process and is shown by another: told over a channel, always the whole text so far."""

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Protocol

import msgspec

from core.channels import Channels
from core.errors import StoreError
from core.keys import Lane
from core.mailbox import Begun, Mailbox
from core.messages import ChatRef, Partial
from core.places import space_of
from core.seal import Box

PARTIAL = "partial"
EVERY = 0.25
"""Seconds between two messages of one turn."""
SOON = 0.1
"""Seconds until a turn that says nothing yet is told of, so that people see that somebody is at work."""
BEAT = 5.0
"""Seconds after which a turn that says nothing new is told of again."""
SILENCE = 20.0
"""Seconds without a word from a turn's worker, after which nothing more is shown of it: it died, or another goes on."""
QUIET = 1_000
"""Turns that are kept in mind after that."""
SHOWN = "shown"
"""The note, beside those of a reply's parts, of the message that shows it while it grows."""
TRIED = "tried"
"""And of what a message was to show of which nobody has heard."""


class Grown(msgspec.Struct, frozen=True, array_like=True):
    """What travels."""

    lane: str
    owner: str
    at: int
    """When the turn began, by the store's clock."""
    shown: str
    """The message that shows it, where the worker knows of one."""
    partial: bytes
    """Sealed."""


_encode = msgspec.msgpack.Encoder().encode
_grown = msgspec.msgpack.Decoder(Grown).decode
_partial = msgspec.msgpack.Decoder(Partial).decode


def read(data: bytes) -> Grown:
    """What came over the channel. Raises msgspec.DecodeError."""
    return _grown(data)


def opened(grown: Grown, box: Box) -> Partial:
    """What is to be shown. Raises SealError or msgspec.DecodeError."""
    return _partial(box.open(grown.partial, PARTIAL))


class Relay:
    """The previews of one turn whose platform another process holds."""

    def __init__(self, channels: Channels, begun: Begun, box: Box, partial: Partial, shown: str) -> None:
        self._channels = channels
        self._channel = begun.lane.partials(space_of(partial.chat))
        self._begun = begun
        self._box = box
        self._partial = partial
        self._changed = asyncio.Event()
        self.shown = shown
        """The message that the final must edit, where it is known here."""
        self.doubt = ""

    def show(self, text: str, doing: str) -> None:
        """The whole text so far, and what is being done."""
        self._partial = msgspec.structs.replace(self._partial, text=text, doing=doing)
        self._changed.set()

    async def run(self) -> None:
        """Tell of it until cancelled."""
        patience = SOON
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._changed.wait()
            patience = BEAT
            self._changed.clear()
            sealed = self._box.seal(_encode(self._partial), PARTIAL)
            grown = Grown(self._begun.lane.id, self._begun.owner, self._begun.now, self.shown, sealed)
            with contextlib.suppress(StoreError):  # the next one holds all that this one did
                await self._channels.tell(self._channel, _encode(grown))
            await asyncio.sleep(EVERY)


class Showing(Protocol):
    """The previews of one turn on its platform (core.live.Live)."""

    shown: str
    doubt: str

    def show(self, text: str, doing: str) -> None:
        """The whole text so far, and what is being done."""

    async def run(self) -> None:
        """Show until cancelled."""


class Marks:
    """Where the message that shows a turn of another process is noted: beside the parts of its reply. As core.running.Pages
    does it for a turn of this one.
    """

    def __init__(self, mailbox: Mailbox, lane: Lane, partial: Partial, shown: str, tried: str) -> None:
        self._mailbox = mailbox
        self._lane = lane
        self._partial = partial
        self.shown = shown
        self.tried = tried

    async def show(self, message_id: str) -> None:
        """Note which message shows it. Raises StoreError."""
        await self._note({SHOWN: message_id})

    async def attempt(self, digest: str) -> None:
        """Note what a message is about to show. Raises StoreError."""
        await self._note({TRIED: digest})

    async def _note(self, notes: dict[str, str]) -> None:
        await self._mailbox.sent(self._lane, self._partial.turn, space_of(self._partial.chat), notes)


class _Mirror:
    def __init__(self, live: Showing, since: int) -> None:
        self.live = live
        self.since = since
        self.fence = 0
        self.heard = 0.0
        self.ending = asyncio.Event()
        self.ended = asyncio.Event()


class Mirrors:
    """The turns of other processes that this one shows."""

    def __init__(
        self,
        mailbox: Mailbox,
        live: Callable[[Lane, Partial, Marks], Showing],
        since: Callable[[ChatRef], int],
        spawn: Callable[[Coroutine[None, None, None]], None],
    ) -> None:
        """`live` makes the previews of a turn; `since` tells since when its account is ours without a break: what was shown
        before is another process' to go on with. `spawn` runs work that nobody waits for.
        """
        self._mailbox = mailbox
        self._live = live
        self._since = since
        self._spawn = spawn
        self._mirrors: dict[str, _Mirror] = {}
        self._quiet: OrderedDict[str, _Mirror] = OrderedDict()
        """Turns of which nothing was heard for long: their replies may still come."""

    async def show(self, lane: Lane, partial: Partial, shown: str, *, unsure: bool) -> None:
        """Show how far a turn is. `unsure`: another process may have begun to show it. Raises StoreError."""
        mirror = self._mirrors.get(partial.turn)
        since = self._since(partial.chat)
        if mirror is not None and mirror.since != since:
            await self.end(partial.turn, partial.chat)
            mirror = None
        if mirror is None:
            known = await self._mailbox.parts(lane, partial.turn)
            if "0" in known:
                return  # a worker that was paused: the reply is there
            shown = shown or known.get(SHOWN, "")
            partial = msgspec.structs.replace(partial, again=unsure and not shown)
            marks = Marks(self._mailbox, lane, partial, shown, known.get(TRIED, ""))
            mirror = _Mirror(self._live(lane, partial, marks), since)
            mirror.heard = time.monotonic()
            self._mirrors[partial.turn] = mirror
            self._quiet.pop(partial.turn, None)
            self._spawn(self._follow(partial.turn, mirror))
        if partial.fence >= mirror.fence:  # else it comes from a worker that lost the lane
            mirror.fence, mirror.heard = partial.fence, time.monotonic()
            mirror.live.show(partial.text, partial.doing)

    async def end(self, turn: str, chat: ChatRef) -> Showing | None:
        """Show no more of a turn, and finish a call that is under way; None for a turn that was not shown from here since its
        account is ours.
        """
        mirror = self._mirrors.get(turn) or self._quiet.pop(turn, None)
        if mirror is None:
            return None
        mirror.ending.set()
        await mirror.ended.wait()
        return mirror.live if mirror.since == self._since(chat) else None

    async def _follow(self, turn: str, mirror: _Mirror) -> None:
        showing = asyncio.create_task(mirror.live.run())
        try:
            while not mirror.ending.is_set() and (left := mirror.heard + SILENCE - time.monotonic()) > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await mirror.ending.wait()
        finally:
            showing.cancel()
            await asyncio.wait((showing,))
            del self._mirrors[turn]
            if not mirror.ending.is_set():
                self._quiet[turn] = mirror
                while len(self._quiet) > QUIET:
                    self._quiet.popitem(last=False)
            mirror.ended.set()
