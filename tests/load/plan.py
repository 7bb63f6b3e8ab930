"""How much of everything: all that varies in the bench, in one place."""

import os
from dataclasses import dataclass, field

_CORES = sorted(os.sched_getaffinity(0))
BOT_CORE = _CORES[0]
"""Where the bots run, with their stores."""
LOAD_CORE = _CORES[-1]
"""Where the servers and the people run."""


@dataclass(frozen=True, slots=True)
class Speech:
    """How a model speaks: seconds to the first token, tokens a second (0: all at once), how many, how many an event."""

    first: float = 0.0
    rate: float = 0.0
    tokens: int = 20
    batch: int = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """One run. Times are in seconds."""

    rounds: int = 2
    """Of each scenario that is measured in turns, bare and ours one after the other."""
    warm: int = 40
    """Messages before anything is counted."""
    patience: float = 20.0
    """After so long a message counts as lost."""

    idle_watch: float = 15.0

    load_people: int = 20
    load_rate: float = 5.0
    load_seconds: float = 8.0
    load_speech: Speech = Speech(0.3, 100.0, 100)
    load_coarse: Speech = Speech(0.3, 100.0, 100, batch=10)
    """The same text at the same pace in a tenth of the events: what it costs less is what the other events cost."""

    max_rounds: int = 3
    max_people: int = 32
    max_seconds: float = 5.0
    max_stay: int = 20
    """Messages after which another person takes the seat, so that histories stay those of a chat of 20 turns."""
    max_speech: Speech = Speech()

    burst_messages: int = 5
    burst_speech: Speech = Speech(0.3, 100.0, 20)

    neighbours_rounds: int = 1
    neighbours: int = 19
    neighbours_rate: float = 100.0
    neighbours_seconds: float = 10.0
    slow_speech: Speech = Speech(10.0)

    flood_chats: int = 200
    flood_group: int = 10
    flood_group_every: float = 0.5
    flood_patience: float = 90.0

    growth_conversations: tuple[int, ...] = (100, 1_000, 10_000)
    growth_histories: tuple[int, ...] = (0, 20, 200, 1_000)
    """Messages in the chat before the first that is measured."""
    growth_people: int = 40
    growth_messages: int = 320
    growth_seats: int = 4

    workers: tuple[int, ...] = (1, 2, 4)
    workers_rounds: int = 2
    workers_seconds: float = 3.0

    install: bool = False
    """Whether the base install is made and weighed."""
    settings: dict[str, str] = field(default_factory=dict)
    """Of ours, over those of every scenario."""


QUICK = Plan()
LONG = Plan(
    rounds=5,
    idle_watch=60.0,
    load_seconds=60.0,
    max_rounds=5,
    max_seconds=15.0,
    neighbours_rounds=5,
    neighbours_seconds=15.0,
    growth_conversations=(100, 1_000, 10_000, 100_000),
    growth_messages=1_000,
    workers_rounds=5,
    workers_seconds=10.0,
    install=True,
)
SMOKE = Plan(
    rounds=1,
    warm=4,
    load_people=4,
    load_seconds=1.0,
    load_speech=Speech(0.05, 100.0, 10),
    load_coarse=Speech(0.05, 100.0, 10, batch=10),
    max_rounds=1,
    max_people=4,
    max_seconds=0.5,
)
