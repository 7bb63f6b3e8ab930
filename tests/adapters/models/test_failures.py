"""What goes wrong between us and a provider: what is tried again, and the sentences that a person reads."""

import asyncio
import inspect
import time

import httpx
import msgspec
import pytest

from adapters.models import failures
from adapters.models.hosted import Hosted, Timeouts
from core.errors import (
    ModelBusy,
    ModelError,
    ModelFailed,
    ModelRefusedKey,
    ModelUnknown,
    ModelUnreachable,
    PromptTooLong,
)
from tests.adapters.models.provider import KEY, model_on
from tests.contracts.model import ASKED, heard, text_of
from tests.servers.completions.replies import http_date


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
    model = Hosted("openai:m", "http://user:hidden@127.0.0.1:9/v1", KEY, http)
    with pytest.raises(ModelUnreachable) as caught:
        await heard(model, ASKED)
    assert "hidden" not in caught.value.sentence
    assert KEY not in caught.value.sentence
    assert "OPENAI_BASE_URL" in caught.value.sentence


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
                await heard(Hosted("openai:m", url, key, http), ASKED)
            assert sent in heads[-1]
            assert "secret" not in caught.value.sentence


@pytest.mark.parametrize("head", [b"text/html", b"application/json", b"text/event-stream"])
async def test_a_page_instead_of_an_answer_is_named(raw, head):
    model = await raw(b"<html>Welcome</html>", head=head, done=False)
    with pytest.raises(ModelError):
        await heard(model, ASKED)
