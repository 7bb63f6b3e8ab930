"""What the tests of the Telegram adapter share: the adapter at work on the tests' server, and an engine that only accepts."""

import asyncio
import contextlib

import aiohttp

from adapters.chat.telegram.client import Times
from adapters.chat.telegram.outbound import Telegram
from core.errors import StoreError
from core.messages import ChatRef, Message, Reply
from core.ports import Command
from tests.servers.telegram import TOKEN

TIMES = Times(
    poll=1.0, connect=1.0, answer=2.0, typing=1.0, preview=1.0, backoff=0.02, backoff_cap=0.1, album=0.15, conflict=0.6
)
COMMANDS = (Command("new", "start afresh"), Command("stop", "stop"))


@contextlib.asynccontextmanager
async def session():
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
    ) as one:
        yield one


class Engine:
    """Accepts what comes; refuses as often as it is told to."""

    def __init__(self):
        self.events = []
        self.tries = []
        self.refuse = 0
        self.gate = None

    async def accept(self, event):
        self.tries.append(event)
        if self.gate:
            await self.gate.wait()
        if self.refuse:
            self.refuse -= 1
            raise StoreError("The store is away.")
        self.events.append(event)

    @property
    def texts(self):
        return [event.text for event in self.events if isinstance(event, Message)]


@contextlib.asynccontextmanager
async def adapter(server, engine=None, times=TIMES, **more):
    """The adapter, serving into `engine` where there is one."""
    async with session() as shared:
        chat = Telegram(TOKEN, shared, server.url, times=times, **more)
        if engine is None:
            yield chat
            return
        serving = asyncio.create_task(chat.serve(engine.accept, COMMANDS))
        try:
            yield chat
        finally:
            serving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await serving


def ref(chat, thread=""):
    return ChatRef("telegram", "42", str(chat.id), thread, private=chat.kind == "private")


def confirmed(server):
    offsets = [call.params.get("offset", 0) for call in server.called("getUpdates")]
    return max(offsets, default=0)


async def say(tg, chat, text, *, turn="t", edit="", thread="", buttons=(), reply_to=""):
    """Send a whole reply; the ids of its parts."""
    reply = Reply(turn, ref(chat, thread), text, reply_to=reply_to, buttons=buttons)
    parts = tg.parts(reply)
    last = len(parts) - 1
    return [
        await tg.send(reply, part, key=f"{turn}:{n}", edit=edit if n == 0 else "", last=n == last)
        for n, part in enumerate(parts)
    ]
