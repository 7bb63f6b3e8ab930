"""A lane of a mailbox with people who write into it, for the tests of the mailbox."""

from core.keys import Lane, lane_keys
from core.mailbox import Begun, Entry, Mailbox
from core.store import Store

LANE = lane_keys("0123456789abcdef" * 2)
OWNER = "0" * 31 + "1"
ANN, BEN = "a" * 32, "b" * 32
SPACE = "space"


def event(n: int) -> str:
    return f"{n:032x}"


def entry(n: int, sender: str = ANN, *, alone: bool = False, body: bytes = b"") -> Entry:
    return Entry(event(n), sender, alone, body or f"message {n}".encode())


async def post(mailbox: Mailbox, *entries: Entry, lane: Lane = LANE) -> list[str]:
    return [(await mailbox.accept(lane, e, OWNER, begin=False)).status for e in entries]


async def begun(mailbox: Mailbox, *entries: Entry, lane: Lane = LANE) -> Begun:
    """The turn that the first of these messages begins; the others wait behind it."""
    first, *rest = entries
    turn = (await mailbox.accept(lane, first, OWNER, begin=True)).begun
    assert turn is not None
    await post(mailbox, *rest, lane=lane)
    return turn


async def lapse(store: Store, lane: Lane = LANE) -> None:
    """As if the lease had ended and the wake-up had been lost."""
    assert await store.redis.zscore(lane.live, lane.id) is not None
    await store.redis.zadd(lane.live, {lane.id: 1})
    if await store.redis.hexists(lane.state, "exp"):
        await store.redis.hset(lane.state, "exp", 1)


async def taken_over(store: Store, mailbox: Mailbox) -> Begun:
    """The turn again, as the next worker gets it after the death of the one before."""
    await lapse(store)
    [(lane, epoch)] = await mailbox.sweep()
    assert lane == LANE.id
    turn = await mailbox.begin(LANE, epoch)
    assert turn is not None
    return turn


def said(turn: Begun | None) -> list[str]:
    assert turn is not None
    return [e.body.decode() for e in turn.entries]


async def waiting(store: Store) -> int:
    return int(await store.redis.llen(LANE.mailbox))


async def clock(store: Store) -> int:
    seconds, micros = await store.redis.time()
    return int(seconds) * 1000 + int(micros) // 1000
