"""Tools for models that know none.

A model that can be held to a schema is asked first, in a short call of its own, which tool the newest message needs; that
is what a model of half a billion weights does reliably. Another reads of the tools in its instructions and writes a call as
JSON, bare, fenced or in tags: what looks like the beginning of one is held back until it is clear what it is, everything
else streams on untouched.
"""

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import lru_cache
from typing import Any, Final

import msgspec

from adapters.models.exchange import fronted, newest_user, spoken
from core.messages import ModelEvent, Prompt, Said, Stop, Text, ToolCall, Usage
from core.ports import Model


class Wording(msgspec.Struct, frozen=True):
    """What such a model reads about tools. In one place, because small models hang on every word of it."""

    tools: str = (
        "You have these tools:\n{tools}\n"
        'To use one, answer with nothing but JSON: {{"name": "<tool>", "arguments": {{...}}}}\n'
        "Use a tool only when the question needs it; else answer in words."
    )
    tool: str = "- {name}({arguments}): {about}"
    call: str = "I use {name}: {arguments}"
    """An earlier call. Not as JSON: then such a model goes on to write JSON instead of an answer."""
    result: str = "{name} says: {arguments} = {text}"
    after: str = "Answer my question in one sentence."
    route: str = "Decide whether the message needs a tool. Reply with JSON. {hints} Otherwise tool is “none”."
    hint: str = "tool is “{name}” {when}."
    when: tuple[tuple[str, str], ...] = (
        (
            "calculator",
            "when a number must be computed, with the arithmetic in expression, using only digits and + - * / ( ) ^ sqrt",
        ),
    )
    """When a tool is needed, by its name; for others their own description stands there."""
    examples: tuple[tuple[str, str, str], ...] = (
        ("What is 12 times 34?", "calculator", '{"expression":"12*34"}'),
        ("Hi!", "", ""),
        ("20% of 50?", "calculator", '{"expression":"50*20/100"}'),
        ("Who painted the Mona Lisa?", "", ""),
        ("How many hours are in 5 days?", "calculator", '{"expression":"5*24"}'),
        ("I moved here in 2004.", "", ""),
    )
    """A message, the tool that it needs and its arguments; those of tools that are not offered are left out."""


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
        tools = prompt.tools
        if tools and self.model.can("schema"):
            if prompt.lines and prompt.lines[-1].role == "user":
                async for event in self._routed(prompt):
                    yield event
                    if isinstance(event, Stop):
                        return
            tools = ()  # decided: what follows is the answer
        asked = told(msgspec.structs.replace(prompt, tools=tools), self._wording)
        if not tools:
            async with aclosing(self.model.stream(asked)) as events:
                async for event in events:
                    yield event
            return
        sieve = Sieve(frozenset(tool.name for tool in tools))
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

    async def _routed(self, prompt: Prompt) -> AsyncGenerator[ModelEvent, None]:
        """The call that the newest message needs and a Stop; neither where it needs none."""
        decision: list[str] = []
        async with aclosing(self.model.stream(routing(prompt, self._wording))) as events:
            async for event in events:
                if isinstance(event, Text):
                    decision.append(event.text)
                elif isinstance(event, Usage):
                    yield event
        try:
            decided: Any = msgspec.json.decode("".join(decision))
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return
        if not isinstance(decided, dict):
            return
        name = decided.pop("tool", "")
        if name in {tool.name for tool in prompt.tools} and all(decided.values()):
            made = sum(len(said.calls) for said in prompt.lines)
            yield ToolCall(f"call_{made + 1}", name, msgspec.json.encode(decided).decode())
            yield Stop("tools")


def routing(prompt: Prompt, wording: Wording = WORDING) -> Prompt:
    """The short prompt that asks which tool the newest message needs, and the schema that the decision follows."""
    when = dict(wording.when)
    hints = " ".join(
        wording.hint.format(name=tool.name, when=when.get(tool.name) or f"for this: {tool.about}")
        for tool in prompt.tools
    )
    forms: dict[str, dict[str, Any]] = {
        tool.name: msgspec.json.decode(tool.schema).get("properties", {}) for tool in prompt.tools
    }
    lines: list[Said] = []
    for text, name, arguments in wording.examples:
        if not name or name in forms:
            values = msgspec.json.decode(arguments) if name else dict.fromkeys(_only(forms), "")
            answer = msgspec.json.encode({"tool": name or "none", **values}).decode()
            lines += [Said("user", text), Said("assistant", answer)]
    newest = newest_user(prompt.lines)
    lines.append(Said("user", prompt.lines[newest].text[:_READ]))
    schema = msgspec.Raw(msgspec.json.encode(_decision(forms)))
    return Prompt(
        system=wording.route.format(hints=hints), lines=tuple(lines), limit=200, schema=schema, key=prompt.key
    )


_READ = 1_000
"""Characters of a message by which it is decided."""


def _only(forms: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The arguments of the only tool, empty where there are several."""
    return next(iter(forms.values())) if len(forms) == 1 else {}


def _decision(forms: dict[str, dict[str, Any]]) -> dict[str, Any]:
    if len(forms) == 1:
        kinds: dict[str, Any] = {"tool": {"enum": ["none", *forms]}, **_only(forms)}
        return _object(kinds)
    return {
        "anyOf": [
            _object({"tool": {"const": "none"}}),
            *(_object({"tool": {"const": n}, **f}) for n, f in forms.items()),
        ]
    }


def _object(fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


def told(prompt: Prompt, wording: Wording = WORDING) -> Prompt:
    """The prompt with tools, calls and results as text."""
    system = prompt.system
    if prompt.tools:
        offers = tuple((tool.name, tool.about, bytes(tool.schema)) for tool in prompt.tools)
        system = f"{system}\n\n{_offer(offers, wording)}" if system else _offer(offers, wording)
    newest = newest_user(prompt.lines)
    made = {call.id: call for said in prompt.lines for call in said.calls}
    lines: list[Said] = []
    for place, said in enumerate(prompt.lines):
        if said.calls:
            calls = [wording.call.format(name=call.name, arguments=_values(call.arguments)) for call in said.calls]
            lines.append(Said("assistant", "\n".join([said.text, *calls] if said.text else calls)))
        elif said.role == "tool":
            call = made.get(said.call)
            if call is None:
                continue
            result = wording.result.format(name=call.name, arguments=_values(call.arguments), text=said.text)
            if place and prompt.lines[place - 1].role == "tool" and lines and lines[-1].role == "user":
                result = f"{lines.pop().text.removesuffix(wording.after).rstrip()}\n{result}"
            lines.append(Said("user", f"{result}\n{wording.after}"))
        elif place == newest:
            # the result of a call stands as a user's line behind it: date and zone must stay where they are
            text = fronted(prompt.now, spoken(said))
            lines.append(msgspec.structs.replace(said, text=text, speaker=""))
        else:
            lines.append(said)
    return msgspec.structs.replace(prompt, system=system, lines=tuple(lines), tools=(), now="")


def _values(arguments: str) -> str:
    """The arguments of a call as a person would say them."""
    try:
        found = msgspec.json.decode(arguments or "{}")
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return arguments
    if not isinstance(found, dict):
        return arguments
    values = [v if isinstance(v, str) else msgspec.json.encode(v).decode() for v in found.values()]
    return ", ".join(values)


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
            return self._judged(text)
        out = ""
        while self._held:
            if self._line:
                start = self._held.lstrip(" \t")
                if _OPENING.match(start):
                    self._holding = True
                    return out + self._judged(self._held)
                if _MAYBE.fullmatch(start):
                    return out
            line, feed, rest = self._held.partition("\n")
            out += line + feed
            self._held, self._line = rest, bool(feed)
        return out

    def end(self) -> tuple[str, list[tuple[str, str]]]:
        """What is left to show, and the calls as name and JSON arguments."""
        held, self._held = self._held, ""
        if not self._calls and self._holding:
            for ending in _ENDINGS:
                self._calls, _, _ = _calls_in(held + ending, self._names)
                if self._calls:
                    break
        self._holding = False
        return ("" if self._calls else held), self._calls

    def _judged(self, more: str) -> str:
        """What may be shown of the held text, decided as early as can be; `more` is what was added to it."""
        if not self._calls and not _may_call(self._held):
            return self._released()
        if "}" not in more and not self._calls:
            return ""
        calls, rest, closed = _calls_in(self._held, self._names)
        if calls:
            self._calls = calls
            self.complete = bool(_AFTER.match(rest))
        elif closed:
            return self._released()
        return ""

    def _released(self) -> str:
        out, self._held, self._holding = self._held, "", False
        self._line = out.endswith("\n")
        return out


_ENDINGS = ("", "}", "}}", '"}', '"}}', "]}}")
"""What small models forget to write at the end of a call."""

_OPENING = re.compile(
    r"(?:```(?:json|tool_call|tool|xml)?[ \t]*(?:\n\s*)?(?:<tool_call>|[{\[])|<tool_call>|\{|\[\s*\{)"
)
"""Begins like a call: bare, fenced or in tags, alone or in a list."""

_MAYBE = re.compile(
    r"`{0,3}|(?:```(?:j|js|jso|json|t|to|too|tool|tool_.{0,4}|x|xm|xml)?[ \t]*\n?\s*)?(?:<t?o?o?l?_?c?a?l?l?)?|\[\s*"
)
"""Might still become such a beginning."""

_KEYS = ("name", "arguments", "parameters", "args", "tool", "tool_name", "function", "type", "id")
"""With which the object of a call begins."""

_FIRST = re.compile(r'\{\s*(?:"([^"]*)("?)|(\S))')

_AFTER = re.compile(r"[^\s`,\]{\[<]")
"""Something behind a call that is neither its end nor another call."""


def _may_call(held: str) -> bool:
    """Whether the held text can still become a call."""
    start = _BEFORE.match(held)
    place = start.end() if start else 0
    rest = held[place : place + 100]
    if not rest or "<tool_call>".startswith(rest):
        return True
    if not rest.startswith("{"):
        return False
    first = _FIRST.match(rest)
    if first is None:
        return True
    key, closed, other = first.groups()
    if other is not None:
        return False
    return key in _KEYS if closed else any(known.startswith(key) for known in _KEYS)


def _calls_in(text: str, names: frozenset[str]) -> tuple[list[tuple[str, str]], str, bool]:
    """The calls that the text begins with, as name and JSON arguments; what stands behind them; whether an object ended."""
    calls: list[tuple[str, str]] = []
    rest = text
    closed = False
    while True:
        start = _BEFORE.match(rest)
        place = start.end() if start else 0
        end = _closing(rest, place) if rest[place : place + 1] == "{" else 0
        if not end:
            return calls, rest[place:], closed
        closed = True
        call = _call(rest[place:end], names)
        if call is None:
            return calls, rest[place:], closed
        if call not in calls:  # small models repeat themselves
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
