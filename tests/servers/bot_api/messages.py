"""Who talks and what stands in a chat: people, messages, previews, presses of buttons."""

from dataclasses import dataclass, field

from tests.servers.bot_api.markup import MARK, NAMED_RICH, RICH, unescape


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account."""

    id: int
    name: str
    username: str | None = None
    language: str | None = "en"
    is_bot: bool = False

    @property
    def json(self) -> dict:
        known = {"username": self.username, "language_code": self.language}
        return {"id": self.id, "is_bot": self.is_bot, "first_name": self.name} | {k: v for k, v in known.items() if v}


def as_member(person: Person, status: str) -> dict:
    member: dict = {"user": person.json, "status": status}
    if status == "creator":
        member["is_anonymous"] = False
    elif status == "kicked":
        member["until_date"] = 0
    elif status == "administrator":
        rights = (
            "be_edited manage_chat delete_messages manage_video_chats restrict_members promote_members change_info "
        )
        rights += "invite_users post_stories edit_stories delete_stories"
        member |= {f"can_{right}": True for right in rights.split()} | {"is_anonymous": False}
    return member


@dataclass(slots=True)
class Content:
    """What a message says, markup parsed."""

    kind: str
    text: str
    raw: str
    entities: list[dict] = field(default_factory=list)
    blocks: list[dict] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    media: list[str] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Message:
    """One message as it stands in a chat now."""

    id: int
    chat_id: int
    by: Person
    text: str  # what is read: markup removed
    raw: str  # what was sent
    kind: str  # text, html, rich, photo, voice, document, other
    wire: dict  # the platform's Message object
    at: float  # time.monotonic()
    entities: list[dict] = field(default_factory=list)
    buttons: list[list[dict]] = field(default_factory=list)
    media: list[str] = field(default_factory=list)  # addresses that showing it would fetch
    links: list[str] = field(default_factory=list)
    thread: int | None = None
    reply_to: int | None = None
    edits: list[str] = field(default_factory=list)  # the texts that stood here before
    reactions: list[str] = field(default_factory=list)  # the bot's
    deleted: bool = False

    @property
    def unmarked(self) -> str:
        """What was sent with its tags taken out and nothing else changed: `text` lays rich blocks out, this does not."""
        return self.raw if self.kind == "text" else unescape(MARK.sub("", self.raw), NAMED_RICH, RICH)


@dataclass(slots=True)
class Draft:
    """A preview in a private chat; it goes after `draft_seconds` or with the next real message."""

    id: int
    text: str
    raw: str
    kind: str
    thread: int | None
    can_stop: bool
    keep_on_stop: bool
    at: float


@dataclass(slots=True)
class Press:
    """A button pressed by a person; `answer` is what answerCallbackQuery showed."""

    id: str
    by: Person
    data: str
    answered: bool = False
    answer: str = ""
    alert: bool = False
