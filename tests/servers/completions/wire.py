"""Chat Completions as the model server speaks it."""

import time

from aiohttp import web

from tests.servers.completions.replies import (
    JSON,
    MID_STREAM,
    Reply,
    as_call,
    as_event,
    as_events,
    count_usage,
    encode,
    failed,
    finish,
)
from tests.servers.completions.requests import Invalid, check_request, count_tokens, pictures


class Completions:
    """What differs from the other protocols."""

    path = "/v1/chat/completions"

    def refuse(self, no: Invalid) -> dict:
        """The body of a refusal."""
        return {"error": no.error}

    def authorised(self, headers: dict[str, str], key: str | None) -> None:
        """Raise Invalid unless the key is shown."""
        if key is not None and headers.get("Authorization") != f"Bearer {key}":
            raise Invalid("Incorrect API key provided.", code="invalid_api_key", status=401)

    def check(self, asked: dict) -> None:
        """Raise Invalid for what the API would refuse."""
        check_request(asked)

    def tokens(self, asked: dict, size: int) -> int:
        """How many tokens a request of so many bytes is."""
        return count_tokens(asked, size)

    def limit(self, asked: dict) -> int | None:
        """The longest reply that was asked for."""
        return asked.get("max_completion_tokens") or asked.get("max_tokens")

    def effort(self, asked: dict) -> str:
        """How much the model shall think."""
        return asked.get("reasoning_effort", "")

    def pictures(self, asked: dict) -> list[tuple[str, bytes]]:
        """The pictures of a request."""
        return pictures(asked)

    def failed(self, reply: Reply) -> web.Response:
        """A failure with a status."""
        return failed(reply)

    def trouble(self, reply: Reply) -> bytes:
        """A failure inside a stream."""
        return as_event({"error": reply.error or MID_STREAM})

    def events(self, asked: dict, reply: Reply, size: int, number: int) -> list[tuple[bool, bytes]]:
        """The frames of a stream, each with whether it is a piece of the answer."""
        counted = (asked.get("stream_options") or {}).get("include_usage")
        head = self._head(asked, number) | {"object": "chat.completion.chunk"}
        return as_events(reply, head, count_usage(asked, reply, size) if counted else None)

    def whole(self, asked: dict, reply: Reply, size: int, number: int) -> web.Response:
        """An answer that is not streamed."""
        if reply.error_after is not None:
            return web.json_response({"error": reply.error or MID_STREAM})
        message: dict = {"role": "assistant", "content": reply.text or None if reply.tool_calls else reply.text}
        if reply.tool_calls:
            message["tool_calls"] = [as_call(call, n) for n, call in enumerate(reply.tool_calls)]
        if reply.reasoning:
            message["reasoning_content"] = reply.reasoning
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish(reply)}
        told = self._head(asked, number) | {"usage": count_usage(asked, reply, size), "choices": [choice]}
        return web.Response(body=encode(told), content_type=reply.content_type or JSON)

    def _head(self, asked: dict, number: int) -> dict:
        head = {"id": f"chatcmpl-{number}", "object": "chat.completion"}
        return head | {"created": int(time.time()), "model": asked["model"]}
