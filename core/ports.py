"""What core asks of the outside: a chat platform, a model, who carries wake-ups. Everything else is core's own.

Each Protocol is a seam with one job; an adapter implements it, a contract suite under tests/contracts proves it.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Literal, Protocol, runtime_checkable

import msgspec

from core.messages import ChatRef, Inbound, ModelEvent, Partial, Prompt, Reply

Accept = Callable[[Inbound], Awaitable[None]]
"""Returns only when the event is durable; then the platform may be told so. Raises StoreError when it is not."""


class Command(msgspec.Struct, frozen=True):
    """A command as a platform registers it natively: `new`, `start afresh`."""

    name: str
    about: str


class Rate(msgspec.Struct, frozen=True):
    """How often something may be done, such as a send on a platform: once in `every` seconds on average, `burst` at once."""

    every: float
    burst: int


class Traits(msgspec.Struct, frozen=True):
    """All that is special to a platform and that core must know."""

    label: str
    """As people call the platform."""
    hint: str = ""
    """A line for the prompt: what the platform can show."""
    command: str = "/"
    """How commands are typed here; `!` works everywhere besides."""
    also: str = ""
    """Another way of this platform to give commands, in a few words: `/name help`."""
    preview_every: float = 1.0
    """Seconds between two previews of a growing reply in one chat."""
    preview_group_every: float = 3.5
    preview_group_from: int = 1
    """Characters that must be there before the first preview in a group."""
    chat_rate: Rate | None = None
    """Of finals to one private chat; None where the platform sets no such limit, or its adapter keeps it."""
    group_rate: Rate | None = None
    """Of finals and previews to one group."""
    account_rate: Rate | None = None
    """Of all that one account of ours sends."""
    readback: Literal["key", "lookup", "none"] = "none"
    """How a send in doubt is settled: the platform drops copies by key, it can be looked up, or neither."""
    sole: bool = False
    """One process alone may receive, of those that serve the same account of ours."""
    stored: bool = False
    """The platform shows its chats from our own history: a final that nobody receives now is still seen later."""
    trusted: bool = False
    """Whoever reaches us here is the operator, or was let in by the adapter itself."""


class Part(msgspec.Struct, frozen=True):
    """One message of the platform: a piece of a reply, as Markdown that fits once `send` has rendered it."""

    body: str
    form: str = ""
    """The adapter's own word for how it fits: rich, html, plain."""


class Chat(Protocol):
    """One account of ours on one platform."""

    platform: str
    traits: Traits

    @property
    def space(self) -> str:
        """The bot or workspace id; "" until the token or the platform has told it, which `serve` sees to before it accepts."""
        ...

    async def serve(self, accept: Accept, commands: tuple[Command, ...]) -> None:
        """Receive until cancelled; a platform that is away is waited for. An event is acknowledged to the platform only after `accept` returned; events of one
        chat are accepted one after the other, also when one is tried again. Raises ChatError where only the operator can
        help; whatever else it raises makes it begin again.
        """
        ...

    def parts(self, reply: Reply) -> list[Part]:
        """The messages that show this reply here; at least one, each within the platform's limits."""
        ...

    async def send(self, reply: Reply, part: Part, *, key: str, edit: str, last: bool) -> str:
        """Send one part, or put it in place of the message `edit`, and return the platform's id of what people see.

        `key` is the same for each try of this part. `last` marks the part that carries the buttons. Raises ChatError.
        """
        ...

    async def preview(self, partial: Partial, shown: str) -> str:
        """Show a reply that still grows; one try, at once. `shown` is what the last preview of the turn returned ("" at
        first). Returns the id of a message that the final must edit, or "" where the preview vanishes by itself.
        """
        ...

    async def typing(self, chat: ChatRef) -> None:
        """Show that the assistant is at work; never fails."""
        ...

    async def find(self, reply: Reply, key: str) -> str:
        """For readback `lookup`: the id of an earlier send of `key`, "" where there is none."""
        ...


class Model(Protocol):
    """Something that answers. Abilities: `tools`, `images`, `audio`, `schema`, `reasoning`; and `small`, of local
    models that need short instructions and only the tools that a message seems to need.
    """

    name: str
    """`provider:model`, as settings and people write it."""
    window: int
    """Tokens of prompt and reply together."""

    def can(self, ability: str) -> bool:
        """Whether the model has this ability."""
        ...

    def stream(self, prompt: Prompt) -> AsyncGenerator[ModelEvent, None]:
        """Answer once. Ends with Stop; raises ModelError. Closing the iterator ends the call at once."""
        ...


@runtime_checkable
class Priced(Protocol):
    """What a Model may know besides: what its calls come to."""

    longest: int
    """Tokens of the longest reply; 0 where that is unknown."""

    def cost(self, read: int, written: int) -> float | None:
        """The most that a call with so many tokens costs, in US dollars; None where the price is unknown."""
        ...


class Models(Protocol):
    """The models of the installation."""

    async def default(self) -> Model:
        """The model that speaks unless a chat chose another; waits while it is being made ready. Raises ModelError."""
        ...

    def named(self, name: str) -> Model | None:
        """A model by `provider:model`, None where it cannot be had here."""
        ...

    def offered(self) -> tuple[str, ...]:
        """Names to choose from."""
        ...

    @property
    def speaking(self) -> str:
        """Which model speaks, or what it waits for, in a few words."""
        ...

    @property
    def remark(self) -> str:
        """What the first reply of a chat says about the model; "" where nothing needs saying."""
        ...


Drain = Callable[[str, int], Awaitable[None]]
"""Plays the turns of a lane at an epoch, if they are this process' to play."""


class Wakeups(Protocol):
    """Carries the hint that a lane has work. Hints may be lost, doubled or late: the mailbox decides."""

    def wake(self, lane: str, epoch: int) -> None:
        """Hint that a turn of this lane can begin; returns at once, and never fails."""
        ...

    async def serve(self, drain: Drain | None) -> None:
        """Carry hints until cancelled, and call `drain` for each that comes to this process; lanes side by side, up to the
        worker's slots. None: this process only sends hints, and plays none. A cancellation ends what `drain` still does.
        """
        ...
