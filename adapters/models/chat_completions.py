"""Chat Completions: OpenAI, everything compatible with it, and the model servers of one's own machine.

The tokens of one network read become one event; closing the iterator closes the connection at once.
"""

import asyncio
import base64
import random
import secrets
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from typing import Final, Literal
from urllib.parse import unquote_to_bytes

import httpx
import msgspec

from adapters.http import Answer, Http
from adapters.models import body, catalogue, failures
from adapters.models.sse import Events
from core.errors import ModelError, ModelRefusedKey
from core.messages import ModelEvent, Prompt, Reasoning, Stop, Text, ToolCall, Usage

TRIES: Final = 3
PATIENCE: Final = 30.0
"""Seconds within which another try may begin."""
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


class ChatCompletions:
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
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - frozen
        uds: str = "",
    ) -> None:
        """`name` is `provider:model`; window and abilities come from the catalogue where they are not given.

        `uds`: the unix socket on which the server of `base_url` listens.
        """
        who, _, model = name.partition(":")
        provider = catalogue.provider(who)
        self._known = catalogue.known(name)
        self.name = name
        self.window = window or self._known.window
        self._abilities = frozenset(self._known.abilities if abilities is None else abilities)
        self._source = failures.Source(provider.label, model, provider.key, provider.url, key)
        self._http = http
        self._timeouts = timeouts
        self._uds = uds
        url = httpx.URL(base_url.rstrip("/") + "/chat/completions")
        self._url = str(url.copy_with(userinfo=b""))
        self._headers = {"content-type": "application/json", "accept": "text/event-stream", "user-agent": "Pieria"}
        self._headers["accept-encoding"] = "identity"  # compressed tokens wait for their block
        if key.isascii() and key.isprintable() and key:
            self._headers["authorization"] = f"Bearer {key}"
        elif url.userinfo:
            self._headers["authorization"] = f"Basic {base64.b64encode(unquote_to_bytes(url.userinfo)).decode()}"
        self._form = body.Form(
            model,
            limit=provider.limit,
            routed=provider.routed,
            short_ids=provider.short_ids,
            images=self.can("images"),
            audio=self.can("audio"),
        )

    def can(self, ability: str) -> bool:
        """Whether the model has this ability, as the catalogue or the constructor says."""
        return ability in self._abilities

    async def stream(self, prompt: Prompt) -> AsyncGenerator[ModelEvent, None]:
        """Answer once. Tries again only while nothing was said yet, at most three times within 30 seconds."""
        if self._source.secret and "authorization" not in self._headers:
            raise ModelRefusedKey(f"The key in {self._source.key_variable} holds letters no key has. Paste it again.")
        deadline = asyncio.get_running_loop().time() + PATIENCE
        tried = 0
        while True:
            said = False
            form = self._form
            try:
                async with aclosing(self._once(body.encode(prompt, form))) as events:
                    async for event in events:
                        said = True
                        yield event
            except _Adapted:
                continue  # the form changed, and each change happens once
            except ModelError as error:
                tried += 1
                pause = _pause(error, tried)
                if said or pause is None or asyncio.get_running_loop().time() + pause > deadline:
                    raise
                await asyncio.sleep(pause)
            else:
                return

    async def _once(self, content: bytes) -> AsyncGenerator[ModelEvent, None]:
        answer: Answer | None = None
        try:
            answer = await self._ask(content)
            reply = _Reply(self._source)
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
                await self._drained(answer)
            for event in reply.end(self.name, self._known):
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
        if answer.status in {400, 404, 415, 422, 500, 501} and self._adapt(failures.words(told).message.lower()):
            raise _Adapted
        raise failures.refused(self._source, answer.status, told, answer.headers)

    def _adapt(self, said: str) -> bool:
        """Learn from a refusal which fields this server takes; true where the request should be sent anew."""
        form, change = self._form, msgspec.structs.replace
        if "stream_options" in said and form.counted:
            self._form = change(form, counted=False)
        elif "prompt_cache_key" in said and form.routed:
            self._form = change(form, routed=False)
        elif "reasoning_effort" in said and not form.thoughtless:
            self._form = change(form, thoughtless=True)
        elif "max_completion_tokens" in said and "max_tokens" not in said and form.limit != "max_tokens":
            self._form = change(form, limit="max_tokens")
        elif "max_tokens" in said and "max_completion_tokens" in said and form.limit == "max_tokens":
            self._form = change(form, limit="max_completion_tokens")
        else:
            return False
        return True

    async def _drained(self, answer: Answer) -> None:
        """Read on to the end, which follows at once, so that the connection can serve the next turn."""
        try:
            while await answer.read(0.25):
                pass
        except httpx.HTTPError:
            return


class _Adapted(Exception):
    """The server refused a field that it need not get again."""


def _pause(error: ModelError, tried: int) -> float | None:
    """Seconds until the next try, None where there is none."""
    if error.retry_after is None or tried >= TRIES:
        return None
    return max(error.retry_after, random.uniform(0.2, 0.4) * 2.0 ** (tried - 1))


class _Piece(msgspec.Struct, gc=False):
    text: str | None = None
    thinking: list["_Piece"] | str | None = None


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: msgspec.Raw = msgspec.Raw()


class _Call(msgspec.Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct, gc=False):
    content: str | list[_Piece] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | None = None
    message: _Delta | None = None
    """Instead of `delta`, from a server that does not stream."""
    finish_reason: str | None = None


class _Details(msgspec.Struct, gc=False):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    prompt_cache_hit_tokens: int | None = None
    cost: float | None = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: msgspec.Raw = msgspec.Raw()


_decode = msgspec.json.Decoder(_Chunk).decode

_STOPS: Final[dict[str, Literal["end", "tools", "length", "refused"]]] = {
    "stop": "end",
    "tool_calls": "tools",
    "function_call": "tools",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "content_filter": "refused",
    "refusal": "refused",
    "safety": "refused",
}


class _Asked:
    """A tool call while it is being written."""

    __slots__ = ("arguments", "id", "index", "name")

    def __init__(self, index: int | None, call: str, name: str) -> None:
        self.index = index
        self.id = call
        self.name = name
        self.arguments: list[str] = []


class _Reply:
    """Puts one answer together from its chunks."""

    __slots__ = ("_calls", "_finish", "_refused", "_source", "_usage", "begun", "done")

    def __init__(self, source: failures.Source) -> None:
        self._source = source
        self._calls: list[_Asked] = []
        self._finish: str | None = None
        self._refused = False
        self._usage: _Usage | None = None
        self.begun = False
        """Something was said, thought or called."""
        self.done = False
        """The server said that this was all."""

    def read(self, payloads: list[bytes]) -> list[ModelEvent]:
        """What the events of one read say, joined. Raises ModelError."""
        text: list[str] = []
        thought: list[str] = []
        for payload in payloads:
            if payload == b"[DONE]":
                self.done = True
                break
            try:
                chunk = _decode(payload)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise failures.unreadable(self._source) from error
            if chunk.usage is not None:
                self._usage = chunk.usage
            if chunk.choices:
                choice = chunk.choices[0]
                if choice.finish_reason:
                    self._finish = choice.finish_reason
                delta = choice.delta or choice.message
                if delta is not None:
                    content = delta.content
                    if isinstance(content, list):
                        _pieces(content, text, thought)
                    elif content:
                        text.append(content)
                    if more := delta.reasoning_content or delta.reasoning:
                        thought.append(more)
                    if delta.tool_calls:
                        self._assemble(delta.tool_calls)
                    if delta.refusal:
                        self._refused = True
                        text.append(delta.refusal)
            elif bytes(chunk.error) not in {b"", b"null"}:
                raise failures.refused(self._source, 0, b'{"error":%b}' % bytes(chunk.error))
        events: list[ModelEvent] = []
        if thought and (joined := "".join(thought)):
            events.append(Reasoning(joined))
        if text and (joined := "".join(text)):
            events.append(Text(joined))
        self.begun = self.begun or bool(events) or bool(self._calls)
        return events

    def end(self, name: str, known: catalogue.Known) -> list[ModelEvent]:
        """What stands at the end: calls, usage, stop. Raises ModelError where the answer broke off."""
        if self._finish is None and not self.done:
            raise failures.broke(self._source)
        if self._finish == "error":
            raise failures.refused(self._source, 502, b"")
        reason = _STOPS.get(self._finish or "stop", "end")
        calls = [
            ToolCall(c.id or f"call_{secrets.token_hex(6)}", c.name, "".join(c.arguments) or "{}")
            for c in self._calls
            if c.name and (reason != "length" or _whole(c))
        ]
        events: list[ModelEvent] = list(calls)
        if self._usage is not None:
            events.append(_counted(self._usage, name, known))
        if calls:
            reason = "tools"
        elif reason == "tools":
            reason = "end"
        events.append(Stop("refused" if self._refused else reason))
        return events

    def _assemble(self, parts: list[_Call]) -> None:
        for part in parts:
            name = (part.function.name if part.function else None) or ""
            call = self._which(part, name)
            call.id = call.id or part.id or ""
            call.name = call.name or name
            if part.function and (raw := bytes(part.function.arguments)) and raw != b"null":
                # arguments come as JSON in a string; from some servers as the object itself
                call.arguments.append(msgspec.json.decode(raw, type=str) if raw.startswith(b'"') else raw.decode())

    def _which(self, part: _Call, name: str) -> _Asked:
        """The call that this part belongs to.

        By index; some servers send none, or the same for all: then a new id begins a new call, and so does a name.
        """
        for call in reversed(self._calls):
            same = call.index == part.index
            if part.id and call.id:
                if part.id == call.id and same:
                    return call
            elif same and not (part.index is None and name and call.arguments):
                return call
        started = _Asked(part.index, part.id or "", "")
        self._calls.append(started)
        return started


def _pieces(pieces: list[_Piece], text: list[str], thought: list[str]) -> None:
    for piece in pieces:
        if piece.text:
            text.append(piece.text)
        if isinstance(piece.thinking, str):
            thought.append(piece.thinking)
        elif piece.thinking:
            thought += [inner.text for inner in piece.thinking if inner.text]


def _whole(call: _Asked) -> bool:
    try:
        return isinstance(msgspec.json.decode("".join(call.arguments) or "{}"), dict)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return False


def _counted(usage: _Usage, name: str, known: catalogue.Known) -> Usage:
    read, written = usage.prompt_tokens or 0, usage.completion_tokens or 0
    if usage.total_tokens and usage.total_tokens > read + written:
        written = usage.total_tokens - read  # some count the thinking in the total only
    details = usage.prompt_tokens_details
    cached = min((details.cached_tokens if details else None) or usage.prompt_cache_hit_tokens or 0, read)
    cost = usage.cost if usage.cost is not None else known.cost(read, cached, written)
    return Usage(name, read, cached, written, cost)
