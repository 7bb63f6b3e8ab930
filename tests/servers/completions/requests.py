"""What Chat Completions accepts: the fields of a request, its tools, its messages, and how many tokens they are."""

import base64
import binascii
import functools
import re
from typing import Any

import jsonschema
import msgspec

encode = msgspec.json.encode


class Invalid(Exception):
    """A request that OpenAI would refuse, with its error object."""

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
        self.error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}


def check_request(asked: dict) -> None:
    """Raise Invalid for what the API would refuse."""
    for name, value in asked.items():
        if name not in FIELDS:
            raise Invalid(f"Unrecognized request argument supplied: {name}", param=name)
        if value is not None and (
            not isinstance(value, FIELDS[name]) or (isinstance(value, bool) and FIELDS[name] is not bool)
        ):
            raise Invalid(f"Invalid type for '{name}'.", param=name, code="invalid_type")
    for name in ("model", "messages"):
        if not asked.get(name):
            raise Invalid(f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")
    if asked.get("stream_options") is not None and not asked.get("stream"):
        raise Invalid(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options"
        )
    if not 0 <= (asked.get("temperature") or 0) <= 2 or not 0 <= (asked.get("top_p") or 0) <= 1:
        raise Invalid("Invalid 'temperature' or 'top_p'.", param="temperature", code="decimal_above_max_value")
    if any((asked.get(name) or 1) < 1 for name in ("max_tokens", "max_completion_tokens", "n")):
        raise Invalid("Expected a value >= 1.", param="max_tokens", code="integer_below_min_value")
    if (asked.get("n") or 1) != 1:
        raise Invalid("This server gives one choice.", param="n")
    _check_tools(asked)
    _check_messages(asked["messages"])


def last_asked(asked: dict) -> str:
    """The text of the last message of a user in a request, of any of the protocols."""
    lines = asked.get("messages") or asked.get("input") or []
    for message in reversed(lines if isinstance(lines, list) else [{"role": "user", "content": lines}]):
        if message.get("role") == "user":
            content = message["content"]
            if isinstance(content, str):
                return content
            if any("text" in part for part in content):  # others hold pictures, or only the results of tools
                return " ".join(part["text"] for part in content if "text" in part)
    return ""


def pictures(asked: dict) -> list[tuple[str, bytes]]:
    """The pictures of a request."""
    parts = [p for m in asked["messages"] if isinstance(m.get("content"), list) for p in m["content"]]
    return [as_picture(part["image_url"]["url"]) for part in parts if part["type"] == "image_url"]


def as_picture(url: str) -> tuple[str, bytes]:
    """Mime type and bytes of a data URL."""
    head, _, data = url.partition(";base64,")
    return head.removeprefix("data:"), base64.b64decode(data)


def count_tokens(asked: dict, size: int) -> int:
    """About how many tokens a body of `size` bytes is: a quarter of its bytes, and 1,000 for each picture or recording."""
    pictures = 0
    for message in asked["messages"]:
        if isinstance(message.get("content"), list):
            held = [part for part in message["content"] if part["type"] not in ("text", "refusal")]
            size -= sum(len(encode(part)) for part in held)
            pictures += len(held)
    return max(1, size // 4) + 1000 * pictures


NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
NUMBER = (int, float)
FIELDS: dict[str, Any] = {
    "model": str,
    "messages": list,
    "stream": bool,
    "stream_options": dict,
    "temperature": NUMBER,
    "top_p": NUMBER,
    "max_tokens": int,
    "max_completion_tokens": int,
    "n": int,
    "stop": (str, list),
    "seed": int,
    "user": str,
    "safety_identifier": str,
    "prompt_cache_key": str,
    "tools": list,
    "tool_choice": (str, dict),
    "parallel_tool_calls": bool,
    "response_format": dict,
    "reasoning_effort": str,
    "verbosity": str,
    "frequency_penalty": NUMBER,
    "presence_penalty": NUMBER,
    "logit_bias": dict,
    "logprobs": bool,
    "top_logprobs": int,
    "metadata": dict,
    "store": bool,
    "service_tier": str,
    "modalities": list,
}
PARTS = {
    "system": {"text"},
    "developer": {"text"},
    "user": {"text", "image_url", "input_audio", "file"},
    "assistant": {"text", "refusal"},
    "tool": {"text"},
}
KEYS = {
    "system": {"role", "content", "name"},
    "developer": {"role", "content", "name"},
    "user": {"role", "content", "name"},
    "assistant": {"role", "content", "name", "tool_calls", "refusal", "audio", "reasoning_content"},
    "tool": {"role", "content", "tool_call_id"},
}


def _check_tools(asked: dict) -> None:
    names = []
    for number, tool in enumerate(asked.get("tools") or []):
        where = f"tools[{number}]"
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or tool.get("type") != "function":
            raise Invalid(f"Missing required parameter: '{where}.function'.", param=where)
        if not NAME.fullmatch(function.get("name") or ""):
            raise Invalid(
                f"Invalid '{where}.function.name': string does not match pattern.", param=f"{where}.function.name"
            )
        names.append(function["name"])
        if unknown := set(function) - {"name", "description", "parameters", "strict"}:
            raise Invalid(f"Unknown parameter: '{where}.function.{unknown.pop()}'.", param=where)
        schema = function.get("parameters", {"type": "object"})
        if wrong := schema_problem(encode(schema)):
            raise Invalid(
                f"Invalid schema for function '{function['name']}': {wrong}", code="invalid_function_parameters"
            )
    if len(set(names)) != len(names):
        raise Invalid("Tool names must be unique.", param="tools")
    if "tools" in asked and not names:
        raise Invalid("Invalid 'tools': empty array.", param="tools", code="empty_array")
    choice = asked.get("tool_choice")
    if choice is not None and not names:
        raise Invalid("'tool_choice' is only allowed when 'tools' are specified.", param="tool_choice")
    if isinstance(choice, str) and choice not in ("none", "auto", "required"):
        raise Invalid("Invalid value for 'tool_choice'.", param="tool_choice", code="invalid_value")
    if isinstance(choice, dict) and choice.get("function", {}).get("name") not in names:
        raise Invalid("Tool choice names no tool that was given.", param="tool_choice")


@functools.lru_cache(maxsize=256)
def schema_problem(schema: bytes) -> str:
    """What is wrong with the schema of a tool's arguments, in a sentence; "" where nothing is."""
    read = msgspec.json.decode(schema)
    if not isinstance(read, dict) or read.get("type") != "object":
        return "schema must be a JSON Schema of 'type: \"object\"'."
    try:
        jsonschema.Draft202012Validator.check_schema(read)
    except jsonschema.SchemaError as error:
        return error.message
    return ""


def _check_messages(messages: list) -> None:
    open_calls: dict[str, int] = {}  # id -> the assistant message that made the call
    for number, message in enumerate(messages):
        where = f"messages[{number}]"
        role = message.get("role") if isinstance(message, dict) else None
        if role not in PARTS:
            raise Invalid(f"Invalid value: '{role}'.", param=f"{where}.role", code="invalid_value")
        if unknown := set(message) - KEYS[role]:
            raise Invalid(f"Unknown parameter: '{where}.{unknown.pop()}'.", param=where, code="unknown_parameter")
        if role != "tool" and open_calls:
            raise _unanswered(open_calls)
        calls = _check_calls(message, where) if role == "assistant" else []
        _check_content(message, where, optional=bool(calls) or bool(message.get("refusal")))
        if role == "tool" and open_calls.pop(message.get("tool_call_id"), None) is None:
            text = "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
            raise Invalid(f"Invalid parameter: {text}", param=f"{where}.role")
        open_calls |= dict.fromkeys(calls, number)
    if open_calls:
        raise _unanswered(open_calls)


def _unanswered(calls: dict[str, int]) -> Invalid:
    text = "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'."
    names = ", ".join(calls)
    return Invalid(f"{text} The following tool_call_ids did not have response messages: {names}", param="messages")


def _check_calls(message: dict, where: str) -> list[str]:
    calls = message.get("tool_calls")
    if calls is None:
        return []
    if not isinstance(calls, list) or not calls:
        raise Invalid(f"Invalid '{where}.tool_calls': empty array.", param=f"{where}.tool_calls", code="empty_array")
    for call in calls:
        function = call.get("function") or {}
        if call.get("type") != "function" or not call.get("id") or not NAME.fullmatch(function.get("name") or ""):
            raise Invalid(f"Invalid '{where}.tool_calls'.", param=f"{where}.tool_calls")
        if not isinstance(function.get("arguments"), str):
            raise Invalid(f"Invalid type for '{where}.tool_calls.function.arguments': expected a string.", param=where)
    if len({call["id"] for call in calls}) != len(calls):
        raise Invalid(f"Duplicate ids in '{where}.tool_calls'.", param=f"{where}.tool_calls")
    return [call["id"] for call in calls]


def _check_content(message: dict, where: str, *, optional: bool) -> None:
    content, role = message.get("content"), message["role"]
    if content is None and optional:
        return
    if isinstance(content, str):
        return
    if not isinstance(content, list) or not content:
        raise Invalid(f"Invalid value for 'content': expected a string, got {content!r}.", param=f"{where}.content")
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in PARTS[role]:
            raise Invalid(f"Invalid content part '{kind}' for role '{role}'.", param=f"{where}.content")
        held = part.get(kind)
        if kind in ("text", "refusal") and not isinstance(held, str):
            raise Invalid(f"Missing required parameter: '{where}.content.{kind}'.", param=f"{where}.content")
        if kind == "image_url":
            url = held.get("url", "") if isinstance(held, dict) else ""
            inside = re.fullmatch(r"data:image/[\w.+-]+;base64,(.+)", url, re.DOTALL)
            if not url.startswith(("https://", "http://")) and not (inside and as_bytes(inside[1])):
                raise Invalid("Invalid image_url.", param=f"{where}.content", code="invalid_image_url")
        if kind == "input_audio" and (held.get("format") not in ("wav", "mp3") or not as_bytes(held.get("data"))):
            raise Invalid("Invalid input_audio.", param=f"{where}.content", code="invalid_value")


def as_bytes(text: object) -> bool:
    """Whether a text is base64 of something."""
    try:
        return bool(isinstance(text, str) and base64.b64decode(text, validate=True))
    except binascii.Error:
        return False
