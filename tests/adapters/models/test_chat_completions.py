"""Chat Completions against a strict server on loopback: what is heard of an answer, and what is left of a connection."""

import asyncio
import subprocess
import sys

import pytest

from core.errors import ModelUnreachable
from core.messages import Reasoning, Stop, Text, ToolCall, Usage
from tests.adapters.models.provider import LUNA, bench_of
from tests.contracts.model import ASKED, HOSTED, PROMISES, heard


@pytest.mark.parametrize("promise", [*PROMISES, *HOSTED], ids=lambda p: p.__name__)
async def test_promise(promise, server, http):
    await promise(bench_of(server, http, f"openai:{LUNA}"))


async def test_the_tokens_of_one_read_are_one_event(server, model):
    server.reply("one two three four five six", batch=100)
    texts = [e for e in await heard(model, ASKED) if isinstance(e, Text)]
    assert texts == [Text("one two three four five six")]


def call(part):
    return b'{"choices":[{"delta":{"tool_calls":[%s]}}]}' % part


@pytest.mark.parametrize(
    ("parts", "calls"),
    [
        (  # whole calls without an index
            [
                b'{"id":"a","function":{"name":"f","arguments":"{}"}}',
                b'{"id":"b","function":{"name":"g","arguments":"{}"}}',
            ],
            [("a", "f", "{}"), ("b", "g", "{}")],
        ),
        (  # the same index for all
            [
                b'{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}',
                b'{"index":0,"id":"b","function":{"name":"f","arguments":"{}"}}',
            ],
            [("a", "f", "{}"), ("b", "f", "{}")],
        ),
        (  # neither index nor id
            [
                b'{"function":{"name":"f","arguments":"{\\"x\\":"}}',
                b'{"function":{"arguments":"1}"}}',
                b'{"function":{"name":"f","arguments":"{}"}}',
            ],
            [(None, "f", '{"x":1}'), (None, "f", "{}")],
        ),
        (  # the id again in each piece, the object instead of a string, nothing at all
            [
                b'{"index":1,"id":"a","function":{"name":"f","arguments":""}}',
                b'{"index":1,"id":"a","function":{"name":null,"arguments":{"x":2}}}',
                b'{"index":2,"id":"b","function":{"name":"g"}}',
            ],
            [("a", "f", '{"x":2}'), ("b", "g", "{}")],
        ),
    ],
    ids=["no index", "one index", "no id", "sloppy"],
)
async def test_calls_of_sloppy_servers_are_understood(raw, parts, calls):
    got = await heard(await raw(*[call(p) for p in parts], b'{"choices":[{"finish_reason":"stop"}]}'), ASKED)
    made = [e for e in got if isinstance(e, ToolCall)]
    assert [(c.name, c.arguments) for c in made] == [(name, arguments) for _, name, arguments in calls]
    assert all(c.id == told for c, (told, _, _) in zip(made, calls, strict=True) if told)
    assert len({c.id for c in made}) == len(made)
    assert got[-1] == Stop("tools")


async def test_a_call_cut_off_by_the_limit_is_not_made(raw):
    model = await raw(
        b'{"choices":[{"delta":{"content":"So","tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\\"x"}}]}}]}',
        b'{"choices":[{"delta":{},"finish_reason":"length"}]}',
    )
    assert await heard(model, ASKED) == [Text("So"), Stop("length")]


async def test_parts_of_thinking_and_text_in_the_content_are_told_apart(raw):
    model = await raw(
        b'{"choices":[{"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}]}}]}',
        b'{"choices":[{"delta":{"content":[{"type":"text","text":"Yes"}]},"finish_reason":"stop"}]}',
    )
    assert await heard(model, ASKED) == [Reasoning("hm"), Text("Yes"), Stop("end")]


@pytest.mark.parametrize(
    ("told", "meant"),
    [("stop", "end"), ("length", "length"), ("content_filter", "refused"), ("tool_calls", "end"), ("new_word", "end")],
)
async def test_reasons_to_stop(raw, told, meant):
    model = await raw(b'{"choices":[{"delta":{"content":"x"},"finish_reason":"%b"}]}' % told.encode())
    assert (await heard(model, ASKED))[-1] == Stop(meant)


async def test_a_server_that_does_not_stream_is_understood(raw):
    whole = b'{"choices":[{"message":{"content":"All"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":1}}'
    model = await raw(whole, head=b"application/json")
    assert await heard(model, ASKED) == [Text("All"), Usage("openai:m", 5, 0, 1, None), Stop("end")]


async def test_a_stream_without_any_end_broke_off(raw):
    model = await raw(b'{"choices":[{"delta":{"content":"Half"}}]}', done=False)
    with pytest.raises(ModelUnreachable):
        await heard(model, ASKED)


async def test_usage_has_cached_tokens_and_cost(server, model):
    server.reply("one two", cached_tokens=10)
    usage = next(e for e in await heard(model, ASKED) if isinstance(e, Usage))
    assert usage.cached == 10
    assert usage.cost == pytest.approx(((usage.read - 10) * 0.1 + 10 * 0.01 + 2 * 0.5) / 1e6)


def test_the_model_brings_no_sdk_with_it():
    code = "import sys, adapters.models.hosted, adapters.models.chat_completions; print('openai' in sys.modules, 'pydantic' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == ["False", "False"]


async def test_a_call_given_up_before_any_answer_leaves_no_connection(server, model):
    server.reply("never", silent=True)
    task = asyncio.create_task(heard(model, ASKED))
    await server.wait_for(lambda: server.open)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await server.wait_for(lambda: server.connections == 0)


async def test_an_iterator_that_was_never_begun_asks_nothing(server, model):
    await model.stream(ASKED).aclose()
    assert not server.requests
