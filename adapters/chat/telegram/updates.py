"""The parts of an update that we read, as Telegram names them; all else is skipped while decoding."""

from typing import Annotated, Any

import msgspec


class User(msgspec.Struct):
    """Somebody."""

    id: int
    is_bot: bool = False
    first_name: str = ""
    last_name: str = ""
    username: str = ""
    language_code: str = ""


class Place(msgspec.Struct):
    """A chat."""

    id: int
    type: str
    title: str = ""


class Entity(msgspec.Struct):
    """A marked stretch of a text, in UTF-16 code units."""

    type: str
    offset: int
    length: int
    user: User | None = None


class Quote(msgspec.Struct):
    """The stretch of a message that an answer quotes."""

    text: str = ""


class File(msgspec.Struct):
    """A file of any kind."""

    file_id: str
    mime_type: str = ""
    file_name: str = ""
    file_size: Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)] = 0
    duration: float = 0.0
    title: str = ""
    emoji: str = ""


class Location(msgspec.Struct):
    """A point on the map."""

    latitude: float
    longitude: float


class Venue(msgspec.Struct):
    """A point with a name."""

    location: Location
    title: str = ""
    address: str = ""


class Contact(msgspec.Struct):
    """A person's card."""

    phone_number: str
    first_name: str = ""
    last_name: str = ""


class Option(msgspec.Struct):
    """One answer of a poll."""

    text: str = ""


class Poll(msgspec.Struct):
    """A question to all."""

    question: str = ""
    options: tuple[Option, ...] = ()


class Dice(msgspec.Struct):
    """A game of chance in one emoji."""

    emoji: str = ""
    value: int = 0


class Rich(msgspec.Struct):
    """A message in blocks; their shapes are many and still grow."""

    blocks: list[Any] = []


class Post(msgspec.Struct):
    """A message."""

    message_id: int
    chat: Place
    from_: User | None = msgspec.field(default=None, name="from")
    sender_chat: Place | None = None
    message_thread_id: int = 0
    is_topic_message: bool = False
    is_automatic_forward: bool = False
    forward_origin: dict[str, Any] | None = None
    forum_topic_created: dict[str, Any] | None = None
    reply_to_message: "Post | None" = None
    quote: Quote | None = None
    media_group_id: str = ""
    migrate_to_chat_id: int = 0
    text: str = ""
    entities: tuple[Entity, ...] = ()
    caption: str = ""
    caption_entities: tuple[Entity, ...] = ()
    rich_message: Rich | None = None
    photo: tuple[File, ...] = ()
    voice: File | None = None
    audio: File | None = None
    video: File | None = None
    video_note: File | None = None
    animation: File | None = None
    document: File | None = None
    sticker: File | None = None
    location: Location | None = None
    venue: Venue | None = None
    contact: Contact | None = None
    poll: Poll | None = None
    dice: Dice | None = None


class Callback(msgspec.Struct):
    """A button of ours was pressed."""

    id: str
    from_: User = msgspec.field(name="from")
    data: str = ""
    message: Post | None = None


class Member(msgspec.Struct):
    """What somebody is in a chat."""

    status: str = ""


class MemberChange(msgspec.Struct):
    """What we are in a chat has changed."""

    chat: Place
    from_: User = msgspec.field(name="from")
    old_chat_member: Member
    new_chat_member: Member


class Stopped(msgspec.Struct):
    """The stop button under a growing draft was pressed."""

    chat: Place
    draft_id: int = 0
    message_thread_id: int = 0


class Update(msgspec.Struct):
    """One thing that happened."""

    update_id: int
    message: Post | None = None
    edited_message: Post | None = None
    callback_query: Callback | None = None
    my_chat_member: MemberChange | None = None
    stopped_message_generation: Stopped | None = None

    @property
    def place(self) -> Place | None:
        """Where it happened."""
        for thing in (self.message, self.edited_message, self.my_chat_member, self.stopped_message_generation):
            if thing:
                return thing.chat
        query = self.callback_query
        return query.message.chat if query and query.message else None

    @property
    def album(self) -> str:
        """The id that the parts of an album share, "" for anything else."""
        return self.message.media_group_id if self.message else ""


class Unread(msgspec.Struct):
    """An update of which we understand no more than its number."""

    update_id: int
