"""Telegram: the real adapter on the tests' strict server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Self

import aiohttp
import msgspec

from adapters.chat.telegram.client import Times
from adapters.chat.telegram.outbound import Telegram
from core.engine import Engine
from core.ports import Chat
from tests.contracts.place import Ability, By, Fault, Sent, Step, Way, Where
from tests.contracts.reading import html_text
from tests.servers.bot_api.faults import Fault as BotFault
from tests.servers.bot_api.markup import entities_of
from tests.servers.bot_api.messages import Message
from tests.servers.telegram import TOKEN, TelegramServer

TIMES = Times(poll=2.0, backoff=0.02, backoff_cap=0.1)
FAULTS: dict[Fault, dict] = {
    "busy": {"status": 429, "retry_after": 1},
    "broken": {"status": 502},
    "cut before": {"drop": "before"},
    "cut after": {"drop": "after"},
}
LONG = 1_000_000
NO_RIGHT = {"status": 400, "description": "Bad Request: not enough rights to send text messages to the chat"}
EVERY = 0.2
"""Seconds between two previews in the group, of 3.5: the limits of the server are off."""


class TelegramPlace:
    """A server of today: rich messages, and drafts in private chats."""

    lacks: ClassVar[dict[Ability, str]] = {
        "hang up": "the platform itself keeps what the person has not seen",
        "take back": "bots are not told of messages that people delete",
    }
    modern: ClassVar[bool] = True

    def __init__(self, server: TelegramServer) -> None:
        self._server = server
        self._ada = server.person(1, "Ada")
        self._bob = server.person(2, "Bob", "bob_smith")
        self._people = {"ada": self._ada, "bob": self._bob, "robot": server.bot_person(3, "Robot", "other_bot")}
        self._chat = server.private(self._ada)
        self._theirs = server.private(self._bob)
        self._group = server.group(-1001, "Friends", list(self._people.values()))
        self._forum = server.group(-1002, "Projects", list(self._people.values()), forum=True)
        self._topics: dict[str, int] = {}
        self._faults: list[BotFault] = []

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator[Self]:
        async with TelegramServer(rich=cls.modern, drafts=cls.modern) as server:
            yield cls(server)
            assert server.problems == []

    @asynccontextmanager
    async def life(self, engine: Engine) -> AsyncIterator[Chat]:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as shared:
            chat = Telegram(TOKEN, shared, self._server.url, times=TIMES)
            chat.traits = msgspec.structs.replace(chat.traits, preview_group_every=EVERY)
            yield chat

    async def say(self, text: str) -> "TelegramSent":
        return TelegramSent(await self._chat.say(self._ada, text), self._server)

    async def edit(self, sent: "TelegramSent", text: str) -> None:
        message = sent.message
        chat = self._server.chats[message.chat_id]
        await chat.say(message.by, text, edit=message, mention=chat is self._group)

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

    def fail(self, fault: Fault, step: Step = "send", where: Where = "private", *, lasting: bool = False) -> None:
        if step == "send":
            method = "sendRichMessage" if self.modern else "sendMessage"
        else:
            method = "sendRichMessageDraft" if self.modern and where == "private" else "editMessageText"
        chat = self._chat if where == "private" else self._group
        self._order(method, chat.id, LONG if lasting else 1, **FAULTS[fault])

    def struck(self) -> int:
        return LONG - int(self._faults[-1].times)

    def heal(self) -> None:
        self._server.faults[:] = [fault for fault in self._server.faults if fault not in self._faults]

    async def thread_say(self, thread: str, text: str) -> "TelegramSent":
        topic = self._topics.get(thread) or self._topics.setdefault(thread, self._forum.topic(thread))
        mention = not text.startswith("/")
        return TelegramSent(await self._forum.say(self._ada, text, thread=topic, mention=mention), self._server)

    def thread_read(self, thread: str) -> list[str]:
        topic = self._topics.get(thread)
        return [_read(message.kind, message.raw) for message in self._forum.answers if message.thread == topic]

    async def group_say(self, text: str, by: By = "ada", way: Way = "") -> "TelegramSent":
        answered = self._group.answers[-1] if way == "reply" else None
        mention = way in ("mention", "opening")
        said = await self._group.say(self._people[by], text, mention=mention, reply_to=answered)
        return TelegramSent(said, self._server)

    def group_read(self) -> list[str]:
        return [_read(message.kind, message.raw) for message in self._group.answers]

    def group_pairs(self) -> list[tuple[str, str]]:
        asked = {m.id: m.text.removeprefix(f"@{self._server.bot.username} ") for m in self._group.messages}
        return [(asked.get(m.reply_to, ""), _read(m.kind, m.raw)) for m in self._group.answers]

    def pinged(self) -> list[str]:
        """In a rich message that asks not to be searched for names, none becomes a mention."""
        sent = [call.params for call in self._server.calls if call.params.get("chat_id") == self._group.id]
        searched = [rich["html"] for p in sent if (rich := p.get("rich_message")) and not rich["skip_entity_detection"]]
        searched += [p["text"] for p in sent if "text" in p]
        return [text for text in searched if any(e["type"] == "mention" for e in entities_of(text))]

    async def wipe(self, sent: "TelegramSent | None" = None) -> None:
        (sent.message if sent else self._group.answers[-1]).deleted = True

    def tried(self) -> int:
        methods = ("sendMessage", "sendRichMessage", "editMessageText")
        return sum(
            call.method in methods and call.params.get("chat_id") == self._group.id for call in self._server.calls
        )

    async def remove(self) -> None:
        await self._group.remove_bot(self._ada)

    async def readmit(self) -> None:
        await self._group.add_bot(self._ada)

    async def mute(self) -> None:
        for method in ("sendMessage", "sendRichMessage", "editMessageText", "sendChatAction"):
            self._order(method, self._group.id, LONG, **NO_RIGHT)

    async def unmute(self) -> None:
        self.heal()

    async def refuse_form(self) -> None:
        if self.modern:
            no = {"status": 400, "description": "Bad Request: RICH_MESSAGE_INVALID"}
            self._order("sendRichMessage", self._group.id, LONG, **no)
        else:
            self._order("sendMessage", self._group.id, 1, status=400, description="Bad Request: can't parse entities")

    async def block(self) -> None:
        await self._chat.block(self._ada)

    async def unblock(self) -> None:
        await self._chat.unblock(self._ada)

    async def say_as_stranger(self, text: str) -> None:
        await self._theirs.say(self._bob, text)

    def stranger_reads(self) -> list[str]:
        return [_read(message.kind, message.raw) for message in self._theirs.answers]

    def _order(self, method: str, chat: int, times: float, **how: Any) -> None:
        self._faults.append(self._server.fail(method, chat=chat, times=times, **how))

    def _push(self, body: bytes) -> None:
        updates = self._server.updates
        number = updates._next
        updates._next += 1
        updates._queue((number, b'{"update_id":%d,%b}' % (number, body), self._chat.id))


class OlderTelegramPlace(TelegramPlace):
    """A server without rich messages and drafts: HTML, and previews by edits."""

    modern = False
    lacks: ClassVar[dict[Ability, str]] = TelegramPlace.lacks | {
        "previews": "a message that grows looks like any other (the group promises watch one become its final)",
        "pings": "the server itself searches HTML and plain text for names, and nothing in the API tells it not to",
    }


class TelegramSent(Sent):
    def __init__(self, message: Message, server: TelegramServer) -> None:
        self._server = server
        self._update = server.updates._next - 1
        self.message = message
        self.id = str(message.id)
        self.text = message.text

    @property
    def told(self) -> bool:
        """A poll asked for what comes after it."""
        polls = self._server.called("getUpdates")
        return max((poll.params.get("offset", 0) for poll in polls), default=0) > self._update


def _read(kind: str, raw: str) -> str:
    return raw.strip() if kind == "text" else html_text(raw, laid_out=kind == "rich")
