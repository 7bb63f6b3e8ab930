"""Tools that a model may call: a function with type hints becomes a tool, its schema comes from the hints.

Arguments are checked against the hints before the function runs; what it raises as ToolError is told to the model, so
that it can try again. A tool with side effects gets an idempotency key that is the same when a turn is resumed.
"""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any, get_type_hints

import msgspec

from core.errors import ToolError, traced
from core.messages import ChatRef, ToolCall, ToolSpec

log = logging.getLogger(__name__)

MOST_RESULT = 20_000
"""Characters of a result that a model is shown."""

About = msgspec.Meta
"""`Annotated[str, About(description="...")]` explains a parameter to the model."""


class Caller(msgspec.Struct, frozen=True):
    """On whose behalf a tool runs."""

    person: str
    chat: ChatRef
    admin: bool
    key: str
    """`turn:step`, the same when the turn is resumed: makes side effects happen once."""


class Tool(msgspec.Struct, frozen=True):
    """A function that a model may call."""

    spec: ToolSpec
    arguments: type[msgspec.Struct]
    run: Callable[..., Awaitable[str]]
    takes_caller: bool
    label: str
    """What the person reads while it runs: `calculating`."""
    offered: Callable[[str], bool] | None
    """For small models: whether a message looks as if it needed this tool; None offers it always."""


def tool(
    *, label: str, offered: Callable[[str], bool] | None = None
) -> Callable[[Callable[..., Awaitable[str]]], Tool]:
    """Make an async function a tool. Its docstring's first paragraph tells the model what it does; a parameter named
    `caller` is not shown to the model.
    """

    def made(function: Callable[..., Awaitable[str]]) -> Tool:
        hints = get_type_hints(function, include_extras=True)
        fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
        for name, parameter in inspect.signature(function).parameters.items():
            if name == "caller":
                continue
            if parameter.default is inspect.Parameter.empty:
                fields.append((name, hints[name]))
            else:
                fields.append((name, hints[name], parameter.default))
        name = function.__name__
        arguments = msgspec.defstruct(name, fields, frozen=True, forbid_unknown_fields=True)
        about = " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())
        return Tool(
            spec=ToolSpec(name, about, msgspec.Raw(msgspec.json.encode(_schema(arguments)))),
            arguments=arguments,
            run=function,
            takes_caller="caller" in hints,
            label=label,
            offered=offered,
        )

    return made


class Toolbox:
    """The tools of an installation."""

    def __init__(self, tools: tuple[Tool, ...] = ()) -> None:
        self._tools = {t.spec.name: t for t in tools}
        self.specs = tuple(t.spec for t in tools)

    def fitting(self, text: str) -> tuple[ToolSpec, ...]:
        """The tools that a message looks as if it needed: a small model is offered no others."""
        return tuple(t.spec for t in self._tools.values() if t.offered is None or t.offered(text))

    def label(self, name: str) -> str:
        """What the person reads while the tool runs."""
        found = self._tools.get(name)
        return found.label if found else name

    async def call(self, call: ToolCall, caller: Caller, seconds: float) -> str:
        """Run a call; whatever goes wrong comes back as a sentence for the model."""
        found = self._tools.get(call.name)
        if found is None:
            return f"Error: there is no tool {call.name!r}. Tools: {', '.join(self._tools) or 'none'}."
        try:
            arguments = msgspec.json.decode(call.arguments or "{}", type=found.arguments)
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            return f"Error: wrong arguments for {call.name}: {error}."
        values: dict[str, Any] = {f: getattr(arguments, f) for f in found.arguments.__struct_fields__}
        if found.takes_caller:
            values["caller"] = caller
        try:
            result = await _within(found.run(**values), seconds)
        except ToolError as error:
            return f"Error: {error.sentence}"
        except TimeoutError:
            return f"Error: {call.name} took longer than {seconds:.0f} seconds."
        except Exception as error:  # noqa: BLE001 - a tool's bug must not end the turn
            log.error("the tool %s failed: %s", call.name, traced(error))  # noqa: TRY400 - a trace would hold words
            return f"Error: {call.name} failed for a reason of its own. Go on without it."
        return result if len(result) <= MOST_RESULT else result[:MOST_RESULT] + "\n[cut]"


async def _within(work: Awaitable[str], seconds: float) -> str:
    async with asyncio.timeout(seconds):
        return await work


def _schema(arguments: type[msgspec.Struct]) -> dict[str, Any]:
    (_, components) = msgspec.json.schema_components((arguments,), ref_template="#/$defs/{name}")
    schema: dict[str, Any] = components.pop(arguments.__name__)
    schema.pop("title", None)
    schema["additionalProperties"] = False
    if components:
        schema["$defs"] = components
    return schema
