"""How people talk: at a steady pace whatever the bot does, or each as soon as they are answered."""

import asyncio
import itertools
from collections import deque
from collections.abc import Sequence
from time import monotonic

from tests.load.course import Course, Human
from tests.load.plan import Speech
from tests.load.record import Asked


async def steadily(
    course: Course, humans: Sequence[Human], speech: Speech, *, rate: float, seconds: float, patience: float
) -> list[Asked]:
    """So many messages a second together, in turns; whoever still waits for an answer is passed over."""
    free = deque(humans)
    waiting: set[asyncio.Task[Asked]] = set()
    told: list[asyncio.Task[Asked]] = []
    began = monotonic()
    for number in range(round(rate * seconds)):
        await asyncio.sleep(began + number / rate - monotonic())
        if not free:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(0)
        human = free.popleft()
        task = asyncio.create_task(course.answered(human, speech, patience))
        told.append(task)
        waiting.add(task)

        def back(task: asyncio.Task[Asked], human: Human = human) -> None:
            waiting.discard(task)
            free.append(human)

        task.add_done_callback(back)
    return list(await asyncio.gather(*told))


async def eagerly(
    course: Course, seats: int, speech: Speech, *, seconds: float = 0.0, messages: int = 0, stay: int, patience: float
) -> list[Asked]:
    """So many seats, in each somebody who speaks as soon as they are answered, until time or messages are over.

    After `stay` messages somebody new sits down.
    """
    end = monotonic() + seconds
    left = itertools.count()
    told: list[Asked] = []

    def on() -> bool:
        return next(left) < messages if messages else monotonic() < end

    async def seat() -> None:
        human = course.human()
        for number in itertools.count(1):
            if not on():
                return
            told.append(await course.answered(human, speech, patience))
            if number % stay == 0:
                human = course.human()

    await asyncio.gather(*(seat() for _ in range(seats)))
    return told


async def in_turns(
    course: Course, humans: Sequence[Human], speech: Speech, *, seats: int, messages: int, patience: float
) -> list[Asked]:
    """So many messages by these people, one after the other in so many rows."""
    rows = [humans[row::seats] for row in range(seats)]

    async def row(people: Sequence[Human]) -> list[Asked]:
        turns = itertools.islice(itertools.cycle(people), messages // seats)
        return [await course.answered(human, speech, patience) for human in turns]

    return [asked for told in await asyncio.gather(*map(row, rows)) for asked in told]
