"""An account of ours goes to another process and comes back: what was to be shown before must not be shown any more."""

import asyncio
from collections.abc import Coroutine

import msgspec

from core.channels import Channels
from core.delivery import Delivery
from core.holding import Holding
from core.keys import lane_keys
from core.mailbox import Mailbox, Rules
from core.messages import Partial
from core.pace import Pace
from core.people import People
from core.seal import Keyring, Seal
from core.store import Store
from tests.conftest import wait_until
from tests.stage import KEY, MINE, Board

SPACE = "stage:bot"
LANE = lane_keys("0123456789abcdef" * 2)
GROWING = Partial("f" * 32, MINE, 1, "so far")


async def test_a_preview_that_waits_while_the_account_is_lost_never_comes_over_the_final(store: Store) -> None:
    seal = Seal(KEY)
    people = People(store, seal, Keyring(seal, store.fetch_or_set), "pairing")
    ours, other = (Holding(store, name, lease=300, alone=False) for name in ("ours", "other"))
    board = Board(preview_every=0.6)
    async with asyncio.TaskGroup() as tasks:

        def spawn(work: Coroutine[None, None, None]) -> None:
            tasks.create_task(work)

        mailbox = Mailbox(store, "ours", Rules())
        pace, channels = Pace(store, people, on=False), Channels(store)
        delivery = Delivery(mailbox, spawn, pace=pace, holding=ours, channels=channels, digest=people.digest)
        delivery.join(board)
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
