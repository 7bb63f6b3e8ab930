"""The promises that every core.ports.Model keeps. A test module makes a `Bench` for its model and calls `promises(bench)`
in a test that is parametrised by `PROMISES`, one on somebody's server by `HOSTED` besides; each promise can fail alone.
"""

import asyncio
import base64
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass

import msgspec
import pytest

from core.errors import ModelBusy, ModelError, ModelRefusedKey, ModelUnknown, ModelUnreachable, PromptTooLong
from core.messages import Media, Prompt, Reasoning, Said, Stop, Text, ToolCall, ToolSpec, Usage
from core.ports import Model
from tests.servers.completions.requests import last_asked
from tests.servers.models import ModelServer, Reply
from tests.servers.models import ToolCall as ServedCall

CALCULATE = ToolSpec(
    "calculator",
    "Exact arithmetic.",
    msgspec.Raw(b'{"type":"object","properties":{"expression":{"type":"string"}},"required":["expression"]}'),
)
ASKED = Prompt(system="You are brief.", lines=(Said("user", "What is the capital of France?"),))


DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
"""A picture of one point."""


@dataclass
class Bench:
    """A model and the server behind it."""

    server: ModelServer
    model: Model
    tool_reply: Callable[[], Reply]
    """How this model's server asks for calculate(expression=2+2)."""
    at: Callable[[str], Model] | None = None
    """The same model at an effort, of one on somebody's server."""


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


async def several_tools_are_called_side_by_side(bench: Bench) -> None:
    made = [ServedCall("calculator", {"expression": f"{n}+{n}"}, id=f"call{n}") for n in range(3)]
    bench.server.reply("All three:", tool_calls=made, chunk_bytes=11)
    prompt = msgspec.structs.replace(ASKED, tools=(CALCULATE,))
    events = await heard(bench.model, prompt)
    calls = [e for e in events if isinstance(e, ToolCall)]
    assert [c.id for c in calls] == ["call0", "call1", "call2"]
    assert [msgspec.json.decode(c.arguments)["expression"] for c in calls] == ["0+0", "1+1", "2+2"]
    assert (text_of(events), events[-1]) == ("All three:", Stop("tools"))
    told = tuple(Said("tool", str(n * 2), call=c.id) for n, c in enumerate(calls))
    bench.server.reply("0, 2 and 4.")
    lines = (*ASKED.lines, Said("assistant", "All three:", calls=tuple(calls)), *told)
    assert text_of(await heard(bench.model, msgspec.structs.replace(prompt, lines=lines))) == "0, 2 and 4."


async def any_history_is_understood(bench: Bench) -> None:
    """Cut anywhere, with several people, calls of other models, and nothing where something should be."""
    strange = ToolCall("functions.look up:0", "look up!", "not json")
    lines = (
        Said("tool", "orphan", call="gone"),
        Said("assistant", "before"),
        Said("assistant", "  "),
        Said("user", "hello", speaker="Ada"),
        Said("user", "hi", speaker="Grace"),
        Said("user", ""),
        Said("assistant", "", calls=(strange, ToolCall("b" * 90, "f", ""))),
        Said("tool", "", call=strange.id),
        Said("assistant", "", calls=(strange, strange)),
        Said("tool", "again", call=strange.id),
        Said("user", "and \udce4?"),
        Said("assistant", "so"),
        Said("user", "go on"),
    )
    for end in range(1, len(lines) + 1):
        for begin in range(end):
            bench.server.reply("ok")
            prompt = Prompt(system="S", lines=lines[begin:end], now="noon")
            assert text_of(await heard(bench.model, prompt)) == "ok", lines[begin:end]


async def pictures_are_shown_with_the_newest_message(bench: Bench) -> None:
    bench.server.reply("A dot.")
    media = (Media("image/png; x=1", DOT), Media("image/tiff", b"II*"), Media("audio/ogg", b"OggS"))
    await heard(bench.model, msgspec.structs.replace(ASKED, media=media))
    seen = bench.server.requests[-1]
    assert ("image/png", DOT) in seen.pictures
    assert ASKED.lines[0].text in seen.asked
    assert "cannot hear" in seen.asked
    bench.server.reply("Nothing.")
    await heard(bench.model, Prompt(system="S", lines=(), media=media[:1]))
    assert bench.server.requests[-1].pictures == [("image/png", DOT)]


async def a_refusal_is_shown_and_named(bench: Bench) -> None:
    bench.server.reply(refusal="I will not.")
    events = await heard(bench.model, ASKED)
    assert (text_of(events), events[-1]) == ("I will not.", Stop("refused"))
    bench.server.reply("Half a", finish_reason="content_filter")
    events = await heard(bench.model, ASKED)
    assert (text_of(events), events[-1]) == ("Half a", Stop("refused"))


async def a_reply_that_was_cut_off_says_so_and_calls_nothing_by_halves(bench: Bench) -> None:
    bench.server.reply("One two three", tool_calls=[ServedCall("calculator", '{"expr')], finish_reason="length")
    events = await heard(bench.model, msgspec.structs.replace(ASKED, tools=(CALCULATE,)))
    assert not [e for e in events if isinstance(e, ToolCall)]
    assert (text_of(events), events[-1]) == ("One two three", Stop("length"))


async def each_failure_before_the_answer_has_its_kind(bench: Bench) -> None:
    for status, kind in ((401, ModelRefusedKey), (404, ModelUnknown), (413, PromptTooLong)):
        bench.server.fail(status, error={"message": "No.", "type": "invalid_request_error", "code": None})
        with pytest.raises(kind):
            await heard(bench.model, ASKED)
    bench.server.fail(529, times=3)
    with pytest.raises(ModelBusy):
        await heard(bench.model, ASKED)
    bench.server.window = 1
    with pytest.raises(PromptTooLong):
        await heard(bench.model, ASKED)
    assert not bench.server.waiting


async def who_is_busy_is_asked_again(bench: Bench) -> None:
    bench.server.fail(429, retry_after=0.05)
    bench.server.reply("x", error_after=0)
    bench.server.reply("Here.")
    assert text_of(await heard(bench.model, ASKED)) == "Here."
    assert len(bench.server.requests) == 3


async def a_failure_in_the_middle_is_raised(bench: Bench) -> None:
    for how in ({"error_after": 2}, {"cut_after": 2}):
        bench.server.reply("One two three", tokens_per_second=200, **how)
        with pytest.raises(ModelError):
            await heard(bench.model, ASKED)
    bench.server.reply("One two three", tokens_per_second=200, cut_after=3)  # all was said, but not that it was all
    with pytest.raises(ModelUnreachable):
        await heard(bench.model, ASKED)


async def thoughts_come_apart_from_the_reply(bench: Bench) -> None:
    bench.server.reply("Yes.", reasoning="Let me think")
    events = await heard(bench.model, ASKED)
    assert "".join(e.text for e in events if isinstance(e, Reasoning)) == "Let me think"
    assert text_of(events) == "Yes."


async def usage_has_a_price(bench: Bench) -> None:
    bench.server.reply("one two", cached_tokens=5, stored_tokens=3)
    usage = next(e for e in await heard(bench.model, ASKED) if isinstance(e, Usage))
    assert usage.cost is not None
    assert usage.read > 8
    bench.server.reply("one two")
    plain = next(e for e in await heard(bench.model, ASKED) if isinstance(e, Usage))
    assert plain.read == usage.read
    assert plain.cost != usage.cost


async def an_effort_is_asked_for_and_left_out_without(bench: Bench) -> None:
    for model, effort in ((bench.at("high"), "high"), (bench.model, "")):
        bench.server.reply("ok")
        await heard(model, ASKED)
        assert bench.server.requests[-1].effort == effort
        assert model.name.endswith("@high") == bool(effort)
    gentle = bench.at("low")
    bench.server.fail(400, error={"message": "The effort low is not supported: effort."}, when=lambda _: True)
    bench.server.reply("ok")
    assert text_of(await heard(gentle, ASKED)) == "ok"
    assert bench.server.requests[-1].effort == ""


async def a_thousand_closed_in_the_middle_leave_no_connection(bench: Bench) -> None:
    """Half of them by closing, half by cancelling."""
    server = bench.server

    def mine(name: str) -> object:
        return next((r for r in reversed(server.requests) if r.asked == name and r.pieces), None)

    async def one(number: int) -> None:
        name = f"number {number}"
        server.reply("word " * 50, stall_after=3, when=lambda asked: last_asked(asked) == name)
        prompt = Prompt(system="S", lines=(Said("user", name),))
        if number % 2:
            async with aclosing(bench.model.stream(prompt)) as stream:
                async for _ in stream:
                    break
        else:
            task = asyncio.create_task(heard(bench.model, prompt))
            await server.wait_for(lambda: mine(name))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    for batch in range(50):
        await asyncio.gather(*(one(batch * 20 + n) for n in range(20)))
    await server.wait_for(lambda: server.open == 0 and server.connections == 0)
    assert len(server.requests) == 1000
    assert all(r.closed == "gone" for r in server.requests)


async def a_finished_answer_leaves_its_connection_to_the_next(bench: Bench) -> None:
    for _ in range(5):
        bench.server.reply("ok")
        await heard(bench.model, ASKED)
    assert bench.server.connections == 1


def alike(one: bytes, other: bytes) -> int:
    """How many bytes two requests have in common at their beginning."""
    return next(n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)


async def the_beginning_of_a_request_is_the_same_from_turn_to_turn(bench: Bench) -> None:
    lines = (Said("user", "One?"),)
    for turn in range(3):
        bench.server.reply(f"Answer {turn}.")
        prompt = Prompt(system="S" * 50, lines=lines, tools=(CALCULATE,), now=f"minute {turn}", key="k")
        await heard(bench.model, prompt)
        lines = (*lines, Said("assistant", f"Answer {turn}."), Said("user", f"More {turn}?"))
    first, second, third = (r.body for r in bench.server.requests[-3:])
    assert alike(second, third) > alike(first, second) > 50
    assert bench.server.requests[-1].asked == "(minute 2)\nMore 1?"


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
HOSTED = (
    several_tools_are_called_side_by_side,
    any_history_is_understood,
    pictures_are_shown_with_the_newest_message,
    a_refusal_is_shown_and_named,
    a_reply_that_was_cut_off_says_so_and_calls_nothing_by_halves,
    each_failure_before_the_answer_has_its_kind,
    who_is_busy_is_asked_again,
    a_failure_in_the_middle_is_raised,
    thoughts_come_apart_from_the_reply,
    usage_has_a_price,
    an_effort_is_asked_for_and_left_out_without,
    a_thousand_closed_in_the_middle_leave_no_connection,
    a_finished_answer_leaves_its_connection_to_the_next,
    the_beginning_of_a_request_is_the_same_from_turn_to_turn,
)
NATIVE = Reply(tool_calls=[ServedCall("calculator", {"expression": "2+2"})])
WRITTEN = Reply(text='{"name": "calculator", "arguments": {"expression": "2+2"}}')
