"""A model on somebody's server: asked over HTTP, tried again while nothing was said yet, in whatever protocol it speaks.

The tokens of one network read become one event; closing the iterator closes the connection at once.
"""

import asyncio
import base64
import random
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from typing import Final
from urllib.parse import unquote_to_bytes

import httpx
import msgspec

from adapters.http import Answer, Http
from adapters.models import catalogue, failures
from adapters.models.sse import Events
from adapters.models.wire import Chosen, Reply, Wire, address, credentials
from core.errors import ModelError, ModelRefusedKey
from core.messages import ModelEvent, Prompt

TRIES: Final = 3
PATIENCE: Final = 30.0
"""Seconds within which another try may begin."""
TOGETHER: Final = 0.03
"""Seconds for which tokens are gathered once there was a first: nobody sees the difference, and each wake-up costs."""
MOST_BODY: Final = 64 * 1024
"""Bytes of an error that are read."""
MOST_WHOLE: Final = 8 * 2**20
"""Bytes of an answer by a server that does not stream."""


class Timeouts(msgspec.Struct, frozen=True):
    """Seconds. A keep-alive of the server counts as a sign of life."""

    connect: float = 5.0
    first: float = 60.0
    """Silence before the first token."""
    idle: float = 30.0
    """Silence between two tokens."""


LONG: Final = {"high", "xhigh", "max"}
"""Efforts at which a model may think for minutes without a sign of it."""
PATIENT: Final = Timeouts(first=300.0, idle=120.0)


class Hosted:
    """core.ports.Model on one model of one server. Keep one for a process: it remembers which fields the server refuses."""

    def __init__(
        self,
        name: str,
        base_url: str,
        key: str,
        http: Http,
        *,
        window: int = 0,
        abilities: Collection[str] | None = None,
        timeouts: Timeouts | None = None,
        uds: str = "",
    ) -> None:
        """`name` is `provider:model` or `provider:model@effort`; what is not given comes from the catalogue.

        `uds`: the unix socket on which the server of `base_url` listens.
        """
        who, model, effort = catalogue.parted(name)
        provider, known = catalogue.provider(who), catalogue.known(name)
        protocol = provider.protocol
        self.name = catalogue.settled(name)
        self.window = window or known.window
        self.longest = known.longest
        self._known = known
        self._abilities = frozenset(known.abilities if abilities is None else abilities)
        self._source = failures.Source(provider.label, model, provider.key, provider.url, key)
        self._wire = _wire(
            protocol,
            Chosen(self.name, model, effort, provider, known, self.window, self._abilities, self._source),
        )
        self._http = http
        self._timeouts = timeouts or (PATIENT if effort in LONG else Timeouts())
        self._uds = uds
        url = address(protocol, base_url)
        self._url = str(url.copy_with(userinfo=b"")) + self._wire.path
        shown = credentials(protocol, key)
        self._garbled = bool(key) and shown == credentials(protocol, "")
        self._headers = {
            "content-type": "application/json",
            "accept": "text/event-stream",
            "user-agent": "Pieria",
            "accept-encoding": "identity",  # compressed tokens wait for their block
        } | shown
        if url.userinfo and not key:
            self._headers["authorization"] = f"Basic {base64.b64encode(unquote_to_bytes(url.userinfo)).decode()}"

    def can(self, ability: str) -> bool:
        """Whether the model has this ability, as the catalogue or the constructor says."""
        return ability in self._abilities

    def cost(self, read: int, written: int) -> float | None:
        """The most that a call costs: nothing comes from the provider's cache, and all is put there."""
        plain, keeping = self._known.cost(read, 0, written), self._known.cost(read, 0, written, stored=read)
        return None if plain is None or keeping is None else max(plain, keeping)

    async def stream(self, prompt: Prompt) -> AsyncGenerator[ModelEvent, None]:
        """Answer once. Tries again only while nothing was said yet, at most three times within 30 seconds."""
        if self._garbled:
            raise ModelRefusedKey(f"The key in {self._source.key_variable} holds letters no key has. Paste it again.")
        deadline = asyncio.get_running_loop().time() + PATIENCE
        tried = 0
        while True:
            said = False
            try:
                async with aclosing(self._once(*self._wire.ask(prompt))) as events:
                    async for event in events:
                        said = True
                        yield event
            except _Adapted:
                continue  # the wire learned something, and each thing it learns once
            except ModelError as error:
                tried += 1
                pause = _pause(error, tried)
                if said or pause is None or asyncio.get_running_loop().time() + pause > deadline:
                    raise
                await asyncio.sleep(pause)
            else:
                return

    async def _once(self, content: bytes, reply: Reply) -> AsyncGenerator[ModelEvent, None]:
        answer: Answer | None = None
        try:
            answer = await self._ask(content)
            if answer.headers.get("content-type", "").startswith("application/json"):
                whole = await answer.whole(MOST_WHOLE, self._timeouts.first)
                for event in reply.read([whole]):
                    yield event
            else:
                splitter = Events()
                while not reply.done:
                    read = await answer.read(self._timeouts.idle if reply.begun else self._timeouts.first)
                    for event in reply.read(splitter.feed(read) if read else splitter.rest()):
                        yield event
                    if not read:
                        break
                    if reply.begun and not reply.done:
                        await answer.gather(TOGETHER)
                await _drained(answer)
            for event in reply.end():
                yield event
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise failures.unreachable(self._source, error) from error
        finally:
            if answer is not None:
                await answer.close()

    async def _ask(self, content: bytes) -> Answer:
        times = self._timeouts
        limits = httpx.Timeout(times.first, connect=times.connect, pool=2 * times.connect)
        answer = await self._http.call(
            "POST", self._url, headers=self._headers, content=content, timeout=limits, uds=self._uds
        )
        if answer.status == 200:
            return answer
        told = await answer.whole(MOST_BODY, times.idle)
        if answer.status in {400, 404, 415, 422, 500, 501} and self._wire.adapt(failures.words(told).message.lower()):
            raise _Adapted
        raise failures.refused(self._source, answer.status, told, answer.headers)


class _Adapted(Exception):
    """The server refused a field that it need not get again."""


def _wire(protocol: str, chosen: Chosen) -> Wire:
    """Loaded when it is spoken: most installations speak one."""
    if protocol == "messages":
        from adapters.models.anthropic import Messages

        return Messages(chosen)
    if protocol == "responses":
        from adapters.models.responses import Responses

        return Responses(chosen)
    from adapters.models.chat_completions import ChatCompletions

    return ChatCompletions(chosen)


def _pause(error: ModelError, tried: int) -> float | None:
    """Seconds until the next try, None where there is none."""
    if error.retry_after is None or tried >= TRIES:
        return None
    return max(error.retry_after, random.uniform(0.2, 0.4) * 2.0 ** (tried - 1))


async def _drained(answer: Answer) -> None:
    """Read on to the end, which follows at once, so that the connection can serve the next turn."""
    try:
        while await answer.read(0.25):
            pass
    except httpx.HTTPError:
        return
