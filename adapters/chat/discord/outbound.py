"""Discord as a chat platform: what core says goes out here, what people say comes in through the reception.

A short reply is one message, a longer one a message in components, a very long one several; in a channel of a server these
go on in a thread of their own.
"""

import asyncio
import logging
import random
import re
import time
from collections import OrderedDict
from collections.abc import Coroutine
from importlib import import_module
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec

from adapters.chat.discord.failures import HAS_THREAD, REFUSED, Refused, chat_error
from adapters.chat.discord.format import Form, Piece, pieces
from adapters.chat.discord.inbound import PLATFORM, Me
from adapters.chat.discord.interactions import Interactions
from adapters.chat.discord.postbox import Frame, Postbox
from adapters.chat.discord.previews import Previews
from adapters.chat.discord.profile import introduce, present
from adapters.chat.discord.rest import CHANNEL, NOTHING, Rest, Times, pause
from adapters.chat.discord.seen import Seen
from adapters.recent import keep
from core.apart import apart
from core.errors import ChatError, ChatGone, ChatRefusedToken, ChatUnreachable, StoreError
from core.layout import plain
from core.markdown import parse
from core.messages import ChatRef, Partial, Reply
from core.notes import Notes
from core.ports import Accept, Command, Part, Traits

if TYPE_CHECKING:
    from adapters.chat.discord.gateway import Gateway

log = logging.getLogger(__name__)

NAME = 90
"""Characters of a thread's name, of 100."""
_TOKEN = re.compile(r"[!-~]+")


class DiscordPart(Part, frozen=True):
    """A part whose `body` is Discord's own Markdown, ready to be sent in its form."""

    number: int = 0


class Discord:
    """One bot. `pairing`: servers have to be approved by somebody who rules them."""

    platform = PLATFORM
    traits = Traits(
        label="Discord",
        hint="Markdown with headings, lists and code is shown; tables only up to 60 columns, formulas as plain characters.",
        preview_every=1.2,
        preview_group_every=2.0,
        readback="lookup",
    )

    def __init__(
        self,
        token: str,
        session: aiohttp.ClientSession,
        notes: Notes,
        *,
        api_url: str = "https://discord.com/api/v10",
        gateway_url: str = "",
        cdn_url: str = "https://cdn.discordapp.com",
        pairing: bool = True,
        times: Times | None = None,
    ) -> None:
        """`session` is shared and stays its owner's. `gateway_url` "" asks the API for it. Raises ChatRefusedToken for what
        cannot be a token.
        """
        if not _TOKEN.fullmatch(token):
            raise ChatRefusedToken(REFUSED)
        self._token = token
        self._rest = Rest(self._token, session, api_url, times or Times())
        self._notes = notes
        self._gateway_url = gateway_url
        self._cdn = cdn_url
        self._pairing = pairing
        self._me = Me("")
        self._interactions = Interactions(self._rest)
        self._postbox = Postbox(self._rest, self._interactions)
        self._previews = Previews(self._postbox, self._rest.times)
        self._gateway: Gateway | None = None
        self._firsts: OrderedDict[str, str] = OrderedDict()
        self._threads: OrderedDict[str, str] = OrderedDict()

    @property
    def space(self) -> str:
        """The bot's user id; "" until Discord has told it."""
        return self._me.id

    @property
    def deaf_for(self) -> float:
        """Seconds since the gateway last gave a sign of life; 0 while that is no wonder."""
        silent = time.monotonic() - self._gateway.heard if self._gateway else 0.0
        return silent if silent > self._rest.times.silence else 0.0

    @property
    def lack(self) -> str:
        """What is missing, in a line; "" where nothing is."""
        return self._gateway.lack if self._gateway else ""

    async def serve(self, accept: Accept, commands: tuple[Command, ...]) -> None:
        """As the port promises. Raises ChatError when only the operator can help."""
        refusal: ChatError | None = None
        helpers: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as tasks:

            def beside(work: Coroutine[Any, Any, None]) -> None:
                task = tasks.create_task(work)
                helpers.add(task)
                task.add_done_callback(helpers.discard)

            try:
                # discord.py takes a second to import: others are served meanwhile.
                await asyncio.to_thread(import_module, "discord")
                from adapters.chat.discord.gateway import Gateway
                from adapters.chat.discord.places import Places
                from adapters.chat.discord.reception import Reception
                from adapters.chat.discord.servers import Servers

                self._me = await self._introduce()
                seen = Seen(self._notes)
                await self._remember(seen)
                self._gateway = Gateway(self._rest, self._token, self._gateway_url)
                places = Places(self._rest, self._notes, self._gateway)
                servers = Servers(self._rest, self._notes, places, pairing=self._pairing)
                reception = Reception(
                    self._me,
                    rest=self._rest,
                    places=places,
                    servers=servers,
                    interactions=self._interactions,
                    wrote=self._postbox.wrote,
                    seen=seen,
                    accept=accept,
                    beside=beside,
                )
                beside(reception.keep())
                beside(reception.tidy())
                beside(present(self._rest, self._notes, commands))
                await self._gateway.run(reception.take)
            except ChatError as error:
                refusal = error
            finally:
                self._gateway = None
                for task in helpers:
                    task.cancel()
        if refusal:
            raise refusal

    def parts(self, reply: Reply) -> list[Part]:
        """As the port promises; a part's body is what goes out."""
        made = pieces(reply.text, flat=self._postbox.flat) or [Piece("…", "content")]
        return [DiscordPart(piece.text, piece.form, number=number) for number, piece in enumerate(made)]

    async def send(self, reply: Reply, part: Part, *, key: str, edit: str, last: bool) -> str:
        """As the port promises."""
        number = part.number if isinstance(part, DiscordPart) else 0
        form: Form = "components" if part.form == "components" else "content"
        channel = await self._channel(reply, number)
        answered = "" if number else reply.reply_to
        frame = Frame(channel, reply.chat, key, answered, reply.buttons if last else (), first=not number)
        try:
            sent = await self._put(frame, Piece(part.body, form), edit)
        except Refused as refused:
            raise chat_error(refused) from None
        if not number:
            keep(self._firsts, reply.turn, sent)
        return sent

    async def preview(self, partial: Partial, shown: str) -> str:
        """As the port promises: a message that is edited."""
        try:
            return await self._previews.show(partial, shown)
        except Refused as refused:
            raise chat_error(refused) from None

    async def typing(self, chat: ChatRef) -> None:
        """As the port promises."""
        path = f"/channels/{chat.thread or chat.chat}/typing"
        try:
            await self._rest.call("POST", path, NOTHING, timeout=self._rest.times.typing, patience=0.0)
        except (Refused, ChatError) as error:
            log.debug("typing: %s", error.sentence)

    async def find(self, reply: Reply, key: str) -> str:
        """As the port promises. Discord drops copies by key, but only for some minutes."""
        parts, number = await apart(len(reply.text), self.parts, reply), int(key.rpartition(":")[2])
        if number >= len(parts):
            return ""
        part = parts[number]
        form: Form = "components" if part.form == "components" else "content"
        frame = Frame(await self._channel(reply, number), reply.chat, key, reply.reply_to)
        try:
            return await self._postbox.found(frame, Piece(part.body, form), self._me.id)
        except (Refused, ChatError) as error:
            log.debug("an earlier send cannot be looked up: %s", error.sentence)
            return ""

    async def _channel(self, reply: Reply, number: int) -> str:
        """Where a part of a reply goes."""
        apart = number and not reply.chat.private and not reply.chat.thread
        return await self._continued(reply) if apart else reply.chat.thread or reply.chat.chat

    async def _put(self, frame: Frame, piece: Piece, edit: str) -> str:
        """Put one part; in several contents, where it turns out that there are no components."""
        try:
            return await self._postbox.put(frame, piece, edit)
        except Refused:
            if piece.form != "components" or not self._postbox.flat:
                raise
        made = await apart(len(piece.text), pieces, piece.text, flat=True)
        sent: list[str] = []
        for number, one in enumerate(made):
            around = msgspec.structs.replace(
                frame,
                key=f"{frame.key}:{number}",
                reply_to="" if number else frame.reply_to,
                buttons=frame.buttons if one is made[-1] else (),
                first=frame.first and not number,
            )
            sent.append(await self._postbox.put(around, one, "" if number else edit))
        return sent[0]

    async def _introduce(self) -> Me:
        """Learn who we are; waits for a platform that is away. Raises ChatRefusedToken."""
        failures = 0
        while True:
            try:
                me = await introduce(self._rest)
            except (Refused, ChatError) as error:
                failure = chat_error(error) if isinstance(error, Refused) else error
                if isinstance(failure, ChatRefusedToken):
                    raise failure from None
                failures += 1
                more = " Check DISCORD_API_URL." if isinstance(failure, ChatGone) else ""
                log.log(logging.WARNING if failures == 3 else logging.DEBUG, "%s%s", failure.sentence, more)
                wait = pause(failures, self._rest.times)
                await asyncio.sleep(wait * random.uniform(0.5, 1.0))
            else:
                return Me(me.id, me.name)

    async def _remember(self, seen: Seen) -> None:
        failures = 0
        while True:
            try:
                await seen.remember()
            except StoreError as error:
                failures += 1
                log.warning("Discord waits: %s", error.sentence)
                await asyncio.sleep(min(5.0, pause(failures, self._rest.times)))
            else:
                return

    async def _continued(self, reply: Reply) -> str:
        """The thread in which a long reply goes on, made from its first message; the channel where there can be none."""
        if known := self._threads.get(reply.turn):
            return known
        first = self._firsts.get(reply.turn, "")
        try:
            thread = (await self._notes.read("continued", reply.turn)).decode()
            if not thread and first:
                thread = await self._opened(reply, first)
            if thread:
                await self._notes.write(thread.encode(), "continued", reply.turn, days=1)
                await self._notes.write(b"1", "thread", thread)
        except StoreError:
            raise ChatUnreachable("Discord: the thread of a long reply could not be noted.", arrived=False) from None
        return keep(self._threads, reply.turn, thread or reply.chat.chat)

    async def _opened(self, reply: Reply, first: str) -> str:
        path = f"/channels/{reply.chat.chat}/messages/{first}/threads"
        body = {"name": title(reply.text), "auto_archive_duration": 1440}
        try:
            return (await self._rest.call("POST", path, CHANNEL, body)).id
        except Refused as refused:
            if refused.code == HAS_THREAD:
                return first  # a thread has the id of the message that it was made from
            if isinstance(chat_error(refused), ChatUnreachable):
                raise chat_error(refused) from None
            log.debug("a long reply goes on in the channel: %s", refused.sentence)
            return ""


def title(text: str) -> str:
    """A thread's name: the first words of what is said."""
    line = next((line.strip() for line in plain(parse(text[:2_000])).split("\n") if line.strip("─ \t")), "")
    short = line if len(line) <= NAME else line[:NAME].rpartition(" ")[0] or line[:NAME]
    return short or "…"
