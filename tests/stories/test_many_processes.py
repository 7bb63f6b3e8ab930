"""An operator whose bot has grown past one process: adapters and workers that share a store and nothing else."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from adapters.valkey import Valkey
from tests.conftest import wait_until
from tests.servers.models import ModelServer, Reply, last_asked
from tests.servers.telegram import TOKEN, TelegramServer
from tests.stories.program import command, environment, running

ADAPTERS = ("--role", "adapters")
WORKER = ("--role", "worker")
KEY = "11" * 32


class Town:
    """A Telegram, a model, a store, and machines on which Pieria is started."""

    def __init__(self, folder: Path, telegram: TelegramServer, models: ModelServer, url: str) -> None:
        self._folder = folder
        self.telegram = telegram
        self.models = models
        self._url = url

    def machine(self, name: str, **settings: str) -> dict[str, str]:
        """The settings of a machine that shares the store and the key, and no folder."""
        told = {
            "REDIS_URL": self._url,
            "PIERIA_KEY": KEY,
            "TELEGRAM_BOT_TOKEN": TOKEN,
            "TELEGRAM_API_URL": self.telegram.url,
            "OPENAI_BASE_URL": self.models.url,
            "PIERIA_ACCESS": "open",
            **settings,
        }
        return environment(self._folder / name, **told)


@asynccontextmanager
async def town(folder: Path) -> AsyncIterator[Town]:
    store = Valkey(folder / "store")
    store.spawn()
    try:
        await store.ready()
        async with TelegramServer() as telegram, ModelServer() as models:
            yield Town(folder, telegram, models, store.url)
            assert telegram.problems == []
    finally:
        store.close()


LONG = "A long and growing reply. " * 12


def questions(t: Town) -> int:
    return sum("completions" in seen.path for seen in t.models.requests)


def echo(request: dict) -> Reply:
    return Reply(text="Answer to " + last_asked(request).split()[-1], first_token_delay=0.2)


async def test_workers_answer_what_adapters_bring(tmp_path: Path) -> None:
    async with town(tmp_path) as t, AsyncExitStack() as stack:
        await stack.enter_async_context(running(t.machine("a"), *ADAPTERS))
        workers = [await stack.enter_async_context(running(t.machine(name), *WORKER)) for name in ("b", "c")]
        t.models.brain = echo
        people = [t.telegram.person(id=n, name=f"P{n}") for n in range(1, 9)]
        for person in people:
            await t.telegram.private(person).say(person, f"question {person.id}")
        for person in people:
            (answer,) = await t.telegram.private(person).replies(1)
            assert answer.text == f"Answer to {person.id}"
        assert questions(t) == 8
        assert all("Worker" in worker.output and TOKEN not in worker.output for worker in workers)


async def test_a_reply_grows_before_the_eyes_of_people_whom_another_process_serves(tmp_path: Path) -> None:
    async with town(tmp_path) as t, running(t.machine("a"), *ADAPTERS), running(t.machine("b"), *WORKER):
        t.models.brain = lambda _: Reply(text=LONG, tokens_per_second=30)
        ada, bob = t.telegram.person(id=1, name="Ada"), t.telegram.person(id=2, name="Bob")
        private, group = t.telegram.private(ada), t.telegram.group(id=-1001, title="Friends", members=[ada, bob])
        await private.say(ada, "tell me")
        await group.say(bob, "and here?", mention=True)
        (growing,) = await group.replies(1)
        assert growing.text.strip() != LONG.strip()
        await wait_until(lambda: len(private.draft_log) > 2, 20)
        for chat in (private, group):
            await wait_until(lambda chat=chat: [m.text.strip() for m in chat.answers] == [LONG.strip()], 20)
        assert group.answers[0].id == growing.id


async def test_stop_reaches_the_worker_within_a_second(tmp_path: Path) -> None:
    async with town(tmp_path) as t, running(t.machine("a"), *ADAPTERS), running(t.machine("b"), *WORKER):
        t.models.brain = lambda _: Reply(text="word " * 2000, tokens_per_second=40)
        ada = t.telegram.person(id=1, name="Ada")
        chat = t.telegram.private(ada)
        await chat.say(ada, "count")
        await wait_until(lambda: chat.drafts, 20)
        asked = asyncio.get_running_loop().time()
        await chat.say(ada, "/stop")
        await wait_until(lambda: any("(stopped)" in m.text for m in chat.answers), 10)
        assert asyncio.get_running_loop().time() - asked < 1.5
        await wait_until(lambda: t.models.open == 0, 2)


async def test_when_a_worker_is_killed_another_goes_on(tmp_path: Path) -> None:
    async with town(tmp_path) as t, running(t.machine("a"), *ADAPTERS), running(t.machine("b"), *WORKER) as worker:
        t.models.brain = lambda _: Reply(text=LONG, tokens_per_second=20)
        ada, bob = t.telegram.person(id=1, name="Ada"), t.telegram.person(id=2, name="Bob")
        private, group = t.telegram.private(ada), t.telegram.group(id=-1001, title="Friends", members=[ada, bob])
        await private.say(ada, "tell me")
        await group.say(bob, "and here?", mention=True)
        await wait_until(lambda: private.drafts and group.answers, 20)
        await worker.kill()
        t.models.brain = lambda _: Reply(text="The end.")
        async with running(t.machine("c"), *WORKER):
            for chat in (private, group):
                await wait_until(lambda chat=chat: [m.text for m in chat.answers] == ["The end."], 20)


async def test_when_the_adapters_are_killed_the_next_ones_deliver(tmp_path: Path) -> None:
    async with town(tmp_path) as t, running(t.machine("b"), *WORKER):
        t.models.brain = lambda _: Reply(text=LONG, tokens_per_second=20)
        ada, bob = t.telegram.person(id=1, name="Ada"), t.telegram.person(id=2, name="Bob")
        private, group = t.telegram.private(ada), t.telegram.group(id=-1001, title="Friends", members=[ada, bob])
        async with running(t.machine("a"), *ADAPTERS) as adapters:
            await private.say(ada, "tell me")
            await group.say(bob, "and here?", mention=True)
            await wait_until(lambda: private.drafts and group.answers, 20)
            shown = len(private.draft_log)
            await wait_until(lambda: len(private.draft_log) > shown, 20)  # by now the group's message is noted
            await adapters.kill()
        await wait_until(lambda: t.models.open == 0, 20)
        async with running(t.machine("a"), *ADAPTERS):
            for chat in (private, group):
                await wait_until(lambda chat=chat: [m.text.strip() for m in chat.answers] == [LONG.strip()], 20)
            await private.say(ada, "still there?")
            await wait_until(lambda: len(private.answers) == 2, 20)


async def test_a_worker_that_is_told_to_end_finishes_its_turns(tmp_path: Path) -> None:
    async with town(tmp_path) as t, running(t.machine("a"), *ADAPTERS), running(t.machine("b"), *WORKER) as worker:
        t.models.brain = lambda _: Reply(text=LONG, tokens_per_second=40)
        ada = t.telegram.person(id=1, name="Ada")
        chat = t.telegram.private(ada)
        await chat.say(ada, "tell me")
        await wait_until(lambda: chat.drafts, 20)
        assert await worker.stop(number=signal.SIGTERM) == 0
        await wait_until(lambda: [m.text.strip() for m in chat.answers] == [LONG.strip()], 20)
        assert questions(t) == 1


async def test_of_two_processes_that_serve_one_bot_one_waits_and_takes_over(tmp_path: Path) -> None:
    async with town(tmp_path) as t, running(t.machine("w"), *WORKER), AsyncExitStack() as stack:
        first = await stack.enter_async_context(running(t.machine("a"), *ADAPTERS))
        second = await stack.enter_async_context(running(t.machine("b"), *ADAPTERS))
        told = await second.says(r"Telegram +waits +Another Pieria \(process (\d+) on .*only one may", 20)
        assert int(told[1]) == first.pid
        t.models.brain = echo
        ada = t.telegram.person(id=1, name="Ada")
        chat = t.telegram.private(ada)
        await chat.say(ada, "question 1")
        await chat.replies(1)
        await first.stop()
        await second.says(r"Telegram +on ", 20)
        await chat.say(ada, "question 2")
        await chat.replies(2)
        assert [m.text for m in chat.answers] == ["Answer to 1", "Answer to 2"]


async def test_the_terminal_of_one_machine_is_answered_by_another(tmp_path: Path) -> None:
    async with town(tmp_path) as t, running(t.machine("a"), *ADAPTERS), running(t.machine("b"), *WORKER):
        t.models.brain = echo
        code, out, _ = await command(t.machine("a"), "chat", "question 7")
        assert (code, out.strip()) == (0, "Answer to 7")


@pytest.mark.parametrize(
    ("settings", "role", "told"),
    [
        ({"REDIS_URL": ""}, "worker", "REDIS_URL"),
        ({"REDIS_URL": ""}, "adapters", "REDIS_URL"),
        ({"REDIS_URL": "redis://203.0.113.7:6379/0"}, "worker", "password"),
    ],
)
async def test_a_role_that_cannot_be_played_is_refused_in_a_sentence(
    tmp_path: Path, settings: dict[str, str], role: str, told: str
) -> None:
    code, out, err = await command(environment(tmp_path, **settings), "run", "--role", role)
    assert (code, out) == (1, "")
    assert told in err
    assert err.count("\n") == 1
