"""Completes events for discord.py, which stumbles where a field is missing that the documentation calls optional."""

from typing import Any

USER = {"username": "", "discriminator": "0", "avatar": None}
MEMBER = {"roles": [], "flags": 0}
ROLE = {"name": ""}
CHANNEL = {"type": 0, "name": "", "position": 0, "bitrate": 64_000, "user_limit": 0}
THREAD = {"type": 11, "name": "", "owner_id": "0", "message_count": 0, "member_count": 0}
LIFE = {"archived": False, "auto_archive_duration": 1440, "archive_timestamp": "2015-01-01T00:00:00+00:00"}


def complete(event: str, data: dict[str, Any]) -> dict[str, Any]:
    """The body of an event with all that the library asks for. Raises what a body that is none leads to."""
    match event:
        case "READY":
            more = {"shard": [0, 1], "guilds": [], **data, "user": user(data["user"])}
            return {**more, "application": {"flags": 0, **data.get("application", {})}}
        case "GUILD_CREATE" | "GUILD_UPDATE":
            made = {"roles": role, "members": member, "channels": channel, "threads": thread}
            return data | {name: [one(each) for each in data[name]] for name, one in made.items() if data.get(name)}
        case "CHANNEL_CREATE" | "CHANNEL_UPDATE" | "CHANNEL_DELETE":
            return channel(data)
        case "THREAD_CREATE" | "THREAD_UPDATE":
            return thread(data)
        case "THREAD_LIST_SYNC":
            return {"members": [], **data, "threads": [thread(one) for one in data["threads"]]}
        case _:
            return data


def user(data: dict[str, Any]) -> Any:
    """Somebody."""
    return USER | data


def member(data: dict[str, Any]) -> dict[str, Any]:
    """Somebody in a server."""
    return MEMBER | data | {"user": user(data["user"])}


def role(data: dict[str, Any]) -> dict[str, Any]:
    """A role of a server."""
    return ROLE | data


def channel(data: dict[str, Any]) -> dict[str, Any]:
    """A channel of a server."""
    return CHANNEL | data


def thread(data: dict[str, Any]) -> dict[str, Any]:
    """A thread."""
    return THREAD | data | {"thread_metadata": LIFE | data.get("thread_metadata", {})}
