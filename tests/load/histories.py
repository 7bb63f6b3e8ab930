"""Chats with a past: written into a bot's store by the product's own mailbox, sealed with its keys, as if they had talked."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from adapters.child import socket_path
from core.conversation import REPLY, encode
from core.history import seal_block
from core.keys import lane_keys
from core.mailbox import Entry, Mailbox, Rules
from core.messages import Account, ChatRef, Message, Reply, Said
from core.people import People
from core.places import space_of
from core.records import MESSAGE
from core.seal import Keyring, Seal
from core.store import Store
from tests.load.course import Human
from tests.servers.telegram import TOKEN

AT_ONCE = 32
SPACE = TOKEN.partition(":")[0]
_ASKED = "What do you say to that?"
_ANSWER = "word " * 18 + "done."


def store_url(data: Path) -> str:
    """The embedded store of a data folder."""
    return f"unix://{quote(str(socket_path(data, 'valkey.sock')))}"


async def write(data: Path, humans: Sequence[Human], messages: int) -> None:
    """Let each of these people and the bot have said so many messages to each other."""
    seal = Seal((data / "key").read_bytes())
    store = Store(store_url(data))
    try:
        await store.open(seal.fingerprint)
        people = People(store, seal, Keyring(seal, store.fetch_or_set), "open")
        mailbox = Mailbox(store, "past", Rules())
        free = asyncio.Semaphore(AT_ONCE)

        async def one(human: Human) -> None:
            async with free:
                await _talk(people, mailbox, str(human.person.id), messages // 2)

        await asyncio.gather(*(one(human) for human in humans))
    finally:
        await store.close()


async def _talk(people: People, mailbox: Mailbox, user: str, turns: int) -> None:
    account, chat = Account("telegram", SPACE, user), ChatRef("telegram", SPACE, user)
    known = await people.meet(account, trusted=False)
    owner, lane, space = people.owner(chat, known), lane_keys(people.lane(chat)), space_of(chat)
    box = await people.box(owner)
    for number in range(turns):
        event = people.event(chat, f"past {user} {number}")
        sealed = box.seal(encode(Message(event, chat, account, _ASKED)), MESSAGE)
        begun = (await mailbox.accept(lane, Entry(event, known.account, False, sealed), owner, begin=True)).begun
        assert begun, "somebody else has this lane"
        block = seal_block(box, (Said("user", _ASKED, at=begun.now), Said("assistant", _ANSWER, at=begun.now)))
        reply = box.seal(encode(Reply(begun.turn, chat, _ANSWER, at=begun.now)), REPLY)
        committed = await mailbox.commit(begun, space=space, reply=reply, sending=True, block=block)
        await mailbox.sent(lane, begun.turn, space, {"0": str(number)}, committed.outbox)
