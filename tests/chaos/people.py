"""People who say numbered messages at a steady pace and wait for nobody, and a model that names what it answers."""

import asyncio
import itertools
import random
import re
import time
from typing import Any

from tests.chaos.platforms import Place, Platform
from tests.servers.models import Reply

NUMBER = re.compile(r"\bm\d{5}\b")
DONE = "Done."
"""Ends every answer: without it a message is no final."""


class People:
    """Everybody on all platforms. `where` tells the place of a number, `when` the moment at which it was said."""

    def __init__(self, platforms: list[Platform], rng: random.Random) -> None:
        self.where: dict[str, Place] = {}
        self.when: dict[str, float] = {}
        self._platforms = platforms
        self._rng = rng
        self._numbers = itertools.count(1)

    async def greet(self) -> None:
        """Everybody says something once: a direct message that a platform never showed us cannot be looked up later."""
        for platform in self._platforms:
            for place in platform.places:
                await self._say(platform, place, place.people[0])

    async def talk(self, rate: float) -> None:
        """So many messages a second in all, until cancelled; one in eight people says several things at once."""
        while True:
            platform = self._rng.choice(self._platforms)
            place = self._rng.choice(platform.places)
            burst = self._rng.choice((2, 3, 4)) if self._rng.random() < 0.125 else 1
            for _ in range(burst):
                await self._say(platform, place, self._rng.choice(place.people))
                await asyncio.sleep(self._rng.uniform(0.0, 0.1))
            await asyncio.sleep(self._rng.expovariate(rate / burst))

    async def _say(self, platform: Platform, place: Place, person: Any) -> None:
        number = f"m{next(self._numbers):05}"
        self.where[number], self.when[number] = place, time.monotonic()
        place.asked.append(number)
        await platform.say(place, person, f"{number}, please")


class Brain:
    """The model: some answers come at once, most within a second or two, some take their time."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def __call__(self, request: dict) -> Reply:
        numbers = unanswered(request)
        if not numbers:
            return Reply(text="They said some things.")  # a summary was asked for
        words, pace = self._rng.choice(((8, None), (20, 30.0), (40, 30.0), (60, 30.0)))
        return Reply(text=f"Answer to {', '.join(numbers)}. {'word ' * words}{DONE}", tokens_per_second=pace)


def unanswered(request: dict) -> list[str]:
    """The numbers that people said since the assistant spoke last."""
    numbers: list[str] = []
    for message in request.get("messages", []):
        if message["role"] == "assistant":
            numbers = []
        else:
            numbers += NUMBER.findall(str(message["content"]))
    return numbers
