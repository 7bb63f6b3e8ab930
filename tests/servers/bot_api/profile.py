"""How a bot presents itself: its commands and its descriptions."""

import re
from typing import TYPE_CHECKING

from tests.servers.bot_api.methods import Methods
from tests.servers.bot_api.wire import Refused

if TYPE_CHECKING:
    from tests.servers.telegram import TelegramServer

METHODS = Methods()


@METHODS.method("setMyCommands", commands="list!", scope="dict", language_code="str")
def _set_my_commands(server: "TelegramServer", params: dict) -> bool:
    commands = params["commands"]
    if len(commands) > 100:
        raise Refused(400, "Bad Request: BOT_COMMANDS_TOO_MUCH")
    for one in commands:
        if not re.fullmatch(r"[a-z0-9_]{1,32}", one.get("command", "").removeprefix("/")):
            raise Refused(400, "Bad Request: BOT_COMMAND_INVALID")
        if not 1 <= len(one.get("description", "")) <= 256:
            raise Refused(400, "Bad Request: BOT_COMMAND_DESCRIPTION_INVALID")
    server.commands[_scope(params)] = commands
    return True


@METHODS.method("getMyCommands", scope="dict", language_code="str")
def _get_my_commands(server: "TelegramServer", params: dict) -> list[dict]:
    return server.commands.get(_scope(params), [])


@METHODS.method("deleteMyCommands", scope="dict", language_code="str")
def _delete_my_commands(server: "TelegramServer", params: dict) -> bool:
    server.commands.pop(_scope(params), None)
    return True


@METHODS.method("setMyDescription", description="str", language_code="str")
def _set_my_description(server: "TelegramServer", params: dict) -> bool:
    if len(params.get("description", "")) > 512:
        raise Refused(400, "Bad Request: DESCRIPTION_TOO_LONG")
    server.description[params.get("language_code", "")] = params.get("description", "")
    return True


@METHODS.method("getMyDescription", language_code="str")
def _get_my_description(server: "TelegramServer", params: dict) -> dict:
    return {"description": server.description.get(params.get("language_code", ""), "")}


@METHODS.method("getMyShortDescription", language_code="str")
def _get_my_short_description(server: "TelegramServer", params: dict) -> dict:
    return {"short_description": server.short_description.get(params.get("language_code", ""), "")}


@METHODS.method("setMyShortDescription", short_description="str", language_code="str")
def _set_my_short_description(server: "TelegramServer", params: dict) -> bool:
    if len(params.get("short_description", "")) > 120:
        raise Refused(400, "Bad Request: ABOUT_TOO_LONG")
    server.short_description[params.get("language_code", "")] = params.get("short_description", "")
    return True


def _scope(params: dict) -> tuple[str, str]:
    scope = params.get("scope", {"type": "default"})
    kinds = "default all_private_chats all_group_chats all_chat_administrators chat chat_administrators chat_member"
    if scope.get("type") not in kinds.split():
        raise Refused(400, "Bad Request: unsupported BotCommandScope type specified")
    return ":".join(str(v) for v in scope.values()), params.get("language_code", "")
