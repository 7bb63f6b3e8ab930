"""What a message costs when many others talked before, and in a chat with a long past; what an idle conversation weighs."""

from collections.abc import Sequence
from pathlib import Path

from redis.asyncio import Redis

from tests.load import histories
from tests.load.course import Human
from tests.load.people import eagerly, in_turns
from tests.load.plan import Plan
from tests.load.programs import FREE, PIERIA, Bot, bot, data
from tests.load.table import Chapter, Figure, most, percentile


async def growth(plan: Plan, folder: Path) -> Chapter:
    """Conversations are really had, one message each; long pasts are written into the store."""
    lines, weights = [], []
    async with bot("ours", (*PIERIA, "run"), folder, FREE | plan.settings) as ours:
        await _message(ours, plan, ours.course.humans(plan.growth_people))
        had = 0
        for conversations in plan.growth_conversations:
            await eagerly(
                *(ours.course, plan.max_people, plan.max_speech),
                messages=conversations - had,
                stay=1,
                patience=plan.patience,
            )
            had = conversations
            weights.append((conversations, ours.tree.memory().ours, await _stored(data(folder))))
            people = ours.course.humans(plan.growth_people)
            lines.append((f"with {conversations:,} conversations", await _message(ours, plan, people)))
        for messages in plan.growth_histories:
            people = ours.course.humans(plan.growth_people)
            await histories.write(data(folder), people, messages)
            await in_turns(  # the first reads all there is, and may have it summarised
                *(ours.course, people, plan.max_speech),
                seats=plan.growth_seats,
                messages=plan.growth_people,
                patience=plan.patience,
            )
            lines.append((f"with {messages:,} messages in the chat", await _message(ours, plan, people)))
        problems = ours.problems
    figures = [Figure(f"processor a message {name}", "ms", None, cpu) for name, (cpu, _) in lines]
    figures += [Figure(f"before the model {name}, p50", "ms", None, wait) for name, (_, wait) in lines]
    (fewest, rss, stored), (many, more_rss, more_stored) = weights[0], weights[-1]
    each = (more_stored - stored) / (many - fewest) / 1024
    figures += [
        Figure(
            f"RSS of ours, {many:,} conversations after {fewest:,}", "MB", None, more_rss - rss, most(many / 10_000)
        ),
        Figure("the store's memory a conversation", "KB", None, each, most(4)),
    ]
    return Chapter("growth", figures, problems[:5])


async def _message(ours: Bot, plan: Plan, people: Sequence[Human]) -> tuple[float, float]:
    """Processor and the wait before the model, in milliseconds."""
    before = ours.tree.cpu()
    asked = await in_turns(
        *(ours.course, people, plan.max_speech),
        seats=plan.growth_seats,
        messages=plan.growth_messages,
        patience=plan.patience,
    )
    cpu = ours.tree.cpu().since(before).total
    return 1000 * cpu / len(asked), percentile([1000 * (told.called - told.handed) for told in asked], 0.5)


async def _stored(folder: Path) -> int:
    """Bytes that the store uses."""
    async with Redis.from_url(histories.store_url(folder)) as redis:
        return int((await redis.info("memory"))["used_memory"])
