"""Who the bot is, and what people see of it before it speaks: the commands that Discord offers them, the link that invites it."""

import asyncio
import hashlib
import logging
from typing import Any

import msgspec

from adapters.chat.discord.events import User
from adapters.chat.discord.failures import Refused
from adapters.chat.discord.inbound import ASK
from adapters.chat.discord.rest import APPLICATION, ME, NOTHING, Application, Rest, pause
from core.errors import ChatError, StoreError
from core.notes import Notes
from core.ports import Command

log = logging.getLogger(__name__)

PERMISSIONS = 309_237_763_136
"""See channels, read their history, write there and in threads, open threads, attach files, embed links, react."""
CONTENT = 1 << 18 | 1 << 19
"""Flags of an application that may read messages' content."""
TRIES = 5
ARGUMENTS = {"model": ("name", "the model to choose"), ASK: ("question", "what you want to know")}
"""Commands that take something, what it is called, and what it is."""
OURS = Command(ASK, "ask me something")
"""A command that only Discord needs: where a message has to mention us, and as the first thing that its menu offers."""


async def introduce(rest: Rest) -> User:
    """Who we are; this finds out which of its addresses the API has. Raises as Rest.call does."""
    for base in rest.bases:
        rest.base = base
        try:
            return await rest.call("GET", "/users/@me", ME)
        except Refused as refused:
            if refused.status != 404 or base == rest.bases[-1]:
                raise
    raise AssertionError


async def present(rest: Rest, notes: Notes, commands: tuple[Command, ...]) -> None:
    """Register the commands, where they are not the ones that were registered last."""
    body = [registered(command) for command in (OURS, *commands)]
    digest = hashlib.sha256(msgspec.json.encode(body)).digest()
    for failures in range(1, TRIES + 1):
        try:
            if await notes.read("commands") == digest:
                return
            about = await application(rest)
            await rest.call("PUT", f"/applications/{about.id}/commands", NOTHING, body)
            await notes.write(digest, "commands")
        except Refused as refused:
            log.debug("commands: %s", refused.sentence)
        except (ChatError, StoreError) as error:
            log.debug("commands: %s", error.sentence)
        else:
            return
        await asyncio.sleep(pause(failures, rest.times))
    log.warning("Discord: the commands could not be registered")


async def application(rest: Rest) -> Application:
    """Our application. Raises as Rest.call does."""
    for path in ("/applications/@me", "/oauth2/applications/@me"):
        try:
            return await rest.call("GET", path, APPLICATION)
        except Refused as refused:
            if refused.status != 404:
                raise
    return Application(
        (await rest.call("GET", "/users/@me", ME)).id
    )  # all but the oldest bots have their application's id


def registered(command: Command) -> dict[str, Any]:
    """A command as Discord registers it: in servers that invited us, and in direct messages."""
    entry: dict[str, Any] = {"type": 1, "name": command.name, "description": command.about[:100] or command.name}
    entry |= {"contexts": [0, 1], "integration_types": [0]}
    if command.name in ARGUMENTS:
        name, about = ARGUMENTS[command.name]
        entry["options"] = [{"type": 3, "name": name, "description": about, "required": command is OURS}]
    return entry


def invitation(app: str) -> str:
    """The link with which somebody brings the bot into a server."""
    scopes = "bot+applications.commands"
    return f"https://discord.com/oauth2/authorize?client_id={app}&scope={scopes}&permissions={PERMISSIONS}"
