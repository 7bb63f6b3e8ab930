"""How often previews may call: Slack counts calls by the minute over the whole workspace, finals and commands included."""

import time


class Bucket:
    """So many calls a minute, a few of them at once."""

    def __init__(self, minute: float, burst: float) -> None:
        self._rate = minute / 60.0
        self._burst = burst
        self._left = burst
        self._at = time.monotonic()

    def take(self) -> bool:
        """Whether a call may go now."""
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
