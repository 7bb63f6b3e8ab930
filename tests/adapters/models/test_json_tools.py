"""Tools for models that write calls as text."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.models.hosted import Hosted
from adapters.models.json_tools import WORDING, JsonTools, Sieve, told
from core.messages import Prompt, Said, Stop, Text, ToolCall
from tests.contracts.model import ASKED, CALCULATE, PROMISES, WRITTEN, Bench, heard, text_of
from tests.servers.models import ModelServer

NAMES = frozenset({"calculator", "remind"})
CALL = '{"name": "calculator", "arguments": {"expression": "(2+2)*3 {[\\"]}"}}'
MADE = ("calculator", {"expression": '(2+2)*3 {["]}'})


@pytest.fixture
async def server():
    async with ModelServer(models=("small",)) as running:
        yield running


@pytest.fixture
def model(server, http):
    return JsonTools(Hosted("builtin:small", server.url, "", http, abilities=("small",)))


@pytest.mark.parametrize("promise", PROMISES, ids=lambda p: p.__name__)
async def test_promise(promise, server, model):
    await promise(Bench(server, model, lambda: WRITTEN))


def sifted(text, sizes=()):
    sieve, shown, place = Sieve(NAMES), [], 0
    for size in [*sizes, len(text)]:
        shown.append(sieve.feed(text[place : place + size]))
        place += size
        if sieve.complete:
            break
    rest, calls = sieve.end()
    return "".join(shown) + rest, [(name, msgspec.json.decode(arguments)) for name, arguments in calls]


@pytest.mark.parametrize(
    "text",
    [
        CALL,
        f"  \n{CALL}\n",
        f"```json\n{CALL}\n```",
        f"```\n{CALL}\n```",
        f"<tool_call>\n{CALL}\n</tool_call>",
        f"```json\n<tool_call>{CALL}</tool_call>\n```",
        f"[{CALL}]",
        f'{{"type": "function", "function": {CALL}}}',
        '{"tool": "calculator", "parameters": {"expression": "(2+2)*3 {[\\"]}"}}',
        msgspec.json.encode({"name": "calculator", "arguments": msgspec.json.encode(MADE[1]).decode()}).decode(),
        CALL[:-1],
        f"{CALL}\n{CALL}",
        f"{CALL}\nThe result is 12, as everybody knows.",
        f"```json\n{CALL}\n```\nSo the answer is twelve.",
    ],
)
@settings(max_examples=40)
@given(sizes=st.lists(st.integers(1, 6), max_size=150))
def test_a_call_is_recognised_in_every_dress_and_however_it_is_cut(text, sizes):
    shown, calls = sifted(text, sizes)
    assert calls == [MADE]
    assert not shown.strip()


def test_words_before_a_call_are_shown_and_the_call_is_made():
    assert sifted(f"Let me see.\n\n```json\n{CALL}\n```") == ("Let me see.\n\n", [MADE])


def test_two_calls_in_one_reply():
    two = CALL + '\n{"name": "remind", "arguments": {}}'
    assert sifted(two)[1] == [MADE, ("remind", {})]


def test_a_call_of_an_unknown_tool_is_a_call_too():
    assert sifted('{"name": "search", "arguments": {"q": "x"}}')[1] == [("search", {"q": "x"})]


PLAIN = [
    "Paris.",
    "",
    "{",
    "`code` and ``more`` and [a link](https://x.example)\n[1] first\n- [ ] task",
    '```json\n{"name": "Bob", "age": 3}\n```\nThere you are.',
    '```json\n[1, 2, 3]\n```\n```python\nprint({"name": 1})\n```',
    '{"city": "Paris"}',
    "{ x | x > 0 } is a set.\n{name} too\n<table> and <to",
    '{"name": "calculator"',
    "```\n\n```\n    indented\n\n\n",
    '{"name": "Ada", "arguments": "none"} is no call',
    "<tool_call>\nnot json\n</tool_call>",
]


@pytest.mark.parametrize("text", PLAIN)
@settings(max_examples=40)
@given(sizes=st.lists(st.integers(1, 6), max_size=120))
def test_everything_else_comes_out_letter_by_letter_as_it_went_in(text, sizes):
    if text == '{"name": "calculator"':
        assert sifted(text, sizes)[1] == [("calculator", {})]  # its brace was forgotten
    else:
        assert sifted(text, sizes) == (text, [])


@settings(max_examples=300)
@given(
    text=st.text(alphabet='{}[]"`\n<>tool_calljsonme: ,ab\\', max_size=60),
    sizes=st.lists(st.integers(1, 5), max_size=60),
)
def test_no_text_is_lost_or_made_up(text, sizes):
    shown, calls = sifted(text, sizes)
    assert calls or shown == text


def test_plain_words_are_not_held_back():
    sieve = Sieve(NAMES)
    assert sieve.feed("The ") == "The "
    assert sieve.feed("set {1, 2}\nand") == "set {1, 2}\nand"
    assert sieve.feed(' {"name": ') == ' {"name": '


def test_json_that_is_no_call_is_let_go_as_soon_as_that_is_clear():
    sieve = Sieve(NAMES)
    assert sieve.feed('{"ci') == '{"ci'
    sieve = Sieve(NAMES)
    assert sieve.feed('```json\n{"name": "Bob", ') == ""
    assert sieve.feed('"age": 3}') == '```json\n{"name": "Bob", "age": 3}'


async def test_what_a_model_makes_up_behind_its_call_is_not_awaited(server, model):
    server.reply(CALL + "\nThe result is " + "12 " * 50, stall_after=CALL.count(" ") + 4)
    events = await heard(model, msgspec.structs.replace(ASKED, tools=(CALCULATE,)))
    assert [type(e) for e in events] == [ToolCall, Stop]
    await server.wait_for(lambda: server.open == 0)


async def test_the_model_reads_tools_calls_and_results_as_text(server, model):
    lines = (
        Said("user", "2+2 and 3+3?", speaker="Ada"),
        Said(
            "assistant",
            "",
            calls=(
                ToolCall("a", "calculator", '{"expression":"2+2"}'),
                ToolCall("b", "calculator", '{"expression":"3+3"}'),
            ),
        ),
        Said("tool", "4", call="a"),
        Said("tool", "6", call="b"),
    )
    server.reply("ok")
    await heard(model, Prompt(system="Be brief.", lines=lines, tools=(CALCULATE,), now="noon"))
    sent = server.requests[0].json
    assert "tools" not in sent
    assert sent["messages"][0]["content"].startswith("Be brief.\n\n")
    assert "calculator(expression: string): Exact arithmetic." in sent["messages"][0]["content"]
    assert sent["messages"][1]["content"] == "(noon)\nAda: 2+2 and 3+3?"
    assert sent["messages"][2]["content"] == "I use calculator: 2+2\nI use calculator: 3+3"
    results = "calculator says: 2+2 = 4\ncalculator says: 3+3 = 6"
    assert sent["messages"][3]["content"] == f"{results}\n{WORDING.after}"
    assert len(sent["messages"]) == 4


async def test_without_tools_json_is_just_text(server, model):
    server.reply(CALL)
    assert text_of(await heard(model, ASKED)) == CALL


async def test_ids_of_calls_differ_through_a_turn(server, model):
    prompt = msgspec.structs.replace(ASKED, tools=(CALCULATE,))
    ids = set()
    for number in range(3):
        server.reply(CALL)
        call = next(e for e in await heard(model, prompt) if isinstance(e, ToolCall))
        ids.add(call.id)
        lines = (*prompt.lines, Said("assistant", "", calls=(call,)), Said("tool", str(number), call=call.id))
        prompt = msgspec.structs.replace(prompt, lines=lines)
    assert len(ids) == 3


def test_the_beginning_of_the_prompt_stays_the_same():
    first = told(msgspec.structs.replace(ASKED, tools=(CALCULATE,), now="one"))
    later = told(msgspec.structs.replace(ASKED, tools=(CALCULATE,), now="two"))
    assert first.system == later.system
    assert Text("x") != Text("y")


def test_it_says_that_it_can_use_tools(model):
    assert model.can("tools")
    assert model.can("small")
    assert not model.can("images")


@pytest.fixture
def routed(server, http):
    """A model that can be held to a schema."""
    return JsonTools(Hosted("builtin:small", server.url, "", http, abilities=("small", "schema")))


async def test_a_model_with_schema_decides_first_and_calls(server, routed):
    server.reply('{"tool":"calculator","expression":"2+2"}')
    events = await heard(routed, msgspec.structs.replace(ASKED, tools=(CALCULATE,)))
    calls = [e for e in events if isinstance(e, ToolCall)]
    assert [(c.name, c.arguments) for c in calls] == [("calculator", '{"expression":"2+2"}')]
    assert events[-1] == Stop("tools")
    asked = server.requests[0].json
    fields = asked["response_format"]["json_schema"]["schema"]["properties"]
    assert fields["tool"] == {"enum": ["none", "calculator"]}
    assert fields["expression"]["type"] == "string"
    assert server.requests[0].asked == ASKED.lines[0].text


@pytest.mark.parametrize(
    "decision", ['{"tool":"none","expression":""}', '{"tool":"calculator","expression":""}', "no", "[]"]
)
async def test_a_model_that_needs_no_tool_answers_in_plain_words(server, routed, decision):
    server.reply(decision)
    server.reply(CALL)
    events = await heard(routed, msgspec.structs.replace(ASKED, tools=(CALCULATE,)))
    assert text_of(events) == CALL  # decided: nothing is a call any more
    assert server.requests[1].messages[0]["content"] == ASKED.system


async def test_after_a_result_the_answer_comes_without_another_decision(server, routed):
    lines = (*ASKED.lines, Said("assistant", "", calls=(ToolCall("c", "calculator", '{"expression":"2+2"}'),)))
    server.reply("It is 4.")
    prompt = msgspec.structs.replace(ASKED, lines=(*lines, Said("tool", "4", call="c")), tools=(CALCULATE,))
    assert text_of(await heard(routed, prompt)) == "It is 4."
    assert len(server.requests) == 1


async def test_several_tools_are_told_apart_by_their_schemas(server, routed):
    remind = msgspec.structs.replace(
        CALCULATE, name="remind", schema=msgspec.Raw(b'{"type":"object","properties":{"at":{"type":"string"}}}')
    )
    server.reply('{"tool":"remind","at":"noon"}')
    events = await heard(routed, msgspec.structs.replace(ASKED, tools=(CALCULATE, remind)))
    assert [(e.name, e.arguments) for e in events if isinstance(e, ToolCall)] == [("remind", '{"at":"noon"}')]
    forms = server.requests[0].json["response_format"]["json_schema"]["schema"]["anyOf"]
    assert [set(f["properties"]) for f in forms] == [{"tool"}, {"tool", "expression"}, {"tool", "at"}]
