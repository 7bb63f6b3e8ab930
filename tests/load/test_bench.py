"""The bench itself: both bots answer on it, its figures are figures, and its servers see what is wrong. No time is asserted."""

import math
from pathlib import Path

import aiohttp

from tests.load.course import course
from tests.load.plan import SMOKE, Speech
from tests.load.programs import FREE, both
from tests.load.scenarios.load import load
from tests.load.scenarios.max import at_most
from tests.load.table import Chapter, Figure, most, table, times_least, times_most
from tests.servers.telegram import TOKEN


def shown(chapter: Chapter) -> dict[str, Figure]:
    return {figure.what: figure for figure in chapter.figures}


async def test_both_bots_answer_and_their_figures_are_numbers(tmp_path: Path) -> None:
    chapters = [await load(SMOKE, tmp_path / "load"), await at_most(SMOKE, tmp_path / "max")]
    for chapter in chapters:
        figures = [number for f in chapter.figures for number in (f.bare, f.ours) if number is not None]
        assert figures
        assert all(math.isfinite(number) for number in figures)
        assert (shown(chapter)["lost"].bare, shown(chapter)["lost"].ours) == (0, 0)
    assert shown(chapters[1])["messages a second"].ours > 0


async def test_a_message_is_stamped_on_all_its_way_in_both_bots(tmp_path: Path) -> None:
    async with both(tmp_path, FREE) as bots:
        for bot in bots:
            asked = await bot.course.answered(bot.course.human(), Speech(0.05, 100.0, 10), 10.0)
            assert 0 < asked.handed < asked.called < asked.first < asked.last < asked.final
            assert asked.first < asked.shown <= asked.final
            assert bot.course.record.calls == 1
            assert not bot.problems
            assert bot.tree.cpu().total > 0
            assert bot.tree.memory().rss > bot.tree.memory().pss > 0


async def test_a_wrong_call_is_refused_and_counts_as_a_problem() -> None:
    async with course() as made, aiohttp.ClientSession() as session:
        human = made.human()
        await made.ask(human, Speech())
        for call, fields in (
            ("sendMessage", {"chat_id": human.person.id}),
            ("sendMessage", {"chat_id": human.person.id, "text": "hi", "colour": "red"}),
            ("sendRichMessage", {"chat_id": human.person.id, "rich_message": {"html": "<p>open"}}),
            ("shout", {"text": "hi"}),
        ):
            async with session.post(f"{made.telegram.url}/bot{TOKEN}/{call}", json=fields) as answer:
                assert answer.status in {400, 404}
        async with session.post(f"{made.model.url}/chat/completions", json={"model": "other"}) as answer:
            assert answer.status == 401
    assert len(made.record.problems) == 5


def test_the_table_says_how_they_compare_and_whether_a_goal_was_met() -> None:
    told = table(
        [
            Chapter(
                "max",
                [
                    Figure("messages a second", "", 100.0, 250.0, times_least(2.5)),
                    Figure("processor a message", "ms", 4.0, 2.0, times_most(0.4)),
                    Figure("lost", "", None, 1.0, most(0)),
                ],
                ["how"],
            )
        ]
    )
    rows = [line.split() for line in told.splitlines() if line.startswith("  ")]
    assert rows[1][-4:] == ["2.50x", ">=", "2.5x", "ok"]
    assert rows[2][-4:] == ["0.50x", "<=", "0.4x", "NO"]
    assert rows[3][-4:] == ["1", "<=", "0", "NO"]
