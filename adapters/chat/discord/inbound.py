"""From an event of Discord to a value of core, or to nothing; pure.

Where a channel belongs, whose thread it is and what others are called stands in a `Spot`, which the reception makes; so
does what an event cannot tell by itself.
"""

import re
from collections.abc import Mapping
from datetime import datetime

import msgspec

from adapters.chat.discord.events import Component, Edit, File, Interaction, Member, Post, Removal, User
from core import commands
from core.messages import Account, Attachment, AttachmentKind, ChatRef, Deleted, Edited, Message, Pressed

PLATFORM = "discord"
QUOTE_CAP = 4_000
"""Characters of a quoted or forwarded text."""
ADMINISTRATOR, MANAGE_GUILD = 1 << 3, 1 << 5
ASK = "ask"
"""The command whose words are the message itself."""

_ORDINARY = (0, 19)
"""Kinds of messages that people write: plain ones and answers. The others tell of pins, calls and newcomers."""
_THREADS = (10, 11, 12)
_VOICE = 1 << 13
_START = re.compile(r"[/!]start +([A-Za-z0-9_-]{1,64})")
_ACTION = re.compile(r"/[a-z][a-z0-9_]{0,31}( [^\x00-\x1f]*)?")


class Me(msgspec.Struct, frozen=True):
    """Who we are here."""

    id: str
    name: str = ""


class Spot(msgspec.Struct, frozen=True):
    """A channel as it matters to us; `guild` is "" in a direct message, `parent` is set in a thread."""

    channel: str
    guild: str = ""
    parent: str = ""
    ours: bool = False
    """A thread that we opened, or in which we were addressed."""
    role: str = ""
    """The role that Discord made for us in this server."""
    admin: bool = False
    """The sender rules the server."""
    names: Mapping[str, str] = msgspec.field(default_factory=dict)
    """What channels and roles are called, by their ids."""


def message(post: Post, me: Me, spot: Spot) -> Message | None:
    """What core is told of a message; None for what does not concern an assistant."""
    author = post.author
    if author is None or author.bot or post.webhook_id or post.type not in _ORDINARY:
        return None
    if not (post.id.isdecimal() and post.channel_id.isdecimal() and author.id.isdecimal()):
        return None
    attachments = tuple(_attachment(post, file) for file in post.attachments)
    text = cleaned(post.content, post, me, spot) or described(post)
    quoted = _quoted(post, me, spot)
    if not (text or attachments or quoted):
        return None
    begin = _START.fullmatch(text) if not spot.guild else None
    return Message(
        event=event_of(post.channel_id, post.id),
        chat=where(me, spot),
        sender=account(author.id, me),
        text="/start" if begin else text,
        name=_called(author, post.member),
        message_id=post.id,
        reply_to=answered(post),
        quoted=quoted,
        attachments=attachments,
        addressed=addressed(post, me, spot),
        admin=spot.admin,
        start=begin[1] if begin else "",
    )


def edited(post: Edit, me: Me, spot: Spot) -> Edited | None:
    """A message that its author changed; that Discord put a link's picture below one is no change."""
    if not post.edited_timestamp:
        return None
    changed = message(post, me, spot)
    if changed is None or not changed.addressed:
        return None
    return Edited(f"{changed.event}:{post.edited_timestamp}", changed)


def deleted(removal: Removal, me: Me, spot: Spot) -> list[Deleted]:
    """Messages that were taken back, one by one."""
    gone = (removal.id,) if removal.id else removal.ids
    events = (event_of(removal.channel_id, one) for one in gone)
    return [Deleted(f"{event}:gone", where(me, spot), event) for event in events]


def command(interaction: Interaction, me: Me, spot: Spot) -> Message | None:
    """A command that was given natively, as the line that somebody might have typed."""
    sender, data = interaction.sender, interaction.data
    if interaction.type != 2 or sender is None or sender.bot or data is None or data.type != 1:
        return None
    words = " ".join(str(option.value) for option in data.options or () if option.value).strip()
    line = words if data.name == ASK else f"/{data.name} {words}".rstrip()
    if not line or (data.name != ASK and not _ACTION.fullmatch(line)):
        return None
    return Message(
        event=f"i:{interaction.id}",
        chat=where(me, spot),
        sender=account(sender.id, me),
        text=line,
        name=_called(sender, interaction.member),
        message_id=f"i:{interaction.id}",
        admin=spot.admin,
        language=interaction.locale or "",
    )


def pressed(interaction: Interaction, me: Me, spot: Spot) -> Pressed | None:
    """A button of ours was pressed; only what looks like a command line is an action."""
    sender, data = interaction.sender, interaction.data
    if interaction.type != 3 or sender is None or sender.bot or data is None or not _ACTION.fullmatch(data.custom_id):
        return None
    return Pressed(
        event=f"i:{interaction.id}",
        chat=where(me, spot),
        sender=account(sender.id, me),
        action=data.custom_id,
        name=_called(sender, interaction.member),
        admin=spot.admin,
    )


def spot_of(interaction: Interaction) -> Spot | None:
    """Where an interaction happened, which it tells by itself; None where it tells too little."""
    channel = interaction.channel
    here = interaction.channel_id or (channel.id if channel else "")
    sender = interaction.sender
    if not (here.isdecimal() and interaction.id.isdecimal() and sender and sender.id.isdecimal() and interaction.token):
        return None
    if channel and channel.type == 3:  # a group of people that we are no member of
        return None
    parent = channel.parent_id if channel and channel.type in _THREADS else ""
    admin = rules(interaction.member)
    return Spot(here, interaction.guild_id or "", parent or "", ours=True, admin=admin)


def rules(member: Member | None) -> bool:
    """Whether somebody rules the server, as an interaction tells."""
    bits = member.permissions if member else None
    return bool(bits and bits.isdecimal() and int(bits) & (ADMINISTRATOR | MANAGE_GUILD))


def where(me: Me, spot: Spot) -> ChatRef:
    """The place in core's words: a thread belongs to its channel."""
    if spot.parent:
        return ChatRef(PLATFORM, me.id, spot.parent, spot.channel, private=False)
    return ChatRef(PLATFORM, me.id, spot.channel, private=not spot.guild)


def account(user: str, me: Me) -> Account:
    """Somebody, in core's words."""
    return Account(PLATFORM, me.id, user)


def event_of(channel: str, post: str) -> str:
    """What a message is called among events."""
    return f"{channel}:{post}"


def mentioned(post: Post, me: Me, role: str = "") -> bool:
    """Whether somebody calls us by name, or by the role that is ours alone."""
    if post.mentions or post.mention_roles:
        return any(one.id == me.id for one in post.mentions) or bool(role and role in post.mention_roles)
    return (
        f"<@{me.id}>" in post.content or f"<@!{me.id}>" in post.content
    )  # not everywhere it is also said whom that names


def addressed(post: Post, me: Me, spot: Spot) -> bool:
    """Whether a message is meant for us."""
    other = post.referenced_message
    return (
        not spot.guild
        or spot.ours
        or mentioned(post, me, spot.role)
        or (post.content.startswith("!") and commands.read(post.content) is not None)
        or bool(other and other.author and other.author.id == me.id and not _forwards(post))
    )


def answered(post: Post) -> str:
    """The id of the message that one answers, "" where it answers none."""
    reference = post.message_reference
    return (reference.message_id or "") if reference and reference.type == 0 else ""


def later(told: str | None, moment: float) -> bool:
    """Whether what Discord tells is later than a moment in seconds; not where it tells nothing."""
    try:
        return datetime.fromisoformat(told or "").timestamp() > moment
    except ValueError:
        return False


def text_of(post: Post) -> str:
    """What stands in a message, be it as content or in components."""
    return post.content or "\n\n".join(_texts(post.components or ()))


def described(post: Post) -> str:
    """Words for what is better told than handed on."""
    if post.sticker_items:
        return ", ".join(f"(sticker: {one.name})" for one in post.sticker_items)
    if post.poll:
        answers = (f"- {answer.poll_media.text}" for answer in post.poll.answers if answer.poll_media.text)
        return "\n".join((f"Poll: {post.poll.question.text or ''}", *answers))
    return ""


def cleaned(text: str, post: Post, me: Me, spot: Spot) -> str:
    """The text as people read it, without the places that name us."""
    if "<" not in text:
        return text
    people = {one.id: one.shown for one in post.mentions}
    rest = _without_us(text, me, spot.role)
    return _MARK.sub(lambda found: _read(found, people, spot.names), rest) or f"@{me.name}"


def _without_us(text: str, me: Me, role: str) -> str:
    ours = re.compile(rf"<@!?{re.escape(me.id)}>" + (rf"|<@&{re.escape(role)}>" if role else ""))
    rest, *pieces = ours.split(text)
    for piece in pieces:
        rest = rest.rstrip(" ") + (" " if rest.strip() and piece[:1] == " " else "") + piece.lstrip(" ")
        if not rest.strip(" ,:\n"):
            rest = ""
    return rest.strip().removeprefix(",").removeprefix(":").strip() if pieces else text


_MARK = re.compile(
    r"<(?:(?P<kind>@[!&]?|\#)(?P<id>\d+)|a?:(?P<emoji>\w+):\d+|/(?P<command>[^:>]+):\d+|t:(?P<time>-?\d{1,11})(?::\w)?)>"
)


def _read(found: re.Match[str], people: Mapping[str, str], names: Mapping[str, str]) -> str:
    kind, number = found["kind"] or "", found["id"] or ""
    if kind in {"@", "@!"} and number in people:
        return f"@{people[number]}"
    if kind and number in names:
        return f"{kind[0]}{names[number]}"
    if found["emoji"]:
        return f":{found['emoji']}:"
    if found["command"]:
        return f"/{found['command']}"
    return found[0]


def ids(text: str) -> list[str]:
    """The channels and roles that a text names."""
    return [found["id"] for found in _MARK.finditer(text) if found["kind"] in {"#", "@&"}] if "<" in text else []


def _texts(components: tuple[Component, ...]) -> list[str]:
    return [text for one in components for text in ([one.content] if one.content else _texts(one.components)) if text]


def _called(user: User, member: Member | None) -> str:
    return (member.nick if member else None) or user.name


def _forwards(post: Post) -> bool:
    return bool(post.message_reference and post.message_reference.type == 1)


def _quoted(post: Post, me: Me, spot: Spot) -> str:
    if _forwards(post):
        forwarded = [one.message for one in post.message_snapshots or () if one.message]
        return "\n\n".join(_told(one, me, spot) for one in forwarded)[:QUOTE_CAP]
    return _told(post.referenced_message, me, spot)[:QUOTE_CAP] if post.referenced_message else ""


def _told(post: Post, me: Me, spot: Spot) -> str:
    """A message in words: its text, else what it carries."""
    files = ", ".join(f"({file.filename})" for file in post.attachments)
    return cleaned(text_of(post), post, Me(""), Spot(spot.channel, names={**spot.names, me.id: me.name})) or (
        described(post) or files
    )


_KINDS: dict[str, AttachmentKind] = {"image": "image", "audio": "audio", "video": "video"}
_PICTURES = ("image/jpeg", "image/png", "image/webp", "image/gif")


def _attachment(post: Post, file: File) -> Attachment:
    mime = (file.content_type or "application/octet-stream").partition(";")[0].strip().lower()
    kind: AttachmentKind = _KINDS.get(mime.partition("/")[0], "document")
    if kind == "image" and mime not in _PICTURES:
        kind = "document"
    if kind == "audio" and (file.waveform or (post.flags or 0) & _VOICE):
        kind = "voice"
    handle = f"{post.channel_id}:{post.id}:{file.id}"
    return Attachment(kind, handle, mime, file.filename, file.size, file.duration_secs or 0.0)
