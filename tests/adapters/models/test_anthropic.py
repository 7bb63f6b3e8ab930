"""Anthropic's Messages against a strict server on loopback: what it is sent and what is heard of its answer."""

import msgspec
import pytest

from adapters.models import anthropic, exchange
from core.errors import ModelBusy, ModelError, ModelUnreachable
from core.messages import Media, Prompt, Reasoning, Said, Stop, Text, ToolCall, Usage
from tests.adapters.models.provider import HAIKU, KEY, SONNET, asking, bench_of, model_on
from tests.contracts.model import ASKED, CALCULATE, DOT, HOSTED, PROMISES, heard, text_of
from tests.servers.completions.replies import ToolCall as ServedCall
from tests.servers.models import ModelServer

NAME = f"anthropic:{SONNET}"


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


def kinds(seen):
    return [[block["type"] for block in message["content"]] for message in seen.messages]


def marked(seen):
    """Where the provider shall cache: place of the message and of its block."""
    messages = enumerate(seen.messages)
    return [(n, i) for n, m in messages for i, b in enumerate(m["content"]) if "cache_control" in b]


async def test_thinking_is_shown_again_within_the_turn_and_never_after_it(server, model):
    prompt = await asked_for_a_tool(server, model, asking(tools=(CALCULATE,), now="noon"), "a1", "a2")
    again = await asked_for_a_tool(server, model, prompt, "a3")
    server.reply("4")
    await heard(model, again)
    two, one = ["thinking", "text", "tool_use", "tool_use"], ["thinking", "text", "tool_use"]
    assert kinds(server.requests[2]) == [["text"], two, ["tool_result", "tool_result"], one, ["tool_result"]]
    server.reply("Good.")
    later = (*again.lines, Said("assistant", "4"), Said("user", "Ta"))
    await heard(model, msgspec.structs.replace(again, lines=later))
    assert "thinking" not in str(kinds(server.requests[3]))
    assert len(server.requests) == 4


async def test_thinking_without_words_is_shown_again_too(server, model):
    prompt = await asked_for_a_tool(server, model, asking(tools=(CALCULATE,)), "a1", hidden=True)
    server.reply("4")
    await heard(model, prompt)
    assert kinds(server.requests[1])[1] == ["thinking", "redacted_thinking", "text", "tool_use"]


@pytest.mark.parametrize("name", [NAME, f"{NAME}@high", f"anthropic:{HAIKU}@low"])
async def test_a_turn_that_goes_on_elsewhere_does_without_its_thinking(server, http, name):
    prompt = await asked_for_a_tool(server, model_on(server, http, name), asking(tools=(CALCULATE,)), "a1")
    elsewhere = model_on(server, http, name)
    prompt = await asked_for_a_tool(server, elsewhere, prompt, "a2")
    server.reply("4")
    assert text_of(await heard(elsewhere, prompt)) == "4"
    assert len(server.requests) == 3
    assert "thinking" not in kinds(server.requests[2])[1]


async def test_thinking_is_left_out_where_what_stood_before_it_has_changed(server, model):
    prompt = await asked_for_a_tool(
        server, model, asking(Said("user", "old"), Said("user", "Hi"), tools=(CALCULATE,)), "a1"
    )
    for changed in (
        msgspec.structs.replace(prompt, lines=prompt.lines[1:]),
        msgspec.structs.replace(prompt, system="other"),
        msgspec.structs.replace(prompt, now="later"),
    ):
        server.reply("4")
        assert text_of(await heard(model, changed)) == "4"
        assert "thinking" not in str(kinds(server.requests[-1]))
    server.reply("4")
    await heard(model, prompt)
    assert "thinking" in str(kinds(server.requests[-1]))
    assert len(server.requests) == 5


async def test_thinking_that_the_server_refuses_is_left_out(server, model):
    prompt = await asked_for_a_tool(server, model, asking(tools=(CALCULATE,)), "a1")
    server.requests[0].wire._thoughts.clear()
    server.reply("4")
    assert text_of(await heard(model, prompt)) == "4"
    assert len(server.requests) == 3


async def test_what_is_stable_is_marked_for_the_cache_and_the_date_is_not(server, model):
    lines = (Said("user", "One"), Said("assistant", "1"), Said("user", "Two"))
    prompt = await asked_for_a_tool(server, model, asking(*lines, tools=(CALCULATE,), now="noon"), "a1")
    server.reply("4")
    await heard(model, prompt)
    for seen in server.requests:
        assert seen.json["system"][0]["cache_control"] == {"type": "ephemeral"}
        assert seen.json["tools"][-1]["cache_control"] == {"type": "ephemeral"}
    assert marked(server.requests[0]) == [(1, 0)]
    assert marked(server.requests[1]) == [(1, 0), (4, 0)]


async def test_usage_counts_what_was_cached_and_stored(server, model):
    server.reply("one two", cached_tokens=7, stored_tokens=5)
    usage = next(e for e in await heard(model, ASKED) if isinstance(e, Usage))
    fresh = usage.read - 12
    assert (usage.cached, usage.written) == (7, 2)
    assert usage.cost == pytest.approx((fresh * 2 + 7 * 0.1 + 5 * 2.5 + 2 * 10) / 1e6)


@pytest.mark.parametrize(
    ("name", "thinking", "effort"),
    [
        (NAME, None, None),
        (f"{NAME}@max", {"type": "adaptive"}, "max"),
        (f"{NAME}@none", {"type": "between_tools"}, None),
        (f"anthropic:{HAIKU}", None, None),
        (f"anthropic:{HAIKU}@medium", {"type": "enabled", "budget_tokens": 8192}, None),
        (f"anthropic:{HAIKU}@none", {"type": "disabled"}, None),
        (f"anthropic:{HAIKU}@max", None, None),  # it has no such
        ("anthropic:nobody-knows@low", None, "low"),
    ],
)
async def test_each_model_is_told_in_its_own_way_how_much_to_think(server, http, name, thinking, effort):
    server.models.append("nobody-knows")
    server.reply("ok")
    await heard(model_on(server, http, name), ASKED)
    sent = server.requests[0].json
    assert sent.get("thinking") == thinking
    assert sent.get("output_config", {}).get("effort") == effort


async def test_the_longest_reply_is_always_named(server, http, model):
    for limit, most in ((0, 128_000), (500, 500 + anthropic.ROOM)):
        server.reply("ok")
        await heard(model, asking(limit=limit))
        assert server.requests[-1].json["max_tokens"] == most
    unknown = model_on(server, http, "anthropic:other")
    server.reply("ok")
    await heard(unknown, asking())
    assert server.requests[-1].json["max_tokens"] == anthropic.LONGEST
    told = "max_tokens: 8192 > 4096, which is the maximum allowed number of output tokens for other"
    server.fail(400, error={"type": "invalid_request_error", "message": told})
    server.reply("ok")
    assert text_of(await heard(unknown, asking())) == "ok"
    assert server.requests[-1].json["max_tokens"] == 4096


async def test_roles_take_turns_and_nothing_empty_is_said(server, model):
    lines = (Said("assistant", "x"), Said("user", " "), Said("user", "a"), Said("user", "b"), Said("assistant", "\n"))
    server.reply("ok")
    await heard(model, Prompt(system=" ", lines=lines))
    assert "system" not in server.requests[0].json
    said = [(m["role"], [b["text"] for b in m["content"]]) for m in server.requests[0].messages]
    assert said == [("user", [anthropic.BEFORE]), ("assistant", ["x"]), ("user", ["a", "b"])]


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_a_picture_that_is_too_large_is_told_of(server, model):
    large = Media("image/jpeg", b"\xff" * 3_800_000)
    server.reply("ok")
    await heard(model, asking(media=(large, Media("image/png", DOT))))
    assert server.requests[0].pictures == [("image/png", DOT)]
    assert exchange.NO_PICTURE in server.requests[0].asked
    just = Media("image/jpeg", b"\xff" * 3_700_000)
    server.reply("ok")
    await heard(model, asking(media=(just,)))
    assert server.requests[1].pictures == [("image/jpeg", just.data)]


async def test_a_history_with_calls_is_taken_where_no_tool_may_be_called_now(server, model):
    lines = (*ASKED.lines, Said("assistant", "", calls=(ToolCall("a", "f", "{}"),)), Said("tool", "1", call="a"))
    server.reply("ok")
    await heard(model, asking(*lines))
    assert server.requests[0].json["tool_choice"] == {"type": "none"}


async def test_a_schema_is_sent(server, model):
    server.reply("{}")
    await heard(model, asking(schema=msgspec.Raw(b'{"type":"object","properties":{}}')))
    assert server.requests[0].json["output_config"]["format"]["type"] == "json_schema"


@pytest.mark.parametrize(
    ("told", "meant"),
    [("model_context_window_exceeded", "length"), ("pause_turn", "length"), ("stop_sequence", "end"), ("new", "end")],
)
async def test_reasons_to_stop(server, model, told, meant):
    server.reply("x", finish_reason=told)
    assert (await heard(model, ASKED))[-1] == Stop(meant)


async def test_a_refusal_without_a_word_gives_its_reason(server, model):
    server.reply("", finish_reason="content_filter")
    events = await heard(model, ASKED)
    assert (text_of(events), events[-1]) == ("This was declined.", Stop("refused"))


async def test_a_base_url_without_its_version_is_understood(http):
    async with ModelServer(key=KEY, models=(SONNET,)) as server:
        server.reply("ok")
        there = model_on(server, http, NAME)
        assert text_of(await heard(there, ASKED)) == "ok"
        assert server.requests[0].path == "/v1/messages"
        bare = type(there)(NAME, server.url.removesuffix("/v1"), KEY, http)
        server.reply("ok")
        assert text_of(await heard(bare, ASKED)) == "ok"
        assert server.requests[1].path == "/v1/messages"


START = b'{"type":"message_start","message":{"usage":{"input_tokens":5,"output_tokens":1}}}'


def block(kind, *deltas):
    parts = b"".join(b',{"type":"content_block_delta","index":0,"delta":%b}' % d for d in deltas)
    return msgspec.json.decode(b'[{"type":"content_block_start","index":0,"content_block":%b}%b]' % (kind, parts))


async def test_what_is_new_in_a_stream_is_passed_over(raw):
    events = block(
        b'{"type":"thinking","thinking":"h"}',
        b'{"type":"thinking_delta","thinking":"m"}',
        b'{"type":"something_delta","something":{"a":1}}',
    )
    model = await raw(
        START,
        b'{"type":"ping"}',
        *[msgspec.json.encode(e) for e in events],
        b'{"type":"something","index":1}',
        b'{"type":"content_block_delta","index":7,"delta":{"type":"text_delta","text":"Yes"}}',
        b'{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":9}}',
        b'{"type":"message_stop"}',
        name="anthropic:m",
        done=False,
    )
    got = await heard(model, ASKED)
    assert "".join(e.text for e in got if isinstance(e, Reasoning)) == "hm"
    usage = Usage("anthropic:m", 5, 0, 9, None)
    assert [e for e in got if not isinstance(e, Reasoning)] == [Text("Yes"), usage, Stop("end")]


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', ModelBusy),
        (b'{"type":"error","error":{"type":"api_error","message":"x"}}', ModelError),
        (b'{"error":{"message":"rate limit"}}', ModelBusy),
        (b'{"type":"message_stop"}', ModelUnreachable),
        (b"<html>", ModelError),
    ],
)
async def test_failures_inside_a_stream_have_their_kinds(raw, event, kind):
    text = b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"One"}}'
    model = await raw(START, text, event, done=False, name="anthropic:m")
    with pytest.raises(kind):
        await heard(model, ASKED)
