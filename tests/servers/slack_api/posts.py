"""Signed HTTP: events, slash commands and interactive payloads posted to the app's own address, true and forged."""

import asyncio
import hashlib
import hmac
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import aiohttp
import msgspec

from tests.servers.slack_api.delivery import Delivery
from tests.servers.slack_api.wire import FORM, JSON, encode

if TYPE_CHECKING:
    from tests.servers.slack import SlackServer


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """The v0 signature over time and raw body."""
    return "v0=" + hmac.new(secret.encode(), f"v0:{timestamp}:".encode() + body, hashlib.sha256).hexdigest()


def as_body(kind: str, payload: dict) -> tuple[bytes, str]:
    """A payload as it is posted, and its content type."""
    if kind == "events_api":
        return encode(payload), JSON
    form = payload if kind == "slash_commands" else {"payload": encode(payload).decode()}
    return urlencode(form).encode(), FORM


class Posts:
    """Deliveries by POST; in use once it has a `url`."""

    def __init__(self, server: "SlackServer") -> None:
        self.url = ""
        self.secret = ""
        self.posted: list[tuple[dict[str, str], bytes]] = []  # headers and body of all, in order
        self._server = server
        self._session: aiohttp.ClientSession | None = None

    async def verify(self) -> None:
        """The challenge that an address must answer before it gets events."""
        payload = {"token": "verification", "challenge": self._server.new_uuid(), "type": "url_verification"}
        body, kind = as_body("events_api", payload)
        status, text = await self.send(self.url, body, self._signed(body, kind))
        if status != 200 or payload["challenge"] not in text:
            raise AssertionError(f"the address did not answer the challenge: {status} {text[:100]}")

    async def post(self, delivery: Delivery) -> tuple[bool, Any]:
        """Try it once; whether the answer was a good one, and what it carried or why it was not."""
        body, kind = as_body(delivery.kind, delivery.payload)
        headers = self._signed(body, kind)
        if delivery.retry:
            headers |= {"X-Slack-Retry-Num": str(delivery.retry), "X-Slack-Retry-Reason": delivery.reason}
        try:
            async with self._client().post(self.url, data=body, headers=headers, allow_redirects=False) as reply:
                self.posted.append((headers, body))
                text = await asyncio.wait_for(reply.text(), self._server.deliveries.ack_seconds)
                delivery.no_retry = reply.headers.get("X-Slack-No-Retry") == "1"
                if reply.status == 200:
                    return True, _answer(text)
                return False, "http_error"
        except TimeoutError:
            return False, "http_timeout"
        except aiohttp.ClientError:
            return False, "connection_failed"

    async def send(self, url: str, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
        """Post bytes as they are; status and text of the answer."""
        async with self._client().post(url, data=body, headers=headers, allow_redirects=False) as reply:
            return reply.status, await reply.text()

    async def close(self) -> None:
        if self._session:
            await self._session.close()
            self._session = None

    def _signed(self, body: bytes, kind: str) -> dict[str, str]:
        now = str(int(time.time()))
        head = {"X-Slack-Request-Timestamp": now, "X-Slack-Signature": signature(self.secret, now, body)}
        return {"Content-Type": kind, "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)"} | head

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            wait = aiohttp.ClientTimeout(total=self._server.deliveries.ack_seconds)
            self._session = aiohttp.ClientSession(timeout=wait)
        return self._session


def _answer(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return {"text": text} if text else None
