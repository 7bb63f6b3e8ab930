"""What core must know of every platform that it speaks on, also of those that other processes serve."""

import msgspec

from core.keys import TRAITS
from core.messages import ChatRef
from core.ports import Chat, Traits
from core.store import Store

_decode = msgspec.msgpack.Decoder(Traits).decode


class Places:
    """The traits of the accounts of ours: told by the adapters of this process, or left in the store by others'."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, Traits] = {}

    def serve(self, chat: Chat) -> None:
        """This process serves the platform."""
        self._known[chat.platform] = chat.traits

    def traits(self, chat: ChatRef) -> Traits:
        """Of the platform of a chat; next to nothing where nobody has told of it."""
        return self._known.get(chat.platform) or self._known.get(space_of(chat)) or Traits(label=chat.platform.title())

    async def know(self, chat: ChatRef) -> None:
        """Learn of the platform of a chat, unless it is known. Raises StoreError."""
        if chat.platform not in self._known and space_of(chat) not in self._known:
            await self.learn()

    async def learn(self) -> None:
        """Learn what other processes have told, also where it has changed. Raises StoreError."""
        pipeline = self._store.redis.pipeline(transaction=False)
        pipeline.hgetall(TRAITS)
        for space, told in (await self._store.execute(pipeline))[0].items():
            try:
                self._known[space.decode()] = _decode(told)
            except msgspec.DecodeError:
                continue  # of another version: what it serves is known again when both are of one

    async def tell(self, chat: Chat) -> None:
        """Tell the other processes. Raises StoreError."""
        pipeline = self._store.redis.pipeline(transaction=False)
        pipeline.hset(TRAITS, space_of(chat), msgspec.msgpack.encode(chat.traits))
        await self._store.execute(pipeline)


def space_of(chat: Chat | ChatRef) -> str:
    """The name of one account of ours in keys."""
    return f"{chat.platform}:{chat.space}"
