"""A Telegram server on loopback: strict about what it accepts, failing on order, and recording what a person would see.

It speaks the Bot API as far as our adapter needs it (10.1 with rich messages and drafts; an older one with `rich=False`).
What it cannot accept it refuses as the platform would, and what a real server would let pass in silence (a parameter that
nobody knows, a tag that no client shows) is refused too and kept in `problems`.

    async with TelegramServer() as server:
        ada = server.person(1, "Ada")
        chat = server.private(ada)
        await chat.say(ada, "hello")
        [reply] = await chat.replies(1)

Texts of rich messages are read back in plain Markdown's layout: blocks are a blank line apart, "- " and "1. " stand before
items, "[x] " for a ticked box, " | " between the cells of a row, "---" for a rule; the marks inside a line are gone.
Entering a server again after it was left opens the same port again, with everything that it knew.
"""

import asyncio
import functools
import itertools
import math
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import msgspec
from aiohttp import web

from tests.servers import specs

TOKEN = "42:TESTtestTESTtestTESTtestTESTtest123"
encode = msgspec.json.encode


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account."""

    id: int
    name: str
    username: str | None = None
    language: str | None = "en"
    is_bot: bool = False

    @property
    def json(self) -> dict:
        known = {"username": self.username, "language_code": self.language}
        return {"id": self.id, "is_bot": self.is_bot, "first_name": self.name} | {k: v for k, v in known.items() if v}


@dataclass(slots=True, eq=False)
class Message:
    """One message as it stands in a chat now."""

    id: int
    chat_id: int
    by: Person
    text: str  # what is read: markup removed
    raw: str  # what was sent
    kind: str  # text, html, rich, photo, voice, document, other
    wire: dict  # the platform's Message object
    at: float  # time.monotonic()
    entities: list[dict] = field(default_factory=list)
    buttons: list[list[dict]] = field(default_factory=list)
    media: list[str] = field(default_factory=list)  # addresses that showing it would fetch
    links: list[str] = field(default_factory=list)
    thread: int | None = None
    reply_to: int | None = None
    edits: list[str] = field(default_factory=list)  # the texts that stood here before
    reactions: list[str] = field(default_factory=list)  # the bot's
    deleted: bool = False

    @property
    def unmarked(self) -> str:
        """What was sent with its tags taken out and nothing else changed: `text` lays rich blocks out, this does not."""
        return self.raw if self.kind == "text" else _unescape(MARK.sub("", self.raw), NAMED_RICH, RICH)


@dataclass(slots=True)
class Draft:
    """A preview in a private chat; it goes after `draft_seconds` or with the next real message."""

    id: int
    text: str
    raw: str
    kind: str
    thread: int | None
    can_stop: bool
    keep_on_stop: bool
    at: float


@dataclass(slots=True)
class Call:
    """One request that reached the server; `status` is what it was answered (0: the reply was lost on order)."""

    method: str
    params: dict
    at: float
    status: int = 0
    description: str = ""


@dataclass(slots=True)
class Press:
    """A button pressed by a person; `answer` is what answerCallbackQuery showed."""

    id: str
    by: Person
    data: str
    answered: bool = False
    answer: str = ""
    alert: bool = False


@dataclass(slots=True)
class Fault:
    """A failure on order, see TelegramServer.fail."""

    method: str
    times: float
    status: int | None
    retry_after: int | None
    description: str | None
    drop: str | None
    delay: float
    lag: float
    garbled: bool
    proxy: bool
    chat: int | None
    skip: int


@dataclass(frozen=True, slots=True)
class Limits:
    """Flood limits: sends and edits count, typing, answers to presses and reactions do not."""

    chat_seconds: float = 1.0
    chat_burst: int = 3
    group_per_minute: int = 20
    per_second: int = 30
    draft_seconds: float = 0.5
    draft_burst: int = 5


class Refused(Exception):
    """What the server answers instead of a result."""

    def __init__(self, status: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.status = status
        self.description = description
        self.parameters = parameters


class TelegramServer:
    """The platform's side: `url` for TELEGRAM_API_URL, people and chats, failures on order, the record."""

    def __init__(
        self,
        token: str = TOKEN,
        *,
        username: str = "pieria_bot",
        name: str = "Pieria",
        rich: bool = True,
        drafts: bool = True,
        limits: Limits | bool = False,
        privacy: bool = False,
        draft_seconds: float = 30.0,
        webhook_retry: float = 0.1,
        check_specs: bool = True,
        port: int = 0,
    ) -> None:
        self.token = token
        self.bot = Person(int(token.partition(":")[0]), name, username, None, is_bot=True)
        self.rich = rich
        self.rich_drafts = rich and drafts
        self.drafts = drafts
        self.limits = Limits() if limits is True else (limits or None)
        self.privacy = privacy
        self.draft_seconds = draft_seconds
        self.check_specs = check_specs
        self.chats: dict[int, Chat] = {}
        self.people: dict[int, Person] = {}
        self.calls: list[Call] = []
        self.problems: list[str] = []  # what a real server would let pass but no adapter of ours should send
        self.commands: dict[tuple[str, str], list[dict]] = {}  # by scope and language
        self.description: dict[str, str] = {}  # by language
        self.short_description: dict[str, str] = {}
        self.presses: dict[str, Press] = {}
        self.files: dict[str, tuple[str, bytes]] = {}  # file_id -> path, content
        self.updates = Updates(webhook_retry)
        self.faults: list[Fault] = []
        self.flood = Flood(self.limits) if self.limits else None
        self.message_ids = itertools.count(1)
        self._port = port
        self._runner: web.ServerRunner | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        # a bot may upload 50 MB, the default of a request ends at 1 MB
        roomy = lambda *parts: web.BaseRequest(*parts, loop, client_max_size=64 * 2**20)  # noqa: E731 - it closes over the loop
        handler = web.Server(self._serve, access_log=None, request_factory=roomy)
        self._runner = web.ServerRunner(handler, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.updates.close()
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def person(
        self,
        id: int,  # noqa: A002 - the platform says id
        name: str,
        username: str | None = None,
        language: str | None = "en",
    ) -> Person:
        """A person whom the platform knows."""
        self.people[id] = Person(id, name, username, language)
        return self.people[id]

    def bot_person(self, id: int, name: str, username: str) -> Person:  # noqa: A002 - the platform says id
        """Another bot, for what must not be answered."""
        self.people[id] = Person(id, name, username, None, is_bot=True)
        return self.people[id]

    def private(self, person: Person, *, topics: bool = False) -> "Chat":
        """The direct chat with a person; the bot cannot write there before the person did."""
        chat = self.chats.get(person.id)
        if chat is None:
            chat = self.chats[person.id] = Chat(self, person.id, "private", person.name, [person], forum=topics)
        return chat

    def group(
        self,
        id: int,  # noqa: A002 - the platform says id
        title: str,
        members: Sequence[Person],
        *,
        forum: bool = False,
        admins: Sequence[Person] = (),
    ) -> "Chat":
        """A group with the bot in it: a supergroup from -100... on, else a basic group. The first admin is its creator."""
        kind = "supergroup" if str(id).startswith("-100") else "group"
        if id >= 0 or (forum and kind == "group"):
            raise ValueError("a group's id is negative, a forum's begins with -100")
        chat = self.chats[id] = Chat(self, id, kind, title, members, forum=forum, admins=admins)
        return chat

    def fail(
        self,
        method: str,
        *,
        status: int | None = None,
        times: float = 1,
        retry_after: int | None = None,
        description: str | None = None,
        drop: str | None = None,
        delay: float = 0.0,
        lag: float = 0.0,
        garbled: bool = False,
        proxy: bool = False,
        chat: int | None = None,
        skip: int = 0,
    ) -> Fault:
        """Make the next `times` calls of a method ("*": any) fail, after `skip` that pass; for one chat only if named.

        status: answer with it, without effect. drop="before" | "after": cut the connection before or after the effect.
        delay: wait before the effect (seconds), lag: wait between effect and reply. garbled: effect, then half a JSON.
        proxy: an HTML page of a proxy with `status` (502), without effect.
        """
        fault = Fault(
            method.lower(), times, status, retry_after, description, drop, delay, lag, garbled, proxy, chat, skip
        )
        self.faults.append(fault)
        return fault

    def heal(self) -> None:
        """Forget all failures that were ordered."""
        self.faults.clear()

    def redeliver(self, count: int = 1) -> None:
        """Deliver the last updates again, under the same update_id, whether they were confirmed or not."""
        self.updates.redeliver(count)

    def called(self, method: str, status: int | None = None) -> list[Call]:
        """The calls of one method so far, in order."""
        return [c for c in self.calls if c.method == method and status in (None, c.status)]

    async def wait_for(self, fact: Callable[[], Any], timeout: float = 10.0) -> Any:
        """Wait until `fact()` is true and return its value; an AssertionError tells what was called meanwhile."""
        deadline = time.monotonic() + timeout
        while not (value := fact()):
            if time.monotonic() > deadline:
                last = ", ".join(f"{c.method} {c.status} {c.description}".strip() for c in self.calls[-8:])
                raise AssertionError(f"not true within {timeout} s; last calls: {last or 'none'}")
            await asyncio.sleep(0.005)
        return value

    def chat_of(self, params: dict) -> "Chat":
        """The chat that a call may write to; the platform's refusal otherwise."""
        chat = self.chats.get(params["chat_id"])
        if chat is None:
            raise Refused(400, "Bad Request: chat not found")
        if chat.migrated_to:
            text = "Bad Request: group chat was upgraded to a supergroup chat"
            raise Refused(400, text, migrate_to_chat_id=chat.migrated_to)
        if chat.kind == "private":
            if not chat.started:
                raise Refused(403, "Forbidden: bot can't initiate conversation with a user")
            if chat.blocked:
                raise Refused(403, "Forbidden: bot was blocked by the user")
        elif not chat.bot_in:
            raise Refused(403, f"Forbidden: bot was kicked from the {chat.kind} chat")
        return chat

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if path.startswith("/file/bot"):
            return self._file(path)
        token, slash, name = path.removeprefix("/bot").partition("/")
        if not path.startswith("/bot") or not slash or not re.fullmatch(r"\d+:[\w-]+", token):
            return _refusal(Refused(404, "Not Found"))
        if token != self.token:
            return _refusal(Refused(401, "Unauthorized"))
        method = self._method(name)
        call = Call(method.name if method else name, {}, time.monotonic())
        self.calls.append(call)
        try:
            if method is None:
                raise Refused(404, "Not Found: method not found")
            call.params = params = method.read(await _body(request))
            return await self._answer(request, call, method, params)
        except Refused as refusal:
            no = refusal
        except (AttributeError, KeyError, TypeError) as error:  # JSON of a shape that nobody reads
            no = Refused(400, "Bad Request: can't parse the parameters")
            self.problems.append(f"{call.method}: {error!r} with {call.params}")
        call.status, call.description = no.status, no.description
        return _refusal(no)

    async def _answer(self, request: web.BaseRequest, call: Call, method: "Method", params: dict) -> web.StreamResponse:
        fault = self._fault(method, params) if self.faults else None
        if fault:
            await asyncio.sleep(fault.delay)
            if fault.drop == "before":
                return _cut(request)
            if fault.proxy:
                call.status = fault.status or 502
                page = "<html><head><title>502 Bad Gateway</title></head><body><center>nginx</center></body></html>"
                return web.Response(status=call.status, text=page, content_type="text/html")
            if fault.status:
                raise _ordered(fault)
        if problems := method.problems(params) or (specs.telegram(method.name, params) if self.check_specs else []):
            self.problems += problems
            raise Refused(400, f"Bad Request: {problems[0]}")
        if self.flood and (wait := self.flood.wait(method.name, params.get("chat_id"))):
            raise Refused(429, f"Too Many Requests: retry after {wait}", retry_after=wait)
        result = method.act(self, params)
        if asyncio.iscoroutine(result):
            result = await result
        if fault:
            await asyncio.sleep(fault.lag)
            if fault.drop == "after":
                return _cut(request)
        call.status = 200
        body = result if isinstance(result, bytes) else b'{"ok":true,"result":%b}' % encode(result)
        return web.Response(body=body[: len(body) // 2] if fault and fault.garbled else body, content_type=JSON)

    def _method(self, name: str) -> "Method | None":
        method = METHODS.get(name.lower())
        older = {
            "sendRichMessage": self.rich,
            "sendRichMessageDraft": self.rich_drafts,
            "sendMessageDraft": self.drafts,
        }
        return method if method and older.get(method.name, True) else None

    def _fault(self, method: "Method", params: dict) -> Fault | None:
        for fault in self.faults:
            if fault.method in ("*", method.name.lower()) and fault.chat in (None, params.get("chat_id")):
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                if fault.times <= 0:
                    self.faults.remove(fault)
                return fault
        return None

    def _file(self, path: str) -> web.Response:
        token, _, name = path.removeprefix("/file/bot").partition("/")
        if token != self.token:
            return _refusal(Refused(401, "Unauthorized"))
        for file_path, content in self.files.values():
            if file_path == name:
                return web.Response(body=content, content_type="application/octet-stream")
        return _refusal(Refused(404, "Not Found"))


class Chat:
    """A place to talk: the person's side as methods, what is to be seen there as attributes."""

    def __init__(
        self,
        server: TelegramServer,
        id: int,  # noqa: A002 - the platform says id
        kind: str,
        title: str,
        members: Iterable[Person],
        *,
        forum: bool = False,
        admins: Sequence[Person] = (),
    ) -> None:
        self.server = server
        self.id = id
        self.kind = kind
        self.title = title
        self.forum = forum
        self.members = {p.id: p for p in (*members, *admins)}
        self.admins = list(admins)
        self.bot_in = True
        self.bot_admin = False
        self.blocked = False
        self.started = kind != "private"
        self.migrated_to: int | None = None
        self.messages: list[Message] = []  # everybody's, in order; deleted ones stay, marked
        self.by_id: dict[int, Message] = {}
        self.threads: set[int] = set()
        self.typing: list[tuple[float, str, int | None]] = []  # when, what, in which thread
        self.draft_log: list[Draft] = []  # every state of every preview
        self._drafts: dict[int, Draft] = {}
        self._own_ids = itertools.count(1)
        known = {"username": next(iter(self.members.values())).username} if kind == "private" else {}
        named = {"first_name": title} if kind == "private" else {"title": title}
        self.json = {"id": id, "type": kind} | named | ({"is_forum": True} if forum and kind != "private" else {})
        self.json |= {k: v for k, v in known.items() if v}

    @property
    def drafts(self) -> dict[int, Draft]:
        """The previews that stand now, by draft_id."""
        end = time.monotonic() - self.server.draft_seconds
        self._drafts = {k: d for k, d in self._drafts.items() if d.at > end}
        return self._drafts

    @property
    def answers(self) -> list[Message]:
        """The bot's messages that are to be seen now."""
        return [m for m in self.messages if m.by is self.server.bot and not m.deleted]

    @property
    def is_typing(self) -> bool:
        """Whether "typing" shows now: five seconds after an action, until a message comes."""
        last = self.typing[-1][0] if self.typing else -math.inf
        return time.monotonic() - last < 5 and not (self.answers and self.answers[-1].at > last)

    async def replies(self, count: int = 1, *, after: Message | None = None, timeout: float = 10.0) -> list[Message]:
        """The bot's messages (those after a given one), as soon as there are `count`."""

        def enough() -> list[Message]:
            found = [m for m in self.answers if after is None or m.id > after.id]
            return found if len(found) >= count else []

        return await self.server.wait_for(enough, timeout)

    async def say(
        self,
        person: Person,
        text: str,
        *,
        reply_to: Message | None = None,
        thread: int | None = None,
        mention: bool = False,
        edit: Message | None = None,
        **more: Any,
    ) -> Message:
        """Write a text, or `edit` an own one. `mention` puts the bot's name first. `more` goes into the Message as it is."""
        text = f"@{self.server.bot.username} {text}" if mention else text
        fields = {"text": text, **more}
        if found := _entities_of(text):
            fields["entities"] = found
        if edit is None:
            return self._post(person, fields, "text", reply_to, thread)
        edit.edits.append(edit.text)
        edit.text = edit.raw = text
        edit.entities = fields.get("entities", [])
        edit.wire = edit.wire | {"entities": []} | fields | {"edit_date": _now()}
        self._tell("edited_message", edit.wire)
        return edit

    async def start(self, person: Person, payload: str = "") -> Message:
        """Press Start, or open the bot's deep link."""
        return await self.say(person, f"/start {payload}".strip())

    async def photo(self, person: Person, data: bytes, caption: str = "", **more: Any) -> Message:
        """Send a picture; `media_group_id=...` makes it part of an album; reply_to and thread as in say."""
        sizes = [self._file(data, f"photos/file_{n}.jpg") | {"width": w, "height": w} for n, w in ((0, 90), (1, 1280))]
        return self._attach(person, "photo", {"photo": sizes}, caption, more)

    async def voice(self, person: Person, data: bytes, seconds: int = 3, caption: str = "", **more: Any) -> Message:
        """Send a voice note (OGG/Opus)."""
        note = self._file(data, "voice/file_0.oga") | {"duration": seconds, "mime_type": "audio/ogg"}
        return self._attach(person, "voice", {"voice": note}, caption, more)

    async def document(
        self,
        person: Person,
        data: bytes,
        name: str,
        mime: str = "application/octet-stream",
        caption: str = "",
        **more: Any,
    ) -> Message:
        """Send a file."""
        file = self._file(data, f"documents/{name}") | {"file_name": name, "mime_type": mime}
        return self._attach(person, "document", {"document": file}, caption, more)

    async def post(
        self, person: Person, *, reply_to: Message | None = None, thread: int | None = None, **fields: Any
    ) -> Message:
        """Any other kind of message, by its fields (sticker, location, contact ...)."""
        return self._post(person, fields, "other", reply_to, thread)

    async def press(self, person: Person, button: str, message: Message | None = None) -> Press:
        """Press a button by its label or data, on a message or on the newest that has it."""
        for seen in [message] if message else reversed(self.answers):
            for wanted in itertools.chain.from_iterable(seen.buttons):
                data = wanted.get("callback_data")
                if data is not None and button in (wanted["text"], data):
                    press = Press(f"q{len(self.server.presses) + 1}", person, data)
                    self.server.presses[press.id] = press
                    query = {"id": press.id, "from": person.json, "chat_instance": f"c{self.id}", "data": data}
                    self._tell("callback_query", query | {"message": seen.wire})
                    return press
        raise AssertionError(f"no button {button!r} is to be seen")

    async def stop(self, person: Person) -> None:
        """Press Stop on the preview that offers it."""
        draft = next((d for d in reversed(self.drafts.values()) if d.can_stop), None)
        assert draft, "no preview with a stop button is to be seen"
        if not draft.keep_on_stop:
            del self._drafts[draft.id]
        self._tell("stopped_message_generation", {"chat": self.json, "draft_id": draft.id})

    async def react(self, person: Person, message: Message, emoji: str) -> None:
        """Set the person's reaction on a message."""
        new = [{"type": "emoji", "emoji": emoji}] if emoji else []
        body = {"chat": self.json, "message_id": message.id, "user": person.json, "date": _now()}
        self._tell("message_reaction", body | {"old_reaction": [], "new_reaction": new})

    async def block(self, person: Person) -> None:
        """Block the bot: from now on it is refused with 403."""
        self.blocked = True
        self._membership(person, "member", "kicked")

    async def unblock(self, person: Person) -> None:
        """Let the bot write again."""
        self.blocked = False
        self._membership(person, "kicked", "member")

    async def add_bot(self, person: Person) -> None:
        """Take the bot into this group."""
        self.bot_in = True
        self._membership(person, "left", "member")
        self._post(person, {"new_chat_members": [self.server.bot.json]}, "other", None, None)

    async def remove_bot(self, person: Person) -> None:
        """Throw the bot out of this group."""
        self._membership(person, "member", "kicked")
        self.bot_in = False

    async def migrate(self, person: Person, new_id: int) -> "Chat":
        """Make a supergroup of a basic group; the old id answers with migrate_to_chat_id from now on."""
        new = self.server.group(new_id, self.title, list(self.members.values()), admins=self.admins)
        self._post(person, {"migrate_to_chat_id": new_id}, "other", None, None)
        self.migrated_to = new_id
        new._post(person, {"migrate_from_chat_id": self.id}, "other", None, None)
        return new

    def topic(self, title: str = "Topic") -> int:
        """Open a topic of a forum; its message_thread_id."""
        assert self.forum, "topics need a forum"
        thread = self.next_id()
        self.threads.add(thread)
        return thread

    def next_id(self) -> int:
        return next(self._own_ids if self.kind == "supergroup" else self.server.message_ids)

    def keep(self, message: Message) -> Message:
        """Put a message into the chat."""
        self.messages.append(message)
        self.by_id[message.id] = message
        return message

    def vanish(self, thread: int | None) -> None:
        """A real message came: previews go."""
        if self._drafts:
            self._drafts = {k: d for k, d in self._drafts.items() if d.thread != thread}

    def preview(self, draft: Draft) -> None:
        """Show a draft."""
        self._drafts[draft.id] = draft
        self.draft_log.append(draft)

    def _attach(self, person: Person, kind: str, fields: dict, caption: str, more: dict) -> Message:
        reply_to, thread = more.pop("reply_to", None), more.pop("thread", None)
        if caption:
            fields["caption"] = caption
            if found := _entities_of(caption):
                fields["caption_entities"] = found
        return self._post(person, fields | more, kind, reply_to, thread)

    def _post(self, person: Person, fields: dict, kind: str, reply_to: Message | None, thread: int | None) -> Message:
        assert person.id in self.members, f"{person.name} is not in {self.title}"
        wire = {"message_id": self.next_id(), "date": _now(), "chat": self.json, "from": person.json} | fields
        if thread is not None:
            self.threads.add(thread)
            wire |= {"message_thread_id": thread, "is_topic_message": True}
        if reply_to:
            wire["reply_to_message"] = {k: v for k, v in reply_to.wire.items() if k != "reply_to_message"}
        text = fields.get("text") or fields.get("caption") or ""
        message = Message(wire["message_id"], self.id, person, text, text, kind, wire, time.monotonic())
        message.thread, message.reply_to = thread, reply_to and reply_to.id
        message.entities = fields.get("entities", [])
        self.keep(message)
        self.started = True
        self._tell("message", wire)
        return message

    def _tell(self, kind: str, body: dict) -> None:
        if not self.bot_in or self.blocked or self.migrated_to:
            return
        if self.server.privacy and self.kind != "private" and kind in ("message", "edited_message"):
            bot, text = self.server.bot, body.get("text") or body.get("caption") or ""
            answered = body.get("reply_to_message", {}).get("from", {}).get("id") == bot.id
            service = "migrate_to_chat_id" in body or "new_chat_members" in body
            if not (answered or service or text.startswith("/") or f"@{bot.username}" in text):
                return
        self.server.updates.push(kind, body, self.id)

    def _membership(self, person: Person, old: str, new: str) -> None:
        body = {"chat": self.json, "from": person.json, "date": _now()}
        states = {"old_chat_member": _member(self.server.bot, old), "new_chat_member": _member(self.server.bot, new)}
        self.server.updates.push("my_chat_member", body | states, self.id)

    def _file(self, data: bytes, path: str) -> dict:
        number = len(self.server.files) + 1
        folder, _, name = path.partition("/")
        self.server.files[f"F{number}"] = (f"{folder}/{number}_{name}", data)
        return {"file_id": f"F{number}", "file_unique_id": f"U{number}", "file_size": len(data)}


class Updates:
    """What waits for the bot: held until confirmed, by long polls or by POSTs to a webhook."""

    def __init__(self, retry: float) -> None:
        self.allowed: list[str] = []  # empty: all that come by default
        self.url = ""
        self.secret = ""
        self.max_connections = 40
        self.last_error = ""
        self.posted = 0
        self._retry = retry
        self._next = 100
        self._waiting: deque[tuple[int, bytes, int]] = deque()  # id, JSON, chat
        self._again: list[tuple[int, bytes, int]] = []
        self._sent: deque[tuple[int, bytes, int]] = deque(maxlen=200)
        self._poller: asyncio.Future[bool] | None = None
        self._lanes: dict[int, deque[tuple[int, bytes, int]]] = {}
        self._ready: asyncio.Queue[int] = asyncio.Queue()
        self._posts: asyncio.Task[None] | None = None

    @property
    def pending(self) -> int:
        return len(self._waiting) + len(self._again) + sum(map(len, self._lanes.values()))

    def push(self, kind: str, body: dict, chat: int) -> None:
        """Queue an update, if its kind is wanted."""
        if kind not in self.allowed if self.allowed else kind in ASKED_ONLY:
            return
        update = (self._next, encode({"update_id": self._next, kind: body}), chat)
        self._next += 1
        self._sent.append(update)
        self._queue(update)

    def redeliver(self, count: int) -> None:
        for update in list(self._sent)[-count:]:
            if self.url:
                self._queue(update)
            elif not any(update[0] == waiting[0] for waiting in self._waiting):
                self._again.append(update)
                self._wake()

    async def poll(self, offset: int, limit: int, timeout: float) -> bytes:
        """The reply to getUpdates: confirms below `offset`, waits up to `timeout` seconds for something."""
        if self.url:
            text = "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
            raise Refused(409, text)
        self._confirm(offset)
        if self._poller and not self._poller.done():
            self._poller.set_result(False)
        if timeout and not self._waiting and not self._again:
            mine = self._poller = asyncio.get_running_loop().create_future()
            await asyncio.wait([mine], timeout=timeout)
            if mine.done() and not mine.result():
                text = (
                    "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
                )
                raise Refused(409, text)
            if self._poller is mine:
                self._poller = None
        again, self._again = self._again[:limit], self._again[limit:]
        found = again + list(itertools.islice(self._waiting, limit - len(again)))
        return b'{"ok":true,"result":[%b]}' % b",".join(raw for _, raw, _ in found)

    def forget(self) -> None:
        """Drop everything that waits."""
        self._waiting.clear()
        self._again.clear()
        self._lanes.clear()
        self._ready = asyncio.Queue()

    async def post_to(self, url: str, secret: str, max_connections: int) -> None:
        """Deliver by POST to a URL from now on; to nobody but pollers with an empty one."""
        left = sorted(itertools.chain(self._waiting, self._again, *self._lanes.values()))
        await self.close()
        self.forget()
        self.url, self.secret, self.max_connections, self.last_error = url, secret, max_connections, ""
        for update in left:
            self._queue(update)
        if url:
            self._posts = asyncio.create_task(self._deliver())

    async def close(self) -> None:
        """End polls and posts."""
        if self._poller and not self._poller.done():
            self._poller.set_result(True)
        if self._posts:
            self._posts.cancel()
            await asyncio.wait([self._posts])
            self._posts = None

    def _queue(self, update: tuple[int, bytes, int]) -> None:
        if not self.url:
            self._waiting.append(update)
            self._wake()
            return
        lane = self._lanes.setdefault(update[2], deque())
        lane.append(update)
        if len(lane) == 1:
            self._ready.put_nowait(update[2])

    def _wake(self) -> None:
        if self._poller and not self._poller.done():
            self._poller.set_result(True)

    def _confirm(self, offset: int) -> None:
        if offset < 0:
            while len(self._waiting) > -offset:
                self._waiting.popleft()
        while self._waiting and self._waiting[0][0] < offset:
            self._waiting.popleft()

    async def _deliver(self) -> None:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(self.max_connections):
                group.create_task(self._deliver_lanes(session))

    async def _deliver_lanes(self, session: aiohttp.ClientSession) -> None:
        headers = {"Content-Type": JSON} | ({"X-Telegram-Bot-Api-Secret-Token": self.secret} if self.secret else {})
        while True:
            chat = await self._ready.get()
            lane = self._lanes[chat]
            while not await self._accepted(session, lane[0][1], headers):
                await asyncio.sleep(self._retry)
            lane.popleft()
            if lane:
                self._ready.put_nowait(chat)
            else:
                self._lanes.pop(chat, None)

    async def _accepted(self, session: aiohttp.ClientSession, body: bytes, headers: dict) -> bool:
        self.posted += 1
        try:
            async with session.post(self.url, data=body, headers=headers) as reply:
                await reply.read()
                if reply.status // 100 == 2:
                    return True
                self.last_error = f"Wrong response from the webhook: {reply.status} {reply.reason}"
        except (aiohttp.ClientError, TimeoutError) as error:
            self.last_error = f"Connection failed: {error}"
        return False


class Flood:
    """The flood limits: buckets by chat, by group and overall; whoever is refused stays refused until the time is over."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._free: dict[object, float] = {}  # bucket -> when it will be full again
        self._shut: dict[object, float] = {}

    def wait(self, method: str, chat: int | None) -> int:
        """Seconds to wait before this call may come again, 0 if it may pass now."""
        limits, draft = self._limits, method.endswith("Draft")
        if not draft and method not in ("sendMessage", "sendRichMessage", "editMessageText"):
            return 0
        now, who = time.monotonic(), (chat, draft)
        if (shut := self._shut.get(who, 0.0)) > now:
            return math.ceil(shut - now)
        if draft:
            buckets = [(who, limits.draft_seconds, limits.draft_burst)]
        else:
            buckets = [("all", 1 / limits.per_second, limits.per_second), (who, limits.chat_seconds, limits.chat_burst)]
            if chat is not None and chat < 0:
                buckets.append((("minute", chat), 60 / limits.group_per_minute, limits.group_per_minute))
        late = max(max(self._free.get(key, 0.0), now) + step - now - step * size for key, step, size in buckets)
        if late > 1e-9:
            self._shut[who] = now + late
            return math.ceil(late)
        for key, step, _ in buckets:
            self._free[key] = max(self._free.get(key, 0.0), now) + step
        return 0


def words(text: str) -> frozenset[str]:
    """The words of a text as a set."""
    return frozenset(text.split())


JSON = "application/json"
ASKED_ONLY = {"chat_member", "message_reaction", "message_reaction_count"}
KINDS = ASKED_ONLY | words(
    "message edited_message channel_post edited_channel_post business_connection business_message edited_business_message "
    "deleted_business_messages guest_message inline_query chosen_inline_result callback_query shipping_query "
    "pre_checkout_query purchased_paid_media poll poll_answer my_chat_member chat_join_request chat_boost "
    "removed_chat_boost managed_bot stopped_message_generation"
)
ACTIONS = words(
    "typing upload_photo record_video upload_video record_voice upload_voice upload_document choose_sticker "
    "find_location record_video_note upload_video_note"
)
NOT_MODIFIED = (
    "Bad Request: message is not modified: specified new message content and reply markup are exactly the same as a "
    "current content and reply markup of the message"
)


@dataclass(frozen=True, slots=True)
class Method:
    """One method of the API: its parameters by kind ("!" after the kind: required), and what it does."""

    name: str
    params: dict[str, str]
    act: Callable[[TelegramServer, dict], Any]

    def read(self, given: dict[str, Any]) -> dict[str, Any]:
        """The parameters as values: forms carry numbers and JSON as strings."""
        return {name: _value(self.params.get(name, "str"), value) for name, value in given.items()}

    def problems(self, params: dict) -> list[str]:
        found = [f"{self.name}: no parameter {name}" for name in params if name not in self.params]
        for name, kind in self.params.items():
            if name not in params:
                if kind.endswith("!"):
                    found.append(f"{self.name}: {name} is missing")
            elif not isinstance(params[name], SHAPES[kind.rstrip("!")]) or (
                isinstance(params[name], bool) and kind.rstrip("!") != "bool"
            ):
                found.append(f"{self.name}: {name} is not of kind {kind.rstrip('!')}: {params[name]!r}")
        return found


SHAPES = {"int": int, "chat": (int, str), "bool": bool, "str": str, "list": list, "dict": dict, "file": (str, bytes)}
METHODS: dict[str, Method] = {}
SEND = {
    "business_connection_id": "str",
    "chat_id": "chat!",
    "message_thread_id": "int",
    "direct_messages_topic_id": "int",
    "disable_notification": "bool",
    "protect_content": "bool",
    "allow_paid_broadcast": "bool",
    "message_effect_id": "str",
    "suggested_post_parameters": "dict",
    "reply_parameters": "dict",
    "reply_markup": "dict",
}
TEXT = {"parse_mode": "str", "entities": "list", "link_preview_options": "dict"}
DRAFT = {"chat_id": "int!", "message_thread_id": "int", "draft_id": "int!", "can_stop": "bool", "keep_on_stop": "bool"}


def method(name: str, **params: str) -> Callable[[Callable], Callable]:
    """Registers what a method of the API does."""

    def register(act: Callable) -> Callable:
        METHODS[name.lower()] = Method(name, params, act)
        return act

    return register


@method("getMe")
def _get_me(server: TelegramServer, params: dict) -> dict:
    can = {"can_join_groups": True, "can_read_all_group_messages": not server.privacy, "supports_inline_queries": False}
    topics = {"has_topics_enabled": any(chat.forum and chat.kind == "private" for chat in server.chats.values())}
    return server.bot.json | can | topics


@method("getUpdates", offset="int", limit="int", timeout="int", allowed_updates="list")
async def _get_updates(server: TelegramServer, params: dict) -> bytes:
    _allow(server, params)
    limit = params.get("limit", 100)
    if not 1 <= limit <= 100:
        limit = 100
    return await server.updates.poll(params.get("offset", 0), limit, min(params.get("timeout", 0), 50))


@method(
    "setWebhook",
    url="str!",
    certificate="file",
    ip_address="str",
    max_connections="int",
    allowed_updates="list",
    drop_pending_updates="bool",
    secret_token="str",
)
async def _set_webhook(server: TelegramServer, params: dict) -> bool:
    url, secret, most = params["url"], params.get("secret_token", ""), params.get("max_connections", 40)
    where = urlsplit(url)
    if (
        url
        and where.scheme != "https"
        and not (where.scheme == "http" and where.hostname in ("127.0.0.1", "localhost"))
    ):
        raise Refused(400, "Bad Request: bad webhook: An HTTPS URL must be provided for webhook")
    if url and where.scheme == "https" and (where.port or 443) not in (443, 80, 88, 8443):
        raise Refused(400, "Bad Request: bad webhook: Webhook can be set up only on ports 80, 88, 443 or 8443")
    if not re.fullmatch(r"[A-Za-z0-9_-]{0,256}", secret):
        raise Refused(400, "Bad Request: secret token contains unallowed characters")
    if not 1 <= most <= 100:
        raise Refused(400, "Bad Request: max_connections must be between 1 and 100")
    _allow(server, params)
    if params.get("drop_pending_updates"):
        server.updates.forget()
    await server.updates.post_to(url, secret, most)
    return True


@method("deleteWebhook", drop_pending_updates="bool")
async def _delete_webhook(server: TelegramServer, params: dict) -> bool:
    if params.get("drop_pending_updates"):
        server.updates.forget()
    if server.updates.url:
        await server.updates.post_to("", "", 40)
    return True


@method("getWebhookInfo")
def _get_webhook_info(server: TelegramServer, params: dict) -> dict:
    updates = server.updates
    info = {"url": updates.url, "has_custom_certificate": False, "pending_update_count": updates.pending}
    if updates.url:
        info["max_connections"] = updates.max_connections
    if updates.last_error:
        info |= {"last_error_date": _now(), "last_error_message": updates.last_error}
    return info | ({"allowed_updates": updates.allowed} if updates.allowed else {})


@method("sendMessage", text="str!", **SEND, **TEXT)
def _send_message(server: TelegramServer, params: dict) -> dict:
    return _send(server, params, _content(params))


@method("sendRichMessage", rich_message="dict!", **SEND)
def _send_rich_message(server: TelegramServer, params: dict) -> dict:
    return _send(server, params, _rich_content(params["rich_message"]))


@method(
    "editMessageText",
    business_connection_id="str",
    chat_id="chat",
    message_id="int",
    inline_message_id="str",
    text="str",
    rich_message="dict",
    reply_markup="dict",
    **TEXT,
)
def _edit_message_text(server: TelegramServer, params: dict) -> dict:
    if "chat_id" not in params or "message_id" not in params:
        raise Refused(400, "Bad Request: message identifier is not specified")
    if "rich_message" in params and not server.rich:
        raise Refused(400, "Bad Request: message text is empty")  # an older server does not know the parameter
    if ("text" in params) == ("rich_message" in params):
        raise Refused(400, "Bad Request: exactly one of text and rich_message must be given")
    chat = server.chat_of(params)
    message = chat.by_id.get(params["message_id"])
    if message is None or message.deleted:
        raise Refused(400, "Bad Request: message to edit not found")
    if message.by is not server.bot:
        raise Refused(400, "Bad Request: message can't be edited")
    new = _content(params) if "text" in params else _rich_content(params["rich_message"])
    buttons = _buttons(params.get("reply_markup"), only_inline=True)
    if (new.text, new.entities, new.blocks, buttons) == (
        message.text,
        message.entities,
        message.wire.get("rich_message", {}).get("blocks", []),
        message.buttons,
    ):
        raise Refused(400, NOT_MODIFIED)
    message.edits.append(message.text)
    content = ("text", "entities", "rich_message", "reply_markup")
    wire = {k: v for k, v in message.wire.items() if k not in content} | {"edit_date": _now()}
    _fill(message, new, buttons, wire)
    return message.wire


@method("sendMessageDraft", text="str", parse_mode="str", entities="list", **DRAFT)
def _send_message_draft(server: TelegramServer, params: dict) -> bool:
    return _draft(server, params, _content(params, empty=True))


@method("sendRichMessageDraft", rich_message="dict!", **DRAFT)
def _send_rich_message_draft(server: TelegramServer, params: dict) -> bool:
    return _draft(server, params, _rich_content(params["rich_message"], draft=True))


@method("sendChatAction", business_connection_id="str", chat_id="chat!", message_thread_id="int", action="str!")
def _send_chat_action(server: TelegramServer, params: dict) -> bool:
    chat = server.chat_of(params)
    if params["action"] not in ACTIONS:
        raise Refused(400, "Bad Request: wrong parameter action in request")
    thread = _thread(chat, params)
    chat.typing.append((time.monotonic(), params["action"], thread))
    return True


@method("answerCallbackQuery", callback_query_id="str!", text="str", show_alert="bool", url="str", cache_time="int")
def _answer_callback_query(server: TelegramServer, params: dict) -> bool:
    press = server.presses.get(params["callback_query_id"])
    if press is None or press.answered:
        raise Refused(400, "Bad Request: query is too old and response timeout expired or query ID is invalid")
    if len(params.get("text", "")) > 200:
        raise Refused(400, "Bad Request: MESSAGE_TOO_LONG")
    press.answered, press.answer, press.alert = True, params.get("text", ""), params.get("show_alert", False)
    return True


@method("setMyCommands", commands="list!", scope="dict", language_code="str")
def _set_my_commands(server: TelegramServer, params: dict) -> bool:
    commands = params["commands"]
    if len(commands) > 100:
        raise Refused(400, "Bad Request: BOT_COMMANDS_TOO_MUCH")
    for one in commands:
        if not re.fullmatch(r"[a-z0-9_]{1,32}", one.get("command", "").removeprefix("/")):
            raise Refused(400, "Bad Request: BOT_COMMAND_INVALID")
        if not 1 <= len(one.get("description", "")) <= 256:
            raise Refused(400, "Bad Request: BOT_COMMAND_DESCRIPTION_INVALID")
    server.commands[_scope(params)] = commands
    return True


@method("getMyCommands", scope="dict", language_code="str")
def _get_my_commands(server: TelegramServer, params: dict) -> list[dict]:
    return server.commands.get(_scope(params), [])


@method("deleteMyCommands", scope="dict", language_code="str")
def _delete_my_commands(server: TelegramServer, params: dict) -> bool:
    server.commands.pop(_scope(params), None)
    return True


@method("setMyDescription", description="str", language_code="str")
def _set_my_description(server: TelegramServer, params: dict) -> bool:
    if len(params.get("description", "")) > 512:
        raise Refused(400, "Bad Request: DESCRIPTION_TOO_LONG")
    server.description[params.get("language_code", "")] = params.get("description", "")
    return True


@method("getMyDescription", language_code="str")
def _get_my_description(server: TelegramServer, params: dict) -> dict:
    return {"description": server.description.get(params.get("language_code", ""), "")}


@method("getMyShortDescription", language_code="str")
def _get_my_short_description(server: TelegramServer, params: dict) -> dict:
    return {"short_description": server.short_description.get(params.get("language_code", ""), "")}


@method("setMyShortDescription", short_description="str", language_code="str")
def _set_my_short_description(server: TelegramServer, params: dict) -> bool:
    if len(params.get("short_description", "")) > 120:
        raise Refused(400, "Bad Request: ABOUT_TOO_LONG")
    server.short_description[params.get("language_code", "")] = params.get("short_description", "")
    return True


@method("setMessageReaction", chat_id="chat!", message_id="int!", reaction="list", is_big="bool")
def _set_message_reaction(server: TelegramServer, params: dict) -> bool:
    message = server.chat_of(params).by_id.get(params["message_id"])
    if message is None or message.deleted:
        raise Refused(400, "Bad Request: message to react not found")
    reactions = params.get("reaction", [])
    if len(reactions) > 1:
        raise Refused(400, "Bad Request: REACTIONS_TOO_MANY")
    if any(r.get("type") != "emoji" or r.get("emoji") not in _reaction_emoji() for r in reactions):
        raise Refused(400, "Bad Request: REACTION_INVALID")
    message.reactions = [r["emoji"] for r in reactions]
    return True


@method("deleteMessage", chat_id="chat!", message_id="int!")
def _delete_message(server: TelegramServer, params: dict) -> bool:
    chat = server.chat_of(params)
    message = chat.by_id.get(params["message_id"])
    if message is None or message.deleted:
        raise Refused(400, "Bad Request: message to delete not found")
    if message.by is not server.bot and chat.kind != "private" and not chat.bot_admin:
        raise Refused(400, "Bad Request: message can't be deleted")
    message.deleted = True
    return True


@method("getFile", file_id="str!")
def _get_file(server: TelegramServer, params: dict) -> dict:
    file_id = params["file_id"]
    if file_id not in server.files:
        raise Refused(400, "Bad Request: wrong file_id or the file is temporarily unavailable")
    path, data = server.files[file_id]
    if len(data) > 20 * 1024 * 1024:
        raise Refused(400, "Bad Request: file is too big")
    return {"file_id": file_id, "file_unique_id": "U" + file_id[1:], "file_size": len(data), "file_path": path}


@method("getChatAdministrators", chat_id="chat!", return_bots="bool")
def _get_chat_administrators(server: TelegramServer, params: dict) -> list[dict]:
    chat = server.chat_of(params)
    if chat.kind == "private":
        raise Refused(400, "Bad Request: there are no administrators in the private chat")
    return [_member(p, "administrator" if n else "creator") for n, p in enumerate(chat.admins)]


@method("getChatMember", chat_id="chat!", user_id="int!")
def _get_chat_member(server: TelegramServer, params: dict) -> dict:
    chat, wanted = server.chat_of(params), params["user_id"]
    if wanted == server.bot.id:
        return _member(server.bot, "administrator" if chat.bot_admin else "member")
    person = chat.members.get(wanted)
    if person is None:
        if wanted not in server.people:
            raise Refused(400, "Bad Request: PARTICIPANT_ID_INVALID")
        return _member(server.people[wanted], "left")
    if person in chat.admins:
        return _member(person, "administrator" if chat.admins.index(person) else "creator")
    return _member(person, "member")


@dataclass(slots=True)
class Content:
    """What a message says, markup parsed."""

    kind: str
    text: str
    raw: str
    entities: list[dict] = field(default_factory=list)
    blocks: list[dict] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    media: list[str] = field(default_factory=list)


def _send(server: TelegramServer, params: dict, content: Content) -> dict:
    chat = server.chat_of(params)
    thread, reply_to = _thread(chat, params), _reply(chat, params)
    buttons = _buttons(params.get("reply_markup"))
    if "message_effect_id" in params and chat.kind != "private":
        raise Refused(400, "Bad Request: message effects are for private chats")
    if problems := set(params.get("link_preview_options", {})) - PREVIEW:
        raise Refused(400, f"Bad Request: link_preview_options has no {problems}")
    wire: dict = {"message_id": chat.next_id(), "date": _now(), "chat": chat.json, "from": server.bot.json}
    if thread is not None:
        wire |= {"message_thread_id": thread, "is_topic_message": True}
    if reply_to:
        wire["reply_to_message"] = {k: v for k, v in reply_to.wire.items() if k != "reply_to_message"}
    message = Message(wire["message_id"], chat.id, server.bot, "", "", "", wire, time.monotonic(), thread=thread)
    message.reply_to = reply_to and reply_to.id
    _fill(message, content, buttons, wire)
    chat.keep(message)
    chat.vanish(thread)
    return wire


def _fill(message: Message, content: Content, buttons: list[list[dict]], wire: dict) -> None:
    message.kind, message.text, message.raw = content.kind, content.text, content.raw
    message.entities, message.links, message.media = content.entities, content.links, content.media
    message.buttons, message.wire = buttons, wire
    if content.kind == "rich":
        wire["rich_message"] = {"blocks": content.blocks}
    else:
        wire["text"] = content.text
        if content.entities:
            wire["entities"] = content.entities
    if buttons:
        wire["reply_markup"] = {"inline_keyboard": buttons}


def _draft(server: TelegramServer, params: dict, content: Content) -> bool:
    chat = server.chat_of(params)
    if chat.kind != "private":
        raise Refused(400, "Bad Request: drafts can be sent only to private chats")
    if not params["draft_id"]:
        raise Refused(400, "Bad Request: draft_id must be non-zero")
    stop, keep = params.get("can_stop", False), params.get("keep_on_stop", False)
    thread = _thread(chat, params)
    chat.preview(
        Draft(params["draft_id"], content.text, content.raw, content.kind, thread, stop, keep, time.monotonic())
    )
    return True


def _content(params: dict, *, empty: bool = False) -> Content:
    raw, mode = params.get("text", ""), params.get("parse_mode", "")
    if mode and "entities" in params:
        raise Refused(400, "Bad Request: parse_mode and entities exclude each other")
    if mode.lower() not in ("", "html"):
        raise Refused(400, "Bad Request: unsupported parse_mode")
    text, entities = read_html(raw) if mode else (raw, params.get("entities", []))
    if not mode:
        size = units(text)
        if any(e["offset"] < 0 or e["length"] < 1 or e["offset"] + e["length"] > size for e in entities):
            raise Refused(400, "Bad Request: entity is outside of the text")
        if not entities:
            text = text.strip(" \n\t\r")
    if not text and not empty:
        raise Refused(400, "Bad Request: message text is empty")
    if units(text) > 4096:
        raise Refused(400, "Bad Request: message is too long")
    links = [e["url"] for e in entities if "url" in e]
    return Content("html" if mode else "text", text, raw, entities, links=links)


def _rich_content(rich: dict, *, draft: bool = False) -> Content:
    if unknown := set(rich) - {"html", "markdown", "is_rtl", "skip_entity_detection"}:
        raise Refused(400, f"Bad Request: rich_message has no {', '.join(sorted(unknown))}")
    if ("html" in rich) == ("markdown" in rich):
        raise Refused(400, "Bad Request: exactly one of html and markdown must be given")
    if "markdown" in rich:
        text = raw = rich["markdown"]
        content = Content("rich", text, raw, blocks=[{"type": "paragraph", "text": text}])
    else:
        content = read_rich(rich["html"], draft=draft)
    if not content.text and not content.blocks:
        raise Refused(400, "Bad Request: message text is empty")
    if len(content.text) > 32768:
        raise Refused(400, "Bad Request: message is too long")
    return content


def _thread(chat: Chat, params: dict) -> int | None:
    thread = params.get("message_thread_id")
    if thread is not None and not (chat.forum and thread in chat.threads):
        raise Refused(400, "Bad Request: message thread not found")
    return thread


REPLY = words(
    "message_id chat_id allow_sending_without_reply quote quote_parse_mode quote_entities quote_position "
    "checklist_task_id poll_option_id"
)
PREVIEW = words("is_disabled url prefer_small_media prefer_large_media show_above_text")
BUTTON_ACTIONS = words(
    "url callback_data web_app login_url switch_inline_query switch_inline_query_current_chat "
    "switch_inline_query_chosen_chat copy_text callback_game pay"
)


def _reply(chat: Chat, params: dict) -> Message | None:
    given = params.get("reply_parameters")
    if given is None:
        return None
    if not isinstance(given.get("message_id"), int) or set(given) - REPLY:
        raise Refused(400, "Bad Request: can't parse reply parameters")
    message = chat.by_id.get(given["message_id"])
    if message is None or message.deleted:
        if given.get("allow_sending_without_reply"):
            return None
        raise Refused(400, "Bad Request: message to be replied not found")
    if given.get("quote") and given["quote"] not in message.text:
        raise Refused(400, "Bad Request: QUOTE_TEXT_INVALID")
    return message


def _buttons(markup: dict | None, *, only_inline: bool = False) -> list[list[dict]]:
    if not markup:
        return []
    if "inline_keyboard" not in markup:
        if only_inline or not set(markup) & {"keyboard", "remove_keyboard", "force_reply"}:
            raise Refused(400, "Bad Request: object expected as reply markup")
        return []
    rows = [row for row in markup["inline_keyboard"] if row]
    if any(len(row) > 8 for row in rows) or sum(map(len, rows)) > 100:
        raise Refused(400, "Bad Request: reply markup is too long")
    for button in itertools.chain.from_iterable(rows):
        actions = set(button) & BUTTON_ACTIONS
        if not button.get("text") or set(button) - actions - {"text", "style", "icon_custom_emoji_id"}:
            raise Refused(400, "Bad Request: can't parse inline keyboard button")
        if len(actions) != 1:
            raise Refused(400, "Bad Request: text buttons are unallowed in the inline keyboard")
        if "callback_data" in button and not 1 <= len(button["callback_data"].encode()) <= 64:
            raise Refused(400, "Bad Request: BUTTON_DATA_INVALID")
        if button.get("style", "primary") not in ("primary", "success", "danger"):
            raise Refused(400, "Bad Request: BUTTON_STYLE_INVALID")
        if "copy_text" in button and not 1 <= len(button["copy_text"].get("text", "")) <= 256:
            raise Refused(400, "Bad Request: BUTTON_COPY_TEXT_INVALID")
    return rows


def _member(person: Person, status: str) -> dict:
    member: dict = {"user": person.json, "status": status}
    if status == "creator":
        member["is_anonymous"] = False
    elif status == "kicked":
        member["until_date"] = 0
    elif status == "administrator":
        rights = (
            "be_edited manage_chat delete_messages manage_video_chats restrict_members promote_members change_info "
        )
        rights += "invite_users post_stories edit_stories delete_stories"
        member |= {f"can_{right}": True for right in rights.split()} | {"is_anonymous": False}
    return member


def _allow(server: TelegramServer, params: dict) -> None:
    if "allowed_updates" in params:
        kinds = params["allowed_updates"]
        if unknown := set(kinds) - KINDS:
            server.problems.append(f"allowed_updates names unknown kinds: {sorted(unknown)}")
        server.updates.allowed = kinds


def _scope(params: dict) -> tuple[str, str]:
    scope = params.get("scope", {"type": "default"})
    kinds = "default all_private_chats all_group_chats all_chat_administrators chat chat_administrators chat_member"
    if scope.get("type") not in kinds.split():
        raise Refused(400, "Bad Request: unsupported BotCommandScope type specified")
    return ":".join(str(v) for v in scope.values()), params.get("language_code", "")


@functools.cache
def _reaction_emoji() -> frozenset[str]:
    from telegram.constants import ReactionEmoji

    return frozenset(str(e.value) for e in ReactionEmoji)


def _entities_of(text: str) -> list[dict]:
    found = []
    for match in re.finditer(r"(?<![\w/@])(/[A-Za-z0-9_]{1,32}(?:@\w{3,32})?|@\w{3,32}|https?://[^\s<>]+)", text):
        kind = {"/": "bot_command", "@": "mention"}.get(match[0][0], "url")
        found.append({"type": kind, "offset": units(text[: match.start()]), "length": units(match[0])})
    return found


async def _body(request: web.BaseRequest) -> dict[str, Any]:
    given: dict[str, Any] = dict(request.query) if request.query_string else {}
    kind = request.content_type
    if kind == "multipart/form-data":
        for name, value in (await request.post()).items():
            given[name] = value.file.read() if isinstance(value, web.FileField) else value
    elif raw := await request.read():
        if kind == JSON:
            try:
                given |= msgspec.json.decode(raw, type=dict)
            except (msgspec.DecodeError, msgspec.ValidationError):
                raise Refused(400, "Bad Request: can't parse JSON object") from None
        elif kind == "application/x-www-form-urlencoded":
            given |= parse_qsl(raw.decode(), keep_blank_values=True)
        else:
            raise Refused(400, f"Bad Request: unsupported content type {kind}")
    return given


def _value(kind: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    kind = kind.rstrip("!")
    if kind in ("int", "chat"):
        return int(value) if re.fullmatch(r"-?\d+", value) else value
    if kind == "bool":
        return {"true": True, "false": False}.get(value.lower(), value)
    if kind in ("list", "dict"):
        try:
            return msgspec.json.decode(value)
        except msgspec.DecodeError:
            return value
    return value


def _ordered(fault: Fault) -> Refused:
    reasons = {400: "Bad Request", 403: "Forbidden", 429: "Too Many Requests", 500: "Internal Server Error"}
    wait = 1 if fault.retry_after is None and fault.status == 429 else fault.retry_after
    text = fault.description or reasons.get(fault.status, "Bad Gateway")
    if wait is None:
        return Refused(fault.status, text)
    return Refused(fault.status, fault.description or f"Too Many Requests: retry after {wait}", retry_after=wait)


def _refusal(no: Refused) -> web.Response:
    body = {"ok": False, "error_code": no.status, "description": no.description}
    headers = {"Retry-After": str(no.parameters["retry_after"])} if "retry_after" in no.parameters else {}
    body |= {"parameters": no.parameters} if no.parameters else {}
    return web.Response(status=no.status, body=encode(body), content_type=JSON, headers=headers)


def _cut(request: web.BaseRequest) -> web.Response:
    if request.transport:
        request.transport.abort()
    return web.Response()


def _now() -> int:
    return int(time.time())


def units(text: str) -> int:
    """The length as Telegram counts it: UTF-16 code units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


@dataclass(slots=True)
class Node:
    """An element of markup."""

    tag: str
    attrs: dict[str, str]
    children: list["Node | str"] = field(default_factory=list)


MARK = re.compile(
    r"<(?:/(?P<end>[a-zA-Z][\w-]*)\s*|(?P<tag>[a-zA-Z][\w-]*)"
    r"(?P<attrs>(?:\s+[\w-]+(?:=(?:\"[^\"<]*\"|'[^'<]*'|[\w.:-]+))?)*)\s*(?P<closed>/?))>"
)
ATTR = re.compile(r"([\w-]+)(?:=(?:\"([^\"]*)\"|'([^']*)'|([\w.:-]+)))?")
NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}
NAMED_RICH = NAMED | {
    "apos": "'",
    "nbsp": "\xa0",
    "hellip": "…",
    "mdash": "—",
    "ndash": "–",
    "lsquo": "‘",
    "rsquo": "’",
    "ldquo": "“",
    "rdquo": "”",
}
BASIC = words("b strong i em u ins s strike del span tg-spoiler a tg-emoji tg-time code pre blockquote")
MARKS = {
    **dict.fromkeys(("b", "strong"), "bold"),
    **dict.fromkeys(("i", "em"), "italic"),
    **dict.fromkeys(("u", "ins"), "underline"),
    **dict.fromkeys(("s", "strike", "del"), "strikethrough"),
    **dict.fromkeys(("span", "tg-spoiler"), "spoiler"),
    "code": "code",
    "pre": "pre",
    "blockquote": "blockquote",
    "tg-emoji": "custom_emoji",
    "tg-time": "date_time",
}


def read_html(html: str) -> tuple[str, list[dict]]:
    """Text and entities of parse_mode=HTML, trimmed as the platform trims; Refused where it would refuse."""
    entities: list[dict] = []
    parts: list[str] = []

    def walk(node: Node, start: int) -> int:
        at = start
        for child in node.children:
            if isinstance(child, str):
                parts.append(child)
                at += units(child)
            else:
                place = len(entities)
                end = walk(child, at)
                if end > at and (found := _entity(child, node)):
                    entities.insert(place, found | {"offset": at, "length": end - at})
                at = end
        return at

    walk(_tree(html, BASIC, (), NAMED, "can't parse entities"), 0)
    text = "".join(parts)
    kept = text.rstrip(" \n\t\r")
    first = entities[0]["offset"] if entities else len(kept)
    lead = min(len(kept) - len(kept.lstrip(" \n\t\r")), first)
    end = units(kept)
    trimmed = [e | {"offset": e["offset"] - lead, "length": min(e["length"], end - e["offset"])} for e in entities]
    return kept[lead:], [e for e in trimmed if e["length"] > 0][:100]


def _entity(node: Node, parent: Node) -> dict | None:
    tag, attrs = node.tag, node.attrs
    if tag == "a":
        url = attrs.get("href", "")
        return {"type": "text_link", "url": url} if re.match(r"(https?|tg|mailto|tel):", url) else None
    if tag == "code" and parent.tag == "pre":
        return None
    if tag == "pre":
        [inner, *rest] = node.children or [""]
        if isinstance(inner, Node) and inner.tag == "code" and not rest and "class" in inner.attrs:
            return {"type": "pre", "language": inner.attrs["class"].removeprefix("language-")}
    if tag == "blockquote" and "expandable" in attrs:
        return {"type": "expandable_blockquote"}
    if tag == "tg-emoji":
        return {"type": "custom_emoji", "custom_emoji_id": attrs.get("emoji-id", "")}
    return {"type": MARKS[tag]}


def _tree(html: str, allowed: set[str], void: Iterable[str], named: dict[str, str], what: str) -> Node:
    root = Node("", {})
    stack, at = [root], 0
    while (less := html.find("<", at)) >= 0:
        if less > at:
            stack[-1].children.append(_unescape(html[at:less], named, what))
        mark, where = MARK.match(html, less), f"at byte offset {len(html[:less].encode())}"
        if mark is None:
            raise Refused(400, f"Bad Request: {what}: Unclosed or unsupported start tag {where}")
        at = mark.end()
        if end := mark["end"]:
            if len(stack) == 1:
                raise Refused(400, f"Bad Request: {what}: Unexpected end tag {where}")
            if end.lower() != stack[-1].tag:
                expected = f'expected "</{stack[-1].tag}>", found "</{end}>"'
                raise Refused(400, f"Bad Request: {what}: Unmatched end tag {where}, {expected}")
            stack.pop()
            continue
        tag = mark["tag"].lower()
        if tag not in allowed:
            raise Refused(400, f'Bad Request: {what}: Unsupported start tag "{tag}" {where}')
        attrs = {m[1]: _unescape(m[2] or m[3] or m[4] or "", named, what) for m in ATTR.finditer(mark["attrs"])}
        if tag == "span" and attrs.get("class") != "tg-spoiler":
            raise Refused(400, f'Bad Request: {what}: Tag "span" must have class "tg-spoiler" {where}')
        stack[-1].children.append(node := Node(tag, attrs))
        if tag not in void and not mark["closed"]:
            stack.append(node)
    if at < len(html):
        stack[-1].children.append(_unescape(html[at:], named, what))
    if len(stack) > 1:
        raise Refused(400, f'Bad Request: {what}: Can\'t find end tag corresponding to start tag "{stack[-1].tag}"')
    return root


def _unescape(text: str, named: dict[str, str], what: str) -> str:
    if "&" not in text:
        return text

    def one(match: re.Match) -> str:
        name = match[1]
        if name.startswith("#"):
            code = int(name[1:] if name[1].isdigit() else "0" + name[1:], 0 if name[1] in "xX" else 10)
            return chr(code) if 0 < code < 0x110000 and not 0xD800 <= code < 0xE000 else match[0]
        if name not in named and named is NAMED_RICH:
            raise Refused(400, f'Bad Request: {what}: Unsupported entity "&{name};"')
        return named.get(name, match[0])

    return re.sub(r"&(#[xX][0-9a-fA-F]+|#[0-9]+|[a-zA-Z]+);", one, text)


INLINE = words(
    "a b strong i em u ins s strike del code mark sub sup tg-spoiler cite input tg-math tg-emoji tg-time tg-reference br"
)
HEADINGS = {f"h{n}" for n in range(1, 7)}
MEDIA = {"img", "video", "audio"}
BLOCKS = (
    HEADINGS
    | MEDIA
    | words(
        "p pre footer hr ul ol li blockquote aside figure table tr details tg-math-block tg-map tg-collage tg-slideshow "
        "tg-thinking"
    )
)
PARTS = words("figcaption caption th td summary")
VOID = {"br", "hr", "img", "input"}
FLOW = {"", "li", "blockquote", "details"}  # what holds blocks and running text
ONLY = {  # what holds nothing but these
    "ul": {"li"},
    "ol": {"li"},
    "table": {"tr", "caption"},
    "tr": {"th", "td"},
    "figure": MEDIA | {"figcaption", "tg-map"},
    "tg-collage": MEDIA | {"figure", "figcaption"},
    "tg-slideshow": MEDIA | {"figure", "figcaption"},
}
WITHIN = {  # what stands nowhere else
    "li": {"ul", "ol"},
    "tr": {"table"},
    "th": {"tr"},
    "td": {"tr"},
    "caption": {"table"},
    "figcaption": {"figure", "tg-collage", "tg-slideshow"},
    "summary": {"details"},
    "cite": {"blockquote", "aside", "figcaption"},
    "input": {"li", "p"},
}
CELL = {"colspan": r"[1-9]\d?", "rowspan": r"[1-9]\d?", "align": "left|center|right", "valign": "top|middle|bottom"}
ATTRS: dict[str, dict[str, str]] = {
    "a": {"href": ".+", "name": ".+"},
    "code": {"class": r"language-\S+"},
    "ol": {"start": r"-?\d+", "type": "[aAiI1]", "reversed": ".*"},
    "li": {"value": r"-?\d+", "type": "[aAiI1]"},
    "input": {"type": "checkbox", "checked": ".*", "disabled": ".*"},
    "blockquote": {"expandable": ".*"},
    "details": {"open": ".*"},
    "table": {"bordered": ".*", "striped": ".*"},
    "td": CELL,
    "th": CELL,
    "tg-emoji": {"emoji-id": r"\d+"},
    "tg-time": {"unix": r"\d+", "format": ".*"},
    "tg-reference": {"name": ".+"},
    "tg-map": {"lat": ".+", "long": ".+", "zoom": r"\d+", "width": r"\d+", "height": r"\d+"},
    **{tag: {"src": ".+", "alt": ".*", "tg-spoiler": ".*", "loop": ".*", "title": ".*"} for tag in MEDIA},
}


def read_rich(html: str, *, draft: bool = False) -> Content:
    """The text, blocks and links of Rich HTML; Refused where it breaks the rules or the limits."""
    root = _tree(html, INLINE | BLOCKS | PARTS, VOID, NAMED_RICH, RICH)
    content = Content("rich", "", html)
    if _count(root, 0, content, draft=draft) > 500:
        raise Refused(400, f"Bad Request: {RICH}: too many blocks")
    if len(content.media) > 50:
        raise Refused(400, f"Bad Request: {RICH}: too much media")
    content.text = _plain(root).strip("\n")
    content.blocks = _blocks(root)
    return content


RICH = "can't parse rich message"


def _count(node: Node, depth: int, content: Content, *, draft: bool) -> int:
    if depth > 16:
        raise Refused(400, f"Bad Request: {RICH}: nested too deeply")
    _permit(node, draft=draft)
    if node.tag == "a" and "href" in node.attrs:
        content.links.append(node.attrs["href"])
    elif node.tag in MEDIA:
        content.media.append(node.attrs.get("src", ""))
    elif node.tag == "tr" and sum(int(c.attrs.get("colspan", 1)) for c in node.children if isinstance(c, Node)) > 20:
        raise Refused(400, f"Bad Request: {RICH}: a table has at most 20 columns")
    blocks, running = int(node.tag in BLOCKS), False
    for child in node.children:
        if isinstance(child, str):
            if node.tag in ONLY and child.strip():
                raise Refused(400, f"Bad Request: {RICH}: text directly in <{node.tag}>")
            begins = bool(child.strip())
        else:
            if not _fits(child.tag, node.tag):
                raise Refused(400, f"Bad Request: {RICH}: <{child.tag}> can't stand in <{node.tag or 'the message'}>")
            blocks += _count(child, depth + 1, content, draft=draft)
            begins = child.tag in INLINE
            running = running and begins
        if node.tag in FLOW - {"li"} and begins and not running:
            blocks, running = blocks + 1, True  # a paragraph without its tag
    return blocks


def _permit(node: Node, *, draft: bool) -> None:
    if node.tag == "tg-thinking" and not draft:
        raise Refused(400, f"Bad Request: {RICH}: <tg-thinking> is for drafts")
    known = ATTRS.get(node.tag, {})
    for name, value in node.attrs.items():
        if name not in known or not re.fullmatch(known[name], value):
            raise Refused(400, f'Bad Request: {RICH}: <{node.tag}> has no attribute {name}="{value}"')
    needed = {"a": ("href", "name"), "input": ("type",), "tg-time": ("unix",), "img": ("src",)}.get(node.tag)
    if needed and not set(needed) & set(node.attrs):
        raise Refused(400, f"Bad Request: {RICH}: <{node.tag}> needs {' or '.join(needed)}")
    source = node.attrs.get("src", "tg:")
    if node.tag in MEDIA and not re.match(r"(https?:|tg:)", source):
        raise Refused(400, f"Bad Request: {RICH}: wrong media address {source}")


def _fits(tag: str, parent: str) -> bool:
    if tag in WITHIN and parent not in WITHIN[tag]:
        return False
    if parent in ONLY:
        return tag in ONLY[parent]
    if parent == "pre":
        return tag == "code"
    if parent in ("code", "tg-math", "tg-math-block"):
        return False
    return tag in INLINE or parent in FLOW


def _plain(node: Node, depth: int = 0) -> str:
    """What is read, in the layout that the module's text describes."""
    tag = node.tag
    if tag == "br":
        return "\n"
    if tag == "hr":
        return "---"
    if tag == "input":
        return "[x] " if "checked" in node.attrs else "[ ] "
    if tag in ("pre", "tg-math-block", "tg-math", "code"):
        return "".join(c if isinstance(c, str) else _plain(c) for c in node.children)
    inner = [c for c in node.children if isinstance(c, Node)]
    if tag in ("ul", "ol"):
        first = int(node.attrs.get("start", 1))
        labels = (f"{first + n}. " if tag == "ol" else "- " for n in range(len(inner)))
        return "\n".join(
            label + _plain(item).replace("\n", "\n" + " " * len(label))
            for label, item in zip(labels, inner, strict=True)
        )
    if tag == "table":
        return "\n".join(map(_plain, inner))
    if tag == "tr":
        return " | ".join(map(_plain, inner))
    if tag in FLOW:
        between = "\n" if tag in ("li", "details") else "\n\n"
        return between.join(text if isinstance(text, str) else _plain(text) for text in _paragraphs(node))
    return _line(node.children)


def _paragraphs(node: Node) -> list[Node]:
    """The blocks of a place that holds blocks and running text; running text becomes a <p>."""
    found: list[Node] = []
    running: list[Node | str] = []

    def end() -> None:
        if running and _line(running).strip():
            found.append(Node("p", {}, running.copy()))
        running.clear()

    for child in node.children:
        if isinstance(child, str) or child.tag in INLINE:
            running.append(child)
        else:
            end()
            found.append(child)
    end()
    return found


def _line(children: list[Node | str]) -> str:
    text = "".join(re.sub(r"\s*\n\s*", " ", c) if isinstance(c, str) else _plain(c) for c in children)
    return re.sub(r" *\n *", "\n", text).strip(" \n") if "\n" in text else text.strip(" ")


def _blocks(node: Node) -> list[dict]:
    return [_block(child) for child in _paragraphs(node)]


def _block(node: Node) -> dict:
    tag, inner = node.tag, [c for c in node.children if isinstance(c, Node)]
    if tag in HEADINGS:
        return {"type": "heading", "size": int(tag[1]), "text": _plain(node)}
    if tag == "pre":
        language = inner[0].attrs.get("class", "").removeprefix("language-") if inner else ""
        return {"type": "pre", "text": _plain(node)} | ({"language": language} if language else {})
    if tag == "hr":
        return {"type": "divider"}
    if tag == "tg-math-block":
        return {"type": "mathematical_expression", "expression": _plain(node)}
    if tag in ("ul", "ol"):
        return {
            "type": "list",
            "items": [_item(i, n, tag) for n, i in enumerate(inner, int(node.attrs.get("start", 1)))],
        }
    if tag == "blockquote":
        return {"type": "blockquote", "blocks": _blocks(node)}
    if tag == "details":
        summary = next((c for c in inner if c.tag == "summary"), Node("summary", {}))
        rest = Node("", {}, [c for c in node.children if c is not summary])
        return {"type": "details", "summary": _plain(summary), "blocks": _blocks(rest)}
    if tag == "table":
        rows = [[c for c in row.children if isinstance(c, Node)] for row in inner if row.tag == "tr"]
        return {"type": "table", "cells": [[_cell(c) for c in row] for row in rows]}
    return {
        "type": {"footer": "footer", "aside": "pullquote", "tg-thinking": "thinking"}.get(tag, "paragraph"),
        "text": _plain(node),
    }


def _item(node: Node, number: int, kind: str) -> dict:
    boxes = [c for c in node.children if isinstance(c, Node) and c.tag == "input"]
    ticked = {"has_checkbox": True, "is_checked": "checked" in boxes[0].attrs} if boxes else {}
    rest = Node("li", {}, [c for c in node.children if c not in boxes])
    return {"label": f"{number}." if kind == "ol" else "•", "blocks": _blocks(rest)} | ticked


def _cell(node: Node) -> dict:
    places = {"align": node.attrs.get("align", "left"), "valign": node.attrs.get("valign", "top")}
    return {"text": _plain(node)} | ({"is_header": True} if node.tag == "th" else {}) | places
