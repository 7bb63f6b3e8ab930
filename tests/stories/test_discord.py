"""People on a Discord server and in direct messages, and somebody who may manage the server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.conftest import wait_until
from tests.servers.discord import TOKEN, DiscordServer
from tests.servers.discord_api.limits import Limits
from tests.servers.models import ModelServer, Reply
from tests.stories.program import environment, plain_text_in, running


@asynccontextmanager
async def town(folder: Path, **settings: str) -> AsyncIterator[tuple[DiscordServer, ModelServer, dict[str, str]]]:
    """A Discord and a model on loopback, and the settings that point at them."""
    async with DiscordServer(limits=Limits(identify_seconds=0)) as discord, ModelServer() as models:
        told = {
            "DISCORD_BOT_TOKEN": TOKEN,
            "DISCORD_API_URL": discord.url,
            "DISCORD_GATEWAY_URL": discord.gateway_url,
            "DISCORD_CDN_URL": discord.cdn_url,
            "OPENAI_BASE_URL": models.url,
            **settings,
        }
        yield discord, models, environment(folder, **told)
        assert discord.problems == []
        assert discord.pings == []


async def test_a_server_is_let_in_once_and_its_members_are_answered_there_and_in_direct_messages(
    tmp_path: Path,
) -> None:
    async with town(tmp_path) as (discord, models, settings):
        ada, bob, eve = discord.person(1001, "Ada"), discord.person(1002, "Bob"), discord.person(1003, "Eve")
        guild = discord.guild(5001, "Friends", owner=ada, members=[ada, bob], bot_in=False)
        general = guild.channel(6001, "general")
        models.brain = lambda _: "An answer."
        async with running(settings) as program:
            await program.says(r"Discord +on +bot \d+")
            await discord.connected()
            guild.add_bot()
            (card,) = await general.replies(1)
            assert "Manage Server" in card.text
            label = card.buttons[0][0]["label"]
            await general.press(bob, label)
            assert "Manage Server" in card.text
            await general.press(ada, label)
            await wait_until(lambda: "let in" in card.text and not card.buttons, 20)
            await general.say(bob, "what is new?", mention=True)
            await wait_until(lambda: "An answer." in [m.text for m in general.answers], 20)
            private = discord.private(bob)
            await private.say(bob, "and here?")
            assert [m.text for m in await private.replies(1)] == ["An answer."]
            stranger = discord.private(eve)
            await stranger.say(eve, "let me in")
            assert "This assistant is private" in (await stranger.replies(1))[0].text
        async with running(settings):  # it is remembered
            await discord.connected()
            await private.say(bob, "still there?")
            await private.replies(2)
            assert len(stranger.answers) == 1


async def test_kill_9_in_the_middle_of_a_reply_and_people_see_exactly_one_final(tmp_path: Path) -> None:
    async with town(tmp_path, PIERIA_ACCESS="open") as (discord, models, settings):
        ada, bob = discord.person(1001, "Ada"), discord.person(1002, "Bob")
        private = discord.private(ada)
        general = discord.guild(5001, "Friends", owner=ada, members=[ada, bob]).channel(6001, "general")
        models.brain = lambda _: Reply(text="A long and growing reply. " * 12, tokens_per_second=20)
        async with running(settings) as program:
            await discord.connected()
            await private.say(ada, "my secret is xylophone")
            await general.say(bob, "and here?", mention=True)
            await wait_until(lambda: private.answers and general.answers, 20)
            await program.kill()
        await private.say(ada, "are you there?")  # while nobody listens
        models.brain = lambda _: Reply(text="The end.")
        async with running(settings):
            await wait_until(lambda: len(private.answers) == 2 and private.answers[1].text == "The end.", 20)
            await wait_until(lambda: general.answers[0].text == "The end.", 20)
            assert [m.text for m in private.answers] == ["The end.", "The end."]
            assert [m.text for m in general.answers] == ["The end."]
        assert plain_text_in(tmp_path, "xylophone", "The end.", "growing reply", "Friends") == []


async def test_without_message_content_the_table_says_so_and_mentions_are_answered(tmp_path: Path) -> None:
    async with town(tmp_path, PIERIA_ACCESS="open") as (discord, models, settings):
        discord.message_content = False
        ada = discord.person(1001, "Ada")
        general = discord.guild(5001, "Friends", owner=ada, members=[ada]).channel(6001, "general")
        async with running(settings) as program:
            await program.says(r"Discord .*Message Content")
            await discord.connected()
            models.reply("An answer.")
            await general.say(ada, "hello", mention=True)
            assert [m.text for m in await general.replies(1)] == ["An answer."]


async def test_commands_and_the_stop_of_a_running_answer(tmp_path: Path) -> None:
    async with town(tmp_path, PIERIA_ACCESS="open") as (discord, models, settings), running(settings):
        ada = discord.person(1001, "Ada")
        private = discord.private(ada)
        await discord.connected()
        await discord.wait_for(lambda: discord.called("PUT /applications/{id}/commands", 200))
        asked = await private.command(ada, "help", {})
        await wait_until(lambda: asked.original and "/new" in asked.original.text, 20)
        models.brain = lambda _: Reply(text="word " * 2000, tokens_per_second=40)
        await private.say(ada, "count")
        await wait_until(lambda: any("word word" in m.text for m in private.answers), 20)
        begun = asyncio.get_running_loop().time()
        await private.command(ada, "stop", {})
        await wait_until(lambda: any("(stopped)" in m.text for m in private.answers), 10)
        assert asyncio.get_running_loop().time() - begun < 3
        await wait_until(lambda: models.open == 0, 2)


async def test_nothing_of_a_gap_is_lost_and_nothing_is_answered_twice(tmp_path: Path) -> None:
    async with town(tmp_path, PIERIA_ACCESS="open") as (discord, models, settings), running(settings):
        await discord.connected()
        ada = discord.person(1001, "Ada")
        private = discord.private(ada)
        models.brain = lambda request: request["messages"][-1]["content"].rpartition("\n")[2]
        await private.say(ada, "one")
        await private.replies(1)
        discord.gateway.forgetful = True
        async with discord.gateway.away():
            await private.say(ada, "two")
            await private.say(ada, "three")
        await wait_until(lambda: "three" in "".join(m.text for m in private.answers), 20)
        discord.redeliver()
        await private.say(ada, "four")
        await wait_until(lambda: "four" in "".join(m.text for m in private.answers), 20)
        read = "\n".join(m.text for m in private.answers)
        assert [read.count(word) for word in ("one", "two", "three", "four")] == [1, read.count("two"), 1, 1]
        assert read.count("two") <= 1  # merged with its neighbour, the model was asked for the last
