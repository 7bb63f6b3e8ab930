"""The model server keeps its promises on its two other protocols too; each test speaks plain HTTP to it."""

import io

import aiohttp
import msgspec
import pytest

from tests.servers.completions.replies import ToolCall
from tests.servers.models import ModelServer

HELLO = {"role": "user", "content": "hello"}
SHOWN = {"anthropic-version": "2023-06-01", "x-api-key": "k", "Authorization": "Bearer k"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "number"}}}


@pytest.fixture
async def server():
    async with ModelServer(key="k", models=("test-model", "claude-haiku-4-5", "claude-opus-5-5")) as running:
        yield running


@pytest.fixture
async def web():
    async with aiohttp.ClientSession(headers=SHOWN) as session:
        yield session


async def refused(web, server, path, body):
    sent = io.BytesIO(msgspec.json.encode(body))  # pictures are large
    headers = {"Content-Type": "application/json"}
    async with web.post(f"{server.url}/{path}", data=sent, headers=headers) as reply:
        assert reply.status >= 400, await reply.text()
        return reply.status, (await reply.json())["error"]


async def events(web, server, path, body):
    async with web.post(f"{server.url}/{path}", json=body) as reply:
        assert reply.status == 200, await reply.text()
        *frames, end = (await reply.read()).decode().split("\n\n")
    assert end == ""
    told = [frame.split("\ndata: ") for frame in frames]
    found = [msgspec.json.decode(data) for _, data in told]
    assert [name for name, _ in told] == [f"event: {event['type']}" for event in found]
    return found


def as_responses(*items, **more):
    return {"model": "test-model", "input": list(items), "stream": True, **more}


def as_messages(*messages, **more):
    return {"model": "test-model", "messages": list(messages), "max_tokens": 900, "stream": True, **more}


CALL = {"type": "function_call", "call_id": "c", "name": "add", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "4"}
TOOL = {"type": "function", "name": "add", "parameters": SCHEMA, "strict": False}
PICTURE = {"type": "input_image", "image_url": "data:image/tiff;base64,QUFB"}
BAD_RESPONSES = {
    "an argument": as_responses(HELLO, messages=[]),
    "nothing": as_responses(),
    "a role": as_responses({"role": "tool", "content": "x"}),
    "a part of another protocol": as_responses({"role": "user", "content": [{"type": "text", "text": "x"}]}),
    "a picture": as_responses({"role": "user", "content": [PICTURE]}),
    "a call without its output": as_responses(HELLO, CALL),
    "an output without its call": as_responses(HELLO, OUTPUT),
    "an output twice": as_responses(HELLO, CALL, OUTPUT, OUTPUT),
    "a call twice": as_responses(HELLO, CALL, CALL, OUTPUT),
    "an id": as_responses(HELLO, {**CALL, "call_id": "c" * 65}, OUTPUT),
    "a thought of nobody": as_responses(
        {"type": "reasoning", "id": "r", "summary": [], "encrypted_content": "x"}, HELLO
    ),
    "a nested tool": as_responses(HELLO, tools=[{"type": "function", "function": {"name": "add"}}]),
    "a strict tool": as_responses(HELLO, tools=[{**TOOL, "strict": True}]),
    "an effort": as_responses(HELLO, reasoning={"effort": "enormous"}),
    "a length": as_responses(HELLO, max_output_tokens=2),
    "a format": as_responses(HELLO, text={"format": {"type": "json_schema"}}),
}
USED = {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "add", "input": {}}]}
RESULT = {"type": "tool_result", "tool_use_id": "c", "content": "4"}
TOLD = {"role": "user", "content": [RESULT]}
TOOLS = {"tools": [{"name": "add", "input_schema": SCHEMA}]}
SAID = {"role": "assistant", "content": "Hi"}
MARK = {"cache_control": {"type": "ephemeral"}}


def picture(kind="image/png", data="QUFB"):
    source = {"type": "base64", "media_type": kind, "data": data}
    return {"role": "user", "content": [{"type": "image", "source": source}]}


def thought(**more):
    return {"role": "assistant", "content": [{"type": "thinking", "thinking": "x", "signature": "y", **more}]}


BAD_MESSAGES = {
    "an argument": as_messages(HELLO, input=[]),
    "no length": {"model": "test-model", "messages": [HELLO]},
    "a length": as_messages(HELLO, max_tokens=200_000),
    "nothing": as_messages(),
    "the wrong beginning": as_messages(SAID, HELLO),
    "the same role twice": as_messages(HELLO, HELLO),
    "the wrong end": as_messages(HELLO, SAID),
    "an empty text": as_messages({"role": "user", "content": [{"type": "text", "text": " "}]}),
    "a picture's kind": as_messages(picture("image/tiff")),
    "a picture's size": as_messages(picture(data="AAAA" * 1_400_000)),
    "no result": as_messages(HELLO, USED, HELLO, **TOOLS),
    "a result of nothing": as_messages(HELLO, SAID, TOLD, **TOOLS),
    "a late result": as_messages(
        HELLO, USED, {"role": "user", "content": [{"type": "text", "text": "x"}, RESULT]}, **TOOLS
    ),
    "no tools": as_messages(HELLO, USED, TOLD),
    "an id twice": as_messages(HELLO, USED, TOLD, USED, TOLD, **TOOLS),
    "an id": as_messages(HELLO, {**USED, "content": [{**USED["content"][0], "id": "a:b"}]}, TOLD, **TOOLS),
    "a tool": as_messages(HELLO, tools=[{"name": "add", "parameters": SCHEMA}]),
    "a forced tool": as_messages(HELLO, **TOOLS, tool_choice={"type": "any"}),
    "a signature of nobody": as_messages(HELLO, thought(), HELLO),
    "a mark on a thought": as_messages(HELLO, thought(**MARK), HELLO),
    "five marks": as_messages({"role": "user", "content": [{"type": "text", "text": "x", **MARK}] * 5}),
    "a budget": as_messages(HELLO, thinking={"type": "enabled", "budget_tokens": 1024}),
    "a budget beyond the length": as_messages(
        HELLO, model="claude-haiku-4-5", thinking={"type": "enabled", "budget_tokens": 1024}
    ),
    "an effort where it counts": as_messages(HELLO, model="claude-haiku-4-5", output_config={"effort": "low"}),
    "no thinking": as_messages(HELLO, model="claude-opus-5-5", thinking={"type": "disabled"}),
    "a system of nothing": as_messages(HELLO, system=[{"type": "text", "text": ""}]),
}
BAD = {f"responses: {k}": ("responses", v) for k, v in BAD_RESPONSES.items()}
BAD |= {f"messages: {k}": ("messages", v) for k, v in BAD_MESSAGES.items()}


@pytest.mark.parametrize("what", BAD)
async def test_a_request_that_the_real_one_would_refuse_is_refused(server, web, what):
    status, error = await refused(web, server, *BAD[what])
    assert status == 400
    assert error["type"] == "invalid_request_error"


async def test_each_protocol_wants_the_key_in_its_own_header(server):
    async with aiohttp.ClientSession() as bare:
        for path, body in (("responses", as_responses(HELLO)), ("messages", as_messages(HELLO))):
            assert (await refused(bare, server, path, body))[0] == 401
        for headers, status in (({"x-api-key": "k"}, 400), ({**SHOWN, "x-api-key": "no"}, 401)):
            async with bare.post(f"{server.url}/messages", json=as_messages(HELLO), headers=headers) as reply:
                assert (reply.status, (await reply.json())["type"]) == (status, "error")


async def test_responses_stream_their_items_and_end_with_all_of_them(server, web):
    server.reply("One two.", reasoning="so", tool_calls=[ToolCall("add", {"a": 1}, id="c")], cached_tokens=3)
    told = await events(
        web, server, "responses", as_responses(HELLO, tools=[TOOL], include=["reasoning.encrypted_content"])
    )
    assert [e["sequence_number"] for e in told] == list(range(len(told)))
    deltas = [e["delta"] for e in told if e["type"] == "response.output_text.delta"]
    assert "".join(deltas) == "One two."
    ended = told[-1]["response"]
    assert (told[-1]["type"], [item["type"] for item in ended["output"]]) == (
        "response.completed",
        ["reasoning", "message", "function_call"],
    )
    assert ended["usage"]["input_tokens_details"]["cached_tokens"] == 3
    thinking = {k: v for k, v in ended["output"][0].items() if k != "status"}
    call = {"role": "assistant", "content": "One two."}
    again = as_responses(HELLO, thinking, call, CALL, OUTPUT, tools=[TOOL])
    assert (await events(web, server, "responses", again))[-1]["type"] == "response.completed"
    alone = as_responses(HELLO, thinking, HELLO)
    assert "required following item" in (await refused(web, server, "responses", alone))[1]["message"]


async def test_messages_know_their_thoughts_again_and_what_they_were_about(server, web):
    server.reply("One two.", reasoning="so", tool_calls=[ToolCall("add", {"a": 1}, id="c")], stored_tokens=3)
    told = await events(web, server, "messages", as_messages(HELLO, **TOOLS))
    assert told[0]["message"]["usage"]["cache_creation_input_tokens"] == 3
    assert [e["content_block"]["type"] for e in told if e["type"] == "content_block_start"] == [
        "thinking",
        "text",
        "tool_use",
    ]
    assert told[-2]["delta"]["stop_reason"] == "tool_use"
    signature = next(e["delta"]["signature"] for e in told if e.get("delta", {}).get("type") == "signature_delta")
    kept = {"type": "thinking", "thinking": "so", "signature": signature}
    made = {"role": "assistant", "content": [kept, *USED["content"]]}
    marked = {"role": "user", "content": [{**RESULT, **MARK}]}
    assert (await events(web, server, "messages", as_messages(HELLO, made, marked, **TOOLS)))[-1][
        "type"
    ] == "message_stop"
    other = as_messages({**HELLO, "content": "Hello!"}, made, TOLD, **TOOLS)
    assert "different conversation" in (await refused(web, server, "messages", other))[1]["message"]


async def test_who_counts_thoughts_wants_to_see_them_before_the_calls(server, web):
    thinks = {"model": "claude-haiku-4-5", "max_tokens": 5000, "thinking": {"type": "enabled", "budget_tokens": 1024}}
    _, error = await refused(web, server, "messages", as_messages(HELLO, USED, TOLD, **TOOLS) | thinks)
    assert "Expected `thinking`" in error["message"]
    assert await events(
        web, server, "messages", as_messages(HELLO, USED, TOLD, **TOOLS) | thinks | {"thinking": {"type": "disabled"}}
    )


@pytest.mark.parametrize(("path", "body"), [("responses", as_responses(HELLO)), ("messages", as_messages(HELLO))])
async def test_faults_come_on_order(server, web, path, body):
    server.fail(529, retry_after=2)
    async with web.post(f"{server.url}/{path}", json=body) as reply:
        assert (reply.status, reply.headers["Retry-After"]) == (529, "2")
    server.reply("one two", error_after=1)
    told = await events(web, server, path, body)
    assert told[-1]["type"] == "error"
    server.reply("one two three", cut_after=2)
    async with web.post(f"{server.url}/{path}", json=body) as reply:
        with pytest.raises(aiohttp.ClientPayloadError):
            await reply.read()
    server.reply("Grüße 👩‍👩‍👧", chunk_bytes=3)
    assert "👩‍👩‍👧" in msgspec.json.encode(await events(web, server, path, body)).decode()
    assert server.requests[-1].asked == "hello"
