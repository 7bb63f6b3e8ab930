"""How a bot answers interactions: the first answer within three seconds, then @original and follow-ups for a while."""

import time
from typing import TYPE_CHECKING

from tests.servers.discord_api import forms, sending
from tests.servers.discord_api.interactions import COMMAND, COMPONENT, Interaction
from tests.servers.discord_api.messages import EPHEMERAL, LOADING, Message
from tests.servers.discord_api.routes import Routes
from tests.servers.discord_api.wire import Ask, Refused, invalid, stamp

if TYPE_CHECKING:
    from tests.servers.discord import DiscordServer

ROUTES = Routes()
WEBHOOK = "/webhooks/{app}/{token}"
MESSAGE, DEFERRED, DEFERRED_UPDATE, UPDATE, MODAL = 4, 5, 6, 7, 9


@ROUTES.route("POST /interactions/{id}/{token}/callback", limit="interactions", anonymous=True)
def _call_back(server: "DiscordServer", ask: Ask) -> dict | None:
    begun = server.interactions.get(ask.ids[0])
    if begun is None or begun.token != ask.ids[1]:
        raise Refused(10062)
    if begun.answered is not None:
        raise Refused(40060)
    if time.monotonic() - begun.at > server.answer_seconds:
        server.problems.append(f"interaction {begun.name!r} was answered too late")
        raise Refused(10062)
    kind, data = ask.body["type"], ask.body.get("data") or {}
    _answer(server, begun, kind, data, ask)
    begun.answered, begun.answered_at = kind, time.monotonic()
    return _told(begun, kind) if ask.query.get("with_response") in ("1", "true", "True") else None


@ROUTES.route(f"GET {WEBHOOK}/messages/{{message}}", limit="webhooks", anonymous=True)
@ROUTES.route(f"GET {WEBHOOK}/messages/@original", limit="webhooks", anonymous=True)
def _get(server: "DiscordServer", ask: Ask) -> dict:
    return _find(server, ask)[1].json


@ROUTES.route(f"PATCH {WEBHOOK}/messages/{{message}}", limit="webhooks", anonymous=True)
@ROUTES.route(f"PATCH {WEBHOOK}/messages/@original", limit="webhooks", anonymous=True)
def _edit(server: "DiscordServer", ask: Ask) -> dict:
    begun, message = _find(server, ask)
    loading = message.loading
    sending.edit(message, ask)
    if loading:
        begun.shown.append(message)
        message.at = time.monotonic()
    return message.json


@ROUTES.route(f"DELETE {WEBHOOK}/messages/{{message}}", limit="webhooks", anonymous=True)
@ROUTES.route(f"DELETE {WEBHOOK}/messages/@original", limit="webhooks", anonymous=True)
def _delete(server: "DiscordServer", ask: Ask) -> None:
    _, message = _find(server, ask)
    message.channel.remove(message)


@ROUTES.route(f"POST {WEBHOOK}", limit="webhooks", anonymous=True)
def _follow_up(server: "DiscordServer", ask: Ask) -> dict:
    begun = _alive(server, ask)
    body = ask.body or {}
    forms.check(body, ask.files, "answer")
    sending.note_unknown(server, ask, forms.FOLLOW_UP)
    first = begun.original
    if first and first.loading and first is not begun.message:
        # The first follow-up takes the place of the deferred answer, and its visibility.
        message, flags = first, first.flags & ~LOADING
        message.flags = flags
        sending.fill(message, body | {"flags": (body.get("flags") or 0) & ~EPHEMERAL}, ask.files)
        message.at = time.monotonic()
        begun.shown.append(message)
        message.channel.tell_edited(message)
        return message.json
    return _say(begun, body, ask, follow_up=True).json


def _answer(server: "DiscordServer", begun: Interaction, kind: int, data: dict, ask: Ask) -> None:
    """The first answer, by its type."""
    if kind == MESSAGE:
        forms.check(data, ask.files, "answer")
        begun.original = _say(begun, data, ask)
    elif kind == DEFERRED:
        begun.original = _say(begun, {"flags": (data.get("flags") or 0) & EPHEMERAL}, ask, loading=True)
    elif kind in (DEFERRED_UPDATE, UPDATE):
        if begun.kind == COMMAND or begun.message is None:
            raise invalid("type", "INTERACTION_RESPONSE_TYPE_INVALID", "only for components")
        begun.original = begun.message
        if kind == UPDATE:
            ask = Ask(ask.ids, ask.query, data, ask.files, ask.call)
            sending.edit(begun.message, ask)
    elif kind == MODAL:
        if begun.kind not in (COMMAND, COMPONENT):
            raise invalid("type", "INTERACTION_RESPONSE_TYPE_INVALID", "a dialogue opens no dialogue")
        for name, most in (("title", 45), ("custom_id", 100)):
            if not 1 <= len(data.get(name) or "") <= most:
                raise invalid(f"data/{name}", "BASE_TYPE_BAD_LENGTH", f"Must be between 1 and {most} in length.")
        if not 1 <= len(data.get("components") or []) <= 5:
            raise invalid("data/components", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 5 in length.")
        begun.modal = data
    else:
        raise invalid("type", "BASE_TYPE_CHOICES", f"type {kind} is no answer to a {begun.kind}")


def _say(begun: Interaction, body: dict, ask: Ask, *, loading: bool = False, follow_up: bool = False) -> Message:
    """A message that came of an interaction; only one person sees an ephemeral one."""
    channel, server = begun.channel, begun.channel.server
    message = Message(server.ids.next(), channel, server.bot, time.monotonic(), stamp())
    message.type = 20 if begun.kind == COMMAND and not follow_up else 19 if begun.message or follow_up else 0
    origin = begun.message or (begun.original if follow_up else None)
    if origin:
        message.reply_to = origin
        message.reference = {"type": 0, "message_id": str(origin.id), "channel_id": str(channel.id)}
    about = {"id": str(begun.id), "type": begun.kind, "user": begun.by.json, "authorizing_integration_owners": {}}
    app = str(server.bot.id)
    message.more = {"webhook_id": app, "application_id": app, "interaction_metadata": about}
    if loading:
        message.flags = LOADING | (body.get("flags") or 0)
    else:
        sending.fill(message, body, ask.files)
        begun.shown.append(message)
    message.only_for = begun.by if message.ephemeral else None
    channel.keep(message)
    return message


def _told(begun: Interaction, kind: int) -> dict:
    about = {"id": str(begun.id), "type": begun.kind}
    if begun.original:
        about |= {"response_message_id": str(begun.original.id), "response_message_loading": begun.original.loading}
        about["response_message_ephemeral"] = begun.original.ephemeral
    resource: dict = {"type": kind}
    if kind in (MESSAGE, DEFERRED, UPDATE):
        resource["message"] = begun.original.json
    return {"interaction": about, "resource": resource}


def _alive(server: "DiscordServer", ask: Ask) -> Interaction:
    """The interaction of a token that still lives and was answered."""
    app, token = ask.ids[:2]
    begun = next((i for i in server.interactions.values() if i.token == token), None)
    if begun is None or app != str(server.bot.id) or begun.answered is None:
        raise Refused(10015)
    if time.monotonic() - begun.at > server.token_seconds:
        server.problems.append(f"the token of interaction {begun.name!r} was used after its life")
        raise Refused(50027)
    return begun


def _find(server: "DiscordServer", ask: Ask) -> tuple[Interaction, Message]:
    begun = _alive(server, ask)
    mine = {str(m.id): m for m in [*begun.shown, begun.original] if m}
    message = mine.get(ask.ids[2]) if len(ask.ids) > 2 else begun.original
    if message is None or message.deleted:
        raise Refused(10008)
    return begun, message
