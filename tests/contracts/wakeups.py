"""The promises that every core.ports.Wakeups keeps.

    class TestDocket(Promises):
        @pytest.fixture
        def process(self, ...) -> Process: ...

`process()` is what one process of an installation has. What only those keep that join several processes stands in `Joined`.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from core.keys import SHARDS
from core.ports import Drain, Wakeups
from tests.conftest import wait_until

Process = Callable[..., Wakeups]
"""Makes the wake-ups of one process; it takes `slots`."""

LANES = [f"{n:032x}" for n in range(1000)]
LANE = LANES[0]


class Player:
    """What a process plays: it notes what it is called with; a lane of `held` ends when it is told to, one of `broken` fails."""

    def __init__(self, held: set[str] = frozenset(), broken: set[str] = frozenset()) -> None:
        self.played: list[tuple[str, int]] = []
        self.held, self.broken = held, broken
        self.running: Counter[str] = Counter()
        self.most = 0
        self.cancelled = 0
        self.go_on = asyncio.Event()

    async def drain(self, lane: str, epoch: int) -> None:
        self.played.append((lane, epoch))
        self.running[lane] += 1
        self.most = max(self.most, self.running.total())
        try:
            if lane in self.broken:
                raise RuntimeError("what a person said")
            if lane in self.held:
                await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running[lane] -= 1


@asynccontextmanager
async def serving(wakeups: Wakeups, drain: Drain | None) -> AsyncIterator[asyncio.Task[None]]:
    """A process that serves; its end is asked for once, as the engine does, and must come soon."""
    task = asyncio.create_task(wakeups.serve(drain))
    try:
        yield task
    finally:
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=3.0)
        assert done, "it does not end"
        assert task.cancelled() or task.exception() is None, task.exception()


class Promises:
    """Each method is one promise."""

    @pytest.fixture
    def process(self) -> Process:
        raise NotImplementedError

    async def test_a_wakeup_reaches_drain_with_its_lane_and_epoch(self, process: Process) -> None:
        player, wakeups = Player(), process()
        async with serving(wakeups, player.drain):
            wakeups.wake(LANE, 7)
            await wait_until(lambda: player.played == [(LANE, 7)])

    async def test_a_wakeup_from_before_it_serves_is_kept(self, process: Process) -> None:
        player, wakeups = Player(), process()
        wakeups.wake(LANE, 7)
        async with serving(wakeups, player.drain):
            await wait_until(lambda: player.played == [(LANE, 7)])

    async def test_a_thousand_lanes_are_woken_once_each(self, process: Process) -> None:
        player, wakeups = Player(), process()
        async with serving(wakeups, player.drain):
            for lane in LANES:
                wakeups.wake(lane, 1)
            await wait_until(lambda: len(player.played) >= len(LANES), 20)
        assert Counter(player.played) == Counter((lane, 1) for lane in LANES)

    async def test_a_wakeup_that_is_told_twice_is_played_once_or_twice_and_the_last_epoch_is_played(
        self, process: Process
    ) -> None:
        player, wakeups = Player(), process()
        async with serving(wakeups, player.drain):
            for epoch in (1, 1, 2, 2):
                wakeups.wake(LANE, epoch)
            await wait_until(lambda: (LANE, 2) in player.played)
            wakeups.wake(LANES[1], 1)
            await wait_until(lambda: (LANES[1], 1) in player.played)
        told = Counter(player.played)
        assert set(told) <= {(LANE, 1), (LANE, 2), (LANES[1], 1)}
        assert max(told.values()) <= 2

    async def test_a_lane_is_woken_again_after_it_was_played(self, process: Process) -> None:
        player, wakeups = Player(), process()
        async with serving(wakeups, player.drain):
            for epoch in (1, 2, 3):
                wakeups.wake(LANE, epoch)
                await wait_until(lambda epoch=epoch: player.played[-1:] == [(LANE, epoch)])
        assert player.played == [(LANE, 1), (LANE, 2), (LANE, 3)]

    async def test_one_that_fails_does_not_end_the_others(self, process: Process, caplog) -> None:
        player, wakeups = Player(broken={LANE}), process()
        async with serving(wakeups, player.drain) as task:
            for epoch in range(1, 6):
                wakeups.wake(LANE, epoch)
                await wait_until(lambda epoch=epoch: (LANE, epoch) in player.played)
            wakeups.wake(LANES[1], 1)
            await wait_until(lambda: (LANES[1], 1) in player.played)
            assert not task.done()
        assert "a turn failed: RuntimeError" in caplog.text
        assert "what a person said" not in caplog.text

    async def test_a_long_turn_holds_up_no_other_lane(self, process: Process) -> None:
        player, wakeups = Player(held={LANE}), process()
        async with serving(wakeups, player.drain):
            wakeups.wake(LANE, 1)
            await wait_until(lambda: player.running[LANE])
            for lane in LANES[1:50]:
                wakeups.wake(lane, 1)
            await wait_until(lambda: len(player.played) == 50)
            assert player.running[LANE] == 1
            player.go_on.set()
            await wait_until(lambda: not player.running[LANE])

    async def test_no_more_lanes_than_slots_are_played_side_by_side_and_none_is_left(self, process: Process) -> None:
        player, wakeups = Player(held=set(LANES)), process(slots=3)
        async with serving(wakeups, player.drain):
            for lane in LANES[:12]:
                wakeups.wake(lane, 1)
            await wait_until(lambda: player.running.total() == 3)
            player.go_on.set()
            await wait_until(lambda: len(player.played) == 12)
        assert player.most == 3

    async def test_a_cancellation_ends_what_runs_at_once_and_nothing_is_played_after_it(self, process: Process) -> None:
        player, wakeups = Player(held=set(LANES)), process(slots=20)
        async with serving(wakeups, player.drain):
            for lane in LANES[:50]:
                wakeups.wake(lane, 1)
            await wait_until(lambda: player.running.total() == 20)
        assert player.cancelled == 20
        assert not player.running.total()
        wakeups.wake(LANE, 2)
        await asyncio.sleep(0)
        assert len(player.played) == 20

    async def test_waking_does_not_wait(self, process: Process) -> None:
        wakeups = process()
        for epoch in range(20):
            for lane in LANES:
                assert wakeups.wake(lane, epoch) is None
        async with serving(wakeups, None) as task:
            wakeups.wake(LANE, 99)
            await asyncio.sleep(0)
            assert not task.done()

    async def test_who_only_sends_plays_nothing_and_ends_when_told(self, process: Process) -> None:
        wakeups = process()
        async with serving(wakeups, None) as task:
            for lane in LANES[:100]:
                wakeups.wake(lane, 1)
            await asyncio.sleep(0)
            assert not task.done()


class Joined(Promises):
    """Of processes that share a store."""

    async def test_what_one_process_sends_another_plays(self, process: Process) -> None:
        player, adapters, worker = Player(), process(), process()
        async with serving(adapters, None), serving(worker, player.drain):
            for lane in LANES[:100]:
                adapters.wake(lane, 1)
            await wait_until(lambda: len(player.played) == 100)
        assert set(player.played) == {(lane, 1) for lane in LANES[:100]}

    async def test_workers_share_what_there_is_and_each_wakeup_goes_to_one(self, process: Process) -> None:
        one, two, adapters = Player(), Player(), process()
        async with (
            serving(adapters, None),
            serving(process(), one.drain),
            serving(process(), two.drain),
        ):
            for lane in LANES:
                adapters.wake(lane, 1)
                await asyncio.sleep(0)
            await wait_until(lambda: len(one.played) + len(two.played) >= len(LANES), 20)
        assert Counter(one.played + two.played) == Counter((lane, 1) for lane in LANES)
        assert min(len(one.played), len(two.played)) > len(LANES) / 10

    async def test_a_worker_whose_slots_are_taken_leaves_the_rest_to_others(self, process: Process) -> None:
        full, free, adapters = Player(held=set(LANES)), Player(), process()
        async with serving(adapters, None), serving(process(slots=2), full.drain):
            for lane in LANES[:40]:
                adapters.wake(lane, 1)
            await wait_until(lambda: full.running.total() == 2)
            async with serving(process(), free.drain):
                await wait_until(
                    lambda: len(free.played) >= 40 - 2 * SHARDS, 10
                )  # others' reads may have been under way
                for lane in LANES[100:140]:
                    adapters.wake(lane, 1)
                await wait_until(lambda: {lane for lane, _ in free.played} >= set(LANES[100:140]), 10)
            full.go_on.set()
            await wait_until(lambda: len(full.played) + len(free.played) == 80)

    async def test_what_came_while_nobody_worked_is_played_by_the_next(self, process: Process) -> None:
        player, adapters = Player(), process()
        async with serving(adapters, None):
            for lane in LANES[:20]:
                adapters.wake(lane, 1)
            async with serving(process(), player.drain):
                await wait_until(lambda: len(player.played) == 20)
