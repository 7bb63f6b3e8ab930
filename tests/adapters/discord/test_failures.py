"""Every way in which Discord's library or its answers fail has a name of core's."""

import importlib
import pkgutil

import aiohttp
import discord
import pytest

from adapters.chat.discord.endings import TABLE, gateway_error
from adapters.chat.discord.failures import CODES, Refused, chat_error
from core.errors import ChatBusy, ChatError, ChatGone, ChatRefusedToken, ChatRejected, ChatUnreachable


def exceptions() -> list[type]:
    """The library's own, without its frameworks for commands and its voice, which we do not use."""
    found = []
    for module in pkgutil.iter_modules(discord.__path__, "discord."):
        if module.name in {"discord.ext", "discord.app_commands", "discord.__main__"}:
            continue
        for thing in vars(importlib.import_module(module.name)).values():
            if isinstance(thing, type) and issubclass(thing, Exception) and thing.__module__ == module.name:
                found.append(thing)
    return found


@pytest.mark.parametrize("kind", exceptions(), ids=lambda kind: kind.__name__)
def test_every_exception_of_the_library_is_in_the_table(kind: type) -> None:
    assert kind in TABLE


@pytest.mark.parametrize(
    ("error", "meant"),
    [
        (discord.LoginFailure("no"), ChatRefusedToken),
        (discord.PrivilegedIntentsRequired(0), ChatRejected),
        (discord.RateLimited(40.0), ChatBusy),
        (aiohttp.ClientConnectionError("no"), ChatUnreachable),
        (ConnectionResetError(), ChatUnreachable),
        (TimeoutError(), ChatUnreachable),
        (KeyError("shard"), ChatUnreachable),
    ],
)
def test_the_end_of_a_connection_is_named(error: Exception, meant: type) -> None:
    assert type(gateway_error(error)) is meant


@pytest.mark.parametrize(
    ("status", "code", "meant"),
    [
        (401, 0, ChatRefusedToken),
        (401, 50027, ChatRejected),
        (403, 50013, ChatGone),
        (403, 50007, ChatGone),
        (404, 10003, ChatGone),
        (404, 10008, ChatRejected),
        (400, 50035, ChatRejected),
        (413, 40005, ChatRejected),
        (500, 0, ChatUnreachable),
        (502, 0, ChatUnreachable),
    ],
)
def test_an_answer_is_named_by_its_code_and_its_status(status: int, code: int, meant: type) -> None:
    failure = chat_error(Refused(status, code, "so it is"))
    assert type(failure) is meant
    assert not isinstance(failure, ChatUnreachable) or failure.arrived


def test_every_code_means_a_failure_of_a_chat() -> None:
    assert all(issubclass(meant, ChatError) for meant in CODES.values())
