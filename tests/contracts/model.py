"""The promises that every core.ports.Model keeps. A test module makes a `Bench` for its model and calls `promises(bench)`
in a test that is parametrised by `PROMISES`; each promise can fail alone.
"""

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass

import msgspec
import pytest

from core.errors import ModelError
from core.messages import Prompt, Reasoning, Said, Stop, Text, ToolCall, ToolSpec, Usage
from core.ports import Model
from tests.servers.models import ModelServer, Reply
from tests.servers.models import ToolCall as ServedCall

CALCULATE = ToolSpec(
    "calculator",
    "Exact arithmetic.",
    msgspec.Raw(b'{"type":"object","properties":{"expression":{"type":"string"}},"required":["expression"]}'),
)
ASKED = Prompt(system="You are brief.", lines=(Said("user", "What is the capital of France?"),))


@dataclass
class Bench:
    """A model and the server behind it."""

    server: ModelServer
    model: Model
    tool_reply: Callable[[], Reply]
    """How this model's server asks for calculate(expression=2+2)."""


async def heard(model: Model, prompt: Prompt) -> list:
    """All events of one answer."""
    async with aclosing(model.stream(prompt)) as stream:
        return [event async for event in stream]


def text_of(events: list) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


async def the_text_arrives_whole_and_in_order(bench: Bench) -> None:
    said = "Paris. Ça, c'est sûr: 🦉 and “quotes”, \\backslashes\\ and\nlines."
    bench.server.reply(said, chunk_bytes=7)
    assert text_of(await heard(bench.model, ASKED)) == said


async def stop_is_the_last_event_and_comes_once(bench: Bench) -> None:
    bench.server.reply("One.")
    events = await heard(bench.model, ASKED)
    assert events[-1] == Stop("end")
    assert sum(isinstance(e, Stop) for e in events) == 1


async def no_event_is_empty(bench: Bench) -> None:
    bench.server.reply("a b c", reasoning="x y")
    assert all(e.text for e in await heard(bench.model, ASKED) if isinstance(e, Text | Reasoning))


async def text_streams_before_the_end(bench: Bench) -> None:
    bench.server.reply("One two three four", stall_after=2)
    async with aclosing(bench.model.stream(ASKED)) as stream:
        assert text_of([await anext(stream)]).startswith("One")


async def a_tool_is_called_with_json(bench: Bench) -> None:
    bench.server._script.append(bench.tool_reply())
    events = await heard(bench.model, msgspec.structs.replace(ASKED, tools=(CALCULATE,)))
    calls = [e for e in events if isinstance(e, ToolCall)]
    assert [(c.name, msgspec.json.decode(c.arguments)) for c in calls] == [("calculator", {"expression": "2+2"})]
    assert calls[0].id
    assert events[-1] == Stop("tools")
    assert not text_of(events)


async def a_history_with_calls_and_results_is_understood(bench: Bench) -> None:
    lines = (
        *ASKED.lines,
        Said("assistant", "", calls=(ToolCall("c1", "calculator", '{"expression":"2+2"}'),)),
        Said("tool", "4", call="c1"),
    )
    bench.server.reply("It is 4.")
    prompt = msgspec.structs.replace(ASKED, lines=lines, tools=(CALCULATE,))
    assert text_of(await heard(bench.model, prompt)) == "It is 4."
    assert b"2+2" in bench.server.requests[-1].body


async def usage_names_the_model(bench: Bench) -> None:
    bench.server.reply("Some words here", cached_tokens=3)
    usage = [e for e in await heard(bench.model, ASKED) if isinstance(e, Usage)]
    assert [u.model for u in usage] == [bench.model.name]
    assert usage[0].read >= usage[0].cached == 3
    assert usage[0].written == 3


async def closing_ends_the_call_at_once(bench: Bench) -> None:
    bench.server.reply("One two three", stall_after=1)
    async with aclosing(bench.model.stream(ASKED)) as stream:
        await anext(stream)
    await bench.server.wait_for(lambda: bench.server.open == 0)
    assert bench.server.requests[-1].closed == "gone"


async def a_failure_is_one_sentence(bench: Bench) -> None:
    bench.server.fail(400, error={"message": "No.", "type": "invalid_request_error", "code": None})
    with pytest.raises(ModelError) as caught:
        await heard(bench.model, ASKED)
    assert caught.value.sentence.endswith(".")
    assert "\n" not in caught.value.sentence


async def a_failure_after_text_is_raised_and_not_begun_again(bench: Bench) -> None:
    bench.server.reply("One two three", cut_after=2)
    events = []

    async def listen() -> None:
        async with aclosing(bench.model.stream(ASKED)) as stream:
            async for event in stream:
                events.append(event)

    with pytest.raises(ModelError):
        await listen()
    assert text_of(events) == "One two"
    assert len(bench.server.requests) == 1


PROMISES = (
    the_text_arrives_whole_and_in_order,
    stop_is_the_last_event_and_comes_once,
    no_event_is_empty,
    text_streams_before_the_end,
    a_tool_is_called_with_json,
    a_history_with_calls_and_results_is_understood,
    usage_names_the_model,
    closing_ends_the_call_at_once,
    a_failure_is_one_sentence,
    a_failure_after_text_is_raised_and_not_begun_again,
)
NATIVE = Reply(tool_calls=[ServedCall("calculator", {"expression": "2+2"})])
WRITTEN = Reply(text='{"name": "calculator", "arguments": {"expression": "2+2"}}')
