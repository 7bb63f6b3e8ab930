"""What a bot looks up and sets up: itself, the gateway, its commands, channels, messages, guilds and members."""

from typing import TYPE_CHECKING

from tests.servers.discord_api import sending
from tests.servers.discord_api.channels import Channel
from tests.servers.discord_api.guilds import Guild
from tests.servers.discord_api.messages import Message
from tests.servers.discord_api.routes import Routes
from tests.servers.discord_api.wire import Ask, Refused, invalid

if TYPE_CHECKING:
    from tests.servers.discord import DiscordServer

ROUTES = Routes()


@ROUTES.route("GET /users/@me")
def _me(server: "DiscordServer", ask: Ask) -> dict:
    return server.bot.json | {"verified": True, "mfa_enabled": True, "locale": "en-US", "email": None, "bio": ""}


@ROUTES.route("GET /users/{user}")
def _user(server: "DiscordServer", ask: Ask) -> dict:
    if not ask.ids[0].isdigit() or int(ask.ids[0]) not in server.everybody:
        raise Refused(10013)
    return server.everybody[int(ask.ids[0])].json


@ROUTES.route("GET /oauth2/applications/@me")
def _application(server: "DiscordServer", ask: Ask) -> dict:
    owner = {"id": "2", "username": "owner", "discriminator": "0", "avatar": None, "global_name": None}
    app = {"id": str(server.bot.id), "name": server.bot.name, "icon": None, "description": "", "rpc_origins": []}
    app |= {"bot_public": True, "bot_require_code_grant": False, "verify_key": "00" * 32, "owner": owner, "team": None}
    return app | {"flags": server.application_flags, "summary": "", "bot": server.bot.json}


ROUTES.route("GET /applications/@me")(_application)


@ROUTES.route("GET /gateway")
def _gateway(server: "DiscordServer", ask: Ask) -> dict:
    return {"url": server.gateway_url}


@ROUTES.route("GET /gateway/bot")
def _gateway_bot(server: "DiscordServer", ask: Ask) -> dict:
    most, used = server.limits.identifies, len(server.gateway.identifies)
    start = {"total": most, "remaining": max(most - used, 0), "reset_after": 86_400_000}
    start["max_concurrency"] = server.max_concurrency
    return {"url": server.gateway_url, "shards": server.shards, "session_start_limit": start}


@ROUTES.route("PUT /applications/{app}/commands")
def _set_commands(server: "DiscordServer", ask: Ask) -> list[dict]:
    return _register(server, ask, None)


@ROUTES.route("GET /applications/{app}/commands")
def _get_commands(server: "DiscordServer", ask: Ask) -> list[dict]:
    _own(server, ask)
    return server.commands.get(None, [])


@ROUTES.route("PUT /applications/{app}/guilds/{guild}/commands")
def _set_guild_commands(server: "DiscordServer", ask: Ask) -> list[dict]:
    return _register(server, ask, guild_of(server, ask.ids[1]).id)


@ROUTES.route("GET /applications/{app}/guilds/{guild}/commands")
def _get_guild_commands(server: "DiscordServer", ask: Ask) -> list[dict]:
    _own(server, ask)
    return server.commands.get(guild_of(server, ask.ids[1]).id, [])


@ROUTES.route("GET /channels/{id}")
def _channel(server: "DiscordServer", ask: Ask) -> dict:
    return sending.readable(server, ask.ids[0]).json


@ROUTES.route("GET /channels/{id}/messages")
def _messages(server: "DiscordServer", ask: Ask) -> list[dict]:
    channel = sending.readable(server, ask.ids[0])
    limit = int(ask.query.get("limit", 50))
    if not 1 <= limit <= 100:
        raise invalid("limit", "NUMBER_TYPE_MAX", "int value should be between 1 and 100.")
    where = [name for name in ("around", "before", "after") if name in ask.query]
    if len(where) > 1:
        raise invalid("", "MESSAGES_AROUND_EXCLUSIVE", "around, before and after are mutually exclusive")
    if not channel.may("read_message_history"):
        return []
    found = [m for m in channel.messages if not m.deleted and not m.only_for]
    if where:
        found = _cut(found, where[0], int(ask.query[where[0]]), limit)
    return [_seen(server, channel, m) for m in reversed(found[-limit:])]


@ROUTES.route("GET /channels/{id}/messages/{message}")
def _message(server: "DiscordServer", ask: Ask) -> dict:
    channel, message = sending.find(server, ask)
    if not channel.may("read_message_history"):
        raise Refused(50013)
    return _seen(server, channel, message)


@ROUTES.route("GET /guilds/{guild}")
def _guild(server: "DiscordServer", ask: Ask) -> dict:
    return guild_of(server, ask.ids[0]).json


@ROUTES.route("GET /guilds/{guild}/members/{user}")
def _member(server: "DiscordServer", ask: Ask) -> dict:
    guild = guild_of(server, ask.ids[0])
    member = guild.members.get(int(ask.ids[1])) if ask.ids[1].isdigit() else None
    if member is None:
        raise Refused(10007)
    return member.json


@ROUTES.route("GET /guilds/{guild}/roles")
def _roles(server: "DiscordServer", ask: Ask) -> list[dict]:
    return [role.json for role in guild_of(server, ask.ids[0]).roles.values()]


@ROUTES.route("GET /guilds/{guild}/channels")
def _channels(server: "DiscordServer", ask: Ask) -> list[dict]:
    return [channel.json for channel in guild_of(server, ask.ids[0]).channels]


@ROUTES.route("GET /guilds/{guild}/threads/active")
def _threads(server: "DiscordServer", ask: Ask) -> dict:
    seen = [t for t in guild_of(server, ask.ids[0]).threads if not t.archived and t.may("view_channel")]
    return {"threads": [t.json for t in seen], "members": []}


@ROUTES.route("POST /users/@me/channels")
def _open_direct(server: "DiscordServer", ask: Ask) -> dict:
    person = server.people.get(int(ask.body["recipient_id"]))
    if person is None or person.is_bot:
        raise Refused(50007)
    return server.private(person).json


def guild_of(server: "DiscordServer", number: str) -> Guild:
    """A guild that the bot is in; the platform's refusal otherwise."""
    guild = server.guilds.get(int(number)) if number.isdigit() else None
    if guild is None:
        raise Refused(10004)
    if not guild.bot_in:
        raise Refused(50001)
    return guild


def _seen(server: "DiscordServer", channel: Channel, message: Message) -> dict:
    return message.shown_to(server.bot, content=server.message_content)


def _cut(found: list[Message], where: str, number: int, limit: int) -> list[Message]:
    """The part of a history that `after`, `before` or `around` names; oldest first."""
    older, newer = [m for m in found if m.id < number], [m for m in found if m.id > number]
    if where == "before":
        return older
    if where == "after":
        return newer[:limit]
    half = limit // 2
    return older[-half:] + [m for m in found if m.id == number] + newer[:half]


def _own(server: "DiscordServer", ask: Ask) -> None:
    if ask.ids[0] != str(server.bot.id):
        raise Refused(20012, status=403, message="You are not authorized to perform this action on this application")


def _register(server: "DiscordServer", ask: Ask, guild: int | None) -> list[dict]:
    _own(server, ask)
    kinds = [(c.get("type", 1), c["name"]) for c in ask.body]
    if len(kinds) != len(set(kinds)):
        raise invalid("", "APPLICATION_COMMANDS_DUPLICATE_NAME", "Application command names must be unique")
    for kind, most in ((1, 100), (2, 15), (3, 15)):
        if sum(k == kind for k, _ in kinds) > most:
            raise Refused(30032, status=400, message=f"Maximum number of application commands reached ({most}).")
    app = str(server.bot.id)
    known = {"type": 1, "application_id": app, "version": str(server.ids.next()), "default_member_permissions": None}
    place = {"guild_id": str(guild)} if guild else {}
    server.commands[guild] = [known | {"id": str(server.ids.next())} | c | place for c in ask.body]
    return server.commands[guild]
