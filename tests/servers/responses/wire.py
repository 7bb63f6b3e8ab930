"""Responses as the model server speaks it: it streams only, and stores nothing."""

import base64
import math
import time

from aiohttp import web

from tests.servers.completions.replies import MID_STREAM, Reply, as_written, encode, failed, faulty, words
from tests.servers.completions.requests import Invalid, as_picture
from tests.servers.responses.requests import check_request, count_tokens, parts

ENDS = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Why an answer is incomplete, by the word of a Reply."""


class Responses:
    """What differs from the other protocols."""

    path = "/v1/responses"

    def __init__(self) -> None:
        self._thoughts: set[str] = set()

    def refuse(self, no: Invalid) -> dict:
        """The body of a refusal."""
        return {"error": no.error}

    def authorised(self, headers: dict[str, str], key: str | None) -> None:
        """Raise Invalid unless the key is shown."""
        if key is not None and headers.get("Authorization") != f"Bearer {key}":
            raise Invalid("Incorrect API key provided.", code="invalid_api_key", status=401)

    def check(self, asked: dict) -> None:
        """Raise Invalid for what the API would refuse."""
        check_request(asked, self._thoughts)

    def tokens(self, asked: dict, size: int) -> int:
        """How many tokens a request of so many bytes is."""
        return count_tokens(asked, size)

    def limit(self, asked: dict) -> int | None:
        """The longest reply that was asked for."""
        return asked.get("max_output_tokens")

    def effort(self, asked: dict) -> str:
        """How much the model shall think."""
        return (asked.get("reasoning") or {}).get("effort", "")

    def pictures(self, asked: dict) -> list[tuple[str, bytes]]:
        """The pictures of a request."""
        return [as_picture(part["image_url"]) for part in parts(asked) if part["type"] == "input_image"]

    def failed(self, reply: Reply) -> web.Response:
        """A failure with a status."""
        return failed(reply)

    def trouble(self, reply: Reply) -> bytes:
        """A failure inside a stream."""
        told = reply.error or MID_STREAM
        return _named({"type": "error", "sequence_number": 99, "param": None} | told | {"type": "error"})

    def whole(self, asked: dict, reply: Reply, size: int, number: int) -> web.Response:
        """Answers are streamed only."""
        raise Invalid("This server streams its responses.", param="stream")

    def events(self, asked: dict, reply: Reply, size: int, number: int) -> list[tuple[bool, bytes]]:
        """The frames of a stream, each with whether it is a piece of the answer."""
        writing = _Writing(number, asked, reply)
        head = writing.response("in_progress")
        writing.add("response.created", response=head)
        writing.add("response.in_progress", response=head)
        if reply.reasoning:
            self._think(writing, encrypted="reasoning.encrypted_content" in (asked.get("include") or []))
        if reply.text or reply.refusal or not reply.tool_calls:
            writing.message()
        for place, call in enumerate(reply.tool_calls):
            name = call.id or f"call_{number}_{place + 1}_{call.name}"
            writing.call(name, call.name, as_written(call), broken=reply.finish_reason == "length")
        faulty(reply, writing.events)
        why = ENDS.get(reply.finish_reason or "")
        kind = "incomplete" if why else "completed"
        ended = writing.response(kind) | {"output": writing.output, "usage": _usage(asked, reply, size)}
        writing.add(f"response.{kind}", response=ended | {"incomplete_details": {"reason": why} if why else None})
        return writing.events

    def _think(self, writing: "_Writing", *, encrypted: bool) -> None:
        token = base64.b64encode(f"{writing.number} {writing.reply.reasoning}".encode()).decode()
        if encrypted:
            self._thoughts.add(token)
        writing.think({"encrypted_content": token} if encrypted else {})


class _Writing:
    """A stream while it is put together."""

    def __init__(self, number: int, asked: dict, reply: Reply) -> None:
        self.number = number
        self.reply = reply
        self.events: list[tuple[bool, bytes]] = []
        self.output: list[dict] = []
        self._asked = asked

    def response(self, status: str) -> dict:
        head = {"id": f"resp_{self.number}", "object": "response", "created_at": int(time.time()), "status": status}
        told = {"error": None, "incomplete_details": None, "instructions": self._asked.get("instructions")}
        return head | told | {"model": self._asked["model"], "output": [], "store": False, "usage": None}

    def add(self, kind: str, *, spoken: bool = False, **fields: object) -> None:
        told = {"type": kind, "sequence_number": len(self.events)} | fields
        self.events.append((spoken, _named(told)))

    def think(self, more: dict) -> None:
        item = {"id": f"rs_{self.number}", "type": "reasoning", "summary": []}
        at = self._begin(item)
        if self.reply.hidden:
            self._done(at, item | more)
            return
        where = {"item_id": item["id"], "output_index": at, "summary_index": 0}
        self.add("response.reasoning_summary_part.added", **where, part={"type": "summary_text", "text": ""})
        for piece in words(self.reply.reasoning):
            self.add("response.reasoning_summary_text.delta", spoken=True, **where, delta=piece)
        summary = [{"type": "summary_text", "text": self.reply.reasoning}]
        self._done(at, item | {"summary": summary} | more)

    def message(self) -> None:
        reply = self.reply
        item = {"id": f"msg_{self.number}", "type": "message", "status": "in_progress", "role": "assistant"}
        kind, field = ("refusal", "refusal") if reply.refusal else ("output_text", "text")
        empty = {"type": kind, field: ""} | ({} if reply.refusal else {"annotations": [], "logprobs": []})
        at = self._begin(item | {"content": []})
        where = {"item_id": item["id"], "output_index": at, "content_index": 0}
        self.add("response.content_part.added", **where, part=empty)
        more = {} if reply.refusal else {"logprobs": []}
        for piece in words(reply.refusal) or reply.pieces:
            self.add(f"response.{kind}.delta", spoken=True, **where, delta=piece, **more)
        whole = reply.refusal or "".join(reply.pieces)
        self.add(f"response.{kind}.done", **where, **{field: whole})
        part = empty | {field: whole}
        self.add("response.content_part.done", **where, part=part)
        self._done(at, item | {"status": "completed", "content": [part]})

    def call(self, call: str, name: str, arguments: str, *, broken: bool) -> None:
        item = {"id": f"fc_{call}", "type": "function_call", "status": "in_progress", "call_id": call, "name": name}
        at = self._begin(item | {"arguments": ""})
        where = {"item_id": item["id"], "output_index": at}
        for place in range(0, len(arguments), 6):
            delta = arguments[place : place + 6]
            self.add("response.function_call_arguments.delta", spoken=True, **where, delta=delta)
        self.add("response.function_call_arguments.done", **where, arguments=arguments)
        self._done(at, item | {"status": "incomplete" if broken else "completed", "arguments": arguments})

    def _begin(self, item: dict) -> int:
        at = len(self.output)
        self.add("response.output_item.added", output_index=at, item=item)
        return at

    def _done(self, at: int, item: dict) -> None:
        self.output.append(item)
        self.add("response.output_item.done", output_index=at, item=item)


def _usage(asked: dict, reply: Reply, size: int) -> dict:
    thought = math.ceil(len(reply.reasoning) / 4)
    written = len(reply.pieces) + thought + sum(len(str(c.arguments)) // 4 + 1 for c in reply.tool_calls)
    read = count_tokens(asked, size)
    cached = {"cached_tokens": min(reply.cached_tokens, read), "cache_write_tokens": reply.stored_tokens}
    return {
        "input_tokens": read,
        "input_tokens_details": cached,
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": read + written,
    }


def _named(value: dict) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (value["type"].encode(), encode(value))
