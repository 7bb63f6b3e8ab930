"""What Chat Completions is sent: the same bytes from turn to turn, whatever was said, to servers that refuse some of it."""

import msgspec
import pytest

from adapters.models import body, exchange
from core.errors import ModelFailed
from core.messages import Media, Said, Stop, ToolCall
from tests.adapters.models.provider import LUNA, asking, model_on
from tests.contracts.model import CALCULATE, heard, text_of


async def test_the_body_begins_with_the_same_bytes_from_turn_to_turn(server, model):
    lines = (Said("user", "One?"),)
    for turn in range(3):
        server.reply(f"Answer {turn}.")
        await heard(model, asking(*lines, tools=(CALCULATE,), now=f"minute {turn}", key="k"))
        lines = (*lines, Said("assistant", f"Answer {turn}."), Said("user", f"More {turn}?"))
    bodies = [r.body for r in server.requests]
    system = b'{"messages":[{"role":"system","content":"S"},'
    assert all(b.startswith(system) for b in bodies)
    assert server.requests[0].json["tools"] == server.requests[2].json["tools"]
    assert server.requests[2].messages[1]["content"] == "One?"
    assert server.requests[2].asked == "(minute 2)\nMore 1?"
    assert server.requests[0].json["prompt_cache_key"] == "k"


async def test_system_and_tools_are_encoded_once():
    form = body.Form("m")
    prompt = asking(tools=(CALCULATE,))
    body.encode(prompt, form)
    before = body._tools.cache_info().hits, body._system.cache_info().hits
    same = msgspec.structs.replace(prompt, tools=(msgspec.structs.replace(CALCULATE),))
    body.encode(same, form)
    assert (body._tools.cache_info().hits, body._system.cache_info().hits) == (before[0] + 1, before[1] + 1)


async def test_date_and_picture_go_with_the_newest_message_of_a_person_also_after_calls(server, model):
    lines = (
        Said("user", "old"),
        Said("user", "look", speaker="Ada"),
        Said("assistant", "", calls=(ToolCall("c", "calculator", ""),)),
        Said("tool", "4", call="c"),
    )
    server.reply("ok")
    await heard(model, asking(*lines, now="noon", media=(Media("image/png", b"\x89PNG"), Media("audio/wav", b"RIFF"))))
    sent = server.requests[0].messages
    assert sent[1]["content"] == "old"
    assert sent[2]["content"][0]["text"] == f"(noon)\nAda: look\n{exchange.NO_SOUND}"
    assert sent[2]["content"][1]["image_url"]["url"] == "data:image/png;base64,iVBORw=="
    assert sent[3]["tool_calls"][0]["function"]["arguments"] == "{}"
    assert sent[4] == {"role": "tool", "tool_call_id": "c", "content": "4"}


async def test_sound_goes_to_a_model_that_hears(server, http):
    model = model_on(server, http, abilities=("audio",))
    server.reply("ok")
    await heard(model, asking(media=(Media("audio/mpeg; rate=1", b"ID3"), Media("image/png", b"x"))))
    parts = server.requests[0].messages[1]["content"]
    assert parts[0]["text"].endswith(exchange.NO_PICTURE)
    assert parts[1] == {"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}}


async def test_a_history_that_was_cut_through_a_call_is_still_accepted(server, model):
    lines = (
        Said("tool", "orphan", call="gone"),
        Said("assistant", ""),
        Said("assistant", "x", calls=(ToolCall("a", "f", "not json"), ToolCall("b", "f", "{}"))),
        Said("tool", "1", call="a"),
        Said("user", "and \udce4?"),
    )
    server.reply("ok")
    assert text_of(await heard(model, asking(*lines))) == "ok"
    assert [m["role"] for m in server.requests[0].messages] == ["system", "assistant", "tool", "tool", "user"]
    assert server.requests[0].messages[3]["content"] == exchange.NO_RESULT


async def test_a_schema_and_a_limit_are_sent(server, model):
    server.reply("one two three")
    schema = msgspec.Raw(b'{"type":"object","properties":{}}')
    events = await heard(model, asking(limit=2, schema=schema))
    assert server.requests[0].json["response_format"]["json_schema"]["schema"] == {"type": "object", "properties": {}}
    assert events[-1] == Stop("length")


def test_a_provider_with_short_ids_gets_nine_letters():
    said = (Said("assistant", "", calls=(ToolCall("call_long_1", "f", "{}"),)), Said("tool", "1", call="call_long_1"))
    sent = msgspec.json.decode(body.encode(asking(*said), body.Form("m", short_ids=True)))["messages"]
    short = sent[1]["tool_calls"][0]["id"]
    assert len(short) == 9
    assert short.isalnum()
    assert sent[2]["tool_call_id"] == short


@pytest.mark.parametrize(
    ("refusal", "field"),
    [
        ("Unknown field: stream_options", "stream_options"),
        ("Extra inputs are not permitted: max_completion_tokens", "max_completion_tokens"),
        ("Unrecognized request argument supplied: prompt_cache_key", "prompt_cache_key"),
    ],
)
async def test_a_field_that_a_server_refuses_is_left_out_from_then_on(server, model, refusal, field):
    for _ in range(2):
        server.fail(400, error={"message": refusal, "type": "invalid_request_error"}, when=lambda asked: field in asked)
        server.reply("ok")
        assert text_of(await heard(model, asking(limit=9, key="k"))) == "ok"
    assert [field in r.json for r in server.requests] == [True, False, False]
    if field == "max_completion_tokens":
        assert server.requests[-1].json["max_tokens"] == 9


async def test_a_model_that_takes_tools_only_without_thinking_gets_them_so(server, model):
    text = "Function tools with reasoning_effort are not supported. Set reasoning_effort to 'none'."
    server.fail(400, error={"message": text}, when=lambda asked: "reasoning_effort" not in asked)
    server.reply("ok")
    assert text_of(await heard(model, asking(tools=(CALCULATE,)))) == "ok"
    assert server.requests[1].json["reasoning_effort"] == "none"


async def test_a_model_that_thinks_only_without_tools_does_so(server, http):
    model = model_on(server, http, f"openai:{LUNA}@high")
    text = "Function tools with reasoning_effort are not supported."
    server.fail(400, error={"message": text}, when=lambda asked: asked.get("reasoning_effort") == "high")
    for tools in ((CALCULATE,), (CALCULATE,), ()):
        server.reply("ok")
        assert text_of(await heard(model, asking(tools=tools))) == "ok"
    assert [r.effort for r in server.requests] == ["high", "none", "none", "high"]


async def test_a_server_that_refuses_for_ever_is_not_asked_for_ever(server, model):
    server.fail(
        400, times=9, error={"message": "stream_options prompt_cache_key reasoning_effort max_completion_tokens"}
    )
    with pytest.raises(ModelFailed):
        await heard(model, asking())
    assert len(server.requests) <= 5
