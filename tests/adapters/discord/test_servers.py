"""A server is let in by whoever rules it; its members may then talk, there and in private."""

from adapters.chat.discord.servers import BUTTON, NOT_YOU
from core.messages import Joined
from tests.conftest import wait_until


async def let_in(general, ada) -> None:
    await general.say(ada, "hello", mention=True)
    await wait_until(lambda: general.answers)
    begun = await general.press(ada, BUTTON)
    await wait_until(lambda: begun.answered == 7)


async def test_a_server_that_is_not_let_in_gets_one_card_a_day(live, general, bob) -> None:
    async with live(pairing=True) as bot:
        await general.say(bob, "hello", mention=True)
        await general.say(bob, "hello?", mention=True)
        await wait_until(lambda: len(bot.messages) == 2)
        assert not any(message.vouched for message in bot.messages)
        await wait_until(lambda: general.answers)
        assert len(general.answers) == 1
        assert general.answers[0].buttons[0][0]["label"] == BUTTON
    async with live(pairing=True) as bot:
        await general.say(bob, "hello again", mention=True)
        await wait_until(lambda: bot.messages)
        assert len(general.answers) == 1


async def test_only_who_holds_manage_server_can_let_it_in(live, guild, general, ada, bob) -> None:
    async with live(pairing=True) as bot:
        await general.say(bob, "hello", mention=True)
        await wait_until(lambda: general.answers)
        begun = await general.press(bob, BUTTON)
        await wait_until(lambda: begun.answered)
        assert begun.shown[0].ephemeral
        assert begun.shown[0].text == NOT_YOU
        guild.manager(bob)
        begun = await general.press(bob, BUTTON)
        await wait_until(lambda: begun.answered == 7)
        assert not general.answers[0].buttons
        await general.say(ada, "now?", mention=True)
        await wait_until(lambda: bot.texts[-1:] == ["now?"])
        assert bot.messages[-1].vouched


async def test_members_of_a_server_that_was_let_in_may_talk_in_private(live, server, guild, general, ada, bob) -> None:
    eve = server.person(1003, "Eve")
    async with live(pairing=True) as bot:
        await let_in(general, ada)
        for person in (bob, eve, bob):
            await server.private(person).say(person, f"I am {person.name}")
        await wait_until(lambda: len([m for m in bot.messages if m.chat.private]) == 3)
        assert {m.name: m.vouched for m in bot.messages if m.chat.private} == {"Bob": True, "Eve": False}
        assert len(server.called("GET /guilds/{id}/members/{user}")) == 2


async def test_a_server_stays_let_in_over_a_restart_and_an_outage(live, server, guild, general, ada, bob) -> None:
    async with live(pairing=True) as bot:
        await let_in(general, ada)
    async with live(pairing=True) as bot:
        guild.outage()
        guild.recover()
        await general.say(bob, "hello", mention=True)
        await wait_until(lambda: "hello" in bot.texts)
        assert bot.messages[-1].vouched


async def test_a_server_that_threw_us_out_is_asked_again(live, server, guild, general, ada, bob) -> None:
    async with live(pairing=True) as bot:
        await let_in(general, ada)
        guild.remove_bot()
        guild.add_bot()
        await wait_until(lambda: len(general.answers) == 2)
        await general.say(bob, "hello", mention=True)
        await wait_until(lambda: bot.texts[-1:] == ["hello"])
        assert not bot.messages[-1].vouched


async def test_an_invitation_is_greeted_at_once_where_nothing_has_to_be_approved(live, server, ada) -> None:
    guild = server.guild(2009, "New", owner=ada, bot_in=False)
    general = guild.channel(2010, "general")
    async with live() as bot:
        guild.add_bot()
        await wait_until(lambda: bot.got)
        (joined,) = bot.got
        assert isinstance(joined, Joined)
        assert (joined.chat.chat, joined.chat.private, joined.sender.user) == (str(general.id), False, "1001")


async def test_an_invitation_shows_the_card_where_it_has_to_be_approved(live, server, ada) -> None:
    guild = server.guild(2009, "New", owner=ada, bot_in=False)
    general = guild.channel(2010, "general")
    async with live(pairing=True) as bot:
        guild.add_bot()
        await wait_until(lambda: general.answers)
        assert not bot.got


async def test_a_press_while_the_store_is_away_can_be_repeated(live, server, general, ada, store) -> None:
    async with live(pairing=True):
        await general.say(ada, "hello", mention=True)
        await wait_until(lambda: general.answers)
        await store.redis.config_set("maxmemory", 1)
        begun = await general.press(ada, BUTTON)
        await wait_until(lambda: begun.answered)
        assert begun.answered == 4
        await store.redis.config_set("maxmemory", 0)
        begun = await general.press(ada, BUTTON)
        await wait_until(lambda: begun.answered == 7)
        assert not general.answers[0].buttons
