"""The parts of Discord's frames and answers that we read, as Discord names them; all else is skipped while decoding."""

from typing import Annotated, Any

import msgspec


class User(msgspec.Struct):
    """Somebody."""

    id: str
    username: str = ""
    global_name: str | None = None
    bot: bool = False

    @property
    def name(self) -> str:
        """What people call them."""
        return self.global_name or self.username


class Member(msgspec.Struct):
    """What somebody is in a server. `permissions` is there in interactions only: a number, as text."""

    user: User | None = None
    nick: str | None = None
    roles: tuple[str, ...] = ()
    permissions: str | None = None


class Mention(User):
    """Somebody who is named in a message."""

    member: Member | None = None

    @property
    def shown(self) -> str:
        """What the message shows."""
        return (self.member and self.member.nick) or self.name


class File(msgspec.Struct):
    """An attachment."""

    id: str
    filename: str = ""
    content_type: str | None = None
    size: Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)] = 0
    duration_secs: float | None = None
    waveform: str | None = None


class Sticker(msgspec.Struct):
    """A sticker, by its name."""

    name: str = ""


class Medium(msgspec.Struct):
    """The text of a poll's question or answer."""

    text: str | None = None


class Choice(msgspec.Struct):
    """One answer of a poll."""

    poll_media: Medium


class Poll(msgspec.Struct):
    """A question to all."""

    question: Medium
    answers: tuple[Choice, ...] = ()


class Reference(msgspec.Struct):
    """The message that one answers (type 0) or forwards (type 1)."""

    message_id: str | None = None
    channel_id: str | None = None
    type: int = 0


class Component(msgspec.Struct):
    """A piece of a message in components: a text, a button, or a box of more of them."""

    type: int = 0
    content: str | None = None
    components: tuple["Component", ...] = ()


class Snapshot(msgspec.Struct):
    """A forwarded message."""

    message: "Post | None" = None


class Post(msgspec.Struct):
    """A message; of a changed one only the ids are sure to be there."""

    id: str = ""
    channel_id: str = ""
    guild_id: str | None = None
    author: User | None = None
    member: Member | None = None
    content: str = ""
    edited_timestamp: str | None = None
    mentions: tuple[Mention, ...] = ()
    mention_roles: tuple[str, ...] = ()
    attachments: tuple[File, ...] = ()
    webhook_id: str | None = None
    type: int = 0
    flags: int | None = 0
    message_reference: Reference | None = None
    referenced_message: "Post | None" = None
    message_snapshots: tuple[Snapshot, ...] | None = ()
    sticker_items: tuple[Sticker, ...] | None = ()
    poll: Poll | None = None
    components: tuple[Component, ...] | None = ()


class Removal(msgspec.Struct):
    """One message, or many at once, were deleted."""

    channel_id: str
    id: str = ""
    ids: tuple[str, ...] = ()
    guild_id: str | None = None


class Channel(msgspec.Struct):
    """A channel or a thread; a direct message has type 1."""

    id: str
    type: int = 0
    name: str | None = None
    guild_id: str | None = None
    parent_id: str | None = None
    owner_id: str | None = None
    last_message_id: str | None = None


class Choosing(msgspec.Struct):
    """An option of a command as it was filled in."""

    name: str = ""
    value: Any = None


class Data(msgspec.Struct):
    """What a command or a button carries."""

    name: str = ""
    type: int = 1
    custom_id: str = ""
    options: tuple[Choosing, ...] | None = ()


class Interaction(msgspec.Struct):
    """A command was given (type 2), or a button was pressed (type 3). Its token is a secret for a quarter of an hour."""

    id: str
    type: int
    token: str = ""
    application_id: str = ""
    guild_id: str | None = None
    channel_id: str | None = None
    channel: Channel | None = None
    member: Member | None = None
    user: User | None = None
    data: Data | None = None
    locale: str | None = None

    @property
    def sender(self) -> User | None:
        """Who did it."""
        return self.user or (self.member.user if self.member else None)


class Guild(msgspec.Struct):
    """A server, as it is told when we connect, join or come back; only its id while it cannot be reached."""

    id: str
    name: str | None = None
    unavailable: bool | None = False
    owner_id: str | None = None
    joined_at: str | None = None
    channels: tuple[Channel, ...] | None = ()
    threads: tuple[Channel, ...] | None = ()


class Ready(msgspec.Struct):
    """A new session begins: whatever happened since the last one ended was not told."""

    user: User
    guilds: tuple[Guild, ...] = ()


class Resumed(msgspec.Struct):
    """The session goes on, without a gap."""


class Changed(msgspec.Struct):
    """Rights in a server, or of a channel of it, may have changed."""

    guild_id: str | None = None


class Departure(msgspec.Struct):
    """We left a server, or were thrown out; or it cannot be reached for a while."""

    id: str
    unavailable: bool | None = False


class Edit(Post):
    """A message after a change."""


Event = Post | Edit | Removal | Interaction | Guild | Departure | Ready | Resumed | Changed


class Frame(msgspec.Struct):
    """One message of the gateway."""

    op: int = -1
    t: str | None = None
    d: msgspec.Raw = msgspec.Raw(b"null")


FRAME = msgspec.json.Decoder(Frame)
KINDS: dict[str, msgspec.json.Decoder[Any]] = {
    "CHANNEL_UPDATE": msgspec.json.Decoder(Changed),
    "GUILD_CREATE": msgspec.json.Decoder(Guild),
    "GUILD_DELETE": msgspec.json.Decoder(Departure),
    "GUILD_MEMBER_UPDATE": msgspec.json.Decoder(Changed),
    "GUILD_ROLE_CREATE": msgspec.json.Decoder(Changed),
    "GUILD_ROLE_UPDATE": msgspec.json.Decoder(Changed),
    "INTERACTION_CREATE": msgspec.json.Decoder(Interaction),
    "MESSAGE_CREATE": msgspec.json.Decoder(Post),
    "MESSAGE_DELETE": msgspec.json.Decoder(Removal),
    "MESSAGE_DELETE_BULK": msgspec.json.Decoder(Removal),
    "MESSAGE_UPDATE": msgspec.json.Decoder(Edit),
    "READY": msgspec.json.Decoder(Ready),
    "RESUMED": msgspec.json.Decoder(Resumed),
}
"""The events that concern us, by the names that the gateway gives them."""


def read(frame: str | bytes) -> Event | None:
    """The event of a frame; None for what does not concern us. Raises msgspec.DecodeError for what cannot be read."""
    envelope = FRAME.decode(frame)
    decoder = KINDS.get(envelope.t or "") if envelope.op == 0 else None
    return decoder.decode(envelope.d) if decoder else None
