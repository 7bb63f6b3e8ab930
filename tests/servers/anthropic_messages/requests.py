"""What Messages accepts: the fields of a request, its tools, its turns, its thoughts, and how many tokens they are."""

import re
from typing import Any

from tests.servers.completions.requests import NUMBER, Invalid, as_bytes, encode, schema_problem

KINDS = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
}
FIELDS: dict[str, Any] = {
    "model": str,
    "messages": list,
    "max_tokens": int,
    "system": (str, list),
    "tools": list,
    "tool_choice": dict,
    "stream": bool,
    "thinking": dict,
    "output_config": dict,
    "cache_control": dict,
    "metadata": dict,
    "stop_sequences": list,
    "temperature": NUMBER,
    "top_p": NUMBER,
    "top_k": int,
    "service_tier": str,
}
KEYS = {
    "text": {"type", "text", "cache_control", "citations"},
    "image": {"type", "source", "cache_control"},
    "tool_use": {"type", "id", "name", "input", "cache_control", "caller"},
    "tool_result": {"type", "tool_use_id", "content", "is_error", "cache_control"},
    "thinking": {"type", "thinking", "signature"},
    "redacted_thinking": {"type", "data"},
}
SAID_BY = {"user": {"text", "image", "tool_result"}, "assistant": set(KEYS) - {"image", "tool_result"}}
PICTURES = {"image/jpeg", "image/png", "image/gif", "image/webp"}
NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
LARGEST = 5 * 2**20
LONGEST = 128_000
Thoughts = dict[str, tuple[str, bytes]]


class Model:
    """What a model takes of thinking, by its name; one that is not Anthropic's is like the newest."""

    def __init__(self, name: str) -> None:
        self.counted = "haiku-4-5" in name
        self.longest = 64_000 if self.counted else LONGEST
        self.kinds = {"adaptive", "disabled"}
        if self.counted:
            self.kinds = {"enabled", "disabled"}
        elif "sonnet-5-5" in name:
            self.kinds = {"adaptive", "between_tools"}
        elif "opus-5-5" in name or "fable" in name:
            self.kinds = {"adaptive"}

    def thinks(self, asked: dict) -> bool:
        """Whether it thinks before it answers this request."""
        return (asked.get("thinking") or {}).get("type", "" if self.counted else "adaptive") in {"adaptive", "enabled"}


def check_request(asked: dict, thoughts: Thoughts) -> None:
    """Raise Invalid for what the API would refuse; `thoughts` are those that it signed."""
    for name, value in asked.items():
        if name not in FIELDS:
            raise Invalid(f"{name}: Extra inputs are not permitted")
        if not isinstance(value, FIELDS[name]) or (isinstance(value, bool) and FIELDS[name] is not bool):
            raise Invalid(f"{name}: Input should be a valid {FIELDS[name]}")
    for name in ("model", "messages", "max_tokens"):
        if not asked.get(name):
            raise Invalid(f"{name}: Field required")
    model = Model(asked["model"])
    if asked["max_tokens"] > model.longest:
        allowed = f"{model.longest}, which is the maximum allowed number of output tokens for {asked['model']}"
        raise Invalid(f"max_tokens: {asked['max_tokens']} > {allowed}")
    if len(encode(asked)) > 32 * 2**20:
        raise Invalid("Request exceeds the maximum size", status=413)
    _check_thinking(asked, model)
    _check_tools(asked)
    _check_system(asked.get("system"))
    _check_messages(asked, model, thoughts)
    marks = encode(asked).count(b'"cache_control":{')
    if marks > 4:
        raise Invalid(f"A maximum of 4 blocks with cache_control may be provided. Found {marks}.")


def blocks(message: dict) -> list[dict]:
    """The content of a message as blocks."""
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def prefix(asked: dict, messages: list[dict]) -> bytes:
    """All that a thought is bound to: what stands before it, without the marks for the cache."""
    return encode(_unmarked([asked.get("system"), asked.get("tools"), messages]))


def count_tokens(asked: dict, size: int) -> int:
    """About how many tokens a body of `size` bytes is: a quarter of its bytes, and 1,000 for each picture."""
    held = [block for message in asked["messages"] for block in blocks(message) if block["type"] == "image"]
    return max(1, (size - sum(len(encode(block)) for block in held)) // 4) + 1000 * len(held)


def _unmarked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unmarked(inner) for key, inner in value.items() if key != "cache_control"}
    return [_unmarked(inner) for inner in value] if isinstance(value, list) else value


def _check_thinking(asked: dict, model: Model) -> None:
    thinking, output = asked.get("thinking") or {}, asked.get("output_config") or {}
    if unknown := set(output) - {"effort", "format"}:
        raise Invalid(f"output_config.{unknown.pop()}: Extra inputs are not permitted")
    effort = output.get("effort")
    if effort is not None and (model.counted or effort not in {"low", "medium", "high", "xhigh", "max"}):
        raise Invalid("output_config.effort: This model does not support this effort.")
    form = output.get("format")
    if form is not None and (form.get("type") != "json_schema" or not isinstance(form.get("schema"), dict)):
        raise Invalid("output_config.format: Input should be a JSON schema")
    kind = thinking.get("type")
    if not thinking:
        return
    if kind not in model.kinds:
        hint = 'Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.'
        raise Invalid(f'"thinking.type.{kind}" is not supported for this model. {hint}')
    if kind in {"disabled", "between_tools"} and effort in {"xhigh", "max"}:
        raise Invalid(f'"thinking.type.{kind}" is not supported at this effort.')
    if unknown := set(thinking) - {"type", "display"} - ({"budget_tokens"} if kind == "enabled" else set()):
        raise Invalid(f"thinking.{kind}.{unknown.pop()}: Extra inputs are not permitted")
    if kind == "enabled" and not 1024 <= thinking.get("budget_tokens", 0) < asked["max_tokens"]:
        raise Invalid("`max_tokens` must be greater than `thinking.budget_tokens`, which must be at least 1024.")


def _check_tools(asked: dict) -> None:
    names = []
    for number, tool in enumerate(asked.get("tools") or []):
        where = f"tools.{number}.custom"
        if unknown := set(tool) - {"type", "name", "description", "input_schema", "cache_control", "strict"}:
            raise Invalid(f"{where}.{unknown.pop()}: Extra inputs are not permitted")
        if not NAME.fullmatch(tool.get("name") or ""):
            raise Invalid(f"{where}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
        if wrong := schema_problem(encode(tool.get("input_schema"))):
            raise Invalid(f"{where}.input_schema: {wrong}")
        names.append(tool["name"])
    if len(set(names)) != len(names):
        raise Invalid("tools: Tool names must be unique.")
    choice = (asked.get("tool_choice") or {"type": "auto"}).get("type")
    if choice not in {"auto", "none"}:
        raise Invalid(f"tool_choice: {choice} is not supported for this model.")
    if "tool_choice" in asked and not names:
        raise Invalid("tool_choice: may only be specified while providing tools")


def _check_system(system: object) -> None:
    for block in system if isinstance(system, list) else []:
        if block.get("type") != "text" or not block.get("text", "").strip() or set(block) - KEYS["text"]:
            raise Invalid("system: text content blocks must be non-empty")


def _check_messages(asked: dict, model: Model, thoughts: Thoughts) -> None:
    waiting: list[str] = []
    used: set[str] = set()
    before = ""
    for number, message in enumerate(asked["messages"]):
        where = f"messages.{number}"
        role = message.get("role")
        if set(message) - {"role", "content"} or role not in SAID_BY:
            raise Invalid(f"{where}: Extra inputs are not permitted, or an unknown role")
        if role == before or (number == 0 and role != "user"):
            raise Invalid('messages: roles must alternate between "user" and "assistant", and begin with "user"')
        before = role
        content = message.get("content")
        if not content or not isinstance(content, str | list):
            raise Invalid(f"{where}: messages must have non-empty content")
        held = blocks(message)
        for place, block in enumerate(held):
            _check_block(block, f"{where}.content.{place}", role)
            if block["type"] == "redacted_thinking" and block.get("data") not in thoughts:
                raise Invalid(f"{where}.content.{place}: Invalid `data` in `redacted_thinking` block")
            if block["type"] == "thinking":
                _check_thought(block, f"{where}.content.{place}", prefix(asked, asked["messages"][:number]), thoughts)
        told = [block["tool_use_id"] for block in held if block["type"] == "tool_result"]
        if missing := [call for call in waiting if call not in told]:
            text = f"`tool_use` ids were found without `tool_result` blocks immediately after: {', '.join(missing)}"
            raise Invalid(f"{where}: {text}")
        if set(told) - set(waiting) or len(set(told)) != len(told):
            raise Invalid(f"{where}: unexpected `tool_use_id` found in `tool_result` blocks")
        if told and any(block["type"] != "tool_result" for block in held[: len(told)]):
            raise Invalid(f"{where}: `tool_result` blocks must come first")
        waiting = [block["id"] for block in held if block["type"] == "tool_use"]
        if used & set(waiting) or len(set(waiting)) != len(waiting):
            raise Invalid("messages: `tool_use` ids must be unique")
        used |= set(waiting)
        if waiting and "tools" not in asked:
            raise Invalid("Requests which include `tool_use` or `tool_result` blocks must define tools")
    if before == "assistant":
        raise Invalid(
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )
    _check_turn(asked, model)


def _check_turn(asked: dict, model: Model) -> None:
    """A model that counts its thoughts must see them again before the calls whose results it gets."""
    if not (model.counted and model.thinks(asked)) or len(asked["messages"]) < 2:
        return
    made, last = blocks(asked["messages"][-2]), blocks(asked["messages"][-1])
    if last[0]["type"] == "tool_result" and made[0]["type"] not in {"thinking", "redacted_thinking"}:
        where = f"messages.{len(asked['messages']) - 2}.content.0.type"
        raise Invalid(f"{where}: Expected `thinking` or `redacted_thinking`, but found `{made[0]['type']}`.")


def _check_block(block: dict, where: str, role: str) -> None:
    kind = block.get("type") if isinstance(block, dict) else None
    if kind not in SAID_BY[role]:
        raise Invalid(f"{where}: Input tag '{kind}' found using 'type' does not match any of the expected tags")
    if unknown := set(block) - KEYS[kind]:
        raise Invalid(f"{where}.{kind}.{unknown.pop()}: Extra inputs are not permitted")
    if kind == "text" and not block.get("text", "").strip():
        raise Invalid(f"{where}: text content blocks must contain non-whitespace text")
    if kind == "image":
        _check_picture(block["source"], where)
    if kind == "tool_use":
        if not re.fullmatch(r"[a-zA-Z0-9_-]+", block.get("id") or "") or not NAME.fullmatch(block.get("name") or ""):
            raise Invalid(f"{where}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
        if not isinstance(block.get("input"), dict):
            raise Invalid(f"{where}.tool_use.input: Input should be a valid dictionary")
    if kind == "tool_result" and not isinstance(block.get("content", ""), str | list):
        raise Invalid(f"{where}.tool_result.content: Input should be a valid string")
    if block.get("cache_control", {"type": "ephemeral"}).get("type") != "ephemeral":
        raise Invalid(f"{where}.cache_control.type: Input should be 'ephemeral'")


def _check_picture(source: dict, where: str) -> None:
    if source.get("type") != "base64" or source.get("media_type") not in PICTURES:
        raise Invalid(f"{where}.image.source.base64.media_type: Input should be one of {sorted(PICTURES)}")
    if not as_bytes(source.get("data")):
        raise Invalid(f"{where}.image.source.base64.data: Input should be valid base64")
    if len(source["data"]) > LARGEST:
        raise Invalid(
            f"{where}.image.source.base64: image exceeds 5 MB maximum: {len(source['data'])} bytes > {LARGEST}"
        )


def _check_thought(block: dict, where: str, before: bytes, thoughts: Thoughts) -> None:
    thought, bound = thoughts.get(block.get("signature", ""), (None, b""))
    if thought is None or thought != block.get("thinking"):
        raise Invalid(f"{where}: Invalid `signature` in `thinking` block")
    if bound != before:
        raise Invalid(
            f"{where}: Invalid `signature` in `thinking` block. The block is bound to a different conversation."
        )
