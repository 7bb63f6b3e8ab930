"""A reply while it grows: a sign of life first, then previews on its platform, no faster than that likes."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

import msgspec

from core.errors import ChatBusy, ChatError, ChatUnreachable, StoreError, traced
from core.messages import Partial
from core.pace import Pace
from core.ports import Chat
from core.relay import Marks
from core.running import Pages

log = logging.getLogger(__name__)

SOON = 0.02
"""Seconds from the first words to the first preview: what is whole by then needs none."""
UNHURRIED = 0.4
"""As much in a group, where a preview is a message that all are told of."""
TYPING_AFTER = 0.5
"""Seconds: a reply that is there sooner, or begins to grow, needs no other sign of life."""
TYPING_EVERY = 4.5
REFRESH = 20.0
"""Seconds after which a preview is shown again: where it vanishes by itself, it does so after half a minute."""


class Live:
    """The previews of one turn: typing first, then the growing text, no faster than the platform likes.

    At most one call is under way; a preview that fails never fails the turn.
    """

    def __init__(
        self,
        chat: Chat,
        partial: Partial,
        pages: Pages | Marks,
        pace: Pace,
        digest: Callable[[str], str],
        *,
        behind: Callable[[], bool],
        held: Callable[[], bool],
    ) -> None:
        """`behind` says whether an earlier reply of the lane is still on its way: a preview that made a message now would stand
        above it for ever. `held` says whether we deliver here without a break: a preview must not come over another process'
        final.
        """
        self._behind = behind
        self._held = held
        self._chat = chat
        self._pace = pace
        self._partial = partial
        self._pages = pages
        private = partial.chat.private
        self._every = chat.traits.preview_every if private else chat.traits.preview_group_every
        self._delay = SOON if private else UNHURRIED
        self._from = 1 if private else chat.traits.preview_group_from
        self._text = ""
        self._doing = ""
        self._seen: Partial | None = None
        self._seen_at = 0.0
        self._changed = asyncio.Event()
        self._digest = digest
        self.shown = pages.shown
        """The message that the final must edit, where the platform shows previews as one."""
        self.doubt = "" if self.shown else pages.tried
        """What a message may show of which nobody has heard, as a digest; nothing more is shown then."""

    def show(self, text: str, doing: str) -> None:
        """The whole text so far, and what is being done."""
        self._text = text
        self._doing = doing
        if not self._changed.is_set():
            self._changed.set()

    async def run(self) -> None:
        """Show until cancelled; a call that is under way is finished first, so that nothing overtakes the final."""
        typing = asyncio.create_task(self._typing(self._chat))
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(REFRESH):
                        await self._changed.wait()
                await asyncio.sleep(self._delay)
                self._delay = 0.0
                if self._behind() and not self.shown:
                    await asyncio.sleep(self._every)
                    continue
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
            if self.doubt:
                return REFRESH
            if not (self._held() and await self._pace.partial(chat.traits, partial.chat)):
                self._changed.set()  # what was not shown now is shown later, also when nothing is added to it
                return self._every
            shown = await self._called(chat, partial)
            self._seen, self._seen_at = partial, time.monotonic()
            if shown != self.shown:
                self.shown = shown
                await self._pages.show(shown)
        except ChatBusy as error:
            await self._pace.hold(chat.traits, partial.chat, error.retry_after)
            self._every = min(self._every * 2, 60.0)
            self._changed.set()
            return max(error.retry_after, self._every)
        except (ChatError, StoreError) as error:
            log.debug("preview: %s", error.sentence)
        except Exception as error:  # noqa: BLE001 - a preview must not end the turn
            log.error("a preview failed: %s", traced(error))  # noqa: TRY400 - as above
        return self._every

    async def _called(self, chat: Chat, partial: Partial) -> str:
        """Where a platform lets us find nothing, a first message of which we did not hear may stand for ever, and may say all
        that the final says.
        """
        blind = chat.traits.readback == "none" and not self.shown
        if blind and not partial.chat.private:
            await self._pages.attempt(self._digest(partial.whole()))
        try:
            return await chat.preview(partial, self.shown)
        except ChatUnreachable as error:
            if blind and error.arrived:
                self.doubt = self._digest(partial.whole())
            raise

    async def _typing(self, chat: Chat) -> None:
        await asyncio.sleep(TYPING_AFTER)
        while True:
            try:
                await chat.typing(self._partial.chat)
            except Exception as error:  # noqa: BLE001 - nor must this
                log.error("typing failed: %s", traced(error))  # noqa: TRY400 - as above
            await asyncio.sleep(TYPING_EVERY)
