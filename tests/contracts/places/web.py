"""The page: the real adapter behind the real application, and a browser that does what chat.js does."""

import asyncio
import contextlib
import io
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import aiohttp
import msgspec

from adapters.chat.web.outbound import Web
from adapters.chat.web.routes import routes
from adapters.web.app import app, serve
from bots.wiring import PageRecords
from core.engine import Engine
from core.ports import Chat
from core.seal import Seal
from tests.contracts.place import Ability, Sent, gone
from tests.contracts.reading import html_text
from tests.stage import KEY

THREAD = "thread-0123456789abcdef"
REFUSED = "refused"


@dataclass
class Item:
    """A reply in the page's list."""

    turn: str
    html: str
    text: str | None = None
    """None while it grows."""
    thread: str = THREAD


class WebPlace:
    """One open page of one visitor."""

    lacks: ClassVar[Mapping[Ability, str]] = {
        "block": "whoever does not want to read closes the page",
        "edit": "what was posted on the page cannot be changed",
        "faults": "the page is our own server: what can fail is the way to it (hang up)",
        "files": "the page takes no files yet",
        "forms": "the page shows whatever we give it",
        "group": "a chat of the page belongs to one visitor",
        "pings": "the page notifies nobody",
        "replies": "a chat of the page belongs to one visitor",
        "rules": "a chat of the page belongs to one visitor",
        "strangers": "whoever has the page's cookie was let in by the page itself",
        "take back": "what was posted on the page cannot be taken back",
    }

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._port = 0
        self._url = ""
        self._items: list[Item] = []
        self._held: list[dict[str, Any]] | None = None
        self._previews: list[str] = []
        self._worked = False
        self._posts: asyncio.Queue[tuple[str, bytes, Sent]] = asyncio.Queue()
        self._listening: asyncio.Task | None = None
        self._loading: set[asyncio.Task] = set()

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator[Self]:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            place = cls(session)
            posting = asyncio.create_task(place._post_all())
            try:
                yield place
            finally:
                await gone(posting)

    @asynccontextmanager
    async def life(self, engine: Engine) -> AsyncIterator[Chat]:
        page = Web(Seal(KEY).sign, PageRecords(engine.records, engine._aside._models, ()))
        async with serve(app([routes(page)]), "127.0.0.1", self._port) as url:
            self._url, self._port = url, int(url.rpartition(":")[2])
            await self._request("POST", "/api/visit", b"{}")
            self.come_back()
            try:
                yield page
            finally:
                page._pages.close()  # the end of the program: what waits is still given
                await self._hung_up(wait=True)

    async def say(self, text: str) -> Sent:
        return await self._send("/api/messages", text=text)

    async def redeliver(self, sent: Sent) -> None:
        await self._send("/api/messages", sent.id, text=sent.text)

    async def say_raw(self, text: bytes) -> None:
        body = b'{"thread":"%b","id":"%b","text":%b}' % (THREAD.encode(), uuid.uuid4().hex.encode(), text)
        self._posts.put_nowait(("/api/messages", body, Sent("", "")))

    async def send_nonsense(self) -> None:
        for body in (b"{", b"[]", b"\xff\xfe", b"null", b"", b"[" * 100_000, b'{"thread":1,"id":2,"text":3}'):
            self._posts.put_nowait(("/api/messages", body, Sent("", "")))

    async def press_stop(self) -> None:
        await self._send("/api/stop")

    async def look(self) -> None:
        """The page shows by itself."""

    def read(self) -> list[str]:
        return self._read(THREAD)

    def previews(self) -> list[str]:
        return self._previews

    def growing(self) -> bool:
        return any(item.text is None for item in self._items)

    def working(self) -> bool:
        return self._worked

    async def thread_say(self, thread: str, text: str) -> Sent:
        return await self._send("/api/messages", thread=_named(thread), text=text)

    def thread_read(self, thread: str) -> list[str]:
        return self._read(_named(thread))

    async def hang_up(self) -> None:
        await self._hung_up(wait=False)

    def come_back(self) -> None:
        self._listening = asyncio.create_task(self._listen())

    def _read(self, thread: str) -> list[str]:
        return [html_text(item.html) for item in self._items if item.text is not None and item.thread == thread]

    async def _hung_up(self, *, wait: bool) -> None:
        listening, self._listening = self._listening, None
        if listening and wait:
            await asyncio.wait((listening,), timeout=5.0)
        await gone(*filter(None, (listening, *self._loading)))

    async def _send(self, path: str, ident: str = "", **more: str) -> Sent:
        sent = Sent(ident or uuid.uuid4().hex, more.get("text", ""))
        body = msgspec.json.encode({"thread": THREAD, "id": sent.id, **more})
        self._posts.put_nowait((path, body, sent))
        return sent

    async def _post_all(self) -> None:
        """One after the other; what the server cannot take now is offered again, what it refuses is told."""
        while True:
            path, body, sent = await self._posts.get()
            status, answer = 503, {}
            while status in {429, 503}:
                try:
                    status, answer = await self._request("POST", path, body)
                except aiohttp.ClientError:
                    status = 503
                if status in {429, 503}:
                    await asyncio.sleep(0.02)
            sent.told = status == 202
            if not sent.told:
                self._items.append(Item(REFUSED, answer["error"], answer["error"]))

    async def _request(self, method: str, path: str, body: bytes | None = None) -> tuple[int, dict[str, Any]]:
        headers = {**self._headers(), "Content-Type": "application/json"}
        data = None if body is None else io.BytesIO(body)
        async with self._session.request(method, self._url + path, data=data, headers=headers) as answer:
            return answer.status, await answer.json()

    def _headers(self) -> dict[str, str]:
        return {"Origin": self._url, "Sec-Fetch-Site": "same-origin"}

    async def _listen(self) -> None:
        """The event stream, opened again whenever it breaks."""
        mine = asyncio.current_task()
        timeout = aiohttp.ClientTimeout(total=None)
        while self._listening is mine:
            with contextlib.suppress(aiohttp.ClientError):
                url, headers = f"{self._url}/api/events", self._headers()
                async with self._session.get(url, headers=headers, timeout=timeout) as answer:
                    rest = b""
                    async for piece in answer.content.iter_any():
                        *frames, rest = (rest + piece).split(b"\n\n")
                        for frame in frames:
                            self._hear(frame)
            if self._listening is mine:
                await asyncio.sleep(0.02)
        if self._loading:
            await asyncio.wait(self._loading)

    def _hear(self, frame: bytes) -> None:
        line = frame.rpartition(b"\n")[2]
        if not line.startswith(b"data: "):
            return
        event = msgspec.json.decode(line[6:])
        if event["kind"] in {"hello", "reload"}:
            self._held = []
            task = asyncio.create_task(self._load())
            self._loading.add(task)
            task.add_done_callback(self._loading.discard)
        elif self._held is not None:
            self._held.append(event)
        else:
            self._happen(event)

    async def _load(self) -> None:
        try:
            status, chat = await self._request("GET", f"/api/chats/{THREAD}")
        except aiohttp.ClientError:
            return
        if status != 200:
            self._items.append(Item(REFUSED, chat["error"], chat["error"]))
            return
        said = [line for line in chat["messages"] if line["role"] == "assistant"]
        refusals = [item for item in self._items if item.turn == REFUSED]
        self._items = [*refusals, *(Item("", line["html"], line["text"]) for line in said)]
        for grown in chat["growing"]:
            self._happen({**grown, "kind": "partial"})
        held, self._held = self._held or [], None
        for event in held:
            last = [item.text for item in self._items[-3:]]
            if event["kind"] == "final" and event["text"] in last:
                self._items = [item for item in self._items if item.text is not None or item.turn != event["turn"]]
            else:
                self._happen(event)

    def _happen(self, event: dict[str, Any]) -> None:
        self._worked = self._worked or event["kind"] in {"typing", "partial"}
        if event["kind"] not in {"partial", "final"}:
            return
        item = next((item for item in self._items if item.turn == event["turn"]), None)
        if item is None:
            item = Item(event["turn"], "", thread=event["thread"])
            self._items.append(item)
        if event["kind"] == "final":
            item.html, item.text = event["html"], event["text"]
        elif item.text is None:
            item.html = event["html"]
            self._previews.append(html_text(item.html))


def _named(thread: str) -> str:
    return f"thread-{thread:-<16}"
