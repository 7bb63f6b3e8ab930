"""What travels between bot and platform: requests read, refusals written, and the small words that all modules share."""

from typing import Any
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
encode = msgspec.json.encode


class Refused(Exception):
    """What the platform answers instead of a result: a word, by HTTP 200 unless said otherwise."""

    def __init__(self, error: str, status: int = 200, *, wait: int | None = None, **more: Any) -> None:
        super().__init__(error)
        self.error = error
        self.status = status
        self.wait = wait
        self.more = more


async def read_body(request: web.BaseRequest, *, only_form: bool) -> tuple[dict[str, Any], list[str]]:
    """The arguments of a call, and what an honest client would not have done."""
    given: dict[str, Any] = dict(request.query) if request.query_string else {}
    problems = []
    kind = request.content_type
    if kind == "multipart/form-data":
        given |= {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
    elif raw := await request.read():
        if kind == JSON and only_form:
            problems.append("takes no JSON")
        elif kind == JSON:
            try:
                given |= msgspec.json.decode(raw, type=dict)
            except msgspec.ValidationError:
                raise Refused("json_not_object") from None
            except msgspec.DecodeError:
                raise Refused("invalid_json") from None
        elif kind == FORM:
            given |= parse_qsl(raw.decode(), keep_blank_values=True)
        else:
            raise Refused("invalid_post_type")
    return given, problems


def answer(body: dict, headers: dict[str, str], status: int = 200) -> web.Response:
    return web.Response(status=status, body=encode(body), content_type=JSON, charset="utf-8", headers=headers)


def refused(no: Refused, headers: dict[str, str]) -> web.Response:
    if no.wait is not None:
        headers = headers | {"Retry-After": str(no.wait)}
    return answer({"ok": False, "error": no.error} | no.more, headers, no.status)


def cut(request: web.BaseRequest) -> web.Response:
    if request.transport:
        request.transport.abort()
    return web.Response()


def words(text: str) -> frozenset[str]:
    """The words of a text as a set."""
    return frozenset(text.split())
