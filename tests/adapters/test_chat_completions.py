"""Chat Completions against a strict server on loopback."""

import asyncio
import inspect
import subprocess
import sys
import time
from contextlib import aclosing

import httpx
import msgspec
import pytest

from adapters.http import Http
from adapters.models import body, failures
from adapters.models.chat_completions import ChatCompletions, Timeouts
from adapters.models.discovery import Place, first_model, local_servers
from core.errors import (
    ModelBusy,
    ModelError,
    ModelFailed,
    ModelRefusedKey,
    ModelUnknown,
    ModelUnreachable,
    PromptTooLong,
)
from core.messages import Media, Prompt, Reasoning, Said, Stop, Text, ToolCall, Usage
from tests.contracts.model import ASKED, CALCULATE, NATIVE, PROMISES, Bench, heard, text_of
from tests.servers.models import ModelServer, http_date, last_asked
from tests.servers.models import ToolCall as ServedCall

KEY = "sk-test-0123456789abcdef"
LUNA = "gpt-6-luna"


@pytest.fixture
async def http():
    opened = Http()
    yield opened
    await opened.close()


@pytest.fixture
async def server():
    async with ModelServer(key=KEY, models=(LUNA, "other")) as running:
        yield running


def model_on(server, http, name=f"openai:{LUNA}", key=KEY, **how):
    return ChatCompletions(name, server.url, key, http, **how)


@pytest.fixture
def model(server, http):
    return model_on(server, http)


def asking(*lines, **how):
    return Prompt(system="S", lines=lines or (Said("user", "Hi"),), **how)


@pytest.mark.parametrize("promise", PROMISES, ids=lambda p: p.__name__)
async def test_promise(promise, server, model):
    await promise(Bench(server, model, lambda: NATIVE))


async def test_the_tokens_of_one_read_are_one_event(server, model):
    server.reply("one two three four five six", batch=100)
    texts = [e for e in await heard(model, ASKED) if isinstance(e, Text)]
    assert texts == [Text("one two three four five six")]


async def test_reasoning_comes_apart_from_the_reply(server, model):
    server.reply("Yes.", reasoning="Let me think")
    events = await heard(model, ASKED)
    assert "".join(e.text for e in events if isinstance(e, Reasoning)) == "Let me think"
    assert text_of(events) == "Yes."


async def test_parallel_calls_are_put_together_from_their_pieces(server, model):
    server.reply(
        "Both:",
        tool_calls=[ServedCall("calculator", {"expression": f"{n}+{n}"}, id=f"call{n}") for n in range(3)],
        chunk_bytes=11,
    )
    events = await heard(model, msgspec.structs.replace(ASKED, tools=(CALCULATE,)))
    calls = [e for e in events if isinstance(e, ToolCall)]
    assert [c.id for c in calls] == ["call0", "call1", "call2"]
    assert [msgspec.json.decode(c.arguments)["expression"] for c in calls] == ["0+0", "1+1", "2+2"]


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


@pytest.fixture
async def raw(http):
    """Makes models on servers that send just these bytes."""
    listening = []

    async def made(*payloads, done=True, head=b"text/event-stream"):
        whole = payloads if head != b"text/event-stream" else [b"data: " + p + b"\r\n\r\n" for p in payloads]
        sent = b"".join(whole) + b"data: [DONE]\n\n" * (done and head == b"text/event-stream")

        async def serve(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nConnection: close\r\n\r\n" % head + sent)
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        listening.append(await asyncio.start_server(serve, "127.0.0.1", 0))
        url = f"http://127.0.0.1:{listening[-1].sockets[0].getsockname()[1]}/v1"
        return ChatCompletions("openai:m", url, "", http, timeouts=Timeouts(first=5))

    yield made
    for one in listening:
        one.close()
        await one.wait_closed()


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


async def test_a_refusal_is_shown_and_named(raw):
    model = await raw(b'{"choices":[{"delta":{"refusal":"I will not."},"finish_reason":"stop"}]}')
    assert await heard(model, ASKED) == [Text("I will not."), Stop("refused")]


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
    assert sent[2]["content"][0]["text"] == f"(noon)\nAda: look\n{body.NO_SOUND}"
    assert sent[2]["content"][1]["image_url"]["url"] == "data:image/png;base64,iVBORw=="
    assert sent[3]["tool_calls"][0]["function"]["arguments"] == "{}"
    assert sent[4] == {"role": "tool", "tool_call_id": "c", "content": "4"}


async def test_sound_goes_to_a_model_that_hears(server, http):
    model = model_on(server, http, abilities=("audio",))
    server.reply("ok")
    await heard(model, asking(media=(Media("audio/mpeg; rate=1", b"ID3"), Media("image/png", b"x"))))
    parts = server.requests[0].messages[1]["content"]
    assert parts[0]["text"].endswith(body.NO_PICTURE)
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
    assert server.requests[0].messages[3]["content"] == body.NO_RESULT


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


async def test_a_server_that_refuses_for_ever_is_not_asked_for_ever(server, model):
    server.fail(
        400, times=9, error={"message": "stream_options prompt_cache_key reasoning_effort max_completion_tokens"}
    )
    with pytest.raises(ModelFailed):
        await heard(model, asking())
    assert len(server.requests) <= 5


@pytest.mark.parametrize("wait", [0.05, "date"])
async def test_a_busy_server_is_asked_again_when_it_says(server, model, wait):
    server.fail(429, retry_after=http_date(1.2) if wait == "date" else wait)
    server.reply("ok")
    assert text_of(await heard(model, ASKED)) == "ok"
    assert server.requests[1].at - server.requests[0].at >= 0.05


async def test_three_tries_and_no_more(server, model):
    server.fail(500, times=5)
    with pytest.raises(ModelFailed):
        await heard(model, ASKED)
    assert len(server.requests) == 3


async def test_a_wait_beyond_patience_is_told_and_not_waited(server, model):
    server.fail(429, retry_after=3600)
    began = time.monotonic()
    with pytest.raises(ModelBusy) as caught:
        await heard(model, ASKED)
    assert time.monotonic() - began < 1
    assert caught.value.retry_after == 3600
    assert len(server.requests) == 1


async def test_a_connection_that_breaks_before_the_first_word_is_tried_again(server, model):
    server.reply("lost", cut_after=0)
    server.reply("ok", error_after=None)
    assert text_of(await heard(model, ASKED)) == "ok"


async def test_an_overload_told_in_the_stream_before_any_word_is_tried_again(server, model):
    server.reply("x", error_after=0)
    server.reply("ok")
    assert text_of(await heard(model, ASKED)) == "ok"


async def test_silence_is_ended_before_the_first_token_and_between_two(server, http):
    model = model_on(server, http, timeouts=Timeouts(first=0.1, idle=0.05))
    for how in ({"silent": True}, {"stall_after": 0}):
        for _ in range(3):
            server.reply("never", **how)
        with pytest.raises(ModelUnreachable):
            await heard(model, ASKED)
    assert len(server.requests) == 6
    server.reply("one two", stall_after=1)
    with pytest.raises(ModelUnreachable):
        await heard(model, ASKED)
    assert len(server.requests) == 7


async def test_two_hundred_closed_in_the_middle_leave_no_connection(server, model):
    def mine(name):
        return next((r for r in server.requests if r.asked == name and r.pieces), None)

    async def one(number):
        name = f"number {number}"
        server.reply("word " * 50, stall_after=3, when=lambda asked: last_asked(asked) == name)
        prompt = asking(Said("user", name))
        if number % 2:
            async with aclosing(model.stream(prompt)) as stream:
                async for _ in stream:
                    break
        else:
            task = asyncio.create_task(heard(model, prompt))
            await server.wait_for(lambda: mine(name))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    for batch in range(10):
        await asyncio.gather(*(one(batch * 20 + n) for n in range(20)))
    await server.wait_for(lambda: server.open == 0 and server.connections == 0)
    assert len(server.requests) == 200
    assert all(r.closed == "gone" for r in server.requests)


async def test_a_finished_answer_leaves_its_connection_to_the_next(server, model):
    for _ in range(5):
        server.reply("ok")
        await heard(model, ASKED)
    assert server.connections == 1


async def test_an_unusable_key_is_refused_before_it_is_sent(server, http):
    with pytest.raises(ModelRefusedKey):
        await heard(model_on(server, http, key="schlüssel"), ASKED)
    assert not server.requests


TELLING = [
    (401, "Incorrect API key provided: sk-te**", "", ModelRefusedKey, "OPENAI_API_KEY", None),
    (403, "Country, region, or territory not supported", "", ModelRefusedKey, "OPENAI_API_KEY", None),
    (402, "Insufficient Balance", "", ModelRefusedKey, "credit", None),
    (429, "You exceeded your current quota", "insufficient_quota", ModelRefusedKey, "credit", None),
    (429, "Rate limit reached for requests", "rate_limit_exceeded", ModelBusy, "busy", 1.0),
    (529, "Overloaded", "overloaded_error", ModelBusy, "busy", 1.0),
    (503, "Loading model", "", ModelBusy, "busy", 1.0),
    (404, "The model `x` does not exist", "model_not_found", ModelUnknown, "/model", None),
    (400, "x is not a valid model ID", "", ModelUnknown, "/model", None),
    (404, "", "", ModelUnknown, "OPENAI_BASE_URL", None),
    (400, "This model's maximum context length is 8192 tokens", "context_length_exceeded", PromptTooLong, "/new", None),
    (400, "the request exceeds the available context size", "exceed_context_size_error", PromptTooLong, "/new", None),
    (400, "prompt is too long: 200001 tokens > 200000 maximum", "", PromptTooLong, "/new", None),
    (
        400,
        "The input token count (9) exceeds the maximum number of tokens allowed (8)",
        "",
        PromptTooLong,
        "/new",
        None,
    ),
    (413, "Request too large for model", "", PromptTooLong, "/new", None),
    (500, "boom", "", ModelFailed, "/retry", 0.0),
    (400, "bad thing", "", ModelFailed, "bad thing", None),
    (301, "", "", ModelFailed, "OPENAI_BASE_URL", None),
    (0, "Provider returned error", "502", ModelFailed, "/retry", 0.0),
]
SOURCE = failures.Source("OpenAI", "gpt-x", "OPENAI_API_KEY", "OPENAI_BASE_URL", KEY)


@pytest.mark.parametrize(("status", "message", "code", "kind", "says", "again"), TELLING)
def test_every_refusal_is_a_sentence_with_a_remedy(status, message, code, kind, says, again):
    told = msgspec.json.encode({"error": {"message": message, "code": code}}) if message else b"<html>no</html>"
    for form in (told, b"[" + told + b"]") if message else (told,):
        error = failures.refused(SOURCE, status, form)
        assert type(error) is kind
        assert says in error.sentence
        assert error.retry_after == again
        assert error.sentence.endswith(".")


def test_what_a_provider_says_is_quoted_short_and_without_secrets():
    for word in (KEY, "sk-other-abcdefghijklmnop", "http://user:pass@host/"):
        told = msgspec.json.encode({"error": {"message": f"No: {word} " + "blah\n" * 200}})
        sentence = failures.refused(SOURCE, 400, told).sentence
        assert word not in sentence
        assert "user:pass" not in sentence
        assert len(sentence) < 330
        assert "\n" not in sentence
    assert KEY not in repr(SOURCE)


@pytest.mark.parametrize(
    "junk", [b"", b"\xff", b"[]", b"null", b'"no"', b'{"error":null}', b'{"error":[1]}', b"{" * 5000, b"[" * 99999]
)
def test_no_body_is_too_strange(junk):
    for status in (0, 400, 404, 429, 500, 999):
        assert isinstance(failures.refused(SOURCE, status, junk), ModelError)


def test_every_exception_of_httpx_has_a_meaning():
    kinds = [
        kind for name in httpx.__all__ if inspect.isclass(kind := getattr(httpx, name)) and issubclass(kind, Exception)
    ]
    assert len(kinds) > 25
    for kind in kinds:
        found = next((known for known, _, _ in failures.EXCEPTIONS if issubclass(kind, known)), None)
        assert found is not None, kind
        error = failures.unreachable(SOURCE, kind.__new__(kind))
        assert type(error) in {ModelUnreachable, ModelFailed}
        assert error.sentence.startswith(("OpenAI", "The answer of OpenAI", "The address of OpenAI"))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "inf"}, None),
        ({}, None),
    ],
)
def test_when_to_come_again_is_read_in_each_form(headers, seconds):
    assert failures.retry_after(headers) == seconds


async def test_neither_key_nor_address_shows_when_nothing_can_be_reached(http):
    model = ChatCompletions("openai:m", "http://user:hidden@127.0.0.1:9/v1", KEY, http)
    with pytest.raises(ModelUnreachable) as caught:
        await heard(model, ASKED)
    assert "hidden" not in caught.value.sentence
    assert KEY not in caught.value.sentence
    assert "OPENAI_BASE_URL" in caught.value.sentence


@pytest.mark.parametrize("head", [b"text/html", b"application/json", b"text/event-stream"])
async def test_a_page_instead_of_an_answer_is_named(raw, head):
    model = await raw(b"<html>Welcome</html>", head=head, done=False)
    with pytest.raises(ModelError):
        await heard(model, ASKED)


async def test_servers_on_this_machine_are_found(server, http):
    async with ModelServer(models=("text-embedding-3", "llama-9")) as near, ModelServer(models=()) as empty:
        nowhere = Place("Nobody", "local", "http://127.0.0.1:9/v1")
        places = (nowhere, Place("Empty", "local", empty.url), Place("Near", "ollama", near.url))
        found = await local_servers(http, places)
        assert (found.label, found.name, found.base_url) == ("Near", "ollama:llama-9", near.url)
        assert await local_servers(http, (nowhere,)) is None
    assert await first_model(http, server.url, KEY, "openai") == LUNA
    with pytest.raises(ModelRefusedKey, match="OPENAI_API_KEY"):
        await first_model(http, server.url, "wrong", "openai")


async def test_a_mute_server_does_not_hold_up_the_search(http):
    async def mute(reader, writer):
        await reader.read()
        writer.close()

    listening = await asyncio.start_server(mute, "127.0.0.1", 0)
    async with listening:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
        began = time.monotonic()
        assert await local_servers(http, (Place("Mute", "local", url),)) is None
        assert 0.2 < time.monotonic() - began < 1.5


def test_the_model_brings_no_sdk_with_it():
    code = "import sys, adapters.models.chat_completions; print('openai' in sys.modules, 'pydantic' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == ["False", "False"]


async def test_credentials_in_the_base_url_are_sent_and_never_shown(http):
    heads = []

    async def serve(reader, writer):
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        url = f"http://ada:secret@127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
        for key, sent in (("", b"Basic YWRhOnNlY3JldA=="), (KEY, b"Bearer " + KEY.encode())):
            with pytest.raises(ModelFailed) as caught:
                await heard(ChatCompletions("openai:m", url, key, http), ASKED)
            assert sent in heads[-1]
            assert "secret" not in caught.value.sentence


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
