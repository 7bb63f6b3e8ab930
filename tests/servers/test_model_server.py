"""The model server keeps its own promises; each test speaks plain HTTP to it."""

import asyncio
import contextlib
import io
from email.utils import parsedate_to_datetime

import aiohttp
import msgspec
import pytest

from tests.servers.completions.replies import Reply, ToolCall, http_date
from tests.servers.models import ModelServer

HELLO = [{"role": "user", "content": "hello"}]
TOOL = {
    "type": "function",
    "function": {"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "number"}}}},
}


@pytest.fixture
async def server():
    async with ModelServer() as running:
        yield running


@pytest.fixture
async def web():
    async with aiohttp.ClientSession() as session:
        yield session


def ask(web, server, messages=HELLO, headers=None, **more):
    body = {"model": "test-model", "messages": messages, **more}
    return web.post(f"{server.url}/chat/completions", json=body, headers=headers)


async def refused(web, server, messages=HELLO, **more):
    async with ask(web, server, messages, **more) as reply:
        assert reply.status >= 400, await reply.text()
        return reply.status, (await reply.json())["error"]


async def streamed(web, server, **more):
    async with ask(web, server, stream=True, **more) as reply:
        assert reply.status == 200, await reply.text()
        return await reply.read()


def frames(raw):
    *events, end = raw.decode().split("\n\n")
    assert end == ""
    assert all(e.startswith("data: ") for e in events)
    assert events[-1] == "data: [DONE]"
    return [msgspec.json.decode(e[6:]) for e in events[:-1]]


def told(events, what="content"):
    return "".join(e["choices"][0]["delta"].get(what) or "" for e in events if e["choices"])


async def test_the_same_question_is_always_answered_the_same_way(server, web):
    async with ask(web, server) as reply:
        first = (await reply.json())["choices"][0]
    assert first["message"]["content"] == "You said: hello"
    assert first["finish_reason"] == "stop"
    assert told(frames(await streamed(web, server))) == "You said: hello"
    assert [seen.asked for seen in server.requests] == ["hello", "hello"]


async def test_a_stream_ends_with_usage_and_done(server, web):
    server.reply("Paris is it.", cached_tokens=3)
    events = frames(await streamed(web, server, stream_options={"include_usage": True}))
    assert events[-1]["choices"] == []
    assert events[-1]["usage"]["completion_tokens"] == 3
    assert events[-1]["usage"]["prompt_tokens_details"]["cached_tokens"] == 3
    assert all(e["usage"] is None for e in events[:-1])
    assert events[-2]["choices"][0]["finish_reason"] == "stop"
    assert told(events) == "Paris is it."


async def test_the_models_are_listed_and_the_key_is_asked_for(web):
    async with ModelServer(key="k", models=["a", "b"]) as server:
        async with web.get(f"{server.url}/models", headers={"Authorization": "Bearer k"}) as reply:
            assert [m["id"] for m in (await reply.json())["data"]] == ["a", "b"]
        assert (await refused(web, server))[0] == 401
        status, error = await refused(web, server, headers={"Authorization": "Bearer k"})
        assert (status, error["code"]) == (404, "model_not_found")


CALLED = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}],
}
BAD = {
    "a role": ([{"role": "robot", "content": "x"}], {}),
    "no content": ([{"role": "user"}], {}),
    "a part": ([{"role": "user", "content": [{"type": "video"}]}], {}),
    "a picture": (
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,?"}}]}],
        {},
    ),
    "a late answer to a call": ([*HELLO, CALLED, *HELLO, {"role": "tool", "tool_call_id": "c1", "content": "4"}], {}),
    "no answer at the end": ([*HELLO, CALLED], {}),
    "an answer to nothing": ([*HELLO, {"role": "tool", "tool_call_id": "c9", "content": "4"}], {}),
    "an argument": (HELLO, {"streem": True}),
    "options without a stream": (HELLO, {"stream_options": {"include_usage": True}}),
    "a tool's name": (HELLO, {"tools": [{"type": "function", "function": {"name": "a b"}}]}),
    "a tool's schema": (
        HELLO,
        {"tools": [{"type": "function", "function": {"name": "a", "parameters": {"type": "objekt"}}}]},
    ),
    "no tools": (HELLO, {"tools": []}),
    "a number": (HELLO, {"max_tokens": "5"}),
    "nothing": ([], {}),
}


@pytest.mark.parametrize("what", BAD)
async def test_a_request_that_openai_would_refuse_is_refused(server, web, what):
    messages, more = BAD[what]
    status, error = await refused(web, server, messages, **more)
    assert status == 400
    assert error["type"] == "invalid_request_error"


async def test_answered_calls_and_tools_are_accepted(server, web):
    messages = [*HELLO, CALLED, {"role": "tool", "tool_call_id": "c1", "content": "4"}]
    assert frames(await streamed(web, server, messages=messages, tools=[TOOL], tool_choice="auto"))


async def test_more_than_the_window_is_refused(web):
    async with ModelServer(window=100) as server:
        status, error = await refused(web, server, [{"role": "user", "content": "x" * 500}])
    assert (status, error["code"]) == (400, "context_length_exceeded")


async def test_a_picture_of_megabytes_is_taken(server, web):
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "AAAA" * 600_000}}
    content = [{"type": "text", "text": "see"}, picture]
    body = msgspec.json.encode({"model": "test-model", "messages": [{"role": "user", "content": content}]})
    headers = {"Content-Type": "application/json"}
    async with web.post(f"{server.url}/chat/completions", data=io.BytesIO(body), headers=headers) as reply:
        assert (await reply.json())["choices"][0]["message"]["content"] == "You said: see"


async def test_tool_calls_come_in_pieces(server, web):
    server.reply(tool_calls=[ToolCall("add", {"a": 12345}), ToolCall("add", '{"a": brok')])
    events = frames(await streamed(web, server, tools=[TOOL]))
    arguments = {0: "", 1: ""}
    for event in events:
        for part in event["choices"][0]["delta"].get("tool_calls", []):
            arguments[part["index"]] += part["function"]["arguments"]
    assert arguments == {0: '{"a":12345}', 1: '{"a": brok'}
    assert events[-1]["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("how", [{"chunk_bytes": 1}, {"chunk_bytes": 7}, {"batch": 50}, {"batch": 3, "chunk_bytes": 5}])
async def test_chunks_may_cut_letters_or_hold_many_events(server, web, how):
    server.reply("Grüße 👩‍👩‍👧 aus München", reasoning="hmm ä", **how)
    chunks = []
    async with ask(web, server, stream=True) as reply:
        async for chunk, _ in reply.content.iter_chunks():
            chunks.append(chunk)
    events = frames(b"".join(chunks))
    assert told(events) == "Grüße 👩‍👩‍👧 aus München"
    assert told(events, "reasoning_content") == "hmm ä"
    if how == {"batch": 50}:
        assert len(chunks) == 1
    if how == {"chunk_bytes": 1}:
        with pytest.raises(UnicodeDecodeError):
            [c.decode() for c in chunks]


async def test_a_pace_is_kept_and_the_first_token_may_wait(server, web):
    server.reply("a b c d e", tokens_per_second=50, first_token_delay=0.1)
    clock = asyncio.get_running_loop().time
    begin = clock()
    await streamed(web, server)
    assert clock() - begin > 0.19


async def test_a_length_that_was_asked_for_is_kept(server, web):
    server.reply("one two three")
    events = frames(await streamed(web, server, max_tokens=2))
    assert told(events) == "one two"
    assert events[-1]["choices"][0]["finish_reason"] == "length"


async def test_failures_come_on_order(server, web):
    server.fail(429, retry_after=1.5)
    server.fail(429, retry_after=http_date(30))
    server.fail(503, body=b"<html>busy</html>")
    server.reply("", finish_reason="content_filter")
    async with ask(web, server) as reply:
        assert (reply.status, reply.headers["Retry-After"]) == (429, "1.5")
    async with ask(web, server) as reply:
        assert parsedate_to_datetime(reply.headers["Retry-After"]).tzinfo
    async with ask(web, server) as reply:
        assert (reply.status, reply.content_type) == (503, "text/html")
    [_, last] = frames(await streamed(web, server))
    assert last["choices"][0]["finish_reason"] == "content_filter"
    assert not server.waiting


async def test_a_stream_breaks_in_the_middle_on_order(server, web):
    server.reply("one two three", cut_after=2)
    got = []

    async def listen(reply):
        while part := await reply.content.readany():
            got.append(part)

    async with ask(web, server, stream=True) as reply:
        with pytest.raises(aiohttp.ClientPayloadError):
            await listen(reply)
    assert b" two" in b"".join(got)
    assert b"three" not in b"".join(got)
    assert server.requests[0].closed == "cut"


async def test_an_error_may_stand_inside_a_stream(server, web):
    server.reply("one two", error_after=1)
    raw = await streamed(web, server)
    assert msgspec.json.decode(raw.split(b"\n\n")[-2][6:])["error"]["type"] == "server_error"
    assert b"[DONE]" not in raw


@pytest.mark.parametrize("how", [{"silent": True}, {"stall_after": 0}, {"stall_after": 1}])
async def test_a_client_that_hangs_up_is_noticed_at_once(server, web, how):
    server.reply("one two", **how)

    async def listen():
        async with ask(web, server, stream=True) as reply:
            await reply.read()

    task = asyncio.create_task(listen())
    await server.wait_for(lambda: server.open == 1)
    await server.wait_for(lambda: how != {"stall_after": 1} or server.requests[0].pieces == 1)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await server.wait_for(lambda: server.open == 0, timeout=2)
    assert server.requests[0].closed == "gone"


async def test_many_streams_at_once_are_counted(web):
    async with ModelServer(brain=lambda asked: Reply(text="a b", tokens_per_second=20)) as server:
        await asyncio.gather(*(streamed(web, server) for _ in range(8)))
        assert server.peak == 8
        assert server.open == 0


async def test_a_reply_may_be_meant_for_one_request(server, web):
    server.reply("for tea", when=lambda asked: asked["messages"][-1]["content"] == "tea")
    assert told(frames(await streamed(web, server))) == "You said: hello"
    assert told(frames(await streamed(web, server, messages=[{"role": "user", "content": "tea"}]))) == "for tea"


async def test_a_server_comes_back_at_the_same_address(web):
    server = ModelServer()
    async with server:
        await streamed(web, server)
    with pytest.raises(aiohttp.ClientConnectionError):
        await streamed(web, server)
    async with server:
        await streamed(web, server)
    assert len(server.requests) == 2
