"""A reply while it grows: a message that is edited, and that becomes one in components when it has outgrown a content.

One try each; where its bucket has no call to spare, a preview is left out, so that the final never waits for one.
"""

import time
from collections import OrderedDict

from adapters.chat.discord.format import LONG, SHORT, Piece, pieces, units
from adapters.chat.discord.postbox import Frame, Postbox
from adapters.chat.discord.rest import Haste, Times
from adapters.recent import keep
from core.apart import apart
from core.messages import Partial
from core.text import balanced

SMOOTH = 10_000
"""Characters up to which previews come at the full rate; each as many more cost a second, for all is rendered again."""


class Previews:
    """The previews of one bot."""

    def __init__(self, postbox: Postbox, times: Times) -> None:
        self._postbox = postbox
        self._times = times
        self._at: OrderedDict[str, float] = OrderedDict()

    async def show(self, partial: Partial, shown: str) -> str:
        """Show what there is; the id of the message that does. Raises Refused, ChatBusy, ChatUnreachable."""
        text, now = partial.whole(), time.monotonic()
        if not text or now - self._at.get(partial.turn, 0.0) < len(text) / SMOOTH - 1.0:
            return shown
        keep(self._at, partial.turn, now)
        piece = await apart(len(text), newest, text, flat=self._postbox.flat)
        frame = Frame(partial.chat.thread or partial.chat.chat, partial.chat, f"{partial.turn}:0", partial.reply_to)
        return await self._postbox.put(frame, piece, shown, Haste(self._times.preview, 0.0))


def newest(text: str, *, flat: bool) -> Piece:
    """A text that still grows, rendered for one message: all of it, or its end where it is too long for one."""
    made = pieces(balanced(text), flat=flat)
    if not made:
        return Piece("…", "content")
    last = made[-1]
    if len(made) == 1 or units(last.text) > (SHORT if flat else LONG) - 3:
        return last
    return Piece(f"…\n\n{last.text}", last.form)
