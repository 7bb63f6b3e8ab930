"""Tools for models that know none: they read of them in the instructions and write a call as JSON, which becomes a ToolCall.

Small local models write such calls bare, fenced or in tags; what looks like the beginning of one is held back until it is
clear what it is, everything else streams on untouched.
"""

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import lru_cache
from typing import Any, Final

import msgspec

from adapters.models.body import fronted, newest_user
from core.messages import ModelEvent, Prompt, Said, Stop, Text, ToolCall
from core.ports import Model


class Wording(msgspec.Struct, frozen=True):
    """What such a model reads about tools. In one place, because small models hang on every word of it."""

    tools: str = (
        "You have these tools:\n{tools}\n"
        'To use one, answer with nothing but JSON: {{"name": "<tool>", "arguments": {{...}}}}\n'
        "Use a tool only when the question needs it; else answer in words."
    )
    tool: str = "- {name}({arguments}): {about}"
    result: str = "Result of {name}: {text}"
    after: str = "Now answer my question in words with this result."


WORDING: Final = Wording()


class JsonTools:
    """core.ports.Model around one without tools of its own."""

    def __init__(self, model: Model, wording: Wording = WORDING) -> None:
        self.model = model
        self.name = model.name
        self.window = model.window
        self._wording = wording

    def can(self, ability: str) -> bool:
        """What the model can, and tools."""
        return ability == "tools" or self.model.can(ability)

    async def stream(self, prompt: Prompt) -> AsyncGenerator[ModelEvent, None]:
        """Answer once; a reply that is a call comes out as ToolCall and never as text."""
        asked = told(prompt, self._wording)
        if not prompt.tools:
            async with aclosing(self.model.stream(asked)) as events:
                async for event in events:
                    yield event
            return
        sieve = Sieve(frozenset(tool.name for tool in prompt.tools))
        async with aclosing(self.model.stream(asked)) as events:
            async for event in events:
                if isinstance(event, Text):
                    if text := sieve.feed(event.text):
                        yield Text(text)
                    if sieve.complete:
                        break  # what it would go on to write is a result that it makes up
                elif isinstance(event, Stop):
                    text, calls = sieve.end()
                    if text:
                        yield Text(text)
                    if not calls:
                        yield event
                        return
                    break
                else:
                    yield event
        _, calls = sieve.end()
        made = sum(len(said.calls) for said in prompt.lines)
        for number, (name, arguments) in enumerate(calls, made + 1):
            yield ToolCall(f"call_{number}", name, arguments)
        yield Stop("tools" if calls else "end")


def told(prompt: Prompt, wording: Wording = WORDING) -> Prompt:
    """The prompt with tools, calls and results as text."""
    system = prompt.system
    if prompt.tools:
        offers = tuple((tool.name, tool.about, bytes(tool.schema)) for tool in prompt.tools)
        system = f"{system}\n\n{_offer(offers, wording)}" if system else _offer(offers, wording)
    newest = newest_user(prompt.lines)
    names = {call.id: call.name for said in prompt.lines for call in said.calls}
    lines: list[Said] = []
    for place, said in enumerate(prompt.lines):
        if said.calls:
            calls = [f'{{"name": "{call.name}", "arguments": {call.arguments or "{}"}}}' for call in said.calls]
            lines.append(Said("assistant", "\n".join([said.text, *calls] if said.text else calls)))
        elif said.role == "tool":
            if said.call not in names:
                continue
            result = wording.result.format(name=names[said.call], text=said.text)
            if place and prompt.lines[place - 1].role == "tool" and lines and lines[-1].role == "user":
                result = f"{lines.pop().text.removesuffix(wording.after).rstrip()}\n{result}"
            lines.append(Said("user", f"{result}\n{wording.after}"))
        elif place == newest:
            # the result of a call stands as a user's line behind it: date and zone must stay where they are
            lines.append(msgspec.structs.replace(said, text=fronted(prompt.now, said.text)))
        else:
            lines.append(said)
    return msgspec.structs.replace(prompt, system=system, lines=tuple(lines), tools=(), now="")


class Sieve:
    """Lets text through and holds back what may be a call."""

    __slots__ = ("_calls", "_held", "_holding", "_line", "_names", "complete")

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self._held = ""
        self._holding = False
        self._line = True
        """What comes next begins a line."""
        self._calls: list[tuple[str, str]] = []
        self.complete = False
        """All that can be a call has come; more would only be made up."""

    def feed(self, text: str) -> str:
        """What may be shown now."""
        self._held += text
        if self._holding:
            return self._judged()
        out = ""
        while self._held:
            if self._line:
                start = self._held.lstrip(" \t")
                if _OPENING.match(start):
                    self._holding = True
                    return out + self._judged()
                if _MAYBE.fullmatch(start):
                    return out
            line, feed, rest = self._held.partition("\n")
            out += line + feed
            self._held, self._line = rest, bool(feed)
        return out

    def end(self) -> tuple[str, list[tuple[str, str]]]:
        """What is left to show, and the calls as name and JSON arguments."""
        held, self._held = self._held, ""
        if self._calls:
            return "", self._calls
        if held:
            self._calls, _ = _calls_in(held, self._names)
        self._holding = False
        return ("" if self._calls else held), self._calls

    def _judged(self) -> str:
        """Decide on what is held as early as can be."""
        calls, rest = _calls_in(self._held, self._names)
        if calls:
            self._calls = calls
            self.complete = bool(_AFTER.search(rest))
            return ""
        if _NO_CALL.match(self._held.lstrip()):
            out, self._held, self._holding = self._held, "", False
            self._line = out.endswith("\n")
            return out
        return ""


_OPENING = re.compile(
    r"(?:```(?:json|tool_call|tool|xml)?[ \t]*(?:\n\s*)?(?:<tool_call>\s*)?[{\[]|<tool_call>|\{|\[\s*\{)"
)
"""Begins like a call: bare, fenced or in tags, alone or in a list."""

_MAYBE = re.compile(
    r"`{0,3}|```(?:j|js|jso|json|t|to|too|tool|tool_.{0,4}|x|xm|xml)?[ \t]*\n?\s*|<t?o?o?l?_?c?a?l?l?|\[\s*"
)
"""Might still become such a beginning."""

_NO_CALL = re.compile(
    r"(?:```\w*\s*)?(?:<tool_call>\s*)?\[?\s*\{\s*(?!\s)"
    r"(?:[^\s\"]|\"(?!n?\"?$|na?\"?$|nam?\"?$|name|ar?\"?$|arg?\"?$|argu?\"?$|argum?\"?$|argume|pa?\"?$|par?\"?$|param"
    r"|to?\"?$|too?\"?$|tool|fu?\"?$|fun?\"?$|func|ty?\"?$|typ?\"?$|type|id?\"?$)[^\"]+\")"
)
"""An object whose first name is none of a call's."""

_AFTER = re.compile(r"[^\s`,\]]")
"""Something behind a call that is neither its end nor another call."""


def _calls_in(text: str, names: frozenset[str]) -> tuple[list[tuple[str, str]], str]:
    """The calls that the text begins with, as name and JSON arguments, and what stands behind them."""
    calls: list[tuple[str, str]] = []
    rest = text
    while True:
        start = _BEFORE.match(rest)
        place = start.end() if start else 0
        if rest[place : place + 1] != "{":
            return calls, rest[place:] if calls else rest
        end = _closing(rest, place)
        call = _call(rest[place:end], names) if end else None
        if call is None:
            return calls, rest[place:] if calls else rest
        calls.append(call)
        rest = _BEHIND.sub("", rest[end:], count=1)


_BEFORE = re.compile(r"(?:\s|```(?:json|tool_call|tool|xml)?|<tool_call>|\[|,)*")
_BEHIND = re.compile(r"\A(?:\s|```|</tool_call>|\]|,)*")


def _closing(text: str, start: int) -> int:
    """Where the object that begins at `start` ends, 0 where it does not."""
    depth, quoted, place = 0, False, start
    while place < len(text):
        letter = text[place]
        if quoted:
            if letter == "\\":
                place += 1
            elif letter == '"':
                quoted = False
        elif letter == '"':
            quoted = True
        elif letter in "{[":
            depth += 1
        elif letter in "}]":
            depth -= 1
            if depth == 0:
                return place + 1
        place += 1
    return 0


def _call(text: str, names: frozenset[str]) -> tuple[str, str] | None:
    try:
        found: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None
    if isinstance(found, dict) and isinstance(found.get("function"), dict):
        found = found["function"]
    if not isinstance(found, dict):
        return None
    name = found.get("name") or found.get("tool") or found.get("tool_name")
    arguments = found.get("arguments", found.get("parameters", found.get("args")))
    if isinstance(arguments, str):
        try:
            arguments = msgspec.json.decode(arguments)
        except (msgspec.DecodeError, UnicodeEncodeError):
            return None
    if not isinstance(name, str) or not name:
        return None
    if name not in names and not (isinstance(arguments, dict) and len(found) == 2):
        return (
            None  # JSON that somebody asked for, not a call; a call of an unknown tool is answered with what there is
        )
    if not isinstance(arguments, dict | None):
        return None
    return name, msgspec.json.encode(arguments or {}).decode()


@lru_cache(maxsize=64)
def _offer(tools: tuple[tuple[str, str, bytes], ...], wording: Wording) -> str:
    lines = []
    for name, about, schema in tools:
        fields: dict[str, Any] = msgspec.json.decode(schema).get("properties", {})
        arguments = ", ".join(f"{field}: {spec.get('type', 'value')}" for field, spec in fields.items())
        lines.append(wording.tool.format(name=name, arguments=arguments, about=about))
    return wording.tools.format(tools="\n".join(lines))
