"""The values that travel through the house: who speaks where, what came in, what is said, what a model streams.

All are frozen; the unions are tagged, so a value's trust and meaning cannot be forged by a free-form dictionary.
"""

from typing import Literal

import msgspec

Role = Literal["user", "assistant", "tool"]
AttachmentKind = Literal["image", "voice", "audio", "video", "document", "sticker", "location", "contact"]


class Account(msgspec.Struct, frozen=True):
    """One identity on one platform; never a name, names change."""

    platform: str
    space: str
    """The bot or workspace through which we meet this account."""
    user: str


class ChatRef(msgspec.Struct, frozen=True):
    """A place on a platform: a direct message, a group, a channel, or a thread of one. Its mailbox is its lane."""

    platform: str
    space: str
    chat: str
    thread: str = ""
    private: bool = True
    """True where one person talks with the assistant alone. Not part of the lane's key."""


class Attachment(msgspec.Struct, frozen=True):
    """A file that came with a message, as a handle: bytes are fetched only when they are needed."""

    kind: AttachmentKind
    handle: str
    """Opaque to core and free of secrets; the adapter that made it can fetch it."""
    mime: str = ""
    name: str = ""
    size: int = 0
    seconds: float = 0.0


class Message(msgspec.Struct, frozen=True, tag="message"):
    """Somebody wrote something."""

    event: str
    """The platform's identity of this event: a redelivery carries the same."""
    chat: ChatRef
    sender: Account
    text: str
    name: str = ""
    """What the sender is called on the platform."""
    message_id: str = ""
    reply_to: str = ""
    """The platform's id of the message that this one answers."""
    quoted: str = ""
    """The text that was quoted or answered."""
    attachments: tuple[Attachment, ...] = ()
    addressed: bool = True
    """In a group: the assistant was mentioned, answered, commanded, or owns the thread."""
    admin: bool = False
    """The sender rules this group on the platform."""
    vouched: bool = False
    """The sender belongs to a community that was let in as a whole, as the platform tells."""
    language: str = ""
    zone: str = ""
    """IANA time zone, where the platform tells."""
    start: str = ""
    """The payload of a deep link."""


class Edited(msgspec.Struct, frozen=True, tag="edited"):
    """A message was changed; one that still waits is replaced, one whose turn has begun stays."""

    event: str
    message: Message
    """As it reads now; its `event` is the one that the original had."""


class Deleted(msgspec.Struct, frozen=True, tag="deleted"):
    """A message was taken back; one that still waits is dropped."""

    event: str
    chat: ChatRef
    original: str
    """The event of the message that was taken back."""


class Pressed(msgspec.Struct, frozen=True, tag="pressed"):
    """A button of ours, or the platform's own stop button, was pressed. `action` is a command line such as `/stop`."""

    event: str
    chat: ChatRef
    sender: Account
    action: str
    name: str = ""
    admin: bool = False
    vouched: bool = False
    """As in Message."""


class Joined(msgspec.Struct, frozen=True, tag="joined"):
    """The assistant was added to a group, or a person opened a conversation for the first time."""

    event: str
    chat: ChatRef
    sender: Account
    name: str = ""
    vouched: bool = False
    """As in Message."""


Inbound = Message | Edited | Deleted | Pressed | Joined


class ToolCall(msgspec.Struct, frozen=True, tag="call"):
    """A model asks for a tool; `arguments` is JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str


class Said(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a conversation, in our own form; what only one provider understands never gets here."""

    role: Role
    text: str
    speaker: str = ""
    """In a group: who said it."""
    at: int = 0
    """UTC milliseconds, from the store's clock."""
    attachments: tuple[Attachment, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    call: str = ""
    """For role `tool`: the id of the call that this answers."""


class ToolSpec(msgspec.Struct, frozen=True):
    """What a model is told about a tool. `schema` is a JSON schema of type object, encoded once."""

    name: str
    about: str
    schema: msgspec.Raw


class Media(msgspec.Struct, frozen=True):
    """A picture or a sound that goes to a model as a part of the newest message."""

    mime: str
    data: bytes


class Prompt(msgspec.Struct, frozen=True):
    """What the model sees. `system` is stable from turn to turn (prefix caches); what changes stands in `now`."""

    system: str
    lines: tuple[Said, ...]
    tools: tuple[ToolSpec, ...] = ()
    now: str = ""
    """Date, zone, platform: goes in front of the newest message."""
    media: tuple[Media, ...] = ()
    limit: int = 0
    """Most tokens of the reply; 0 leaves it to the model."""
    schema: msgspec.Raw | None = None
    """A JSON schema that the reply must follow."""
    key: str = ""
    """Opaque and stable for a conversation: a provider's cache routing hint."""


class Text(msgspec.Struct, frozen=True):
    """More of the reply. Adapters join the tokens of one network read into one value."""

    text: str


class Reasoning(msgspec.Struct, frozen=True):
    """More of what the model thinks; shown as progress, never stored as the reply."""

    text: str


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one call. `cost` is in US dollars, None where the price is unknown."""

    model: str
    read: int = 0
    cached: int = 0
    """Part of `read` that came from the provider's cache."""
    written: int = 0
    cost: float | None = None


class Fallback(msgspec.Struct, frozen=True):
    """Another model than the chosen one answers; the person is told."""

    model: str
    instead_of: str
    why: str


class Stop(msgspec.Struct, frozen=True):
    """The reply has ended. Always the last event of a stream."""

    reason: Literal["end", "tools", "length", "refused"] = "end"


ModelEvent = Text | Reasoning | ToolCall | Usage | Fallback | Stop


class Button(msgspec.Struct, frozen=True):
    """A labelled command under a reply."""

    label: str
    action: str
    """A command line, at most 60 bytes."""


class Reply(msgspec.Struct, frozen=True):
    """What one turn says, ready for the outbox. `text` is Markdown."""

    turn: str
    chat: ChatRef
    text: str
    at: int = 0
    """When it was committed, UTC milliseconds."""
    reply_to: str = ""
    """The platform's id of the message that is answered."""
    buttons: tuple[Button, ...] = ()
    shown: str = ""
    """The platform's id of a message that already shows the growing reply; the final replaces it."""
    failed: bool = False
    """The model did not answer: the text says why, below what it had said until then."""
    again: bool = False
    """A process that died began this turn: what it may have shown stands in a message that nobody noted."""
    copied: bool = False
    """The whole text may stand already in a message that nobody noted, and that the platform does not let us find."""


class Partial(msgspec.Struct, frozen=True):
    """A reply while it grows: always the whole text so far, so that a lost one does no harm."""

    turn: str
    chat: ChatRef
    fence: int
    text: str
    """Markdown so far; empty while the model thinks."""
    reply_to: str = ""
    doing: str = ""
    """What is being done meanwhile, in a word or two: `calculating`."""
    again: bool = False
    """As in Reply."""

    def whole(self) -> str:
        """The text with what is being done below it, as Markdown."""
        return f"{self.text}\n\n*{self.doing} …*".lstrip() if self.doing else self.text
