"""What Responses accepts: the fields of a request, its tools, its items, and how many tokens they are."""

import re
from collections.abc import Iterator
from typing import Any

from tests.servers.completions.requests import NAME, NUMBER, Invalid, as_bytes, encode, schema_problem

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
FIELDS: dict[str, Any] = {
    "model": str,
    "input": (str, list),
    "instructions": str,
    "stream": bool,
    "stream_options": dict,
    "store": bool,
    "include": list,
    "reasoning": dict,
    "text": dict,
    "max_output_tokens": int,
    "tools": list,
    "tool_choice": (str, dict),
    "parallel_tool_calls": bool,
    "prompt_cache_key": str,
    "temperature": NUMBER,
    "top_p": NUMBER,
    "truncation": str,
    "metadata": dict,
    "user": str,
    "safety_identifier": str,
    "service_tier": str,
}
KEYS = {
    "message": {"type", "role", "content", "id", "status", "phase"},
    "function_call": {"type", "id", "call_id", "name", "arguments", "status"},
    "function_call_output": {"type", "id", "call_id", "output", "status"},
    "reasoning": {"type", "id", "summary", "content", "encrypted_content", "status"},
}
PARTS = {
    "user": {"input_text", "input_image", "input_file"},
    "system": {"input_text"},
    "developer": {"input_text"},
    "assistant": {"output_text", "refusal"},
}
INCLUDED = {"reasoning.encrypted_content", "message.output_text.logprobs", "message.input_image.image_url"}


def check_request(asked: dict, thoughts: set[str]) -> None:
    """Raise Invalid for what the API would refuse; `thoughts` are the encrypted ones that it gave out."""
    for name, value in asked.items():
        if name not in FIELDS:
            raise Invalid(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
        if not isinstance(value, FIELDS[name]) or (isinstance(value, bool) and FIELDS[name] is not bool):
            raise Invalid(f"Invalid type for '{name}'.", param=name, code="invalid_type")
    for name in ("model", "input"):
        if not asked.get(name):
            raise Invalid(f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")
    if asked.get("max_output_tokens", 16) < 16:
        raise Invalid("Invalid 'max_output_tokens': integer below minimum value.", code="integer_below_min_value")
    if unknown := set(asked.get("include") or []) - INCLUDED:
        raise Invalid(f"Invalid value: '{unknown.pop()}'.", param="include", code="invalid_value")
    _check_reasoning(asked.get("reasoning") or {})
    _check_format((asked.get("text") or {}).get("format"))
    _check_tools(asked)
    if isinstance(asked["input"], list):
        _check_items(asked["input"], thoughts)


def parts(asked: dict) -> Iterator[dict]:
    """The parts of all messages that are more than text."""
    for item in asked["input"] if isinstance(asked["input"], list) else []:
        if isinstance(item.get("content"), list):
            yield from item["content"]


def count_tokens(asked: dict, size: int) -> int:
    """About how many tokens a body of `size` bytes is: a quarter of its bytes, and 1,000 for each picture."""
    pictures = [part for part in parts(asked) if part["type"] == "input_image"]
    return max(1, (size - sum(len(encode(p)) for p in pictures)) // 4) + 1000 * len(pictures)


def _check_reasoning(reasoning: dict) -> None:
    if unknown := set(reasoning) - {"effort", "summary"}:
        raise Invalid(f"Unknown parameter: 'reasoning.{unknown.pop()}'.", code="unknown_parameter")
    if reasoning.get("effort", "low") not in EFFORTS:
        raise Invalid(f"Invalid value: '{reasoning['effort']}'.", param="reasoning.effort", code="invalid_value")


def _check_format(form: dict | None) -> None:
    if form is None or form == {"type": "text"}:
        return
    if form.get("type") != "json_schema" or set(form) - {"type", "name", "strict", "schema", "description"}:
        raise Invalid("Unknown parameter: 'text.format'.", param="text.format")
    if not NAME.fullmatch(form.get("name") or "") or not isinstance(form.get("schema"), dict):
        raise Invalid("Missing required parameter: 'text.format.schema'.", param="text.format.schema")


def _check_tools(asked: dict) -> None:
    names = []
    for number, tool in enumerate(asked.get("tools") or []):
        where = f"tools[{number}]"
        if tool.get("type") != "function":
            raise Invalid(f"Invalid value: '{tool.get('type')}'.", param=f"{where}.type")
        if unknown := set(tool) - {"type", "name", "description", "parameters", "strict"}:
            raise Invalid(f"Unknown parameter: '{where}.{unknown.pop()}'.", param=where, code="unknown_parameter")
        if not NAME.fullmatch(tool.get("name") or ""):
            raise Invalid(f"Missing required parameter: '{where}.name'.", param=f"{where}.name")
        names.append(tool["name"])
        schema = tool.get("parameters") or {"type": "object"}
        wrong = schema_problem(encode(schema))
        loose = set(schema.get("properties", {})) - set(schema.get("required", []))
        if not wrong and tool.get("strict", True) and (loose or schema.get("additionalProperties") is not False):
            wrong = "'required' is required to be supplied and to be an array including every key in properties."
        if wrong:
            text = f"Invalid schema for function '{tool['name']}': {wrong}"
            raise Invalid(text, param=f"{where}.parameters", code="invalid_function_parameters")
    if len(set(names)) != len(names):
        raise Invalid("Tool names must be unique.", param="tools")
    if asked.get("tool_choice") not in {None, "auto"} and not names:
        raise Invalid("Tool choice is only allowed when tools are given.", param="tool_choice")


def _check_items(items: list, thoughts: set[str]) -> None:
    called: dict[str, bool] = {}  # by id: whether the call was answered
    for number, item in enumerate(items):
        where = f"input[{number}]"
        kind = item.get("type", "message") if isinstance(item, dict) else None
        if kind not in KEYS:
            raise Invalid(f"Invalid value: '{kind}'.", param=where, code="invalid_value")
        if unknown := set(item) - KEYS[kind]:
            raise Invalid(f"Unknown parameter: '{where}.{unknown.pop()}'.", param=where, code="unknown_parameter")
        if kind == "message":
            _check_message(item, where)
        elif kind == "function_call":
            _check_call(item, where, called)
        elif kind == "function_call_output":
            if called.get(item.get("call_id"), True):
                raise Invalid(f"No tool call found for function call output with call_id {item.get('call_id')}.")
            if not isinstance(item.get("output"), str):
                raise Invalid(f"Missing required parameter: '{where}.output'.", param=f"{where}.output")
            called[item["call_id"]] = True
        else:
            _check_thought(item, where, items[number + 1 :], thoughts)
    if open_calls := [call for call, answered in called.items() if not answered]:
        raise Invalid(f"No tool output found for function call {open_calls[0]}.", param="input")


def _check_call(item: dict, where: str, called: dict[str, bool]) -> None:
    call = item.get("call_id") or ""
    if not 0 < len(call) <= 64 or not NAME.fullmatch(item.get("name") or ""):
        raise Invalid(f"Invalid '{where}.call_id' or '{where}.name'.", param=where)
    if not isinstance(item.get("arguments"), str):
        raise Invalid(f"Invalid type for '{where}.arguments': expected a string.", param=where)
    if call in called:
        raise Invalid(f"Duplicate call_id {call}.", param=where)
    called[call] = False


def _check_thought(item: dict, where: str, after: list, thoughts: set[str]) -> None:
    if not item.get("id") or not isinstance(item.get("summary"), list):
        raise Invalid(f"Missing required parameter: '{where}.summary'.", param=where)
    if item.get("encrypted_content") not in thoughts:
        raise Invalid("The encrypted content could not be verified.", code="invalid_encrypted_content")
    made = after and (after[0].get("type") in {"reasoning", "function_call"} or after[0].get("role") == "assistant")
    if not made:
        raise Invalid(f"Item '{item['id']}' of type 'reasoning' was provided without its required following item.")


def _check_message(item: dict, where: str) -> None:
    role, content = item.get("role"), item.get("content")
    if role not in PARTS:
        raise Invalid(f"Invalid value: '{role}'.", param=f"{where}.role", code="invalid_value")
    if isinstance(content, str):
        return
    if not isinstance(content, list) or not content:
        raise Invalid(f"Invalid type for '{where}.content'.", param=f"{where}.content", code="invalid_type")
    for part in content:
        kind = part.get("type")
        if kind not in PARTS[role]:
            raise Invalid(f"Invalid value: '{kind}'.", param=f"{where}.content", code="invalid_value")
        if kind in {"input_text", "output_text"} and not isinstance(part.get("text"), str):
            raise Invalid(f"Missing required parameter: '{where}.content.text'.", param=f"{where}.content")
        if kind == "input_image":
            url = part.get("image_url") or ""
            inside = re.fullmatch(r"data:image/(?:png|jpeg|webp|gif);base64,(.+)", url, re.DOTALL)
            if not url.startswith("https://") and not (inside and as_bytes(inside[1])):
                raise Invalid("The image data you provided does not represent a valid image.", code="invalid_image")
