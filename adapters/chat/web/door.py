"""Who comes in: signed cookies, links that work once, the password, and how often it may be tried.

A visitor is a random user id inside a signed cookie; nothing is stored here, so any process of the installation knows
its visitors. The operator has one fixed id and gets in by the printed link or by the password.
"""

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

from aiohttp import web

from adapters.chat.web.inbound import Unreadable

OPERATOR = "operator"
COOKIE_AGE = 180 * 24 * 3600
"""Seconds for which a browser stays signed in; each visit after a day begins them anew."""
LINK_AGE = 3600.0
FREE_TRIES = 5
"""Wrong passwords from one address before each next try has to wait, up to a minute."""

Sign = Callable[[str], str]
"""A keyed MAC of a text, as hex."""


class Door:
    """Signs visitors in and out and tells who sends a request."""

    def __init__(self, sign: Sign, password: str, public: bool) -> None:
        self._sign = sign
        self._password = password
        self._public = public
        self._links: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._tries: OrderedDict[str, tuple[int, float]] = OrderedDict()

    @property
    def asks_password(self) -> bool:
        """Whether the page shows the form for it."""
        return bool(self._password)

    def user(self, request: web.Request) -> str:
        """The user id of a valid cookie, "" without one."""
        user, _ = self._read(request)
        return user

    def need_user(self, request: web.Request) -> str:
        """As `user`, but raises Unreadable with status 401 without one."""
        user = self.user(request)
        if not user:
            raise Unreadable("You are not signed in. Reload the page.", 401)
        return user

    def is_open(self, request: web.Request) -> bool:
        """Whether a visitor without any proof may get an account of their own: only on this machine, and directly."""
        forwarded = any(name in request.headers for name in ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"))
        return not (self._password or self._public or forwarded)

    def invite(self, user: str = OPERATOR) -> str:
        """The path of a link that signs in as `user`, once, within an hour."""
        token = secrets.token_urlsafe(24)
        self._links[_digest(token)] = (user, time.monotonic() + LINK_AGE)
        while len(self._links) > 64:
            self._links.popitem(last=False)
        return f"/enter?token={token}"

    def redeem(self, token: str) -> str:
        """The user of a link, "" if it was used, is too old, or never was."""
        user, until = self._links.pop(_digest(token), ("", 0.0))
        return user if time.monotonic() < until else ""

    def check_password(self, request: web.Request, given: str) -> None:
        """Raise Unreadable unless `given` is the password; 429 when this address has tried too often."""
        peer = request.remote or ""
        failures, since = self._tries.get(peer, (0, 0.0))
        wait = min(60.0, 2.0 ** (failures - FREE_TRIES)) if failures >= FREE_TRIES else 0.0
        left = since + wait - time.monotonic()
        if left > 0:
            raise Unreadable(f"Too many wrong passwords. Try again in {left + 0.5:.0f} seconds.", 429)
        if self._password and hmac.compare_digest(_digest(given), _digest(self._password)):
            self._tries.pop(peer, None)
            return
        self._tries[peer] = (failures + 1, time.monotonic())
        self._tries.move_to_end(peer)
        while len(self._tries) > 10_000:
            self._tries.popitem(last=False)
        raise Unreadable("This is not the password.", 403)

    def remember(self, request: web.Request, response: web.StreamResponse, user: str) -> None:
        """Give the browser the cookie of `user`."""
        issued = int(time.time())
        secure = request.secure or request.headers.get("X-Forwarded-Proto", "") == "https"
        response.set_cookie(
            _cookie_name(request),
            f"{user}.{issued}.{self._mac(user, issued)}",
            max_age=COOKIE_AGE,
            path="/",
            secure=secure,
            httponly=True,
            samesite="Strict",
        )

    def refresh(self, request: web.Request, response: web.StreamResponse) -> None:
        """Begin the cookie's time anew if it is older than a day."""
        user, issued = self._read(request)
        if user and time.time() - issued > 24 * 3600:
            self.remember(request, response, user)

    def forget(self, request: web.Request, response: web.StreamResponse) -> None:
        """Take the cookie back."""
        response.del_cookie(_cookie_name(request), path="/", httponly=True, samesite="Strict")

    def _read(self, request: web.Request) -> tuple[str, int]:
        parts = request.cookies.get(_cookie_name(request), "").split(".")
        if len(parts) != 3 or not (parts[1].isascii() and parts[1].isdigit() and len(parts[1]) <= 12):
            return "", 0
        user, issued, mac = parts[0], int(parts[1]), parts[2]
        genuine = hmac.compare_digest(mac.encode(), self._mac(user, issued).encode())
        if not genuine or time.time() - issued > COOKIE_AGE:
            return "", 0
        return user, issued

    def _mac(self, user: str, issued: int) -> str:
        # a new password signs everybody out who came in by the old one
        return self._sign(f"page cookie\n{user}\n{issued}\n{_digest(self._password)}")


def new_visitor() -> str:
    """The user id of somebody who was never here."""
    return secrets.token_urlsafe(16)


def _cookie_name(request: web.Request) -> str:
    # browsers do not keep the ports of one host apart: two installations on one machine must not sign each other out
    port = request.host.rpartition(":")[2]
    return f"pieria-{port}" if port.isascii() and port.isdigit() else "pieria"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
