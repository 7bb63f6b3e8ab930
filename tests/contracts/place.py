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

Ability = Literal[
    "block",
    "edit",
    "faults",
    "files",
    "forms",
    "group",
    "hang up",
    "pings",
    "previews",
    "replies",
    "rules",
    "strangers",
    "take back",
    "threads",
    "typing",
]
ABILITIES: dict[Ability, str] = {
    "block": "a person can shut the assistant out of their chat: block(), unblock()",
    "edit": "a message can be changed after it was sent: edit()",
    "faults": "the platform's own server can fail on order: fail(), struck(), heal()",
    "files": "a picture can be sent: send_picture()",
    "forms": "a group can refuse a message in one form and take it in another: refuse_form()",
    "group": "several people can talk in one chat: group_say(), group_read()",
    "hang up": "the person's own line can break: hang_up(), come_back()",
    "pings": "whoever is named in a message is notified: pinged()",
    "previews": "a reply that grows can be told from a final: previews(), growing()",
    "replies": "an answer in a group shows which message it answers: group_pairs()",
    "rules": "somebody rules the group: wipe(), remove(), readmit(), mute(), unmute()",
    "strangers": "people can write whom nobody let in: say_as_stranger(), stranger_reads()",
    "take back": "the program hears of a message that was taken back: take_back()",
    "threads": "several conversations can go on in one place: thread_say(), thread_read()",
    "typing": "a sign of life shows before the first word: working()",
}
Fault = Literal["busy", "broken", "cut before", "cut after"]
Step = Literal["send", "preview"]
"""What fails: a new message, or the next state of a reply that grows."""
Where = Literal["private", "group"]
By = Literal["ada", "bob", "robot"]
Way = Literal["", "mention", "opening", "reply", "command"]
"""How the assistant is addressed; an `opening` begins anew where the platform puts what belongs together into threads."""


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

    async def edit(self, sent: Sent, text: str) -> None: ...

    async def take_back(self, sent: Sent) -> None: ...

    async def send_picture(self, caption: str) -> None: ...

    async def look(self) -> None: ...

    def read(self) -> list[str]:
        """What the person reads, message by message: finals, and refusals of the platform's own client."""

    def previews(self) -> list[str]:
        """Every state of growing replies that was shown, in order, as it was read."""

    def growing(self) -> bool:
        """Whether a reply that is not final is to be seen now."""

    def working(self) -> bool:
        """Whether a sign of life was shown."""

    async def thread_say(self, thread: str, text: str) -> Sent:
        """Say something to the assistant, or give a command, in a conversation; the first time begins it."""

    def thread_read(self, thread: str) -> list[str]: ...

    def fail(self, fault: Fault, step: Step = "send", where: Where = "private", *, lasting: bool = False) -> None:
        """Let the next such step fail there; with `lasting` every one until heal()."""

    def struck(self) -> int:
        """How often what was ordered last has failed."""

    def heal(self) -> None: ...

    async def hang_up(self) -> None: ...

    def come_back(self) -> None: ...

    async def block(self) -> None: ...

    async def unblock(self) -> None: ...

    async def say_as_stranger(self, text: str) -> None: ...

    def stranger_reads(self) -> list[str]: ...

    async def group_say(self, text: str, by: By = "ada", way: Way = "") -> Sent: ...

    def group_read(self) -> list[str]:
        """What people read of the assistant in the group, a reply that grows too."""

    def group_pairs(self) -> list[tuple[str, str]]:
        """Each message of the assistant in the group behind the one that it visibly answers."""

    def pinged(self) -> list[str]:
        """Whom its messages in the group notified."""

    async def wipe(self, sent: Sent | None = None) -> None:
        """Somebody deletes this message in the group, or the assistant's newest."""

    def tried(self) -> int:
        """How often the program tried to show something in the group, in vain or not."""

    async def remove(self) -> None:
        """Somebody puts the assistant out of the group."""

    async def readmit(self) -> None: ...

    async def mute(self) -> None:
        """From now on the assistant may not write in the group."""

    async def unmute(self) -> None: ...

    async def refuse_form(self) -> None:
        """The group does not take the next message as it is usually sent, but in another form."""


async def gone(*tasks: asyncio.Task) -> None:
    """End tasks of a place and wait for it."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
