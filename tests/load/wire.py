"""HTTP/1.1 as two well-known clients speak it, served with as little work as can be: the servers must not be what is measured.

No pipelining and no chunked requests: whoever sends one is answered 400, and that counts as an error of theirs.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

JSON = b"application/json"
FORM = b"application/x-www-form-urlencoded"
_REASONS = {200: b"OK", 400: b"Bad Request", 401: b"Unauthorized", 404: b"Not Found", 429: b"Too Many Requests"}


@dataclass(frozen=True, slots=True)
class Request:
    """What a client wants, and when the last of it came."""

    method: str
    path: str
    headers: dict[bytes, bytes]
    body: bytes
    at: float

    @property
    def kind(self) -> bytes:
        return self.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()


class Line(asyncio.Protocol):
    """One connection. `serve` answers by `reply`, or by `begin`, some `write` and `end`, now or later."""

    def __init__(self, serve: Callable[[Request, "Line"], None]) -> None:
        self._serve = serve
        self._read = bytearray()
        self.open = False

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.open = True

    def connection_lost(self, error: Exception | None) -> None:
        self.open = False

    def data_received(self, data: bytes) -> None:
        self._read += data
        end = self._read.find(b"\r\n\r\n")
        if end < 0:
            return
        first, *lines = bytes(self._read[:end]).split(b"\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        if b"transfer-encoding" in headers:
            self.reply(400, b"{}")
            self._transport.close()
            return
        whole = end + 4 + int(headers.get(b"content-length", 0))
        if len(self._read) < whole:
            return
        body = bytes(self._read[end + 4 : whole])
        del self._read[:whole]
        method, path, _ = first.decode().split(" ")
        self._serve(Request(method, path, headers, body, monotonic()), self)

    def reply(self, status: int, body: bytes, more: bytes = b"") -> None:
        """A whole answer; `more` are header lines with their ends."""
        head = b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\ncontent-length: %d\r\n%b\r\n"
        self._transport.write(head % (status, _REASONS.get(status, b"Error"), JSON, len(body), more) + body)

    def begin(self, kind: bytes) -> None:
        """The head of an answer that comes in pieces."""
        head = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
        self._transport.write(head % kind)

    def write(self, *pieces: bytes) -> None:
        """Each piece a chunk, all in one go."""
        self._transport.write(b"".join([b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces]))

    def end(self) -> None:
        """No more pieces."""
        self._transport.write(b"0\r\n\r\n")


async def listen(serve: Callable[[Request, Line], None]) -> asyncio.Server:
    """Serve on a free port of this machine."""
    return await asyncio.get_running_loop().create_server(lambda: Line(serve), "127.0.0.1", 0, backlog=1024)


def port(server: asyncio.Server) -> int:
    """Where it listens."""
    return int(server.sockets[0].getsockname()[1])
