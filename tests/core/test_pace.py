"""How fast we send: the platform's limits hold for all processes together, and a final never waits for a preview."""

import asyncio
import time
from pathlib import Path

import msgspec

from core.errors import ChatBusy
from core.mailbox import Rules
from core.messages import ChatRef, Text
from core.pace import Pace
from core.people import People
from core.ports import Rate, Traits
from core.seal import Keyring, Seal
from core.store import Store
from tests.conftest import wait_until
from tests.core.line import line_to
from tests.stage import KEY, MINE, Board, stage

GROUP = ChatRef("stage", "bot", "group", private=False)
TOPIC = msgspec.structs.replace(GROUP, thread="7")
TRAITS = Traits("Stage", chat_rate=Rate(0.5, 2), group_rate=Rate(1.0, 3))


def process(store: Store, *, on: bool = True) -> Pace:
    """The pace as one process of several keeps it."""
    seal = Seal(KEY)
    return Pace(store, People(store, seal, Keyring(seal, store.fetch_or_set), "open"), on=on)


async def test_finals_take_their_places_one_behind_the_other_in_all_processes(store: Store) -> None:
    one, two = process(store), process(store)
    waits = [await pace.final(TRAITS, MINE) for pace in (one, two, one, two)]
    assert waits[:2] == [0.0, 0.0]
    assert 0.4 < waits[2] <= 0.5
    assert 0.9 < waits[3] <= 1.0
    assert await one.final(TRAITS, msgspec.structs.replace(MINE, chat="bob")) == 0.0


async def test_an_account_has_a_limit_over_all_its_chats(store: Store) -> None:
    pace = process(store)
    traits = Traits("Stage", account_rate=Rate(0.1, 10))
    waits = [await pace.final(traits, ChatRef("stage", "bot", f"c{n}")) for n in range(12)]
    assert waits[:10] == [0.0] * 10
    assert 0.0 < waits[10] < waits[11] <= 0.2


async def test_a_preview_goes_only_where_a_final_would_not_have_to_wait_for_it(store: Store) -> None:
    pace = process(store)
    shown = [await pace.partial(TRAITS, GROUP) for _ in range(4)]
    assert shown == [True, True, False, False]
    assert await pace.final(TRAITS, GROUP) == 0.0
    assert await pace.final(TRAITS, GROUP) > 0.0


async def test_threads_of_a_group_share_its_limit(store: Store) -> None:
    pace = process(store)
    waits = [await pace.final(TRAITS, chat) for chat in (GROUP, TOPIC, GROUP, TOPIC)]
    assert waits[:3] == [0.0, 0.0, 0.0]
    assert waits[3] > 0.0


async def test_what_the_platform_asks_us_to_wait_is_heeded_by_all(store: Store) -> None:
    one, two = process(store), process(store)
    await one.hold(TRAITS, MINE, 5.0)
    assert 4.9 < await two.final(TRAITS, MINE) <= 5.0
    await two.hold(TRAITS, GROUP, 5.0)
    assert not await one.partial(TRAITS, GROUP)


async def test_switched_off_it_costs_nothing(store: Store) -> None:
    pace = process(store, on=False)
    before = store.trips
    assert [await pace.final(TRAITS, MINE) for _ in range(9)] == [0.0] * 9
    assert await pace.partial(TRAITS, GROUP)
    await pace.hold(TRAITS, MINE, 60.0)
    assert store.trips == before


async def test_a_store_that_is_away_holds_nothing_up(store: Store, tmp_path: Path) -> None:
    async with line_to(store, tmp_path) as (line, far):
        pace = process(far)
        await pace.hold(TRAITS, MINE, 60.0)
        line.down()
        assert await pace.final(TRAITS, MINE) == 0.0
        assert await pace.partial(TRAITS, GROUP)
        await pace.hold(TRAITS, MINE, 60.0)


class Timed(Board):
    """A board that notes when it was asked to send."""

    def __init__(self, **traits: object) -> None:
        super().__init__(**traits)
        self.at: list[float] = []

    async def send(self, *parts: object, **more: object) -> str:
        self.at.append(time.monotonic())
        return await super().send(*parts, **more)  # type: ignore[arg-type]


async def test_replies_keep_the_pace_and_their_order(store: Store) -> None:
    board = Timed(chat_rate={"every": 0.3, "burst": 1})
    board.fails = [ChatBusy("Wait.", retry_after=0.5)]
    async with stage(store, board=board, paced=True, rules=Rules(merge=1)) as s:
        for n in range(3):
            await s.say(f"{n}")
        assert await s.replies(3) == ["You said: 0", "You said: 1", "You said: 2"]
        gaps = [later - sooner for sooner, later in zip(board.at, board.at[1:], strict=False)]
        assert gaps[0] >= 0.49
        assert all(gap >= 0.29 for gap in gaps[1:])


async def test_a_preview_that_had_no_room_is_shown_when_there_is_some(store: Store) -> None:
    board, more, end = Board(group_rate={"every": 0.3, "burst": 1}), asyncio.Event(), asyncio.Event()
    async with stage(store, lambda _: [Text("one"), more, Text(" two"), end], board=board, paced=True) as s:
        await s.say("go", chat=GROUP)
        await wait_until(lambda: board.previews == ["one"])
        more.set()
        await wait_until(lambda: board.previews == ["one", "one two"])
        end.set()
        assert await s.replies(1, GROUP) == ["one two"]
