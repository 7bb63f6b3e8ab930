"""How far we have listened: never beyond what is accepted."""

import asyncio

import msgspec

from adapters.chat.discord.lanes import TRIES, Lanes
from adapters.chat.discord.rest import Times
from adapters.chat.discord.seen import MOST, Note, Seen
from core.errors import StoreAway
from core.notes import Notes
from tests.conftest import wait_until


async def test_the_mark_stays_below_what_is_not_accepted(store, people) -> None:
    seen = Seen(Notes(store, people, "discord"))
    for message in ("10", "11", "12"):
        seen.begin(message)
    seen.end("12")
    assert seen.mark == 9
    seen.end("10")
    assert seen.mark == 10
    seen.end("11")
    assert seen.mark == 12
    seen.skip("20")
    assert seen.mark == 20


async def test_where_a_server_counts_its_messages_by_itself_the_mark_is_its_newest(store, people) -> None:
    seen = Seen(Notes(store, people, "discord"))
    seen.start()
    for message in ("1000", "1001", "7"):
        seen.begin(message)
        seen.end(message)
    assert seen.mark == 1001


async def test_it_is_remembered_over_a_restart_and_bounded(store, people) -> None:
    notes = Notes(store, people, "discord")
    seen = Seen(notes)
    for number in range(MOST + 5):
        seen.visit(str(number))
        seen.skip(str(number))
    await seen.write()
    later = Seen(notes)
    await later.remember()
    assert later.mark == MOST + 4
    assert later.places == seen.places
    assert (len(later.places), later.places[0], later.places[-1]) == (MOST, str(MOST + 4), "5")


async def test_an_event_that_breaks_us_holds_up_neither_its_channel_nor_the_mark() -> None:
    times = Times(backoff=0.01, backoff_cap=0.01)
    done: list[str] = []
    tried = 0

    async def broken() -> None:
        nonlocal tried
        tried += 1
        raise ValueError("what somebody said")

    async def fine() -> None:
        done.append("fine")

    async with asyncio.TaskGroup() as tasks:
        lanes = Lanes(times, lambda work: tasks.create_task(work) and None)
        assert lanes.put("1", broken, lambda: done.append("broken"))
        assert lanes.put("1", fine)
        await wait_until(lambda: done == ["broken", "fine"])
    assert tried == TRIES
    assert lanes.waiting == 0


async def test_while_the_store_is_away_an_event_keeps_its_place_and_others_go_on() -> None:
    times = Times(backoff=0.01, backoff_cap=0.01)
    away = True
    done: list[str] = []

    async def work(name: str) -> None:
        if away and name != "other":
            raise StoreAway("The store is away.")
        done.append(name)

    async with asyncio.TaskGroup() as tasks:
        lanes = Lanes(times, lambda work: tasks.create_task(work) and None)
        lanes.put("1", lambda: work("first"))
        lanes.put("1", lambda: work("second"))
        lanes.put("2", lambda: work("other"))
        await wait_until(lambda: done == ["other"])
        away = False
        await wait_until(lambda: done == ["other", "first", "second"])


class Uneven:
    """Notes of which an earlier one takes longer than a later one."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []
        self.slow = asyncio.Event()

    async def write(self, value: bytes, *_name: str) -> None:
        if not self.kept and not self.slow.is_set():
            await self.slow.wait()
        self.kept.append(value)


async def test_an_older_note_never_comes_behind_a_newer_one() -> None:
    notes = Uneven()
    seen = Seen(notes)
    seen.visit("1")
    first = asyncio.create_task(seen.write())
    await asyncio.sleep(0)
    seen.visit("2")
    second = asyncio.create_task(seen.write())
    await asyncio.sleep(0)
    notes.slow.set()
    await asyncio.gather(first, second)
    assert msgspec.msgpack.decode(notes.kept[-1], type=Note).places == ("2", "1")
