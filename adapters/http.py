"""The one HTTP client of a process: a shared aiohttp session, with httpx's time-outs and errors, and the redaction of secrets.

Only httpx.TransportError comes out of a call, whatever aiohttp raised. The session is called directly: in a profile
httpx's Request and Response took about as long as the call itself.
"""

import asyncio
import logging
import re
import ssl
import traceback
from collections.abc import AsyncIterator, Iterable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

import aiohttp
import certifi
import httpx


class Http:
    """The shared client. Made inside a running loop; `close` ends every connection."""

    def __init__(self) -> None:
        connector = aiohttp.TCPConnector(limit=0, ssl=_trust())
        proxied = any(scheme != "no" for scheme in getproxies_environment())
        self.session: Final = _session(connector, trust_env=proxied)
        """For whoever needs aiohttp itself; through the environment's proxy where one is named."""
        self.direct: Final = _session(connector, owner=False) if proxied else self.session
        """Never through a proxy: what runs on this machine."""
        self._sockets: dict[str, aiohttp.ClientSession] = {}
        """By the path of a unix socket."""

    def session_for(self, url: str) -> aiohttp.ClientSession:
        """The session that reaches this URL: a proxy is never asked for this machine's own addresses."""
        return self.direct if loopback(url) else self.session

    async def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        timeout: httpx.Timeout,
        content: bytes = b"",
        uds: str = "",
    ) -> "Answer":
        """One request, one try, no redirects. Returns when the headers are there; the caller closes the answer.

        `uds` is the path of a unix socket on which the server of `url` listens. `timeout`: `connect` and `pool` bound the
        way to the server, `read` the wait for the headers. Raises httpx.TransportError.
        """
        session = self._socket(uds) if uds else self.session_for(url)
        limits = aiohttp.ClientTimeout(sock_connect=timeout.connect, connect=timeout.pool)
        try:
            async with asyncio.timeout(timeout.read):
                return Answer(
                    await session.request(
                        method,
                        url,
                        headers=headers,
                        data=content or None,
                        allow_redirects=False,
                        auto_decompress=False,
                        timeout=limits,
                    )
                )
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise precise(error) from error

    async def close(self) -> None:
        """End all connections, those in use too."""
        for session in self._sockets.values():
            await session.close()
        await self.direct.close()
        await self.session.close()

    def _socket(self, path: str) -> aiohttp.ClientSession:
        found = self._sockets.get(path)
        if found is None:
            found = self._sockets[path] = _session(aiohttp.UnixConnector(path=path, limit=0))
        return found


class Answer:
    """A response whose body is still on its way."""

    __slots__ = ("_body", "_gathering", "_response", "_unpacked", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._body = response.content
        self.status = response.status
        self.headers = response.headers
        self._gathering: asyncio.Future[None] | None = None
        self._unpacked: AsyncIterator[bytes] | None = None
        if response.headers.get("content-encoding", "identity") != "identity":
            packed = httpx.Response(response.status, headers=response.raw_headers, stream=_Packed(response.content))
            self._unpacked = packed.aiter_bytes()

    async def read(self, seconds: float) -> bytes:
        """What has come since the last read, as soon as there is anything; empty at the end.

        Raises httpx.ReadTimeout after `seconds` of silence, httpx.TransportError, httpx.DecodingError.
        """
        try:
            if self._unpacked is None and (come := self._body.read_nowait()):
                return come
            async with asyncio.timeout(seconds):
                return await (self._body.readany() if self._unpacked is None else anext(self._unpacked, b""))
        except (TimeoutError, httpx.TransportError, aiohttp.ClientError, OSError) as error:
            raise precise(error) from error

    async def gather(self, seconds: float) -> None:
        """Let more come before it is read, for so long; the end of the answer is not waited for."""
        if self._body.is_eof():
            return
        loop = asyncio.get_running_loop()
        if self._gathering is None:
            self._body.on_eof(self._gathered)
        self._gathering = loop.create_future()
        timer = loop.call_later(seconds, self._gathered)
        try:
            await self._gathering
        finally:
            timer.cancel()

    def _gathered(self) -> None:
        if self._gathering is not None and not self._gathering.done():
            self._gathering.set_result(None)

    async def whole(self, most: int, seconds: float) -> bytes:
        """The body, at most `most` bytes of it, and the end of the answer. Raises as `read` does."""
        parts: list[bytes] = []
        size = 0
        try:
            while size < most and (part := await self.read(seconds)):
                parts.append(part)
                size += len(part)
        finally:
            await self.close()
        return b"".join(parts)[:most]

    async def close(self) -> None:
        """Give the connection back; one whose answer was not read to its end is closed at once."""
        self._response.release()


class _Packed(httpx.AsyncByteStream):
    """A compressed body, for httpx to unpack."""

    def __init__(self, body: aiohttp.StreamReader) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while read := await self._body.readany():
            yield read


def precise(error: BaseException) -> httpx.TransportError:
    """The httpx error for what aiohttp raised.

    The transport's own table calls a refused connection and a server that hangs up a ConnectTimeout; the cause tells more.
    """
    cause = error.__cause__ if isinstance(error, httpx.TransportError) and error.__cause__ else error
    for kind, meant in _CAUSES:
        if isinstance(cause, kind):
            return meant(str(cause))
    return error if isinstance(error, httpx.TransportError) else httpx.TransportError(str(error))


_CAUSES: tuple[tuple[type[BaseException], type[httpx.TransportError]], ...] = (
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    (aiohttp.ServerTimeoutError, httpx.ReadTimeout),
    (aiohttp.ClientProxyConnectionError, httpx.ProxyError),
    (aiohttp.ClientHttpProxyError, httpx.ProxyError),
    (aiohttp.ClientConnectorError, httpx.ConnectError),
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError),
    (aiohttp.ClientPayloadError, httpx.ReadError),
    (aiohttp.InvalidURL, httpx.UnsupportedProtocol),
    (aiohttp.NonHttpUrlClientError, httpx.UnsupportedProtocol),
    (aiohttp.ClientConnectionError, httpx.ReadError),
    (aiohttp.ClientError, httpx.RemoteProtocolError),
    (TimeoutError, httpx.ReadTimeout),
    (OSError, httpx.ReadError),
    (ValueError, httpx.LocalProtocolError),
)


def loopback(url: str) -> bool:
    """Whether a URL names this machine."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or host.endswith(".localhost") or ip_address(host).is_loopback
    except ValueError:
        return False


def _session(connector: aiohttp.BaseConnector, *, trust_env: bool = False, owner: bool = True) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector, connector_owner=owner, cookie_jar=aiohttp.DummyCookieJar(), trust_env=trust_env
    )


def _trust() -> ssl.SSLContext | bool:
    """The system's certificates; where a machine has none (slim images, some Pythons), those of certifi."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile or (paths.capath and any(Path(paths.capath).glob("*.0"))):
        return True
    return ssl.create_default_context(cafile=certifi.where())


HIDDEN = "[hidden]"

_SECRET = re.compile(
    r"""
      (?<=bot)\d{5,}:[\w-]{20,}                     # in the address of a bot API
    | \b\d{6,}:[\w-]{30,}                           # the same token alone
    | \bxox[a-z]-[\w-]{8,} | \bxapp-[\w-]{8,}       # workspace tokens
    | \b[\w-]{24,}\.[\w-]{6}\.[\w-]{27,}            # gateway bot tokens
    | \bEAA[A-Za-z0-9]{16,}                         # graph tokens
    | \b(?:sk|rk|pk)-[\w-]{12,} | \bgsk_\w{12,} | \bxai-[\w-]{12,} | \bAIza[\w-]{20,} | \btvly-[\w-]{8,}
    | \beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,}       # signed web tokens
    | (?i:(?<=bearer\ ))[^\s"',;]{8,}
    | (?i:(?<=[?&]key=)|(?<=api_key=)|(?<=api-key=)|(?<=token=)|(?<=secret=)|(?<=password=))[^\s"'&]+
    | (?<=://)[^\s/@:]*:[^\s/@]+(?=@)               # user and password of a URL
    """,
    re.VERBOSE,
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """The text with everything that looks like a secret, and the `secrets` themselves, taken out."""
    for secret in secrets:
        if len(secret) >= 4 and secret in text:
            text = text.replace(secret, HIDDEN)
    return _SECRET.sub(HIDDEN, text)


class Redaction(logging.Filter):
    """Takes secrets out of every record. Belongs on handlers: a logger's own filter does not see its children's records."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        # longest first: a secret that holds another must go as a whole
        self._secrets = sorted((s for s in secrets if s), key=len, reverse=True)

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true: records are changed, never dropped."""
        said = record.getMessage()
        clean = redact(said, self._secrets)
        if clean != said:
            record.msg, record.args = clean, None
        if record.exc_info and not record.exc_text:
            record.exc_text = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
        if record.exc_text:
            record.exc_text = redact(record.exc_text, self._secrets)
        if record.stack_info:
            record.stack_info = redact(record.stack_info, self._secrets)
        return True


def quiet(handlers: Iterable[logging.Handler], secrets: Iterable[str] = ()) -> None:
    """Install the redaction on these handlers, and keep the HTTP libraries from logging addresses."""
    redaction = Redaction(secrets)
    for handler in handlers:
        handler.addFilter(redaction)
    for name in ("httpx", "httpcore", "aiohttp.client"):
        logging.getLogger(name).setLevel(logging.WARNING)
