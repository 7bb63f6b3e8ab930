"""The Telegram server of the other suites behind a lean door: as strict, and each message is stamped as it passes."""

import asyncio
import inspect
from contextlib import suppress
from time import monotonic
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from tests.load import wire
from tests.load.record import Record
from tests.load.wire import Line, Request
from tests.servers.bot_api.methods import Method
from tests.servers.bot_api.wire import Refused, encode
from tests.servers.telegram import TOKEN, TelegramServer

SENDS = ("sendMessage", "sendRichMessage", "editMessageText")
PREVIEWS = ("sendMessageDraft", "sendRichMessageDraft")


class Telegram:
    """`limits`: hold the bot to the published limits of sending. `polled` is when it first asked for updates."""

    def __init__(self, record: Record, *, limits: bool) -> None:
        self.chats = TelegramServer(limits=limits, check_specs=False)
        self.polled: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._record = record
        self._server: asyncio.Server | None = None
        self._polls: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._server = await wire.listen(self._serve)
        self.url = f"http://127.0.0.1:{wire.port(self._server)}"

    async def close(self) -> None:
        await self.chats.updates.close()
        for poll in self._polls:
            poll.cancel()
        if self._server:
            self._server.close()

    def _serve(self, request: Request, line: Line) -> None:
        path, _, name = request.path.removeprefix("/bot").partition("/")
        method = self.chats._method(name) if path == TOKEN else None
        try:
            if method is None:
                raise Refused(404, f"Not Found: {name}")
            params = method.read(_given(request))
            if problems := method.problems(params):
                raise Refused(400, f"Bad Request: {problems[0]}")
            if self.chats.flood and (wait := self.chats.flood.wait(method.name, params.get("chat_id"))):
                raise Refused(429, f"Too Many Requests: retry after {wait}", retry_after=wait)
            if method.name == "getUpdates" and not self.polled.done():
                self.polled.set_result(request.at)
            result = method.act(self.chats, params)
        except Refused as no:
            self._refuse(line, name, no)
            return
        if inspect.isawaitable(result):
            poll = asyncio.ensure_future(self._later(line, method, result))
            self._polls.add(poll)
            poll.add_done_callback(self._polls.discard)
        else:
            self._note(method, params, request.at)
            line.reply(200, b'{"ok":true,"result":%b}' % encode(result))

    async def _later(self, line: Line, method: Method, result: Any) -> None:
        """A long poll, and what else waits."""
        try:
            answer = await result
        except Refused as no:
            if line.open:
                self._refuse(line, method.name, no)
            return
        body = answer if isinstance(answer, bytes) else b'{"ok":true,"result":%b}' % encode(answer)
        if method.name == "getUpdates":
            self._record.hand(body.decode(), monotonic())
        if line.open:
            line.reply(200, body)

    def _note(self, method: Method, params: dict, at: float) -> None:
        self._record.sends[method.name] = self._record.sends.get(method.name, 0) + 1
        if method.name in SENDS or method.name in PREVIEWS:
            text = params.get("text") or params.get("rich_message", {}).get("html", "")
            self._record.show(text, at, standing=method.name in SENDS)

    def _refuse(self, line: Line, name: str, no: Refused) -> None:
        if no.status == 429:
            self._record.refused += 1
        else:
            self._record.problems.append(f"{name}: {no.status} {no.description}")
        body = {"ok": False, "error_code": no.status, "description": no.description}
        line.reply(no.status, encode(body | ({"parameters": no.parameters} if no.parameters else {})))


def _given(request: Request) -> dict[str, Any]:
    if not request.body:
        return {}
    if request.kind == wire.FORM:
        return dict(parse_qsl(request.body.decode(), keep_blank_values=True))
    if request.kind == wire.JSON:
        with suppress(msgspec.DecodeError):
            return msgspec.json.decode(request.body, type=dict)
    raise Refused(400, "Bad Request: the body cannot be read")
