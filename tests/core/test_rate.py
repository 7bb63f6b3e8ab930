"""How often people may have a turn: a flood is refused politely and leaves no trace, and others do not feel it."""

import asyncio
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles

import pytest

from core.errors import StoreError
from core.mailbox import Rules
from core.messages import Account, ChatRef
from core.people import MOST_CODES
from core.ports import Rate
from core.store import Store
from tests.conftest import wait_until
from tests.core.line import line_to
from tests.stage import ADA, MINE, Board, Stage, stage

BOB = Account("stage", "bot", "bob")
BOBS = ChatRef("stage", "bot", "bob")
GROUP = ChatRef("stage", "bot", "group", private=False)
SLOW = Rate(60.0, 3)
"""Three turns at once, then one a minute."""
FLOOD = 10_000
MESSAGES = 16
"""Of each of the ten who talk during the flood: fewer than a burst."""
EACH = Rules(merge=1)
"""Each message is a turn of its own."""


async def refusals(s: Stage, chat: ChatRef = MINE) -> list[str]:
    await s.engine.delivery.settled()
    return [text for text in s.board.read(chat) if "send this again" in text]


async def test_a_burst_is_answered_and_what_follows_is_told_how_long_to_wait(store: Store) -> None:
    async with stage(store, rate=SLOW, rules=EACH) as s:
        for n in range(4):
            await s.say(f"{n}")
        await s.replies(4)
        [told] = await refusals(s)
        assert 55 <= int(re.search(r"in (\d+) s", told)[1]) <= 60  # type: ignore[index]
        assert {f"You said: {n}" for n in range(3)} < set(s.board.read())


async def test_somebody_else_is_not_held_back(store: Store) -> None:
    async with stage(store, rate=SLOW, rules=EACH) as s:
        for n in range(5):
            await s.say(f"{n}")
        await s.say("hello", chat=BOBS, who=BOB)
        assert await s.replies(1, BOBS) == ["You said: hello"]


async def test_a_person_has_one_rate_for_all_chats(store: Store) -> None:
    places = [ChatRef("stage", "bot", f"room {n}", private=False) for n in range(4)]
    async with stage(store, rate=SLOW) as s:
        for place in places:
            await s.say("hello", chat=place)
        assert "send this again" in (await s.replies(1, places[3]))[0]
        assert await s.replies(1, places[2]) == ["You said: hello"]


async def test_a_refusal_is_told_once_a_minute_and_leaves_no_trace(store: Store) -> None:
    async with stage(store, rate=SLOW, rules=EACH) as s:
        for n in range(4):
            await s.say(f"{n}")
        await s.replies(4)
        await s.engine.delivery.settled()
        before = {key async for key in store.redis.scan_iter()}
        for n in range(50):
            await s.say(f"more {n}")
        assert len(await refusals(s)) == 1
        assert {key async for key in store.redis.scan_iter()} <= before
        assert len(s.model.prompts) == 3


async def test_an_accepted_event_that_comes_again_costs_nothing(store: Store) -> None:
    async with stage(store, rate=SLOW, rules=EACH) as s:
        for _ in range(9):
            await s.say("hello", event="same")
        await s.say("two")
        await s.say("three")
        for _ in range(9):
            await s.say("hello", event="same")  # although nothing is left
        await s.replies(3)
        assert await refusals(s) == []
        await s.say("four")
        assert len(await refusals(s)) == 1


async def test_a_message_that_the_full_chat_does_not_take_costs_nothing(store: Store) -> None:
    gate = asyncio.Event()
    async with stage(store, lambda prompt: [gate], rate=SLOW, rules=Rules(cap=2)) as s:
        for n in range(6):
            await s.say(f"{n}")
        assert await refusals(s) == []
        await s.say("elsewhere", chat=GROUP)
        gate.set()
        assert "send this again" not in (await s.replies(1, GROUP))[0]


async def test_commands_beside_the_lane_cost_nothing(store: Store) -> None:
    async with stage(store, rate=SLOW, rules=EACH) as s:
        for _ in range(9):
            await s.say("/whoami")
        for n in range(3):
            await s.say(f"{n}")
        await s.replies(12)
        assert await refusals(s) == []
        assert len(s.model.prompts) == 3


async def test_a_group_has_three_times_a_persons_rate_for_all_its_threads(store: Store) -> None:
    async with stage(store, rate=SLOW) as s:
        for n in range(12):
            thread = ChatRef("stage", "bot", "group", f"t{n}", private=False)
            await s.say("hello", chat=thread, who=Account("stage", "bot", f"u{n}"))
        await wait_until(lambda: len(s.board.finals) == 10)
        await s.engine.delivery.settled()
        [told] = [text for _, text in s.board.finals if "send this again" in text]
        assert told.startswith("This group")
        await s.say("hello", chat=BOBS, who=Account("stage", "bot", "u11"))
        assert await s.replies(1, BOBS) == ["You said: hello"]


async def test_switched_off_it_costs_no_trip_and_on_it_costs_one(store: Store) -> None:
    trips = {}
    for worker, rate in (("off", None), ("on", Rate(0.1, 100))):
        async with stage(store, worker=worker, rate=rate) as s:
            await s.say("warm up", event=f"warm {worker}")
            await s.replies(1)
            await s.engine.delivery.settled()
            before = store.trips
            for n in range(5):
                await s.say("hello", event=f"{worker} {n}")
                await s.replies(n + 2)
            await s.engine.delivery.settled()
            trips[worker] = round((store.trips - before) / 5)
    assert trips["on"] == trips["off"] + 1 <= 6


async def test_a_store_that_is_away_refuses_the_event_so_that_it_comes_again(store: Store, tmp_path: Path) -> None:
    async with line_to(store, tmp_path) as (line, far), stage(far, rate=SLOW) as s:
        await s.say("hello")
        await s.replies(1)
        line.down()
        with pytest.raises(StoreError):
            await s.say("are you there", event="again")
        await line.up()
        await s.say("are you there", event="again")
        assert (await s.replies(2))[1] == "You said: are you there"


async def talk(s: Stage, name: str, may_write: Callable[[int], bool]) -> list[float]:
    """One person's messages, each written when it may be and the one before is answered; the milliseconds of each."""
    place, who = ChatRef("stage", "bot", name), Account("stage", "bot", name)
    waited = []
    for n in range(MESSAGES):
        await wait_until(lambda n=n: may_write(n), 60.0)
        begun = time.perf_counter()
        await s.say(f"{name} {n}", chat=place, who=who)
        assert (await s.replies(n + 1, place, 60.0))[n] == f"You said: {name} {n}"
        waited.append((time.perf_counter() - begun) * 1000)
    return waited


async def ten(s: Stage, name: str, may_write: Callable[[int], bool] = lambda n: True) -> list[float]:
    """Ten people talk side by side; all that they waited, in milliseconds."""
    for n in range(10):
        await s.people.allow(Account("stage", "bot", f"{name} {n}"))
    found = await asyncio.gather(*(talk(s, f"{name} {n}", may_write) for n in range(10)))
    return [ms for each in found for ms in each]


async def test_a_flood_leaves_counters_and_the_others_are_answered(store: Store) -> None:
    """10,000 messages of one person, and one each of 10,000 strangers, while ten others talk all the time."""
    sent = 0
    async with stage(store, board=Board(trusted=False), rate=Rate(2.0, 20)) as s:

        async def one() -> None:
            nonlocal sent
            for n in range(FLOOD):
                await s.say(f"flood {n}")
                sent += 1

        async def strangers(numbers: range) -> None:
            nonlocal sent
            for n in numbers:
                who = Account("stage", "bot", f"stranger {n}")
                await s.say("let me in", chat=ChatRef("stage", "bot", who.user), who=who)
                sent += 1

        await s.people.allow(ADA)
        calm = await ten(s, "calm")
        await s.engine.delivery.settled()
        keys, memory, resident = await store.redis.dbsize(), await used(store), rss()
        talking = asyncio.create_task(ten(s, "talker", lambda n: sent >= n * FLOOD * 2 // MESSAGES))
        await asyncio.gather(one(), *(strangers(range(first, FLOOD, 4)) for first in range(4)))
        flooded = await talking
        await s.engine.delivery.settled()
        print(f"\np99 of ten people: {p99(calm):.1f} ms calm, {p99(flooded):.1f} ms in the flood")
        answered = len(s.model.prompts) - len(calm) - len(flooded)
        assert 1 <= answered <= 20 + 60  # of the flood: the burst, and what two minutes give back
        assert len([k async for k in store.redis.scan_iter("pieria:code:*")]) <= MOST_CODES
        assert len(await refusals(s)) <= 3
        assert await store.redis.dbsize() - keys < 2_000
        assert await used(store) - memory < 2 << 20
        assert rss() - resident < 64 << 20


async def used(store: Store) -> int:
    return int((await store.redis.info("memory"))["used_memory"])


def rss() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def p99(waited: list[float]) -> float:
    return quantiles(waited, n=100)[98]
