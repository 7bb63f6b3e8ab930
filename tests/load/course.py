"""What a bot runs on: a Telegram, a model, people in private chats and a group, and the record of it all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.load.model import KEY, NAME, Model
from tests.load.plan import Speech
from tests.load.record import Asked, Record
from tests.load.telegram import Telegram
from tests.servers.telegram import TOKEN

GROUP = -1001
MOST_LOST = 8
"""Messages without an answer, one after the other, after which a bot is given up."""


class Unanswered(Exception):
    """The bot answers no more."""


@dataclass(frozen=True, slots=True)
class Human:
    """Somebody and where they talk."""

    person: Any
    chat: Any


class Course:
    """One bot's world."""

    def __init__(self, *, limits: bool = False) -> None:
        self.record = Record()
        self.telegram = Telegram(self.record, limits=limits)
        self.model = Model(self.record)
        self._people = 0
        self._lost = 0

    @property
    def settings(self) -> dict[str, str]:
        """By which a bot finds it."""
        return {
            "TELEGRAM_BOT_TOKEN": TOKEN,
            "TELEGRAM_API_URL": self.telegram.url,
            "OPENAI_BASE_URL": self.model.url,
            "OPENAI_API_KEY": KEY,
            "PIERIA_MODEL": f"openai:{NAME}",
        }

    def human(self) -> Human:
        """Somebody who never spoke to the bot before."""
        self._people += 1
        person = self.telegram.chats.person(self._people, f"P{self._people}")
        return Human(person, self.telegram.chats.private(person))

    def humans(self, count: int) -> list[Human]:
        return [self.human() for _ in range(count)]

    def group(self, count: int) -> list[Human]:
        """People in one group."""
        people = [self.human().person for _ in range(count)]
        chat = self.telegram.chats.group(GROUP, "Group", people)
        return [Human(person, chat) for person in people]

    async def ask(self, human: Human, speech: Speech) -> Asked:
        """A message; its end is `ended`."""
        asked = self.record.ask(speech)
        mention = human.chat.kind != "private"
        await human.chat.say(human.person, f"{asked.number} What do you say to that?", mention=mention)
        return asked

    async def answered(self, human: Human, speech: Speech, patience: float) -> Asked:
        """A message, and the wait for its answer; one that does not come in time leaves `final` at 0. Raises Unanswered."""
        asked = await self.ask(human, speech)
        await asyncio.wait([asked.ended], timeout=patience)
        self._lost = 0 if asked.final else self._lost + 1
        if self._lost >= MOST_LOST:
            raise Unanswered
        return asked


@asynccontextmanager
async def course(*, limits: bool = False) -> AsyncIterator[Course]:
    """The servers, open."""
    made = Course(limits=limits)
    await made.telegram.open()
    await made.model.open()
    try:
        yield made
    finally:
        await made.telegram.close()
        await made.model.close()
