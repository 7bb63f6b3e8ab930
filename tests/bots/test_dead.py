"""`pieria dead`: what the operator reads in the shell about messages that were put aside, and does about them."""

from pathlib import Path

import pytest

from bots.dead import dead
from core.errors import PieriaError
from core.store import Store
from tests.core.test_dead import RULES, broken, buried
from tests.stage import stage
from tests.stories.program import command, environment


async def test_the_operator_lists_reads_and_forgets(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    async with stage(store, broken, rules=RULES) as s:
        letters = await buried(s)
        (letter,) = await letters.letters()
        assert await dead("list", [], store, s.people) == 0
        listed = capsys.readouterr().out
        assert letter.id in listed
        assert "stage  Ada  failed 3 times" in listed
        assert "the question" not in listed, "people's words are shown when they are asked for"
        await dead("show", [letter.id], store, s.people)
        assert "the question" in capsys.readouterr().out
        with pytest.raises(PieriaError, match="0-1-1"):
            await dead("drop", ["0-1-1"], store, s.people)
        with pytest.raises(PieriaError, match="all"):
            await dead("retry", [], store, s.people)
        await dead("drop", ["all"], store, s.people)
        await dead("list", [], store, s.people)
        assert "Nothing was put aside." in capsys.readouterr().out


async def test_the_operator_has_it_tried_again(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    async with stage(store, broken, rules=RULES) as s:
        await buried(s)
        s.model.brain = lambda _: "An answer at last."
        await dead("retry", ["all"], store, s.people)
        assert "tried again" in capsys.readouterr().out
        assert (await s.replies(2, seconds=20))[1] == "An answer at last."


async def test_the_command_works_where_no_program_runs(tmp_path: Path) -> None:
    assert await command(environment(tmp_path), "dead", "list") == (0, "Nothing was put aside.\n", "")
    status, _, err = await command(environment(tmp_path), "dead", "show", "1-2-3")
    assert (status, "1-2-3" in err) == (1, True)
