"""Nobody says anything: how long a start takes, what the program weighs, what it costs to wait."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tests.load.install import installed
from tests.load.plan import Plan
from tests.load.programs import BARE, FREE, PIERIA, Bot, bot, both
from tests.load.table import Chapter, Figure, median, most, times_most
from tests.load.tree import Memory
from tests.servers.discord import TOKEN as DISCORD_TOKEN
from tests.servers.discord import DiscordServer
from tests.servers.slack import APP_TOKEN, BOT_TOKEN, SlackServer

SETTLE = 3.0
"""Seconds after a start until all that belongs to it is done."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What a bot weighs, and what it takes of a core in per cent."""

    memory: Memory
    cost: float


async def idle(plan: Plan, folder: Path) -> Chapter:
    """As its title says."""
    settings = FREE | plan.settings
    bare_starts, our_starts = [], []
    for _ in range(plan.rounds):
        async with bot("bare", BARE, folder / "bare") as bare:
            bare_starts.append(bare.first_poll)
        async with bot("ours", (*PIERIA, "run"), folder / "ours", settings) as ours:
            our_starts.append(ours.first_poll)
    async with both(folder, settings) as bots, _on_three_platforms(folder / "three", settings) as three:
        bare, ours, many = await _watched([*bots, three], plan.idle_watch)
    figures = [
        Figure("start to the first poll, median", "s", median(bare_starts), median(our_starts), times_most(1.6)),
        Figure("RSS of the tree, one platform", "MB", bare.memory.rss, ours.memory.rss, most(90)),
        Figure("  of it the store's", "MB", None, ours.memory.rss - ours.memory.ours),
        Figure("RSS of the tree, three platforms", "MB", None, many.memory.rss, most(120)),
        Figure("PSS of the tree, one platform", "MB", bare.memory.pss, ours.memory.pss),
        Figure("PSS of the tree, three platforms", "MB", None, many.memory.pss),
        Figure("processor of the tree, one platform", "%", bare.cost, ours.cost, most(0.5)),
        Figure("processor of the tree, three platforms", "%", None, many.cost, most(0.5)),
    ]
    environment = "development" if find_spec("pytest") else "base"
    notes = [
        f"in the {environment} install; watched for {plan.idle_watch:g} s; the page and the terminal's door are on"
    ]
    return Chapter("idle", [*figures, *(installed() if plan.install else ())], notes)


async def _watched(bots: Sequence[Bot], seconds: float) -> list[Watched]:
    """All at once: who is idle disturbs nobody."""
    await asyncio.sleep(SETTLE)
    before = [one.tree.cpu() for one in bots]
    await asyncio.sleep(seconds)
    spent = [one.tree.cpu().since(cpu).total for one, cpu in zip(bots, before, strict=True)]
    return [Watched(one.tree.memory(), 100 * cpu / seconds) for one, cpu in zip(bots, spent, strict=True)]


@asynccontextmanager
async def _on_three_platforms(folder: Path, settings: dict[str, str]) -> AsyncIterator[Bot]:
    async with SlackServer() as slack, DiscordServer() as discord:
        person, friend = slack.person("U1", "Ada"), discord.person(1000, "Ada")
        slack.private(person)
        discord.private(friend)
        others = {
            "SLACK_BOT_TOKEN": BOT_TOKEN,
            "SLACK_APP_TOKEN": APP_TOKEN,
            "SLACK_API_URL": slack.url,
            "DISCORD_BOT_TOKEN": DISCORD_TOKEN,
            "DISCORD_API_URL": discord.url,
            "DISCORD_GATEWAY_URL": discord.gateway_url,
            "DISCORD_CDN_URL": discord.cdn_url,
        }
        async with bot("ours", (*PIERIA, "run"), folder, settings | others) as running:
            yield running
