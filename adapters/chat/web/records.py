"""What the page asks of the engine beside sending and receiving: past chats, what was said in them, who answers."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from core.messages import Account, ChatRef, Message, Said


class ChatCard(Protocol):
    """One past chat in the list."""

    @property
    def thread(self) -> str:
        """The page's id of it."""
        ...

    @property
    def title(self) -> str:
        """Its first words."""
        ...

    @property
    def at(self) -> int:
        """When something was last said in it, UTC milliseconds."""
        ...


class About(msgspec.Struct, frozen=True):
    """Who answers here, for the line under the title."""

    model: str
    """As people call it; "" where none answers yet."""
    note: str = ""
    """What is still going on, such as `loading the built-in model, 43 %`; the page asks again until it is empty."""
    hint: str = ""
    """One sentence on how to connect a better model; "" where there is nothing to add."""
    platforms: tuple[str, ...] = ()
    """Labels of the platforms that are switched on."""


class Records(Protocol):
    """Reads for the page. All raise StoreError where the store cannot serve."""

    async def chats(self, account: Account) -> Sequence[ChatCard]:
        """The chats of this account, newest first."""
        ...

    async def transcript(self, chat: ChatRef) -> Sequence[Said]:
        """What was said in the chat's current conversation, oldest first; empty for an unknown one."""
        ...

    async def waiting(self, chat: ChatRef) -> Sequence[Message]:
        """What was sent and is not in the transcript yet, oldest first."""
        ...

    async def model(self, chat: ChatRef) -> str:
        """The model that was chosen for this chat, "" where it speaks with the default one."""
        ...

    async def running(self, chat: ChatRef) -> bool:
        """Whether a turn of this chat runs or waits."""
        ...

    async def about(self) -> About:
        """Who answers now."""
        ...
