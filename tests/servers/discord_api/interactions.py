"""A command used, a button pressed, a dialogue filled: what the bot is told, and how it has answered so far."""

import asyncio
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.servers.discord_api.messages import Message
from tests.servers.discord_api.people import ALL, Person

if TYPE_CHECKING:
    from tests.servers.discord_api.channels import Channel

COMMAND, COMPONENT, MODAL = 2, 3, 5


@dataclass(slots=True, eq=False)
class Interaction:
    """One interaction; `answered` is the type of the first answer (4 message, 5 and 6 deferred, 7 update, 9 dialogue)."""

    id: int
    token: str
    kind: int
    channel: "Channel"
    by: Person
    at: float  # time.monotonic()
    name: str  # of the command, or the custom_id
    message: Message | None = None  # on which it was pressed
    answered: int | None = None
    answered_at: float = 0.0
    original: Message | None = None  # what @original is
    shown: list[Message] = field(default_factory=list)  # every message that came of it
    modal: dict | None = None

    @property
    def failed(self) -> bool:
        """Whether the person reads "The application did not respond"."""
        return self.answered is None and time.monotonic() - self.at > self.channel.server.answer_seconds


def command(
    channel: "Channel", person: Person, name: str, options: dict, target: Message | Person | None
) -> Interaction:
    """Use a command that was registered."""
    kind = 1 if target is None else 3 if isinstance(target, Message) else 2
    known = [c for c in channel.server.commands_of(channel.guild) if c["name"] == name and c.get("type", 1) == kind]
    assert known, f"no command {name!r} of type {kind} is registered"
    contexts = known[0].get("contexts")
    assert contexts is None or (1 if channel.direct else 0) in contexts, f"/{name} is not offered here"
    assert not (channel.direct and known[0].get("dm_permission") is False), f"/{name} is not offered here"
    data = {"id": known[0]["id"], "name": name, "type": kind}
    if channel.guild and known[0].get("guild_id"):
        data["guild_id"] = str(channel.guild.id)
    if target is None:
        data["options"] = _filled(known[0].get("options") or [], options)
    else:
        data |= {"target_id": str(target.id), "resolved": _resolved(channel, target)}
    return _begin(channel, person, COMMAND, data, name, None)


def press(channel: "Channel", person: Person, message: Message, part: dict, values: list[str]) -> Interaction:
    """Press a button, or choose values of a menu."""
    data = {"custom_id": part["custom_id"], "component_type": part["type"], "id": part["id"]}
    data |= {"values": values} if part["type"] != 2 else {}
    return _begin(channel, person, COMPONENT, data, part["custom_id"], message)


def submit(channel: "Channel", person: Person, asked: Interaction, values: dict[str, str]) -> Interaction:
    """Send a dialogue off."""
    rows = []
    for number, row in enumerate(asked.modal["components"]):
        field_ = row["component"] if "component" in row else row["components"][0]
        filled = {
            "type": field_["type"],
            "custom_id": field_["custom_id"],
            "value": values.get(field_["custom_id"], ""),
        }
        inner = {"component": filled} if "component" in row else {"components": [filled]}
        rows.append({"type": row["type"], "id": number + 1} | inner)
    data = {"custom_id": asked.modal["custom_id"], "components": rows}
    return _begin(channel, person, MODAL, data, data["custom_id"], asked.message)


def _begin(
    channel: "Channel", person: Person, kind: int, data: dict, name: str, message: Message | None
) -> Interaction:
    server, guild = channel.server, channel.guild
    begun = Interaction(
        server.ids.next(), secrets.token_urlsafe(24), kind, channel, person, time.monotonic(), name, message
    )
    server.interactions[str(begun.id)] = begun
    place = channel.json | ({"permissions": str(guild.permissions(person, channel.denied))} if guild else {})
    app = str(server.bot.id)
    wire = {"id": str(begun.id), "application_id": app, "type": kind, "token": begun.token, "version": 1, "data": data}
    wire |= {"channel_id": str(channel.id), "channel": place, "locale": person.locale, "entitlements": []}
    wire |= {"attachment_size_limit": 10 * 2**20}
    if guild:
        here = guild.members[person.id].json | {"permissions": str(guild.permissions(person, channel.denied))}
        wire |= {"guild_id": str(guild.id), "guild_locale": "en-US", "member": here, "context": 0}
        wire |= {"guild": {"id": str(guild.id), "locale": "en-US", "features": []}}
        wire |= {"app_permissions": str(guild.permissions(server.bot, channel.denied))}
        wire["authorizing_integration_owners"] = {"0": str(guild.id)}
    else:
        wire |= {"user": person.json, "context": 1, "app_permissions": str(ALL)}
        wire["authorizing_integration_owners"] = {"0": "0", "1": str(person.id)}
    if message:
        wire["message"] = message.json
    server.gateway.tell("INTERACTION_CREATE", wire, guild)
    server.timers.append(asyncio.get_running_loop().call_later(server.answer_seconds, _missed, begun))
    return begun


def _missed(begun: Interaction) -> None:
    if begun.answered is None:
        wait = begun.channel.server.answer_seconds
        begun.channel.server.problems.append(f"interaction {begun.name!r} was not answered within {wait} s")


def _filled(known: list[dict], given: dict) -> list[dict]:
    """Options as the platform sends them; a group of sub-commands is {"add": {"name": ...}}."""
    names = {option["name"]: option for option in known}
    assert given.keys() <= names.keys(), f"the command has no option {given.keys() - names.keys()}"
    filled = []
    for name, value in given.items():
        kind = names[name]["type"]
        inner = {"options": _filled(names[name].get("options") or [], value)} if kind in (1, 2) else {"value": value}
        choices = [c["value"] for c in names[name].get("choices") or []]
        assert not choices or value in choices, f"{name} is none of {choices}"
        filled.append({"name": name, "type": kind} | inner)
    missing = [o["name"] for o in known if o.get("required") and o["name"] not in given]
    assert not missing, f"the command wants {missing}"
    return filled


def _resolved(channel: "Channel", target: Message | Person) -> dict:
    if isinstance(target, Message):
        return {"messages": {str(target.id): target.json}}
    found = {"users": {str(target.id): target.json}}
    if channel.guild and target.id in channel.guild.members:
        found["members"] = {str(target.id): channel.guild.members[target.id].partial}
    return found
