"""A Discord server that no test may leave with problems, and lives of the adapter on it that keep what core would get."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest

from adapters.chat.discord.outbound import Discord
from adapters.chat.discord.rest import Times
from core.errors import ChatError, StoreAway
from core.messages import Button, ChatRef, Inbound, Message, Partial, Reply
from core.notes import Notes
from core.people import People
from core.ports import Command
from core.seal import Keyring, Seal
from core.store import Store
from tests.servers.discord import TOKEN, DiscordServer
from tests.servers.discord_api.limits import Limits
from tests.stage import KEY

TIMES = Times(backoff=0.02, backoff_cap=0.1, identify=0.02, note=0.02, poll=0.02, stop=0.2)
QUICK = Limits(messages=(100, 0.2), typing=(100, 0.2), webhooks=(100, 0.2), per_second=1_000, identify_seconds=0.0)
COMMANDS = (Command("help", "what I can do"), Command("stop", "stop it"), Command("model", "see or choose the model"))


class Life:
    """One life of the adapter, with core's side of it."""

    def __init__(self, chat: Discord) -> None:
        self.chat = chat
        self.got: list[Inbound] = []
        self.away = False
        self.task: asyncio.Task | None = None

    async def accept(self, event: Inbound) -> None:
        if self.away:
            raise StoreAway("The store is away.")
        self.got.append(event)

    @property
    def messages(self) -> list[Message]:
        return [event for event in self.got if isinstance(event, Message)]

    @property
    def texts(self) -> list[str]:
        return [message.text for message in self.messages]

    def reply(self, channel: object, text: str, *, turn: str = "t1", thread: object = "", **more: object) -> Reply:
        private = getattr(channel, "direct", True)
        where = ChatRef("discord", self.chat.space, str(channel.id), str(thread or ""), private=private)
        return Reply(turn, where, text, **more)

    async def send(self, reply: Reply, edit: str = "") -> list[str]:
        """Send all parts, as delivery does when nothing goes wrong."""
        parts = self.chat.parts(reply)
        ids = []
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            place = edit if number == 0 else ""
            ids.append(await self.chat.send(reply, part, key=f"{reply.turn}:{number}", edit=place, last=last))
        return ids

    async def preview(self, reply: Reply, text: str, shown: str = "") -> str:
        return await self.chat.preview(Partial(reply.turn, reply.chat, 1, text, reply_to=reply.reply_to), shown)


Live = Callable[..., contextlib.AbstractAsyncContextManager[Life]]


@pytest.fixture
async def server():
    async with DiscordServer(limits=QUICK) as one:
        yield one
        assert one.problems == []
        assert not one.pings


@pytest.fixture
def ada(server):
    return server.person(1001, "Ada")


@pytest.fixture
def bob(server):
    return server.person(1002, "Bob")


@pytest.fixture
def chat(server, ada):
    return server.private(ada)


@pytest.fixture
def guild(server, ada, bob):
    return server.guild(2001, "Friends", owner=ada, members=[bob])


@pytest.fixture
def general(guild):
    return guild.channel(2002, "general")


@pytest.fixture
def people(store: Store) -> People:
    seal = Seal(KEY)
    return People(store, seal, Keyring(seal, store.fetch_or_set), "pairing")


@pytest.fixture
def live(server: DiscordServer, store: Store, people: People) -> Live:
    """Begin a life of the adapter: `async with live() as bot`; it ends as the program does."""

    @contextlib.asynccontextmanager
    async def begin(*, pairing: bool = False, times: Times = TIMES, connected: bool = True) -> AsyncIterator[Life]:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            urls = {"api_url": server.url, "gateway_url": server.gateway_url, "cdn_url": server.cdn_url}
            notes = Notes(store, people, "discord")
            life = Life(Discord(TOKEN, session, notes, pairing=pairing, times=times, **urls))
            life.task = asyncio.create_task(life.chat.serve(life.accept, COMMANDS))
            try:
                if connected:
                    await server.connected()
                yield life
            finally:
                life.task.cancel()
                with contextlib.suppress(asyncio.CancelledError, ChatError):
                    await life.task

    return begin


RETRY = (Button("Try again", "/retry"),)
