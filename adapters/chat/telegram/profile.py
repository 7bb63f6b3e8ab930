"""How the bot presents itself: the menu of commands, and a word about itself where its owner wrote none."""

import asyncio
import logging

import msgspec

from adapters.chat.telegram.client import ANYTHING, Answer, Client, pause
from adapters.chat.telegram.errors import EndPointNotFound, TelegramError
from core.ports import Command

log = logging.getLogger(__name__)

TRIES = 6
ABOUT = "One assistant behind every chat: ask anything. /help tells what it can do."


class Entry(msgspec.Struct, frozen=True):
    """A line of the menu."""

    command: str
    description: str


class About(msgspec.Struct):
    """What an empty chat with the bot shows."""

    description: str = ""


_MENU = msgspec.json.Decoder(Answer[list[Entry]])
_ABOUT = msgspec.json.Decoder(Answer[About])


async def present(client: Client, commands: tuple[Command, ...]) -> None:
    """Set what differs; tried a few times, and never fails: a bot without a menu still answers."""
    for failures in range(1, TRIES + 1):
        try:
            await _menu(client, commands)
            await _about(client)
        except EndPointNotFound as error:
            log.debug("profile: an older server: %s", error.message)
            return
        except TelegramError as error:
            log.debug("profile: %s", error.message)
            await asyncio.sleep(pause(failures, client.times))
        else:
            return
    log.warning("Telegram: the menu of commands could not be set")


async def _menu(client: Client, commands: tuple[Command, ...]) -> None:
    wanted = [Entry(command.name, command.about[:256]) for command in commands]
    patience = client.times.answer
    if wanted and await client.call("getMyCommands", {}, _MENU, timeout=patience) != wanted:
        fields = {"commands": msgspec.json.encode(wanted).decode()}
        await client.call("setMyCommands", fields, ANYTHING, timeout=patience)


async def _about(client: Client) -> None:
    patience = client.times.answer
    if not (await client.call("getMyDescription", {}, _ABOUT, timeout=patience)).description:
        await client.call("setMyDescription", {"description": ABOUT}, ANYTHING, timeout=patience)
