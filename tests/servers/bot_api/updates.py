"""Updates on their way to the bot, and the methods that fetch them: long polls and webhooks."""

import asyncio
import itertools
import re
from collections import deque
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp

from tests.servers.bot_api.methods import Methods
from tests.servers.bot_api.wire import JSON, Refused, encode, now, words

if TYPE_CHECKING:
    from tests.servers.telegram import TelegramServer

METHODS = Methods()


ASKED_ONLY = {"chat_member", "message_reaction", "message_reaction_count"}
KINDS = ASKED_ONLY | words(
    "message edited_message channel_post edited_channel_post business_connection business_message edited_business_message "
    "deleted_business_messages guest_message inline_query chosen_inline_result callback_query shipping_query "
    "pre_checkout_query purchased_paid_media poll poll_answer my_chat_member chat_join_request chat_boost "
    "removed_chat_boost managed_bot stopped_message_generation"
)


class Updates:
    """What waits for the bot: held until confirmed, by long polls or by POSTs to a webhook."""

    def __init__(self, retry: float) -> None:
        self.allowed: list[str] = []  # empty: all that come by default
        self.url = ""
        self.secret = ""
        self.max_connections = 40
        self.last_error = ""
        self.posted = 0
        self._retry = retry
        self._next = 100
        self._waiting: deque[tuple[int, bytes, int]] = deque()  # id, JSON, chat
        self._again: list[tuple[int, bytes, int]] = []
        self._sent: deque[tuple[int, bytes, int]] = deque(maxlen=200)
        self._poller: asyncio.Future[bool] | None = None
        self._lanes: dict[int, deque[tuple[int, bytes, int]]] = {}
        self._ready: asyncio.Queue[int] = asyncio.Queue()
        self._posts: asyncio.Task[None] | None = None

    @property
    def pending(self) -> int:
        return len(self._waiting) + len(self._again) + sum(map(len, self._lanes.values()))

    def push(self, kind: str, body: dict, chat: int) -> None:
        """Queue an update, if its kind is wanted."""
        if kind not in self.allowed if self.allowed else kind in ASKED_ONLY:
            return
        update = (self._next, encode({"update_id": self._next, kind: body}), chat)
        self._next += 1
        self._sent.append(update)
        self._queue(update)

    def redeliver(self, count: int) -> None:
        for update in list(self._sent)[-count:]:
            if self.url:
                self._queue(update)
            elif not any(update[0] == waiting[0] for waiting in self._waiting):
                self._again.append(update)
                self._wake()

    async def poll(self, offset: int, limit: int, timeout: float) -> bytes:
        """The reply to getUpdates: confirms below `offset`, waits up to `timeout` seconds for something."""
        if self.url:
            text = "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
            raise Refused(409, text)
        self._confirm(offset)
        if self._poller and not self._poller.done():
            self._poller.set_result(False)
        if timeout and not self._waiting and not self._again:
            mine = self._poller = asyncio.get_running_loop().create_future()
            await asyncio.wait([mine], timeout=timeout)
            if mine.done() and not mine.result():
                text = (
                    "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
                )
                raise Refused(409, text)
            if self._poller is mine:
                self._poller = None
        again, self._again = self._again[:limit], self._again[limit:]
        found = again + list(itertools.islice(self._waiting, limit - len(again)))
        return b'{"ok":true,"result":[%b]}' % b",".join(raw for _, raw, _ in found)

    def forget(self) -> None:
        """Drop everything that waits."""
        self._waiting.clear()
        self._again.clear()
        self._lanes.clear()
        self._ready = asyncio.Queue()

    async def post_to(self, url: str, secret: str, max_connections: int) -> None:
        """Deliver by POST to a URL from now on; to nobody but pollers with an empty one."""
        left = sorted(itertools.chain(self._waiting, self._again, *self._lanes.values()))
        await self.close()
        self.forget()
        self.url, self.secret, self.max_connections, self.last_error = url, secret, max_connections, ""
        for update in left:
            self._queue(update)
        if url:
            self._posts = asyncio.create_task(self._deliver())

    async def close(self) -> None:
        """End polls and posts."""
        if self._poller and not self._poller.done():
            self._poller.set_result(True)
        if self._posts:
            self._posts.cancel()
            await asyncio.wait([self._posts])
            self._posts = None

    def _queue(self, update: tuple[int, bytes, int]) -> None:
        if not self.url:
            self._waiting.append(update)
            self._wake()
            return
        lane = self._lanes.setdefault(update[2], deque())
        lane.append(update)
        if len(lane) == 1:
            self._ready.put_nowait(update[2])

    def _wake(self) -> None:
        if self._poller and not self._poller.done():
            self._poller.set_result(True)

    def _confirm(self, offset: int) -> None:
        if offset < 0:
            while len(self._waiting) > -offset:
                self._waiting.popleft()
        while self._waiting and self._waiting[0][0] < offset:
            self._waiting.popleft()

    async def _deliver(self) -> None:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(self.max_connections):
                group.create_task(self._deliver_lanes(session))

    async def _deliver_lanes(self, session: aiohttp.ClientSession) -> None:
        headers = {"Content-Type": JSON} | ({"X-Telegram-Bot-Api-Secret-Token": self.secret} if self.secret else {})
        while True:
            chat = await self._ready.get()
            lane = self._lanes[chat]
            while not await self._accepted(session, lane[0][1], headers):
                await asyncio.sleep(self._retry)
            lane.popleft()
            if lane:
                self._ready.put_nowait(chat)
            else:
                self._lanes.pop(chat, None)

    async def _accepted(self, session: aiohttp.ClientSession, body: bytes, headers: dict) -> bool:
        self.posted += 1
        try:
            async with session.post(self.url, data=body, headers=headers) as reply:
                await reply.read()
                if reply.status // 100 == 2:
                    return True
                self.last_error = f"Wrong response from the webhook: {reply.status} {reply.reason}"
        except (aiohttp.ClientError, TimeoutError) as error:
            self.last_error = f"Connection failed: {error}"
        return False


@METHODS.method("getUpdates", offset="int", limit="int", timeout="int", allowed_updates="list")
async def _get_updates(server: "TelegramServer", params: dict) -> bytes:
    _allow(server, params)
    limit = params.get("limit", 100)
    if not 1 <= limit <= 100:
        limit = 100
    return await server.updates.poll(params.get("offset", 0), limit, min(params.get("timeout", 0), 50))


@METHODS.method(
    "setWebhook",
    url="str!",
    certificate="file",
    ip_address="str",
    max_connections="int",
    allowed_updates="list",
    drop_pending_updates="bool",
    secret_token="str",
)
async def _set_webhook(server: "TelegramServer", params: dict) -> bool:
    url, secret, most = params["url"], params.get("secret_token", ""), params.get("max_connections", 40)
    where = urlsplit(url)
    if (
        url
        and where.scheme != "https"
        and not (where.scheme == "http" and where.hostname in ("127.0.0.1", "localhost"))
    ):
        raise Refused(400, "Bad Request: bad webhook: An HTTPS URL must be provided for webhook")
    if url and where.scheme == "https" and (where.port or 443) not in (443, 80, 88, 8443):
        raise Refused(400, "Bad Request: bad webhook: Webhook can be set up only on ports 80, 88, 443 or 8443")
    if not re.fullmatch(r"[A-Za-z0-9_-]{0,256}", secret):
        raise Refused(400, "Bad Request: secret token contains unallowed characters")
    if not 1 <= most <= 100:
        raise Refused(400, "Bad Request: max_connections must be between 1 and 100")
    _allow(server, params)
    if params.get("drop_pending_updates"):
        server.updates.forget()
    await server.updates.post_to(url, secret, most)
    return True


@METHODS.method("deleteWebhook", drop_pending_updates="bool")
async def _delete_webhook(server: "TelegramServer", params: dict) -> bool:
    if params.get("drop_pending_updates"):
        server.updates.forget()
    if server.updates.url:
        await server.updates.post_to("", "", 40)
    return True


@METHODS.method("getWebhookInfo")
def _get_webhook_info(server: "TelegramServer", params: dict) -> dict:
    updates = server.updates
    info = {"url": updates.url, "has_custom_certificate": False, "pending_update_count": updates.pending}
    if updates.url:
        info["max_connections"] = updates.max_connections
    if updates.last_error:
        info |= {"last_error_date": now(), "last_error_message": updates.last_error}
    return info | ({"allowed_updates": updates.allowed} if updates.allowed else {})


def _allow(server: "TelegramServer", params: dict) -> None:
    if "allowed_updates" in params:
        kinds = params["allowed_updates"]
        if unknown := set(kinds) - KINDS:
            server.problems.append(f"allowed_updates names unknown kinds: {sorted(unknown)}")
        server.updates.allowed = kinds
