"""What stands in a chat: messages with all their states, files, presses of buttons, slash commands."""

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.servers.slack_api.people import Person

if TYPE_CHECKING:
    from tests.servers.slack_api.chats import Chat


@dataclass(slots=True)
class State:
    """What a message showed once."""

    text: str
    blocks: list[dict]
    at: float


@dataclass(slots=True)
class Stream:
    """A message that still grows: the parts so far; `state` is open, stopped, expired or stopped_by_user."""

    recipient: str | None
    began: float
    mode: str = ""  # markdown_text or chunks, as it was begun
    parts: list[dict] = field(default_factory=list)
    state: str = "open"
    appends: int = 0


@dataclass(slots=True, eq=False)
class Message:
    """One message as it stands in a chat now; `wire` is the platform's own object."""

    chat: "Chat"
    by: Person
    wire: dict
    text: str = ""  # what a person reads
    buttons: list[dict] = field(default_factory=list)
    pings: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    unfurls: list[str] = field(default_factory=list)
    edits: list[State] = field(default_factory=list)  # every state, the present one last
    metadata: dict | None = None
    stream: Stream | None = None
    ephemeral_to: str | None = None
    deleted: bool = False
    at: float = field(default_factory=time.monotonic)

    @property
    def ts(self) -> str:
        return self.wire["ts"]

    @property
    def thread(self) -> str | None:
        """The ts of the thread's root, also in the root itself once somebody answered it."""
        return self.wire.get("thread_ts")

    @property
    def root(self) -> str:
        """The ts under which an answer in a thread goes."""
        return self.wire.get("thread_ts") or self.ts

    @property
    def raw(self) -> str:
        """The `text` as it was sent."""
        return self.wire.get("text", "")

    @property
    def blocks(self) -> list[dict]:
        return self.wire.get("blocks", [])

    @property
    def files(self) -> list[dict]:
        return self.wire.get("files", [])

    @property
    def streamed(self) -> bool:
        return self.stream is not None

    @property
    def streaming(self) -> bool:
        """Whether it still looks as if more came; an expired stream does until somebody mends it."""
        return self.stream is not None and self.stream.state in ("open", "expired")

    @property
    def reactions(self) -> list[str]:
        """The names of the reactions on it, the bot's and others'."""
        return [r["name"] for r in self.wire.get("reactions", [])]


@dataclass(slots=True)
class Sent:
    """A press of a button, a slash command or a modal's submission on its way: what came back for it."""

    by: Person
    payload: dict
    acked: bool = False
    failed: bool = False  # no acknowledgement in time: the person saw a warning
    answer: Any = None  # the payload of the acknowledgement
    responses: list[dict] = field(default_factory=list)  # what came over the response_url

    @property
    def response_url(self) -> str:
        return self.payload.get("response_url", "")


@dataclass(slots=True)
class Status:
    """One state of the line that says what the assistant does, or of an agent's session."""

    thread: str | None
    status: str
    loading_messages: list[str]
    at: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class Hook:
    """A response_url: whose, where, and how often it may still be used."""

    chat: "Chat"
    sent: Sent
    message: Message | None
    left: int = 5
    until: float = 0.0
