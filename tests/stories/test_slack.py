"""People of a Slack workspace: members, guests, and an operator who chose sockets or HTTP."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.conftest import wait_until
from tests.servers.models import ModelServer, Reply
from tests.servers.slack import APP_TOKEN, BOT_TOKEN, SIGNING_SECRET, SlackServer
from tests.servers.slack_api.chats import Chat
from tests.servers.slack_api.faults import Limits
from tests.servers.slack_api.messages import Message
from tests.stories.program import command, environment, plain_text_in, running


@asynccontextmanager
async def town(folder: Path, **settings: str) -> AsyncIterator[tuple[SlackServer, ModelServer, dict[str, str]]]:
    """A workspace and a model on loopback, and the settings that point at them."""
    limits = Limits(methods={"apps.connections.open": 1000})
    async with SlackServer(limits=limits) as slack, ModelServer() as models:
        told = {"SLACK_BOT_TOKEN": BOT_TOKEN, "SLACK_API_URL": slack.url, "OPENAI_BASE_URL": models.url, **settings}
        yield slack, models, environment(folder, **told)
        assert slack.problems == []


async def test_a_member_asks_in_the_apps_messages_and_goes_on_in_the_thread(tmp_path: Path) -> None:
    async with town(tmp_path, SLACK_APP_TOKEN=APP_TOKEN) as (slack, models, settings), running(settings) as program:
        await program.says(r"Slack +on +bot ")
        ada = slack.person("U1", "Ada")
        dm = slack.private(ada)
        await dm.open_home(ada, "messages")
        await slack.wait_for(lambda: dm.prompts)
        models.brain = lambda _: Reply(text="Paris is the capital of **France**.", tokens_per_second=20)
        root = await dm.say(ada, "What is the capital of France?")
        (answer,) = await dm.replies(1)
        assert answer.text == "Paris is the capital of France."
        assert answer.thread == root.ts
        assert answer.streamed
        await slack.wait_for(lambda: "capital of France" in dm.titles.get(root.ts, ""))
        await dm.say(ada, "And of Italy?", thread=root)
        await dm.replies(2)
        said = [m["content"] for m in models.requests[-1].messages]
        assert any("capital of France?" in text for text in said), "the thread is one conversation"
        await dm.say(ada, "A new question")
        await dm.replies(3)
        assert not any("Italy" in m["content"] for m in models.requests[-1].messages), "another thread is another one"


async def test_a_channel_is_answered_in_threads_and_only_when_addressed(tmp_path: Path) -> None:
    async with town(tmp_path, SLACK_APP_TOKEN=APP_TOKEN) as (slack, models, settings), running(settings) as program:
        await program.says(r"Slack +on +bot ")
        ada, bob = slack.person("U1", "Ada"), slack.person("U2", "Bob")
        general = slack.channel("C1", "general", [ada, bob], bot=False)
        await general.add_bot(by=ada)
        await wait_until(lambda: any("Mention me" in m.text for m in general.answers), 20)
        await general.say(bob, "nobody asks you")
        root = await general.say(ada, "who are you?", mention=True)
        await wait_until(lambda: len(_under(root, general)) == 1, 20)
        await general.say(bob, "and you?", thread=root)  # a thread of ours needs no mention
        await wait_until(lambda: len(_under(root, general)) == 2, 20)
        assert not any("nobody asks you" in seen.body.decode() for seen in models.requests)


async def test_a_guest_shows_a_code_and_is_let_in_by_the_operator(tmp_path: Path) -> None:
    async with town(tmp_path, SLACK_APP_TOKEN=APP_TOKEN) as (slack, models, settings), running(settings) as program:
        await program.says(r"Slack +on +bot ")
        guest = slack.person("U9", "Gus", guest=True)
        dm = slack.private(guest)
        await dm.say(guest, "hello?")
        (told,) = await dm.replies(1)
        code = re.search(r"[A-Z2-9]{4}-[A-Z2-9]{4}", told.text).group()
        status, out, _ = await command(settings, "approve", code, "--yes")
        assert (status, "Gus on slack" in out) == (0, True)
        models.reply("Welcome.")
        await dm.say(guest, "and now?")
        assert (await dm.replies(2))[1].text == "Welcome."
        assert (await command(settings, "admin", "add", "slack:U1"))[0] == 0


async def test_kill_9_in_the_middle_of_a_stream_and_the_person_sees_exactly_one_final(tmp_path: Path) -> None:
    async with town(tmp_path, SLACK_APP_TOKEN=APP_TOKEN) as (slack, models, settings):
        ada = slack.person("U1", "Ada")
        dm = slack.private(ada)
        models.brain = lambda _: Reply(text="A long and growing reply. " * 12, tokens_per_second=20)
        async with running(settings) as program:
            await program.says(r"Slack +on +bot ")
            await dm.say(ada, "my secret is xylophone")
            await wait_until(lambda: dm.streaming and "growing" in dm.streaming[0].text, 20)
            seen = len(slack.called("chat.appendStream"))
            await wait_until(lambda: len(slack.called("chat.appendStream")) > seen, 20)  # by now it is noted
            await program.kill()
        models.brain = lambda _: Reply(text="The end.")
        async with running(settings):
            await wait_until(lambda: [m.text for m in dm.answers] == ["The end."] and not dm.streaming, 30)
        assert plain_text_in(tmp_path, "xylophone", "The end.", "growing reply") == []


async def test_slacks_own_stop_ends_a_running_answer(tmp_path: Path) -> None:
    async with town(tmp_path, SLACK_APP_TOKEN=APP_TOKEN) as (slack, models, settings), running(settings) as program:
        await program.says(r"Slack +on +bot ")
        ada = slack.person("U1", "Ada")
        dm = slack.private(ada)
        models.brain = lambda _: Reply(text="word " * 2000, tokens_per_second=40)
        await dm.say(ada, "count")
        await wait_until(lambda: dm.streaming and "word" in dm.streaming[0].text, 20)
        begun = asyncio.get_running_loop().time()
        await dm.stop(ada)
        await wait_until(lambda: any("(stopped)" in m.text for m in dm.answers), 10)
        assert asyncio.get_running_loop().time() - begun < 2
        await wait_until(lambda: models.open == 0, 2)


async def test_events_over_http_are_answered_and_forged_ones_are_not(tmp_path: Path) -> None:
    async with (
        town(tmp_path, SLACK_SIGNING_SECRET=SIGNING_SECRET) as (slack, models, settings),
        running(settings) as program,
    ):
        await program.says(r"Slack +on +bot .*events at /slack/events")
        address = f"http://127.0.0.1:{settings['PIERIA_PORT']}/slack/events"
        await slack.deliver_http(address, SIGNING_SECRET)
        ada = slack.person("U1", "Ada")
        dm = slack.private(ada)
        forged = {
            "type": "message",
            "user": "U1",
            "text": "forged",
            "ts": "99.1",
            "channel": dm.id,
            "channel_type": "im",
        }
        status, _ = await slack.post_raw(slack.wrapped(forged), "json", secret="another secret")
        assert status == 403
        models.reply("Genuine.")
        await dm.say(ada, "hello")
        assert [m.text for m in await dm.replies(1)] == ["Genuine."]
        sent = await dm.slash(ada, "/pieria", "help")
        await wait_until(
            lambda: "!new" in str(sent.answer) + str(sent.responses) + "".join(m.text for m in dm.answers), 20
        )
        assert not any("forged" in seen.body.decode() for seen in models.requests)


def _under(root: Message, channel: Chat) -> list[Message]:
    """The answers in a thread."""
    return [message for message in channel.answers if message.thread == root.ts]
