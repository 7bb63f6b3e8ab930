"""What travels between bot and server: requests read, refusals written, and the small words that all modules share."""

import time
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

JSON = "application/json"
encode = msgspec.json.encode


class Refused(Exception):
    """What the server answers instead of a result."""

    def __init__(self, status: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.status = status
        self.description = description
        self.parameters = parameters


async def read_body(request: web.BaseRequest) -> dict[str, Any]:
    given: dict[str, Any] = dict(request.query) if request.query_string else {}
    kind = request.content_type
    if kind == "multipart/form-data":
        for name, value in (await request.post()).items():
            given[name] = value.file.read() if isinstance(value, web.FileField) else value
    elif raw := await request.read():
        if kind == JSON:
            try:
                given |= msgspec.json.decode(raw, type=dict)
            except (msgspec.DecodeError, msgspec.ValidationError):
                raise Refused(400, "Bad Request: can't parse JSON object") from None
        elif kind == "application/x-www-form-urlencoded":
            given |= parse_qsl(raw.decode(), keep_blank_values=True)
        else:
            raise Refused(400, f"Bad Request: unsupported content type {kind}")
    return given


def refused(no: Refused) -> web.Response:
    body = {"ok": False, "error_code": no.status, "description": no.description}
    headers = {"Retry-After": str(no.parameters["retry_after"])} if "retry_after" in no.parameters else {}
    body |= {"parameters": no.parameters} if no.parameters else {}
    return web.Response(status=no.status, body=encode(body), content_type=JSON, headers=headers)


def cut(request: web.BaseRequest) -> web.Response:
    if request.transport:
        request.transport.abort()
    return web.Response()


def now() -> int:
    return int(time.time())


def words(text: str) -> frozenset[str]:
    """The words of a text as a set."""
    return frozenset(text.split())
