"""A platform that is switched on: its adapter, made and not yet serving, and what the start and the probes say of it.

Each platform has a module beside this one of the shape of `Platform`.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol, cast

import msgspec

from adapters.http import Http
from bots.settings import Settings
from core.notes import Notes
from core.ports import Chat

PLATFORMS = ("telegram", "slack", "discord")
"""Each is a module beside this one."""

DEAF = 90.0
"""Seconds without a sign of life from a platform, after which the program says that it is not ready."""


class Connection(msgspec.Struct, frozen=True):
    """One account of ours on one platform."""

    chat: Chat
    way: str
    """How events reach us: `by long polling`."""
    deaf_for: Callable[[], float]
    """Seconds since the platform last gave a sign of life; 0 where it owes us none."""
    lack: Callable[[], str] = str
    """What the operator should change, in one line; "" while nothing is amiss."""
    routes: list[Any] = []

    @property
    def deaf(self) -> str:
        """A sentence when the platform has been silent too long."""
        return f"{self.chat.traits.label} has not answered for a while." if self.deaf_for() > DEAF else ""

    @property
    def about(self) -> str:
        """A few words for the table of the start."""
        who = f"bot {self.chat.space}, {self.way}" if self.chat.space else f"{self.way}; waiting for the platform"
        return f"{who}. {lack}" if (lack := self.lack()) else who


class Ask(msgspec.Struct, frozen=True):
    """A secret that `pieria setup` asks for."""

    variable: str
    question: str
    begins: str = ""
    """How such a secret begins."""


class Platform(Protocol):
    """The module of a platform."""

    OFF: str
    """What switches it on."""
    ASKS: tuple[Ask, ...]

    def steps(self) -> str:
        """What to do on the platform to get what `ASKS` asks for."""

    def connect(self, settings: Settings, http: Http, notes: Notes) -> Connection | None:
        """The platform's connection, None where it has no token."""

    async def check(self, settings: Settings, http: Http) -> str:
        """What the platform says of the tokens of these settings, and what is left to do there. Raises ChatError."""


def platform(name: str) -> Platform:
    """The module that connects a platform."""
    return cast("Platform", import_module(f"bots.{name}"))
