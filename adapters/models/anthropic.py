"""Anthropic's Messages: tools side by side, signed thinking within a turn, and marks up to where the provider shall cache."""

import base64
import re
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec

from adapters.models import failures
from adapters.models.exchange import (
    Answered,
    Asked,
    Results,
    Step,
    arguments,
    clean,
    id_of,
    name_of,
    perceived,
    steps,
    whole,
)
from adapters.models.thoughts import Thoughts, Trace
from adapters.models.wire import Chosen
from core.messages import ModelEvent, Prompt, Reasoning, Stop, Text, ToolCall, Usage

LONGEST: Final = 8192
"""Tokens of a reply by a model of which the catalogue does not tell: each request must name a number."""
ROOM: Final = 8192
"""Tokens that thinking may take besides a limited reply: the limit counts both."""
LARGEST: Final = 5 * 10**6
"""Bytes of a picture in base64."""
BUDGETS: Final = {"low": 2048, "medium": 8192, "high": 24_576}
"""Tokens that a model thinks which counts them."""
BEFORE: Final = "[What was said before is left out.]"
ON: Final = "Go on."

_PICTURES: Final = {"image/png", "image/jpeg", "image/webp", "image/gif"}
_encode = msgspec.json.Encoder().encode


class Messages:
    """adapters.models.wire.Wire."""

    path = "/messages"

    def __init__(self, chosen: Chosen) -> None:
        known = chosen.known
        self._chosen = chosen
        self._effort = chosen.effort
        self._thinks = "reasoning" in chosen.abilities and (known.thinking == "adaptive" or bool(chosen.effort))
        self._longest = min(known.longest or LONGEST, chosen.window // 4)
        self._thoughts = Thoughts()

    def ask(self, prompt: Prompt) -> tuple[bytes, "_Reply"]:
        """The body of a request, and who understands its answer."""
        found = steps(prompt)
        offered = tuple([(tool.name, tool.about, bytes(tool.schema)) for tool in prompt.tools])
        head = _head(self._chosen.model, clean(prompt.system), offered, () if offered else _called(found))
        trace = Trace(head)
        said: list[tuple[str, list[bytes]]] = []
        whole_turn = True
        for step in found:
            kept = self._thoughts.find(step.calls, trace.here()) if isinstance(step, Answered) and step.now else b""
            whole_turn = whole_turn and (bool(kept) or not (isinstance(step, Answered) and step.now and step.calls))
            blocks = [kept] if kept else self._blocks(step)
            if isinstance(step, Asked) and step.now and said:
                _mark(said)
            for block in blocks:
                trace.add(block)
            _say(said, "assistant" if isinstance(step, Answered) else "user", blocks)
        if said and said[-1][0] == "user" and isinstance(found[-1], Results):
            _mark(said)
        if not said or said[-1][0] == "assistant":
            _say(said, "user", [_text(ON)])
        messages = b",".join([b'{"role":"%b","content":[%b]}' % (r.encode(), b",".join(b)) for r, b in said])
        most = self._most(prompt.limit)
        parts = [head, b',"messages":[', messages, b'],"max_tokens":%d,"stream":true' % most]
        if thinking := self._thinking(most, whole_turn=whole_turn):
            parts.append(b',"thinking":' + _encode(thinking))
        if output := self._output(prompt):
            parts.append(b',"output_config":' + _encode(output))
        parts.append(b"}")
        return b"".join(parts), _Reply(self._chosen, self._thoughts, trace.here())

    def adapt(self, said: str) -> bool:
        """Learn from a refusal what this model does not take."""
        if (told := _FEWER.search(said)) and 0 < int(told[1]) < self._longest:
            self._longest = int(told[1])
        elif "thinking" in said and self._thoughts.forget():
            return True  # what they were thought about has changed since: the turn goes on without
        elif self._effort and any(word in said for word in ("effort", "output_config", "thinking")):
            self._effort = ""
        else:
            return False
        return True

    def _most(self, limit: int) -> int:
        return min(self._longest, limit + (ROOM if self._thinks else 0)) if limit else self._longest

    def _thinking(self, most: int, *, whole_turn: bool) -> dict[str, Any] | None:
        """How it shall think, None where that is the provider's default.

        A model that counts its thinking must find it before each call of the turn, or not think at all.
        """
        known = self._chosen.known
        if self._effort == "none":
            return {"type": known.off}
        if known.thinking == "budget":
            budget = BUDGETS.get(self._effort, 0)
            return {"type": "enabled", "budget_tokens": budget} if whole_turn and 0 < budget < most else None
        return {"type": "adaptive"} if self._effort in known.efforts else None

    def _output(self, prompt: Prompt) -> dict[str, Any]:
        output: dict[str, Any] = {}
        if self._effort not in {"", "none"} and self._chosen.known.thinking != "budget":
            output["effort"] = self._effort
        if prompt.schema is not None and "schema" in self._chosen.abilities:
            output["format"] = {"type": "json_schema", "schema": prompt.schema}
        return output

    def _blocks(self, step: Step) -> list[bytes]:
        if isinstance(step, Answered):
            spoken = [_text(step.text)] if step.text.strip() else []
            return spoken + [_used(id_of(c), name_of(c), arguments(c)) for c in step.calls]
        if isinstance(step, Results):
            return [
                _encode({"type": "tool_result", "tool_use_id": id_of(c)} | ({"content": text} if text.strip() else {}))
                for c, text in step.texts
            ]
        sees = "images" in self._chosen.abilities
        text, media = perceived(step, lambda kind, data: sees and kind in _PICTURES and len(data) * 4 < LARGEST * 3)
        pictures = [
            _encode(
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": kind, "data": base64.b64encode(data).decode()},
                }
            )
            for kind, data in media
        ]
        return [*pictures, _text(text)] if text.strip() else pictures


def _say(said: list[tuple[str, list[bytes]]], role: str, blocks: list[bytes]) -> None:
    """Roles take turns, a person begins, and nothing empty is said."""
    if not blocks:
        return
    if not said and role == "assistant":
        said.append(("user", [_text(BEFORE)]))
    if said and said[-1][0] == role:
        said[-1][1].extend(blocks)
    else:
        said.append((role, list(blocks)))


def _mark(said: list[tuple[str, list[bytes]]]) -> None:
    """Let the provider cache up to here."""
    blocks = said[-1][1]
    blocks[-1] = blocks[-1][:-1] + b"," + _CACHE + b"}"


def _text(text: str) -> bytes:
    return _encode({"type": "text", "text": text})


def _used(call: str, name: str, told: str) -> bytes:
    return _encode({"type": "tool_use", "id": call, "name": name, "input": msgspec.Raw(told.encode())})


def _called(found: list[Step]) -> tuple[str, ...]:
    """The tools that the history calls: they must be there even if none may be called now."""
    return tuple(dict.fromkeys([name_of(c) for step in found if isinstance(step, Answered) for c in step.calls]))


_CACHE: Final = b'"cache_control":{"type":"ephemeral"}'
_FEWER: Final = re.compile(r"max_tokens: \d+ > (\d{1,9})")


@lru_cache(maxsize=64)
def _head(model: str, system: str, offered: tuple[tuple[str, str, bytes], ...], called: tuple[str, ...]) -> bytes:
    """What every request of a conversation begins with, each part marked for the cache; open at its end."""
    cache = {"cache_control": {"type": "ephemeral"}}
    tools: list[dict[str, Any]] = [
        {"name": name, "description": clean(about), "input_schema": msgspec.Raw(schema)}
        for name, about, schema in offered
    ] or [{"name": name, "input_schema": {"type": "object"}} for name in called]
    head: dict[str, Any] = {"model": model}
    if tools:
        tools[-1] |= cache
        head["tools"] = tools
    if called:
        head["tool_choice"] = {"type": "none"}
    if system.strip():
        head["system"] = [{"type": "text", "text": system} | cache]
    return _encode(head)[:-1]


class _Counts(msgspec.Struct, gc=False):
    input_tokens: int | None = None
    """Those that were neither in the cache nor went there."""
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    output_tokens: int | None = None


class _Message(msgspec.Struct, gc=False):
    usage: _Counts | None = None


class _Block(msgspec.Struct, gc=False):
    type: str
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.Raw()


class _Details(msgspec.Struct, gc=False):
    explanation: str | None = None


class _Delta(msgspec.Struct, gc=False):
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    stop_reason: str | None = None
    stop_details: _Details | None = None


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    index: int = 0
    delta: _Delta | None = None
    content_block: _Block | None = None
    message: _Message | None = None
    usage: _Counts | None = None
    error: msgspec.Raw = msgspec.Raw()


_decode = msgspec.json.Decoder(_Event).decode

_STOPS: Final[dict[str, Literal["end", "tools", "length", "refused"]]] = {
    "end_turn": "end",
    "stop_sequence": "end",
    "tool_use": "tools",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "length",  # only the provider's own tools pause a turn, and none is asked for
    "refusal": "refused",
}


class _Part:
    """A block of the answer while it is being written."""

    __slots__ = ("block", "pieces", "signature")

    def __init__(self, block: _Block) -> None:
        self.block = block
        self.pieces: list[str] = []
        self.signature = block.signature or ""

    def told(self) -> str:
        return "".join(self.pieces)

    def arguments(self) -> str:
        begun = bytes(self.block.input).decode()
        return self.told() or (begun if whole(begun) else "{}")

    def again(self) -> bytes:
        """As the next request of the turn shows it."""
        block = self.block
        if block.type == "thinking":
            return _encode({"type": "thinking", "thinking": self.told(), "signature": self.signature})
        if block.type == "redacted_thinking":
            return _encode({"type": "redacted_thinking", "data": block.data or ""})
        if block.type == "tool_use":
            told = self.arguments()
            return _used(block.id, block.name, told if whole(told) else "{}")
        return _text(self.told()) if block.type == "text" and self.told().strip() else b""


class _Reply:
    """adapters.models.wire.Reply."""

    __slots__ = ("_before", "_chosen", "_counts", "_finish", "_parts", "_source", "_thoughts", "_why", "begun", "done")

    def __init__(self, chosen: Chosen, thoughts: Thoughts, before: bytes) -> None:
        self._chosen = chosen
        self._source = chosen.source
        self._thoughts = thoughts
        self._before = before
        self._parts: dict[int, _Part] = {}
        self._counts = _Counts()
        self._finish: str | None = None
        self._why = ""
        self.begun = False
        self.done = False

    def read(self, payloads: list[bytes]) -> list[ModelEvent]:
        """What the events of one read say, joined. Raises ModelError."""
        text: list[str] = []
        thought: list[str] = []
        for payload in payloads:
            try:
                event = _decode(payload)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise failures.unreadable(self._source) from error
            if event.type == "content_block_delta" and event.delta is not None:
                delta, part = event.delta, self._parts.get(event.index)
                if more := delta.text:
                    text.append(more)
                elif more := delta.thinking:
                    thought.append(more)
                else:
                    more = delta.partial_json
                    self.begun = self.begun or bool(more)
                if part is not None:
                    if more:
                        part.pieces.append(more)
                    part.signature += delta.signature or ""
            elif event.type == "content_block_start" and event.content_block is not None:
                self._parts[event.index] = part = _Part(event.content_block)
                if more := part.block.text or part.block.thinking:
                    part.pieces.append(more)
                    (text if part.block.text else thought).append(more)
            elif event.type == "message_start" and event.message is not None:
                self._count(event.message.usage)
            elif event.type == "message_delta":
                self._count(event.usage)
                if event.delta is not None:
                    self._finish = event.delta.stop_reason or self._finish
                    self._why = (event.delta.stop_details and event.delta.stop_details.explanation) or ""
            elif event.type == "message_stop":
                self.done = True
                break
            elif event.type == "error" or (not event.type and bytes(event.error) not in {b"", b"null"}):
                raise failures.refused(self._source, 0, payload)
        events: list[ModelEvent] = []
        if thought:
            events.append(Reasoning("".join(thought)))
        if text:
            events.append(Text("".join(text)))
        self.begun = self.begun or bool(events)
        return events

    def end(self) -> list[ModelEvent]:
        """What stands at the end: calls, usage, stop. Raises ModelError where the answer broke off."""
        if self._finish is None:
            raise failures.broke(self._source)
        reason = _STOPS.get(self._finish, "end")
        parts = [part for _, part in sorted(self._parts.items())]
        calls = [
            ToolCall(p.block.id, p.block.name, p.arguments())
            for p in parts
            if p.block.type == "tool_use" and reason != "refused" and (reason != "length" or whole(p.arguments()))
        ]
        events: list[ModelEvent] = []
        if reason == "refused" and self._why and not any(p.block.type == "text" and p.pieces for p in parts):
            events.append(Text(self._why))
        events += [*calls, _counted(self._counts, self._chosen)]
        if calls:
            if any(p.signature or p.block.data for p in parts):
                self._thoughts.keep(calls, self._before, b",".join([told for p in parts if (told := p.again())]))
            reason = "tools"
        elif reason == "tools":
            reason = "end"
        return [*events, Stop(reason)]

    def _count(self, counts: _Counts | None) -> None:
        """Counts are of the whole answer so far; what a later event does not name stays."""
        for name in _Counts.__struct_fields__:
            if counts is not None and (told := getattr(counts, name)) is not None:
                setattr(self._counts, name, told)


def _counted(counts: _Counts, chosen: Chosen) -> Usage:
    cached, stored = counts.cache_read_input_tokens or 0, counts.cache_creation_input_tokens or 0
    read, written = (counts.input_tokens or 0) + cached + stored, counts.output_tokens or 0
    return Usage(chosen.name, read, cached, written, chosen.known.cost(read, cached, written, stored))
