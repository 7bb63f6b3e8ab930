"""A long text that is hard to read holds nobody up."""

import asyncio
import gc
import threading
import time

import pytest

from core.apart import LONG, apart
from core.text import cut, parse, plain


def pieces(text: str) -> int:
    return len(cut(parse(text), lambda piece: len(plain(piece)) <= 3_900))


async def test_a_short_text_is_worked_on_at_once_and_a_long_one_in_a_thread() -> None:
    assert await apart(LONG - 1, threading.current_thread) is threading.main_thread()
    assert await apart(LONG, threading.current_thread) is not threading.main_thread()


async def test_what_fails_there_fails_here() -> None:
    with pytest.raises(ZeroDivisionError):
        await apart(LONG, lambda: 1 // 0)
    assert gc.isenabled()


@pytest.mark.parametrize("hostile", ["- a\n", "*a_ ", "[", "[a](b) ", "$a$ ", "| a | b |\n|---|---|\n", "> a\n"])
async def test_a_hostile_page_does_not_stop_the_others(hostile: str) -> None:
    longest, last = 0.0, time.monotonic()
    work = asyncio.create_task(apart(LONG, pieces, hostile * (40_000 // len(hostile))))
    while not work.done():
        await asyncio.sleep(0.001)
        now = time.monotonic()
        longest, last = max(longest, now - last), now
    assert await work > 1
    assert longest < 0.5, "a machine as busy as that of the tests gets a share of it"
    assert gc.isenabled()
