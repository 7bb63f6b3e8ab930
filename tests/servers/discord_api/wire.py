"""What travels between client and server: requests read, refusals written, and the small words that all modules share."""

import itertools
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
from aiohttp import web

JSON = "application/json"
EPOCH = 1420070400000  # the first millisecond of a snowflake: 1 January 2015
encode = msgspec.json.encode

REASONS: dict[int, tuple[int, str]] = {
    10003: (404, "Unknown Channel"),
    10004: (404, "Unknown Guild"),
    10007: (404, "Unknown Member"),
    10008: (404, "Unknown Message"),
    10013: (404, "Unknown User"),
    10014: (400, "Unknown Emoji"),
    10015: (404, "Unknown Webhook"),
    10062: (404, "Unknown interaction"),
    40005: (413, "Request entity too large"),
    40060: (400, "Interaction has already been acknowledged."),
    50001: (403, "Missing Access"),
    50003: (403, "Cannot execute action on a DM channel"),
    50005: (403, "Cannot edit a message authored by another user"),
    50006: (400, "Cannot send an empty message"),
    50007: (403, "Cannot send messages to this user"),
    50008: (400, "Cannot send messages in a non-text channel"),
    50013: (403, "Missing Permissions"),
    50021: (403, "Cannot execute action on a system message"),
    50024: (400, "Cannot execute action on this channel type"),
    50027: (401, "Invalid Webhook Token"),
    50035: (400, "Invalid Form Body"),
    50083: (400, "Thread is archived"),
    50109: (400, "The request body contains invalid JSON."),
    160004: (400, "A thread has already been created for this message"),
}
"""Code of the platform -> HTTP status and message."""
DISHONEST = {50006, 50021, 50024, 50035, 50109}
"""Codes that no honest client provokes, whatever people do meanwhile."""


class Refused(Exception):
    """What the server answers instead of a result: a code of the platform, or a bare status with code 0."""

    def __init__(self, code: int, *, status: int = 0, message: str = "", errors: dict | None = None) -> None:
        known = REASONS.get(code, (status or 400, message))
        self.code = code
        self.status = status or known[0]
        self.body = {"message": message or known[1], "code": code} | ({"errors": errors} if errors else {})
        super().__init__(self.body["message"])


def invalid(path: str, code: str, message: str) -> Refused:
    """Invalid Form Body with the platform's nested errors; `path` is "components/0/label", "" for the whole body."""
    errors: dict = {"_errors": [{"code": code, "message": message}]}
    for step in reversed(path.split("/") if path else []):
        errors = {step: errors}
    return Refused(50035, errors=errors)


def described(problems: list[str]) -> Refused:
    """The same for what the platform's description finds wrong: "components/0/label: ... is too long"."""
    errors: dict = {}
    for problem in problems:
        path, colon, message = problem.partition(": ")
        if not colon:
            path, message = "content" if problem.startswith("content ") else "", problem
        length = any(word in problem for word in ("too long", "too short", "longer", "non-empty"))
        here = errors
        for step in path.split("/") if path else []:
            here = here.setdefault(step, {})
        code = "BASE_TYPE_BAD_LENGTH" if length else "BASE_TYPE_REQUIRED" if "required" in problem else "BASE_TYPE_BAD"
        here.setdefault("_errors", []).append({"code": code, "message": message})
    return Refused(50035, errors=errors)


@dataclass(slots=True)
class Call:
    """One request that reached the REST side; `status` is what it was answered (0: the reply was lost on order)."""

    method: str
    path: str
    route: str  # "POST /channels/{id}/messages", or the path where no route fits
    body: Any
    at: float
    query: dict[str, str] = field(default_factory=dict)
    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)  # part -> name, content
    status: int = 0
    code: int = 0

    @property
    def described(self) -> str:
        return f"{self.method} {self.path} {self.status} {self.code or ''}".strip()


@dataclass(frozen=True, slots=True)
class Ask:
    """A request as an action of a route sees it."""

    ids: tuple[str, ...]  # what stood in the braces of the route
    query: dict[str, str]
    body: Any
    files: dict[str, tuple[str, bytes]]
    call: Call


class Snowflakes:
    """Ids that grow with time."""

    def __init__(self) -> None:
        self._order = itertools.count()

    def next(self) -> int:
        return (int(time.time() * 1000) - EPOCH) << 22 | next(self._order) & 0x3FFFFF


async def read_body(request: web.BaseRequest) -> tuple[Any, dict[str, tuple[str, bytes]]]:
    """The JSON of a request, and its files by the names of their parts."""
    kind = request.content_type
    if kind == "multipart/form-data":
        body, files = {}, {}
        for name, value in (await request.post()).items():
            if name == "payload_json":
                body = _decode(value.file.read() if isinstance(value, web.FileField) else value)
            elif isinstance(value, web.FileField):
                files[name] = (value.filename, value.file.read())
            else:
                raise invalid(name, "BASE_TYPE_BAD", "a part is neither payload_json nor a file")
        return body, files
    raw = await request.read()
    if not raw:
        return None, {}
    if kind != JSON:
        raise invalid("", "CONTENT_TYPE_INVALID", f"Expected Content-Type application/json or multipart, not {kind}")
    return _decode(raw), {}


def _decode(raw: bytes | bytearray | str) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Refused(50109) from None


def textual(body: Any) -> Any:
    """The body with the numbers of its attachments as text: the platform takes both, its description only this."""
    if not isinstance(body, dict):
        return body
    body = {k: textual(v) if k in ("data", "message") else v for k, v in body.items()}
    if isinstance(body.get("attachments"), list):
        body["attachments"] = [a | {"id": str(a["id"])} if "id" in a else a for a in body["attachments"]]
    return body


def cut(request: web.BaseRequest) -> web.Response:
    """End the connection without a word."""
    if request.transport:
        request.transport.abort()
    return web.Response()


def stamp(at: float | None = None) -> str:
    """A moment as the platform writes it; now by default."""
    return datetime.fromtimestamp(time.time() if at is None else at, UTC).isoformat(timespec="microseconds")


def words(text: str) -> frozenset[str]:
    """The words of a text as a set."""
    return frozenset(text.split())


def bits(names: Iterable[str], table: dict[str, int]) -> int:
    """The names of a table as one number."""
    return sum(table[name] for name in set(names))
