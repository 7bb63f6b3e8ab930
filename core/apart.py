"""Work on a text that may take long is done apart from the event loop, so that no other chat waits for it."""

import asyncio
import functools
import gc
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

LONG = 3_000
"""Characters: whatever stands in a shorter text, reading and rendering it takes some tens of milliseconds at most."""

P = ParamSpec("P")
T = TypeVar("T")


async def apart(size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` makes of its arguments, in a thread where the text that it works on has so many characters."""
    if size < LONG:
        return work(*args, **kwargs)
    return await asyncio.to_thread(_uncollected, functools.partial(work, *args, **kwargs))


def _uncollected(work: Callable[[], T]) -> T:
    with _COLLECTOR:
        return work()


class _Collector:
    """Python's search for cycles, put off as long as such work goes on: it stops all threads, for half a second where the
    tree of a text has many parts, and finds none there.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at_work = 0

    def __enter__(self) -> None:
        with self._lock:
            self._at_work += 1
            gc.disable()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._at_work -= 1
            if not self._at_work:
                gc.enable()


_COLLECTOR = _Collector()
