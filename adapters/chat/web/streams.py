"""Open pages: what each still has to be told, and no more than that.

A page that reads slowly gets the newest state of a growing reply, not its past; one that does not read at all is told
to load the transcript afresh.
"""

import asyncio
import contextlib
from collections.abc import Iterator

import msgspec

PAGES_CAP = 24
"""Open pages of one account; the oldest is closed for a further one."""
WAITING_CAP = 200
"""Events that wait for one page."""


class Choice(msgspec.Struct, frozen=True):
    """A button under a reply."""

    label: str
    action: str


class Grown(msgspec.Struct, frozen=True, tag="partial", tag_field="kind"):
    """A reply so far."""

    thread: str
    turn: str
    seq: int
    html: str
    asked: str = ""
    """The id of the message that it answers."""


class Final(msgspec.Struct, frozen=True, tag="final", tag_field="kind"):
    """A whole reply; it takes the place of the partial with its turn. `text` is its Markdown, to copy."""

    thread: str
    turn: str
    html: str
    text: str
    buttons: tuple[Choice, ...]
    at: int
    asked: str = ""
    """The id of the message that it answers."""
    failed: bool = False
    """No model answered: the text says why."""


class Working(msgspec.Struct, frozen=True, tag="typing", tag_field="kind"):
    """The assistant is at work."""

    thread: str


class Written(msgspec.Struct, frozen=True, tag="said", tag_field="kind"):
    """The account wrote something, perhaps on another open page."""

    thread: str
    id: str
    text: str


class Again(msgspec.Struct, frozen=True, tag="again", tag_field="kind"):
    """The newest reply is being made anew, perhaps from another open page."""

    thread: str


class Reload(msgspec.Struct, frozen=True, tag="reload", tag_field="kind"):
    """Too much was missed: read the transcript."""


Event = Grown | Final | Working | Written | Again | Reload


class Stream:
    """What one open page has yet to be told, oldest first."""

    def __init__(self) -> None:
        self._waiting: dict[str, bytes] = {}
        self._changed = asyncio.Event()
        self._count = 0
        self.closed = False

    def push(self, frame: bytes, over: str = "") -> None:
        """Add a frame; it takes the place of a waiting one with the same `over`."""
        self._count += 1
        if len(self._waiting) >= WAITING_CAP:
            self._waiting = {"": _frame(Reload())}
        self._waiting.pop(over, None)
        self._waiting[over or f"#{self._count}"] = frame
        self._changed.set()

    async def take(self) -> bytes:
        """All that waits, as one piece; waits until there is something. Empty when the stream has been closed."""
        await self._changed.wait()
        self._changed.clear()
        waiting, self._waiting = self._waiting, {}
        if self.closed:
            self._changed.set()
        return b"".join(waiting.values())

    def close(self) -> None:
        """End the stream; what waits is still given."""
        self.closed = True
        self._changed.set()


class Pages:
    """All open pages, by user."""

    def __init__(self) -> None:
        self._open: dict[str, list[Stream]] = {}

    def any(self, user: str) -> bool:
        """Whether this user has a page open."""
        return user in self._open

    def tell(self, user: str, event: Event, over: str = "") -> bool:
        """Tell every open page of a user; False if there is none. See Stream.push for `over`."""
        streams = self._open.get(user, ())
        if streams:
            frame = _frame(event)
            for stream in streams:
                stream.push(frame, over)
        return bool(streams)

    @contextlib.contextmanager
    def open(self, user: str) -> Iterator[Stream]:
        """A page of this user, open as long as the block lasts."""
        stream = Stream()
        streams = self._open.setdefault(user, [])
        streams.append(stream)
        if len(streams) > PAGES_CAP:
            streams[0].close()
        try:
            yield stream
        finally:
            streams.remove(stream)
            if not streams:
                del self._open[user]

    def close(self) -> None:
        """End all streams; the pages come back by themselves."""
        for streams in self._open.values():
            for stream in streams:
                stream.close()


_encoder = msgspec.json.Encoder()


def _frame(event: Event) -> bytes:
    # JSON holds no raw line break, so one data line is enough
    return b"data: " + _encoder.encode(event) + b"\n\n"
