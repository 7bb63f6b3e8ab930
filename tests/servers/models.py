"""An OpenAI-compatible model server on loopback: strict about requests, failing on order, recording what it was asked.

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

from tests.servers.completions.replies import (
    JSON,
    MID_STREAM,
    Reply,
    ToolCall,
    as_call,
    as_event,
    as_events,
    count_usage,
    encode,
    failed,
    finish,
    shortened,
)
from tests.servers.completions.requests import Invalid, check_request, count_tokens, last_asked
from tests.servers.loopback import Loopback

__all__ = ["ModelServer", "Reply", "Seen", "ToolCall"]


SSE = "text/event-stream; charset=utf-8"


@dataclass(slots=True)
class Seen:
    """One request: what came, and how far its answer went."""

    path: str
    headers: dict[str, str]
    body: bytes
    json: dict
    at: float
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
        seen = Seen(request.path, dict(request.headers), body, {}, time.monotonic())
        self.requests.append(seen)
        self.open += 1
        self.peak = max(self.peak, self.open)
        try:
            response = await self._answer(request, seen)
            seen.status = response.status
            seen.closed = seen.closed or "done"
        except Invalid as no:
            seen.status, seen.closed = no.status, "done"
            return web.Response(status=no.status, body=encode({"error": no.error}), content_type=JSON)
        except (asyncio.CancelledError, ConnectionError):
            seen.closed = seen.closed or "gone"
            raise
        else:
            return response
        finally:
            self.open -= 1
            seen.ended = time.monotonic()

    async def _answer(self, request: web.BaseRequest, seen: Seen) -> web.StreamResponse:
        if self.key is not None and request.headers.get("Authorization") != f"Bearer {self.key}":
            raise Invalid("Incorrect API key provided.", code="invalid_api_key", status=401)
        if seen.path == "/v1/models" and request.method == "GET":
            known = [{"id": name, "object": "model", "created": 1760000000, "owned_by": "test"} for name in self.models]
            return web.json_response({"object": "list", "data": known})
        if seen.path != "/v1/chat/completions" or request.method != "POST":
            raise Invalid(f"Invalid URL ({request.method} {seen.path})", status=404)
        if request.content_type != JSON:
            raise Invalid(f"Unsupported content type: {request.content_type}", status=415)
        try:
            seen.json = asked = msgspec.json.decode(seen.body)
        except msgspec.DecodeError:
            raise Invalid("We could not parse the JSON body of your request.") from None
        self._check(asked, len(seen.body))
        reply = self._next(asked)
        if reply.silent:
            await asyncio.Event().wait()
        if reply.status != 200:
            return failed(reply)
        if most := asked.get("max_completion_tokens") or asked.get("max_tokens"):
            reply = shortened(reply, most)
        name = f"chatcmpl-{next(self._count)}"
        head = {"id": name, "object": "chat.completion", "created": int(time.time()), "model": asked["model"]}
        usage = count_usage(asked, reply, len(seen.body))
        if not asked.get("stream"):
            return await self._whole(request, seen, reply, head | {"usage": usage})
        counted = (asked.get("stream_options") or {}).get("include_usage")
        return await self._stream(request, seen, reply, head, usage if counted else None)

    def _check(self, asked: object, size: int) -> None:
        if not isinstance(asked, dict):
            raise Invalid("The body must be a JSON object.")
        check_request(asked)
        if asked["model"] not in self.models:
            text = f"The model `{asked['model']}` does not exist or you do not have access to it."
            raise Invalid(text, param="model", code="model_not_found", status=404)
        if (tokens := count_tokens(asked, size)) > self.window:
            text = f"This model's maximum context length is {self.window} tokens. However, your messages resulted in {tokens}"
            raise Invalid(f"{text} tokens.", param="messages", code="context_length_exceeded")

    def _next(self, asked: dict) -> Reply:
        for number, reply in enumerate(self._script):
            if reply.when is None or reply.when(asked):
                return self._script.pop(number)
        answer = self.brain(asked)
        return answer if isinstance(answer, Reply) else Reply(text=answer)

    async def _whole(self, request: web.BaseRequest, seen: Seen, reply: Reply, head: dict) -> web.StreamResponse:
        pace = len(reply.pieces) / reply.tokens_per_second if reply.tokens_per_second else 0.0
        await asyncio.sleep(reply.first_token_delay + pace)
        if reply.stall_after is not None:
            await asyncio.Event().wait()
        if reply.cut_after is not None:
            return _cut(request, seen)
        if reply.error_after is not None:
            return web.json_response({"error": reply.error or MID_STREAM})
        message: dict = {"role": "assistant", "content": reply.text or None if reply.tool_calls else reply.text}
        if reply.tool_calls:
            message["tool_calls"] = [as_call(call, n) for n, call in enumerate(reply.tool_calls)]
        if reply.reasoning:
            message["reasoning_content"] = reply.reasoning
        seen.pieces = len(reply.pieces)
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish(reply)}
        return web.Response(body=encode(head | {"choices": [choice]}), content_type=reply.content_type or JSON)

    async def _stream(
        self, request: web.BaseRequest, seen: Seen, reply: Reply, head: dict, usage: dict | None
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": reply.content_type or SSE, "Cache-Control": "no-cache"})
        await response.prepare(request)
        seen.status = 200
        events = as_events(reply, head | {"object": "chat.completion.chunk"}, usage)
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
                    await _write(response, held + as_event({"error": reply.error or MID_STREAM}), reply.chunk_bytes)
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
