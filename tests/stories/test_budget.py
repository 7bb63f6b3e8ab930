"""An operator who pays for the models and does not want to be surprised, and the people who use the assistant."""

from pathlib import Path

from tests.stories.program import command, running
from tests.stories.test_telegram import town


async def test_a_budget_ends_politely_for_each_person_and_tells_what_was_used(tmp_path: Path) -> None:
    async with town(tmp_path, PIERIA_BUDGET="person:10/day,all:1m/month") as (telegram, models, settings):
        async with running(settings):
            ada, bob = telegram.person(id=1, name="Ada"), telegram.person(id=2, name="Bob")
            hers, his = telegram.private(ada), telegram.private(bob)
            models.reply("Paris.")
            await hers.say(ada, "What is the capital of France?")
            await hers.replies(1)
            asked = len(models.requests)
            await hers.say(ada, "And of Spain?")
            assert (await hers.replies(2))[1].unmarked.startswith("Your budget for today is spent. It begins anew on ")
            assert len(models.requests) == asked
            models.reply("Rome.")
            await his.say(bob, "And of Italy?")
            assert (await his.replies(1))[0].text == "Rome."
            await hers.say(ada, "/usage")
            told = (await hers.replies(3))[2].unmarked
            assert "You used" in told
            assert "The limit: 10 tokens a day." in told
            await hers.say(ada, "/budget")
            assert "Only an admin" in (await hers.replies(4))[3].text
            code, _, err = await command(settings, "admin", "add", "telegram:1")
            assert code == 0, err
            await hers.say(ada, "/budget")
            told = (await hers.replies(5))[4].unmarked
            assert "This assistant used" in told
            assert "The limit: 1,000,000 tokens a month." in told
        async with running(settings):  # what was spent outlives the program
            await hers.say(ada, "And now?")
            assert (await hers.replies(6))[5].unmarked.startswith("Your budget for today is spent.")


async def test_a_budget_that_cannot_be_read_is_refused_in_one_sentence(tmp_path: Path) -> None:
    async with town(tmp_path, PIERIA_BUDGET="person:lots/day") as (_, _, settings):
        code, _, err = await command(settings, "run")
    assert code == 1
    assert "PIERIA_BUDGET is 'person:lots/day'" in err
    assert "person:200k/day" in err
    assert "Traceback" not in err
