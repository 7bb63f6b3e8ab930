"""An OpenAI-compatible model server on loopback: strict about requests, failing on order, recording what it was asked.

    async with ModelServer(key="k") as server:      # OPENAI_BASE_URL=server.url
        server.reply("Paris.", tokens_per_second=50)
        server.reply(tool_calls=[ToolCall("calculate", {"expression": "2+2"})])

Entering a server again after it was left opens the same port again. Replies are given in the order in which they were put in; without one the brain answers, which echoes by default.
"""

import asyncio
import base64
import binascii
import functools
import itertools
import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import TracebackType
from typing import Any, Self

import jsonschema
import msgspec
from aiohttp import web

encode = msgspec.json.encode


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model makes; `arguments` as a string goes out as it is, broken JSON too."""

    name: str
    arguments: dict | str
    id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer of the model, and how it fails on its way."""

    text: str = ""
    tokens: Sequence[str] | None = None  # the pieces of the text; words by default
    tool_calls: Sequence[ToolCall] = ()
    reasoning: str = ""  # goes first, as reasoning_content
    finish_reason: str | None = None  # stop, tool_calls, length, content_filter; by itself the right one
    tokens_per_second: float | None = None
    first_token_delay: float = 0.0  # seconds between the headers and the first event
    cached_tokens: int = 0
    chunk_bytes: int | None = None  # cut the stream into TCP chunks of so many bytes, through letters and frames
    batch: int = 1  # events in one chunk
    silent: bool = False  # never answers, not even headers
    stall_after: int | None = None  # after so many pieces nothing comes any more (0: never a first one)
    cut_after: int | None = None  # after so many pieces the connection breaks
    error_after: int | None = None  # after so many pieces an error object comes in the stream
    error: dict | None = None  # that object, or the body with `status`
    status: int = 200
    body: bytes | None = None  # with `status`: sent instead of an error object
    content_type: str | None = None
    retry_after: float | datetime | None = None  # the header, in seconds or as an HTTP date
    when: Callable[[dict], bool] | None = None  # only for requests of which this is true

    @property
    def pieces(self) -> Sequence[str]:
        """The text as tokens."""
        return self.tokens if self.tokens is not None else re.findall(r"\s*\S+|\s+$", self.text)


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
        self._port = port
        self._count = itertools.count(1)
        self._runner: web.ServerRunner | None = None
        self._server: web.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = web.Server(
            self._serve, handler_cancellation=True, access_log=None, request_factory=_roomy(asyncio.get_running_loop())
        )
        self._runner = web.ServerRunner(self._server, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def connections(self) -> int:
        """TCP connections that are open now, idle ones too."""
        return len(self._server.connections)

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
            return _failure(reply)
        if most := asked.get("max_completion_tokens") or asked.get("max_tokens"):
            reply = _shortened(reply, most)
        name = f"chatcmpl-{next(self._count)}"
        head = {"id": name, "object": "chat.completion", "created": int(time.time()), "model": asked["model"]}
        usage = _usage(asked, reply, len(seen.body))
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
            message["tool_calls"] = [_call(call, n) for n, call in enumerate(reply.tool_calls)]
        if reply.reasoning:
            message["reasoning_content"] = reply.reasoning
        seen.pieces = len(reply.pieces)
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(reply)}
        return web.Response(body=encode(head | {"choices": [choice]}), content_type=reply.content_type or JSON)

    async def _stream(
        self, request: web.BaseRequest, seen: Seen, reply: Reply, head: dict, usage: dict | None
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": reply.content_type or SSE, "Cache-Control": "no-cache"})
        await response.prepare(request)
        seen.status = 200
        events = _events(reply, head | {"object": "chat.completion.chunk"}, usage)
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
                    await _write(response, held + _event({"error": reply.error or MID_STREAM}), reply.chunk_bytes)
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


def last_asked(asked: dict) -> str:
    """The text of the last user message of a request."""
    for message in reversed(asked.get("messages", [])):
        if message["role"] == "user":
            content = message["content"]
            return content if isinstance(content, str) else " ".join(p["text"] for p in content if p["type"] == "text")
    return ""


def count_tokens(asked: dict, size: int) -> int:
    """About how many tokens a body of `size` bytes is: a quarter of its bytes, and 1,000 for each picture or recording."""
    pictures = 0
    for message in asked["messages"]:
        if isinstance(message.get("content"), list):
            held = [part for part in message["content"] if part["type"] not in ("text", "refusal")]
            size -= sum(len(encode(part)) for part in held)
            pictures += len(held)
    return max(1, size // 4) + 1000 * pictures


class Invalid(Exception):
    """A request that OpenAI would refuse, with its error object."""

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
        self.error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}


def check_request(asked: dict) -> None:
    """Raise Invalid for what the API would refuse."""
    for name, value in asked.items():
        if name not in FIELDS:
            raise Invalid(f"Unrecognized request argument supplied: {name}", param=name)
        if value is not None and (
            not isinstance(value, FIELDS[name]) or (isinstance(value, bool) and FIELDS[name] is not bool)
        ):
            raise Invalid(f"Invalid type for '{name}'.", param=name, code="invalid_type")
    for name in ("model", "messages"):
        if not asked.get(name):
            raise Invalid(f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")
    if asked.get("stream_options") is not None and not asked.get("stream"):
        raise Invalid(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options"
        )
    if not 0 <= (asked.get("temperature") or 0) <= 2 or not 0 <= (asked.get("top_p") or 0) <= 1:
        raise Invalid("Invalid 'temperature' or 'top_p'.", param="temperature", code="decimal_above_max_value")
    if any((asked.get(name) or 1) < 1 for name in ("max_tokens", "max_completion_tokens", "n")):
        raise Invalid("Expected a value >= 1.", param="max_tokens", code="integer_below_min_value")
    if (asked.get("n") or 1) != 1:
        raise Invalid("This server gives one choice.", param="n")
    _check_tools(asked)
    _check_messages(asked["messages"])


JSON = "application/json"
SSE = "text/event-stream; charset=utf-8"
MID_STREAM = {"message": "The server had an error while processing your request.", "type": "server_error", "code": None}
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
NUMBER = (int, float)
FIELDS: dict[str, Any] = {
    "model": str,
    "messages": list,
    "stream": bool,
    "stream_options": dict,
    "temperature": NUMBER,
    "top_p": NUMBER,
    "max_tokens": int,
    "max_completion_tokens": int,
    "n": int,
    "stop": (str, list),
    "seed": int,
    "user": str,
    "safety_identifier": str,
    "prompt_cache_key": str,
    "tools": list,
    "tool_choice": (str, dict),
    "parallel_tool_calls": bool,
    "response_format": dict,
    "reasoning_effort": str,
    "verbosity": str,
    "frequency_penalty": NUMBER,
    "presence_penalty": NUMBER,
    "logit_bias": dict,
    "logprobs": bool,
    "top_logprobs": int,
    "metadata": dict,
    "store": bool,
    "service_tier": str,
    "modalities": list,
}
PARTS = {
    "system": {"text"},
    "developer": {"text"},
    "user": {"text", "image_url", "input_audio", "file"},
    "assistant": {"text", "refusal"},
    "tool": {"text"},
}
KEYS = {
    "system": {"role", "content", "name"},
    "developer": {"role", "content", "name"},
    "user": {"role", "content", "name"},
    "assistant": {"role", "content", "name", "tool_calls", "refusal", "audio", "reasoning_content"},
    "tool": {"role", "content", "tool_call_id"},
}


def _check_tools(asked: dict) -> None:
    names = []
    for number, tool in enumerate(asked.get("tools") or []):
        where = f"tools[{number}]"
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or tool.get("type") != "function":
            raise Invalid(f"Missing required parameter: '{where}.function'.", param=where)
        if not NAME.fullmatch(function.get("name") or ""):
            raise Invalid(
                f"Invalid '{where}.function.name': string does not match pattern.", param=f"{where}.function.name"
            )
        names.append(function["name"])
        if unknown := set(function) - {"name", "description", "parameters", "strict"}:
            raise Invalid(f"Unknown parameter: '{where}.function.{unknown.pop()}'.", param=where)
        schema = function.get("parameters", {"type": "object"})
        if wrong := _schema_problem(encode(schema)):
            raise Invalid(
                f"Invalid schema for function '{function['name']}': {wrong}", code="invalid_function_parameters"
            )
    if len(set(names)) != len(names):
        raise Invalid("Tool names must be unique.", param="tools")
    if "tools" in asked and not names:
        raise Invalid("Invalid 'tools': empty array.", param="tools", code="empty_array")
    choice = asked.get("tool_choice")
    if choice is not None and not names:
        raise Invalid("'tool_choice' is only allowed when 'tools' are specified.", param="tool_choice")
    if isinstance(choice, str) and choice not in ("none", "auto", "required"):
        raise Invalid("Invalid value for 'tool_choice'.", param="tool_choice", code="invalid_value")
    if isinstance(choice, dict) and choice.get("function", {}).get("name") not in names:
        raise Invalid("Tool choice names no tool that was given.", param="tool_choice")


@functools.lru_cache(maxsize=256)
def _schema_problem(schema: bytes) -> str:
    read = msgspec.json.decode(schema)
    if not isinstance(read, dict) or read.get("type") != "object":
        return "schema must be a JSON Schema of 'type: \"object\"'."
    try:
        jsonschema.Draft202012Validator.check_schema(read)
    except jsonschema.SchemaError as error:
        return error.message
    return ""


def _check_messages(messages: list) -> None:
    open_calls: dict[str, int] = {}  # id -> the assistant message that made the call
    for number, message in enumerate(messages):
        where = f"messages[{number}]"
        role = message.get("role") if isinstance(message, dict) else None
        if role not in PARTS:
            raise Invalid(f"Invalid value: '{role}'.", param=f"{where}.role", code="invalid_value")
        if unknown := set(message) - KEYS[role]:
            raise Invalid(f"Unknown parameter: '{where}.{unknown.pop()}'.", param=where, code="unknown_parameter")
        if role != "tool" and open_calls:
            raise _unanswered(open_calls)
        calls = _check_calls(message, where) if role == "assistant" else []
        _check_content(message, where, optional=bool(calls) or bool(message.get("refusal")))
        if role == "tool" and open_calls.pop(message.get("tool_call_id"), None) is None:
            text = "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
            raise Invalid(f"Invalid parameter: {text}", param=f"{where}.role")
        open_calls |= dict.fromkeys(calls, number)
    if open_calls:
        raise _unanswered(open_calls)


def _unanswered(calls: dict[str, int]) -> Invalid:
    text = "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'."
    names = ", ".join(calls)
    return Invalid(f"{text} The following tool_call_ids did not have response messages: {names}", param="messages")


def _check_calls(message: dict, where: str) -> list[str]:
    calls = message.get("tool_calls")
    if calls is None:
        return []
    if not isinstance(calls, list) or not calls:
        raise Invalid(f"Invalid '{where}.tool_calls': empty array.", param=f"{where}.tool_calls", code="empty_array")
    for call in calls:
        function = call.get("function") or {}
        if call.get("type") != "function" or not call.get("id") or not NAME.fullmatch(function.get("name") or ""):
            raise Invalid(f"Invalid '{where}.tool_calls'.", param=f"{where}.tool_calls")
        if not isinstance(function.get("arguments"), str):
            raise Invalid(f"Invalid type for '{where}.tool_calls.function.arguments': expected a string.", param=where)
    if len({call["id"] for call in calls}) != len(calls):
        raise Invalid(f"Duplicate ids in '{where}.tool_calls'.", param=f"{where}.tool_calls")
    return [call["id"] for call in calls]


def _check_content(message: dict, where: str, *, optional: bool) -> None:
    content, role = message.get("content"), message["role"]
    if content is None and optional:
        return
    if isinstance(content, str):
        return
    if not isinstance(content, list) or not content:
        raise Invalid(f"Invalid value for 'content': expected a string, got {content!r}.", param=f"{where}.content")
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in PARTS[role]:
            raise Invalid(f"Invalid content part '{kind}' for role '{role}'.", param=f"{where}.content")
        held = part.get(kind)
        if kind in ("text", "refusal") and not isinstance(held, str):
            raise Invalid(f"Missing required parameter: '{where}.content.{kind}'.", param=f"{where}.content")
        if kind == "image_url":
            url = held.get("url", "") if isinstance(held, dict) else ""
            inside = re.fullmatch(r"data:image/[\w.+-]+;base64,(.+)", url, re.DOTALL)
            if not url.startswith(("https://", "http://")) and not (inside and _base64(inside[1])):
                raise Invalid("Invalid image_url.", param=f"{where}.content", code="invalid_image_url")
        if kind == "input_audio" and (held.get("format") not in ("wav", "mp3") or not _base64(held.get("data"))):
            raise Invalid("Invalid input_audio.", param=f"{where}.content", code="invalid_value")


def _base64(text: object) -> bool:
    try:
        return bool(isinstance(text, str) and base64.b64decode(text, validate=True))
    except binascii.Error:
        return False


def _roomy(loop: asyncio.AbstractEventLoop) -> Callable[..., web.BaseRequest]:
    """Requests of up to 64 MB: pictures and voices travel inside the JSON, and the default ends at 1 MB."""
    return lambda *parts: web.BaseRequest(*parts, loop, client_max_size=64 * 2**20)


def _failure(reply: Reply) -> web.Response:
    headers = {}
    if isinstance(reply.retry_after, datetime):
        headers["Retry-After"] = format_datetime(reply.retry_after.astimezone(UTC), usegmt=True)
    elif reply.retry_after is not None:
        headers["Retry-After"] = f"{reply.retry_after:g}"
    kinds = {
        401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
        403: (
            "invalid_request_error",
            "unsupported_country_region_territory",
            "Country, region, or territory not supported",
        ),
        429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests."),
        503: ("server_error", None, "The engine is currently overloaded, please try again later."),
    }
    kind, code, text = kinds.get(reply.status, ("server_error", None, MID_STREAM["message"]))
    body = reply.body
    if body is None:
        body = encode({"error": reply.error or {"message": text, "type": kind, "param": None, "code": code}})
    form = reply.content_type or ("text/html" if reply.body is not None else JSON)
    return web.Response(status=reply.status, body=body, headers=headers | {"Content-Type": form})


def http_date(seconds: float) -> datetime:
    """A date so many seconds from now, for Reply.retry_after."""
    return datetime.now(UTC) + timedelta(seconds=seconds)


def _shortened(reply: Reply, most: int) -> Reply:
    pieces = reply.pieces
    if len(pieces) <= most:
        return reply
    fields = {name: getattr(reply, name) for name in Reply.__dataclass_fields__}
    cut = {"text": "".join(pieces[:most]), "tokens": pieces[:most], "tool_calls": (), "finish_reason": "length"}
    return Reply(**fields | cut)


def _finish(reply: Reply) -> str:
    return reply.finish_reason or ("tool_calls" if reply.tool_calls else "stop")


def _call(call: ToolCall, number: int) -> dict:
    arguments = call.arguments if isinstance(call.arguments, str) else encode(call.arguments).decode()
    function = {"name": call.name, "arguments": arguments}
    return {"id": call.id or f"call_{number + 1}_{call.name}", "type": "function", "function": function}


def _usage(asked: dict, reply: Reply, size: int) -> dict:
    thought = math.ceil(len(reply.reasoning) / 4)
    written = len(reply.pieces) + thought + sum(len(str(c.arguments)) // 4 + 1 for c in reply.tool_calls)
    read = count_tokens(asked, size)
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "prompt_tokens_details": {"cached_tokens": min(reply.cached_tokens, read), "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": thought, "audio_tokens": 0},
    }


def _event(value: object) -> bytes:
    return b"data: %b\n\n" % encode(value)


def _events(reply: Reply, head: dict, usage: dict | None) -> list[tuple[bool, bytes]]:
    """The frames of a stream, each with whether it is a piece of the answer."""
    counting = {"usage": None} if usage else {}

    def frame(delta: dict, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _event(head | {"choices": [choice]} | counting)

    before, _, after = frame({"content": "\0"}).partition(b'"\\u0000"')
    events = [(False, frame({"role": "assistant", "content": "", "refusal": None}))]
    events += [(True, frame({"reasoning_content": piece})) for piece in re.findall(r"\s*\S+|\s+$", reply.reasoning)]
    events += [(True, before + encode(piece) + after) for piece in reply.pieces]
    for number, made in enumerate(reply.tool_calls):
        call = _call(made, number)
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        opening = call | {"index": number, "function": {"name": name, "arguments": ""}}
        events.append((True, frame({"tool_calls": [opening]})))
        for at in range(0, len(arguments), 6):
            part = {"index": number, "function": {"arguments": arguments[at : at + 6]}}
            events.append((True, frame({"tool_calls": [part]})))
    if reply.stall_after is not None or reply.cut_after is not None or reply.error_after is not None:
        least = max(n for n in (reply.stall_after, reply.cut_after, reply.error_after) if n is not None)
        spoken = sum(is_piece for is_piece, _ in events)
        events += [(True, b"")] * max(0, least + 1 - spoken)  # a fault after the last piece, before the end
        if reply.stall_after == 0:
            events.pop(0)  # never a first token: not even the opening frame
    events.append((False, frame({}, _finish(reply))))
    if usage:
        events.append((False, _event(head | {"choices": [], "usage": usage})))
    events.append((False, b"data: [DONE]\n\n"))
    return events


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
