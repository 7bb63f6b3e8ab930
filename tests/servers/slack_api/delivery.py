"""What goes to the app: by sockets or by signed HTTP, again and again until it is acknowledged."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.servers.slack import SlackServer


@dataclass(slots=True, eq=False)
class Delivery:
    """One thing that the app must acknowledge: an event, a slash command, something interactive."""

    kind: str  # events_api, slash_commands, interactive
    payload: dict
    heard: Callable[[Any], None] | None = None  # told what the acknowledgement carried
    missed: Callable[[], None] | None = None  # told that nothing came in time
    attempts: int = 0
    retry: int = 0  # the number of the next try, as the app is told it
    reason: str = ""  # why the last one failed
    acked: bool = False
    given_up: bool = False
    no_retry: bool = False

    @property
    def event_id(self) -> str:
        return self.payload.get("event_id", "")

    @property
    def event(self) -> dict:
        return self.payload.get("event", {})

    @property
    def settled(self) -> bool:
        return self.acked or self.given_up


class Deliveries:
    """Every delivery has its own task: an event is tried four times, all else once."""

    def __init__(self, server: "SlackServer", ack_seconds: float, retry_delays: tuple[float, ...]) -> None:
        self.all: list[Delivery] = []
        self.ack_seconds = ack_seconds
        self.retry_delays = retry_delays
        self._server = server
        self._tasks: set[asyncio.Task[None]] = set()

    def push(self, delivery: Delivery) -> Delivery:
        """Send it on its way."""
        self.all.append(delivery)
        self._start(delivery)
        return delivery

    def again(self, count: int) -> list[Delivery]:
        """The last events once more under the same event_id, whether they were acknowledged or not."""
        events = [d for d in self.all if d.kind == "events_api"][-count:]
        copies = [Delivery(d.kind, d.payload, retry=1, reason="timeout") for d in events]
        for copy in copies:
            self._start(copy)
        return copies

    def resume(self) -> None:
        """Go on with what was under way when the server was left."""
        for delivery in self.all:
            if not delivery.settled:
                self._start(delivery)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, delivery: Delivery) -> None:
        task = asyncio.create_task(self._deliver(delivery))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            self._server.problems.append(f"a delivery broke: {task.exception()!r}")

    async def _deliver(self, delivery: Delivery) -> None:
        tries = 1 + len(self.retry_delays) if delivery.kind == "events_api" else 1
        while True:
            ok, answer = await self._try(delivery)
            if ok:
                delivery.acked = True
                if delivery.heard:
                    delivery.heard(answer)
                return
            delivery.retry, delivery.reason = delivery.retry + 1, answer
            self._server.unacked.append(delivery)
            if delivery.retry >= tries or delivery.no_retry:
                delivery.given_up = True
                if delivery.missed:
                    delivery.missed()
                return
            await asyncio.sleep(self.retry_delays[delivery.retry - 1])

    async def _try(self, delivery: Delivery) -> tuple[bool, Any]:
        delivery.attempts += 1
        if self._server.posts.url:
            return await self._server.posts.post(delivery)
        return await self._server.sockets.send(delivery, self.ack_seconds)
