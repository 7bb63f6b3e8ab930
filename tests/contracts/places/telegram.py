"""Telegram: the real adapter on the tests' strict server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar, Self

import aiohttp
import msgspec

from adapters.chat.telegram.client import Times
from adapters.chat.telegram.outbound import Telegram
from core.engine import Engine
from core.ports import Chat
from tests.contracts.place import Ability, By, Fault, Sent, Way
from tests.contracts.reading import html_text
from tests.servers.telegram import TOKEN, TelegramServer

TIMES = Times(poll=2.0, backoff=0.02, backoff_cap=0.1)
FAULTS: dict[Fault, dict] = {
    "busy": {"status": 429, "retry_after": 1},
    "broken": {"status": 502},
    "cut before": {"drop": "before"},
    "cut after": {"drop": "after"},
}


class TelegramPlace:
    """A server of today: rich messages, and drafts in private chats."""

    lacks: ClassVar[dict[Ability, str]] = {"hang up": "the platform itself keeps what the person has not seen"}
    modern: ClassVar[bool] = True

    def __init__(self, server: TelegramServer) -> None:
        self._server = server
        self._ada = server.person(1, "Ada")
        self._bob = server.person(2, "Bob")
        self._people = {"ada": self._ada, "bob": self._bob, "robot": server.bot_person(3, "Robot", "other_bot")}
        self._chat = server.private(self._ada)
        self._theirs = server.private(self._bob)
        self._group = server.group(-1001, "Friends", list(self._people.values()))

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator[Self]:
        async with TelegramServer(rich=cls.modern, drafts=cls.modern) as server:
            yield cls(server)
            assert server.problems == []

    @asynccontextmanager
    async def life(self, engine: Engine) -> AsyncIterator[Chat]:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as shared:
            yield Telegram(TOKEN, shared, self._server.url, times=TIMES)

    async def say(self, text: str) -> "TelegramSent":
        await self._chat.say(self._ada, text)
        return TelegramSent(text, self._server)

    async def edit(self, sent: "TelegramSent", text: str) -> None:
        await self._chat.say(self._ada, text, edit=self._chat.by_id[int(sent.id)])

    async def send_picture(self, caption: str) -> None:
        await self._chat.photo(self._ada, b"a picture", caption)

    async def redeliver(self, sent: Sent) -> None:
        self._server.redeliver()

    async def say_raw(self, text: bytes) -> None:
        head = {"message_id": self._chat.next_id(), "date": 1, "chat": self._chat.json, "from": self._ada.json}
        self._push(b'"message":' + msgspec.json.encode(head)[:-1] + b',"text":' + text + b"}")

    async def send_nonsense(self) -> None:
        self._server.fail("getUpdates", garbled=True)
        self._push(b'"message":{"message_id":"x","chat":5}')
        self._push(b'"message":null,"edited_message":[]')
        self._push(b'"something_new":{"chat":{"id":1}}')
        self._push(b'"callback_query":{"id":"q","from":{"id":1,"is_bot":false,"first_name":"A"},"data":"\\u0000"}')
        self._server.fail("getUpdates", status=502, proxy=True)

    async def press_stop(self) -> None:
        await self._chat.stop(self._ada)

    async def look(self) -> None:
        """Telegram shows by itself."""

    def read(self) -> list[str]:
        return [_read(message.kind, message.raw) for message in self._chat.answers]

    def previews(self) -> list[str]:
        return [_read(draft.kind, draft.raw) for draft in self._chat.draft_log if draft.raw]

    def growing(self) -> bool:
        return bool(self._chat.drafts)

    def working(self) -> bool:
        return bool(self._chat.typing)

    def fail(self, fault: Fault) -> None:
        self._server.fail("sendRichMessage" if self.modern else "sendMessage", **FAULTS[fault])

    async def group_say(self, text: str, by: By = "ada", way: Way = "") -> None:
        answered = self._group.answers[-1] if way == "reply" else None
        await self._group.say(self._people[by], text, mention=way == "mention", reply_to=answered)

    def group_read(self) -> list[str]:
        return [_read(message.kind, message.raw) for message in self._group.answers]

    async def say_as_stranger(self, text: str) -> None:
        await self._theirs.say(self._bob, text)

    def stranger_reads(self) -> list[str]:
        return [_read(message.kind, message.raw) for message in self._theirs.answers]

    def _push(self, body: bytes) -> None:
        updates = self._server.updates
        number = updates._next
        updates._next += 1
        updates._queue((number, b'{"update_id":%d,%b}' % (number, body), self._chat.id))


class OlderTelegramPlace(TelegramPlace):
    """A server without rich messages and drafts: HTML, and previews by edits."""

    modern = False
    lacks: ClassVar[dict[Ability, str]] = TelegramPlace.lacks | {
        "previews": "a message that grows looks like any other (the group promises watch one become its final)"
    }


class TelegramSent(Sent):
    def __init__(self, text: str, server: TelegramServer) -> None:
        self._server = server
        self._update = server.updates._next - 1
        chat = server.chats[1]
        self.id = str(chat.messages[-1].id)
        self.text = text

    @property
    def told(self) -> bool:
        """A poll asked for what comes after it."""
        polls = self._server.called("getUpdates")
        return max((poll.params.get("offset", 0) for poll in polls), default=0) > self._update


def _read(kind: str, raw: str) -> str:
    return raw.strip() if kind == "text" else html_text(raw, laid_out=kind == "rich")
