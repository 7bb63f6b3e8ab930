"""Responses against a strict server on loopback: what it is sent and what is heard of its answer."""

import msgspec
import pytest

from core.errors import ModelBusy, ModelError, ModelUnreachable
from core.messages import Reasoning, Said, Stop, Text, ToolCall, Usage
from tests.adapters.models.provider import LUNA, asking, bench_of, model_on
from tests.contracts.model import ASKED, CALCULATE, HOSTED, PROMISES, heard, text_of
from tests.servers.completions.replies import ToolCall as ServedCall

NAME = f"responses:{LUNA}"


@pytest.fixture
def model(server, http):
    return model_on(server, http, NAME)


@pytest.mark.parametrize("promise", [*PROMISES, *HOSTED], ids=lambda p: p.__name__)
async def test_promise(promise, server, http):
    await promise(bench_of(server, http, NAME))


async def asked_for_a_tool(server, model, prompt, *ids, hidden=False):
    server.reply(
        "Well:",
        reasoning="hm",
        hidden=hidden,
        tool_calls=[ServedCall("calculator", {"expression": "2+2"}, id=i) for i in ids],
    )
    calls = tuple(e for e in await heard(model, prompt) if isinstance(e, ToolCall))
    results = tuple(Said("tool", "4", call=c.id) for c in calls)
    return msgspec.structs.replace(prompt, lines=(*prompt.lines, Said("assistant", "Well:", calls=calls), *results))


async def test_nothing_is_stored_and_the_reasoning_comes_back_encrypted(server, model):
    server.reply("ok")
    await heard(model, asking(key="k", limit=500))
    sent = server.requests[0].json
    assert (sent["store"], sent["include"]) == (False, ["reasoning.encrypted_content"])
    assert (sent["prompt_cache_key"], sent["instructions"]) == ("k", "S")
    assert sent["max_output_tokens"] > 500  # thinking counts too


async def test_reasoning_is_shown_again_within_the_turn_and_never_after_it(server, model):
    prompt = await asked_for_a_tool(server, model, asking(tools=(CALCULATE,)), "c1", "c2")
    again = await asked_for_a_tool(server, model, prompt, "c3")
    server.reply("4")
    await heard(model, again)
    kinds = [item.get("type", "message") for item in server.requests[2].json["input"]]
    call, output = "function_call", "function_call_output"
    first = ["reasoning", "message", call, call, output, output]
    assert kinds == ["message", *first, "reasoning", "message", call, output]
    server.reply("Good.")
    await heard(model, msgspec.structs.replace(again, lines=(*again.lines, Said("assistant", "4"), Said("user", "Ta"))))
    assert not [i for i in server.requests[3].json["input"] if i.get("type") == "reasoning"]


async def test_reasoning_without_words_is_shown_again_too(server, model):
    prompt = await asked_for_a_tool(server, model, asking(tools=(CALCULATE,)), "c1", hidden=True)
    server.reply("4")
    await heard(model, prompt)
    assert server.requests[1].json["input"][1]["encrypted_content"]
    assert len(server.requests) == 2


async def test_a_turn_that_goes_on_elsewhere_does_without_its_reasoning(server, model, http):
    prompt = await asked_for_a_tool(server, model, asking(tools=(CALCULATE,)), "c1")
    elsewhere = model_on(server, http, NAME)
    prompt = await asked_for_a_tool(server, elsewhere, prompt, "c2")
    server.reply("4")
    assert text_of(await heard(elsewhere, prompt)) == "4"
    assert [i for i in server.requests[2].json["input"] if i.get("type") == "reasoning"]


async def test_reasoning_that_the_server_does_not_know_any_more_is_left_out(server, model):
    prompt = await asked_for_a_tool(server, model, asking(tools=(CALCULATE,)), "c1")
    server.requests[0].wire._thoughts.clear()
    server.reply("4")
    assert text_of(await heard(model, prompt)) == "4"
    assert len(server.requests) == 3


async def test_fewer_calls_than_were_made_are_shown_without_the_reasoning(server, model):
    prompt = await asked_for_a_tool(server, model, asking(tools=(CALCULATE,)), "c1", "c2")
    made = prompt.lines[1]
    lines = (prompt.lines[0], msgspec.structs.replace(made, calls=made.calls[:1]), prompt.lines[2])
    server.reply("4")
    assert text_of(await heard(model, msgspec.structs.replace(prompt, lines=lines))) == "4"


async def test_a_model_that_does_not_think_is_not_asked_for_its_thoughts(server, http):
    server.models.append("gpt-4.1")
    server.reply("ok")
    await heard(model_on(server, http, "responses:gpt-4.1@high"), ASKED)
    assert not {"include", "reasoning"} & set(server.requests[0].json)


@pytest.mark.parametrize(
    ("refusal", "field"),
    [
        ("Unknown parameter: 'prompt_cache_key'.", "prompt_cache_key"),
        ("Encrypted content is not supported with this model.", "include"),
        ("Unsupported value: 'reasoning.effort' does not support 'low'.", "reasoning"),
    ],
)
async def test_a_field_that_a_server_refuses_is_left_out_from_then_on(server, http, refusal, field):
    model = model_on(server, http, f"{NAME}@low")
    for _ in range(2):
        server.fail(400, error={"message": refusal}, when=lambda asked: field in asked)
        server.reply("ok")
        assert text_of(await heard(model, asking(key="k"))) == "ok"
    assert [field in r.json for r in server.requests] == [True, False, False]


async def test_a_schema_is_sent(server, model):
    server.reply("{}")
    schema = msgspec.Raw(b'{"type":"object","properties":{}}')
    await heard(model, asking(schema=schema))
    assert server.requests[0].json["text"]["format"]["schema"] == {"type": "object", "properties": {}}


async def test_muse_spark_is_asked_at_its_own_address(server, http):
    server.models.append("muse-spark-1.3")
    server.reply("ok")
    model = model_on(server, http, "muse:muse-spark-1.3@xhigh")
    usage = next(e for e in await heard(model, ASKED) if isinstance(e, Usage))
    assert usage.cost == pytest.approx((usage.read * 1.25 + usage.written * 4.25) / 1e6)
    assert (server.requests[0].path, server.requests[0].effort) == ("/v1/responses", "xhigh")


def done(response):
    return b'{"type":"response.completed","response":%b}' % response


async def test_a_server_that_sends_its_items_only_at_the_end_is_understood(raw):
    item = b'{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}'
    model = await raw(done(b'{"output":[%b]}' % item), name="responses:m")
    assert await heard(model, ASKED) == [ToolCall("c", "f", "{}"), Stop("tools")]


async def test_what_is_new_in_a_stream_is_passed_over(raw):
    model = await raw(
        b'{"type":"response.something.delta","delta":{"a":1}}',
        b'{"type":"response.reasoning_text.delta","delta":"hm"}',
        b'{"type":"response.output_text.delta","delta":"Yes"}',
        b'{"type":"response.output_item.done","item":{"type":"web_search_call","id":"x"}}',
        done(b'{"usage":null}'),
        name="responses:m",
    )
    events = await heard(model, ASKED)
    assert "".join(e.text for e in events if isinstance(e, Reasoning)) == "hm"
    assert [e for e in events if not isinstance(e, Reasoning)] == [Text("Yes"), Stop("end")]


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (b'{"type":"response.failed","response":{"error":{"code":"server_error","message":"x"}}}', ModelError),
        (b'{"type":"response.failed","response":{"error":{"code":"rate_limit_exceeded"}}}', ModelBusy),
        (b'{"type":"error","code":"rate_limit_exceeded","message":"slow down"}', ModelBusy),
        (b'{"error":{"message":"overloaded"}}', ModelBusy),
        (b'{"type":"response.output_text.delta","delta":"Half"}', ModelUnreachable),
        (b'{"type":"response.output_item.done","item":{"type":3}}', ModelUnreachable),
        (b"[]", ModelError),
    ],
)
async def test_failures_inside_a_stream_have_their_kinds(raw, event, kind):
    first = b'{"type":"response.output_text.delta","delta":"One"}'
    model = await raw(first, event, done=False, name="responses:m")
    with pytest.raises(kind):
        await heard(model, ASKED)
