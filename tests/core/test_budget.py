"""Hard budgets: nobody spends more than they may by more than one call, and what was spent is what really came together."""

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime

import pytest

from core.budget import Budgets, Limit, Payer, resets, size
from core.errors import ModelError, ModelFailed, OverBudget
from core.keys import held_key, spent_key
from core.messages import Account, ChatRef, ModelEvent, Prompt, Said, Stop, Text, ToolCall, Usage
from core.people import People
from core.ports import Model, Rate
from core.seal import Keyring, Seal
from core.store import Store
from core.tools import Toolbox, tool
from tests.conftest import wait_until
from tests.stage import ADA, KEY, MINE, Board, Choice, Scripted, Stage, stage

GROUP = ChatRef("stage", "bot", "group", private=False)
BOB = Account("stage", "bot", "bob")
NOON = round(datetime(2026, 12, 31, 12, tzinfo=UTC).timestamp() * 1000)
HOUR = 3_600_000
PROMPT = Prompt("Be brief.", (Said("user", "hello"),))
USED = 1_000
"""Tokens of a call of `Counting`."""


class Counting(Scripted):
    """A model that tells its usage, and what it costs: a dollar a million tokens."""

    longest = USED

    def __init__(self, *, cost: float | None = USED / 1e6) -> None:
        super().__init__(lambda _: [Text("hi"), Usage(self.name, USED - 100, 0, 100, cost)])

    def cost(self, read: int, written: int) -> float | None:
        return (read + written) / 1e6


def budgets(store: Store, *limits: Limit, patience: float = 0.0) -> Budgets:
    seal = Seal(KEY)
    return Budgets(store, People(store, seal, Keyring(seal, store.fetch_or_set), "open"), limits, patience)


def payer(n: int = 0, *, chat: ChatRef = MINE, now: int = NOON, zone: str = "") -> Payer:
    return Payer(f"{n:032x}", chat, now, zone)


async def call(model: Model, house: Budgets, who: Payer) -> bool:
    """Whether the call was made."""
    try:
        async with aclosing(house.charged(model, who).stream(PROMPT)) as stream:
            return bool([event async for event in stream])
    except OverBudget:
        return False


async def spent(store: Store, scope: str = "*", period: str = "20261231") -> dict[str, int]:
    await store.flush()
    [key] = [k async for k in store.redis.scan_iter(f"pieria:spent:{{all}}:{scope}:{period}")]
    return {field.decode(): int(value) for field, value in (await store.redis.hgetall(key)).items()}


async def held(store: Store) -> list[bytes]:
    await store.flush()
    return [k async for k in store.redis.scan_iter("pieria:held:*")]


@pytest.mark.parametrize("unit", ["tokens", "micros"])
@pytest.mark.parametrize("scope", ["person", "chat", "all"])
async def test_fifty_calls_at_once_overspend_a_limit_by_one_at_most(store: Store, scope: str, unit: str) -> None:
    house = budgets(store, Limit(scope, 5_500, unit, "day"))  # type: ignore[arg-type]
    who = [
        payer(
            0 if scope == "person" else n,
            chat=MINE if scope == "chat" else ChatRef("stage", "bot", f"room {n}"),
        )
        for n in range(50)
    ]
    made = await asyncio.gather(*(call(Counting(), house, one) for one in who))
    while await call(Counting(), house, who[0]):
        made.append(True)
    assert 5_500 <= sum(made) * USED <= 5_500 + USED
    assert await held(store) == []


async def test_a_refusal_says_whose_budget_is_spent_until_when_in_the_persons_zone(store: Store) -> None:
    house = budgets(store, Limit("person", 10, "tokens", "day"))
    assert await call(Counting(), house, payer())
    model = Counting()
    with pytest.raises(OverBudget) as raised:
        async with aclosing(house.charged(model, payer(zone="Asia/Tokyo")).stream(PROMPT)) as stream:
            [_ async for _ in stream]
    assert raised.value.sentence == (
        "Your budget for today is spent. It begins anew on Friday 01 January 2027, 09:00 Asia/Tokyo."
    )
    assert model.prompts == []


async def test_what_one_scope_refuses_is_not_taken_from_another(store: Store) -> None:
    house = budgets(store, Limit("person", 50_000, "tokens", "day"), Limit("all", 10, "tokens", "month"))
    assert await call(Counting(), house, payer())
    for _ in range(3):
        assert not await call(Counting(), house, payer())
    assert await held(store) == []
    assert (await spent(store, "0" * 32))["tokens"] == USED
    assert (await spent(store, "0" * 32, "202612"))["tokens"] == USED


async def test_the_persons_own_limit_is_told_first_and_the_month_before_the_day(store: Store) -> None:
    limits = [Limit(s, 10, "tokens", p) for s in ("all", "chat", "person") for p in ("day", "month")]  # type: ignore[arg-type]
    house = budgets(store, *limits)
    assert await call(Counting(), house, payer())
    with pytest.raises(OverBudget, match=r"Your budget for this month .* Friday 01 January 2027, 00:00 UTC"):
        await house.reserve(payer(), Usage("m"))


async def test_what_calls_under_way_hold_is_not_called_spent(store: Store) -> None:
    house = budgets(store, Limit("person", 500, "tokens", "day"))
    name = await house.reserve(payer(), Usage("m", 400, 0, 400))
    with pytest.raises(OverBudget, match="under way"):
        await house.reserve(payer(), Usage("m", 400, 0, 400))
    house.settle(payer(), name, Usage("m", 10, 0, 10))
    assert await house.reserve(payer(), Usage("m", 400, 0, 400))


async def test_a_call_waits_for_what_others_hold_and_do_not_need(store: Store) -> None:
    house = budgets(store, Limit("person", 500, "tokens", "day"), patience=30.0)
    name = await house.reserve(payer(), Usage("m", 400, 0, 400))
    waiting = asyncio.create_task(house.reserve(payer(), Usage("m", 400, 0, 400)))
    before = store.trips
    await wait_until(lambda: store.trips > before + 1)
    assert not waiting.done()
    house.settle(payer(), name, Usage("m", 10, 0, 10))
    assert await waiting


async def test_a_call_is_counted_once_however_often_its_end_is_told(store: Store) -> None:
    house = budgets(store, Limit("person", 500, "tokens", "day"))
    name = await house.reserve(payer(), Usage("m", 400, 0, 400))
    for _ in range(3):
        house.settle(payer(), name, Usage("m", 10, 0, 10))
    assert (await spent(store, "0" * 32))["tokens"] == 20


async def test_what_a_worker_held_that_died_is_free_again_after_a_while(store: Store) -> None:
    house = budgets(store, Limit("person", 500, "tokens", "day"))
    name = await house.reserve(payer(), Usage("m", 400, 0, 400))
    key = held_key(payer().person)
    assert 0 < await store.redis.pttl(key) <= 15 * 60 * 1000
    await store.redis.hset(key, name, "800:0:1")  # as if its time were over
    assert await house.reserve(payer(), Usage("m", 400, 0, 400))


async def test_a_new_day_and_a_new_month_begin_with_nothing_spent(store: Store) -> None:
    day, month = Limit("person", 10, "tokens", "day"), Limit("person", 1_500, "tokens", "month")
    house = budgets(store, day, month)
    assert await call(Counting(), house, payer(now=NOON - 24 * HOUR))
    assert not await call(Counting(), house, payer(now=NOON - 13 * HOUR))
    assert await call(Counting(), house, payer(now=NOON - 12 * HOUR))  # midnight
    with pytest.raises(OverBudget, match="this month"):
        await house.reserve(payer(), Usage("m"))
    assert await call(Counting(), house, payer(now=NOON + 12 * HOUR))
    assert resets(NOON, "month") == resets(NOON, "day") == NOON + 12 * HOUR
    assert await store.redis.pttl(spent_key(payer().person, "20261231")) <= 2 * 24 * HOUR
    assert await store.redis.pttl(spent_key(payer().person, "202612")) > 31 * 24 * HOUR


async def test_dollars_do_not_hold_back_a_model_whose_price_is_unknown_and_tokens_do(store: Store) -> None:
    house = budgets(store, Limit("all", 10, "micros", "day"), Limit("all", 2 * USED, "tokens", "day"))
    unknown = Scripted(lambda _: [Text("hi"), Usage("stage:model", USED, 0, 0)])
    assert await call(unknown, house, payer())
    assert await spent(store, "0" * 32) == {"tokens": USED, "unpriced": USED}
    assert await call(unknown, house, payer())
    assert not await call(unknown, house, payer())


async def test_dollars_that_are_spent_hold_back_all_that_is_not_known_to_be_free(store: Store) -> None:
    house = budgets(store, Limit("all", 10, "micros", "day"))
    assert await call(Counting(), house, payer())
    with pytest.raises(OverBudget):
        await house.reserve(payer(), Usage("m", cost=None))
    assert await house.reserve(payer(), Usage("m", cost=0.0))


async def test_a_call_that_said_nothing_costs_nothing_and_one_that_broke_off_what_it_said(store: Store) -> None:
    house = budgets(store, Limit("all", 50_000, "tokens", "day"))
    silent = Scripted(lambda _: [ModelFailed("No.")])
    broken = Scripted(lambda _: [Text("words " * 50), ModelFailed("No.")])
    for model in (silent, broken):
        with pytest.raises(ModelError):
            await call(model, house, payer())
        assert await held(store) == []
    assert 100 < (await spent(store, "0" * 32))["tokens"] < 200


async def test_a_call_that_is_cancelled_is_counted(store: Store) -> None:
    house = budgets(store, Limit("all", 50_000, "tokens", "day"))
    model = Scripted(lambda _: [Text("words " * 50), asyncio.Event()])
    calling = asyncio.create_task(call(model, house, payer()))
    await wait_until(lambda: model.open)
    await wait_until(lambda: held(store))
    calling.cancel()
    await asyncio.wait((calling,))
    assert await held(store) == []
    assert 100 < (await spent(store, "0" * 32))["tokens"] < 200


async def test_a_call_that_is_cancelled_before_it_said_anything_has_read_its_prompt(store: Store) -> None:
    house = budgets(store, Limit("all", 50_000, "tokens", "day"))
    model = Scripted(lambda _: [asyncio.Event()])
    calling = asyncio.create_task(call(model, house, payer()))
    await wait_until(lambda: model.open)
    calling.cancel()
    await asyncio.wait((calling,))
    assert await held(store) == []
    assert (await spent(store, "0" * 32))["tokens"] == size(PROMPT)


async def test_a_call_that_is_cancelled_while_it_takes_its_part_holds_nothing(store: Store) -> None:
    house = budgets(store, Limit("all", 50_000, "tokens", "day"))
    for turns in range(12):  # of the loop, until it is cancelled
        calling = asyncio.create_task(call(Scripted(lambda _: [asyncio.Event()]), house, payer()))
        for _ in range(turns):
            await asyncio.sleep(0)
        calling.cancel()
        await asyncio.wait((calling,))
    assert await held(store) == []


async def test_a_person_is_told_that_their_budget_is_spent_and_others_are_answered(store: Store) -> None:
    async with stage(store, models=Choice(Counting()), budget=(Limit("person", 10, "tokens", "day"),)) as s:
        await s.say("hello")
        await s.replies(1)
        await s.say("hello again", zone="Europe/Berlin")
        told = (await s.replies(2))[1]
        assert told.startswith("Your budget for today is spent. It begins anew on ")
        assert told.endswith("Europe/Berlin.")
        bobs = ChatRef("stage", "bot", "bob")
        await s.say("hello", chat=bobs, who=BOB)
        assert await s.replies(1, bobs) == ["hi"]


async def test_in_a_group_whoever_asks_pays_and_the_group_too(store: Store) -> None:
    limits = (Limit("person", 10, "tokens", "day"), Limit("chat", 2 * USED, "tokens", "day"))
    async with stage(store, models=Choice(Counting()), budget=limits) as s:
        for n, who in enumerate((ADA, ADA, BOB, Account("stage", "bot", "eve"))):
            await s.say("hello", chat=GROUP, who=who)
            await s.replies(n + 1, GROUP)
        told = s.board.read(GROUP)
        assert [text.split(" is ")[0] for text in told] == [
            *("hi", "Your budget for today", "hi", "This chat's budget for today")
        ]


@tool(label="looking")
async def look(text: str) -> str:
    """Look something up."""
    return text


async def test_the_later_calls_of_a_turn_are_held_to_the_budget_too(store: Store) -> None:
    def brain(prompt: Prompt) -> list[ModelEvent | asyncio.Event | Exception]:
        return [Text("Let me see."), ToolCall("1", "look", '{"text": "x"}'), Usage("m", USED, 0, 0), Stop("tools")]

    limit = Limit("all", USED, "tokens", "day")
    async with stage(store, brain, tools=Toolbox((look,)), budget=(limit,)) as s:
        await s.say("hello")
        [told] = await s.replies(1)
        assert told.startswith("Let me see.\n\nThis assistant's budget for today is spent.")
        assert len(s.model.prompts) == 1


async def test_the_summary_in_the_background_is_counted_too(store: Store) -> None:
    model = Scripted(lambda _: [Text("filler " * 60), Usage("m", 1, 0, 1)], window=3_000)
    async with stage(store, model=model) as s:
        for n in range(16):
            await s.say(f"talk {n} " + "words " * 40)
            await s.replies(n + 1)
        await wait_until(lambda: any(p.limit == 700 for p in model.prompts))
        await wait_until(lambda: counted(s, 2 * len(model.prompts)))


async def counted(s: Stage, tokens: int) -> bool:
    found = [k async for k in s.store.redis.scan_iter(f"pieria:spent:*:{s.people.installation}:*")]
    return bool(found) and all([int(await s.store.redis.hget(k, "tokens") or 0) == tokens for k in found])


async def test_usage_tells_everybody_what_they_and_the_chat_used(store: Store) -> None:
    async with stage(store, models=Choice(Counting()), budget=(Limit("person", 200_000, "tokens", "day"),)) as s:
        await s.say("/usage")
        assert "0 tokens today" in (await s.replies(1))[0]
        await s.say("hello")
        await s.replies(2)
        await s.say("/usage")
        assert (await s.replies(3))[2] == (
            "**You** used 1,000 tokens ($0.0010) today and 1,000 tokens ($0.0010) this month. "
            "The limit: 200,000 tokens a day.\n\n"
            "**This chat** used 1,000 tokens ($0.0010) today and 1,000 tokens ($0.0010) this month."
        )
        await s.say("/usage", chat=GROUP, who=BOB)
        assert "**This chat** used 0 tokens" in (await s.replies(1, GROUP))[0]


async def test_usage_is_told_without_limits_and_without_a_price(store: Store) -> None:
    async with stage(store, models=Choice(Counting(cost=None))) as s:
        await s.say("hello")
        await s.replies(1)
        await s.say("/usage")
        assert "**You** used 1,000 tokens (price unknown) today" in (await s.replies(2))[1]


async def test_budget_tells_admins_what_all_used_and_nobody_else(store: Store) -> None:
    limits = (Limit("person", 200_000, "tokens", "day"), Limit("all", 5_000_000, "micros", "month"))
    async with stage(store, models=Choice(Counting()), budget=limits) as s:
        await s.say("hello", chat=GROUP, who=BOB)
        await s.replies(1, GROUP)
        await s.say("/budget")
        assert (await s.replies(1))[0] == "Only an admin can do that."
        await s.people.crown(ADA)
        await s.say("/budget")
        assert (await s.replies(2))[1] == (
            "**This assistant** used 1,000 tokens ($0.0010) today and 1,000 tokens ($0.0010) this month, all people together. "
            "The limit: $5.00 a month.\n\nEach person may use 200,000 tokens a day."
        )


async def test_a_turn_costs_six_trips_at_most_with_rates_budgets_and_paces_on(store: Store) -> None:
    limits = tuple(Limit(s, 10**9, "tokens", p) for s in ("person", "chat", "all") for p in ("day", "month"))  # type: ignore[arg-type]
    board = Board(chat_rate=Rate(0.001, 100), account_rate=Rate(0.001, 100))
    async with stage(
        store, board=board, models=Choice(Counting()), rate=Rate(0.1, 100), budget=limits, paced=True
    ) as s:
        await s.say("warm up")
        await s.replies(1)
        await s.engine.delivery.settled()
        before = store.trips
        for n in range(10):
            await s.say("hello")
            await s.replies(n + 2)
        await s.engine.delivery.settled()
        assert (store.trips - before) / 10 <= 6
