"""Who the bot is, who the people are, which workspace this is; reactions and views."""

import time
from typing import TYPE_CHECKING, Any

from tests.servers.slack_api.blocks import check_blocks
from tests.servers.slack_api.methods import Methods
from tests.servers.slack_api.sending import finished, message_of
from tests.servers.slack_api.wire import Refused, encode

if TYPE_CHECKING:
    from tests.servers.slack import SlackServer

METHODS = Methods()
VIEW = {"type", "blocks", "private_metadata", "callback_id", "external_id", "title", "submit", "close"}
VIEW |= {"clear_on_close", "notify_on_close"}


@METHODS.method("auth.test", "special", token="any")
def _auth_test(server: "SlackServer", params: dict) -> dict:
    if params.pop("app_token", False):
        return {"app_name": server.bot.name, "app_id": server.app_id}
    place = {"url": f"https://{server.domain}.slack.com/", "team": server.team_name, "team_id": server.team}
    me = {"user": server.bot.handle, "user_id": server.bot.id, "bot_id": server.bot.bot_id}
    return place | me | {"is_enterprise_install": False}


@METHODS.method("bots.info", "T3", "users:read", only_form=True, bot="str", team_id="str")
def _bots_info(server: "SlackServer", params: dict) -> dict:
    for person in [server.bot, *server.people.values()]:
        if person.is_bot and person.bot_id == params.get("bot", server.bot.bot_id):
            about = {"id": person.bot_id, "deleted": person.deleted, "name": person.name, "user_id": person.id}
            return {"bot": about | {"app_id": person.app_id, "updated": 1700000000, "icons": {}}}
    raise Refused("bot_not_found")


@METHODS.method("users.info", "T4", "users:read", only_form=True, user="str!", include_locale="bool")
def _users_info(server: "SlackServer", params: dict) -> dict:
    person = server.bot if params["user"] == server.bot.id else server.people.get(params["user"])
    if person is None:
        raise Refused("user_not_found")
    met = any(person.id in chat.members and chat.bot_in for chat in server.chats.values())
    body = person.json(stranger=person.team != server.team and not met)
    if params.get("include_locale"):
        body["locale"] = person.locale
    return {"user": body}


@METHODS.method(
    "team.info", "T3", "team:read", only_form=True, team="str", domain="str", include_slackbot_availability="bool"
)
def _team_info(server: "SlackServer", params: dict) -> dict:
    team = {"id": server.team, "name": server.team_name, "domain": server.domain, "email_domain": "", "icon": {}}
    return {"team": team}


@METHODS.method("reactions.add", "T3", "reactions:write", channel="str!", timestamp="str!", name="str!")
def _reactions_add(server: "SlackServer", params: dict) -> dict:
    return _react(server, params, remove=False)


@METHODS.method(
    "reactions.remove",
    "T2",
    "reactions:write",
    channel="str!",
    timestamp="str!",
    name="str!",
    file="str",
    file_comment="str",
)
def _reactions_remove(server: "SlackServer", params: dict) -> dict:
    return _react(server, params, remove=True)


def _react(server: "SlackServer", params: dict, *, remove: bool) -> dict:
    chat = server.chat_of(params["channel"])
    name = params["name"].strip(":")
    if not name.replace("_", "").replace("-", "").replace("+", "").replace("'", "").replace(":", "").isalnum():
        raise Refused("invalid_name")
    if name not in server.emoji and server.emoji:
        raise Refused("invalid_name")
    chat.reaction(server.bot, message_of(chat, params["timestamp"]), name, remove=remove)
    return {}


@METHODS.method("views.publish", "T4", user_id="str!", view="dict!", hash="str", interactivity_pointer="str")
def _publish(server: "SlackServer", params: dict) -> dict:
    if params["user_id"] not in server.people:
        raise Refused("user_not_found")
    before = server.homes.get(params["user_id"])
    if "hash" in params and before and params["hash"] != before["hash"]:
        raise Refused("hash_conflict")
    if not server.home_tab:
        raise Refused("not_enabled")
    server.homes[params["user_id"]] = view = _view(server, params["view"], "home")
    return {"view": view}


@METHODS.method("views.open", "T4", trigger_id="str", interactivity_pointer="str", view="dict!")
def _open(server: "SlackServer", params: dict) -> dict:
    trigger = params.get("trigger_id") or params.get("interactivity_pointer")
    if not trigger:
        raise Refused("invalid_arguments")
    if trigger not in server.interactions.triggers:
        raise Refused("invalid_trigger_id")
    person, until = server.interactions.triggers[trigger]
    if time.monotonic() > until:
        raise Refused("expired_trigger_id")
    if person.id in server.used_triggers and trigger in server.used_triggers[person.id]:
        raise Refused("exchanged_trigger_id")
    server.used_triggers.setdefault(person.id, set()).add(trigger)
    view = _view(server, params["view"], "modal")
    server.modals.append((person, view))
    return {"view": view}


def _view(server: "SlackServer", given: dict[str, Any], kind: str) -> dict:
    if given.get("type") != kind or set(given) - VIEW or not isinstance(given.get("blocks"), list):
        raise Refused("invalid_arguments")
    if len(encode(given)) > 250_000:
        raise Refused("view_too_large")
    if len(given.get("private_metadata", "")) > 3000 or len(given.get("callback_id", "")) > 255:
        raise Refused("invalid_arguments")
    for key in ("title", "submit", "close"):
        if key in given and len(given[key].get("text", "")) > 24:
            raise Refused("invalid_arguments")
    if kind == "modal" and "title" not in given:
        raise Refused("invalid_arguments")
    check_blocks(given["blocks"], view=True)
    stamp = {"id": server.new_id("V"), "team_id": server.team, "hash": server.now(), "app_id": server.app_id}
    kept = {"private_metadata": "", "callback_id": "", "external_id": "", "bot_id": server.bot.bot_id}
    return kept | given | stamp | {"blocks": finished(server, given["blocks"])}
