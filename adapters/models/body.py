"""A Prompt as the body of a Chat Completions request, pure.

What is stable stands first and is byte-identical from turn to turn, so that a provider's prefix cache hits; instructions
and tools are encoded once, not each turn.
"""

import base64
import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal

import msgspec

from core.messages import Media, Prompt, Said, ToolCall, ToolSpec

NO_PICTURE = "[A picture came with this message. You cannot see pictures: say so.]"
NO_SOUND = "[A voice message came with this message. You cannot hear it: say so.]"
NO_RESULT = "Error: there is no result of this call."

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
    if form.thoughtless and prompt.tools:
        parts.append(b',"reasoning_effort":"none"')
    parts.append(b"}")
    return b"".join(parts)


def fronted(now: str, text: str) -> str:
    """A message with date, zone and platform in front of it."""
    return f"({now})\n{text}" if now else text


def newest_user(lines: tuple[Said, ...]) -> int:
    """The place of the newest message of a person, -1 where there is none."""
    for place in range(len(lines) - 1, -1, -1):
        if lines[place].role == "user":
            return place
    return -1


def spoken(said: Said) -> str:
    """A person's line with the speaker's name, where there are several."""
    return f"{said.speaker}: {said.text}" if said.speaker else said.text


def clean(text: str) -> str:
    """The text without what cannot be encoded: half a character, as a terminal may hand it over."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


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
    newest = newest_user(prompt.lines)
    name: Callable[[str], str] = _short if form.short_ids else str
    lines: list[_Line] = []
    waiting: dict[str, None] = {}
    for place, said in enumerate(prompt.lines):
        if said.role == "tool":
            if said.call in waiting:  # a result whose call was cut away with the older history is left out
                del waiting[said.call]
                lines.append(_Result(name(said.call), clean(said.text)))
            continue
        lines += [_Result(name(call), NO_RESULT) for call in waiting]
        waiting.clear()
        if said.role == "assistant":
            waiting = dict.fromkeys(call.id for call in said.calls)
            if said.text or said.calls:
                calls = [_Call(name(c.id), _Function(c.name, _arguments(c))) for c in said.calls]
                lines.append(_Assistant(clean(said.text) or None, calls))
        elif place == newest:
            lines.append(_User(_content(fronted(prompt.now, clean(spoken(said))), prompt.media, form)))
        else:
            lines.append(_User(clean(spoken(said))))
    lines += [_Result(name(call), NO_RESULT) for call in waiting]
    if newest < 0 and (prompt.media or not lines):
        lines.append(_User(_content(prompt.now, prompt.media, form)))
    return lines


def _content(text: str, media: tuple[Media, ...], form: Form) -> str | list[_Part]:
    if not media:
        return text
    parts: list[_Part] = []
    notes: dict[str, None] = {}
    for one in media:
        kind = one.mime.partition(";")[0].strip().lower()
        if kind.startswith("image/") and form.images:
            data = base64.b64encode(one.data).decode()
            parts.append(_Picture(_Url(f"data:{kind};base64,{data}")))
        elif kind in _SOUNDS and form.audio:
            parts.append(_Audio(_Sound(base64.b64encode(one.data).decode(), _SOUNDS[kind])))
        else:
            notes[NO_PICTURE if kind.startswith("image/") else NO_SOUND] = None
    text = "\n".join([text, *notes])
    return [_Text(text), *parts] if parts else text


def _arguments(call: ToolCall) -> str:
    """Servers read this again: what a model once wrote wrongly must not make them refuse the whole history."""
    try:
        found = msgspec.json.decode(call.arguments or "{}")
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        found = None
    return (call.arguments or "{}") if isinstance(found, dict) else "{}"


def _short(call: str) -> str:
    return hashlib.blake2b(call.encode("utf-8", "replace"), digest_size=5).hexdigest()[:9]
