"""How fast we may send: the limits of a platform, shared by every process that sends for the same account of ours.

Finals go before previews: a final reserves its place and waits for it, a preview goes at once or not at all. What a platform
asks us to wait is heeded by all.
"""

from core.errors import StoreError
from core.keys import pace_key
from core.messages import ChatRef
from core.people import People
from core.ports import Rate, Traits
from core.store import Store


class Pace:
    """The pace of all accounts of ours. A store that is away holds nothing up: the platform itself says no at last."""

    def __init__(self, store: Store, people: People, *, on: bool) -> None:
        self._store = store
        self._people = people
        self._on = on

    async def final(self, traits: Traits, chat: ChatRef) -> float:
        """Take a place for a message that must go out; returns the seconds to wait for it."""
        return await self._admit(traits, chat, final=True)

    async def partial(self, traits: Traits, chat: ChatRef) -> bool:
        """Whether a preview may go out now; if so, it counts."""
        return await self._admit(traits, chat, final=False) == 0.0

    async def hold(self, traits: Traits, chat: ChatRef, seconds: float) -> None:
        """The platform asks us to wait with this chat."""
        rate = traits.chat_rate if chat.private else traits.group_rate
        if not self._on or rate is None:
            return
        try:
            key = pace_key(self._people.account(chat), self._people.lane(whole(chat)))
            await self._store.run("hold", (key,), round(rate.every * 1000), rate.burst, round(seconds * 1000))
        except StoreError:
            return

    async def _admit(self, traits: Traits, chat: ChatRef, *, final: bool) -> float:
        rates: dict[str, Rate] = {}
        account = self._people.account(chat)
        if traits.account_rate:
            rates[pace_key(account, account)] = traits.account_rate
        # previews of private chats come to each platform in a way of their own, beside its limit of messages
        if rate := (traits.chat_rate if final else None) if chat.private else traits.group_rate:
            rates[pace_key(account, self._people.lane(whole(chat)))] = rate
        if not self._on or not rates:
            return 0.0
        numbers = [number for rate in rates.values() for number in (round(rate.every * 1000), rate.burst)]
        try:
            return float(await self._store.run("admit", tuple(rates), int(final), *numbers)) / 1000
        except StoreError:
            return 0.0


def whole(chat: ChatRef) -> ChatRef:
    """The place that a platform counts for: threads of a group share its limit."""
    return ChatRef(chat.platform, chat.space, chat.chat, private=chat.private)
