"""The three platforms as chaos needs them, all of one shape: where people talk, what stands there, what goes wrong there."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.servers.discord import TOKEN as DISCORD_TOKEN
from tests.servers.discord import DiscordServer
from tests.servers.discord_api.limits import FREE
from tests.servers.slack import APP_TOKEN, BOT_TOKEN, SlackServer
from tests.servers.telegram import TOKEN as TELEGRAM_TOKEN
from tests.servers.telegram import TelegramServer

MEMBERS = 3
"""People of one group."""


@dataclass(slots=True, eq=False)
class Place:
    """One lane: a private chat, or a group in which everybody mentions the bot. `asked` are the numbers said, in order."""

    name: str
    chat: Any
    people: list[Any]
    group: bool
    asked: list[str] = field(default_factory=list)
    brought: dict[str, int] = field(default_factory=dict)
    """In which order the platform brought them, where that is another one: an event that comes again is late."""
    root: Any = None
    """The message whose thread this is, on Slack."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A message of the bot that stands in a chat."""

    id: Any
    text: str
    at: float
    growing: bool = False


class Telegram:
    """It can neither be asked for an earlier send nor told a key: a send in doubt may stand there twice, and says so."""

    name = "Telegram"
    blind = True
    sends = ("sendRichMessage", "sendMessage")

    def __init__(self, private: int, groups: int) -> None:
        self.server = server = TelegramServer()
        people = [server.person(n, f"T{n}") for n in range(1, private + 1)]
        self.places = [Place(f"Telegram {p.name}", server.private(p), [p], group=False) for p in people]
        for n in range(groups):
            members = [server.person(1000 + MEMBERS * n + m, f"TG{n}{m}") for m in range(MEMBERS)]
            chat = server.group(-1001000000000 - n, f"Group {n}", members)
            self.places.append(Place(f"Telegram group {n}", chat, members, group=True))
        self._said = 0

    @property
    def settings(self) -> dict[str, str]:
        return {"TELEGRAM_BOT_TOKEN": TELEGRAM_TOKEN, "TELEGRAM_API_URL": self.server.url}

    @property
    def heard(self) -> bool:
        """Whether what is said now comes to us: here it always does."""
        return True

    async def say(self, place: Place, person: Any, text: str) -> None:
        await place.chat.say(person, text, mention=place.group)
        self._said += 1
        if self._said % 4 == 0:  # three times each, once they were confirmed
            self.server.redeliver(12)

    def shown(self, place: Place) -> Iterator[Shown]:
        return (Shown(m.id, m.text, m.at) for m in place.chat.answers)

    def fail(self, rng: random.Random) -> str:
        """One failure on order, in words."""
        method = rng.choice(("sendRichMessage", "editMessageText", "sendRichMessageDraft", "sendChatAction", "*"))
        how = failure(rng)
        self.server.fail(method, **how)
        return f"{method} {how}"

    async def hang_up(self) -> None:
        self.server.fail("getUpdates", drop="after")

    def calls(self, place: Place) -> list[tuple[float, str]]:
        """What the bot asked for in a place, and when."""
        here = [c for c in self.server.calls if c.params.get("chat_id") == place.chat.id]
        return [(c.at, f"{c.method} {c.status} {c.description}") for c in here]

    def began(self, times: list[tuple[float, float]]) -> int:
        """Sends that began within one of these times."""
        sends = (c for c in self.server.calls if c.method in self.sends)
        return sum(any(since <= c.at <= until for since, until in times) for c in sends)

    def unclear(self) -> int:
        """Sends whose answer was lost or said nothing."""
        return sum(c.status == 0 or c.status >= 500 for c in self.server.calls if c.method in self.sends)


class Slack:
    """Its threads are chats: each person talks in one of theirs."""

    name = "Slack"
    blind = False

    def __init__(self, private: int, groups: int) -> None:
        # a real Slack comes again after a minute and after five; who waits so long is out of this test's time
        self.server = server = SlackServer(limits=False, retry_delays=(0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0))
        people = [server.person(f"U{n}", f"S{n}") for n in range(1, private + 1)]
        self.places = [Place(f"Slack {p.name}", server.private(p), [p], group=False) for p in people]
        for n in range(groups):
            members = [server.person(f"UG{n}{m}", f"SG{n}{m}") for m in range(MEMBERS)]
            chat = server.channel(f"C{n}", f"channel-{n}", members)
            self.places.append(Place(f"Slack channel {n}", chat, members, group=True))

    @property
    def settings(self) -> dict[str, str]:
        return {"SLACK_BOT_TOKEN": BOT_TOKEN, "SLACK_APP_TOKEN": APP_TOKEN, "SLACK_API_URL": self.server.url}

    @property
    def heard(self) -> bool:
        """Whether what is said now comes to us: it is not kept for long."""
        return bool(self.server.sockets.open)

    async def say(self, place: Place, person: Any, text: str) -> None:
        said = await place.chat.say(person, text, mention=place.group, thread=place.root)
        place.root = place.root or said
        events = 2 if place.group else 1  # a mention is told twice
        deliveries = self.server.deliveries.all[-events:]
        for _ in range(3):
            deliveries += self.server.redeliver(events)
        number = text.partition(",")[0]
        for delivery in deliveries:
            delivery.heard = lambda _: place.brought.setdefault(number, len(place.brought))

    def shown(self, place: Place) -> Iterator[Shown]:
        mine = (m for m in place.chat.messages if m.by is self.server.bot and not m.deleted)
        return (Shown(m.ts, m.text, m.at, m.streaming) for m in mine)

    def fail(self, rng: random.Random) -> str:
        """One failure on order, in words."""
        methods = ("chat.postMessage", "chat.startStream", "chat.appendStream", "chat.stopStream", "chat.update", "*")
        method, how = rng.choice(methods), failure(rng)
        self.server.fail(method, **how)
        return f"{method} {how}"

    def calls(self, place: Place) -> list[tuple[float, str]]:
        """What the bot asked for in a place, and when."""
        here = [c for c in self.server.calls if c.params.get("channel", c.params.get("channel_id")) == place.chat.id]
        return [(c.at, f"{c.method} {c.status} {c.error} {c.params.get('ts', '')}") for c in here]

    async def hang_up(self) -> None:
        await self.server.sockets.drop()


class Discord:
    """A server with channels, and direct messages."""

    name = "Discord"
    blind = False

    def __init__(self, private: int, groups: int) -> None:
        self.server = server = DiscordServer(limits=FREE)
        people = [server.person(1000 + n, f"D{n}") for n in range(1, private + 1)]
        self.places = [Place(f"Discord {p.name}", server.private(p), [p], group=False) for p in people]
        members = [server.person(2000 + n, f"DG{n}") for n in range(MEMBERS * groups)]
        guild = server.guild(5001, "Friends", owner=members[0], members=members) if members else None
        for n in range(groups):
            chat = guild.channel(6001 + n, f"channel-{n}")
            here = members[MEMBERS * n : MEMBERS * (n + 1)]
            self.places.append(Place(f"Discord channel {n}", chat, here, group=True))

    @property
    def settings(self) -> dict[str, str]:
        return {
            "DISCORD_BOT_TOKEN": DISCORD_TOKEN,
            "DISCORD_API_URL": self.server.url,
            "DISCORD_GATEWAY_URL": self.server.gateway_url,
            "DISCORD_CDN_URL": self.server.cdn_url,
        }

    @property
    def heard(self) -> bool:
        """Whether what is said now comes to us: nothing is kept for who was never there."""
        return bool(self.server.gateway.sessions)

    async def say(self, place: Place, person: Any, text: str) -> None:
        await place.chat.say(person, text, mention=place.group)
        for _ in range(3):
            self.server.redeliver()

    def shown(self, place: Place) -> Iterator[Shown]:
        return (Shown(m.id, m.text, m.at) for m in place.chat.answers)

    def fail(self, rng: random.Random) -> str:
        """One failure on order, in words."""
        routes = ("POST /channels/{id}/messages", "PATCH /channels/{id}/messages/{message}", "*")
        route, how = rng.choice(routes), failure(rng)
        self.server.fail(route, **how)
        return f"{route} {how}"

    def calls(self, place: Place) -> list[tuple[float, str]]:
        """What the bot asked for in a place, and when."""
        here = [c for c in self.server.calls if f"/channels/{place.chat.id}/" in f"{c.path}/"]
        return [(c.at, c.described) for c in here]

    async def hang_up(self) -> None:
        await self.server.gateway.drop()


Platform = Telegram | Slack | Discord


def failure(rng: random.Random) -> dict[str, Any]:
    """What a platform does to one or two calls: asks to wait, breaks, hangs up before or after it did what was asked."""
    how: dict[str, Any] = rng.choice(
        ({"status": 429, "retry_after": rng.choice((1, 1, 2))}, {"status": 502}, {"drop": "before"}, {"drop": "after"})
    )
    return how | {"times": rng.choice((1, 1, 2))}
