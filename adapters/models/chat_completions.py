"""Chat Completions: OpenAI, everything compatible with it, and the model servers of one's own machine. What is sent is made in
body.py; here is what comes back.
"""

import secrets
from typing import Final, Literal

import msgspec

from adapters.models import body, failures
from adapters.models.exchange import whole
from adapters.models.wire import Chosen
from core.messages import ModelEvent, Prompt, Reasoning, Stop, Text, ToolCall, Usage


class ChatCompletions:
    """adapters.models.wire.Wire."""

    path = "/chat/completions"

    def __init__(self, chosen: Chosen) -> None:
        provider = chosen.provider
        self._chosen = chosen
        self._form = body.Form(
            chosen.model,
            limit=provider.limit,
            routed=provider.routed,
            effort=chosen.effort,
            short_ids=provider.short_ids,
            images="images" in chosen.abilities,
            audio="audio" in chosen.abilities,
        )

    def ask(self, prompt: Prompt) -> tuple[bytes, "_Reply"]:
        """The body of a request, and who understands its answer."""
        return body.encode(prompt, self._form), _Reply(self._chosen)

    def adapt(self, said: str) -> bool:
        """Learn from a refusal which fields this server takes."""
        form, change = self._form, msgspec.structs.replace
        if "stream_options" in said and form.counted:
            self._form = change(form, counted=False)
        elif "prompt_cache_key" in said and form.routed:
            self._form = change(form, routed=False)
        elif "reasoning_effort" in said and not form.thoughtless and ("tool" in said or not form.effort):
            self._form = change(form, thoughtless=True)
        elif "effort" in said and form.effort:
            self._form = change(form, effort="")
        elif "max_completion_tokens" in said and "max_tokens" not in said and form.limit != "max_tokens":
            self._form = change(form, limit="max_tokens")
        elif "max_tokens" in said and "max_completion_tokens" in said and form.limit == "max_tokens":
            self._form = change(form, limit="max_completion_tokens")
        else:
            return False
        return True


class _Piece(msgspec.Struct, gc=False):
    text: str | None = None
    thinking: list["_Piece"] | str | None = None


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: msgspec.Raw = msgspec.Raw()


class _Call(msgspec.Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct, gc=False):
    content: str | list[_Piece] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | None = None
    message: _Delta | None = None
    """Instead of `delta`, from a server that does not stream."""
    finish_reason: str | None = None


class _Details(msgspec.Struct, gc=False):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    prompt_cache_hit_tokens: int | None = None
    cost: float | None = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: msgspec.Raw = msgspec.Raw()


_decode = msgspec.json.Decoder(_Chunk).decode

_STOPS: Final[dict[str, Literal["end", "tools", "length", "refused"]]] = {
    "stop": "end",
    "tool_calls": "tools",
    "function_call": "tools",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "content_filter": "refused",
    "refusal": "refused",
    "safety": "refused",
}


class _Asked:
    """A tool call while it is being written."""

    __slots__ = ("arguments", "id", "index", "name")

    def __init__(self, index: int | None, call: str, name: str) -> None:
        self.index = index
        self.id = call
        self.name = name
        self.arguments: list[str] = []


class _Reply:
    """adapters.models.wire.Reply."""

    __slots__ = ("_calls", "_chosen", "_finish", "_refused", "_source", "_usage", "begun", "done")

    def __init__(self, chosen: Chosen) -> None:
        self._chosen = chosen
        self._source = chosen.source
        self._calls: list[_Asked] = []
        self._finish: str | None = None
        self._refused = False
        self._usage: _Usage | None = None
        self.begun = False
        self.done = False

    def read(self, payloads: list[bytes]) -> list[ModelEvent]:
        """What the events of one read say, joined. Raises ModelError."""
        text: list[str] = []
        thought: list[str] = []
        for payload in payloads:
            if payload == b"[DONE]":
                self.done = True
                break
            try:
                chunk = _decode(payload)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise failures.unreadable(self._source) from error
            if chunk.usage is not None:
                self._usage = chunk.usage
            if chunk.choices:
                choice = chunk.choices[0]
                if choice.finish_reason:
                    self._finish = choice.finish_reason
                delta = choice.delta or choice.message
                if delta is not None:
                    content = delta.content
                    if isinstance(content, list):
                        _pieces(content, text, thought)
                    elif content:
                        text.append(content)
                    if more := delta.reasoning_content or delta.reasoning:
                        thought.append(more)
                    if delta.tool_calls:
                        self._assemble(delta.tool_calls)
                    if delta.refusal:
                        self._refused = True
                        text.append(delta.refusal)
            elif bytes(chunk.error) not in {b"", b"null"}:
                raise failures.refused(self._source, 0, b'{"error":%b}' % bytes(chunk.error))
        events: list[ModelEvent] = []
        if thought and (joined := "".join(thought)):
            events.append(Reasoning(joined))
        if text and (joined := "".join(text)):
            events.append(Text(joined))
        self.begun = self.begun or bool(events) or bool(self._calls)
        return events

    def end(self) -> list[ModelEvent]:
        """What stands at the end: calls, usage, stop. Raises ModelError where the answer broke off."""
        if self._finish is None and not self.done:
            raise failures.broke(self._source)
        if self._finish == "error":
            raise failures.refused(self._source, 502, b"")
        reason = _STOPS.get(self._finish or "stop", "end")
        calls = [
            ToolCall(c.id or f"call_{secrets.token_hex(6)}", c.name, "".join(c.arguments) or "{}")
            for c in self._calls
            if c.name and (reason != "length" or whole("".join(c.arguments)))
        ]
        events: list[ModelEvent] = list(calls)
        if self._usage is not None:
            events.append(_counted(self._usage, self._chosen))
        if calls:
            reason = "tools"
        elif reason == "tools":
            reason = "end"
        events.append(Stop("refused" if self._refused else reason))
        return events

    def _assemble(self, parts: list[_Call]) -> None:
        for part in parts:
            name = (part.function.name if part.function else None) or ""
            call = self._which(part, name)
            call.id = call.id or part.id or ""
            call.name = call.name or name
            if part.function and (raw := bytes(part.function.arguments)) and raw != b"null":
                # arguments come as JSON in a string; from some servers as the object itself
                call.arguments.append(msgspec.json.decode(raw, type=str) if raw.startswith(b'"') else raw.decode())

    def _which(self, part: _Call, name: str) -> _Asked:
        """The call that this part belongs to.

        By index; some servers send none, or the same for all: then a new id begins a new call, and so does a name.
        """
        for call in reversed(self._calls):
            same = call.index == part.index
            if part.id and call.id:
                if part.id == call.id and same:
                    return call
            elif same and not (part.index is None and name and call.arguments):
                return call
        started = _Asked(part.index, part.id or "", "")
        self._calls.append(started)
        return started


def _pieces(pieces: list[_Piece], text: list[str], thought: list[str]) -> None:
    for piece in pieces:
        if piece.text:
            text.append(piece.text)
        if isinstance(piece.thinking, str):
            thought.append(piece.thinking)
        elif piece.thinking:
            thought += [inner.text for inner in piece.thinking if inner.text]


def _counted(usage: _Usage, chosen: Chosen) -> Usage:
    read, written = usage.prompt_tokens or 0, usage.completion_tokens or 0
    if usage.total_tokens and usage.total_tokens > read + written:
        written = usage.total_tokens - read  # some count the thinking in the total only
    details = usage.prompt_tokens_details or _Details()
    cached = min(details.cached_tokens or usage.prompt_cache_hit_tokens or 0, read)
    stored = min(details.cache_write_tokens or 0, read - cached)
    cost = usage.cost if usage.cost is not None else chosen.known.cost(read, cached, written, stored)
    return Usage(chosen.name, read, cached, written, cost)
