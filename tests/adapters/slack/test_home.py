"""What a person sees who opens the app."""

import pytest

from adapters.chat.slack.home import view
from core.commands import commands
from core.messages import Pressed
from tests.adapters.slack.bench import Engine, adapter, ref
from tests.servers.slack_api.blocks import check_blocks


async def test_the_home_tab_tells_what_there_is(server, notes, dm, ada):
    async with adapter(server, notes):
        await dm.open_home(ada, "home")
        shown = await server.wait_for(lambda: server.homes.get("U1"))
    text = str(shown["blocks"])
    assert all(f"/pieria {command.name}" in text and f"!{command.name}" in text for command in commands())


def test_slack_takes_the_home_tab():
    check_blocks(view(commands())["blocks"], view=True)


@pytest.mark.parametrize(("label", "action"), [("Help", "/help"), ("Status", "/status"), ("Who am I?", "/whoami")])
async def test_its_buttons_are_answered_in_the_messages_tab(server, notes, dm, ada, label, action):
    engine = Engine()
    async with adapter(server, notes, engine):
        await dm.open_home(ada, "home")
        await server.wait_for(lambda: server.homes.get("U1"))
        server.interactions.press_home(ada, label)
        await server.wait_for(lambda: engine.events)
    (told,) = engine.events
    assert isinstance(told, Pressed)
    assert (told.action, told.chat) == (action, ref(dm))


async def test_the_messages_tab_offers_prompts(server, notes, dm, ada):
    async with adapter(server, notes):
        await dm.open_home(ada, "messages")
        prompts = await server.wait_for(lambda: dm.prompts)
    assert len(prompts) == 4
    assert "thread_ts" not in server.called("assistant.threads.setSuggestedPrompts")[0].params


async def test_an_older_app_gets_its_prompts_in_the_thread(server, notes, dm, ada):
    server.agent = False
    async with adapter(server, notes):
        root = await dm.start_thread(ada)
        await server.wait_for(lambda: dm.prompts)
    assert server.called("assistant.threads.setSuggestedPrompts")[0].params["thread_ts"] == root.ts


async def test_a_home_that_cannot_be_shown_breaks_nothing(server, notes, dm, ada):
    engine = Engine()
    server.home_tab = False
    async with adapter(server, notes, engine):
        await dm.open_home(ada, "home")
        await dm.say(ada, "hello")
        await server.wait_for(lambda: engine.texts == ["hello"])
