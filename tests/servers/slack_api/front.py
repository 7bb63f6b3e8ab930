"""The front of the house: every request comes in here, fails if that was ordered, is let through or refused, and noted."""

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from tests.servers.loopback import Handler
from tests.servers.slack_api import agents, conversations, files, lookups, sending, sockets, streams
from tests.servers.slack_api.faults import Fault, ordered
from tests.servers.slack_api.methods import Method
from tests.servers.slack_api.wire import Refused, answer, cut, read_body, refused

if TYPE_CHECKING:
    from tests.servers.slack import SlackServer

METHODS = (
    agents.METHODS
    | conversations.METHODS
    | files.METHODS
    | lookups.METHODS
    | sending.METHODS
    | sockets.METHODS
    | streams.METHODS
)


@dataclass(slots=True)
class Call:
    """One request that reached the server; `status` is what it was answered (0: the reply was lost on order)."""

    method: str
    params: dict
    at: float
    status: int = 0
    error: str = ""

    @property
    def ok(self) -> bool:
        return self.status == 200 and not self.error


class Front:
    """Answers what comes over the port: methods of the API, sockets, downloads, uploads, response_url."""

    def __init__(self, server: "SlackServer") -> None:
        self._server = server

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """The answer to one request."""
        path = request.path
        if path.startswith("/api/"):
            return await self._api(request, path.removeprefix("/api/"))
        for start, name, act in (
            ("/link/", "socket", self._server.sockets.serve),
            ("/files-pri/", "download", self._server.files.download),
            ("/upload/v1/", "upload", self._server.files.receive),
            ("/hooks/", "response_url", self._server.interactions.respond),
        ):
            if path.startswith(start):
                return await self._beside(request, name, act)
        return web.Response(status=404)

    async def _beside(self, request: web.BaseRequest, name: str, act: Handler) -> web.StreamResponse:
        """What is no method of the API: it fails on order under its own name."""
        call = Call(name, {"path": request.path}, time.monotonic())
        self._server.calls.append(call)
        fault = self._fault(name, {}) if self._server.faults else None
        if fault:
            await asyncio.sleep(fault.delay)
            if fault.drop == "before":
                return cut(request)
            if no := ordered(fault):
                call.status, call.error = no.status, no.error
                return refused(no, {})
        reply = await act(request)
        if fault and fault.drop == "after":
            return cut(request)
        call.status = reply.status
        return reply

    async def _api(self, request: web.BaseRequest, name: str) -> web.StreamResponse:
        method = METHODS.get(name)
        call = Call(name, {}, time.monotonic())
        self._server.calls.append(call)
        headers = {"x-oauth-scopes": ",".join(sorted(self._server.scopes)), "x-slack-req-id": self._server.new_uuid()}
        try:
            if method is None:
                raise Refused("unknown_method", req_method=name)
            headers |= {"x-accepted-oauth-scopes": ",".join(method.scopes)} if method.scopes else {}
            given, problems = await read_body(request, only_form=method.only_form)
            self._server.problems += [f"{name}: {problem}" for problem in problems]
            if given.pop("token", None):
                self._server.problems.append(f"{name}: the token stands among the arguments, not in the header")
            call.params = params = method.read(given)
            return await self._answer(request, call, method, params, headers)
        except Refused as refusal:
            no = refusal
        except (AttributeError, KeyError, TypeError, ValueError) as error:  # JSON of a shape that nobody reads
            no = Refused("invalid_arguments")
            self._server.problems.append(f"{name}: {error!r} with {call.params}")
        call.status, call.error = no.status, no.error
        return refused(no, headers)

    async def _answer(
        self, request: web.BaseRequest, call: Call, method: Method, params: dict, headers: dict[str, str]
    ) -> web.StreamResponse:
        fault = self._fault(method.name, params) if self._server.faults else None
        if fault:
            await asyncio.sleep(fault.delay)
            if fault.drop == "before":
                return cut(request)
            if fault.proxy:
                call.status = fault.status or 502
                page = "<html><head><title>502 Bad Gateway</title></head><body><center>nginx</center></body></html>"
                return web.Response(status=call.status, text=page, content_type="text/html")
            if no := ordered(fault):
                raise no
        is_app = self._authorize(request, method)
        channel = params.get("channel", params.get("channel_id"))
        if self._server.tiers and (wait := self._server.tiers.wait(method.name, method.tier, channel)):
            raise Refused("ratelimited", 429, wait=wait)
        self._server.problems += method.problems(params)
        method.check(params)
        result = method.act(self._server, params | ({"app_token": True} if is_app and method.token == "any" else {}))
        if fault:
            await asyncio.sleep(fault.lag)
            if fault.drop == "after":
                return cut(request)
        call.status = 200
        reply = answer({"ok": True} | result, headers)
        if fault and fault.garbled:
            reply.body = reply.body[: len(reply.body) // 2]
        return reply

    def _authorize(self, request: web.BaseRequest, method: Method) -> bool:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind != "Bearer" or not token:
            raise Refused("not_authed")
        if token not in (self._server.bot_token, self._server.app_token):
            raise Refused("invalid_auth")
        is_app = token == self._server.app_token
        if method.token != "any" and is_app != (method.token == "app"):
            raise Refused("not_allowed_token_type")
        if is_app:
            return True
        if not self._server.installed:
            raise Refused("account_inactive")
        if method.scopes and not self._server.scopes & set(method.scopes):
            raise Refused("missing_scope", needed=method.scopes[0], provided=",".join(sorted(self._server.scopes)))
        return False

    def _fault(self, method: str, params: dict) -> Fault | None:
        channel = params.get("channel", params.get("channel_id"))
        for fault in self._server.faults:
            if fault.method in ("*", method) and fault.channel in (None, channel):
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                if fault.times <= 0:
                    self._server.faults.remove(fault)
                return fault
        return None
