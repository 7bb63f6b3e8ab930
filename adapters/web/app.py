"""The one web application: who may call it, what every answer carries, how errors read, where it listens.

A page on 127.0.0.1 is within reach of every web site that its owner opens (DNS rebinding, cross-site requests), so Host
and Origin are checked on every request before anything else. Routes come from outside, as groups.
"""

import contextlib
import errno
import ipaddress
import logging
import os
import socket
from collections.abc import AsyncIterator, Iterable
from urllib.parse import urlsplit

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from core.errors import LaneError, PieriaError, SettingsError, StoreError

LOOPBACK = ("localhost", "127.0.0.1", "::1")
BODY_CAP = 2 * 1024 * 1024
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types pieria"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # not no-referrer: with that, browsers send `Origin: null` with our own forms
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}

Routes = Iterable[web.AbstractRouteDef]

_log = logging.getLogger(__name__)


def app(route_groups: Iterable[Routes], hosts: Iterable[str] = ()) -> web.Application:
    """The application with these routes. `hosts` are names beside loopback under which it may be called: `chat.example`
    or `chat.example:8443`, as they stand in the public URL.
    """
    application = web.Application(
        middlewares=[_answer_errors, _refuse_strangers(frozenset(host.lower() for host in hosts if host))],
        client_max_size=BODY_CAP,
    )
    application.on_response_prepare.append(_dress)
    for group in route_groups:
        application.add_routes(group)
    return application


@contextlib.asynccontextmanager
async def serve(
    application: web.Application,
    host: str,
    port: int,
    uds: str | None = None,
    *,
    password: str = "",
    public_url: str = "",
) -> AsyncIterator[str]:
    """Listen on host:port (0 takes a free one), or on a Unix socket, for as long as the block lasts; gives the URL.

    Raises SettingsError where the page could be reached from outside and nothing guards it, and where the address cannot
    be had.
    """
    check_exposure(host if uds is None else "localhost", public_url, password)
    # a handler whose caller went away runs on: what was sent is still accepted
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=3.0, handler_cancellation=False)
    await runner.setup()
    try:
        site: web.BaseSite = web.TCPSite(runner, host, port) if uds is None else web.UnixSite(runner, uds)
        try:
            await site.start()
        except OSError as error:
            raise SettingsError(_why_not(error, host, port) if uds is None else f"{uds}: {error.strerror}.") from error
        yield _url(runner, host) if uds is None else f"unix:{uds}"
    finally:
        await runner.cleanup()


def check_exposure(host: str, public_url: str, password: str) -> None:
    """Raise SettingsError if others than this machine's people could reach the page and no password guards it."""
    if password:
        return
    remedy = "Set PIERIA_PASSWORD to a password of your own, or leave PIERIA_HOST at 127.0.0.1."
    if public_url and not is_loopback(urlsplit(public_url).hostname or ""):
        raise SettingsError(
            f"PIERIA_PUBLIC_URL={public_url} shows the page to others, but it has no password. {remedy}"
        )
    if not is_loopback(host):
        raise SettingsError(f"PIERIA_HOST={host} shows the page to others, but it has no password. {remedy}")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches this address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _why_not(error: OSError, host: str, port: int) -> str:
    where = f"PIERIA_HOST={host}, PIERIA_PORT={port}"
    if error.errno == errno.EADDRINUSE:
        return f"The page cannot listen at {where}: another program does. Choose a free port, such as {port + 1}."
    # asyncio puts a text of its own around the system's; a name that nobody knows has a number of another kind
    reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
    return f"The page cannot listen at {where}: {reason}. PIERIA_HOST must be an address of this machine."


def _url(runner: web.AppRunner, host: str) -> str:
    port = runner.addresses[0][1]
    named = "127.0.0.1" if host in {"0.0.0.0", "::", ""} else host  # noqa: S104 - compared, not bound
    return f"http://[{named}]:{port}" if ":" in named else f"http://{named}:{port}"


def _refuse_strangers(hosts: frozenset[str]) -> Middleware:
    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not _host_is_ours(request, hosts):
            raise web.HTTPMisdirectedRequest(
                text="This address is not known here. Open the page under its own address, or set PIERIA_PUBLIC_URL."
            )
        if not _origin_is_ours(request, hosts):
            raise web.HTTPForbidden(text="This request came from another web site and was not carried out.")
        return await handler(request)

    return check


def _host_is_ours(request: web.Request, hosts: frozenset[str]) -> bool:
    names = request.headers.getall("Host", [])
    if len(names) != 1:
        return False
    named = names[0].lower()
    try:
        name = urlsplit(f"//{named}").hostname or ""
    except ValueError:
        return False
    if name in LOOPBACK or named in hosts or name in hosts:
        return True
    # an IP address is what a rebinding name can never be: the one that was called is fine
    reached = request.transport.get_extra_info("sockname") if request.transport else None
    return isinstance(reached, tuple) and name == reached[0]


def _origin_is_ours(request: web.Request, hosts: frozenset[str]) -> bool:
    safe = request.method in {"GET", "HEAD"}
    origin = request.headers.get("Origin")
    if origin is not None:
        scheme, _, named = origin.lower().partition("://")
        return scheme in {"http", "https"} and (named == request.headers["Host"].lower() or named in hosts)
    site = request.headers.get("Sec-Fetch-Site")
    if site in {"cross-site", "same-site"}:  # other ports of localhost are the same site
        return safe and request.headers.get("Sec-Fetch-Mode") == "navigate"
    # a browser that sends cookies names an origin when it changes something; programs with a key send neither
    return safe or site == "same-origin" or "Cookie" not in request.headers


@web.middleware
async def _answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        kept = {name: error.headers[name] for name in ("Allow", "Retry-After") if name in error.headers}
        own = error.text or ""
        bare = not own or own.startswith((f"{error.status}:", "Maximum request body"))
        plain = _SENTENCES.get(error.status, error.reason) if bare else own
        return _json_error(error.status, plain, kept)
    except LaneError as error:
        return _json_error(429, error.sentence)
    except StoreError as error:
        return _json_error(503, error.sentence)
    except PieriaError as error:
        return _json_error(getattr(error, "status", 500), error.sentence)
    except ConnectionError:
        raise  # the caller is gone: nobody reads an answer
    except Exception:  # noqa: BLE001 - the server lives on, and shows nothing of its insides
        _log.exception("a request to %s failed", request.match_info.route.resource)
        return _json_error(500, "Something went wrong here. Please try again.")


_SENTENCES = {
    404: "There is nothing at this address.",
    405: "This address does not take such a request.",
    413: f"This is too large: at most {BODY_CAP // 1024 // 1024} MB can be sent.",
}


def _json_error(status: int, sentence: str, headers: dict[str, str] | None = None) -> web.Response:
    body = msgspec.json.encode({"error": sentence})
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


async def _dress(_request: web.Request, response: web.StreamResponse) -> None:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = "pieria"
