"""Telegram as a chat platform: what core says goes out here, what people say comes in through the reception.

A reply goes out as a rich message where the server has them, as HTML where it has not or refuses one, as plain text at
last. A time-out never falls back: the message may have arrived.
"""

import asyncio
import logging
import random
import re
import time
from collections import OrderedDict
from collections.abc import Coroutine, Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
from aiohttp import web

from adapters.chat.telegram import routes as webhook
from adapters.chat.telegram.client import ANYTHING, ME, WEBHOOK, Client, Times, pause
from adapters.chat.telegram.errors import BadRequest, EndPointNotFound, InvalidToken, TelegramError
from adapters.chat.telegram.failures import REFUSED, chat_error
from adapters.chat.telegram.format import pieces
from adapters.chat.telegram.inbound import KINDS, PLATFORM
from adapters.chat.telegram.polling import Polling
from adapters.chat.telegram.postbox import Frame, Postbox
from adapters.chat.telegram.previews import Previews
from adapters.chat.telegram.profile import present
from adapters.chat.telegram.reception import Reception
from adapters.chat.telegram.updates import Update
from core.apart import apart
from core.errors import ChatError, ChatGone, ChatRefusedToken, ChatRejected, StoreError
from core.messages import ChatRef, Partial, Reply
from core.ports import Accept, Command, Part, Rate, Traits

log = logging.getLogger(__name__)

_TOKEN = re.compile(r"\d+:[A-Za-z0-9_-]+")
_CAP = 200


class TelegramPart(Part, frozen=True):
    """A part whose `body` is Markdown: it is rendered when it is sent, so that another form is still possible."""

    first: bool = True


class Torn(msgspec.Struct):
    """A part that became several messages, some of which are sent."""

    body: str
    texts: list[str]
    sent: list[str]


class Telegram:
    """One bot. Polls, unless `public_url` and `webhook_secret` are given."""

    platform = PLATFORM
    traits = Traits(
        label="Telegram",
        hint="Markdown with tables, code and LaTeX maths is shown, mostly on a phone.",
        preview_every=0.7,
        preview_group_every=3.5,
        preview_group_from=40,
        chat_rate=Rate(1.0, 3),
        group_rate=Rate(3.4, 3),  # 20 in any minute, and no more at once than a chat takes
        account_rate=Rate(1 / 30, 30),
        sole=True,
    )

    def __init__(
        self,
        token: str,
        session: aiohttp.ClientSession,
        api_url: str = "https://api.telegram.org",
        public_url: str = "",
        webhook_secret: str = "",
        *,
        times: Times | None = None,
    ) -> None:
        """`session` is shared and stays its owner's. Raises ChatRefusedToken for what cannot be a token."""
        if not _TOKEN.fullmatch(token):
            raise ChatRefusedToken(REFUSED)
        self._client = Client(token, session, api_url, times or Times())
        self._postbox = Postbox(self._client)
        self._previews = Previews(self._postbox)
        self._secret = webhook_secret if public_url else ""
        if self._secret:  # any number of processes may receive
            self.traits = msgspec.structs.replace(self.traits, sole=False)
        self._path = f"/telegram/{self._client.space}"
        self._address = public_url.rstrip("/") + self._path
        self._polling: Polling | None = None
        self._reception: Reception | None = None
        self._rendered: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._torn: OrderedDict[str, Torn] = OrderedDict()

    @property
    def space(self) -> str:
        """The bot's id; the token begins with it."""
        return self._client.space

    @property
    def deaf_for(self) -> float:
        """Seconds since Telegram last answered a poll, 0 in webhook mode. Beyond `Times.deaf` something is wrong."""
        return time.monotonic() - self._polling.heard if self._polling else 0.0

    def routes(self) -> list[web.RouteDef]:
        """What the web server has to mount; empty while we poll."""
        return webhook.routes(self._path, self._secret, self._receive) if self._secret else []

    async def serve(self, accept: Accept, commands: tuple[Command, ...]) -> None:
        """As the port promises. Raises ChatError when only the operator can help."""
        refusal: ChatError | None = None
        helpers: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as tasks:

            def beside(work: Coroutine[Any, Any, None]) -> None:
                task = tasks.create_task(work)
                helpers.add(task)
                task.add_done_callback(helpers.discard)

            reception = Reception(self._client, accept, self._postbox.move, self._previews.place, beside)
            self._reception = reception
            beside(self._introduce(reception, commands))
            try:
                if self._secret:
                    await self._set_webhook()
                    await asyncio.Event().wait()
                self._polling = Polling(self._client, reception.receive)
                await self._polling.run()
            except ChatError as error:
                refusal = error
            finally:
                self._reception = self._polling = None
                for task in helpers:
                    task.cancel()
        if refusal:
            raise refusal

    async def check(self) -> str:
        """Whether the token works, in a few words: `@bot, groups: privacy mode on`. Raises ChatError."""
        patience = self._client.times.answer
        try:
            me = await self._client.call("getMe", {}, ME, timeout=patience)
            webhook = await self._client.call("getWebhookInfo", {}, WEBHOOK, timeout=patience)
        except TelegramError as error:
            raise chat_error(error) from None
        told = f"@{me.username}, groups: privacy mode {'off' if me.can_read_all_group_messages else 'on'}"
        return f"{told}, a webhook is set ({urlsplit(webhook.url).netloc})" if webhook.url else told

    def parts(self, reply: Reply) -> list[Part]:
        """As the port promises; a part's body is Markdown that is known to fit when it is rendered in its form."""
        form = self._postbox.form
        parts: list[Part] = []
        for piece in pieces(reply.text, form):
            parts.append(TelegramPart(piece.markdown, form, first=not parts))
            self._rendered[piece.markdown, form] = piece.text
        while len(self._rendered) > _CAP:
            self._rendered.popitem(last=False)
        return parts or [TelegramPart("…", form)]

    async def send(self, reply: Reply, part: Part, *, key: str, edit: str, last: bool) -> str:
        """As the port promises. A part that cannot go out as it was meant may become several messages: the first's id
        is returned, and a further try with the same `key` goes on where this one broke off.
        """
        first = not isinstance(part, TelegramPart) or part.first
        frame = Frame(reply.chat, reply.reply_to if first else "", reply.buttons if last else ())
        try:
            if part.form == "rich" and key not in self._torn and self._postbox.knows("sendRichMessage"):
                sent = await self._richly(frame, part.body, edit)
                if sent is not None:
                    return sent
            return await self._simply(frame, part, key, edit)
        except TelegramError as error:
            raise chat_error(error) from None

    async def preview(self, partial: Partial, shown: str) -> str:
        """As the port promises: a draft in a private chat, an edited message elsewhere."""
        try:
            return await self._previews.show(partial, shown)
        except EndPointNotFound as error:
            raise ChatRejected(f"Telegram: {error.message}.") from None
        except TelegramError as error:
            raise chat_error(error) from None

    async def typing(self, chat: ChatRef) -> None:
        """As the port promises."""
        fields = {**self._postbox.address(chat), "action": "typing"}
        try:
            await self._client.call("sendChatAction", fields, ANYTHING, timeout=self._client.times.typing)
        except TelegramError as error:
            log.debug("typing: %s", error.message)

    async def find(self, reply: Reply, key: str) -> str:  # noqa: ARG002 - the port's shape
        """Telegram cannot be asked for an earlier send."""
        return ""

    async def _richly(self, frame: Frame, markdown: str, edit: str) -> str | None:
        """One rich message; None where it has to be HTML instead."""
        known = self._rendered.pop((markdown, "rich"), "")
        bodies = [known] if known else [piece.text for piece in await apart(len(markdown), pieces, markdown, "rich")]
        if len(bodies) != 1:
            return None
        try:
            return await self._postbox.put(frame, "rich", bodies[0], edit)
        except EndPointNotFound:
            self._postbox.forgo("sendRichMessage")
        except BadRequest as error:
            _unless_gone(error)
            log.debug("a rich message goes out as HTML: %s", error.message)
        return None

    async def _simply(self, frame: Frame, part: Part, key: str, edit: str) -> str:
        """HTML, and plain text where even that is refused; as many messages as it takes."""
        torn = self._torn.get(key)
        if torn is None:
            whole = (part.body, "html") in self._rendered
            cut = [] if whole else await apart(len(part.body), pieces, part.body, "html")
            texts = [part.body] if whole else [piece.markdown for piece in cut]
            torn = Torn(part.body, texts or ["…"], [])
        # a try after one in doubt comes with a line ahead that says so: it belongs to the message in doubt
        ahead = part.body.removesuffix(torn.body) if part.body != torn.body else ""
        while len(torn.sent) < len(torn.texts):
            number = len(torn.sent)
            around = Frame(
                frame.chat,
                "" if number else frame.reply_to,
                frame.buttons if number == len(torn.texts) - 1 else (),
            )
            try:
                torn.sent.append(await self._legibly(around, ahead + torn.texts[number], "" if number else edit))
            except TelegramError:
                if torn.sent:
                    self._torn[key] = torn
                    while len(self._torn) > _CAP:
                        self._torn.popitem(last=False)
                raise
            ahead = ""
        self._torn.pop(key, None)
        return torn.sent[0]

    async def _legibly(self, frame: Frame, markdown: str, edit: str) -> str:
        """HTML, else the same as plain text; more than one message only where a line ahead made it too long."""
        known = self._rendered.pop((markdown, "html"), "")
        made = [] if known else await apart(len(markdown), pieces, markdown, "html")
        rendered = [(markdown, known)] if known else [(piece.markdown, piece.text) for piece in made]
        sent: list[str] = []
        for source, body in rendered or [("…", "…")]:
            place = "" if sent else edit
            try:
                sent.append(await self._postbox.put(frame, "html", body, place))
            except BadRequest as error:
                _unless_gone(error)
                log.debug("a message goes out as plain text: %s", error.message)
                for piece in await apart(len(source), pieces, source, "plain"):
                    sent.append(await self._postbox.put(frame, "plain", piece.text, "" if sent else place))
        return sent[0]

    async def _receive(self, updates: Sequence[Update]) -> None:
        reception = self._reception
        if reception is None:
            raise StoreError("Telegram is not being served yet.")
        await reception.receive(updates)

    async def _introduce(self, reception: Reception, commands: tuple[Command, ...]) -> None:
        me = await reception.introduce()
        log.info("Telegram: @%s", me.username)
        await present(self._client, commands)

    async def _set_webhook(self) -> None:
        fields = {
            "url": self._address,
            "secret_token": self._secret,
            "allowed_updates": msgspec.json.encode(KINDS).decode(),
        }
        failures = 0
        while True:
            try:
                await self._client.call("setWebhook", fields, ANYTHING, timeout=self._client.times.answer)
            except (BadRequest, InvalidToken, EndPointNotFound) as error:
                raise chat_error(error) from None
            except TelegramError as error:
                failures += 1
                log.warning("setWebhook: %s", error.message)
                await asyncio.sleep(pause(failures, self._client.times) * random.uniform(0.5, 1.0))
            else:
                return


def _unless_gone(error: BadRequest) -> None:
    """Raise ChatGone where no other form would help."""
    failure = chat_error(error)
    if isinstance(failure, ChatGone):
        raise failure from None
