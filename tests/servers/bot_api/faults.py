"""Failures on order and the limits of the flood: when a good call is refused all the same."""

import math
import time
from dataclasses import dataclass

from tests.servers.bot_api.wire import Refused


@dataclass(slots=True)
class Fault:
    """A failure on order, see TelegramServer.fail."""

    method: str
    times: float
    status: int | None
    retry_after: int | None
    description: str | None
    drop: str | None
    delay: float
    lag: float
    garbled: bool
    proxy: bool
    chat: int | None
    skip: int


def ordered(fault: Fault) -> Refused:
    reasons = {400: "Bad Request", 403: "Forbidden", 429: "Too Many Requests", 500: "Internal Server Error"}
    wait = 1 if fault.retry_after is None and fault.status == 429 else fault.retry_after
    text = fault.description or reasons.get(fault.status, "Bad Gateway")
    if wait is None:
        return Refused(fault.status, text)
    return Refused(fault.status, fault.description or f"Too Many Requests: retry after {wait}", retry_after=wait)


@dataclass(frozen=True, slots=True)
class Limits:
    """Flood limits: sends and edits count, typing, answers to presses and reactions do not."""

    chat_seconds: float = 1.0
    chat_burst: int = 3
    group_per_minute: int = 20
    per_second: int = 30
    draft_seconds: float = 0.5
    draft_burst: int = 5


class Flood:
    """The flood limits: buckets by chat, by group and overall; whoever is refused stays refused until the time is over."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._free: dict[object, float] = {}  # bucket -> when it will be full again
        self._shut: dict[object, float] = {}

    def wait(self, method: str, chat: int | None) -> int:
        """Seconds to wait before this call may come again, 0 if it may pass now."""
        limits, draft = self._limits, method.endswith("Draft")
        if not draft and method not in ("sendMessage", "sendRichMessage", "editMessageText"):
            return 0
        now, who = time.monotonic(), (chat, draft)
        if (shut := self._shut.get(who, 0.0)) > now:
            return math.ceil(shut - now)
        if draft:
            buckets = [(who, limits.draft_seconds, limits.draft_burst)]
        else:
            buckets = [("all", 1 / limits.per_second, limits.per_second), (who, limits.chat_seconds, limits.chat_burst)]
            if chat is not None and chat < 0:
                buckets.append((("minute", chat), 60 / limits.group_per_minute, limits.group_per_minute))
        late = max(max(self._free.get(key, 0.0), now) + step - now - step * size for key, step, size in buckets)
        if late > 1e-9:
            self._shut[who] = now + late
            return math.ceil(late)
        for key, step, _ in buckets:
            self._free[key] = max(self._free.get(key, 0.0), now) + step
        return 0
