"""A model behind the lean door: strict about what it is asked, speaking at the pace that each message wants."""

import asyncio
from time import monotonic

import msgspec

from tests.load import wire
from tests.load.plan import Speech
from tests.load.record import DONE, Asked, Record
from tests.load.wire import Line, Request
from tests.servers.completions.replies import Reply, encode
from tests.servers.completions.requests import Invalid
from tests.servers.completions.wire import Completions

KEY = "bench"
NAME = "test-model"
_SSE = b"text/event-stream; charset=utf-8"
_COMPLETIONS = Completions()
_INSTANT = Speech()


class Model:
    """`url` is the base URL of the provider."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._server = await wire.listen(self._serve)
        self.url = f"http://127.0.0.1:{wire.port(self._server)}/v1"

    async def close(self) -> None:
        if self._server:
            self._server.close()

    def _serve(self, request: Request, line: Line) -> None:
        if request.method == "GET" and request.path == "/v1/models":
            line.reply(200, encode({"object": "list", "data": [{"id": NAME, "object": "model"}]}))
            return
        try:
            asked = _checked(request)
        except Invalid as no:
            self._record.problems.append(f"{request.path}: {no.error['message']}")
            line.reply(no.status, encode({"error": no.error}))
            return
        fresh = self._record.call(self._record.named(_newest(asked["messages"])), request.at)
        speech = fresh[-1].speech if fresh else _INSTANT
        reply = Reply(tokens=_pieces(fresh, speech))
        line.begin(_SSE)
        _Speaking(line, fresh, speech, _COMPLETIONS.events(asked, reply, len(request.body), self._record.calls))


class _Speaking:
    """One answer on its way."""

    def __init__(self, line: Line, asked: list[Asked], speech: Speech, events: list[tuple[bool, bytes]]) -> None:
        self._line = line
        self._asked = asked
        self._pause = speech.batch / speech.rate if speech.rate else 0.0
        spoken = [at for at, (piece, _) in enumerate(events) if piece]
        frames = [frame for _, frame in events]
        self._opening = frames[: spoken[0]]
        self._pieces = frames[spoken[0] : spoken[-1] + 1]
        self._ending = frames[spoken[-1] + 1 :]
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time() + speech.first
        if speech.first:
            line.write(*self._opening)
            self._opening = []
            self._loop.call_at(self._due, self._speak)
        else:
            self._speak()

    def _speak(self) -> None:
        if not self._line.open:
            return
        now = monotonic()
        for asked in self._asked:
            asked.first = asked.first or now
        if self._pause and len(self._pieces) > 1:
            self._line.write(*self._opening, self._pieces.pop(0))
            self._opening = []
            self._due += self._pause
            self._loop.call_at(self._due, self._speak)
            return
        for asked in self._asked:
            asked.last = now
        self._line.write(*self._opening, *self._pieces, *self._ending)
        self._line.end()


def _checked(request: Request) -> dict:
    """What is asked. Raises Invalid for what a provider would refuse."""
    if (request.method, request.path) != ("POST", "/v1/chat/completions"):
        raise Invalid(f"Invalid URL ({request.method} {request.path})", status=404)
    if request.headers.get(b"authorization") != f"Bearer {KEY}".encode():
        raise Invalid("Incorrect API key provided.", status=401)
    if request.kind != wire.JSON:
        raise Invalid("Unsupported content type", status=415)
    try:
        asked = msgspec.json.decode(request.body, type=dict)
    except msgspec.DecodeError:
        raise Invalid("We could not parse the JSON body of your request.") from None
    _COMPLETIONS.check(asked)
    if asked["model"] != NAME or not asked.get("stream"):
        raise Invalid("Only a stream of the one model is served.", status=404)
    return asked


def _newest(messages: list[dict]) -> str:
    """What people said since the model last spoke."""
    said: list[str] = []
    for message in reversed(messages):
        if message["role"] != "user":
            break
        said.insert(0, str(message["content"]))
    return "\n".join(said)


def _pieces(asked: list[Asked], speech: Speech) -> list[str]:
    """So many tokens, in events of so many: the numbers of the messages first, a last word that ends it."""
    tokens = [*(f"{one.number} " for one in asked), *("word " for _ in range(speech.tokens - len(asked) - 1)), DONE]
    return ["".join(tokens[at : at + speech.batch]) for at in range(0, len(tokens), speech.batch)]
