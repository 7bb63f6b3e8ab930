"""A Telegram server on loopback: strict about what it accepts, failing on order, and recording what a person would see.

It speaks the Bot API as far as our adapter needs it (10.1 with rich messages and drafts; an older one with `rich=False`).
What it cannot accept it refuses as the platform would, and what a real server would let pass in silence (a parameter that
nobody knows, a tag that no client shows) is refused too and kept in `problems`.

    async with TelegramServer() as server:
        ada = server.person(1, "Ada")
        chat = server.private(ada)
        await chat.say(ada, "hello")
        [reply] = await chat.replies(1)

The parts are in bot_api/; in which layout the text of a rich message is read back, bot_api/rich.py says.
Entering a server again after it was left opens the same port again, with everything that it knew.
"""

import asyncio
import itertools
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from tests.servers import specs
from tests.servers.bot_api import gestures, lookups, profile, sending, updates
from tests.servers.bot_api.chats import Chat
from tests.servers.bot_api.faults import Fault, Flood, Limits, ordered
from tests.servers.bot_api.messages import Person, Press
from tests.servers.bot_api.methods import Method
from tests.servers.bot_api.updates import Updates
from tests.servers.bot_api.wire import JSON, Refused, cut, encode, read_body, refused
from tests.servers.loopback import Loopback

TOKEN = "42:TESTtestTESTtestTESTtestTESTtest123"
METHODS = sending.METHODS | gestures.METHODS | lookups.METHODS | profile.METHODS | updates.METHODS


@dataclass(slots=True)
class Call:
    """One request that reached the server; `status` is what it was answered (0: the reply was lost on order)."""

    method: str
    params: dict
    at: float
    status: int = 0
    description: str = ""


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
        self._loopback = Loopback(port)

    async def __aenter__(self) -> Self:
        await self._loopback.open(self._serve, grace=0.2)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.updates.close()
        await self._loopback.close()

    @property
    def url(self) -> str:
        return self._loopback.url

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

    def private(self, person: Person, *, topics: bool = False) -> Chat:
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
    ) -> Chat:
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

    def chat_of(self, params: dict) -> Chat:
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
            return refused(Refused(404, "Not Found"))
        if token != self.token:
            return refused(Refused(401, "Unauthorized"))
        method = self._method(name)
        call = Call(method.name if method else name, {}, time.monotonic())
        self.calls.append(call)
        try:
            if method is None:
                raise Refused(404, "Not Found: method not found")
            call.params = params = method.read(await read_body(request))
            return await self._answer(request, call, method, params)
        except Refused as refusal:
            no = refusal
        except (AttributeError, KeyError, TypeError) as error:  # JSON of a shape that nobody reads
            no = Refused(400, "Bad Request: can't parse the parameters")
            self.problems.append(f"{call.method}: {error!r} with {call.params}")
        call.status, call.description = no.status, no.description
        return refused(no)

    async def _answer(self, request: web.BaseRequest, call: Call, method: Method, params: dict) -> web.StreamResponse:
        fault = self._fault(method, params) if self.faults else None
        if fault:
            await asyncio.sleep(fault.delay)
            if fault.drop == "before":
                return cut(request)
            if fault.proxy:
                call.status = fault.status or 502
                page = "<html><head><title>502 Bad Gateway</title></head><body><center>nginx</center></body></html>"
                return web.Response(status=call.status, text=page, content_type="text/html")
            if fault.status:
                raise ordered(fault)
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
                return cut(request)
        call.status = 200
        body = result if isinstance(result, bytes) else b'{"ok":true,"result":%b}' % encode(result)
        return web.Response(body=body[: len(body) // 2] if fault and fault.garbled else body, content_type=JSON)

    def _method(self, name: str) -> Method | None:
        method = METHODS.get(name.lower())
        older = {
            "sendRichMessage": self.rich,
            "sendRichMessageDraft": self.rich_drafts,
            "sendMessageDraft": self.drafts,
        }
        return method if method and older.get(method.name, True) else None

    def _fault(self, method: Method, params: dict) -> Fault | None:
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
            return refused(Refused(401, "Unauthorized"))
        for file_path, content in self.files.values():
            if file_path == name:
                return web.Response(body=content, content_type="application/octet-stream")
        return refused(Refused(404, "Not Found"))
