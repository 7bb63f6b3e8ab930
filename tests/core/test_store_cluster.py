"""The store as a cluster of three primaries: all promises hold across them, and while one is replaced by its replica."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import pytest
from redis.asyncio import Redis

from core import store as store_module
from core.budget import Limit
from core.channels import Channels
from core.cluster import _slot
from core.dead import DeadLetters
from core.errors import StoreAway, StoreError, StoreFull, StoreMismatch
from core.keys import Lane, lane_keys, tags
from core.mailbox import Begun, Mailbox, Rules
from core.messages import Account, ChatRef, Prompt
from core.notes import Notes
from core.people import People
from core.ports import Rate
from core.records import Records
from core.seal import Keyring, Seal
from core.store import Store
from tests.conftest import FINGERPRINT, leaks, wait_until
from tests.core.lane import OWNER, SPACE, begun, entry, event, post
from tests.servers.valkeys import Cluster, Server, owns
from tests.stage import KEY, stage

pytestmark = pytest.mark.xdist_group("cluster")

LANES = [lane_keys(f"{n:032x}") for n in range(24)]
"""Some on every shard."""
FIRST = next(lane for lane in LANES if lane.tag == "{pieria0}")
"""On the first node, which has a replica."""
SECOND = next(lane for lane in LANES if lane.tag == "{pieria1}")
"""On the second, which has none."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    servers = Cluster(tmp_path_factory.mktemp("cluster"), replica=True)
    try:
        asyncio.run(servers.start())
        yield servers
    finally:
        servers.close()


@pytest.fixture
async def store(cluster: Cluster) -> AsyncIterator[Store]:
    """As tests/conftest.py has it."""
    await cluster.empty()
    opened = Store(cluster.url)
    try:
        await opened.open(FINGERPRINT)
        yield opened
        for server in cluster.servers[:3]:
            async with Redis(port=server.port) as redis:
                assert not await leaks(redis)
    finally:
        await opened.close()


@pytest.fixture
def mailbox(store: Store) -> Mailbox:
    return Mailbox(store, "one", Rules())


def house(store: Store) -> People:
    seal = Seal(KEY)
    return People(store, seal, Keyring(seal, store.fetch_or_set), "pairing")


def test_the_shards_lie_on_all_nodes() -> None:
    assert {lane.tag for lane in LANES} == set(tags())
    assert {_slot(tag) * 3 // 16384 for tag in tags()} == {0, 1, 2}


async def test_many_chats_are_answered_once_each_and_remembered(store: Store) -> None:
    limits = (Limit("person", 10**6, "tokens", "day"), Limit("all", 10**7, "tokens", "month"))
    chats = [ChatRef("stage", "bot", f"person{n}") for n in range(24)]

    def brain(prompt: Prompt) -> str:
        return " | ".join(line.text for line in prompt.lines)

    async with stage(store, brain, rate=Rate(1.0, 20), budget=limits) as s:
        for text in ("one", "two"):
            events = [await s.say(text, chat=c, who=Account("stage", "bot", c.chat)) for c in chats]
            await asyncio.gather(
                *(
                    s.say(text, chat=c, who=Account("stage", "bot", c.chat), event=e)
                    for c, e in zip(chats, events, strict=True)
                )
            )
            for chat in chats:
                await s.replies(1 if text == "one" else 2, chat)
        assert all(s.board.read(chat) == ["one", "one | one | two"] for chat in chats)
        await s.say("/usage", chat=chats[0], who=Account("stage", "bot", chats[0].chat))
        assert "tokens" in (await s.replies(3, chats[0]))[2]
        records = Records(store, s.people, s.engine._mailbox)
        assert [said.text for said in await records.transcript(chats[5])] == ["one", "one", "two", "one | one | two"]
        assert await records.waiting(chats[5]) == []


async def test_what_waits_in_one_lane_is_answered_in_order_by_another_worker_when_the_first_one_died(
    store: Store,
) -> None:
    dying = Mailbox(store, "dying", Rules(lease=50, grace=50))
    for n, lane in enumerate(LANES):
        await begun(dying, entry(2 * n), entry(2 * n + 1), lane=lane)
    heir = Mailbox(store, "heir", Rules(lease=60_000, grace=50))
    taken: dict[str, Begun] = {}

    async def all_taken() -> bool:
        for lane, epoch in await heir.sweep():
            turn = await heir.begin(lane_keys(lane), epoch)
            if turn is not None:
                taken[lane] = turn
        return len(taken) == len(LANES)

    await wait_until(all_taken)
    assert await heir.renew(list(taken.values())) == [1] * len(LANES)
    committed = [await heir.commit(turn, space=SPACE, reply=b"r", block=b"b") for turn in taken.values()]
    assert {c.status for c in committed} == {"MORE"}
    outbox = await heir.outbox(SPACE)
    assert sorted(out.lane.id for out in outbox) == sorted(taken)
    for out in outbox:
        await heir.sent(out.lane, out.turn, SPACE, {"0": "m1"}, out.id)
    assert await heir.outbox(SPACE) == []
    await _finish(heir, {turn.lane.id: c.epoch for turn, c in zip(taken.values(), committed, strict=True)})


async def test_timed_work_of_all_shards_comes_due(store: Store, mailbox: Mailbox) -> None:
    for n, lane in enumerate(LANES):
        await mailbox.schedule(lane, f"work {n}", 1, entry(n), OWNER)
        await mailbox.schedule(lane, f"other {n}", 1, entry(100 + n), OWNER)
        await mailbox.cancel(lane, f"other {n}")
    woken = dict(await mailbox.sweep())
    assert set(woken) == {lane.id for lane in LANES}
    for lane in LANES:
        waiting, owner = await mailbox.waiting(lane)
        assert (len(waiting), owner) == (1, OWNER)
    await _finish(mailbox, woken)


async def test_dead_letters_of_all_shards_are_read_and_tried_again(store: Store, mailbox: Mailbox) -> None:
    people = house(store)
    for n, lane in enumerate(LANES[:8]):
        turn = await begun(mailbox, entry(n), lane=lane)
        await mailbox.bury(turn, "failed three times")
        await mailbox.commit(turn, space=SPACE)
    dead = DeadLetters(store, people, mailbox)
    letters = await dead.letters()
    assert {letter.lane for letter in letters} == {lane.id for lane in LANES[:8]}
    await dead.retry(letters[0])
    for letter in letters[1:]:
        await dead.drop(letter)
    assert await dead.letters() == []
    turn = await mailbox.begin(lane_keys(letters[0].lane), 2)
    assert turn is not None
    await mailbox.commit(turn, space=SPACE)


async def test_people_are_let_in_and_others_hear_of_it(store: Store) -> None:
    people, near = house(store), house(store)
    stranger, other = Account("stage", "bot", "eve"), Account("stage", "bot", "bob")
    code = await people.ask(stranger, "Eve")
    assert code is not None
    assert await people.ask(stranger, "Eve") is None
    assert not (await near.meet(stranger, trusted=False)).allowed
    found = await people.approve(code)
    assert found is not None
    assert found.account == stranger
    assert (await near.meet(stranger, trusted=False)).allowed
    claim = await people.claim()
    assert await people.claimed(other, claim)
    assert not await people.claimed(stranger, claim)
    assert await people.rulers() == [other]
    await people.uncrown(other)
    assert await people.admins() == 0


async def test_notes_are_kept(store: Store) -> None:
    notes = Notes(store, house(store), "stage")
    for n in range(12):
        await notes.write(f"value {n}".encode(), "name", str(n))
    assert [await notes.read("name", str(n)) for n in range(12)] == [f"value {n}".encode() for n in range(12)]


async def test_scripts_run_after_a_node_forgot_them(cluster: Cluster, store: Store, mailbox: Mailbox) -> None:
    for server in cluster.servers[:2]:
        await server.ask("SCRIPT", "FLUSH")
    assert await mailbox.sweep() == []
    for server in cluster.servers[1:3]:
        await server.ask("SCRIPT", "FLUSH")
    turns = [await begun(mailbox, entry(n), lane=lane) for n, lane in enumerate(LANES)]
    for server in cluster.servers[:3]:
        await server.ask("SCRIPT", "FLUSH")
    assert await mailbox.renew(turns) == [1] * len(turns)
    for turn in turns:
        await mailbox.commit(turn, space=SPACE)


async def test_the_fullest_node_decides_whether_anything_new_is_taken(
    cluster: Cluster, store: Store, mailbox: Mailbox
) -> None:
    await cluster.servers[2].ask("CONFIG", "SET", "maxmemory", 1)
    try:
        await store.measure()
        with pytest.raises(StoreFull):
            await post(mailbox, entry(1), lane=FIRST)
        await cluster.servers[2].ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        with pytest.raises(StoreMismatch, match="noeviction"):
            await store.open(FINGERPRINT)
    finally:
        await cluster.servers[2].ask("CONFIG", "SET", "maxmemory", 0)
        await cluster.servers[2].ask("CONFIG", "SET", "maxmemory-policy", "noeviction")


async def test_what_is_accepted_lies_at_a_replica_before_the_platform_hears_of_it(
    cluster: Cluster, store: Store, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "PATIENCE", 10_000)
    replica = cluster.servers[3]
    await store.measure()
    replica.pause()
    posting = asyncio.create_task(post(mailbox, entry(1), lane=FIRST))
    try:
        await wait_until(lambda: mailbox.knows(FIRST, event(1)))
        assert await post(mailbox, entry(2), lane=SECOND) == ["WAKE"]
        assert not posting.done()
    finally:
        replica.resume()
    assert await posting == ["WAKE"]
    for lane, n in ((FIRST, 1), (SECOND, 2)):
        await mailbox.edit(lane, event(n), None)


async def test_a_url_of_another_kind_is_told_in_a_sentence(cluster: Cluster, valkey_url: str) -> None:
    one = Store(cluster.url.replace("+cluster", ""))
    with pytest.raises(StoreError, match=r"must begin with redis\+cluster"):
        await one.open(FINGERPRINT)
    await one.close()


async def test_channels_of_all_shards_are_heard(store: Store) -> None:
    channels, heard, again = Channels(store), list[bytes](), list[None]()

    async def hear(data: bytes) -> None:
        heard.append(data)

    names = tuple(f"{t}:ctl" for t in tags())
    await channels.hear(names[:4], hear, lambda: again.append(None))
    running = asyncio.create_task(channels.run())
    await wait_until(lambda: len(again) == 4)
    await channels.hear(names[4:], hear, lambda: again.append(None))
    await wait_until(lambda: len(again) == 8)
    for name in names:
        await channels.tell(name, name.encode())
    await wait_until(lambda: sorted(heard) == sorted(name.encode() for name in names))
    await channels.leave(names[:7])
    await channels.tell(names[7], b"still")
    await wait_until(lambda: heard[-1] == b"still")
    running.cancel()
    await asyncio.wait((running,))


async def test_a_cancellation_is_never_lost(store: Store, mailbox: Mailbox) -> None:
    for steps in range(400):
        asking = asyncio.create_task(mailbox.knows(LANES[steps % 24], event(1)))
        for _ in range(steps % 12):
            await asyncio.sleep(0)
        if asking.cancel():
            await asyncio.wait((asking,))
            assert asking.cancelled()


async def test_a_shard_moves_to_another_node_while_its_chats_are_busy(
    cluster: Cluster, store: Store, mailbox: Mailbox
) -> None:
    slot = _slot(SECOND.tag)
    there, here = cluster.servers[2], cluster.servers[1]
    stop = asyncio.Event()
    played: list[str] = []

    async def play() -> None:
        for n in count():
            if stop.is_set():
                return
            turn = await begun(mailbox, entry(n), lane=SECOND)
            await mailbox.schedule(SECOND, "work", 2**50, entry(n), OWNER)
            await mailbox.cancel(SECOND, "work")
            await mailbox.commit(turn, space=SPACE, block=str(n).encode())
            played.append(str(n))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(play())
        for giver, taker in ((here, there), (there, here)):
            before = len(played)
            await wait_until(lambda before=before: len(played) > before + 20)
            await giver.ask("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", await taker.name())
            await wait_until(lambda taker=taker: owns(taker, slot), seconds=10.0)
        stop.set()
    _, blocks, _ = await mailbox.context(SECOND)
    assert [block.decode() for block in blocks] == played


async def test_a_node_that_was_killed_is_replaced_and_nothing_that_was_accepted_is_lost(tmp_path: Path) -> None:
    servers = Cluster(tmp_path, replica=True)
    accepted: list[tuple[Lane, str]] = []
    try:
        await servers.start()
        store, idle = Store(servers.url), Store(servers.url)
        await store.open(FINGERPRINT)
        await idle.open(FINGERPRINT)
        mailbox = Mailbox(store, "one", Rules(cap=10_000))
        stop = asyncio.Event()

        async def write(lane: Lane, n: int) -> None:
            while not stop.is_set():
                n += 1
                one = entry(n)
                while True:  # as platforms do: again until it is taken
                    try:
                        await mailbox.accept(lane, one, OWNER, begin=False)
                    except StoreAway:
                        continue
                    break
                accepted.append((lane, one.event))
                await asyncio.sleep(0.002)

        channels, heard, again = Channels(store), list[bytes](), list[None]()

        async def hear(data: bytes) -> None:
            heard.append(data)

        await channels.hear((FIRST.halts,), hear, lambda: again.append(None))
        hearing = asyncio.create_task(channels.run())
        async with asyncio.TaskGroup() as tasks:
            for n, lane in enumerate(LANES):
                tasks.create_task(write(lane, n * 100_000))
            await wait_until(lambda: len(accepted) > 500)
            servers.servers[0].kill()
            await wait_until(lambda: _taken_over(servers.servers[3]), seconds=10.0)
            before = len(accepted)
            await wait_until(
                lambda: len([1 for lane, _ in accepted[before:] if lane.tag == FIRST.tag]) > 20, seconds=10.0
            )
            stop.set()
        await wait_until(lambda: _measured(idle))
        await wait_until(lambda: len(again) > 1)
        await channels.tell(FIRST.halts, b"there")
        await wait_until(lambda: heard == [b"there"])
        hearing.cancel()
        await asyncio.wait((hearing,))
        for lane, name in accepted:
            assert await mailbox.knows(lane, name)
        await store.close()
        await idle.close()
    finally:
        servers.close()


async def _measured(store: Store) -> bool:
    try:
        await store.measure()
    except StoreAway:
        return False
    return True


async def _taken_over(server: Server) -> bool:
    return (await server.ask("ROLE"))[0] == b"master"


async def _finish(mailbox: Mailbox, woken: dict[str, int]) -> None:
    """Play what waits, so that nothing stays."""
    for lane, epoch in woken.items():
        turn = await mailbox.begin(lane_keys(lane), epoch)
        while turn is not None:
            turn = (await mailbox.commit(turn, space=SPACE, begin=True)).begun
