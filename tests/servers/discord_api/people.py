"""Who is there: people, their roles in a guild, and what these allow."""

from dataclasses import dataclass, field

from tests.servers.discord_api.wire import bits, stamp, words

PERMISSIONS = {
    "administrator": 1 << 3,
    "manage_channels": 1 << 4,
    "manage_guild": 1 << 5,
    "add_reactions": 1 << 6,
    "view_channel": 1 << 10,
    "send_messages": 1 << 11,
    "manage_messages": 1 << 13,
    "embed_links": 1 << 14,
    "attach_files": 1 << 15,
    "read_message_history": 1 << 16,
    "mention_everyone": 1 << 17,
    "use_application_commands": 1 << 31,
    "manage_threads": 1 << 34,
    "create_public_threads": 1 << 35,
    "create_private_threads": 1 << 36,
    "send_messages_in_threads": 1 << 38,
    "send_voice_messages": 1 << 46,
}
EVERYONE = words(
    "view_channel send_messages embed_links attach_files read_message_history add_reactions use_application_commands "
    "create_public_threads send_messages_in_threads send_voice_messages"
)
INVITED = words(
    "view_channel send_messages send_messages_in_threads embed_links attach_files read_message_history add_reactions "
    "create_public_threads"
)
"""What the bot's own role allows after the usual invitation."""
ALL = sum(PERMISSIONS.values())


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account."""

    id: int
    name: str
    username: str
    locale: str = "en-US"
    is_bot: bool = False

    @property
    def json(self) -> dict:
        user = {"id": str(self.id), "username": self.username, "discriminator": "0", "global_name": self.name}
        user |= {"avatar": None, "public_flags": 0}
        return user | {"bot": True, "discriminator": "0000", "global_name": None} if self.is_bot else user

    @property
    def mention(self) -> str:
        return f"<@{self.id}>"


@dataclass(frozen=True, slots=True)
class Role:
    """A role of a guild, with the permissions that it gives."""

    id: int
    name: str
    allows: frozenset[str]
    position: int = 1
    managed: bool = False

    @property
    def json(self) -> dict:
        role = {"id": str(self.id), "name": self.name, "color": 0, "hoist": False, "icon": None, "unicode_emoji": None}
        role |= {"colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None}}
        role |= {"position": self.position, "permissions": str(bits(self.allows, PERMISSIONS)), "flags": 0}
        return role | {"managed": self.managed, "mentionable": False}

    @property
    def mention(self) -> str:
        return f"<@&{self.id}>"


@dataclass(slots=True)
class Member:
    """A person in a guild."""

    person: Person
    roles: list[Role] = field(default_factory=list)
    joined_at: str = field(default_factory=stamp)
    nick: str | None = None

    @property
    def partial(self) -> dict:
        """Without the user, as messages carry it."""
        member = {"roles": [str(role.id) for role in self.roles], "joined_at": self.joined_at, "nick": self.nick}
        member |= {"avatar": None, "banner": None, "premium_since": None, "deaf": False, "mute": False, "flags": 0}
        return member | {"pending": False, "communication_disabled_until": None}

    @property
    def json(self) -> dict:
        return self.partial | {"user": self.person.json}
