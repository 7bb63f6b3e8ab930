"""From an update of Telegram to a value of core, or to nothing; pure.

Offsets of entities count UTF-16 code units. What an update cannot tell by itself (who administers a group, which parts belong to an album) is added by
the reception.
"""

import re
from collections.abc import Sequence

import msgspec

from adapters.chat.telegram.flatten import flat
from adapters.chat.telegram.updates import Callback, Entity, File, Location, MemberChange, Place, Post, Update
from core.messages import Account, Attachment, AttachmentKind, ChatRef, Edited, Inbound, Joined, Message, Pressed

PLATFORM = "telegram"
KINDS = ("message", "edited_message", "callback_query", "my_chat_member", "stopped_message_generation")
"""The updates that we ask for."""
QUOTE_CAP = 4_000
"""Characters of a quoted or forwarded text."""

_ACTION = re.compile(r"/[a-z][a-z0-9_]{0,31}( [^\x00-\x1f]*)?")
_START = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PRESENT = ("member", "administrator", "creator", "restricted")
_TELEGRAM = 777000
"""The account in whose name Telegram itself writes, for example a channel's posts into its group."""


class Me(msgspec.Struct, frozen=True):
    """Who we are here. `username` is empty until getMe has answered."""

    id: int
    username: str = ""


def read(update: Update, me: Me) -> Inbound | None:
    """What core is told of an update; None for what does not concern an assistant."""
    if post := update.message:
        return _message(post, me)
    if post := update.edited_message:
        message = None if post.location else _message(post, me)
        return Edited(event=f"{update.update_id}:e", message=message) if message else None
    if query := update.callback_query:
        return _pressed(update.update_id, query, me)
    if change := update.my_chat_member:
        return _joined(update.update_id, change, me)
    if stopped := update.stopped_message_generation:
        place = stopped.chat
        if place.type != "private":
            return None
        where = _where(place, stopped.message_thread_id, me)
        return Pressed(str(update.update_id), where, _account(place.id, me), "/stop", place.title)
    return None


def merge(messages: Sequence[Message]) -> Message:
    """One message from the parts of an album, in the order in which they were sent."""
    parts = sorted(messages, key=lambda message: int(message.message_id))
    first = parts[0]
    if len(parts) == 1:
        return first
    return msgspec.structs.replace(
        first,
        text="\n".join(part.text for part in parts if part.text),
        attachments=tuple(attachment for part in parts for attachment in part.attachments),
        addressed=any(part.addressed for part in parts),
        quoted="\n".join(dict.fromkeys(part.quoted for part in parts if part.quoted)),
    )


def command(message: Inbound) -> bool:
    """Whether somebody gives a command, and so may need rights."""
    return isinstance(message, Pressed) or (isinstance(message, Message) and message.text.startswith(("/", "!")))


def _message(post: Post, me: Me) -> Message | None:
    place, sender = post.chat, post.from_
    if place.type not in {"private", "group", "supergroup"} or post.is_automatic_forward:
        return None
    private = place.type == "private"
    if post.sender_chat and not private:
        # An anonymous administrator speaks as the group, others as a channel of theirs; `from` is then a stand-in.
        who, name, admin = post.sender_chat.id, post.sender_chat.title, post.sender_chat.id == place.id
        language = ""
    elif sender and not sender.is_bot and sender.id != _TELEGRAM:
        who, name, admin = sender.id, f"{sender.first_name} {sender.last_name}".strip(), False
        language = sender.language_code
    else:
        return None
    attachments, described = _attachments(post)
    text = post.text or post.caption or (flat(post.rich_message.blocks) if post.rich_message else "") or described
    if not text and not attachments:
        return None
    entities = post.entities if post.text else post.caption_entities if post.caption else ()
    answered = _answered(post)
    text, mine, others = _command(text, entities, me)
    if others and not private:
        return None
    plain, mentioned = (text, False) if mine else _without_mentions(text, entities, me)
    start = ""
    if mine and plain.startswith("/start ") and _START.fullmatch(plain[7:].strip()):
        plain, start = "/start", plain[7:].strip()
    quoted = _quoted(post, answered)
    if post.forward_origin and not mine:
        plain, quoted = "", text[:QUOTE_CAP]
    return Message(
        event=f"{place.id}:{post.message_id}",
        chat=_where(place, post.message_thread_id if post.is_topic_message else 0, me),
        sender=_account(who, me),
        text=plain,
        name=name,
        message_id=str(post.message_id),
        reply_to=str(answered.message_id) if answered else "",
        quoted=quoted,
        attachments=attachments,
        addressed=private or mine or mentioned or _answers_us(answered, me),
        admin=admin,
        language=language,
        start=start,
    )


def _pressed(update_id: int, query: Callback, me: Me) -> Pressed | None:
    post = query.message
    if not post or query.from_.is_bot or not _ACTION.fullmatch(query.data) or post.chat.type == "channel":
        return None
    where = _where(post.chat, post.message_thread_id if post.is_topic_message else 0, me)
    name = f"{query.from_.first_name} {query.from_.last_name}".strip()
    return Pressed(str(update_id), where, _account(query.from_.id, me), query.data, name)


def _joined(update_id: int, change: MemberChange, me: Me) -> Joined | None:
    came = change.new_chat_member.status in _PRESENT and change.old_chat_member.status not in _PRESENT
    if not came or change.chat.type not in {"group", "supergroup"}:
        return None
    name = f"{change.from_.first_name} {change.from_.last_name}".strip()
    return Joined(str(update_id), _where(change.chat, 0, me), _account(change.from_.id, me), name)


def _where(place: Place, thread: int, me: Me) -> ChatRef:
    return ChatRef(PLATFORM, str(me.id), str(place.id), str(thread or ""), place.type == "private")


def _account(who: int, me: Me) -> Account:
    return Account(PLATFORM, str(me.id), str(who))


def _answered(post: Post) -> Post | None:
    """The message that this one answers. In a topic each message seems to answer the one that opened the topic."""
    answered = post.reply_to_message
    return None if answered is None or answered.forum_topic_created is not None else answered


def _answers_us(answered: Post | None, me: Me) -> bool:
    return bool(answered and answered.from_ and answered.from_.id == me.id)


def _quoted(post: Post, answered: Post | None) -> str:
    if post.quote and post.quote.text:
        return post.quote.text[:QUOTE_CAP]
    if not answered:
        return ""
    rich = flat(answered.rich_message.blocks) if answered.rich_message else ""
    return (answered.text or answered.caption or rich or _attachments(answered)[1])[:QUOTE_CAP]


def _command(text: str, entities: tuple[Entity, ...], me: Me) -> tuple[str, bool, bool]:
    """The text with the bot's name taken off its command; whether it is a command for us; whether for another bot."""
    for entity in entities:
        if entity.type == "bot_command" and entity.offset == 0:
            word, rest = text[: entity.length], text[entity.length :]  # a command is ASCII: units are characters
            name, _, bot = word.partition("@")
            if bot and me.username and bot.lower() != me.username.lower():
                return text, False, True
            return name + rest, True, False
    return text, False, False


def _without_mentions(text: str, entities: tuple[Entity, ...], me: Me) -> tuple[str, bool]:
    """The text without the places that name us, and whether there were any."""
    cuts: list[tuple[int, int]] = []
    units = b""
    for entity in entities:
        ours = entity.type == "text_mention" and entity.user is not None and entity.user.id == me.id
        if entity.type == "mention" and me.username:
            units = units or text.encode("utf-16-le", "surrogatepass")
            named = units[2 * entity.offset : 2 * (entity.offset + entity.length)].decode("utf-16-le", "replace")
            ours = named.lower() == f"@{me.username.lower()}"
        if ours:
            cuts.append((entity.offset, entity.offset + entity.length))
    if not cuts:
        return text, False
    units = units or text.encode("utf-16-le", "surrogatepass")
    kept, at = [], 0
    for start, end in sorted(cuts):
        kept.append(units[2 * at : 2 * start])
        at = end
    kept.append(units[2 * at :])
    pieces = [piece.decode("utf-16-le", "replace") for piece in kept]
    rest = pieces[0]
    for piece in pieces[1:]:
        rest = rest.rstrip(" ") + (" " if rest.strip() and piece[:1] == " " else "") + piece.lstrip(" ")
        if not rest.strip(" ,:\n"):
            rest = ""
    rest = rest.strip().removeprefix(",").removeprefix(":").strip()
    return rest or text, True


_FILES: tuple[tuple[str, AttachmentKind, str], ...] = (
    ("voice", "voice", "audio/ogg"),
    ("audio", "audio", "audio/mpeg"),
    ("video", "video", "video/mp4"),
    ("video_note", "video", "video/mp4"),
    ("animation", "video", "video/mp4"),  # before `document`, which repeats it
    ("document", "document", "application/octet-stream"),
)
_PICTURES = ("image/jpeg", "image/png", "image/webp", "image/gif")


def _attachments(post: Post) -> tuple[tuple[Attachment, ...], str]:
    """What came with a message, and words for what is better told than handed on."""
    if post.photo:
        largest = post.photo[-1]
        return (Attachment("image", largest.file_id, "image/jpeg", size=largest.file_size),), ""
    for field, kind, mime in _FILES:
        file: File | None = getattr(post, field)
        if file:
            mime = file.mime_type or mime
            kind = "image" if kind == "document" and mime in _PICTURES else kind
            name = file.file_name or file.title
            return (Attachment(kind, file.file_id, mime, name, file.file_size, file.duration),), ""
    if post.sticker:
        return (), post.sticker.emoji or "(a sticker)"
    if post.venue:
        point = _point(post.venue.location)
        told = ", ".join(part for part in (post.venue.title, post.venue.address, point) if part)
        return (Attachment("location", f"geo:{point}"),), f"Place: {told}"
    if post.location:
        point = _point(post.location)
        return (Attachment("location", f"geo:{point}"),), f"Location: {point}"
    if post.contact:
        name = f"{post.contact.first_name} {post.contact.last_name}".strip()
        phone = post.contact.phone_number
        return (Attachment("contact", f"tel:{phone}", name=name),), f"Contact: {name}, {phone}"
    if post.poll:
        return (), "\n".join(("Poll: " + post.poll.question, *(f"- {option.text}" for option in post.poll.options)))
    if post.dice:
        return (), f"{post.dice.emoji} {post.dice.value}"
    return (), ""


def _point(location: Location) -> str:
    return f"{location.latitude:.6f},{location.longitude:.6f}"
