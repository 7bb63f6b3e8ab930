"""Messages that failed again and again and were put aside: where they lie, what they were, and how they get another try."""

import msgspec

from core.errors import LaneFull, SealError
from core.keys import SHARDS, lane_keys, tags
from core.mailbox import Entry, Mailbox
from core.messages import Message
from core.people import People
from core.records import MESSAGE
from core.store import Store

_message = msgspec.msgpack.Decoder(Message)


class Letter(msgspec.Struct, frozen=True):
    """One message that was put aside."""

    id: str
    """Shard and place in its list: `3-1732550000000-0`."""
    at: int
    """When it was put aside, UTC milliseconds."""
    why: str
    lane: str
    owner: str
    entry: Entry


class DeadLetters:
    """All that were put aside, for the operator."""

    def __init__(self, store: Store, people: People, mailbox: Mailbox) -> None:
        self._store = store
        self._people = people
        self._mailbox = mailbox

    async def letters(self) -> list[Letter]:
        """The oldest first."""
        found = []
        for shard in range(SHARDS):
            pipeline = self._store.redis.pipeline(transaction=False)
            pipeline.xrange(f"{tags()[shard]}:dead")
            found += [_letter(shard, id_.decode(), fields) for id_, fields in (await self._store.execute(pipeline))[0]]
        return sorted(found, key=lambda letter: letter.at)

    async def read(self, letter: Letter) -> Message | None:
        """What it was; None where its owner was forgotten since."""
        try:
            box = await self._people.opened(letter.owner)
            return _message.decode(box.open(letter.entry.body, MESSAGE))
        except (SealError, msgspec.DecodeError):
            return None

    async def retry(self, letter: Letter) -> None:
        """Put it at the end of its chat's mailbox again; the sweeper of a running program takes it up. Raises LaneFull."""
        anew = self._people.again(letter.entry.event, letter.id)
        entry = msgspec.structs.replace(letter.entry, event=anew)
        accepted = await self._mailbox.accept(lane_keys(letter.lane), entry, letter.owner, begin=False)
        if accepted.status == "FULL":
            raise LaneFull("Too many messages wait in that chat: try again in a moment.")
        await self.drop(letter)

    async def drop(self, letter: Letter) -> None:
        """Forget it."""
        shard, _, id_ = letter.id.partition("-")
        pipeline = self._store.redis.pipeline(transaction=False)
        pipeline.xdel(f"{tags()[int(shard)]}:dead", id_)
        await self._store.execute(pipeline)


def _letter(shard: int, id_: str, fields: dict[bytes, bytes]) -> Letter:
    entry = Entry.unpacked(fields[b"m"])
    at = int(id_.partition("-")[0])
    return Letter(f"{shard}-{id_}", at, fields[b"why"].decode(), fields[b"l"].decode(), fields[b"o"].decode(), entry)
