"""What people may spend on models: hard budgets a person, a chat and the installation, in tokens and dollars, a day and a month.

Each call of a model first takes the most that it may come to out of person, chat and installation, in this order and in one
script, or out of none of them; when it has ended, however it ended, what it really came to is counted instead. A limit of
which something is left lets a call through: calls at once overspend it by one at most. What a worker held that died is free
again after a while. Money counts where prices are known, tokens always. Days and months are UTC by the store's clock, at the
beginning of the turn.
"""

import asyncio
import logging
import math
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import msgspec

from core.errors import ModelError, OverBudget
from core.history import tokens, weight
from core.keys import DAY, held_key, spent_key
from core.messages import ChatRef, ModelEvent, Prompt, Reasoning, Text, ToolCall, Usage
from core.pace import whole
from core.people import People
from core.ports import Model, Priced
from core.prompt import REPLY_SHARE, moment
from core.store import Arg, Store
from core.words import words

log = logging.getLogger(__name__)

Scope = Literal["person", "chat", "all"]
Unit = Literal["tokens", "micros"]
Period = Literal["day", "month"]

SCOPES: Final[tuple[Scope, ...]] = ("person", "chat", "all")
PERIODS: Final[tuple[Period, ...]] = ("day", "month")
LIFE: Final = 15 * 60 * 1000
"""Milliseconds for which a call may hold what it has not spent: longer than any turn lasts."""
LONGEST: Final = 32_768
"""Tokens of a reply that we count with where nobody knows the longest one."""
PAUSE: Final = 0.25
"""Seconds until a call that waits looks again."""
PICTURE: Final = 1_600
"""About how many tokens a picture has."""


_WHOSE: Final = {"person": "budget_person", "chat": "budget_chat", "all": "budget_all"}
_EACH: Final = {"person": "limit_each_person", "chat": "limit_each_chat"}
_NOW: Final = {"day": "today", "month": "this_month"}


class Limit(msgspec.Struct, frozen=True):
    """One line of a budget: `person:200k/day`."""

    scope: Scope
    most: int
    """Tokens, or millionths of a dollar."""
    unit: Unit
    period: Period


class Payer(msgspec.Struct, frozen=True):
    """On whose account a call is made, and when its turn began."""

    person: str
    chat: ChatRef
    now: int
    """UTC milliseconds by the store's clock."""
    zone: str = ""
    language: str = "en"


class Spent(msgspec.Struct, frozen=True):
    """What came together in a period."""

    tokens: int = 0
    micros: int = 0
    """Millionths of a dollar, of the calls whose price is known."""
    unpriced: int = 0
    """Those of the tokens whose price is unknown."""


class Budgets:
    """The budgets of the installation and what was spent of them, shared by every process."""

    def __init__(self, store: Store, people: People, limits: tuple[Limit, ...], patience: float = 20.0) -> None:
        """`patience`: seconds for which a call waits for what others hold and may not need."""
        self._patience = patience
        self._store = store
        self._people = people
        # the one that takes longest to begin anew is told first
        self.limits = tuple(sorted(limits, key=lambda m: (SCOPES.index(m.scope), -PERIODS.index(m.period))))

    def charged(self, model: Model, payer: Payer) -> Model:
        """The same model, whose calls are reserved and counted on this account."""
        return Charged(model, self, payer)

    async def reserve(self, payer: Payer, most: Usage) -> str:
        """Hold what a call may come to; returns the name under which it is settled, "" where nothing is limited.

        Waits a while for what other calls only hold. Raises OverBudget where nothing is left, and StoreError.
        """
        if not self.limits:
            return ""
        whose, id_ = self._whose(payer), secrets.token_hex(8)
        keys = [held_key(who) for who in whose]
        numbers: list[Arg] = [id_, most.read + most.written, _micros(most), int(most.cost == 0.0), LIFE]
        for limit in self.limits:
            place = SCOPES.index(limit.scope)
            keys.append(spent_key(whose[place], _name(payer.now, limit.period)))
            numbers += [place + 1, limit.unit, limit.most]
        end = time.monotonic() + self._patience
        await self._store.flush()  # what this process has settled is free
        while True:
            try:
                number, spent = await self._store.run("reserve", keys, *numbers)
            except asyncio.CancelledError:  # the store may have done it
                self.settle(payer, id_, Usage("", cost=0.0))
                raise
            if not number:
                return id_
            if spent or time.monotonic() > end:
                raise OverBudget(_refusal(self.limits[number - 1], payer, spent=bool(spent)))
            await asyncio.sleep(PAUSE)

    def settle(self, payer: Payer, held: str, used: Usage) -> None:
        """Count what a call came to, in place of what it held. What a store that is away cannot count is lost."""
        whose, total = self._whose(payer), used.read + used.written
        keys = [held_key(who) for who in whose]
        keys += [spent_key(who, _name(payer.now, period)) for who in whose for period in PERIODS]
        self._store.along(
            "settle", keys, held, total, _micros(used), total if used.cost is None else 0, 2 * DAY, 40 * DAY
        )

    async def usage(self, payer: Payer) -> str:
        """What /usage answers: what this person and this chat used, and what they may."""
        spent = await self._spent(payer)
        parts = (("person", "usage_you"), ("chat", "usage_chat"))
        return "\n\n".join(self._told(scope, key, spent[scope], payer.language) for scope, key in parts)  # type: ignore[arg-type,index]

    async def account(self, payer: Payer) -> str:
        """What /budget answers: what the installation used, and all limits."""
        spent = await self._spent(payer)
        told = self._told("all", "usage_all", spent["all"], payer.language)
        each = [
            words(_EACH[m.scope], payer.language, limit=_shown(m, payer.language))
            for m in self.limits
            if m.scope in _EACH
        ]
        if not self.limits:
            each = [words("no_budget", payer.language)]
        return "\n\n".join((told, "\n".join(each))) if each else told

    async def now(self) -> int:
        """UTC milliseconds by the store's clock."""
        pipeline = self._store.redis.pipeline(transaction=False)
        pipeline.time()
        seconds, micros = (await self._store.execute(pipeline))[0]
        return int(seconds) * 1000 + int(micros) // 1000

    async def _spent(self, payer: Payer) -> dict[Scope, dict[Period, Spent]]:
        pipeline = self._store.redis.pipeline(transaction=False)
        for who in self._whose(payer):
            for period in PERIODS:
                pipeline.hmget(spent_key(who, _name(payer.now, period)), "tokens", "micros", "unpriced")
        found = iter(await self._store.execute(pipeline))
        return {scope: {period: Spent(*(int(n or 0) for n in next(found))) for period in PERIODS} for scope in SCOPES}

    def _whose(self, payer: Payer) -> tuple[str, str, str]:
        """The names of person, chat and installation in keys; threads of a chat count together."""
        return payer.person, self._people.lane(whole(payer.chat)), self._people.installation

    def _told(self, scope: Scope, key: str, spent: dict[Period, Spent], language: str) -> str:
        used = {period: _amount(spent[period], language) for period in PERIODS}
        told = words(key, language, **used)
        limits = ", ".join(_shown(m, language) for m in self.limits if m.scope == scope)
        return f"{told} {words('usage_limit', language, limits=limits)}" if limits else told


class Charged:
    """core.ports.Model whose calls are paid for."""

    def __init__(self, model: Model, budgets: Budgets, payer: Payer) -> None:
        self.name = model.name
        self.window = model.window
        self._model = model
        self._priced = model if isinstance(model, Priced) else None  # asking a Protocol takes its time
        self._budgets = budgets
        self._payer = payer

    def can(self, ability: str) -> bool:
        """What the model can."""
        return self._model.can(ability)

    async def stream(self, prompt: Prompt) -> AsyncGenerator[ModelEvent, None]:
        """The model's answer. Raises OverBudget before anything is asked."""
        read, longest = size(prompt), self._priced.longest if self._priced else 0
        most = prompt.limit or longest or min(self.window // REPLY_SHARE, LONGEST)
        held = await self._budgets.reserve(self._payer, self._used(read, most))
        told: list[Usage] = []
        written, refused = 0, False
        try:
            async with aclosing(self._model.stream(prompt)) as stream:
                async for event in stream:
                    match event:
                        case Usage():
                            told.append(event)
                        case Text() | Reasoning():
                            written += len(event.text.encode("utf-8", "surrogatepass"))
                        case ToolCall():
                            written += len(event.name) + len(event.arguments)
                    yield event
        except ModelError:
            refused = not written
            raise
        finally:
            if told:
                self._budgets.settle(self._payer, held, _together(told))
            elif not refused:  # it broke off, was cancelled, or the provider tells nothing
                self._budgets.settle(self._payer, held, self._used(read, math.ceil(written / 3)))
            elif held:
                self._budgets.settle(self._payer, held, Usage(self.name, cost=0.0))

    def _used(self, read: int, written: int) -> Usage:
        cost = self._priced.cost(read, written) if self._priced else None
        return Usage(self.name, read, 0, written, cost)


def size(prompt: Prompt) -> int:
    """About how many tokens a prompt has, on the safe side."""
    schemas = sum(tokens(t.about) + len(bytes(t.schema)) // 3 for t in prompt.tools)
    return tokens(prompt.system) + tokens(prompt.now) + weight(prompt.lines) + schemas + PICTURE * len(prompt.media)


def resets(now: int, period: Period) -> int:
    """When the next day or month begins, UTC milliseconds."""
    today = datetime.fromtimestamp(now / 1000, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    after = today + timedelta(days=1) if period == "day" else (today.replace(day=1) + timedelta(days=32)).replace(day=1)
    return round(after.timestamp() * 1000)


def _name(now: int, period: Period) -> str:
    """A period in names of keys: `20261126`, `202611`."""
    return datetime.fromtimestamp(now / 1000, UTC).strftime("%Y%m%d" if period == "day" else "%Y%m")


def _micros(usage: Usage) -> int:
    return math.ceil((usage.cost or 0.0) * 1e6)


def _together(told: list[Usage]) -> Usage:
    costs = [u.cost for u in told if u.cost is not None]
    cost = sum(costs) if len(costs) == len(told) else None
    return Usage(told[0].model, sum(u.read for u in told), 0, sum(u.written for u in told), cost)


def _refusal(limit: Limit, payer: Payer, *, spent: bool) -> str:
    language = payer.language
    whose = words(_WHOSE[limit.scope], language)
    if not spent:
        return words("budget_held", language, whose=whose)
    at = moment(resets(payer.now, limit.period), payer.zone)
    return words("budget_spent", language, whose=whose, period=words(_NOW[limit.period], language), at=at)


def _shown(limit: Limit, language: str) -> str:
    most = f"${limit.most / 1e6:,.2f}" if limit.unit == "micros" else words("tokens", language, count=f"{limit.most:,}")
    return words("limit", language, most=most, period=words(limit.period, language))


def _amount(spent: Spent, language: str) -> str:
    told = words("tokens", language, count=f"{spent.tokens:,}")
    if not spent.tokens:
        return told
    if spent.unpriced == spent.tokens:
        return f"{told} ({words('price_unknown', language)})"
    cost = f"${spent.micros / 1e6:,.4f}"
    return f"{told} ({cost}{words('besides', language, count=f'{spent.unpriced:,}') if spent.unpriced else ''})"
