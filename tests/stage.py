"""A small stage for tests of the engine: a scripted model and a platform in memory, on a real store.

Both keep the promises of core.ports; everything between them is the product itself.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from adapters.queue.local import Local
from core.budget import Limit
from core.engine import Engine
from core.errors import ChatError
from core.holding import Holding
from core.mailbox import Rules
from core.messages import (
    Account,
    Attachment,
    ChatRef,
    Message,
    ModelEvent,
    Partial,
    Prompt,
    Reply,
    Stop,
    Text,
    ToolCall,
)
from core.people import People
from core.ports import Accept, Command, Part, Rate, Traits, Wakeups
from core.seal import Keyring, Seal
from core.store import Store
from core.tools import Toolbox

KEY = b"k" * 32
MINE = ChatRef("stage", "bot", "ada")
ADA = Account("stage", "bot", "ada")

Brain = Callable[[Prompt], "str | list[ModelEvent | asyncio.Event | Exception]"]


class Scripted:
    """core.ports.Model that says what the test's brain says; an Event in the script is waited for, an error raised."""

    name = "stage:model"

    def __init__(self, brain: Brain, window: int = 32_000, abilities: tuple[str, ...] = ("tools",)) -> None:
        self.brain = brain
        self.window = window
        self.prompts: list[Prompt] = []
        self.open = 0
        self._abilities = abilities

    def can(self, ability: str) -> bool:
        return ability in self._abilities

    async def stream(self, prompt: Prompt) -> AsyncGenerator[ModelEvent, None]:
        self.prompts.append(prompt)
        script = self.brain(prompt)
        self.open += 1
        try:
            for event in [Text(script)] if isinstance(script, str) else script:
                if isinstance(event, asyncio.Event):
                    await event.wait()
                elif isinstance(event, Exception):
                    raise event
                else:
                    yield event
                    if isinstance(event, Stop):
                        return
            yield Stop(
                "tools" if not isinstance(script, str) and any(isinstance(e, ToolCall) for e in script) else "end"
            )
        finally:
            self.open -= 1


class Choice:
    """core.ports.Models of one or more scripted models."""

    def __init__(self, *models: Scripted, remark: str = "") -> None:
        self._models = {m.name: m for m in models}
        self._first = models[0]
        self.remark = remark

    async def default(self) -> Scripted:
        return self._first

    def named(self, name: str) -> Scripted | None:
        return self._models.get(name)

    def offered(self) -> tuple[str, ...]:
        return tuple(self._models)

    @property
    def speaking(self) -> str:
        return self._first.name


class Board:
    """core.ports.Chat in memory: what people see, message by message."""

    platform = "stage"
    space = "bot"

    def __init__(self, **traits: object) -> None:
        self.traits = msgspec.convert({"label": "Stage", "trusted": True, "preview_every": 0.01, **traits}, Traits)
        self.finals: list[tuple[ChatRef, str]] = []
        self.keys: list[str] = []
        self.edits: list[str] = []
        self.previews: list[str] = []
        self.typed = 0
        self.fails: list[ChatError] = []
        self.piece = 0
        """Characters of one part; 0: all in one."""
        self.placeholder = ""
        """What previews return: the id of a message that shows the growing text."""
        self.accept: Accept | None = None

    async def serve(self, accept: Accept, commands: tuple[Command, ...]) -> None:
        self.accept = accept
        await asyncio.Event().wait()

    def parts(self, reply: Reply) -> list[Part]:
        step = self.piece or max(len(reply.text), 1)
        return [Part(reply.text[i : i + step]) for i in range(0, max(len(reply.text), 1), step)]

    async def send(self, reply: Reply, part: Part, *, key: str, edit: str, last: bool) -> str:
        if self.fails:
            raise self.fails.pop(0)
        self.keys.append(key)
        self.edits.append(edit)
        self.finals.append((reply.chat, part.body))
        return f"m{len(self.finals)}"

    async def preview(self, partial: Partial, shown: str) -> str:
        self.previews.append(partial.text)
        return shown or self.placeholder

    async def typing(self, chat: ChatRef) -> None:
        self.typed += 1

    async def find(self, reply: Reply, key: str) -> str:
        return ""

    def read(self, chat: ChatRef = MINE) -> list[str]:
        """What people read in a chat."""
        return [text for where, text in self.finals if where == chat]


class Stage:
    """An engine with a board and a model."""

    def __init__(self, store: Store, engine: Engine, people: People, board: Board, model: Scripted) -> None:
        self.store = store
        self.engine = engine
        self.people = people
        self.board = board
        self.model = model
        self._events = 0

    async def say(self, text: str, *, chat: ChatRef = MINE, who: Account = ADA, event: str = "", **more: object) -> str:
        """Somebody writes; returns the event."""
        self._events += 1
        event = event or f"e{self._events}"
        attachments = tuple(Attachment(kind, "h") for kind in more.pop("kinds", ()))  # type: ignore[attr-defined]
        fields = {"name": who.user.title(), "message_id": event, **more}
        await self.engine.accept(Message(event, chat, who, text, attachments=attachments, **fields))  # type: ignore[arg-type]
        return event

    async def replies(self, count: int, chat: ChatRef = MINE, seconds: float = 10.0) -> list[str]:
        """What people read in the chat, once there are this many messages."""
        async with asyncio.timeout(seconds):
            while len(self.board.read(chat)) < count:
                await asyncio.sleep(0.002)
        return self.board.read(chat)


@asynccontextmanager
async def stage(
    store: Store,
    brain: Brain = lambda prompt: f"You said: {prompt.lines[-1].text}",
    *,
    board: Board | None = None,
    model: Scripted | None = None,
    models: Choice | None = None,
    tools: Toolbox | None = None,
    rules: Rules | None = None,
    policy: str = "pairing",
    worker: str = "w1",
    paced: bool = False,
    rate: Rate | None = None,
    budget: tuple[Limit, ...] = (),
    alone: bool = True,
    plays: bool = True,
    wakeups: Wakeups | None = None,
    serves: bool = True,
) -> AsyncIterator[Stage]:
    """A running engine on the store; ends in order, as the program does at SIGTERM. Where it is not `alone`, others work on the
    store; then it may play turns, serve the board, or both.
    """
    seal = Seal(KEY)
    people = People(store, seal, Keyring(seal, store.fetch_or_set), policy)  # type: ignore[arg-type]
    model = model or Scripted(brain)
    board = board or Board()
    engine = Engine(
        store=store,
        people=people,
        models=models or Choice(model),
        tools=tools or Toolbox(),
        wakeups=wakeups or Local(),
        worker=worker,
        rules=rules or Rules(),
        holding=Holding(store, worker, (rules or Rules()).lease, alone=alone),
        slots=256 if plays else 0,
        paced=paced,
        rate=rate,
        budget=budget,
    )
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(engine.run([board] if serves else [], stop))
        while serves and not board.traits.sole and board.accept is None:
            await asyncio.sleep(0.001)
        try:
            yield Stage(store, engine, people, board, model)
        finally:
            stop.set()
