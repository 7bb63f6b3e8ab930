"""A Prompt as the body of a Chat Completions request, pure.

What is stable stands first and is byte-identical from turn to turn, so that a provider's prefix cache hits; instructions
and tools are encoded once, not each turn.
"""

import base64
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal

import msgspec

from adapters.models.exchange import Answered, Asked, arguments, clean, digest, name_of, perceived, steps
from core.messages import Prompt, ToolSpec

_SOUNDS = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/wave": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}


class _Text(msgspec.Struct, tag="text", tag_field="type"):
    text: str


class _Url(msgspec.Struct):
    url: str


class _Picture(msgspec.Struct, tag="image_url", tag_field="type"):
    image_url: _Url


class _Sound(msgspec.Struct):
    data: str
    format: str


class _Audio(msgspec.Struct, tag="input_audio", tag_field="type"):
    input_audio: _Sound


_Part = _Text | _Picture | _Audio


class _System(msgspec.Struct, tag="system", tag_field="role"):
    content: str


class _User(msgspec.Struct, tag="user", tag_field="role"):
    content: str | Sequence[_Part]


class _Function(msgspec.Struct):
    name: str
    arguments: str


class _Call(msgspec.Struct):
    id: str
    function: _Function
    type: Literal["function"] = "function"


class _Assistant(msgspec.Struct, tag="assistant", tag_field="role", omit_defaults=True):
    content: str | None
    tool_calls: list[_Call] = []


class _Result(msgspec.Struct, tag="tool", tag_field="role"):
    tool_call_id: str
    content: str


_Line = _User | _Assistant | _Result
_encode = msgspec.json.Encoder().encode


class Form(msgspec.Struct, frozen=True):
    """How one server wants its requests; changes when it refuses a field."""

    model: str
    limit: str = "max_completion_tokens"
    counted: bool = True
    """Ask for the usage."""
    routed: bool = False
    """Send prompt_cache_key."""
    effort: str = ""
    """How much the model shall think; "" leaves it to the provider."""
    thoughtless: bool = False
    """Send reasoning_effort `none` with tools: some models take tools only so."""
    short_ids: bool = False
    images: bool = False
    audio: bool = False


def encode(prompt: Prompt, form: Form) -> bytes:
    """The body of a streamed request."""
    parts = [b'{"messages":[', _system(prompt.system) if prompt.system else b""]
    lines = b",".join([_encode(line) for line in _lines(prompt, form)])
    if lines and prompt.system:
        parts.append(b",")
    parts += [lines, b"]", _tools(_identity(prompt.tools)) if prompt.tools else b""]
    parts += [b',"model":', _encode(form.model), b',"stream":true']
    if form.counted:
        parts.append(b',"stream_options":{"include_usage":true}')
    if prompt.limit:
        parts.append(b',"%b":%d' % (form.limit.encode(), prompt.limit))
    if prompt.schema is not None:
        schema = b',"response_format":{"type":"json_schema","json_schema":{"name":"reply","strict":true,"schema":%b}}'
        parts.append(schema % bytes(prompt.schema))
    if form.routed and prompt.key:
        parts += [b',"prompt_cache_key":', _encode(prompt.key)]
    if effort := "none" if form.thoughtless and prompt.tools else form.effort:
        parts += [b',"reasoning_effort":', _encode(effort)]
    parts.append(b"}")
    return b"".join(parts)


@lru_cache(maxsize=64)
def _system(system: str) -> bytes:
    return _encode(_System(clean(system)))


def _identity(tools: tuple[ToolSpec, ...]) -> tuple[tuple[str, str, bytes], ...]:
    return tuple([(tool.name, tool.about, bytes(tool.schema)) for tool in tools])


@lru_cache(maxsize=64)
def _tools(tools: tuple[tuple[str, str, bytes], ...]) -> bytes:
    offered = [
        {
            "type": "function",
            "function": {"name": name, "description": clean(about), "parameters": msgspec.Raw(schema)},
        }
        for name, about, schema in tools
    ]
    return b',"tools":' + _encode(offered)


def _lines(prompt: Prompt, form: Form) -> list[_Line]:
    name: Callable[[str], str] = _short if form.short_ids else str
    lines: list[_Line] = []
    for step in steps(prompt):
        if isinstance(step, Asked):
            lines.append(_User(_content(step, form)))
        elif isinstance(step, Answered):
            calls = [_Call(name(c.id), _Function(name_of(c), arguments(c))) for c in step.calls]
            lines.append(_Assistant(step.text or None, calls))
        else:
            lines += [_Result(name(call.id), text) for call, text in step.texts]
    return lines


def _content(asked: Asked, form: Form) -> str | list[_Part]:
    if not asked.media:
        return asked.text
    text, media = perceived(
        asked, lambda kind, _: (kind.startswith("image/") and form.images) or (kind in _SOUNDS and form.audio)
    )
    parts: list[_Part] = []
    for kind, data in media:
        encoded = base64.b64encode(data).decode()
        if kind in _SOUNDS:
            parts.append(_Audio(_Sound(encoded, _SOUNDS[kind])))
        else:
            parts.append(_Picture(_Url(f"data:{kind};base64,{encoded}")))
    return [_Text(text), *parts] if parts else text


def _short(call: str) -> str:
    return digest(call)[:9]
