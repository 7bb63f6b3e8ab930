"""A route of the API: its path, its rate limit, and what it does."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.servers.discord import DiscordServer
    from tests.servers.discord_api.wire import Ask

Act = Callable[["DiscordServer", "Ask"], Any]


@dataclass(frozen=True, slots=True)
class Route:
    """One route; `act` returns the JSON of the answer, None for 204."""

    name: str  # "POST /channels/{id}/messages"
    path: re.Pattern[str]
    act: Act
    limit: str  # which of Limits
    anonymous: bool  # the token stands in the path, no Authorization is wanted
    status: int


class Routes(list[Route]):
    """Routes of the API, in the order in which they are tried."""

    def route(
        self,
        name: str,
        *,
        limit: str = "others",
        anonymous: bool = False,
        status: int = 200,
    ) -> Callable[[Act], Act]:
        """Registers what a route does."""

        def register(act: Act) -> Act:
            method, _, path = name.partition(" ")
            pattern = re.compile(re.escape(method) + " " + re.sub(r"\\\{\w+\\\}", "([^/]+)", re.escape(path)))
            self.append(Route(name, pattern, act, limit, anonymous, status))
            return act

        return register


def same(name: str) -> str:
    """A route's name whatever stands in its braces."""
    return re.sub(r"\{\w+\}", "{}", name)
