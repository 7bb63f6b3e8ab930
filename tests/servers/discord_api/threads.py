"""Threads that a bot opens and changes: on a message, in a channel, as a post of a forum."""

from typing import TYPE_CHECKING, Any

from tests.servers.discord_api import forms, sending
from tests.servers.discord_api.channels import FORUM, GUILD_TEXT, PRIVATE_THREAD, Channel
from tests.servers.discord_api.routes import Routes
from tests.servers.discord_api.wire import Ask, Refused, invalid

if TYPE_CHECKING:
    from tests.servers.discord import DiscordServer

ROUTES = Routes()


@ROUTES.route("POST /channels/{id}/messages/{message}/threads", status=201)
def _on_message(server: "DiscordServer", ask: Ask) -> dict:
    channel, message = sending.find(server, ask)
    if channel.kind != GUILD_TEXT:
        raise Refused(50024)
    if not channel.may("create_public_threads"):
        raise Refused(50013)
    if message.thread or message.id in server.channels:
        raise Refused(160004)
    new = channel.thread(_name(ask.body), by=server.bot, message=message)
    new.archive_minutes = ask.body.get("auto_archive_duration") or new.archive_minutes
    return new.json


@ROUTES.route("POST /channels/{id}/threads", status=201)
def _in_channel(server: "DiscordServer", ask: Ask) -> dict:
    channel = sending.readable(server, ask.ids[0])
    if channel.kind not in (GUILD_TEXT, FORUM):
        raise Refused(50024)
    if channel.kind == FORUM:
        return _post(channel, ask)
    private = ask.body.get("type", PRIVATE_THREAD) == PRIVATE_THREAD
    if not channel.may("create_private_threads" if private else "create_public_threads"):
        raise Refused(50013)
    new = channel.thread(_name(ask.body), by=server.bot, private=private)
    new.archive_minutes = ask.body.get("auto_archive_duration") or new.archive_minutes
    if not private:
        place = {"channel_id": str(new.id), "guild_id": str(channel.guild.id)}
        channel.post(server.bot, content=new.name, type=18, reference={"type": 0} | place)
    return new.json


@ROUTES.route("PATCH /channels/{id}")
def _change(server: "DiscordServer", ask: Ask) -> dict:
    channel = sending.readable(server, ask.ids[0])
    if not channel.is_thread:
        raise Refused(50013) if channel.guild else Refused(50024)
    mine = channel.owner is server.bot
    if not mine and not channel.may("manage_threads"):
        raise Refused(50013)
    known = {"name": "name", "archived": "archived", "locked": "locked", "auto_archive_duration": "archive_minutes"}
    changes: dict[str, Any] = {known[k]: v for k, v in ask.body.items() if k in known}
    if "name" in changes:
        changes["name"] = _name(ask.body)
    channel.update(**changes)
    return channel.json


@ROUTES.route("PUT /channels/{id}/thread-members/@me")
def _join(server: "DiscordServer", ask: Ask) -> None:
    channel = sending.readable(server, ask.ids[0])
    if not channel.is_thread:
        raise Refused(50024)
    if channel.archived:
        raise Refused(50083)


def _post(forum: Channel, ask: Ask) -> dict:
    """A post of a forum: a thread with its first message, which has the same id."""
    if not forum.may("send_messages"):
        raise Refused(50013)
    name = _name(ask.body)
    if not isinstance(ask.body.get("message"), dict):
        raise invalid("message", "BASE_TYPE_REQUIRED", "This field is required")
    first = Ask(ask.ids, ask.query, ask.body["message"], ask.files, ask.call)
    forms.check(first.body, first.files, "create")
    new = forum.thread(name, by=forum.server.bot)
    message = sending.send(new, first, number=new.id)
    return new.json | {"message": message.json}


def _name(body: dict) -> str:
    name = body.get("name") or ""
    if not 1 <= len(name) <= 100:
        raise invalid("name", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 100 in length.")
    return name
