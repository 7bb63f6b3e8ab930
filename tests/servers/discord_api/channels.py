"""A channel as people see it: what they do there, and what is to be seen."""

import math
import re
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tests.servers.discord_api import interactions
from tests.servers.discord_api.messages import SNAPSHOT, VOICE, File, Message, walk
from tests.servers.discord_api.people import PERMISSIONS, Person
from tests.servers.discord_api.wire import bits, stamp, words

if TYPE_CHECKING:
    from tests.servers.discord import DiscordServer
    from tests.servers.discord_api.guilds import Guild

GUILD_TEXT, DM, PUBLIC_THREAD, PRIVATE_THREAD, FORUM = 0, 1, 11, 12, 15
Attached = tuple[str, bytes] | tuple[str, bytes, str]


class Channel:
    """A place to talk: a direct message, a channel of a guild, a thread or a forum."""

    def __init__(
        self,
        server: "DiscordServer",
        id: int,  # noqa: A002 - the platform says id
        kind: int,
        name: str,
        *,
        guild: "Guild | None" = None,
        parent: "Channel | None" = None,
        owner: Person | None = None,
    ) -> None:
        self.server = server
        self.id = id
        self.kind = kind
        self.name = name
        self.guild = guild
        self.parent = parent
        self.owner = owner  # of a thread: who opened it; of a direct message: the person
        self.denied: set[str] = set()  # permissions that the bot lacks here, see PERMISSIONS
        self.closed = False  # a direct message: the person takes none from the bot
        self.archived = False
        self.locked = False
        self.archive_minutes = 4320
        self.changed = stamp()
        self.messages: list[Message] = []  # everybody's, in order; deleted ones stay, marked
        self.by_id: dict[int, Message] = {}
        self.typing: list[float] = []  # when the bot showed that it types (time.monotonic)
        self.nonces: dict[str, tuple[float, Message]] = {}

    @property
    def direct(self) -> bool:
        return self.kind == DM

    @property
    def is_thread(self) -> bool:
        return self.kind in (PUBLIC_THREAD, PRIVATE_THREAD)

    @property
    def json(self) -> dict:
        """The platform's Channel object."""
        last = str(self.messages[-1].id) if self.messages else None
        channel = {"id": str(self.id), "type": self.kind, "last_message_id": last, "flags": 0}
        if self.direct:
            return channel | {"recipients": [self.owner.json]}
        channel |= {"guild_id": str(self.guild.id), "name": self.name, "rate_limit_per_user": 0}
        if self.is_thread:
            data = {"archived": self.archived, "locked": self.locked, "auto_archive_duration": self.archive_minutes}
            data |= {"archive_timestamp": self.changed, "create_timestamp": self.changed}
            counts = {"message_count": len(self.messages), "member_count": 2, "total_message_sent": len(self.messages)}
            channel |= {"parent_id": str(self.parent.id), "owner_id": str(self.owner.id), "thread_metadata": data}
            return channel | counts
        channel |= {"position": 0, "nsfw": False, "parent_id": None, "topic": None}
        deny = str(bits(self.denied, PERMISSIONS))
        me = {"id": str(self.server.bot.id), "type": 1, "allow": "0", "deny": deny}
        channel["permission_overwrites"] = [me] if self.denied else []
        if self.kind == FORUM:
            channel |= {"available_tags": [], "default_reaction_emoji": None, "default_sort_order": None}
            channel["default_forum_layout"] = 0
        return channel

    @property
    def answers(self) -> list[Message]:
        """The bot's messages that are to be seen now; one that is still loading is none yet."""
        mine = [m for m in self.messages if m.by is self.server.bot and not m.deleted and not m.loading]
        return [m for m in mine if m.type in (0, 19, 20, 23)]

    @property
    def is_typing(self) -> bool:
        """Whether "is typing" shows now: ten seconds after a call, until a message comes."""
        last = self.typing[-1] if self.typing else -math.inf
        return time.monotonic() - last < 10 and not (self.answers and self.answers[-1].at > last)

    @property
    def threads(self) -> list["Channel"]:
        return [c for c in self.server.channels.values() if c.parent is self]

    def may(self, permission: str) -> bool:
        """Whether the bot may do something here."""
        if self.guild is None:
            return True
        denied = self.denied | (self.parent.denied if self.parent else set())
        return "view_channel" not in denied and permission not in denied and self.guild.bot_may(permission)

    def deny(self, *permissions: str) -> None:
        """Take permissions from the bot here ("send_messages", "view_channel" ...)."""
        assert set(permissions) <= PERMISSIONS.keys(), permissions
        self.denied |= set(permissions)
        self._tell_channel()

    def allow(self, *permissions: str) -> None:
        """Give them back."""
        self.denied -= set(permissions)
        self._tell_channel()

    async def replies(self, count: int = 1, *, after: Message | None = None, timeout: float = 10.0) -> list[Message]:
        """The bot's messages (those after a given one), as soon as there are `count`."""

        def enough() -> list[Message]:
            found = [m for m in self.answers if after is None or m.id > after.id]
            return found if len(found) >= count else []

        return await self.server.wait_for(enough, timeout)

    async def say(
        self,
        person: Person,
        text: str,
        *,
        mention: bool = False,
        reply_to: Message | None = None,
        ping: bool = True,
        files: Sequence[Attached] = (),
        edit: Message | None = None,
        **more: Any,
    ) -> Message:
        """Write a text, or `edit` an own one. `mention` puts the bot's mention first; a reply pings its author unless told
        otherwise. A file is (name, bytes) or (name, bytes, MIME type); `more` goes into the Message object as it is."""
        text = f"{self.server.bot.mention} {text}".strip() if mention else text
        if edit is not None:
            edit.edits.append(edit.text)
            edit.content, edit.edited = text, stamp()
            self._read_mentions(edit, ping=ping)
            self.tell_edited(edit)
            return edit
        kept = [self.server.keep_file(self, *file) for file in files]
        return self.post(person, content=text, reply_to=reply_to, ping=ping, files=kept, more=more)

    async def voice(self, person: Person, data: bytes, seconds: float = 2.5, **more: Any) -> Message:
        """Send a voice message (OGG/Opus)."""
        note = {"duration_secs": seconds, "waveform": "AAECAwQ="}
        kept = self.server.keep_file(self, "voice-message.ogg", data, "audio/ogg", **note)
        return self.post(person, files=[kept], flags=VOICE, more=more)

    async def sticker(self, person: Person, name: str) -> Message:
        """Send a sticker."""
        item = {"id": str(self.server.ids.next()), "name": name, "format_type": 1}
        return self.post(person, more={"sticker_items": [item]})

    async def forward(self, person: Person, message: Message) -> Message:
        """Forward a message of any channel hither."""
        shown = "content timestamp edited_timestamp embeds attachments components mentions mention_roles type flags"
        keys = words(shown)
        snapshot = {"message": {k: v for k, v in message.json.items() if k in keys}}
        reference = {"type": 1, "message_id": str(message.id), "channel_id": str(message.channel.id)}
        reference |= {"guild_id": str(message.channel.guild.id)} if message.channel.guild else {}
        return self.post(person, flags=SNAPSHOT, reference=reference, more={"message_snapshots": [snapshot]})

    async def delete(self, message: Message) -> None:
        """Take a message away."""
        self.remove(message)

    async def react(self, person: Person, message: Message, emoji: str) -> None:
        """Put a reaction on a message."""
        message.reactions.setdefault(emoji, []).append(person)
        self.tell_reaction("ADD", person, message, emoji)

    async def unreact(self, person: Person, message: Message, emoji: str) -> None:
        """Take it away again."""
        message.reactions[emoji].remove(person)
        if not message.reactions[emoji]:
            del message.reactions[emoji]
        self.tell_reaction("REMOVE", person, message, emoji)

    async def command(
        self, person: Person, name: str, options: dict | None = None, *, target: Message | Person | None = None
    ) -> interactions.Interaction:
        """Use a registered command: by its options, or from the menu of a `target`."""
        return interactions.command(self, person, name, options or {}, target)

    async def press(self, person: Person, button: str, message: Message | None = None) -> interactions.Interaction:
        """Press a button by its label or custom_id, on a message or on the newest that has it."""
        for seen in [message] if message else self._seen_by(person):
            for wanted in walk(seen.components):
                if wanted["type"] == 2 and button in (wanted.get("label"), wanted.get("custom_id")):
                    assert not wanted.get("disabled"), f"{button!r} is disabled"
                    return interactions.press(self, person, seen, wanted, [])
        raise AssertionError(f"no button {button!r} is to be seen")

    async def choose(
        self, person: Person, values: Sequence[str], message: Message | None = None
    ) -> interactions.Interaction:
        """Choose options of a menu by their labels or values, on a message or on the newest that has them."""
        for seen in [message] if message else self._seen_by(person):
            for menu in walk(seen.components):
                options = [o for o in menu.get("options") or [] if {o["label"], o["value"]} & set(values)]
                if len(options) == len(values):
                    return interactions.press(self, person, seen, menu, [o["value"] for o in options])
        raise AssertionError(f"no menu offers {values}")

    async def submit(
        self, person: Person, asked: interactions.Interaction, values: dict[str, str]
    ) -> interactions.Interaction:
        """Fill the dialogue that an interaction opened: custom_id -> text."""
        assert asked.modal, "no dialogue is open"
        return interactions.submit(self, person, asked, values)

    def thread(
        self,
        name: str,
        id: int | None = None,  # noqa: A002 - the platform says id
        *,
        by: Person | None = None,
        message: Message | None = None,
        text: str | None = None,
        private: bool = False,
    ) -> "Channel":
        """Open a thread, on a `message` if one is given; in a forum it is a post that begins with `text`."""
        owner = by or (message.by if message else self.guild.owner)
        number = message.id if message else id or self.server.ids.next()
        kind = PRIVATE_THREAD if private else PUBLIC_THREAD
        new = Channel(self.server, number, kind, name, guild=self.guild, parent=self, owner=owner)
        self.server.channels[number] = new
        if self.guild.bot_in and self.may("view_channel"):
            self.server.gateway.tell("THREAD_CREATE", new.json | {"newly_created": True}, self.guild)
        if message:
            message.thread = new
            message.flags |= 1 << 5
            self.tell_edited(message)
            place = {"channel_id": str(self.id), "message_id": str(message.id), "guild_id": str(self.guild.id)}
            new.post(message.by, type=21, reply_to=message, reference={"type": 0} | place)
        elif text is not None:
            new.post(owner, content=text, id=number)
        return new

    def archive(self, *, locked: bool = False) -> None:
        """Put a thread away; nobody opens a locked one again by writing."""
        self.update(archived=True, locked=locked)

    def update(self, **fields: Any) -> None:
        """Change name, archived, locked or archive_minutes."""
        for name, value in fields.items():
            setattr(self, name, value)
        self.changed = stamp()
        self._tell_channel()

    def post(
        self,
        by: Person,
        *,
        content: str = "",
        id: int | None = None,  # noqa: A002 - the platform says id
        reply_to: Message | None = None,
        ping: bool = True,
        reference: dict | None = None,
        files: Iterable[File] = (),
        flags: int = 0,
        type: int | None = None,  # noqa: A002 - the platform says type
        more: dict | None = None,
    ) -> Message:
        """Put a message of a person into the channel and tell the bot of it."""
        assert self.kind != FORUM, "a forum holds posts, not messages"
        assert self.direct or type or by.id in self.guild.members or self.archived, f"{by.name} is not in the guild"
        kind = type if type is not None else 19 if reply_to else 0
        message = Message(id or self.server.ids.next(), self, by, time.monotonic(), stamp(), content, type=kind)
        message.files, message.flags, message.more = list(files), flags, more or {}
        message.reply_to = reply_to
        if reply_to and reference is None:
            reference = {"type": 0, "message_id": str(reply_to.id), "channel_id": str(self.id)}
            reference |= {"guild_id": str(self.guild.id)} if self.guild else {}
        message.reference = reference
        self._read_mentions(message, ping=ping and kind == 19)
        self.keep(message)
        return message

    def keep(self, message: Message) -> None:
        """Put a message into the channel and tell the bot of it, its own ones too."""
        if self.archived:
            self.update(archived=False)
        self.messages.append(message)
        self.by_id[message.id] = message
        self._tell_message("MESSAGE_CREATE", message)

    def remove(self, message: Message) -> None:
        message.deleted = True
        gone = {"id": str(message.id), "channel_id": str(self.id)}
        if message.only_for is None:
            self._tell("MESSAGE_DELETE", gone | self._place())

    def tell_edited(self, message: Message) -> None:
        self._tell_message("MESSAGE_UPDATE", message)

    def tell_reaction(self, what: str, person: Person, message: Message, emoji: str) -> None:
        body = {"user_id": str(person.id), "channel_id": str(self.id), "message_id": str(message.id), "type": 0}
        body |= {"emoji": {"id": None, "name": emoji}, "burst": False} | self._place()
        if what == "ADD":
            body["message_author_id"] = str(message.by.id)
            if self.guild and person.id in self.guild.members:
                body["member"] = self.guild.members[person.id].json
        self._tell(f"MESSAGE_REACTION_{what}", body)

    def _seen_by(self, person: Person) -> list[Message]:
        """The bot's messages that somebody sees, the newest first."""
        return [m for m in reversed(self.answers) if m.only_for in (None, person)]

    def _place(self) -> dict:
        return {"guild_id": str(self.guild.id)} if self.guild else {}

    def _read_mentions(self, message: Message, *, ping: bool) -> None:
        everybody = self.server.everybody
        found = [everybody[int(i)] for i in re.findall(r"<@!?(\d+)>", message.content) if int(i) in everybody]
        if ping and message.reply_to:
            found.append(message.reply_to.by)
        message.mentions = list(dict.fromkeys(found))
        message.mention_roles = [int(i) for i in re.findall(r"<@&(\d+)>", message.content)] if self.guild else []
        message.everyone = self.guild is not None and bool(re.search(r"@(everyone|here)\b", message.content))

    def _tell_message(self, event: str, message: Message) -> None:
        if message.only_for is not None:
            return
        place = self._place() if self.guild else {"channel_type": 1}
        if self.guild and message.by.id in self.guild.members and "webhook_id" not in message.more:
            place["member"] = self.guild.members[message.by.id].partial

        def seen(content: bool) -> dict:
            wire = message.shown_to(self.server.bot, content=content) | place
            if self.guild:
                wire["mentions"] = [self._mentioned(p) for p in message.mentions]
            return wire

        self._tell(event, seen)

    def _mentioned(self, person: Person) -> dict:
        member = self.guild.members.get(person.id)
        return person.json | ({"member": member.partial} if member else {})

    def _tell(self, event: str, body: Any) -> None:
        if self.direct or (self.guild.bot_in and self.may("view_channel")):
            self.server.gateway.tell(event, body, self.guild)

    def _tell_channel(self) -> None:
        if self.guild and self.guild.bot_in:
            event = "THREAD_UPDATE" if self.is_thread else "CHANNEL_UPDATE"
            self.server.gateway.tell(event, self.json, self.guild)
