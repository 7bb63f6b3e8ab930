"""A message as it stands in a channel now, how the platform writes it, and what a person reads of it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.servers.discord_api.people import Person

if TYPE_CHECKING:
    from tests.servers.discord_api.channels import Channel

SUPPRESS_EMBEDS = 1 << 2
HAS_THREAD = 1 << 5
EPHEMERAL = 1 << 6
LOADING = 1 << 7
SILENT = 1 << 12
VOICE = 1 << 13
SNAPSHOT = 1 << 14
V2 = 1 << 15

ROW, BUTTON, SECTION, TEXT = 1, 2, 9, 10
PRIVILEGED = ("content", "attachments", "embeds", "components")
"""What the message content intent shows."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of a message, kept by the CDN."""

    id: int
    name: str
    data: bytes
    mime: str
    url: str
    more: dict = field(default_factory=dict)

    @property
    def json(self) -> dict:
        return {
            "id": str(self.id),
            "filename": self.name,
            "size": len(self.data),
            "url": self.url,
            "proxy_url": self.url,
            "content_type": self.mime,
            **self.more,
        }


@dataclass(slots=True, eq=False)
class Message:
    """One message; `edits` are the texts that stood here before, `states` those and the present one."""

    id: int
    channel: "Channel"
    by: Person
    at: float  # time.monotonic()
    timestamp: str
    content: str = ""
    components: list[dict] = field(default_factory=list)
    embeds: list[dict] = field(default_factory=list)
    files: list[File] = field(default_factory=list)
    flags: int = 0
    type: int = 0
    reply_to: "Message | None" = None
    reference: dict | None = None
    mentions: list[Person] = field(default_factory=list)
    mention_roles: list[int] = field(default_factory=list)
    everyone: bool = False
    nonce: str | int | None = None
    edited: str | None = None
    edits: list[str] = field(default_factory=list)
    reactions: dict[str, list[Person]] = field(default_factory=dict)
    thread: "Channel | None" = None
    only_for: Person | None = None  # ephemeral: nobody else sees it
    more: dict[str, Any] = field(default_factory=dict)  # further fields as the platform writes them
    deleted: bool = False

    @property
    def text(self) -> str:
        """What stands there in the platform's Markdown: content, then every text of its components and embeds."""
        parts = [self.content, *(c["content"] for c in walk(self.components) if c["type"] == TEXT)]
        parts += [e[k] for e in self.embeds for k in ("title", "description") if e.get(k)]
        return "\n".join(part for part in parts if part)

    @property
    def states(self) -> list[str]:
        return [*self.edits, self.text]

    @property
    def buttons(self) -> list[list[dict]]:
        """Rows of buttons, and each button beside a text as a row of its own."""
        rows = []
        for part in walk(self.components):
            beside = [part["accessory"]] if part["type"] == SECTION else part.get("components", [])
            if part["type"] in (ROW, SECTION) and (found := [c for c in beside if c["type"] == BUTTON]):
                rows.append(found)
        return rows

    @property
    def ephemeral(self) -> bool:
        return bool(self.flags & EPHEMERAL)

    @property
    def loading(self) -> bool:
        """Whether people see that the bot is thinking, and no message yet."""
        return bool(self.flags & LOADING)

    @property
    def pings(self) -> list[str]:
        """Whom this message notified."""
        found = [p.mention for p in self.mentions] + [f"<@&{r}>" for r in self.mention_roles]
        return found + (["@everyone"] if self.everyone else [])

    @property
    def json(self) -> dict:
        """The platform's Message object."""
        wire = {
            "id": str(self.id),
            "channel_id": str(self.channel.id),
            "author": self.by.json,
            "content": self.content,
            "timestamp": self.timestamp,
            "edited_timestamp": self.edited,
            "tts": False,
            "mention_everyone": self.everyone,
            "mentions": [p.json for p in self.mentions],
            "mention_roles": [str(r) for r in self.mention_roles],
            "attachments": [f.json for f in self.files],
            "embeds": self.embeds,
            "components": self.components,
            "pinned": False,
            "type": self.type,
            "flags": self.flags,
            **self.more,
        }
        if self.nonce is not None:
            wire["nonce"] = self.nonce
        if self.reference:
            wire["message_reference"] = self.reference
        if self.type in (19, 21):
            old = self.reply_to
            wire["referenced_message"] = None if old is None or old.deleted else _quoted(old)
        if self.reactions:
            wire["reactions"] = [
                {"emoji": {"id": None, "name": e}, "count": len(by), "me": any(p.is_bot for p in by)}
                for e, by in self.reactions.items()
            ]
        if self.thread:
            wire["thread"] = self.thread.json
        return wire

    def shown_to(self, bot: Person, *, content: bool) -> dict:
        """The same as the bot may read it: without the message content intent much of what strangers say is empty."""
        wire = self.json
        if not content and not self.channel.direct:
            if self.by is not bot and bot not in self.mentions:
                wire |= {"content": ""} | {name: [] for name in PRIVILEGED[1:]}
                wire.pop("message_snapshots", None)
            old = self.reply_to
            if wire.get("referenced_message") and old.by is not bot and bot not in old.mentions:
                wire["referenced_message"] |= {"content": ""} | {name: [] for name in PRIVILEGED[1:]}
        return wire


def walk(components: list[dict]) -> Iterator[dict]:
    """Every component, outer ones before what they hold."""
    for part in components:
        yield part
        yield from walk(part.get("components") or [])
        if part.get("accessory"):
            yield part["accessory"]


def _quoted(old: Message) -> dict:
    wire = old.json
    wire.pop("referenced_message", None)
    return wire
