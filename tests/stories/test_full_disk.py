"""The disk of the data folder fills up while people write, and the operator frees it: the whole program."""

from pathlib import Path

from tests.conftest import wait_until
from tests.servers.disk import small_disk
from tests.servers.models import Reply
from tests.stories.program import command, running
from tests.stories.test_telegram import _asked, _questions, town

FULL = "The store cannot write to its disk: free space, then it goes on by itself."


async def test_a_full_disk_is_said_in_one_sentence_and_people_are_answered_once_when_there_is_room(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path / "disk", megabytes=32) as disk:
        async with town(disk.folder / "data") as (telegram, models, settings):
            models.brain = lambda request: Reply(text=" | ".join(_asked(request)), first_token_delay=0.5)
            ada, bob = telegram.person(id=1, name="Ada"), telegram.person(id=2, name="Bob")
            chat, other = telegram.private(ada), telegram.private(bob)
            async with running(settings) as program:
                await chat.say(ada, "before")
                await chat.replies(1)
                await chat.say(ada, "running")
                await wait_until(lambda: len(_questions(models)) == 2)
                disk.fill()
                await program.says(FULL)
                waiting = [f"waiting {n}" for n in range(4)]
                for text in waiting:
                    await chat.say(ada, text)
                await other.say(bob, "hello")
                await wait_until(lambda: _questions(models)[1].closed)
                assert len(chat.answers) <= 2, "what ran may have fitted in; nothing new was taken"
                assert other.answers == []
                disk.free()
                await other.replies(1, timeout=20)
                await wait_until(lambda: waiting[-1] in chat.answers[-1].text, 20)
                said = " | ".join(m.text for m in chat.answers).split(" | ")
                assert said == ["before", "running", *waiting]
                assert [m.text for m in other.answers] == ["hello"]
            assert program.output.count(FULL) == 1


async def test_a_program_that_finds_the_disk_full_at_its_start_says_so(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=32) as disk:
        async with town(disk.folder / "data") as (_, _, settings):
            disk.fill()
            status, out, err = await command(settings, "run")
            assert (status, out, err.count("\n")) == (1, "", 1)
            assert err.endswith("is full.\n")
            disk.free()
            async with running(settings):
                pass
            disk.fill()
            async with running(settings) as program:
                await program.says(FULL)
