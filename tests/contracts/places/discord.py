"""Discord: the real adapter on the tests' strict server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar, Self

import aiohttp
import msgspec

from adapters.chat.discord.outbound import Discord
from adapters.chat.discord.rest import Times
from core.engine import Engine
from core.messages import Edited, Inbound, Message, Reply
from core.notes import Notes
from core.ports import Accept, Chat, Command, Part
from tests.contracts.markdown import discord_text
from tests.contracts.place import Ability, By, Fault, Sent, Step, Way, Where
from tests.servers.discord import TOKEN, DiscordServer
from tests.servers.discord_api.channels import Channel
from tests.servers.discord_api.limits import Fault as RestFault
from tests.servers.discord_api.limits import Limits
from tests.servers.discord_api.messages import Message as Shown

TIMES = Times(backoff=0.02, backoff_cap=0.1, identify=0.02, note=0.05, poll=0.02, stop=0.3)
LIMITS = Limits(
    messages=(50, 0.2), typing=(50, 0.2), webhooks=(50, 0.2), per_second=1_000, identify_seconds=0.0, sends=(1_000, 1.0)
)
"""Quick ones: the promises are about what is said, not about how fast; a burst is longer than a bucket all the same."""
POST, PATCH = "POST /channels/{id}/messages", "PATCH /channels/{id}/messages/{message}"
FAULTS: dict[Fault, dict] = {
    "busy": {"status": 429, "retry_after": 0.5},
    "broken": {"status": 502},
    "cut before": {"drop": "before"},
    "cut after": {"drop": "after"},
}
UNREADABLE = "REPLIES_CANNOT_REPLY_WITHOUT_READ_MESSAGE_HISTORY"
"""An answer may be tried where a channel's history may not be read; refuse_form() is about that."""
EVERY = 0.2
"""Seconds between two previews in the group, of 2."""


class Listening(Discord):
    """The adapter; it tells the test which events are durable and which messages are final, for Discord knows neither."""

    taken: set[str]
    finals: set[str]

    async def serve(self, accept: Accept, commands: tuple[Command, ...]) -> None:
        async def accepted(event: Inbound) -> None:
            await accept(event)
            if isinstance(event, Message | Edited):
                self.taken.add(event.event)

        await super().serve(accepted, commands)

    async def send(self, reply: Reply, part: Part, *, key: str, edit: str, last: bool) -> str:
        sent = await super().send(reply, part, key=key, edit=edit, last=last)
        self.finals.add(sent)
        return sent

    async def find(self, reply: Reply, key: str) -> str:
        found = await super().find(reply, key)
        if found:
            self.finals.add(found)
        return found


class DiscordPlace:
    """Direct messages and a server of people."""

    lacks: ClassVar[dict[Ability, str]] = {
        "hang up": "the platform itself keeps what the person has not seen",
    }

    def __init__(self, server: DiscordServer) -> None:
        self._server = server
        self._ada = server.person(1001, "Ada")
        self._bob = server.person(1002, "Bob")
        self._people = {"ada": self._ada, "bob": self._bob, "robot": server.bot_person(1003, "Robot")}
        self._chat = server.private(self._ada)
        self._theirs = server.private(self._bob)
        self._guild = server.guild(2001, "Friends", owner=self._ada, members=list(self._people.values()))
        self._group = self._guild.channel(2002, "general")
        self._projects = self._guild.channel(2003, "projects")
        self._threads: dict[str, Channel] = {}
        self._faults: list[RestFault] = []
        self._taken: set[str] = set()
        self._finals: set[str] = set()
        self._alive = False

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator[Self]:
        async with DiscordServer(limits=LIMITS) as server:
            yield cls(server)
            assert [problem for problem in server.problems if UNREADABLE not in problem] == []
            assert not server.pings

    @asynccontextmanager
    async def life(self, engine: Engine) -> AsyncIterator[Chat]:
        urls = {"api_url": self._server.url, "gateway_url": self._server.gateway_url, "cdn_url": self._server.cdn_url}
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as shared:
            notes = Notes(engine._store, engine._people, "discord")
            pairing = engine._people.policy == "pairing"
            chat = Listening(TOKEN, shared, notes, pairing=pairing, times=TIMES, **urls)
            chat.traits = msgspec.structs.replace(chat.traits, preview_group_every=EVERY)
            chat.taken, chat.finals = self._taken, self._finals
            self._alive = True
            try:
                yield chat
            finally:
                self._alive = False

    async def say(self, text: str) -> "DiscordSent":
        await self._connected()
        return DiscordSent(await self._chat.say(self._ada, text), self._taken)

    async def edit(self, sent: "DiscordSent", text: str) -> None:
        message = sent.message
        await message.channel.say(message.by, text, edit=message, mention=message.channel is self._group)

    async def take_back(self, sent: "DiscordSent") -> None:
        await sent.message.channel.delete(sent.message)

    async def send_picture(self, caption: str) -> None:
        await self._connected()
        await self._chat.say(self._ada, caption, files=[("a.png", b"a picture", "image/png")])

    async def redeliver(self, sent: Sent) -> None:
        self._server.redeliver()

    async def say_raw(self, text: bytes) -> None:
        await self._connected()
        text = text.decode(errors="replace").encode()  # the gateway speaks UTF-8: what is none never gets so far
        head = b'{"id":"%d","channel_id":"%d","channel_type":1,"type":0,"author":{"id":"1001","username":"ada"},'
        body = (
            head % (self._server.ids.next(), self._chat.id) + b'"mentions":[],"attachments":[],"content":' + text + b"}"
        )
        self._push(b"MESSAGE_CREATE", body)

    async def send_nonsense(self) -> None:
        await self._connected()
        self._push(b"MESSAGE_CREATE", b'{"id":"x","channel_id":5}')
        self._push(b"MESSAGE_CREATE", b"null")
        self._push(b"MESSAGE_CREATE", b'{"id":"\\u0000","channel_id":"","author":{"id":""},"content":"\\u0000"}')
        self._push(b"SOMETHING_NEW", b'{"guild_id":[]}')
        self._push(b"THREAD_CREATE", b'{"id":"7","guild_id":"2001"}')
        self._push(b"GUILD_ROLE_UPDATE", b"[]")
        self._push(b"INTERACTION_CREATE", b'{"id":"1","type":3,"token":"","data":{"custom_id":"\\u0000"}}')
        self._server.push(b'{"op":99,"d":null}')

    async def press_stop(self) -> None:
        await self._chat.command(self._ada, "stop")

    async def look(self) -> None:
        """Discord shows by itself."""

    def read(self) -> list[str]:
        return [_read(message.text) for message in self._chat.answers if str(message.id) in self._finals]

    def previews(self) -> list[str]:
        states = [m.states[:-1] if str(m.id) in self._finals else m.states for m in self._chat.answers]
        return [_read(text) for shown in states for text in shown]

    def growing(self) -> bool:
        loading = any(message.loading for message in self._chat.messages if not message.deleted)
        return loading or any(str(message.id) not in self._finals for message in self._chat.answers)

    def working(self) -> bool:
        return bool(self._chat.typing)

    def fail(self, fault: Fault, step: Step = "send", where: Where = "private", *, lasting: bool = False) -> None:
        channel = self._chat if where == "private" else self._group
        how = {**FAULTS[fault], "channel": channel.id, "times": float("inf") if lasting else 1}
        self._faults.append(self._server.fail(POST if step == "send" else PATCH, **how))

    def struck(self) -> int:
        return len(self._faults[-1].hits)

    def heal(self) -> None:
        self._server.heal()

    async def thread_say(self, thread: str, text: str) -> "DiscordSent":
        await self._connected()
        if thread not in self._threads:
            self._threads[thread] = self._projects.thread(thread, by=self._ada)
        mention = not text.startswith("/")
        text = text if mention else f"!{text[1:]}"
        return DiscordSent(await self._threads[thread].say(self._ada, text, mention=mention), self._taken)

    def thread_read(self, thread: str) -> list[str]:
        shown = [m for m in self._threads[thread].answers if str(m.id) in self._finals]
        return [_read(message.text) for message in shown]

    async def group_say(self, text: str, by: By = "ada", way: Way = "") -> "DiscordSent":
        await self._connected()
        answered = self._group.answers[-1] if way == "reply" else None
        text = f"!{text.removeprefix('/')}" if way == "command" else text
        mention = way in ("mention", "opening")
        said = await self._group.say(self._people[by], text, mention=mention, reply_to=answered, ping=False)
        return DiscordSent(said, self._taken)

    def group_read(self) -> list[str]:
        """With the threads in which long replies go on."""
        return [_read(m.text) for channel in (self._group, *self._group.threads) for m in channel.answers]

    def group_pairs(self) -> list[tuple[str, str]]:
        called = self._server.bot.mention
        return [
            (m.reply_to.text.removeprefix(called).strip() if m.reply_to else "", _read(m.text))
            for m in self._group.answers
        ]

    def pinged(self) -> list[str]:
        return [ping for message in self._server.pings for ping in message.pings]

    async def wipe(self, sent: "DiscordSent | None" = None) -> None:
        await self._group.delete(sent.message if sent else self._group.answers[-1])

    def tried(self) -> int:
        return sum(f"/channels/{self._group.id}/messages" in call.path for call in self._server.calls)

    async def remove(self) -> None:
        self._guild.remove_bot()

    async def readmit(self) -> None:
        self._guild.add_bot()

    async def mute(self) -> None:
        self._group.deny("send_messages")

    async def unmute(self) -> None:
        self._group.allow("send_messages")

    async def refuse_form(self) -> None:
        """Without the right to read what was said before, a message cannot be an answer to another."""
        await self._connected()
        self._group.deny("read_message_history")

    async def block(self) -> None:
        self._chat.closed = True

    async def unblock(self) -> None:
        self._chat.closed = False

    async def say_as_stranger(self, text: str) -> None:
        await self._connected()
        await self._theirs.say(self._bob, text)

    def stranger_reads(self) -> list[str]:
        return [_read(message.text) for message in self._theirs.answers]

    async def _connected(self) -> None:
        """People write while the bot is there; while it is not, they write all the same."""
        if self._alive:
            await self._server.connected()

    def _push(self, kind: bytes, body: bytes) -> None:
        session = self._server.gateway.session
        session.seq += 1
        raw = b'{"op":0,"s":%d,"t":"%b","d":%b}' % (session.seq, kind, body)
        session.log.append((session.seq, raw))
        session.line.put(raw)


class DiscordSent(Sent):
    def __init__(self, message: Shown, taken: set[str]) -> None:
        self._taken = taken
        self.message = message
        self.id = str(message.id)
        self.text = message.content

    @property
    def told(self) -> bool:
        """It is durable: whatever happens now, it is answered."""
        return f"{self.message.channel.id}:{self.id}" in self._taken


def _read(text: str) -> str:
    return discord_text(text)
