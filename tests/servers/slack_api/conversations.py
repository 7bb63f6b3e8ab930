"""Conversations looked up: what they are, who is there, what was said."""

import base64
from typing import TYPE_CHECKING, Any

from tests.servers.slack_api.methods import Methods
from tests.servers.slack_api.wire import Refused

if TYPE_CHECKING:
    from tests.servers.slack import SlackServer
    from tests.servers.slack_api.chats import Chat
    from tests.servers.slack_api.messages import Message

METHODS = Methods()
READ = "channels:read groups:read im:read mpim:read"
HISTORY = "channels:history groups:history im:history mpim:history"
PREFIX = {"im": "im", "mpim": "mpim", "channel": "channels", "group": "groups"}
SPAN = {
    "cursor": "str",
    "inclusive": "bool",
    "include_all_metadata": "bool",
    "latest": "str",
    "oldest": "str",
    "limit": "int",
}
LIST_KINDS = {"public_channel": "channel", "private_channel": "group", "mpim": "mpim", "im": "im"}


@METHODS.method(
    "conversations.info",
    "T3",
    READ,
    only_form=True,
    channel="str!",
    include_locale="bool",
    include_num_members="bool",
)
def _info(server: "SlackServer", params: dict) -> dict:
    chat = _readable(server, params["channel"], "read")
    body = as_json(server, chat)
    if params.get("include_num_members") and chat.kind != "im":
        body["num_members"] = len(chat.members) + chat.bot_in
    return {"channel": body}


@METHODS.method("conversations.members", "T4", READ, only_form=True, channel="str!", cursor="str", limit="int")
def _members(server: "SlackServer", params: dict) -> dict:
    chat = _readable(server, params["channel"], "read")
    found = [*chat.members, *([server.bot.id] if chat.bot_in else [])]
    page, cursor = _page(found, params, 100)
    return {"members": page, "response_metadata": {"next_cursor": cursor}}


@METHODS.method(
    "conversations.list",
    "T2",
    READ,
    only_form=True,
    cursor="str",
    exclude_archived="bool",
    limit="int",
    team_id="str",
    types="str",
)
def _list(server: "SlackServer", params: dict) -> dict:
    kinds = []
    for name in params.get("types", "public_channel").split(","):
        if name not in LIST_KINDS:
            raise Refused("invalid_types")
        kinds.append(LIST_KINDS[name])
    for kind in kinds:
        server.need(f"{PREFIX[kind]}:read")
    found = [
        as_json(server, chat)
        for chat in server.chats.values()
        if chat.kind in kinds
        and (chat.bot_in or chat.kind == "channel")
        and not (chat.archived and params.get("exclude_archived"))
    ]
    page, cursor = _page(found, params, 100)
    return {"channels": page, "response_metadata": {"next_cursor": cursor}}


@METHODS.method(
    "conversations.open",
    "T3",
    "im:write mpim:write",
    channel="str",
    users="str",
    return_im="bool",
    prevent_creation="bool",
)
def _open(server: "SlackServer", params: dict) -> dict:
    if "channel" in params:
        chat = server.chat_of(params["channel"])
    else:
        people = [server.people.get(user) for user in params.get("users", "").split(",") if user]
        if not people:
            raise Refused("users_list_not_supplied")
        if None in people:
            raise Refused("user_not_found")
        chat = server.private(people[0]) if len(people) == 1 else server.group_dm(people)
    return {"channel": as_json(server, chat) if params.get("return_im") else {"id": chat.id}}


@METHODS.method("conversations.history", "T3", HISTORY, only_form=True, channel="str!", **SPAN)
def _history(server: "SlackServer", params: dict) -> dict:
    chat = _readable(server, params["channel"], "history", member=True)
    seen = [
        m
        for m in chat.messages
        if not m.deleted and (m.thread in (None, m.ts) or m.wire.get("subtype") == "thread_broadcast")
    ]
    found = [_seen(m, params) for m in reversed(seen) if _within(m, params)]
    page, cursor = _page(found, params, _most(server, params))
    return {"messages": page, "has_more": bool(cursor), "pin_count": 0, "response_metadata": {"next_cursor": cursor}}


@METHODS.method("conversations.replies", "T3", HISTORY, only_form=True, channel="str!", ts="str!", **SPAN)
def _replies(server: "SlackServer", params: dict) -> dict:
    chat = _readable(server, params["channel"], "history", member=True)
    named = chat.by_ts.get(params["ts"])
    if named is None:
        raise Refused("thread_not_found")
    if named.root != params["ts"]:
        return {"messages": [_seen(named, params)], "has_more": False, "response_metadata": {"next_cursor": ""}}
    thread = [m for m in chat.thread(named.ts) if _within(m, params)]
    found = [_seen(m, params) for m in ([] if named.deleted else [named]) + thread]
    page, cursor = _page(found, params, _most(server, params))
    return {"messages": page, "has_more": bool(cursor), "response_metadata": {"next_cursor": cursor}}


def as_json(server: "SlackServer", chat: "Chat") -> dict:
    """The conversation object."""
    body: dict[str, Any] = {
        "id": chat.id,
        "created": 1700000000,
        "is_archived": chat.archived,
        "is_im": chat.kind == "im",
        "is_org_shared": False,
        "context_team_id": server.team,
        "updated": 1700000000000,
    }
    if chat.kind == "im":
        return body | {"user": next(iter(chat.members)), "is_user_deleted": False, "is_open": True, "priority": 0}
    return body | {
        "name": chat.name,
        "name_normalized": chat.name,
        "is_channel": chat.kind == "channel",
        "is_group": chat.kind == "group",
        "is_mpim": chat.kind == "mpim",
        "is_private": chat.kind != "channel",
        "is_general": chat.name == "general",
        "is_shared": chat.shared,
        "is_ext_shared": chat.shared,
        "is_member": chat.bot_in,
        "creator": next(iter(chat.members), ""),
        "topic": {"value": "", "creator": "", "last_set": 0},
        "purpose": {"value": "", "creator": "", "last_set": 0},
    }


def _readable(server: "SlackServer", channel: str, what: str, *, member: bool = False) -> "Chat":
    chat = server.chats.get(channel)
    if chat is None or (chat.kind != "channel" and not chat.bot_in):
        raise Refused("channel_not_found")
    server.need(f"{PREFIX[chat.kind]}:{what}")
    if member and not chat.bot_in:
        raise Refused("not_in_channel")
    return chat


def _seen(message: "Message", params: dict) -> dict:
    wire = {k: v for k, v in message.wire.items() if k != "streaming_state"}
    if message.metadata and params.get("include_all_metadata"):
        wire["metadata"] = message.metadata
    return wire


def _within(message: "Message", params: dict) -> bool:
    oldest, latest = params.get("oldest", ""), params.get("latest", "")
    if params.get("inclusive"):
        return (not oldest or message.ts >= oldest) and (not latest or message.ts <= latest)
    return (not oldest or message.ts > oldest) and (not latest or message.ts < latest)


def _most(server: "SlackServer", params: dict) -> int:
    few = server.limits.history_items if server.limits else None
    if few:
        params["limit"] = min(params.get("limit", few), few)
    return few or 100


def _page(found: list, params: dict, usual: int) -> tuple[list, str]:
    limit = params.get("limit", usual)
    if not 1 <= limit <= 1000:
        raise Refused("invalid_limit")
    start = 0
    if params.get("cursor"):
        try:
            start = int(base64.b64decode(params["cursor"], validate=True).decode().removeprefix("next:"))
        except ValueError:
            raise Refused("invalid_cursor") from None
    more = start + limit < len(found)
    return found[start : start + limit], base64.b64encode(f"next:{start + limit}".encode()).decode() if more else ""
