"""What Chat Completions answers: a reply with its faults, its events in a stream, its usage, its errors."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import msgspec
from aiohttp import web

from tests.servers.completions.requests import count_tokens

JSON = "application/json"
encode = msgspec.json.encode


MID_STREAM = {"message": "The server had an error while processing your request.", "type": "server_error", "code": None}


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


def http_date(seconds: float) -> datetime:
    """A date so many seconds from now, for Reply.retry_after."""
    return datetime.now(UTC) + timedelta(seconds=seconds)


def failed(reply: Reply) -> web.Response:
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


def shortened(reply: Reply, most: int) -> Reply:
    pieces = reply.pieces
    if len(pieces) <= most:
        return reply
    fields = {name: getattr(reply, name) for name in Reply.__dataclass_fields__}
    cut = {"text": "".join(pieces[:most]), "tokens": pieces[:most], "tool_calls": (), "finish_reason": "length"}
    return Reply(**fields | cut)


def finish(reply: Reply) -> str:
    return reply.finish_reason or ("tool_calls" if reply.tool_calls else "stop")


def as_call(call: ToolCall, number: int) -> dict:
    arguments = call.arguments if isinstance(call.arguments, str) else encode(call.arguments).decode()
    function = {"name": call.name, "arguments": arguments}
    return {"id": call.id or f"call_{number + 1}_{call.name}", "type": "function", "function": function}


def count_usage(asked: dict, reply: Reply, size: int) -> dict:
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


def as_event(value: object) -> bytes:
    return b"data: %b\n\n" % encode(value)


def as_events(reply: Reply, head: dict, usage: dict | None) -> list[tuple[bool, bytes]]:
    """The frames of a stream, each with whether it is a piece of the answer."""
    counting = {"usage": None} if usage else {}

    def frame(delta: dict, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return as_event(head | {"choices": [choice]} | counting)

    before, _, after = frame({"content": "\0"}).partition(b'"\\u0000"')
    events = [(False, frame({"role": "assistant", "content": "", "refusal": None}))]
    events += [(True, frame({"reasoning_content": piece})) for piece in re.findall(r"\s*\S+|\s+$", reply.reasoning)]
    events += [(True, before + encode(piece) + after) for piece in reply.pieces]
    for number, made in enumerate(reply.tool_calls):
        call = as_call(made, number)
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
    events.append((False, frame({}, finish(reply))))
    if usage:
        events.append((False, as_event(head | {"choices": [], "usage": usage})))
    events.append((False, b"data: [DONE]\n\n"))
    return events
