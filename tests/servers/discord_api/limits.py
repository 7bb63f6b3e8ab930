"""Rate limits and failures on order: when a good call is refused all the same."""

import math
import time
from collections import deque
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Limits:
    """Buckets as (calls, seconds), each for one route and one channel, guild or webhook; the figures are guesses (the
    platform publishes none and tells them in headers)."""

    messages: tuple[int, float] = (5, 5.0)  # send, edit: a bucket each
    typing: tuple[int, float] = (5, 5.0)
    reactions: tuple[int, float] = (1, 0.25)
    webhooks: tuple[int, float] = (5, 2.0)
    others: tuple[int, float] = (50, 1.0)
    per_second: int = 50  # all calls but those of interactions
    identify_seconds: float = 5.0  # between two IDENTIFYs of one max_concurrency key
    identifies: int = 1000  # a day
    sends: tuple[int, float] = (120, 60.0)  # of one gateway connection


MANY = (1_000_000, 1.0)
FREE = Limits(MANY, MANY, MANY, MANY, MANY, 1_000_000, 0.0, 1_000_000, MANY)
"""No limits at all, for loads."""


@dataclass(slots=True)
class Bucket:
    """Calls of one kind at one place within a window that begins with the first."""

    name: str
    limit: int
    seconds: float
    ends: float = 0.0
    used: int = 0

    def take(self) -> float:
        """Seconds to wait, 0 if the call may pass now."""
        now = time.monotonic()
        if now >= self.ends:
            self.used, self.ends = 0, now + self.seconds
        if self.used >= self.limit:
            return self.ends - now
        self.used += 1
        return 0.0

    @property
    def headers(self) -> dict[str, str]:
        after = max(self.ends - time.monotonic(), 0.0)
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.limit - self.used),
            "X-RateLimit-Reset": f"{time.time() + after:.3f}",
            "X-RateLimit-Reset-After": f"{after:.3f}",
            "X-RateLimit-Bucket": self.name,
        }


class Window:
    """At most so many in any stretch of so many seconds."""

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds
        self._times: deque[float] = deque()

    def take(self) -> float:
        """Seconds to wait, 0 if one more may pass now."""
        now = time.monotonic()
        while self._times and self._times[0] <= now - self._seconds:
            self._times.popleft()
        if len(self._times) >= self._limit:
            return self._times[0] + self._seconds - now
        self._times.append(now)
        return 0.0


@dataclass(slots=True)
class Fault:
    """A failure on order, see DiscordServer.fail."""

    route: str
    times: float
    status: int | None
    code: int
    retry_after: float | None
    scope: str
    drop: str | None
    delay: float
    lag: float
    garbled: bool
    cloudflare: bool
    channel: int | None
    skip: int
    hits: list[float] = field(default_factory=list)  # when it struck


def limited(wait: float, scope: str) -> tuple[dict, dict[str, str]]:
    """The body and the headers of a 429."""
    everywhere = scope == "global"
    body = {"message": "You are being rate limited.", "retry_after": round(wait, 3), "global": everywhere}
    headers = {"Retry-After": str(math.ceil(wait)), "X-RateLimit-Scope": scope}
    return body, headers | ({"X-RateLimit-Global": "true"} if everywhere else {})
