"""What the tests of the Slack adapter share: the adapter at work on the tests' server, and an engine that only accepts."""

import asyncio
import contextlib

import aiohttp
from aiohttp import web

from adapters.chat.slack.client import Times
from adapters.chat.slack.outbound import Slack
from adapters.chat.slack.routes import PATH
from core.commands import commands
from core.errors import StoreError
from core.messages import ChatRef, Message, Partial, Reply
from tests.servers.slack import APP_TOKEN, BOT_TOKEN, SIGNING_SECRET
from tests.servers.slack_api.faults import Limits

TIMES = Times(
    connect=1.0,
    answer=2.0,
    aside=1.0,
    preview=1.0,
    member=0.5,
    backoff=0.02,
    backoff_cap=0.1,
    watch=0.02,
    hold=0.2,
    body=0.3,
)
LIMITS = Limits(channel_seconds=0.01, channel_burst=50, methods={"apps.connections.open": 1000})


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
        return [event.text for event in self.events if isinstance(event, Message) and event.addressed]


@contextlib.asynccontextmanager
async def session():
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
    ) as one:
        yield one


@contextlib.asynccontextmanager
async def adapter(server, notes, engine=None, times=TIMES, **more):
    """The adapter, over sockets unless told otherwise, serving into `engine` (one of its own where there is none)."""
    more = {"app_token": APP_TOKEN} | more
    async with session() as shared:
        chat = Slack(BOT_TOKEN, shared, notes, api_url=server.url, times=times, **more)
        serving = asyncio.create_task(chat.serve((engine or Engine()).accept, commands()))
        try:
            await server.wait_for(
                lambda: chat.space and (serving.done() or not more["app_token"] or server.sockets.open)
            )
            yield chat
        finally:
            serving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await serving


@contextlib.asynccontextmanager
async def called(server, notes, engine, *, verify=True):
    """The adapter behind a web server of the test; the platform posts to it. Yields the adapter and its address."""
    async with adapter(server, notes, engine, app_token="", signing_secret=SIGNING_SECRET) as slack:
        app = web.Application()
        app.add_routes(slack.routes())
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}{PATH}"
        try:
            await server.wait_for(lambda: slack._reception)
            await server.deliver_http(url, SIGNING_SECRET, verify=verify)
            yield slack, url
        finally:
            server.posts.url = ""
            await runner.cleanup()


def ref(chat, thread=""):
    return ChatRef("slack", "T1", chat.id, thread, private=chat.kind == "im")


def partial(chat, text, *, thread, turn="t", doing="", reply_to=""):
    return Partial(turn, ref(chat, thread), 1, text, reply_to=reply_to or thread, doing=doing)


async def say(slack, chat, text, *, thread="", turn="t", edit="", buttons=(), reply_to="", at=0):
    """Send a whole reply; the ids of its parts."""
    reply = Reply(turn, ref(chat, thread), text, reply_to=reply_to, buttons=buttons, at=at)
    parts = slack.parts(reply)
    last = len(parts) - 1
    return [
        await slack.send(reply, part, key=f"{turn}:{n}", edit=edit if n == 0 else "", last=n == last)
        for n, part in enumerate(parts)
    ]
