"""What a bot says in channels: messages, edits, reactions, typing."""

import mimetypes
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from tests.servers.discord_api import forms
from tests.servers.discord_api.channels import FORUM, Channel
from tests.servers.discord_api.messages import LOADING, V2, File, Message
from tests.servers.discord_api.routes import Routes
from tests.servers.discord_api.wire import Ask, Refused, invalid, stamp

if TYPE_CHECKING:
    from tests.servers.discord import DiscordServer

ROUTES = Routes()
MESSAGE = "/channels/{id}/messages/{message}"
NONCE_SECONDS = 300.0


@ROUTES.route("POST /channels/{id}/messages", limit="messages")
def _send(server: "DiscordServer", ask: Ask) -> dict:
    channel = writable(server, ask.ids[0])
    return send(channel, ask).json


def send(channel: Channel, ask: Ask, number: int | None = None) -> Message:
    """A message of the bot in a channel where it may write; under a given number if it begins a post."""
    body = ask.body if ask.body is not None else {}
    forms.check(body, ask.files, "create")
    note_unknown(channel.server, ask, forms.CREATE)
    if ask.files and not channel.may("attach_files"):
        raise Refused(50013)
    nonce = body.get("nonce")
    if body.get("enforce_nonce") and nonce is not None:
        at, earlier = channel.nonces.get(str(nonce), (0.0, None))
        if earlier and not earlier.deleted and time.monotonic() - at < NONCE_SECONDS:
            return earlier
    number = number or channel.server.ids.next()
    message = Message(number, channel, channel.server.bot, time.monotonic(), stamp(), nonce=nonce)
    _refer(message, body.get("message_reference"))
    fill(message, body, ask.files)
    channel.keep(message)
    if nonce is not None:
        channel.nonces[str(nonce)] = (message.at, message)
    return message


@ROUTES.route(f"PATCH {MESSAGE}", limit="messages")
def _edit(server: "DiscordServer", ask: Ask) -> dict:
    channel, message = find(server, ask)
    if channel.archived:
        raise Refused(50083)
    if message.by is not server.bot:
        raise Refused(50005)
    if message.type not in (0, 19, 20, 23):
        raise Refused(50021)
    edit(message, ask)
    return message.json


@ROUTES.route(f"DELETE {MESSAGE}", limit="messages")
def _delete(server: "DiscordServer", ask: Ask) -> None:
    channel, message = find(server, ask)
    if message.by is not server.bot:
        raise Refused(50003) if channel.direct else Refused(50013)
    channel.remove(message)


@ROUTES.route("POST /channels/{id}/typing", limit="typing")
def _type(server: "DiscordServer", ask: Ask) -> None:
    writable(server, ask.ids[0]).typing.append(time.monotonic())


@ROUTES.route(f"PUT {MESSAGE}/reactions/{{emoji}}/@me", limit="reactions")
def _react(server: "DiscordServer", ask: Ask) -> None:
    channel, message = find(server, ask)
    emoji = _emoji(ask)
    if channel.archived:
        raise Refused(50083)
    if not channel.may("read_message_history") or (emoji not in message.reactions and not channel.may("add_reactions")):
        raise Refused(50013)
    if server.bot not in message.reactions.setdefault(emoji, []):
        message.reactions[emoji].append(server.bot)
        channel.tell_reaction("ADD", server.bot, message, emoji)


@ROUTES.route(f"DELETE {MESSAGE}/reactions/{{emoji}}/@me", limit="reactions")
def _unreact(server: "DiscordServer", ask: Ask) -> None:
    channel, message = find(server, ask)
    emoji = _emoji(ask)
    if server.bot in message.reactions.get(emoji, []):
        message.reactions[emoji].remove(server.bot)
        if not message.reactions[emoji]:
            del message.reactions[emoji]
        channel.tell_reaction("REMOVE", server.bot, message, emoji)


def readable(server: "DiscordServer", number: str) -> Channel:
    """A channel that the bot may see; the platform's refusal otherwise."""
    channel = server.channels.get(int(number)) if number.isdigit() else None
    if channel is None:
        raise Refused(10003)
    if channel.guild and not (channel.guild.bot_in and channel.may("view_channel")):
        raise Refused(50001)
    return channel


def writable(server: "DiscordServer", number: str) -> Channel:
    """A channel that the bot may write to; the platform's refusal otherwise."""
    channel = readable(server, number)
    if channel.kind == FORUM:
        raise Refused(50008)
    if channel.closed:
        raise Refused(50007)
    if not channel.may("send_messages_in_threads" if channel.is_thread else "send_messages"):
        raise Refused(50013)
    if channel.archived and channel.locked:
        raise Refused(50083)
    return channel


def find(server: "DiscordServer", ask: Ask) -> tuple[Channel, Message]:
    """A channel that the bot may see, and a message in it."""
    channel = readable(server, ask.ids[0])
    message = channel.by_id.get(int(ask.ids[1])) if ask.ids[1].isdigit() else None
    if message is None or message.deleted or message.only_for:
        raise Refused(10008)
    return channel, message


def note_unknown(server: "DiscordServer", ask: Ask, known: frozenset[str]) -> None:
    """Record what the platform would leave unread."""
    server.problems += [f"{ask.call.route}: {text}" for text in forms.unknown(ask.body, known)]


def fill(message: Message, body: dict, files: dict[str, tuple[str, bytes]]) -> None:
    """Put what was sent into a new message."""
    message.content = (body.get("content") or "").strip()
    message.embeds = [{"type": "rich"} | e for e in body.get("embeds") or []]
    message.components = forms.with_ids(body.get("components") or [])
    message.flags |= body.get("flags") or 0
    message.files = _keep_files(message.channel, body, files)
    message.more |= {"poll": body["poll"]} if body.get("poll") else {}
    _need_something(message, body)
    _ping(message, body)


def edit(message: Message, ask: Ask) -> None:
    """Change a message of the bot."""
    body = ask.body if ask.body is not None else {}
    forms.check(body, ask.files, "edit", v2=bool(message.flags & V2))
    note_unknown(message.channel.server, ask, forms.EDIT)
    turns = not message.flags & V2 and (body.get("flags") or 0) & V2
    for name, stands in (("content", message.content), ("embeds", message.embeds)):
        if turns and stands and name not in body:
            raise invalid(
                name, forms.LEGACY, f"{name} must be emptied with the turn to components of the second version"
            )
    text = message.text
    content, components = body.get("content", message.content) or "", body.get("components", message.components) or []
    kept = message.files
    if "attachments" in body:
        ids = {str(a.get("id")) for a in body["attachments"] or []}
        kept = [f for f in kept if str(f.id) in ids]
    files = kept + _keep_files(message.channel, body, ask.files)
    embeds = body.get("embeds", message.embeds) or []
    if not (content.strip() or components or embeds or files):
        raise Refused(50006)
    if not message.loading:
        message.edits.append(text)
        message.edited = stamp()
    message.content, message.components, message.files = content.strip(), forms.with_ids(components), files
    message.embeds = [{"type": "rich"} | e for e in embeds]
    message.flags = (message.flags | (body.get("flags") or 0) & V2) & ~LOADING
    _ping(message, body, edit=True)
    message.channel.tell_edited(message)


def _need_something(message: Message, body: dict) -> None:
    if not (message.content or message.embeds or message.components or message.files or body.get("poll")):
        raise Refused(50006)


def _ping(message: Message, body: dict, *, edit: bool = False) -> None:
    replied = message.reply_to.by if message.reply_to and not edit else None
    mentions, roles, everyone = forms.pinged(message.channel, message.text, body.get("allowed_mentions"), replied)
    message.mentions, message.mention_roles, message.everyone = mentions, roles, everyone
    if message.pings and not edit:
        message.channel.server.pings.append(message)


def _refer(message: Message, reference: dict | None) -> None:
    """Make the message a reply."""
    if reference is None:
        return
    channel = message.channel
    if int(reference.get("channel_id") or channel.id) != channel.id or reference.get("type"):
        raise invalid("message_reference", "MESSAGE_REFERENCE_INVALID", "only replies in the same channel are served")
    if not channel.may("read_message_history"):
        code = "REPLIES_CANNOT_REPLY_WITHOUT_READ_MESSAGE_HISTORY"
        raise invalid("message_reference", code, "Cannot reply without permission to read message history")
    old = channel.by_id.get(int(reference["message_id"]))
    if old is None or old.deleted or old.only_for:
        if reference.get("fail_if_not_exists", True):
            raise invalid("message_reference", "REPLIES_UNKNOWN_MESSAGE", "Unknown message")
        return
    if old.type not in (0, 19, 20, 21, 23):
        raise invalid("message_reference", "REPLIES_CANNOT_REPLY_TO_SYSTEM_MESSAGE", "Cannot reply to a system message")
    message.reply_to, message.type = old, 19
    message.reference = {"type": 0, "message_id": str(old.id), "channel_id": str(channel.id)}
    message.reference |= {"guild_id": str(channel.guild.id)} if channel.guild else {}


def _keep_files(channel: Channel, body: dict, files: dict[str, tuple[str, bytes]]) -> list[File]:
    told = {str(a.get("id")): a for a in body.get("attachments") or []}
    kept = []
    for part, (name, data) in files.items():
        about: dict[str, Any] = told.get(part.removeprefix("files[").removesuffix("]"), {})
        name = about.get("filename") or name
        mime = mimetypes.guess_type(name)[0] or "application/octet-stream"
        more = {k: about[k] for k in ("description", "waveform", "duration_secs") if k in about}
        kept.append(channel.server.keep_file(channel, name, data, mime, **more))
    return kept


def _emoji(ask: Ask) -> str:
    emoji = unquote(ask.ids[2])
    if not emoji or emoji.isascii():
        raise Refused(10014)
    return emoji
