"""What the page reads of the installation."""

from collections.abc import Sequence
from typing import Any

from adapters.models.registry import Registry
from core.messages import Account, ChatRef, Message, Said
from core.records import ChatCard, Records


class PageRecords:
    """What the page reads, from the engine's records and the models."""

    def __init__(self, records: Records, models: Registry, labels: Sequence[str]) -> None:
        self._records = records
        self._models = models
        self._labels = labels

    async def chats(self, account: Account) -> list[ChatCard]:
        """The chats of this account, newest first."""
        return await self._records.chats(account)

    async def transcript(self, chat: ChatRef) -> list[Said]:
        """What was said in the chat's current conversation."""
        return await self._records.transcript(chat)

    async def waiting(self, chat: ChatRef) -> list[Message]:
        """What was sent and is not in the transcript yet."""
        return await self._records.waiting(chat)

    async def model(self, chat: ChatRef) -> str:
        """The model that was chosen for this chat."""
        return await self._records.model(chat)

    async def running(self, chat: ChatRef) -> bool:
        """Whether a turn of this chat runs or waits."""
        return await self._records.running(chat)

    async def about(self) -> Any:
        """Who answers now."""
        from adapters.chat.web.records import About

        return About(self._models.speaking, self._models.progress, self._models.hint, tuple(self._labels))
