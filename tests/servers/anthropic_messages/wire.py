"""Anthropic's Messages as the model server speaks it: it streams only, signs what it thinks, and knows its own thoughts again."""

import base64
import hashlib
import math

from aiohttp import web

from tests.servers.anthropic_messages.requests import KINDS, Model, blocks, check_request, count_tokens, prefix
from tests.servers.completions.replies import Reply, as_failure, as_written, encode, faulty, words
from tests.servers.completions.requests import Invalid

STOPS = {"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens", "content_filter": "refusal"}
"""Why an answer stops, by the word of a Reply; others are sent as they are."""
OVERLOADED = {"type": "overloaded_error", "message": "Overloaded"}
FAILURES = {
    400: {"type": "invalid_request_error", "message": "Invalid request."},
    401: {"type": "authentication_error", "message": "invalid x-api-key"},
    403: {"type": "permission_error", "message": "Your API key does not have permission to use this resource."},
    429: {"type": "rate_limit_error", "message": "This request would exceed your organization's rate limit."},
    529: OVERLOADED,
}


class Messages:
    """What differs from the other protocols."""

    path = "/v1/messages"

    def __init__(self) -> None:
        self._thoughts: dict[str, tuple[str, bytes]] = {}  # by signature: what was thought, and after what

    def refuse(self, no: Invalid) -> dict:
        """The body of a refusal."""
        message = str(no)
        if no.error["code"] == "context_length_exceeded":
            message = "prompt is too long: 200001 tokens > 200000 maximum"
        if no.error["code"] == "model_not_found":
            message = f"model: {message.split('`')[1]}"
        return {"type": "error", "error": {"type": KINDS.get(no.status, "invalid_request_error"), "message": message}}

    def authorised(self, headers: dict[str, str], key: str | None) -> None:
        """Raise Invalid unless the key and the version are shown."""
        named = {name.lower(): value for name, value in headers.items()}
        if key is not None and named.get("x-api-key") != key:
            raise Invalid("invalid x-api-key" if "x-api-key" in named else "x-api-key header is required", status=401)
        if named.get("anthropic-version") != "2023-06-01":
            raise Invalid("anthropic-version: header is required")

    def check(self, asked: dict) -> None:
        """Raise Invalid for what the API would refuse."""
        check_request(asked, self._thoughts)

    def tokens(self, asked: dict, size: int) -> int:
        """How many tokens a request of so many bytes is."""
        return count_tokens(asked, size)

    def limit(self, asked: dict) -> int | None:
        """The longest reply that was asked for."""
        return asked.get("max_tokens")

    def effort(self, asked: dict) -> str:
        """How much the model shall think."""
        thinking = asked.get("thinking") or {}
        told = (asked.get("output_config") or {}).get("effort", "")
        return told or str(thinking.get("budget_tokens") or thinking.get("type") or "")

    def pictures(self, asked: dict) -> list[tuple[str, bytes]]:
        """The pictures of a request."""
        sources = [b["source"] for m in asked["messages"] for b in blocks(m) if b["type"] == "image"]
        return [(source["media_type"], base64.b64decode(source["data"])) for source in sources]

    def failed(self, reply: Reply) -> web.Response:
        """A failure with a status."""
        told = FAILURES.get(reply.status, {"type": "api_error", "message": "Internal server error"})
        return as_failure(reply, {"type": "error", "error": reply.error or told, "request_id": "req_1"})

    def trouble(self, reply: Reply) -> bytes:
        """A failure inside a stream."""
        return _named({"type": "error", "error": reply.error or OVERLOADED})

    def whole(self, asked: dict, reply: Reply, size: int, number: int) -> web.Response:
        """Answers are streamed only."""
        raise Invalid("stream: this server streams its messages")

    def events(self, asked: dict, reply: Reply, size: int, number: int) -> list[tuple[bool, bytes]]:
        """The frames of a stream, each with whether it is a piece of the answer."""
        writing = _Writing()
        writing.add({"type": "message_start", "message": _opened(asked, reply, size, number)})
        writing.add({"type": "ping"})
        if reply.reasoning and Model(asked["model"]).thinks(asked):
            before = prefix(asked, asked["messages"])
            signature = base64.b64encode(hashlib.sha256(before + reply.reasoning.encode()).digest()).decode()
            thought = "" if reply.hidden else reply.reasoning
            self._thoughts[signature] = (thought, before)
            pieces = [{"type": "thinking_delta", "thinking": piece} for piece in words(thought)]
            block = {"type": "thinking", "thinking": "", "signature": ""}
            writing.block(block, pieces, [{"type": "signature_delta", "signature": signature}])
            if reply.hidden:
                writing.block({"type": "redacted_thinking", "data": signature}, [])
        if said := list(words(reply.refusal) or reply.pieces):
            writing.block({"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in said])
        for place, call in enumerate(reply.tool_calls):
            told = as_written(call)
            made = {"type": "tool_use", "id": call.id or f"toolu_{number}_{place + 1}", "name": call.name, "input": {}}
            cut = ["", *[told[at : at + 6] for at in range(0, len(told), 6)]]
            writing.block(made, [{"type": "input_json_delta", "partial_json": piece} for piece in cut])
        faulty(reply, writing.events)
        stopped = {"stop_reason": _stop(reply), "stop_sequence": None}
        if stopped["stop_reason"] == "refusal":
            stopped["stop_details"] = {"type": "refusal", "category": None, "explanation": "This was declined."}
        writing.add({"type": "message_delta", "delta": stopped, "usage": {"output_tokens": _written(reply)}})
        writing.add({"type": "message_stop"})
        return writing.events


class _Writing:
    """A stream while it is put together."""

    def __init__(self) -> None:
        self.events: list[tuple[bool, bytes]] = []
        self._index = 0

    def add(self, event: dict, *, spoken: bool = False) -> None:
        self.events.append((spoken, _named(event)))

    def block(self, opening: dict, deltas: list[dict], ends: list[dict] = ()) -> None:
        self.add({"type": "content_block_start", "index": self._index, "content_block": opening})
        for delta in deltas:
            self.add({"type": "content_block_delta", "index": self._index, "delta": delta}, spoken=True)
        for delta in ends:
            self.add({"type": "content_block_delta", "index": self._index, "delta": delta})
        self.add({"type": "content_block_stop", "index": self._index})
        self._index += 1


def _opened(asked: dict, reply: Reply, size: int, number: int) -> dict:
    read = count_tokens(asked, size)
    cached = min(reply.cached_tokens, read)
    usage = {
        "input_tokens": max(0, read - cached - reply.stored_tokens),
        "cache_read_input_tokens": cached,
        "cache_creation_input_tokens": reply.stored_tokens,
        "output_tokens": 1,
    }
    head = {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": asked["model"], "content": []}
    return head | {"stop_reason": None, "stop_sequence": None, "usage": usage}


def _stop(reply: Reply) -> str:
    if reply.finish_reason:
        return STOPS.get(reply.finish_reason, reply.finish_reason)
    return "refusal" if reply.refusal else "tool_use" if reply.tool_calls else "end_turn"


def _written(reply: Reply) -> int:
    thought = math.ceil(len(reply.reasoning) / 4)
    return len(reply.pieces) + thought + sum(len(str(c.arguments)) // 4 + 1 for c in reply.tool_calls)


def _named(value: dict) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (value["type"].encode(), encode(value))
