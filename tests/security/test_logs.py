"""No secret and no word of a person stands in a log, at whatever level, on whatever platform, also when everything fails."""

import re
from pathlib import Path

from tests.conftest import wait_until
from tests.servers.discord import TOKEN as DISCORD_TOKEN
from tests.servers.discord import DiscordServer
from tests.servers.models import ModelServer
from tests.servers.slack import APP_TOKEN, BOT_TOKEN, SlackServer
from tests.servers.telegram import TOKEN as TELEGRAM_TOKEN
from tests.servers.telegram import TelegramServer
from tests.stories.program import environment, running

KEYS = {"OPENAI_API_KEY": "sk-very-secret-key-0000", "ANTHROPIC_API_KEY": "sk-ant-very-secret-0001"}
WORDS = "xylophone-confession"


async def test_no_secret_and_no_words_are_logged_even_at_debug_while_everything_fails(tmp_path: Path) -> None:
    async with (
        TelegramServer() as telegram,
        SlackServer() as slack,
        DiscordServer() as discord,
        ModelServer() as models,
    ):
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
            **KEYS,
        )
        people = (telegram.person(1, "Ada"), slack.person("U1", "Ada"), discord.person(1001, "Ada"))
        chats = (telegram.private(people[0]), slack.private(people[1]), discord.private(people[2]))
        async with running(settings, module="tests.security.loud") as program:
            for label in ("Telegram", "Slack", "Discord"):
                await program.says(rf"{label} +on +bot ")
            await discord.connected()
            models.fail(401)
            models.fail(503, times=3)
            telegram.fail("getUpdates", status=502, times=2)
            telegram.fail("sendRichMessage", drop="after")
            slack.fail("*", status=503, times=2)
            await slack.sockets.drop()
            discord.fail("POST /channels/{id}/messages", status=500, times=2)
            await discord.gateway.drop()
            for chat, person in zip(chats, people, strict=True):
                await chat.say(person, WORDS)
            await wait_until(lambda: all(chat.answers for chat in chats), 30)
            private = discord.private(people[2])
            await private.command(people[2], "help", {})
            await wait_until(lambda: any("/new" in m.text for m in private.answers), 20)
        assert re.search(r" DEBUG ", program.output), "nothing was logged at DEBUG, so this test sees nothing"
        secrets = [TELEGRAM_TOKEN, BOT_TOKEN, APP_TOKEN, DISCORD_TOKEN, *KEYS.values(), WORDS]
        assert [secret for secret in secrets if secret in program.output] == []
        tickets = [call.params.get("ticket") for call in slack.calls if call.params.get("ticket")]
        tokens = [call.path.split("/")[3] for call in discord.calls if call.path.startswith("/interactions/")]
        assert tokens
        assert [one for one in (*tickets, *tokens) if one in program.output] == []
