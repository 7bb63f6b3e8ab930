"""A real engine on a real store with a scripted model, joined to one place; it can end, break off and begin again."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from adapters.queue.local import Local
from core.engine import Engine
from core.errors import StoreError
from core.mailbox import Rules
from core.messages import Inbound, Prompt
from core.people import People
from core.ports import Chat
from core.seal import Keyring, Seal
from core.store import Store
from core.tools import Toolbox
from tests.conftest import wait_until
from tests.contracts.place import Place, Sent
from tests.stage import KEY, Brain, Choice, Scripted

PATIENCE = 15.0


def echo(prompt: Prompt) -> str:
    return f"You said: {prompt.lines[-1].text}"


class Watched(Engine):
    """Counts the events that it could not make durable."""

    refused = 0

    async def accept(self, inbound: Inbound) -> None:
        try:
            await super().accept(inbound)
        except StoreError:
            self.refused += 1
            raise


class Scene:
    """What a promise has in its hands."""

    def __init__(self, place: Place, store: Store, models: Choice, policy: str, rules: Rules) -> None:
        self.place = place
        self.people: People
        self.engine: Watched
        self.chat: Chat
        self._store = store
        self._models = models
        self._policy = policy
        self._rules = rules
        self._lives = 0
        self._life: asyncio.Task | None = None
        self._stop = asyncio.Event()

    async def start(self) -> None:
        """The program begins, as a new worker."""
        self._lives += 1
        self._stop = asyncio.Event()
        seal = Seal(KEY)
        self.people = People(self._store, seal, Keyring(seal, self._store.fetch_or_set), self._policy)
        self.engine = Watched(
            store=self._store,
            people=self.people,
            models=self._models,
            tools=Toolbox(),
            wakeups=Local(),
            worker=f"w{self._lives}",
            rules=self._rules,
        )
        ready = asyncio.Event()
        self._life = asyncio.create_task(self._live(self.engine, ready))
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait((self._life, waiting), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._life.done():
            await self._life

    def begin_to_end(self) -> None:
        """What SIGTERM does."""
        self._stop.set()

    async def end(self) -> None:
        """The program ends in order."""
        self._stop.set()
        if self._life:
            await self._life
        self._life = None

    async def break_off(self) -> None:
        """The program dies in the middle of what it does."""
        life, self._life = self._life, None
        if life:
            life.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await life

    async def say(self, text: str) -> Sent:
        return await self.place.say(text)

    async def replies(self, count: int) -> list[str]:
        """What the person reads, as soon as it is so many messages."""

        async def enough() -> bool:
            await self.place.look()
            return len(self.place.read()) >= count

        try:
            await wait_until(enough, PATIENCE)
        except AssertionError:
            raise AssertionError(f"not {count} messages within {PATIENCE} s, but {self.place.read()}") from None
        return self.place.read()

    async def rests(self) -> None:
        """Nothing runs any more, and nothing waits to be delivered."""

        async def empty() -> bool:
            space = f"{self.chat.platform}:{self.chat.space}"
            return not self.engine._running and not await self.engine._mailbox.outbox(space)

        await wait_until(empty, PATIENCE)
        await self.engine.delivery.settled()

    async def _live(self, engine: Engine, ready: asyncio.Event) -> None:
        async with self.place.life(engine) as chat:
            self.chat = chat
            ready.set()
            await engine.run([chat], self._stop)


@asynccontextmanager
async def scene(
    kind: type[Place],
    store: Store,
    brain: Brain = echo,
    *,
    model: Scripted | None = None,
    models: Choice | None = None,
    policy: str = "open",
    rules: Rules | None = None,
) -> AsyncIterator[Scene]:
    """A place with a running program; what is left of it at the end ends in order, or breaks off where the test failed."""
    async with kind.open() as place:
        here = Scene(place, store, models or Choice(model or Scripted(brain)), policy, rules or Rules())
        await here.start()
        try:
            yield here
        except BaseException:
            await here.break_off()
            raise
        await here.end()
