"""A person on Telegram, an operator who has set a token and nothing else special."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.conftest import wait_until
from tests.servers.models import ModelServer, Reply, Seen
from tests.servers.telegram import TOKEN, TelegramServer
from tests.stories.program import command, environment, plain_text_in, running

LONG = "\n\n".join(
    f"Paragraph {n}: snake_case, 2 * 3 * 4 = 24, a < b & c > d, $5 and $6, emoji 👩‍👩‍👧‍👦, "
    + "and words to make it long " * 8
    for n in range(60)
)


@asynccontextmanager
async def town(folder: Path, **settings: str) -> AsyncIterator[tuple[TelegramServer, ModelServer, dict[str, str]]]:
    """A Telegram and a model on loopback, and the settings that point at them."""
    async with TelegramServer() as telegram, ModelServer() as models:
        told = {
            "TELEGRAM_BOT_TOKEN": TOKEN,
            "TELEGRAM_API_URL": telegram.url,
            "OPENAI_BASE_URL": models.url,
            "PIERIA_ACCESS": "open",
            **settings,
        }
        yield telegram, models, environment(folder, **told)
        assert telegram.problems == []


async def test_a_person_asks_and_is_answered(tmp_path: Path) -> None:
    async with town(tmp_path) as (telegram, models, settings), running(settings):
        models.reply("Paris is the capital of **France**.")
        ada = telegram.person(id=1, name="Ada")
        chat = telegram.private(ada)
        await chat.say(ada, "What is the capital of France?")
        (answer,) = await chat.replies(1)
        assert (answer.text, answer.kind) == ("Paris is the capital of France.", "rich")
        assert _questions(models)[0].asked.endswith("What is the capital of France?")


async def test_what_a_person_reads_is_what_the_model_said_however_long(tmp_path: Path) -> None:
    for folder, rich in ((tmp_path / "rich", True), (tmp_path / "html", False)):
        async with town(folder) as (telegram, models, settings):
            telegram.rich = rich
            async with running(settings):
                models.reply(LONG)
                ada = telegram.person(id=1, name="Ada")
                chat = telegram.private(ada)
                await chat.say(ada, "Tell me everything.")
                await chat.replies(1)
                await telegram.wait_for(
                    lambda: "Paragraph 59" in "".join(m.text for m in telegram.chats[1].answers), 20
                )
                read = " ".join(m.unmarked for m in chat.answers)
                assert read.split() == LONG.split()


async def test_a_burst_is_answered_in_full_and_in_order(tmp_path: Path) -> None:
    async with town(tmp_path) as (telegram, models, settings), running(settings):
        models.brain = lambda request: Reply(text=" | ".join(_asked(request)), first_token_delay=0.2)
        ada = telegram.person(id=1, name="Ada")
        chat = telegram.private(ada)
        for n in range(5):
            await chat.say(ada, f"question {n}")
        await wait_until(lambda: "question 4" in "".join(m.text for m in chat.answers), 20)
        assert " | ".join(m.text for m in chat.answers).split(" | ") == [f"question {n}" for n in range(5)]
        assert len(_questions(models)) <= 2


async def test_kill_9_in_the_middle_of_a_reply_and_the_person_sees_exactly_one_final(tmp_path: Path) -> None:
    async with town(tmp_path) as (telegram, models, settings):
        ada, bob = telegram.person(id=1, name="Ada"), telegram.person(id=2, name="Bob")
        private = telegram.private(ada)
        group = telegram.group(id=-1001, title="Friends", members=[ada, bob])
        models.brain = lambda _: Reply(text="A long and growing reply. " * 12, tokens_per_second=20)
        async with running(settings) as program:
            await private.say(ada, "my secret is xylophone")
            await group.say(bob, "and here?", mention=True)
            await wait_until(lambda: private.drafts and group.answers, 20)
            shown = len(private.draft_log)
            await wait_until(lambda: len(private.draft_log) > shown, 20)  # by now the group's message is noted
            await program.kill()
        models.brain = lambda _: Reply(text="The end.")
        async with running(settings) as program:
            await wait_until(lambda: any("The end." in m.text for m in private.answers), 20)
            await wait_until(lambda: any("The end." in m.text for m in group.answers), 20)
            await private.say(ada, "still there?")
            await wait_until(lambda: len(private.answers) == 2, 20)
            assert [m.text for m in private.answers] == ["The end.", "The end."]
            assert [m.text for m in group.answers] == ["The end."]
        assert plain_text_in(tmp_path, "xylophone", "The end.", "growing reply", "Friends") == []


async def test_a_short_reply_costs_at_most_two_calls(tmp_path: Path) -> None:
    async with town(tmp_path) as (telegram, models, settings), running(settings):
        ada = telegram.person(id=1, name="Ada")
        chat = telegram.private(ada)
        await chat.say(ada, "warm up")
        await chat.replies(1)
        before = len(_calls(telegram))
        for n in range(5):
            models.reply("A short reply.", first_token_delay=0.05)
            await chat.say(ada, f"question {n}")
            await chat.replies(n + 2)
        assert len(_calls(telegram)) - before <= 10


async def test_stop_ends_a_running_answer_within_a_second(tmp_path: Path) -> None:
    async with town(tmp_path) as (telegram, models, settings), running(settings):
        models.brain = lambda _: Reply(text="word " * 2000, tokens_per_second=40)
        ada = telegram.person(id=1, name="Ada")
        chat = telegram.private(ada)
        await chat.say(ada, "count")
        await wait_until(lambda: chat.drafts, 20)
        asked = asyncio.get_running_loop().time()
        await chat.say(ada, "/stop")
        await wait_until(lambda: any("(stopped)" in m.text for m in chat.answers), 10)
        assert asyncio.get_running_loop().time() - asked < 1.5
        await wait_until(lambda: models.open == 0, 2)


async def test_a_group_is_answered_only_when_addressed(tmp_path: Path) -> None:
    async with town(tmp_path) as (telegram, models, settings), running(settings):
        ada, bob = telegram.person(id=1, name="Ada"), telegram.person(id=2, name="Bob")
        group = telegram.group(id=-1001, title="Friends", members=[ada, bob])
        await group.say(bob, "nobody asks you")
        await group.say(ada, "who are you?", mention=True)
        (answer,) = await group.replies(1)
        await group.say(bob, "and you?", reply_to=answer)
        await group.replies(2)
        assert len(_questions(models)) == 2
        assert "nobody asks you" not in _questions(models)[1].body.decode()


async def test_a_stranger_is_let_in_by_the_operator(tmp_path: Path) -> None:
    async with town(tmp_path, PIERIA_ACCESS="pairing") as (telegram, _, settings), running(settings) as program:
        ada = telegram.person(id=1, name="Ada")
        chat = telegram.private(ada)
        claim = (await program.says(r"/start ([0-9a-f]{16})")).group(1)
        await chat.say(ada, "hello?")
        (told,) = await chat.replies(1)
        assert "This assistant is private" in told.text
        await chat.start(ada, claim)
        await chat.replies(2)
        await chat.say(ada, "and now?")
        assert "private" not in (await chat.replies(3))[2].text


async def test_the_operator_lets_a_stranger_in_from_the_shell(tmp_path: Path) -> None:
    async with town(tmp_path, PIERIA_ACCESS="pairing") as (telegram, _, settings), running(settings):
        ada, bob = telegram.person(id=1, name="Ada"), telegram.person(id=2, name="Bob")
        chats = [telegram.private(person) for person in (ada, bob)]
        await chats[0].say(ada, "hello?")
        (told,) = await chats[0].replies(1)
        code = re.search(r"[A-Z2-9]{4}-[A-Z2-9]{4}", told.text).group()
        status, out, _ = await command(settings, "approve", code, typed="y\n")
        assert status == 0
        assert "Ada on telegram, id 1" in out
        assert (await command(settings, "approve", code))[0] == 1
        assert (await command(settings, "allow", "telegram:2"))[0] == 0
        assert (await command(settings, "admin", "add", "telegram:2"))[0] == 0
        assert (await command(settings, "admin", "list"))[1] == "telegram:2\n"
        await chats[0].say(ada, "and now?")
        assert "and now?" in (await chats[0].replies(2))[1].text
        await chats[1].say(bob, "/whoami")
        assert "admin" in (await chats[1].replies(1))[0].text


async def test_a_failed_answer_offers_to_try_again(tmp_path: Path) -> None:
    async with town(tmp_path) as (telegram, models, settings), running(settings):
        ada = telegram.person(id=1, name="Ada")
        chat = telegram.private(ada)
        models.fail(status=401)
        await chat.say(ada, "question")
        (failed,) = await chat.replies(1)
        models.reply("an answer")
        await chat.press(ada, "Try again")
        assert (await chat.replies(2))[1].text == "an answer"
        assert "OPENAI_API_KEY" in failed.text


async def test_no_secret_stands_in_what_the_program_prints(tmp_path: Path) -> None:
    async with town(tmp_path, OPENAI_API_KEY="sk-very-secret-key-0000") as (telegram, models, settings):
        async with running(settings) as program:
            models.fail(status=401, times=3)
            telegram.fail("getUpdates", status=502, times=2)
            ada = telegram.person(id=1, name="Ada")
            chat = telegram.private(ada)
            await chat.say(ada, "hello")
            (answer,) = await chat.replies(1)
            assert "OPENAI_API_KEY" in answer.text
        assert TOKEN not in program.output
        assert "sk-very-secret-key-0000" not in program.output + answer.text


def _calls(telegram: TelegramServer) -> list[str]:
    return [call.method for call in telegram.calls if call.method != "getUpdates"]


def _questions(models: ModelServer) -> list[Seen]:
    """The calls of the model, without the look at what models there are."""
    return [seen for seen in models.requests if seen.path.endswith("/chat/completions")]


def _asked(request: dict) -> list[str]:
    """What the person asked since the last answer."""
    asked: list[str] = []
    for message in request["messages"]:
        if message["role"] == "assistant":
            asked = []
        elif message["role"] == "user":
            asked.append(message["content"].rpartition("\n")[2])
    return asked
