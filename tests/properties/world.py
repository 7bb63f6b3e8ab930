"""One state of everything that the check of the mailbox looks at: a lane, its workers, what is promised to the people."""

from typing import Any, NamedTuple


class Lane(NamedTuple):
    """What the store holds of the lane."""

    fields: tuple[tuple[str, str], ...] = ()
    waiting: tuple[str, ...] = ()
    live: str = ""
    seen: tuple[str, ...] = ()
    journal: tuple[tuple[str, str], ...] = ()
    ends: bool = False

    def get(self, name: str) -> str:
        return dict(self.fields).get(name, "")

    def number(self, name: str) -> int:
        return int(self.get(name) or 0)

    def held(self) -> bool:
        return self.get("st") == "busy" and self.get("exp") == "later"

    def put(self, **changes: object) -> "Lane":
        fields = {**dict(self.fields), **{k: str(v) for k, v in changes.items()}}
        return self._replace(fields=tuple(sorted(fields.items())))

    def time_passes(self) -> "Lane":
        """The lease ends, and the sweeper would look."""
        later = self._replace(live="ended") if self.live else self
        return later.put(exp="ended") if later.get("exp") else later


class Holding(NamedTuple):
    """What a worker believes about the turn that it runs."""

    fence: int
    turn: str
    saw: tuple[str, ...]
    """The messages, as BEGIN gave them."""
    lease: bool
    """Its lease has not ended, and it has not sent a commit."""
    unsure: bool = False
    """It has sent a commit and has no answer."""


class World(NamedTuple):
    """One state of everything."""

    lane: Lane = Lane()
    workers: tuple[Holding | None, ...] = (None, None)
    posted: int = 0
    owed: tuple[str, ...] = ()
    """The messages that were accepted and neither answered nor reported as dropped, in order: the promise."""
    wakeups: tuple[int, ...] = ()
    """Epochs of wake-ups that may arrive at any time, any number of times, or never."""
    halted: str = ""
    """The turn of which STOP said that it is being stopped."""
    edits: int = 1
    stops: int = 1


class Result(NamedTuple):
    """What one call came to."""

    answer: Any
    lane: Lane
    replies: tuple[str, ...]
    blocks: tuple[str, ...]


class Broken(Exception):
    """A promise is broken."""
