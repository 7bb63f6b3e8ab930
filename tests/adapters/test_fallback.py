"""A chain of models on real servers; time is told by the test."""

from contextlib import AsyncExitStack, aclosing

import msgspec
import pytest

from adapters.http import Http
from adapters.models import catalogue
from adapters.models.fallback import FAILURES, REST, Fallback, fitted
from adapters.models.hosted import Hosted, Timeouts
from core import messages
from core.errors import ModelError, ModelFailed, ModelRefusedKey, PromptTooLong
from core.messages import Prompt, Said, Stop, ToolCall
from tests.contracts.model import ASKED, NATIVE, PROMISES, Bench, heard, text_of
from tests.servers.models import ModelServer

NO = {"message": "No.", "type": "invalid_request_error", "code": None}


class Chain:
    def __init__(self, servers, http):
        self.servers = servers
        self.now = 100.0
        self.models = tuple(
            Hosted(f"openai:m{n}", s.url, "", http, window=9000 - n, timeouts=Timeouts(first=2))
            for n, s in enumerate(servers)
        )
        self.model = Fallback(self.models, lambda: self.now)

    def fail(self, *places, times=1):
        for place in places:
            self.servers[place].fail(400, times=times, error=NO)

    @property
    def asked(self):
        return [len(s.requests) for s in self.servers]


@pytest.fixture
async def chain():
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(ModelServer(models=(f"m{n}",))) for n in range(3)]
        http = Http()
        stack.push_async_callback(http.close)
        yield Chain(servers, http)


@pytest.mark.parametrize("promise", PROMISES, ids=lambda p: p.__name__)
async def test_promise(promise, chain):
    alone = Fallback(chain.models[:1], lambda: 0.0)
    await promise(Bench(chain.servers[0], alone, lambda: NATIVE))


async def test_the_first_answers_without_a_note(chain):
    events = await heard(chain.model, ASKED)
    assert not any(isinstance(e, messages.Fallback) for e in events)
    assert chain.asked == [1, 0, 0]
    assert (chain.model.name, chain.model.window) == ("openai:m0", 9000)
    assert chain.model.can("tools")


async def test_another_answers_after_a_note_that_says_why(chain):
    chain.fail(0, 1)
    chain.servers[2].reply("Here.")
    events = await heard(chain.model, ASKED)
    assert isinstance(events[0], messages.Fallback)
    assert (events[0].model, events[0].instead_of) == ("openai:m2", "openai:m0")
    assert "No" in events[0].why
    assert text_of(events) == "Here."
    assert events[-1] == Stop("end")


async def test_when_all_fail_the_failure_of_the_chosen_one_is_raised(chain):
    chain.servers[0].fail(401)
    chain.fail(1, 2)
    with pytest.raises(ModelRefusedKey):
        await heard(chain.model, ASKED)
    assert chain.asked == [1, 1, 1]


async def test_a_failure_after_text_is_raised_and_nobody_begins_anew(chain):
    chain.servers[0].reply("One two three", cut_after=2)
    with pytest.raises(ModelError):
        await heard(chain.model, ASKED)
    assert chain.asked == [1, 0, 0]


async def test_thoughts_alone_do_not_bind_to_a_model(chain):
    chain.servers[0].reply("", reasoning="let me think", cut_after=2)
    chain.servers[1].reply("Here.")
    assert text_of(await heard(chain.model, ASKED)) == "Here."


async def test_a_prompt_that_is_too_long_is_told_at_once(chain):
    chain.servers[0].window = 1
    with pytest.raises(PromptTooLong):
        await heard(chain.model, ASKED)
    assert chain.asked == [1, 0, 0]


async def test_who_failed_three_times_in_a_row_is_left_alone_and_then_tried_once(chain):
    chain.fail(0, times=FAILURES)
    for _ in range(FAILURES + 2):
        await heard(chain.model, ASKED)
    assert chain.asked == [FAILURES, FAILURES + 2, 0]
    chain.now += REST - 1
    first = (await heard(chain.model, ASKED))[0]
    assert isinstance(first, messages.Fallback)
    assert "No" in first.why
    assert chain.asked[0] == FAILURES
    chain.now += 1
    chain.fail(0)
    await heard(chain.model, ASKED)
    await heard(chain.model, ASKED)
    assert chain.asked[0] == FAILURES + 1  # the trial failed: left alone again
    chain.now += REST
    assert not isinstance((await heard(chain.model, ASKED))[0], messages.Fallback)
    chain.fail(0, times=2)
    for _ in range(3):
        await heard(chain.model, ASKED)
    assert chain.asked[0] == FAILURES + 5  # an answer cleared its record: two failures do not open it


async def test_only_one_call_tries_a_model_that_failed(chain):
    chain.fail(0, times=FAILURES)
    for _ in range(FAILURES):
        await heard(chain.model, ASKED)
    chain.now += REST
    chain.servers[0].reply("one two three", stall_after=2)
    async with aclosing(chain.model.stream(ASKED)) as trial:
        await anext(trial)
        assert isinstance((await heard(chain.model, ASKED))[0], messages.Fallback)
    # the trial was closed without a verdict: the next call may try
    assert not isinstance((await heard(chain.model, ASKED))[0], messages.Fallback)


async def test_when_all_are_to_be_left_alone_one_is_asked_all_the_same(chain):
    chain.fail(0, 1, 2, times=FAILURES)
    for _ in range(FAILURES):
        with pytest.raises(ModelFailed):
            await heard(chain.model, ASKED)
        chain.now += 1
    chain.servers[0].reply("Back.")
    assert text_of(await heard(chain.model, ASKED)) == "Back."
    assert chain.asked == [FAILURES + 1, FAILURES, FAILURES]


def test_a_smaller_window_gets_the_newest_lines():
    old = [
        Said("user", "x" * 3000),
        Said("assistant", "", calls=(ToolCall("c", "f", "{}"),)),
        Said("tool", "y", call="c"),
    ]
    prompt = Prompt(system="S", lines=(*old, Said("assistant", "z"), Said("user", "new"), Said("assistant", "a")))
    assert fitted(prompt, 10_000, 10_000) is prompt
    assert [s.text for s in fitted(prompt, 900, 10_000).lines] == ["new", "a"]
    assert fitted(prompt, 10, 10_000).lines[0].text == "new"
    assert fitted(prompt, 9000, 10_000) is prompt
    assert fitted(msgspec.structs.replace(prompt, lines=()), 10, 100).lines == ()


async def test_a_chain_costs_at_most_what_its_dearest_model_costs_whose_price_is_known():
    http = Http()
    cheap, dear, unknown = (
        Hosted(name, "http://127.0.0.1:9", "", http)
        for name in ("openai:gpt-5.4-mini", "anthropic:claude-sonnet-5-5", "openai:nobody-knows")
    )
    assert unknown.cost(1_000, 1_000) is None
    known = catalogue.known("anthropic:claude-sonnet-5-5")
    assert dear.cost(1_000_000, 0) == pytest.approx(known.stored)  # all of it may be put into the cache
    assert 0 < cheap.cost(1_000, 1_000) < dear.cost(1_000, 1_000)
    assert Fallback((cheap, dear, unknown)).cost(1_000, 1_000) == dear.cost(1_000, 1_000)
    assert Fallback((unknown,)).cost(1_000, 1_000) is None
    assert Fallback((unknown, dear)).longest == dear.longest > 0
    await http.close()
