"""One program on three platforms at once: each person is answered once, where they wrote, and a platform that is away holds
nobody else up.
"""

from pathlib import Path

from tests.conftest import wait_until
from tests.servers.discord import TOKEN as DISCORD_TOKEN
from tests.servers.discord import DiscordServer
from tests.servers.models import ModelServer
from tests.servers.slack import APP_TOKEN, BOT_TOKEN, SlackServer
from tests.servers.telegram import TOKEN as TELEGRAM_TOKEN
from tests.servers.telegram import TelegramServer
from tests.stories.program import environment, running


async def test_a_message_on_each_platform_gets_one_reply_there(tmp_path: Path) -> None:
    async with (
        TelegramServer() as telegram,
        SlackServer() as slack,
        DiscordServer() as discord,
        ModelServer() as models,
    ):
        models.brain = lambda request: f"You said: {request['messages'][-1]['content'].rpartition(chr(10))[2]}"
        settings = environment(
            tmp_path,
            TELEGRAM_BOT_TOKEN=TELEGRAM_TOKEN,
            TELEGRAM_API_URL=telegram.url,
            SLACK_BOT_TOKEN=BOT_TOKEN,
            SLACK_APP_TOKEN=APP_TOKEN,
            SLACK_API_URL=slack.url,
            DISCORD_BOT_TOKEN=DISCORD_TOKEN,
            DISCORD_API_URL=discord.url,
            DISCORD_GATEWAY_URL=discord.gateway_url,
            DISCORD_CDN_URL=discord.cdn_url,
            OPENAI_BASE_URL=models.url,
            PIERIA_ACCESS="open",
        )
        people = (telegram.person(1, "Ada"), slack.person("U1", "Ada"), discord.person(1001, "Ada"))
        chats = (telegram.private(people[0]), slack.private(people[1]), discord.private(people[2]))
        async with running(settings) as program:
            for label in ("Telegram", "Slack", "Discord"):
                await program.says(rf"{label} +on +bot ")
            await discord.connected()
            for chat, person, place in zip(chats, people, ("telegram", "slack", "discord"), strict=True):
                await chat.say(person, f"hello from {place}")
            await wait_until(lambda: all(chat.answers for chat in chats), 20)
        for chat, place in zip(chats, ("telegram", "slack", "discord"), strict=True):
            assert [message.text for message in chat.answers] == [f"You said: hello from {place}"]
        for token in (TELEGRAM_TOKEN, BOT_TOKEN, APP_TOKEN, DISCORD_TOKEN):
            assert token not in program.output
        assert telegram.problems == slack.problems == discord.problems == []


async def test_a_token_that_is_refused_is_told_in_the_table_and_holds_nobody_up(tmp_path: Path) -> None:
    async with TelegramServer() as telegram, SlackServer() as slack, ModelServer() as models:
        settings = environment(
            tmp_path,
            TELEGRAM_BOT_TOKEN=TELEGRAM_TOKEN,
            TELEGRAM_API_URL=telegram.url,
            SLACK_BOT_TOKEN="xoxb-of-somebody-else",
            SLACK_APP_TOKEN=APP_TOKEN,
            SLACK_API_URL=slack.url,
            OPENAI_BASE_URL=models.url,
            PIERIA_ACCESS="open",
        )
        async with running(settings) as program:
            await program.says(r"Slack +off +Slack does not accept SLACK_BOT_TOKEN")
            ada = telegram.person(1, "Ada")
            chat = telegram.private(ada)
            await chat.say(ada, "hello")
            await chat.replies(1)


async def test_a_platform_that_is_away_at_the_start_holds_nobody_up_and_is_joined_when_it_is_back(
    tmp_path: Path,
) -> None:
    async with TelegramServer() as telegram, ModelServer() as models:
        slack = SlackServer()
        async with slack:
            address = slack.url
        settings = environment(
            tmp_path,
            TELEGRAM_BOT_TOKEN=TELEGRAM_TOKEN,
            TELEGRAM_API_URL=telegram.url,
            SLACK_BOT_TOKEN=BOT_TOKEN,
            SLACK_APP_TOKEN=APP_TOKEN,
            SLACK_API_URL=address,
            OPENAI_BASE_URL=models.url,
            PIERIA_ACCESS="open",
        )
        async with running(settings) as program:
            assert "waits" in (await program.says(r"Slack .*")).group()
            ada = telegram.person(1, "Ada")
            chat = telegram.private(ada)
            await chat.say(ada, "hello")
            await chat.replies(1)
            async with slack:
                await program.says(r"Slack +on +bot ")
                ada = slack.person("U1", "Ada")
                dm = slack.private(ada)
                await dm.say(ada, "and here?")
                await wait_until(lambda: dm.answers, 20)
