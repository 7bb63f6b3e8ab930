"""What happened to each message, by the one clock of this machine: who said it, who got it, who answered."""

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.load.plan import Speech

DONE = "done."
"""The last word of every reply: what holds it is whole."""
NUMBER = re.compile(r"m\d{7}\b")


@dataclass(slots=True, eq=False)
class Asked:
    """One message; the times are 0.0 until it came so far."""

    number: str
    speech: Speech
    ended: asyncio.Future[None]
    handed: float = 0.0
    """The update was given to the bot."""
    called: float = 0.0
    """The model server had the request."""
    first: float = 0.0
    """Its first token left."""
    last: float = 0.0
    """Its last byte left."""
    shown: float = 0.0
    """The chat server got something of the answer that is to be seen."""
    final: float = 0.0
    """The chat server got the whole answer."""
    finals: int = 0


@dataclass(slots=True)
class Record:
    """All messages of one bot."""

    asked: dict[str, Asked] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    """In which finals came."""
    calls: int = 0
    """Of the model, for messages."""
    others: int = 0
    """Of the model, for something else."""
    sends: dict[str, int] = field(default_factory=dict)
    """Calls of the platform by method."""
    refused: int = 0
    """Calls that were to be tried later."""
    problems: list[str] = field(default_factory=list)
    """Calls that no server would take."""

    def ask(self, speech: Speech) -> Asked:
        """A new message under a number of its own."""
        number = f"m{len(self.asked) + 1:07}"
        asked = self.asked[number] = Asked(number, speech, asyncio.get_running_loop().create_future())
        return asked

    def named(self, text: str) -> list[Asked]:
        """The messages that a text names."""
        return [self.asked[number] for number in NUMBER.findall(text) if number in self.asked]

    def hand(self, text: str, at: float) -> None:
        """Updates were given to the bot."""
        for asked in self.named(text):
            asked.handed = asked.handed or at

    def call(self, asked: Iterable[Asked], at: float) -> list[Asked]:
        """The model is asked; those of the messages that it was not asked about before."""
        fresh = [one for one in asked if not one.called]
        for one in fresh:
            one.called = at
        if fresh:
            self.calls += 1
        else:
            self.others += 1
        return fresh

    def show(self, text: str, at: float, *, standing: bool) -> None:
        """The bot said something; `standing` is a message, else it is a preview that goes."""
        for asked in self.named(text):
            asked.shown = asked.shown or at
            if standing and DONE in text:
                asked.final = asked.final or at
                asked.finals += 1
                self.order.append(asked.number)
                if not asked.ended.done():
                    asked.ended.set_result(None)
