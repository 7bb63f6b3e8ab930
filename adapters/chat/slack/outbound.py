"""Slack as a chat platform: what core says goes out here, what people say comes in through the reception.

A reply goes out as a markdown block where the workspace has them, as sections where it has not or refuses one, as plain
text at last. A time-out never falls back: the message may have arrived.
"""

import asyncio
import logging
import random
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
import msgspec
from aiohttp import web
from slack_sdk.errors import SlackClientError

from adapters.chat.slack import routes as signed
from adapters.chat.slack.asked import Book
from adapters.chat.slack.checks import missing
from adapters.chat.slack.client import Busy, Client, Times, pause
from adapters.chat.slack.events import Payload
from adapters.chat.slack.failures import (
    NO_WAY_IN,
    REFUSED,
    REFUSED_APP,
    TOKEN,
    UNINSTALLED,
    chat_error,
    word,
)
from adapters.chat.slack.format import Mode, Piece, pieces
from adapters.chat.slack.history import History
from adapters.chat.slack.inbound import ASIDE, COMMAND, PLATFORM, Me
from adapters.chat.slack.members import Members
from adapters.chat.slack.places import Places
from adapters.chat.slack.postbox import Postbox
from adapters.chat.slack.reception import Reception
from adapters.chat.slack.sending import Frame, Sending
from adapters.chat.slack.sessions import Sessions
from adapters.chat.slack.sockets import Sockets
from adapters.chat.slack.streams import Streams
from adapters.recent import keep
from core.apart import apart
from core.errors import ChatError, ChatRefusedToken, StoreError
from core.messages import ChatRef, Partial, Reply
from core.notes import Notes
from core.ports import Accept, Command, Part, Traits

log = logging.getLogger(__name__)

_TOKEN, _APP_TOKEN = re.compile(r"[\x21-\x7e]+"), re.compile(r"[\x21-\x7e]*")
_CAP = 200
UNNAMED = "workspace"
"""Stands for a workspace of which neither id nor name is told."""


class Slack:
    """One app in one workspace: over sockets with `app_token`, by signed HTTP events with `signing_secret`."""

    platform = PLATFORM
    traits = Traits(
        label="Slack",
        hint="Markdown with code is shown, and a table or two; formulas are shown in plain signs, links with their label.",
        command="!",
        also=f"{COMMAND} help",
        preview_every=1.0,
        preview_group_every=2.0,
        readback="lookup",
    )

    def __init__(
        self,
        bot_token: str,
        session: aiohttp.ClientSession,
        notes: Notes,
        *,
        app_token: str = "",
        signing_secret: str = "",
        api_url: str = "https://slack.com/api/",
        times: Times | None = None,
    ) -> None:
        """`session` is shared and stays its owner's. Raises ChatRefusedToken for what cannot be a token."""
        if not _TOKEN.fullmatch(bot_token):
            raise ChatRefusedToken(REFUSED)
        if not _APP_TOKEN.fullmatch(app_token):
            raise ChatRefusedToken(REFUSED_APP)
        self._client = Client(bot_token, session, api_url, times or Times())
        self._app_token = app_token
        self._secret = signing_secret
        self._me = Me()
        self._scopes = ""
        self._asking = 0.0
        self._book = Book()
        self._places = Places(notes)
        self._members = Members(self._client)
        self._history = History(self._client)
        self._postbox = Postbox(self._client)
        self._streams = Streams(self._postbox, self._book)
        self._sessions = Sessions(self._postbox, self._book)
        self._sending = Sending(self._postbox, self._streams, self._sessions, self._history, self._book)
        self._sockets: Sockets | None = None
        self._reception: Reception | None = None
        self._rendered: OrderedDict[tuple[str, str], Piece] = OrderedDict()

    @property
    def space(self) -> str:
        """The workspace's id; "" until Slack has told it."""
        return self._me.team

    @property
    def deaf_for(self) -> float:
        """Seconds since the last sign of life of the socket, or since we ask who we are; else 0: HTTP owes us none."""
        if self._asking:
            return time.monotonic() - self._asking
        return self._sockets.silent if self._sockets else 0.0

    @property
    def lack(self) -> str:
        """What the operator should change, in one line; "" while nothing is amiss."""
        if lacking := missing(self._scopes):
            return f"The app lacks {', '.join(lacking)}: install it again from deploy/slack-manifest.yaml."
        return self._members.lack or self._history.lack

    def routes(self) -> list[web.RouteDef]:
        """What the web server has to mount; empty without a secret that proves who calls."""
        return signed.routes(self._secret, self._receive, self._client.times) if self._secret else []

    async def serve(self, accept: Accept, commands: tuple[Command, ...]) -> None:
        """As the port promises. Raises ChatError when only the operator can help."""
        if not (self._app_token or self._secret):
            raise ChatRefusedToken(NO_WAY_IN)
        await self._introduce()
        refusal: ChatError | None = None
        helpers: set[asyncio.Task[None]] = set()
        ending = False
        async with asyncio.TaskGroup() as tasks:

            def beside(work: Coroutine[Any, Any, None]) -> None:
                if ending:
                    work.close()  # a frame came while the socket was being closed: Slack brings it again
                    return
                task = tasks.create_task(work)
                helpers.add(task)
                task.add_done_callback(helpers.discard)

            reception = Reception(
                self._client,
                me=self._me,
                places=self._places,
                members=self._members,
                book=self._book,
                accept=accept,
                commands=commands,
                beside=beside,
            )
            self._reception = reception
            hearing = tasks.create_task(self._hear(beside))
            gone = tasks.create_task(reception.gone.wait())
            try:
                await asyncio.wait((hearing, gone), return_when=asyncio.FIRST_COMPLETED)
                refusal = ChatRefusedToken(UNINSTALLED) if gone.done() else hearing.result()
            finally:
                ending = True
                self._reception = self._sockets = None
                for task in (hearing, gone, *helpers):
                    task.cancel()
        if refusal:
            raise refusal

    def parts(self, reply: Reply) -> list[Part]:
        """As the port promises; a part's body is Markdown that is known to fit when it is rendered in its form."""
        form = self._postbox.form
        parts = [Part(self._render(one, form), form) for one in pieces(reply.text, form)]
        return parts or [Part("…", form)]

    async def send(self, reply: Reply, part: Part, *, key: str, edit: str, last: bool) -> str:
        """As the port promises. A part that cannot go out as it was meant may become several messages: the first's id
        is returned, and a further try with the same `key` goes on where this one broke off.
        """
        frame = Frame(reply, key, edit, reply.buttons if last else (), last)
        try:
            return await self._sending.send(frame, part, self._me, self._rendered.get((part.body, part.form)))
        except SlackClientError as error:
            raise chat_error(error) from None

    async def preview(self, partial: Partial, shown: str) -> str:
        """As the port promises: a stream in a thread, an edited message elsewhere, nothing for one pair of eyes."""
        if partial.chat.thread.startswith(ASIDE):
            return shown
        if not shown:
            await self._sessions.work(partial.chat)
        try:
            return await self._streams.show(partial, shown)
        except SlackClientError as error:
            raise chat_error(error) from None

    async def typing(self, chat: ChatRef) -> None:
        """As the port promises."""
        await self._sessions.work(chat)

    async def find(self, reply: Reply, key: str) -> str:
        """As the port promises, by the metadata that every message carries."""
        if reply.chat.thread.startswith(ASIDE):
            return ""
        try:
            return await self._history.find(
                reply.chat,
                self._me,
                key,
                reply.at,
                await apart(len(reply.text), self._words, reply, key),
                since=reply.reply_to,
            )
        except SlackClientError as error:
            raise chat_error(error) from None

    def _words(self, reply: Reply, key: str) -> str:
        """What the part that a key belongs to says, for those who see no blocks."""
        parts = self.parts(reply)[int(key.rpartition(":")[2]) :]
        rendered = self._rendered.get((parts[0].body, parts[0].form)) if parts else None
        return rendered.text if rendered else ""

    def _render(self, one: Piece, form: Mode) -> str:
        return keep(self._rendered, (one.markdown, form), one, _CAP).markdown

    async def _receive(self, payload: Payload) -> None:
        reception = self._reception
        if reception is None:
            raise StoreError("Slack is not being served yet.")
        if self._sockets and self._sockets.app and not self._me.app:
            self._me = reception.me = msgspec.structs.replace(self._me, app=self._sockets.app)
        await reception.receive(payload)

    async def _hear(self, beside: Callable[[Coroutine[Any, Any, None]], None]) -> ChatError | None:
        if not self._app_token:
            await asyncio.Event().wait()
        self._sockets = Sockets(self._client, self._app_token, self._receive, beside)
        try:
            await self._sockets.run()
        except ChatError as error:
            return error

    async def _introduce(self) -> None:
        """Learn who we are; tried until it is known. Raises ChatRefusedToken."""
        failures = 0
        self._asking = time.monotonic()
        while True:
            try:
                told = await self._client.introduce()
            except SlackClientError as error:
                if word(error) in TOKEN:
                    self._asking = 0.0
                    raise ChatRefusedToken(REFUSED) from None
                failures += 1
                log.log(logging.WARNING if failures == 3 else logging.DEBUG, "Slack: %s", error)
                wanted = error.wait if isinstance(error, Busy) else 0.0
                await asyncio.sleep(max(wanted, pause(failures, self._client.times) * random.uniform(0.5, 1.0)))
            else:
                break
        self._asking = 0.0
        me = told.value
        self._me = Me(me.team_id or me.team or UNNAMED, me.user_id, me.bot_id, named=not me.team_id)
        self._scopes = told.scopes
        log.info("Slack: @%s in %s", me.user, me.team or me.team_id)
        if lack := self.lack:
            log.warning("Slack: %s", lack)
