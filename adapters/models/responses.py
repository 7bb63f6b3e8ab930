"""OpenAI's Responses: nothing is stored there, reasoning comes back encrypted and is shown again within the turn."""

import base64
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec

from adapters.models import failures
from adapters.models.exchange import Answered, Asked, Step, arguments, clean, id_of, name_of, perceived, steps, whole
from adapters.models.thoughts import Thoughts, Trace
from adapters.models.wire import Chosen
from core.messages import ModelEvent, Prompt, Reasoning, Stop, Text, ToolCall, Usage

ROOM: Final = 8192
"""Tokens that thinking may take besides a limited reply: the limit counts both."""

_encode = msgspec.json.Encoder().encode


class _Form(msgspec.Struct, frozen=True):
    """How one server wants its requests; changes when it refuses a field."""

    effort: str
    thinks: bool
    """Ask for its encrypted reasoning."""
    routed: bool = True
    """Send prompt_cache_key."""


class Responses:
    """adapters.models.wire.Wire."""

    path = "/responses"

    def __init__(self, chosen: Chosen) -> None:
        self._chosen = chosen
        self._form = _Form(chosen.effort, "reasoning" in chosen.abilities)
        self._thoughts = Thoughts()

    def ask(self, prompt: Prompt) -> tuple[bytes, "_Reply"]:
        """The body of a request, and who understands its answer."""
        form = self._form
        tools = tuple([(tool.name, tool.about, bytes(tool.schema)) for tool in prompt.tools])
        head = _head(self._chosen.model, clean(prompt.system), tools)
        trace = Trace(head)
        items: list[bytes] = []
        for step in steps(prompt):
            kept = self._thoughts.find(step.calls, trace.here()) if isinstance(step, Answered) and step.now else b""
            told = kept or b",".join([_encode(item) for item in self._items(step)])
            trace.add(told)
            items.append(told)
        parts = [head, b',"input":[', b",".join(items), b'],"stream":true,"store":false']
        if form.thinks:
            parts.append(b',"include":["reasoning.encrypted_content"]')
        if form.effort:
            parts.append(b',"reasoning":{"effort":%b}' % _encode(form.effort))
        if prompt.limit:
            parts.append(b',"max_output_tokens":%d' % max(16, prompt.limit + (ROOM if form.thinks else 0)))
        if prompt.schema is not None:
            schema = b',"text":{"format":{"type":"json_schema","name":"reply","strict":true,"schema":%b}}'
            parts.append(schema % bytes(prompt.schema))
        if form.routed and prompt.key:
            parts += [b',"prompt_cache_key":', _encode(prompt.key)]
        parts.append(b"}")
        return b"".join(parts), _Reply(self._chosen, self._thoughts, trace.here())

    def adapt(self, said: str) -> bool:
        """Learn from a refusal what this server does not take."""
        form, change = self._form, msgspec.structs.replace
        if "prompt_cache_key" in said and form.routed:
            self._form = change(form, routed=False)
        elif "encrypted" in said and self._thoughts.forget():
            return True  # of another key or account, or too old: the turn goes on without
        elif ("encrypted" in said or "'include'" in said) and form.thinks:
            self._form = change(form, thinks=False)
        elif "effort" in said and form.effort:
            self._form = change(form, effort="")
        else:
            return False
        return True

    def _items(self, step: Step) -> list[dict[str, Any]]:
        if isinstance(step, Asked):
            return [{"role": "user", "content": self._content(step)}]
        if isinstance(step, Answered):
            said = [{"role": "assistant", "content": step.text}] if step.text else []
            return [*said, *[_call(call) for call in step.calls]]
        return [{"type": "function_call_output", "call_id": id_of(c), "output": text} for c, text in step.texts]

    def _content(self, asked: Asked) -> str | list[dict[str, str]]:
        if not asked.media:
            return asked.text
        sees = "images" in self._chosen.abilities
        text, media = perceived(asked, lambda kind, _: sees and kind in _PICTURES)
        if not media:
            return text
        pictures = [
            {"type": "input_image", "image_url": f"data:{kind};base64,{base64.b64encode(data).decode()}"}
            for kind, data in media
        ]
        return [{"type": "input_text", "text": text}, *pictures] if text else pictures


_PICTURES: Final = {"image/png", "image/jpeg", "image/webp", "image/gif"}


def _call(call: ToolCall) -> dict[str, Any]:
    return {"type": "function_call", "call_id": id_of(call), "name": name_of(call), "arguments": arguments(call)}


@lru_cache(maxsize=64)
def _head(model: str, system: str, tools: tuple[tuple[str, str, bytes], ...]) -> bytes:
    """What every request of a conversation begins with, open at its end."""
    head: dict[str, Any] = {"model": model}
    if system:
        head["instructions"] = system
    if tools:
        # strict is the default here, and would forbid arguments that may be left out
        head["tools"] = [
            {"type": "function", "name": n, "description": clean(a), "parameters": msgspec.Raw(s), "strict": False}
            for n, a, s in tools
        ]
    return _encode(head)[:-1]


class _ReadDetails(msgspec.Struct, gc=False):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _Usage(msgspec.Struct, gc=False):
    input_tokens: int | None = None
    output_tokens: int | None = None
    """Those of the reasoning too."""
    input_tokens_details: _ReadDetails | None = None


class _Why(msgspec.Struct, gc=False):
    reason: str | None = None


class _Response(msgspec.Struct, gc=False):
    output: list[msgspec.Raw] | None = None
    usage: _Usage | None = None
    error: msgspec.Raw = msgspec.Raw()
    incomplete_details: _Why | None = None


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    delta: Any = None
    item: msgspec.Raw = msgspec.Raw()
    response: _Response | None = None
    error: msgspec.Raw = msgspec.Raw()


class _Item(msgspec.Struct, gc=False):
    type: str
    call_id: str = ""
    name: str = ""
    arguments: str = ""


_decode = msgspec.json.Decoder(_Event).decode
_item = msgspec.json.Decoder(_Item).decode


class _Reply:
    """adapters.models.wire.Reply."""

    __slots__ = (
        "_before",
        "_chosen",
        "_finish",
        "_items",
        "_refused",
        "_source",
        "_thoughts",
        "_usage",
        "begun",
        "done",
    )

    def __init__(self, chosen: Chosen, thoughts: Thoughts, before: bytes) -> None:
        self._chosen = chosen
        self._source = chosen.source
        self._thoughts = thoughts
        self._before = before
        self._items: list[msgspec.Raw] = []
        self._finish: Literal["end", "length", "refused"] | None = None
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
                break
            try:
                event = _decode(payload)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise failures.unreadable(self._source) from error
            kind = event.type
            if kind == "response.output_text.delta":
                text.append(event.delta)
            elif kind == "response.refusal.delta":
                self._refused = True
                text.append(event.delta)
            elif kind in {"response.reasoning_summary_text.delta", "response.reasoning_text.delta"}:
                thought.append(event.delta)
            elif kind == "response.function_call_arguments.delta":
                self.begun = True
            elif kind == "response.output_item.done":
                self._items.append(msgspec.Raw(bytes(event.item)))
            elif kind in {"response.completed", "response.incomplete"}:
                self._end(event.response or _Response(), incomplete=kind.endswith("incomplete"))
            elif kind == "response.failed":
                told = bytes(event.response.error) if event.response else b"null"
                raise failures.refused(self._source, 0, b'{"error":%b}' % told)
            elif kind == "error" or (not kind and bytes(event.error) not in {b"", b"null"}):
                raise failures.refused(self._source, 0, payload)
        events: list[ModelEvent] = []
        if thought and (joined := "".join(thought)):
            events.append(Reasoning(joined))
        if text and (joined := "".join(text)):
            events.append(Text(joined))
        self.begun = self.begun or bool(events)
        return events

    def end(self) -> list[ModelEvent]:
        """What stands at the end: calls, usage, stop. Raises ModelError where the answer broke off."""
        if self._finish is None:
            raise failures.broke(self._source)
        calls = self._calls()
        events: list[ModelEvent] = list(calls)
        if self._usage is not None:
            events.append(_counted(self._usage, self._chosen))
        if calls:
            if told := _kept(self._items):
                self._thoughts.keep(calls, self._before, told)
            events.append(Stop("tools"))
        else:
            events.append(Stop("refused" if self._refused else self._finish))
        return events

    def _end(self, response: _Response, *, incomplete: bool) -> None:
        self.done = True
        self._usage = response.usage
        self._items = self._items or list(response.output or ())
        why = response.incomplete_details.reason if incomplete and response.incomplete_details else ""
        self._finish = "refused" if why == "content_filter" else "length" if incomplete else "end"

    def _calls(self) -> list[ToolCall]:
        calls: list[ToolCall] = []
        for raw in self._items:
            try:
                item = _item(raw)
            except msgspec.DecodeError as error:
                raise failures.unreadable(self._source) from error
            if item.type == "function_call" and (self._finish != "length" or whole(item.arguments)):
                calls.append(ToolCall(item.call_id, item.name, item.arguments or "{}"))
        return calls


def _kept(items: Sequence[msgspec.Raw]) -> bytes:
    """The items as the next request shows them; empty where none of them is reasoning that can be shown again."""
    told: list[bytes] = []
    thought = False
    for raw in items:
        item: dict[str, Any] = msgspec.json.decode(raw)
        kind = item.get("type")
        if kind == "reasoning":
            thought = thought or bool(item.get("encrypted_content"))
            kept = {k: item[k] for k in ("type", "id", "summary", "encrypted_content") if item.get(k) is not None}
        elif kind in {"message", "function_call"}:  # without ids: nothing is stored that they could name
            kept = {k: v for k, v in item.items() if k not in {"id", "status"} and v is not None}
        else:
            return b""
        told.append(_encode(kept))
    return b",".join(told) if thought else b""


def _counted(usage: _Usage, chosen: Chosen) -> Usage:
    read, written = usage.input_tokens or 0, usage.output_tokens or 0
    details = usage.input_tokens_details or _ReadDetails()
    cached = min(details.cached_tokens or 0, read)
    stored = min(details.cache_write_tokens or 0, read - cached)
    return Usage(chosen.name, read, cached, written, chosen.known.cost(read, cached, written, stored))
