"""No event, however damaged, breaks a reader: it becomes a value of core, or nothing, or the error that its reader names."""

import contextlib
import os
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from adapters.chat.discord import events as discord_events
from adapters.chat.discord import inbound as discord
from adapters.chat.slack import events as slack_events
from adapters.chat.slack import inbound as slack
from adapters.chat.telegram import inbound as telegram
from adapters.chat.telegram.polling import decode as telegram_update
from adapters.chat.terminal import inbound as terminal
from adapters.chat.web import inbound as web
from core.messages import Deleted, Edited, Inbound, Joined, Message, Pressed
from tests.security import seeds
from tests.security.mutations import damaged

COUNT = 100_000 if os.environ.get("LONG") else 10_000
UNREAD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What the places that decode are prepared for."""


def read_telegram(payload: bytes) -> Inbound | None:
    with contextlib.suppress(*UNREAD):
        update = telegram_update(payload)
        if update is not None:
            return telegram.read(update, telegram.Me(42, "mybot"))
    return None


def read_discord(payload: bytes) -> Inbound | None:
    me, spot = (
        discord.Me("42", "pieria"),
        discord.Spot("50", "9", parent="40", ours=True, role="7", names={"50": "general"}),
    )
    with contextlib.suppress(*UNREAD):
        match discord_events.read(payload):
            case discord_events.Edit() as edit:
                return discord.edited(edit, me, spot)
            case discord_events.Post() as post:
                return discord.message(post, me, spot)
            case discord_events.Removal() as removal:
                return next(iter(discord.deleted(removal, me, spot)), None)
            case discord_events.Interaction() as interaction:
                here = discord.spot_of(interaction)
                return here and (discord.command(interaction, me, here) or discord.pressed(interaction, me, here))
    return None


def read_slack(payload: bytes) -> Inbound | None:
    me = slack.Me("T1", "UBOT", "B1", "A1")
    with contextlib.suppress(*UNREAD):
        found = slack_events.payload(payload)
        if found and slack.ours(found, me):
            slack.people(found)
            slack.speaker(found)
            return slack.read(found, me, {"U1": "Ada"}, frozenset({"help", "new"}), "D1")
    return None


def read_web(payload: bytes) -> Inbound | None:
    with contextlib.suppress(web.Unreadable):
        return web.message(payload, "someone")
    with contextlib.suppress(web.Unreadable):
        return web.pressed(payload, "someone")
    return None


def read_terminal(payload: bytes) -> Inbound | None:
    with contextlib.suppress(terminal.Unreadable):
        return terminal.message(payload)
    with contextlib.suppress(terminal.Unreadable):
        return terminal.stopped(payload)
    return None


READERS: dict[str, tuple[Callable[[bytes], Inbound | None], list[Any]]] = {
    "telegram": (read_telegram, seeds.TELEGRAM),
    "discord": (read_discord, seeds.DISCORD),
    "slack": (read_slack, seeds.SLACK),
    "web": (read_web, seeds.WEB),
    "terminal": (read_terminal, seeds.TERMINAL),
}


@pytest.mark.parametrize("platform", READERS)
def test_a_damaged_event_breaks_no_reader(platform: str) -> None:
    read, honest = READERS[platform]
    understood = 0
    for payload in damaged(honest, COUNT, seed=7):
        value = read(payload)
        if value is None:
            continue
        understood += 1
        assert isinstance(value, Message | Edited | Deleted | Pressed | Joined)
        assert value.event
        msgspec.msgpack.encode(value)  # as the mailbox does
    assert COUNT > understood > COUNT // 100


@pytest.mark.parametrize("platform", READERS)
def test_the_honest_events_themselves_are_understood(platform: str) -> None:
    read, honest = READERS[platform]
    for event in honest:
        assert read(msgspec.json.encode(event)) is not None, event


@pytest.mark.parametrize("platform", READERS)
def test_a_number_beyond_reason_is_no_size(platform: str) -> None:
    read, honest = READERS[platform]
    for event in honest:
        text = msgspec.json.encode(event)
        for field in (b'"size":5', b'"file_size":5'):
            if field in text:
                value = read(text.replace(field, field[:-1] + str(1 << 200).encode()))
                assert value is None or msgspec.msgpack.encode(value)
