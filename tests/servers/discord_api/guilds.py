"""A guild (what people call a server): its members, roles and channels, with or without the bot."""

from typing import TYPE_CHECKING

from tests.servers.discord_api.channels import FORUM, GUILD_TEXT, Channel
from tests.servers.discord_api.people import ALL, EVERYONE, INVITED, PERMISSIONS, Member, Person, Role
from tests.servers.discord_api.wire import bits, stamp

if TYPE_CHECKING:
    from tests.servers.discord import DiscordServer


class Guild:
    """A guild with its people; every change reaches the bot as an event while it is in."""

    def __init__(
        self,
        server: "DiscordServer",
        id: int,  # noqa: A002 - the platform says id
        name: str,
        owner: Person,
        members: list[Person],
        *,
        bot_in: bool,
    ) -> None:
        self.server = server
        self.id = id
        self.name = name
        self.owner = owner
        self.members = {p.id: Member(p) for p in (owner, *members)}
        self.everyone = Role(id, "@everyone", EVERYONE, position=0)
        self.roles: dict[int, Role] = {id: self.everyone}
        self.bot_in = False
        self.joined_at = stamp()
        if bot_in:
            self._admit()

    @property
    def channels(self) -> list[Channel]:
        return [c for c in self.server.channels.values() if c.guild is self and not c.is_thread]

    @property
    def threads(self) -> list[Channel]:
        return [c for c in self.server.channels.values() if c.guild is self and c.is_thread]

    @property
    def json(self) -> dict:
        """The platform's Guild object."""
        guild = {"id": str(self.id), "name": self.name, "owner_id": str(self.owner.id), "icon": None, "splash": None}
        guild |= {"discovery_splash": None, "banner": None, "description": None, "features": [], "emojis": []}
        guild |= {"stickers": [], "roles": [r.json for r in self.roles.values()], "afk_channel_id": None}
        guild |= {"afk_timeout": 300, "system_channel_id": None, "system_channel_flags": 0, "rules_channel_id": None}
        guild |= {"public_updates_channel_id": None, "verification_level": 0, "default_message_notifications": 0}
        guild |= {"explicit_content_filter": 0, "mfa_level": 0, "nsfw_level": 0, "premium_tier": 0, "nsfw": False}
        guild |= {"premium_subscription_count": 0, "premium_progress_bar_enabled": False, "preferred_locale": "en-US"}
        return guild | {"application_id": None, "vanity_url_code": None, "max_members": 500000, "max_presences": None}

    @property
    def arrival(self) -> dict:
        """What GUILD_CREATE carries: of the members only the bot, as for whoever lacks the members intent."""
        here = {"joined_at": self.joined_at, "large": False, "member_count": len(self.members), "presences": []}
        here |= {"members": [self.members[self.server.bot.id].json], "voice_states": [], "stage_instances": []}
        here |= {"channels": [c.json for c in self.channels], "guild_scheduled_events": [], "soundboard_sounds": []}
        return self.json | here | {"threads": [t.json for t in self.threads if not t.archived]}

    def channel(self, id: int, name: str) -> Channel:  # noqa: A002 - the platform says id
        """A text channel."""
        return self._open(id, name, GUILD_TEXT)

    def forum(self, id: int, name: str) -> Channel:  # noqa: A002 - the platform says id
        """A forum: it holds posts, which are threads."""
        return self._open(id, name, FORUM)

    def role(self, name: str, *, members: tuple[Person, ...] = (), **allows: bool) -> Role:
        """A role with permissions (manage_guild=True ...), given to some members."""
        assert allows.keys() <= PERMISSIONS.keys(), allows
        names = frozenset(name for name, on in allows.items() if on)
        new = Role(self.server.ids.next(), name, names, position=len(self.roles))
        self.roles[new.id] = new
        self._tell("GUILD_ROLE_CREATE", {"role": new.json})
        for person in members:
            self.give(person, new)
        return new

    def give(self, person: Person, role: Role) -> None:
        """Give a member a role."""
        self.members[person.id].roles.append(role)
        self._tell("GUILD_MEMBER_UPDATE", self.members[person.id].json)

    def manager(self, person: Person) -> Role:
        """Make somebody hold Manage Server, by a role of their own."""
        return self.role(f"Manager {person.name}", members=(person,), manage_guild=True)

    def join(self, person: Person) -> None:
        """Let somebody in."""
        self.members[person.id] = Member(person)
        self._tell("GUILD_MEMBER_ADD", self.members[person.id].json)

    def leave(self, person: Person) -> None:
        """Somebody goes."""
        del self.members[person.id]
        self._tell("GUILD_MEMBER_REMOVE", {"user": person.json})

    def add_bot(self) -> None:
        """Invite the bot."""
        self._admit()
        self.server.gateway.tell("GUILD_CREATE", self.arrival, self)

    def remove_bot(self) -> None:
        """Throw the bot out."""
        self.bot_in = False
        self.members.pop(self.server.bot.id, None)
        self.server.gateway.tell("GUILD_DELETE", {"id": str(self.id)}, self)

    def outage(self) -> None:
        """The guild cannot be reached for a while: nobody was thrown out."""
        self.server.gateway.tell("GUILD_DELETE", {"id": str(self.id), "unavailable": True}, self)

    def recover(self) -> None:
        """It is there again."""
        self.server.gateway.tell("GUILD_CREATE", self.arrival | {"unavailable": False}, self)

    def permissions(self, person: Person, denied: set[str] = frozenset()) -> int:
        """What somebody may do, as the platform's number."""
        member = self.members.get(person.id)
        roles = [self.everyone, *(member.roles if member else [])]
        if person is self.owner or any("administrator" in role.allows for role in roles):
            return ALL
        return bits(frozenset().union(*(role.allows for role in roles)) - denied, PERMISSIONS)

    def bot_may(self, permission: str) -> bool:
        return self.bot_in and bool(self.permissions(self.server.bot) & PERMISSIONS[permission])

    def _admit(self) -> None:
        self.bot_in = True
        self.joined_at = stamp()
        mine = Role(self.server.ids.next(), self.server.bot.name, INVITED, managed=True)
        self.roles[mine.id] = mine
        self.members[self.server.bot.id] = Member(self.server.bot, [mine], self.joined_at)

    def _open(self, id: int, name: str, kind: int) -> Channel:  # noqa: A002 - the platform says id
        new = self.server.channels[id] = Channel(self.server, id, kind, name, guild=self)
        if self.bot_in:
            self.server.gateway.tell("CHANNEL_CREATE", new.json, self)
        return new

    def _tell(self, event: str, body: dict) -> None:
        if self.bot_in:
            self.server.gateway.tell(event, body | {"guild_id": str(self.id)}, self)
