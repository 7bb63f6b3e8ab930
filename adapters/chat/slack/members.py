"""Who somebody is: a full member of the workspace, a guest, or a stranger of another one; what they are called.

Looked up once an hour. While Slack cannot be asked, what was known is believed a day longer, then what the message itself
tells; a stranger is never taken for a member.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Iterable

import msgspec
from slack_sdk.errors import SlackClientError

from adapters.chat.slack.client import Busy, Client, Refused
from adapters.chat.slack.events import Payload, Post
from adapters.recent import keep

log = logging.getLogger(__name__)

MENTIONED = 12
"""People whose names are looked up for one message; whoever else it mentions is shown by id."""
PAUSE = 10.0
"""Seconds after which Slack is asked again that did not answer in time: messages wait to be acknowledged meanwhile."""
_CAP = 10_000
_DAY = 86_400.0


class Profile(msgspec.Struct):
    """What a person set themselves."""

    display_name: str | None = None
    real_name: str | None = None
    team: str | None = None


class Enterprise(msgspec.Struct):
    """Where a person of a large organisation belongs."""

    teams: list[str] = []


class User(msgspec.Struct):
    """Somebody, as users.info tells."""

    id: str = ""
    team_id: str | None = None
    name: str | None = None
    real_name: str | None = None
    profile: Profile | None = None
    enterprise_user: Enterprise | None = None
    tz: str | None = None
    locale: str | None = None
    deleted: bool = False
    is_bot: bool = False
    is_admin: bool = False
    is_owner: bool = False
    is_restricted: bool = False
    is_ultra_restricted: bool = False
    is_stranger: bool = False


class Found(msgspec.Struct):
    """The answer of users.info."""

    user: User


class Member(msgspec.Struct, frozen=True):
    """What we need to know of somebody."""

    name: str = ""
    zone: str = ""
    language: str = ""
    team: str = ""
    admin: bool = False
    vouched: bool = False


_FOUND = msgspec.json.Decoder(Found)


class Members:
    """Everybody whom one bot met."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: OrderedDict[str, tuple[float, Member]] = OrderedDict()
        self._left_alone = 0.0
        self.lack = ""
        """What keeps us from knowing people, in one line."""

    async def meet(self, who: str, team: str, payload: Payload) -> Member:
        """Who has sent this. `team` is our workspace. Never fails."""
        since, known = self._known.get(who, (0.0, Member()))
        now = time.monotonic()
        if since and now - since < self._client.times.known:
            return known
        if now >= self._left_alone:
            try:
                async with asyncio.timeout(self._client.times.member):
                    return self._keep(who, _member(await self._ask(who), team, _home(payload) or team))
            except TimeoutError:
                log.debug("users.info: no answer in time")
                self._left_alone = time.monotonic() + PAUSE
            except SlackClientError as error:
                self._failed(error)
        return known if since and now - since < _DAY else told(payload, team)

    async def names(self, people: Iterable[str], team: str) -> dict[str, str]:
        """What people are called, as far as it can be learnt in time. Never fails."""
        wanted = [who for who in people if who not in self._known]
        if time.monotonic() >= self._left_alone:
            await asyncio.gather(*(self.meet(who, team, Payload()) for who in wanted[:MENTIONED]))
        return {who: known[1].name for who in people if (known := self._known.get(who)) and known[1].name}

    async def _ask(self, who: str) -> User:
        while True:
            try:
                return (await self._client.read("users.info", {"user": who, "include_locale": "true"}, _FOUND)).user
            except Busy as error:
                if error.wait > self._client.times.member:
                    raise
                await asyncio.sleep(error.wait)

    def _failed(self, error: SlackClientError) -> None:
        log.debug("users.info: %s", error)
        if isinstance(error, Busy):
            self._left_alone = time.monotonic() + min(error.wait, 60.0)
        elif isinstance(error, Refused) and error.word in {"missing_scope", "unknown_method"}:
            self._left_alone = time.monotonic() + self._client.times.latch
            self.lack = "The app lacks the scope users:read: install it again from deploy/slack-manifest.yaml."

    def _keep(self, who: str, member: Member) -> Member:
        self.lack = ""
        return keep(self._known, who, (time.monotonic(), member), _CAP)[1]


def told(payload: Payload, team: str) -> Member:
    """What a payload itself tells of whoever sent it, enough to let a full member talk."""
    post = _post(payload)
    profile = post.user_profile if post else None
    home = _home(payload)
    guest = profile is not None and (profile.is_restricted or profile.is_ultra_restricted)
    name = ((profile.display_name or profile.real_name) if profile else None) or payload.user_name or ""
    vouched = bool(team) and home == team and not guest and not payload.is_ext_shared_channel
    return Member(name=name, team=home, vouched=vouched)


def _member(user: User, team: str, home: str) -> Member:
    profile = user.profile or Profile()
    home = user.team_id or profile.team or home
    belongs = team in {home, *(user.enterprise_user.teams if user.enterprise_user else ())}
    kept_out = user.is_restricted or user.is_ultra_restricted or user.is_stranger or user.deleted or user.is_bot
    return Member(
        name=profile.display_name or user.real_name or profile.real_name or user.name or "",
        zone=user.tz or "",
        language=user.locale or "",
        team=home,
        admin=belongs and (user.is_admin or user.is_owner),
        vouched=belongs and not kept_out,
    )


def _post(payload: Payload) -> Post | None:
    event = payload.event
    if event is not None and event.subtype == "message_changed":
        return event.message
    return event


def _home(payload: Payload) -> str:
    """The workspace of whoever sent it, as far as the payload tells."""
    post = _post(payload)
    if post is None:
        return (payload.user.team_id if payload.user else payload.team_id) or ""
    profile = post.user_profile
    told = post.user_team or post.source_team or (profile.team if profile else "") or post.team
    # a message of somebody from elsewhere names their workspace, and the event says that the channel is shared
    return told or payload.team_id or ""
