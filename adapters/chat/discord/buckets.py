"""What Discord lets through: the buckets of its routes as its answers tell them, the limit on all calls together, and the
count of answers that it holds against us.

No figure of a bucket is written here. A bucket that is not known yet lets one call through and waits for what it learns.
"""

import asyncio
import sys
import time
from collections import OrderedDict, deque
from collections.abc import Mapping

import msgspec

from adapters.recent import keep
from core.errors import ChatBusy, ChatUnreachable

GLOBAL = 50
"""Calls a second."""
SPARE = 5_000
"""Invalid answers within ten minutes after which calls are spread out; at 10,000 Discord shuts the door for hours."""
SPREAD = 0.5
WINDOW = 600.0
BANNED = 60.0
"""Seconds, at least, when what stands in front of Discord sends us away without a reason."""
CLOSED = 600.0
"""Seconds that a channel which refused us is left alone, unless something changes earlier."""


class Told(msgspec.Struct, frozen=True):
    """What an answer says about limits."""

    bucket: str = ""
    limit: int = 0
    remaining: int = 0
    reset_after: float = 0.0

    @classmethod
    def read(cls, headers: Mapping[str, str]) -> "Told | None":
        """From the headers; None where there are none, or none that can be read."""
        try:
            return cls(
                headers.get("X-RateLimit-Bucket", ""),
                int(float(headers["X-RateLimit-Limit"])),
                int(float(headers["X-RateLimit-Remaining"])),
                float(headers["X-RateLimit-Reset-After"]),
            )
        except (KeyError, ValueError, OverflowError):
            return None


class Bucket:
    """The calls that one route may make in one place until the next reset."""

    __slots__ = ("_changed", "free", "known", "left", "limit", "resets", "under_way")

    def __init__(self) -> None:
        self.limit = 1
        self.left = 1
        self.resets = 0.0
        """When `left` becomes `limit` again; 0 while no answer has told."""
        self.under_way = 0
        self.known = False
        self.free = False
        """The first answer had not a word about limits: there are none."""
        self._changed = asyncio.Event()

    def room(self) -> int:
        """How many calls may go out now."""
        if self.free:
            return sys.maxsize
        if self.resets and time.monotonic() >= self.resets:
            self.left, self.resets = self.limit - self.under_way, 0.0
        return self.left

    def wait(self) -> float:
        """Seconds until there may be room, 0 where only an answer can tell."""
        return max(0.0, self.resets - time.monotonic())

    async def change(self, seconds: float) -> None:
        """Wait for an answer, or so long."""
        self._changed.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass

    def take(self) -> None:
        """One call goes out."""
        self.left -= 1
        self.under_way += 1

    def end(self, told: Told | None, *, answered: bool) -> None:
        """One call is over."""
        self.under_way -= 1
        if told:
            fresh = time.monotonic() >= self.resets
            self.free, self.known, self.limit = False, True, told.limit
            # Answers overtake each other: within one window the smallest number is the newest.
            left = told.remaining - self.under_way
            self.left = left if fresh else min(self.left, left)
            self.resets = max(self.resets, time.monotonic() + told.reset_after)
        elif answered and not self.known:
            self.free = True
        elif not self.resets and not self.under_way:
            self.left = self.limit
        self._changed.set()

    def empty(self, seconds: float) -> None:
        """The platform says to wait."""
        self.left, self.resets = 0, max(self.resets, time.monotonic() + seconds)
        self.free, self.known = False, True


class Buckets:
    """All limits of one bot."""

    def __init__(self) -> None:
        self._names: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._buckets: OrderedDict[tuple[str, str], Bucket] = OrderedDict()
        self._closed: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()
        self._sent: deque[float] = deque(maxlen=GLOBAL)
        self._invalid: deque[float] = deque()
        self._until = 0.0
        self._next = 0.0

    def of(self, route: str, major: str) -> Bucket:
        """The bucket of a route in a place."""
        name = self._names.get((route, major)) or self._names.get((route, ""), route)
        return keep(self._buckets, (name, major), self._buckets.get((name, major)) or Bucket())

    async def enter(self, route: str, major: str, *, keep: int, patience: float, outside: bool) -> Bucket:
        """Wait for room, at most `patience` seconds, and take it. `keep` calls of the bucket are left for others; `outside`
        are calls that do not count for the limit on all. Raises ChatBusy; ChatUnreachable where `patience` is 0.
        """
        end = time.monotonic() + patience
        while True:
            bucket = self.of(route, major)
            wait = self._held(outside=outside)
            if not wait:
                if bucket.room() > min(keep, bucket.limit - 1):
                    break
                wait = bucket.wait()
            left = end - time.monotonic()
            if wait > left or left <= 0:
                if not patience:
                    raise ChatUnreachable("Discord: no call to spare now.", arrived=False)
                raise ChatBusy(f"Discord lets nothing through for {wait:.1f} s.", retry_after=max(wait, 0.1))
            await bucket.change(min(wait or left, left))
        bucket.take()
        if not outside:
            self._sent.append(time.monotonic())
            self._next = time.monotonic() + (SPREAD if self._guilty() else 0.0)
        return bucket

    def learn(self, bucket: Bucket, route: str, major: str, told: Told | None, *, answered: bool) -> None:
        """A call is over; `answered` says whether there was an answer at all."""
        if told and told.bucket and self._names.get((route, major)) != told.bucket:
            for place in (major, ""):  # mostly a route's bucket has one name everywhere
                keep(self._names, (route, place), told.bucket)
            self._buckets.setdefault((told.bucket, major), bucket)
        bucket.end(told, answered=answered)

    def hold(self, seconds: float) -> None:
        """Nothing leaves for so long."""
        self._until = max(self._until, time.monotonic() + seconds)

    def blame(self) -> None:
        """Discord counts an answer against us."""
        self._invalid.append(time.monotonic())

    def close(self, route: str, major: str, code: int) -> None:
        """We may not do this there."""
        keep(self._closed, (route, major), (time.monotonic() + CLOSED, code))

    def closed(self, route: str, major: str) -> int:
        """The code with which we were refused there; 0 where we may try."""
        until, code = self._closed.get((route, major), (0.0, 0))
        return code if until > time.monotonic() else 0

    def reopen(self, major: str = "") -> None:
        """Something changed there, or, without a place, anywhere: we may be let in again."""
        for key in [key for key in self._closed if not major or key[1] == major]:
            del self._closed[key]

    def _held(self, *, outside: bool) -> float:
        now = time.monotonic()
        if outside:
            return max(0.0, self._until - now)
        crowded = self._sent[0] + 1.0 - now if len(self._sent) == GLOBAL else 0.0
        return max(0.0, self._until - now, self._next - now, crowded)

    def _guilty(self) -> bool:
        old = time.monotonic() - WINDOW
        while self._invalid and self._invalid[0] < old:
            self._invalid.popleft()
        return len(self._invalid) >= SPARE
