"""A model server on loopback that speaks Chat Completions, Responses and Anthropic's Messages: strict about requests, failing
on order, recording what it was asked.

    async with ModelServer(key="k") as server:      # OPENAI_BASE_URL=server.url
        server.reply("Paris.", tokens_per_second=50)
        server.reply(tool_calls=[ToolCall("calculate", {"expression": "2+2"})])

Entering a server again after it was left opens the same port again. Replies are given in the order in which they were put in; without one the brain answers, which echoes by default.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import msgspec
from aiohttp import web

from tests.servers.anthropic_messages.wire import Messages
from tests.servers.completions.replies import JSON, Reply, ToolCall, encode, shortened
from tests.servers.completions.requests import Invalid, last_asked
from tests.servers.completions.wire import Completions
from tests.servers.loopback import Loopback
from tests.servers.responses.wire import Responses

__all__ = ["ModelServer", "Reply", "Seen", "ToolCall"]


SSE = "text/event-stream; charset=utf-8"
Wire = Completions | Responses | Messages


@dataclass(slots=True)
class Seen:
    """One request: what came, and how far its answer went."""

    path: str
    headers: dict[str, str]
    body: bytes
    json: dict
    at: float
    wire: Wire
    status: int = 0
    pieces: int = 0  # pieces of text that were sent
    closed: str = ""  # "done", "gone" (the client hung up), "cut" (we did)
    ended: float = 0.0

    @property
    def messages(self) -> list[dict]:
        return self.json.get("messages", [])

    @property
    def asked(self) -> str:
        """The last thing a user said, as text."""
        return last_asked(self.json)

    @property
    def effort(self) -> str:
        """How much the model shall think, in the protocol's own word; "" where that was left to it."""
        return self.wire.effort(self.json)

    @property
    def pictures(self) -> list[tuple[str, bytes]]:
        """Mime type and bytes of each picture."""
        return self.wire.pictures(self.json)


class ModelServer:
    """The provider's side: `url` is the base URL (".../v1")."""

    def __init__(
        self,
        *,
        models: Sequence[str] = ("test-model",),
        key: str | None = None,
        window: int = 128_000,
        brain: Callable[[dict], Reply | str] | None = None,
        port: int = 0,
    ) -> None:
        self.models = list(models)
        self.key = key
        self.window = window
        self.brain = brain or echo
        self.requests: list[Seen] = []
        self.open = 0  # answers under way now
        self.peak = 0
        self._script: list[Reply] = []
        self._loopback = Loopback(port)
        self._count = itertools.count(1)
        self._wires: tuple[Wire, ...] = (Completions(), Responses(), Messages())

    async def __aenter__(self) -> Self:
        await self._loopback.open(self._serve, grace=0.1, handler_cancellation=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._loopback.close()

    @property
    def url(self) -> str:
        return f"{self._loopback.url}/v1"

    @property
    def connections(self) -> int:
        """TCP connections that are open now, idle ones too."""
        return self._loopback.connections

    @property
    def waiting(self) -> int:
        """Replies of the script that nobody fetched yet."""
        return len(self._script)

    def reply(self, text: str = "", **how: Any) -> None:
        """Put one reply at the end of the script; `how` are the fields of Reply."""
        self._script.append(Reply(text=text, **how))

    def fail(self, status: int, times: int = 1, **how: Any) -> None:
        """Let the next requests fail with a status; `how`: retry_after, error, body, content_type, when."""
        self._script += [Reply(status=status, **how)] * times

    async def wait_for(self, fact: Callable[[], Any], timeout: float = 10.0) -> Any:
        """Wait until `fact()` is true and return its value."""
        deadline = time.monotonic() + timeout
        while not (value := fact()):
            if time.monotonic() > deadline:
                raise AssertionError(f"not true within {timeout} s; {len(self.requests)} requests, {self.open} open")
            await asyncio.sleep(0.005)
        return value

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        # Anthropic's list of models is asked for with its own headers
        other = self._wires[2 if "anthropic-version" in request.headers else 0]
        wire = next((w for w in self._wires if w.path == request.path), other)
        seen = Seen(request.path, dict(request.headers), body, {}, time.monotonic(), wire)
        self.requests.append(seen)
        self.open += 1
        self.peak = max(self.peak, self.open)
        try:
            response = await self._answer(request, seen)
            seen.status = response.status
            seen.closed = seen.closed or "done"
        except Invalid as no:
            seen.status, seen.closed = no.status, "done"
            return web.Response(status=no.status, body=encode(wire.refuse(no)), content_type=JSON)
        except (asyncio.CancelledError, ConnectionError):
            seen.closed = seen.closed or "gone"
            raise
        else:
            return response
        finally:
            self.open -= 1
            seen.ended = time.monotonic()

    async def _answer(self, request: web.BaseRequest, seen: Seen) -> web.StreamResponse:
        seen.wire.authorised(seen.headers, self.key)
        if seen.path == "/v1/models" and request.method == "GET":
            known = [{"id": name, "object": "model", "created": 1760000000, "owned_by": "test"} for name in self.models]
            return web.json_response({"object": "list", "data": known})
        wire = seen.wire
        if seen.path != wire.path or request.method != "POST":
            raise Invalid(f"Invalid URL ({request.method} {seen.path})", status=404)
        if request.content_type != JSON:
            raise Invalid(f"Unsupported content type: {request.content_type}", status=415)
        try:
            seen.json = asked = msgspec.json.decode(seen.body)
        except msgspec.DecodeError:
            raise Invalid("We could not parse the JSON body of your request.") from None
        self._check(wire, asked, len(seen.body))
        reply = self._next(asked)
        if reply.silent:
            await asyncio.Event().wait()
        if reply.status != 200:
            return wire.failed(reply)
        if most := wire.limit(asked):
            reply = shortened(reply, most)
        number = next(self._count)
        if not asked.get("stream"):
            return await self._whole(request, seen, reply, number)
        return await self._stream(request, seen, reply, wire.events(asked, reply, len(seen.body), number))

    def _check(self, wire: Wire, asked: object, size: int) -> None:
        if not isinstance(asked, dict):
            raise Invalid("The body must be a JSON object.")
        wire.check(asked)
        if asked["model"] not in self.models:
            text = f"The model `{asked['model']}` does not exist or you do not have access to it."
            raise Invalid(text, param="model", code="model_not_found", status=404)
        if (tokens := wire.tokens(asked, size)) > self.window:
            text = f"This model's maximum context length is {self.window} tokens. However, your messages resulted in {tokens}"
            raise Invalid(f"{text} tokens.", param="messages", code="context_length_exceeded")

    def _next(self, asked: dict) -> Reply:
        for number, reply in enumerate(self._script):
            if reply.when is None or reply.when(asked):
                return self._script.pop(number)
        answer = self.brain(asked)
        return answer if isinstance(answer, Reply) else Reply(text=answer)

    async def _whole(self, request: web.BaseRequest, seen: Seen, reply: Reply, number: int) -> web.StreamResponse:
        pace = len(reply.pieces) / reply.tokens_per_second if reply.tokens_per_second else 0.0
        await asyncio.sleep(reply.first_token_delay + pace)
        if reply.stall_after is not None:
            await asyncio.Event().wait()
        if reply.cut_after is not None:
            return _cut(request, seen)
        seen.pieces = len(reply.pieces)
        return seen.wire.whole(seen.json, reply, len(seen.body), number)

    async def _stream(
        self, request: web.BaseRequest, seen: Seen, reply: Reply, events: list[tuple[bool, bytes]]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": reply.content_type or SSE, "Cache-Control": "no-cache"})
        await response.prepare(request)
        seen.status = 200
        pause = 1 / reply.tokens_per_second if reply.tokens_per_second else 0.0
        due = time.monotonic() + reply.first_token_delay
        if reply.first_token_delay:
            await asyncio.sleep(reply.first_token_delay)
        held, count = b"", 0
        for spoken, event in events:
            if spoken:
                if seen.pieces == reply.stall_after:
                    await _write(response, held, reply.chunk_bytes)
                    await asyncio.Event().wait()
                if seen.pieces == reply.cut_after:
                    await _write(response, held, reply.chunk_bytes)
                    return _cut(request, seen, response)
                if seen.pieces == reply.error_after:
                    await _write(response, held + seen.wire.trouble(reply), reply.chunk_bytes)
                    return response
                if pause:
                    due += pause
                    await asyncio.sleep(max(0.0, due - time.monotonic()))
                seen.pieces += 1
            held, count = held + event, count + 1
            if count >= reply.batch:
                await _write(response, held, reply.chunk_bytes)
                held, count = b"", 0
        await _write(response, held, reply.chunk_bytes)
        await response.write_eof()
        return response


def echo(asked: dict) -> Reply:
    """The default brain: one sentence about the last thing that a user said, always the same for the same."""
    return Reply(text=f"You said: {last_asked(asked)}")


async def _write(response: web.StreamResponse, data: bytes, chunk: int | None) -> None:
    if not data:
        return
    if chunk is None:
        await response.write(data)
        return
    for at in range(0, len(data), chunk):
        await response.write(data[at : at + chunk])
        await asyncio.sleep(0)


def _cut(request: web.BaseRequest, seen: Seen, response: web.StreamResponse | None = None) -> web.StreamResponse:
    seen.closed = "cut"
    if request.transport:
        # what was written must be on its way first: close() sends it, and leaves the chunked body without its end
        request.transport.close()
    return response or web.Response()
