"""What a platform must offer so that the promises of chat.py can be asked of it.

A place is one platform with people in it: its server (or the client that people use), a private chat of Ada with the
assistant, and a way to give the adapter a life. The platform's side outlives the program: `life` is entered once for each
start. What a platform cannot do stands in `lacks` with the reason, and the promises that need it are not collected.
"""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, Self

from core.engine import Engine
from core.ports import Chat

Ability = Literal["edit", "files", "faults", "group", "hang up", "previews", "strangers", "typing"]
ABILITIES: dict[Ability, str] = {
    "edit": "a message can be changed after it was sent: edit()",
    "files": "a picture can be sent: send_picture()",
    "faults": "the platform's own server can fail on order: fail()",
    "group": "several people can talk in one chat: group_say(), group_read()",
    "hang up": "the person's own line can break: hang_up(), come_back()",
    "previews": "a reply that grows can be told from a final: previews(), growing()",
    "strangers": "people can write whom nobody let in: say_as_stranger(), stranger_reads()",
    "typing": "a sign of life shows before the first word: working()",
}
Fault = Literal["busy", "broken", "cut before", "cut after"]
By = Literal["ada", "bob", "robot"]
Way = Literal["", "mention", "reply", "command"]


@dataclass
class Sent:
    """A message on its way to the program. `told`: the platform, or the client, was told that it is taken."""

    id: str
    text: str
    told: bool = False


class Place(Protocol):
    """One platform. Nothing here waits for the assistant; `look` is what a person does to see what came."""

    lacks: ClassVar[Mapping[Ability, str]]

    @classmethod
    def open(cls) -> AbstractAsyncContextManager[Self]: ...

    def life(self, engine: Engine) -> AbstractAsyncContextManager[Chat]: ...

    async def say(self, text: str) -> Sent: ...

    async def redeliver(self, sent: Sent) -> None:
        """The same event once more."""

    async def say_raw(self, text: bytes) -> None:
        """A message whose text is this JSON, whatever it is."""

    async def send_nonsense(self) -> None:
        """Events that no honest platform or client sends."""

    async def press_stop(self) -> None: ...

    async def look(self) -> None: ...

    def read(self) -> list[str]:
        """What the person reads, message by message: finals, and refusals of the platform's own client."""

    def previews(self) -> list[str]:
        """Every state of growing replies that was shown, in order, as it was read."""

    def growing(self) -> bool:
        """Whether a reply that is not final is to be seen now."""


async def gone(*tasks: asyncio.Task) -> None:
    """End tasks of a place and wait for it."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
