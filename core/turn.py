"""One turn: model and tools in rounds until the model has nothing more to call, inside a budget, journalled step by step.

A finished call's result is kept in the journal before it is used. A turn that another worker takes over replays the
journal and repeats only the call that was in flight.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Protocol

import msgspec

from core.errors import ModelError, ModelFailed
from core.messages import Fallback, Prompt, Reasoning, Said, Stop, Text, ToolCall, Usage
from core.ports import Model
from core.tools import Caller, Toolbox

_encode = msgspec.msgpack.Encoder().encode


class Budget(msgspec.Struct, frozen=True):
    """How far one turn may go."""

    rounds: int = 8
    """Calls of the model."""
    calls: int = 24
    """Calls of tools."""
    seconds: float = 600.0
    tool_seconds: float = 60.0


class Round(msgspec.Struct, frozen=True):
    """What one call of the model came to."""

    text: str
    calls: tuple[ToolCall, ...] = ()
    usage: tuple[Usage, ...] = ()
    fallback: Fallback | None = None
    stop: str = "end"


class Outcome(msgspec.Struct):
    """What a turn has come to so far; whoever cancels the turn finds here what was said until then."""

    said: str = ""
    """Text of finished rounds and of the one that streams."""
    lines: list[Said] = msgspec.field(default_factory=list)
    """Assistant and tool lines for the history, without the final text."""
    usage: list[Usage] = msgspec.field(default_factory=list)
    fallback: Fallback | None = None
    stop: str = "end"
    final: str = ""
    """Text of the last round."""


class Journal(Protocol):
    """Keeps results of finished calls."""

    def read(self, step: str) -> bytes | None:
        """The result, if this call was finished before."""
        ...

    async def write(self, step: str, value: bytes) -> None:
        """Keep a result; a turn that is no longer ours, or that is to be stopped, is cancelled here."""
        ...


_rounds = msgspec.msgpack.Decoder(Round)
_text = msgspec.msgpack.Decoder(str)


class Desk(msgspec.Struct, frozen=True):
    """What a turn works with."""

    tools: Toolbox
    journal: Journal
    caller: Callable[[str], Caller]
    """On whose behalf the tool of a step runs."""
    show: Callable[[str, str], None]
    """Called as the reply grows, with the whole text so far and what is being done."""
    budget: Budget


async def answer(model: Model, prompt: Prompt, desk: Desk, outcome: Outcome) -> None:
    """Run the turn into `outcome`. Raises ModelError when the model did not answer."""
    budget = desk.budget
    calls_left = budget.calls
    async with asyncio.timeout(budget.seconds):
        for number in range(budget.rounds):
            last = number == budget.rounds - 1 or calls_left <= 0
            before = outcome.said
            asked = msgspec.structs.replace(
                prompt, lines=(*prompt.lines, *outcome.lines), tools=() if last and not outcome.lines else prompt.tools
            )
            step = f"m{number}"
            kept = desk.journal.read(step)
            if kept is not None:
                done = _rounds.decode(kept)
            else:
                done = await _round(model, asked, outcome, desk.show)
                if done.calls and not last:
                    await desk.journal.write(step, _encode(done))
            outcome.said = _joined(before, done.text)
            outcome.usage += done.usage
            outcome.fallback = outcome.fallback or done.fallback
            outcome.stop = done.stop
            outcome.final = done.text
            if not done.calls or last:
                break
            calls = done.calls[:calls_left]
            calls_left -= len(calls)
            outcome.lines.append(Said("assistant", done.text, calls=calls))
            outcome.final = ""
            desk.show(outcome.said, ", ".join(dict.fromkeys(desk.tools.label(c.name) for c in calls)))
            async with asyncio.TaskGroup() as group:
                running = [group.create_task(_call(c, f"t{number}.{i}", desk)) for i, c in enumerate(calls)]
            outcome.lines += [Said("tool", r.result(), call=c.id) for c, r in zip(calls, running, strict=True)]
    if not outcome.said.strip():
        raise ModelFailed("The model gave an empty answer. Try again, or choose another model with /model.")


async def gather(model: Model, prompt: Prompt, seconds: float) -> str:
    """The whole text of one answer without tools, for work in the background."""
    async with asyncio.timeout(seconds), aclosing(model.stream(prompt)) as stream:
        return "".join([event.text async for event in stream if isinstance(event, Text)]).strip()


async def _round(model: Model, prompt: Prompt, outcome: Outcome, show: Callable[[str, str], None]) -> Round:
    before = outcome.said
    text = ""
    calls: list[ToolCall] = []
    usage: list[Usage] = []
    fallback: Fallback | None = None
    reason = ""
    async with aclosing(model.stream(prompt)) as stream:
        async for event in stream:
            match event:
                case Text():
                    text += event.text
                    outcome.said = _joined(before, text)
                    show(outcome.said, "")
                case ToolCall():
                    calls.append(event)
                case Usage():
                    usage.append(event)
                case Fallback():
                    fallback = event
                case Stop():
                    reason = event.reason
                case Reasoning():
                    show(outcome.said, "")
    if not reason:
        raise ModelError("The model's answer broke off. Try /retry.")
    return Round(text, tuple(calls), tuple(usage), fallback, reason)


async def _call(call: ToolCall, step: str, desk: Desk) -> str:
    kept = desk.journal.read(step)
    if kept is not None:
        return _text.decode(kept)
    result = await desk.tools.call(call, desk.caller(step), desk.budget.tool_seconds)
    await desk.journal.write(step, _encode(result))
    return result


def _joined(before: str, text: str) -> str:
    return f"{before}\n\n{text}" if before and text else before or text
