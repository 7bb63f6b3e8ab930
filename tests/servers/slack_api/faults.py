"""Failures on order and the limits of the tiers: when a good call is refused all the same."""

import math
import time
from dataclasses import dataclass, field

from tests.servers.slack_api.wire import Refused


@dataclass(slots=True)
class Fault:
    """A failure on order, see SlackServer.fail."""

    method: str
    times: float
    status: int | None
    retry_after: int | None
    error: str | None
    drop: str | None
    delay: float
    lag: float
    garbled: bool
    proxy: bool
    channel: str | None
    skip: int


def ordered(fault: Fault) -> Refused | None:
    """The refusal that a fault asks for, if it asks for one."""
    if fault.status == 429 or fault.retry_after is not None:
        return Refused(fault.error or "ratelimited", 429, wait=1 if fault.retry_after is None else fault.retry_after)
    if fault.status is not None or fault.error:
        return Refused(fault.error or "internal_error", fault.status or 200)
    return None


@dataclass(slots=True)
class Limits:
    """Calls a minute by tier; "special" has none of its own, postMessage a pace by channel and one for the workspace."""

    per_minute: dict[str, float] = field(
        default_factory=lambda: {"T1": 1, "T2": 20, "T3": 50, "T4": 100, "special": 600}
    )
    methods: dict[str, float] = field(default_factory=dict)  # own ones, before the tier's
    channel_seconds: float = 1.0
    channel_burst: int = 4
    workspace_per_minute: float = 300
    history_items: int | None = None  # 15 for an app that is sold outside the marketplace


class Tiers:
    """The buckets, by method and by channel; whoever is refused waits until a call is free."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._calls: dict[str, list[float]] = {}  # method -> when, within the last minute
        self._free: dict[str, float] = {}  # channel -> when its bucket will be full again

    def wait(self, method: str, tier: str, channel: str | None) -> int:
        """Seconds to wait before this call may come again, 0 if it may pass now."""
        now = time.monotonic()
        most = self.limits.methods.get(method, self.limits.per_minute[tier])
        if method == "chat.postMessage":
            most = self.limits.methods.get(method, self.limits.workspace_per_minute)
        calls = self._calls[method] = [at for at in self._calls.get(method, []) if at > now - 60]
        if len(calls) >= most:
            return max(1, math.ceil(calls[0] + 60 - now))
        if method == "chat.postMessage" and channel:
            step, free = self.limits.channel_seconds, max(self._free.get(channel, 0.0), now)
            if free + step - now > step * self.limits.channel_burst + 1e-9:
                return max(1, math.ceil(free + step - now - step * self.limits.channel_burst))
            self._free[channel] = free + step
        calls.append(now)
        return 0
