"""One state of everything that the check of the mailbox looks at: a lane, its workers, what is promised to the people."""

from typing import Any, NamedTuple

MANY = 1
"""So often, or more: that they count on is a matter of tests/core/test_mailbox_leases.py."""


class Lane(NamedTuple):
    """What the store holds of the lane."""

    fields: tuple[tuple[str, str], ...] = ()
    waiting: tuple[str, ...] = ()
    live: str = ""
    seen: tuple[str, ...] = ()
    journal: tuple[tuple[str, str], ...] = ()
    ends: bool = False

    def get(self, name: str) -> str:
        for known, value in self.fields:
            if known == name:
                return value
        return ""

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


class Past(NamedTuple):
    """What really happened to the turn at the head: what its next BEGIN must say of it, numbers up to MANY."""

    turn: str = ""
    """"" before its first BEGIN."""
    untold: bool = False
    """The worker that began it last has not said what became of it."""
    grew: bool = False
    """A step was kept since."""
    failures: int = 0
    deaths: int = 0

    def next(self, turn: str) -> "Past":
        """After one more BEGIN."""
        if turn != self.turn:
            return Past(turn, untold=True)
        deaths = 0 if self.grew else min(self.deaths + self.untold, MANY)
        return self._replace(untold=True, grew=False, deaths=deaths)

    def failed(self) -> "Past":
        """After its worker said that it failed."""
        return self._replace(untold=False, failures=min(self.failures + 1, MANY))


class World(NamedTuple):
    """One state of everything."""

    lane: Lane = Lane()
    workers: tuple[Holding | None, ...] = (None, None)
    posted: int = 0
    owed: tuple[str, ...] = ()
    """The messages that were accepted and neither answered nor reported as dropped, in order: the promise."""
    wakeups: tuple[int, ...] = ()
    """Epochs of wake-ups that may arrive at any time, any number of times, or never."""
    past: Past = Past()
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
