"""What became of every message: counted from what stands in the chats at the end, and from what the servers saw."""

import asyncio
import itertools
import time
from dataclasses import dataclass, field
from typing import Any

from core.words import words
from tests.chaos.people import DONE, NUMBER, People, unanswered
from tests.chaos.platforms import Place, Platform, Shown
from tests.chaos.process import Process
from tests.servers.models import ModelServer, Seen

GOAL = 7.0
"""Seconds within which nearly all chats go on after a kill, with a lease of five."""
AGAIN = words("sent_again").strip("*() ")[:10]


@dataclass(slots=True)
class Outage:
    """A time in which the program, one of its processes or its store was down or stood still."""

    kind: str
    began: float
    hit: list[Place]
    """Where a turn was under way that it stops, or whose reply has to wait for it."""
    plays: bool
    delivers: bool
    """What it does otherwise: turns, replies."""
    ended: float = 0.0
    """The program is up again, or its other processes can go on."""
    doubt: list[tuple[float, float]] = field(default_factory=list)
    """Times at which a send began that may have been under way, or not been noted."""

    @property
    def killed(self) -> bool:
        return self.kind.startswith("kill")


@dataclass(slots=True)
class Verdict:
    """The figures of one platform."""

    platform: str
    said: int = 0
    lost: int = 0
    copies: int = 0
    marked: int = 0
    stray: int = 0
    most: int = 0
    """Of the marked and the stray ones."""
    disorder: int = 0
    overlaps: int = 0
    problems: int = 0
    recovery: list[float] = field(default_factory=list)

    @property
    def bad(self) -> bool:
        return bool(
            self.lost
            or self.copies
            or self.disorder
            or self.overlaps
            or self.problems
            or self.marked + self.stray > self.most
        )


class Ledger:
    """Watches the chats. `findings` says in words what was found, `wrong_ends` counts how often the program ended otherwise
    than it should, `begun_again` the turns that a SIGTERM broke.
    """

    def __init__(self, platforms: list[Platform], people: People, models: ModelServer) -> None:
        self.outages: list[Outage] = []
        self.findings: list[str] = []
        self.wrong_ends = 0
        self.begun_again = 0
        self._began = time.monotonic()
        self._platforms = platforms
        self._people = people
        self._models = models
        self._finals: dict[Place, dict[Any, float]] = {}
        self._named: set[str] = set()
        self._turns: dict[Place, list[Seen]] = {}

    async def watch(self) -> None:
        """Note when finals came, until cancelled."""
        while True:
            self._look()
            await asyncio.sleep(0.05)

    def outage(self, kind: str, process: Process | None = None) -> Outage:
        """Something ends or stands still now: a process, or the store."""
        plays, delivers = (process.plays, process.delivers) if process else (True, True)
        turns = (s for s in self._models.requests if not s.ended and (delivers or _asked_by(process, s)))
        hit = [place for seen in turns if (place := self._place(seen))]
        self.outages.append(Outage(kind, time.monotonic(), list(dict.fromkeys(hit)), plays, delivers))
        return self.outages[-1]

    def note_broken(self, process: Process, since: float) -> None:
        """A SIGTERM since this moment: answers of the model that had begun and were left, though no other process had taken
        the turn over before.
        """
        for seen in self._models.requests:
            if seen.closed == "gone" and seen.ended >= since and seen.pieces and _asked_by(process, seen):
                place = self._place(seen)
                later = (s for s in self._models.requests if seen.at < s.at < since)
                if not any(self._place(s) is place for s in later):
                    self.begun_again += 1
                    self.findings.append(f"{place.name if place else '?'}: begun again at SIGTERM")

    def ended_wrong(self, how: str) -> None:
        """The program ended otherwise than it should."""
        self.wrong_ends += 1
        self.findings.append(f"the program ended wrong: {how}")

    @property
    def settled(self) -> bool:
        """Whether every message is answered and nobody asks the model."""
        self._look()
        return not (self._people.where.keys() - self._named or self._models.open)

    def story(self) -> list[str]:
        """What happened in every place of which a finding tells, in order."""
        lines = []
        for platform in self._platforms:
            for place in platform.places:
                if any(finding.startswith(f"{place.name}:") for finding in self.findings):
                    lines += [f"\n{place.name}", *self._told(platform, place)]
        return lines

    def judge(self) -> list[Verdict]:
        """The figures, by platform."""
        for seen in self._models.requests:
            if place := self._place(seen):
                self._turns.setdefault(place, []).append(seen)
        return [self._judge(platform) for platform in self._platforms]

    def _told(self, platform: Platform, place: Place) -> list[str]:
        told = [(self._people.when[number], f"said {number}") for number in place.asked]
        told += [(o.began, f"{o.kind} until {o.ended - self._began:.2f}") for o in self.outages]
        for seen in self._models.requests:
            if self._place(seen) is place:
                by = seen.headers.get("Authorization", "").removeprefix("Bearer ")
                until = f"until {seen.ended - self._began:.2f} {seen.closed}"
                told.append((seen.at, f"{by}: turn {unanswered(seen.json)} {until}"))
        told += [(shown.at, f"made {shown.id} {shown.text[:60]!r}") for shown in platform.shown(place)]
        told += [(at, f"final {id_}") for id_, at in self._finals[place].items()]
        told += platform.calls(place)
        return [f"{at - self._began:8.2f}  {what}" for at, what in sorted(told)]

    def _look(self) -> None:
        for platform in self._platforms:
            for place in platform.places:
                finals = self._finals.setdefault(place, {})
                for shown in platform.shown(place):
                    if shown.id not in finals and _final(shown):
                        finals[shown.id] = time.monotonic()
                        self._named.update(NUMBER.findall(shown.text))

    def _judge(self, platform: Platform) -> Verdict:
        verdict = Verdict(platform.name)
        for place in platform.places:
            self._read(place, list(platform.shown(place)), verdict)
            verdict.overlaps += self._overlaps(place)
            verdict.recovery += self._recovered(place)
        if platform.blind:
            verdict.most = platform.unclear()
            verdict.most += platform.began([within for o in self.outages for within in o.doubt])
        verdict.problems = len(platform.server.problems)
        self.findings += [f"{platform.name}: {problem}" for problem in platform.server.problems[:5]]
        return verdict

    def _read(self, place: Place, shown: list[Shown], verdict: Verdict) -> None:
        known: dict[str, bool] = {}
        """Whether the message before that names a number is marked."""
        order: list[str] = []
        for message in shown:
            numbers = NUMBER.findall(message.text)
            again = AGAIN in message.text
            if not _final(message):
                verdict.stray += 1
                self.findings.append(f"{place.name}: stray {message.text[:100]!r}")
                continue
            if before := [known[number] for number in numbers if number in known]:
                told = again or any(before)  # one that was on its way while it was sent again can come behind that one
                verdict.marked += told
                verdict.copies += not told
                self.findings.append(f"{place.name}: {'marked ' if told else ''}copy {message.text[:100]!r}")
            order += [n for n in numbers if n not in known]
            known.update((n, again) for n in numbers)
        verdict.said += len(place.asked)
        verdict.lost += len(lost := [n for n in place.asked if n not in known])
        wrong = [f"{b} after {a}" for a, b in itertools.pairwise(order) if _before(b, a, place)]
        verdict.disorder += len(wrong)
        self.findings += [f"{place.name}: lost {number}" for number in lost]
        self.findings += [f"{place.name}: {which}" for which in wrong]

    def _overlaps(self, place: Place) -> int:
        turns = itertools.pairwise(self._turns.get(place, ()))
        pairs = [(a, b) for a, b in turns if not a.ended or b.at < a.ended]
        self.findings += [f"{place.name}: turns of {unanswered(b.json)} and before overlap" for _, b in pairs]
        return len(pairs)

    def _recovered(self, place: Place) -> list[float]:
        """Seconds from each kill until its place went on, where nothing else came between: until a final, or until the turn
        was begun anew where only that had ended. They count from when somebody can go on.
        """
        found = []
        for number, outage in enumerate(self.outages):
            if not outage.killed or place not in outage.hit:
                continue
            later = (o.began for o in self.outages[number + 1 :] if _comes_between(outage, o))
            until = next(later, float("inf"))
            on = list(self._finals[place].values())
            if not outage.delivers:
                on += [seen.at for seen in self._turns.get(place, ())]
            if on := [at for at in on if outage.began < at < until]:
                found.append(max(0.0, min(on) - outage.ended))
                if found[-1] > GOAL:
                    self.findings.append(f"{place.name}: went on {found[-1]:.1f} s after {outage.kind}")
        return found

    def _place(self, seen: Seen) -> Place | None:
        numbers = unanswered(seen.json)
        return self._people.where.get(numbers[0]) if numbers else None


def _before(one: str, other: str, place: Place) -> bool:
    """Whether a message was both said and brought before another."""
    said = place.asked.index(one) < place.asked.index(other)
    late = len(place.brought)
    return said and (not late or place.brought.get(one, late) < place.brought.get(other, late))


def _final(shown: Shown) -> bool:
    return DONE in shown.text and not shown.growing and bool(NUMBER.search(shown.text))


def _comes_between(outage: Outage, later: Outage) -> bool:
    """Whether a later one keeps what an earlier one stopped from going on. Of many workers one that drains does not."""
    drains = later.kind.startswith("restart") and not later.delivers
    return not drains and ((outage.plays and later.plays) or (outage.delivers and later.delivers))


def _asked_by(process: Process | None, seen: Seen) -> bool:
    return process is not None and seen.headers.get("Authorization") == f"Bearer {process.name}"
