"""An account of ours is lost for a moment: nothing of before is shown later, nothing is left behind, nothing overtakes."""

import asyncio
import time
from collections.abc import Coroutine

import msgspec

from core.channels import Channels
from core.delivery import Delivery, Out
from core.holding import Holding
from core.keys import lane_keys
from core.mailbox import Mailbox, Rules
from core.messages import Partial, Reply
from core.pace import Pace
from core.people import People
from core.seal import Keyring, Seal
from core.store import Store
from tests.conftest import wait_until
from tests.stage import KEY, MINE, Board, stage

SPACE = "stage:bot"
LANE = lane_keys("0123456789abcdef" * 2)
GROWING = Partial("f" * 32, MINE, 1, "so far")


def delivering(store: Store, board: Board, holding: Holding, tasks: asyncio.TaskGroup) -> Delivery:
    seal = Seal(KEY)
    people = People(store, seal, Keyring(seal, store.fetch_or_set), "pairing")

    def spawn(work: Coroutine[None, None, None]) -> None:
        tasks.create_task(work)

    delivery = Delivery(
        Mailbox(store, "ours", Rules()),
        spawn,
        pace=Pace(store, people, on=False),
        holding=holding,
        channels=Channels(store),
        digest=people.digest,
    )
    delivery.join(board)
    return delivery


async def test_a_preview_that_waits_while_the_account_is_lost_never_comes_over_the_final(store: Store) -> None:
    ours, other = (Holding(store, name, lease=300, alone=False) for name in ("ours", "other"))
    board = Board(preview_every=0.6)
    async with asyncio.TaskGroup() as tasks:
        delivery = delivering(store, board, ours, tasks)
        assert await ours.take(SPACE)
        await delivery.mirrors.show(LANE, GROWING, "", unsure=False)
        await wait_until(lambda: board.previews)
        late = msgspec.structs.replace(GROWING, text="so far, and more")
        await delivery.mirrors.show(LANE, late, "", unsure=False)

        await wait_until(lambda: other.take(SPACE))  # our lease ends, and what we show waits for its time
        await other.give_back()
        assert await ours.take(SPACE)
        newest = msgspec.structs.replace(GROWING, text="so far, and more, and the rest")
        await asyncio.sleep(0.6)  # its time has come
        await wait_until(lambda: ours.take(SPACE))
        await delivery.mirrors.show(LANE, newest, "", unsure=False)
        await wait_until(lambda: len(board.previews) > 1)
        assert board.previews == ["so far", newest.text]
        assert await delivery.mirrors.end(GROWING.turn, MINE) is not None


def out(n: int, *, doubtful: bool = False) -> Out:
    reply = Reply(f"{n:032x}", MINE, f"reply {n}", at=int(time.time() * 1000))
    return Out(LANE, f"{n}-0", reply, doubtful=doubtful, far=True)


async def test_what_is_found_in_an_outbox_goes_out_before_what_was_told_meanwhile(store: Store) -> None:
    board = Board()
    async with asyncio.TaskGroup() as tasks:
        delivery = delivering(store, board, Holding(store, "ours", lease=5_000), tasks)
        delivery.hold_back(SPACE)
        delivery.deliver(out(2))
        delivery.deliver(out(3))
        delivery.go_on(SPACE, [out(1, doubtful=True), out(2, doubtful=True)])
        await delivery.settled()
        delivery.deliver(out(3))  # told of late, and delivered from the outbox already
        await delivery.settled()
    assert board.read() == ["reply 1", "reply 2", "reply 3"]


async def test_what_came_while_our_lease_had_ended_goes_out_when_it_is_ours_again(store: Store) -> None:
    async with stage(store, alone=False) as s:
        await s.say("before")
        await s.replies(1)
        async with s.engine._accounts._joining:  # nobody renews
            s.engine._holding._until.clear()
            await s.say("meanwhile")
            await wait_until(lambda: s.engine.delivery._left or s.model.prompts[1:])
        assert await s.replies(2) == ["You said: before", "You said: meanwhile"]
        await s.say("after")
        assert (await s.replies(3))[2] == "You said: after"
