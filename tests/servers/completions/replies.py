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
    reasoning: str = ""  # goes first
    hidden: bool = False  # the reasoning comes without its words: only encrypted or signed
    refusal: str = ""  # instead of the text
    finish_reason: str | None = None  # stop, tool_calls, length, content_filter; by itself the right one
    tokens_per_second: float | None = None
    first_token_delay: float = 0.0  # seconds between the headers and the first event
    cached_tokens: int = 0
    stored_tokens: int = 0  # read and put into the cache
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
        return self.tokens if self.tokens is not None else words(self.text)


def http_date(seconds: float) -> datetime:
    """A date so many seconds from now, for Reply.retry_after."""
    return datetime.now(UTC) + timedelta(seconds=seconds)


def failed(reply: Reply) -> web.Response:
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
    return as_failure(reply, {"error": reply.error or {"message": text, "type": kind, "param": None, "code": code}})


def as_failure(reply: Reply, told: dict) -> web.Response:
    """The failure that was ordered, with what the API tells of it."""
    headers = {}
    if isinstance(reply.retry_after, datetime):
        headers["Retry-After"] = format_datetime(reply.retry_after.astimezone(UTC), usegmt=True)
    elif reply.retry_after is not None:
        headers["Retry-After"] = f"{reply.retry_after:g}"
    body = encode(told) if reply.body is None else reply.body
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
    function = {"name": call.name, "arguments": as_written(call)}
    return {"id": call.id or f"call_{number + 1}_{call.name}", "type": "function", "function": function}


def as_written(call: ToolCall) -> str:
    """The arguments as the model writes them."""
    return call.arguments if isinstance(call.arguments, str) else encode(call.arguments).decode()


def count_usage(asked: dict, reply: Reply, size: int) -> dict:
    thought = math.ceil(len(reply.reasoning) / 4)
    written = len(reply.pieces) + thought + sum(len(str(c.arguments)) // 4 + 1 for c in reply.tool_calls)
    read = count_tokens(asked, size)
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "prompt_tokens_details": {
            "cached_tokens": min(reply.cached_tokens, read),
            "cache_write_tokens": reply.stored_tokens,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {"reasoning_tokens": thought, "audio_tokens": 0},
    }


def faulty(reply: Reply, events: list[tuple[bool, bytes]]) -> None:
    """Make room for a fault after the last piece, before the end, or before the first event."""
    faults = [n for n in (reply.stall_after, reply.cut_after, reply.error_after) if n is not None]
    if faults:
        spoken = sum(is_piece for is_piece, _ in events)
        events += [(True, b"")] * max(0, max(faults) + 1 - spoken)
        if reply.stall_after == 0:
            events.pop(0)  # never a first token: not even the opening frame


def words(text: str) -> list[str]:
    """A text as tokens."""
    return re.findall(r"\s*\S+|\s+$", text)


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
    events += [(True, frame({"reasoning_content": piece})) for piece in words(reply.reasoning)]
    events += [(True, frame({"refusal": piece})) for piece in words(reply.refusal)]
    events += [(True, before + encode(piece) + after) for piece in reply.pieces]
    for number, made in enumerate(reply.tool_calls):
        call = as_call(made, number)
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        opening = call | {"index": number, "function": {"name": name, "arguments": ""}}
        events.append((True, frame({"tool_calls": [opening]})))
        for at in range(0, len(arguments), 6):
            part = {"index": number, "function": {"arguments": arguments[at : at + 6]}}
            events.append((True, frame({"tool_calls": [part]})))
    faulty(reply, events)
    events.append((False, frame({}, finish(reply))))
    if usage:
        events.append((False, as_event(head | {"choices": [], "usage": usage})))
    events.append((False, b"data: [DONE]\n\n"))
    return events
