"""What a platform that shows chats from our own history reads: a person's chats, and what was said in one."""

import msgspec

from core.errors import SealError
from core.history import open_block
from core.keys import Lane, chats_key, lane_keys
from core.mailbox import Mailbox
from core.messages import Account, ChatRef, Message, Said
from core.people import People
from core.store import Store

CARD = "card"
MESSAGE = "message"
"""What a waiting message is sealed as."""
TITLE = 60
"""Characters of a title."""

_message = msgspec.msgpack.Decoder(Message)


class ChatCard(msgspec.Struct, frozen=True):
    """One of a person's chats, as a list shows it."""

    platform: str
    thread: str
    title: str
    at: int
    """Last turn, UTC milliseconds."""


class Records:
    """The reading side of history."""

    def __init__(self, store: Store, people: People, mailbox: Mailbox) -> None:
        self._store = store
        self._people = people
        self._mailbox = mailbox

    async def note(self, chat: ChatRef, lane: Lane, person: str, title: str, at: int) -> None:
        """A turn ended in a chat that is listed; the first title stays."""
        box = await self._people.box(person)
        key = chats_key(person)
        pipeline = self._store.redis.pipeline(transaction=False)
        pipeline.hget(key, lane.id)
        earlier = (await self._store.execute(pipeline))[0]
        if earlier is not None:
            title = msgspec.msgpack.decode(box.open(earlier, CARD), type=ChatCard).title
        short = " ".join(title.split())
        card = ChatCard(chat.platform, chat.thread, short if len(short) <= TITLE else short[: TITLE - 1] + "…", at)
        pipeline = self._store.redis.pipeline(transaction=False)
        pipeline.hset(key, lane.id, box.seal(msgspec.msgpack.encode(card), CARD))
        pipeline.pexpire(key, self._mailbox.rules.keep)
        await self._store.execute(pipeline)

    async def chats(self, account: Account) -> list[ChatCard]:
        """The person's listed chats on this account's platform, newest first."""
        known = await self._people.meet(account, trusted=True)
        box = await self._people.box(known.person)
        pipeline = self._store.redis.pipeline(transaction=False)
        pipeline.hgetall(chats_key(known.person))
        cards: list[ChatCard] = []
        for sealed in (await self._store.execute(pipeline))[0].values():
            card = msgspec.msgpack.decode(box.open(sealed, CARD), type=ChatCard)
            if card.platform == account.platform:
                cards.append(card)
        return sorted(cards, key=lambda c: c.at, reverse=True)

    async def transcript(self, chat: ChatRef) -> list[Said]:
        """What was said in the chat's current conversation, oldest first; tool calls are left out."""
        lane = lane_keys(self._people.lane(chat))
        _, blocks, owner = await self._mailbox.context(lane)
        if not blocks:
            return []
        try:
            box = await self._people.opened(owner)
        except SealError:
            return []
        return [
            line for b in blocks for line in open_block(box, b) if line.role != "tool" and line.text and not line.calls
        ]

    async def waiting(self, chat: ChatRef) -> list[Message]:
        """What was sent and is not in the transcript yet, oldest first: its turn runs or is to come."""
        entries, owner = await self._mailbox.waiting(lane_keys(self._people.lane(chat)))
        if not entries:
            return []
        try:
            box = await self._people.opened(owner)
        except SealError:
            return []
        return [_message.decode(box.open(entry.body, MESSAGE)) for entry in entries]

    async def model(self, chat: ChatRef) -> str:
        """The model that was chosen for this chat, "" where it speaks with the default one."""
        context, _, _ = await self._mailbox.context(lane_keys(self._people.lane(chat)))
        return context.get("model", b"").decode()

    async def running(self, chat: ChatRef) -> bool:
        """Whether a turn runs or waits."""
        return await self._mailbox.awake(lane_keys(self._people.lane(chat)))
