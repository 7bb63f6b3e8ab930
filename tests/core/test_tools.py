"""Tools: schema from type hints, arguments checked, failures told to the model as sentences."""

import asyncio
from typing import Annotated, Literal

import msgspec

from core.errors import ToolError
from core.messages import ChatRef, ToolCall
from core.tools import About, Caller, Toolbox, tool

CALLER = Caller("p", ChatRef("stage", "bot", "ada"), admin=False, key="turn:step")


@tool(label="looking", offered=lambda text: "weather" in text)
async def weather(
    place: Annotated[str, About(description="a town")], unit: Literal["C", "F"] = "C", *, days: int = 1
) -> str:
    """The weather
    at a place.

    Not told to the model.
    """
    if place == "Atlantis":
        raise ToolError("There is no such place.")
    if place == "Sleepy Hollow":
        await asyncio.sleep(60)
    return f"{place} {unit} {days}"


@tool(label="noting")
async def note(text: str, caller: Caller) -> str:
    """Keep a note."""
    return f"{text} {caller.key}"


BOX = Toolbox((weather, note))


def _call(name: str, arguments: str, seconds: float = 5.0):
    return BOX.call(ToolCall("c", name, arguments), CALLER, seconds)


def test_the_schema_comes_from_the_hints():
    schema = msgspec.json.decode(weather.spec.schema)
    assert weather.spec.about == "The weather at a place."
    assert schema["required"] == ["place"]
    assert schema["properties"]["place"] == {"type": "string", "description": "a town"}
    assert schema["properties"]["unit"]["enum"] == ["C", "F"]
    assert schema["additionalProperties"] is False


def test_the_caller_is_not_shown_to_the_model():
    assert "caller" not in bytes(note.spec.schema).decode()


async def test_a_call_is_checked_and_run():
    assert await _call("weather", '{"place": "Oslo", "days": 3}') == "Oslo C 3"
    assert await _call("note", '{"text": "milk"}') == "milk turn:step"


async def test_wrong_calls_are_sentences_for_the_model():
    assert "there is no tool 'sing'" in await _call("sing", "{}")
    for arguments in (
        '{"place": 4}',
        "{}",
        '{"place": "x", "unit": "K"}',
        '{"place": "x", "more": 1}',
        "not json",
        "[]",
    ):
        assert (await _call("weather", arguments)).startswith("Error: wrong arguments for weather")


async def test_failures_and_slowness_are_sentences_for_the_model():
    assert await _call("weather", '{"place": "Atlantis"}') == "Error: There is no such place."
    assert "longer than" in await _call("weather", '{"place": "Sleepy Hollow"}', 0.02)


async def test_a_long_result_is_cut():
    assert len(await _call("note", msgspec.json.encode({"text": "x" * 100_000}).decode())) < 20_100


def test_a_small_model_is_offered_only_what_fits():
    assert [t.name for t in BOX.fitting("hello")] == ["note"]
    assert [t.name for t in BOX.fitting("the weather?")] == ["weather", "note"]
