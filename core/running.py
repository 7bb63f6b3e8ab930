"""A turn under way in this process: how it is stopped, and its journal."""

import asyncio

import msgspec

from core.mailbox import HALTED, Begun, Mailbox
from core.seal import Box

STEP = "step"
SHOWN = "shown"
TRIED = "tried"


class Running:
    """What renewal and /stop need of a turn."""

    __slots__ = ("_answering", "begun", "fenced", "halted")

    def __init__(self, begun: Begun) -> None:
        self.begun = begun
        self.halted = begun.halted
        """The person wants it to stop: commit what was said."""
        self.fenced = False
        """Another worker has the lane: write nothing."""
        self._answering: asyncio.Task[str] | None = None

    def watch(self, answering: asyncio.Task[str]) -> None:
        """This task is the answer; halting cancels it."""
        self._answering = answering
        self._obey()

    def halt(self) -> None:
        """Stop at the person's wish."""
        self.halted = True
        self._obey()

    def heed(self, signal: int) -> None:
        """What RENEW or STEP answered."""
        if signal == 0:
            self.fenced = True
        elif signal == HALTED:
            self.halted = True
        self._obey()

    def _obey(self) -> None:
        if self._answering and (self.halted or self.fenced):
            self._answering.cancel()


class Pages:
    """A turn's journal: sealed, in the store."""

    def __init__(self, mailbox: Mailbox, running: Running, box: Box) -> None:
        self._mailbox = mailbox
        self._running = running
        self._box = box

    def read(self, step: str) -> bytes | None:
        """The result of a call that was finished before."""
        sealed = self._running.begun.journal.get(step)
        return self._box.open(sealed, STEP) if sealed else None

    async def write(self, step: str, value: bytes) -> None:
        """Keep a result; a turn that is fenced or halted is cancelled here."""
        self._running.heed(await self._mailbox.step(self._running.begun, step, self._box.seal(value, STEP)))
        await asyncio.sleep(0)  # lets a cancellation arrive before the result is used

    @property
    def shown(self) -> str:
        """The message that showed the growing reply before another worker took the turn over."""
        kept = self.read(SHOWN)
        return msgspec.msgpack.decode(kept, type=str) if kept else ""

    async def show(self, message_id: str) -> None:
        """Keep which message shows the growing reply."""
        await self.write(SHOWN, msgspec.msgpack.encode(message_id))

    @property
    def tried(self) -> str:
        """What another worker wanted to show in a message of which it may not have heard (core.live.Live)."""
        kept = self.read(TRIED)
        return kept.decode() if kept else ""

    async def attempt(self, digest: str) -> None:
        """Keep what a message is about to show."""
        await self.write(TRIED, digest.encode())
