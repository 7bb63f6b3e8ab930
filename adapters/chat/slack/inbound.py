"""From a payload of Slack to a value of core, or to nothing; pure.

What a payload cannot tell by itself (what people are called, who belongs to the workspace, which threads are ours) is
added by the reception. A message is known by channel and time stamp, so that a mention and the message that it stands in,
which Slack tells twice, are one.
"""

import re
from collections.abc import Mapping

import msgspec

from adapters.chat.slack import wording
from adapters.chat.slack.events import Event, File, Payload, Post
from core.messages import (
    Account,
    Attachment,
    AttachmentKind,
    ChatRef,
    Deleted,
    Edited,
    Inbound,
    Joined,
    Message,
    Pressed,
)

PLATFORM = "slack"
EVENTS = (
    "agent_session_stopped",
    "app_home_opened",
    "app_mention",
    "app_uninstalled",
    "member_joined_channel",
    "message.channels",
    "message.groups",
    "message.im",
    "message.mpim",
    "tokens_revoked",
)
"""The events that we read, as the manifest subscribes to them."""
COMMAND = "/pieria"
QUOTE_CAP = 4_000
"""Characters of a shared text."""
ASIDE = "@"
"""Begins the thread of a slash command's own lane, before the id of whoever gave it: its answers are for them alone."""

_ACTION = re.compile(r"/[a-z][a-z0-9_]{0,31}( [^\x00-\x1f]*)?")
_SPOKEN = frozenset({None, "", "file_share", "thread_broadcast", "me_message"})
_PICTURES = ("image/jpeg", "image/png", "image/webp", "image/gif")
_SLACKBOT = "USLACKBOT"


class Me(msgspec.Struct, frozen=True):
    """Who we are here."""

    team: str = ""
    user: str = ""
    bot: str = ""
    app: str = ""
    """"" where nothing told it."""
    named: bool = False
    """`team` is but a name: Slack told no id, and which workspaces are others cannot be seen."""


def ours(payload: Payload, me: Me) -> bool:
    """Whether a payload is for this app in this workspace. In a shared channel the workspace of the event may be another."""
    teams = {payload.team_id, payload.team.id if payload.team else None}
    teams |= {given.team_id for given in payload.authorizations or ()}
    known = teams - {None, ""}
    if known and me.team not in known and not me.named:
        return False
    return not (me.app and payload.api_app_id and payload.api_app_id != me.app)


def read(
    payload: Payload, me: Me, names: Mapping[str, str], commands: frozenset[str] = frozenset(), im: str = ""
) -> Inbound | None:
    """What core is told of a payload; None for what does not concern an assistant. `names` are what people are called,
    `im` is the direct message with whoever pressed or typed, where it is known to be ours.
    """
    event = payload.event
    if event is None:
        if payload.command:
            return _slash(payload, me, names, commands, im)
        return _pressed(payload, me, im) if payload.type == "block_actions" else None
    match event.type:
        case "message" if event.subtype == "message_changed":
            return _changed(event, me, names)
        case "message" if event.subtype == "message_deleted":
            return _deleted(event, event.previous_message, event.deleted_ts, me)
        case "message" | "app_mention":
            return _message(event, event, me, names)
        case "member_joined_channel" if event.user == me.user and event.channel:
            where = ChatRef(PLATFORM, me.team, event.channel, private=False)
            inviter = event.inviter or ""
            return Joined(
                f"{event.channel}:joined:{event.event_ts}", where, _account(inviter, me), names.get(inviter, "")
            )
        case "agent_session_stopped" if event.channel and event.user:
            where = _where(event.channel, event.thread_ts or "", me)
            stamp = event.event_ts or event.thread_ts
            who = event.user
            return Pressed(f"{event.channel}:stop:{stamp}", where, _account(who, me), "/stop", names.get(who, ""))
    return None


def people(payload: Payload) -> frozenset[str]:
    """Everybody whom a payload names only by id."""
    event = payload.event
    if event is None:
        who = payload.user_id or (payload.user.id if payload.user else "")
        return frozenset({who, *wording.people(payload.text or "", None)}) - {""}
    post = event.message if event.subtype == "message_changed" and event.message else event
    named = {post.user or "", event.inviter or "", *wording.people(post.text or "", post.blocks)}
    return frozenset(named) - {"", _SLACKBOT}


def speaker(payload: Payload) -> str:
    """Whose message, press or command it is."""
    event = payload.event
    if event is None:
        return payload.user_id or (payload.user.id if payload.user else "")
    post = event.message if event.subtype == "message_changed" and event.message else event
    return event.inviter or "" if event.type == "member_joined_channel" else post.user or ""


def _message(post: Post, event: Event, me: Me, names: Mapping[str, str]) -> Message | None:
    channel, stamp = event.channel, post.ts
    if not (channel and stamp and post.user) or post.user in {me.user, _SLACKBOT} or post.bot_id:
        return None
    if post.subtype not in _SPOKEN:
        return None
    private = _private(channel, event.channel_type)
    raw = post.text or ""
    mentioned = event.type == "app_mention" or wording.mentions(me.user, raw, post.blocks)

    def called(who: str) -> str:
        return names.get(who) or who

    text = wording.rich(post.blocks, me.user, called) or wording.plain(raw, me.user, called)
    text = _tidied(text) if mentioned else text.strip("\n")
    attachments = tuple(attachment for file in post.files or () if (attachment := _attachment(file)))
    quoted = _quoted(post, me, called)
    if not (text.strip() or attachments or quoted or mentioned):
        return None
    return Message(
        event=f"{channel}:{stamp}",
        chat=ChatRef(PLATFORM, me.team, channel, post.thread_ts or stamp, private),
        sender=_account(post.user, me),
        text=text,
        name=names.get(post.user, ""),
        message_id=stamp,
        quoted=quoted,
        attachments=attachments,
        addressed=private or mentioned or bool(me.user and post.parent_user_id == me.user),
    )


def _changed(event: Event, me: Me, names: Mapping[str, str]) -> Inbound | None:
    now, before = event.message, event.previous_message
    if now is None:
        return None
    if now.subtype == "tombstone":
        return _deleted(event, before, now.ts, me)
    if before is not None and (before.text or "") == (now.text or ""):
        return None  # a link was unfurled, or a thread has grown
    message = _message(now, event, me, names)
    return Edited(f"{event.channel}:{now.ts}:e:{event.event_ts or event.ts}", message) if message else None


def _deleted(event: Event, before: Post | None, stamp: str | None, me: Me) -> Deleted | None:
    if not (event.channel and stamp) or (before is not None and (before.bot_id or before.user == me.user)):
        return None
    thread = (before.thread_ts if before else None) or stamp
    where = ChatRef(PLATFORM, me.team, event.channel, thread, _private(event.channel, event.channel_type))
    return Deleted(f"{event.channel}:{stamp}:d", where, f"{event.channel}:{stamp}")


def _slash(payload: Payload, me: Me, names: Mapping[str, str], commands: frozenset[str], im: str) -> Message | None:
    who, channel = payload.user_id, payload.channel_id
    if not (who and channel and payload.trigger_id):
        return None
    text = wording.plain(payload.text or "", me.user, lambda other: names.get(other) or other).strip()
    word = text.split(maxsplit=1)[0].lower() if text else "help"
    if word in commands or not text:
        text = f"/{text or 'help'}"
    # A command cannot be given in a thread, and not everybody in the channel asked for its answer: it has a lane of its own.
    where = ChatRef(PLATFORM, me.team, channel, "" if channel == im else f"{ASIDE}{who}", private=True)
    return Message(
        event=payload.trigger_id,
        chat=where,
        sender=_account(who, me),
        text=text,
        name=names.get(who) or payload.user_name or "",
        message_id=payload.trigger_id,
    )


def _pressed(payload: Payload, me: Me, im: str) -> Pressed | None:
    if not payload.actions or payload.user is None or not payload.user.id:
        return None
    action = payload.actions[0].value or ""
    at = payload.container
    channel = (payload.channel.id if payload.channel else "") or (at.channel_id if at else "") or im
    if not channel or not _ACTION.fullmatch(action):
        return None
    stamp = (at.message_ts if at else "") or (payload.message.ts if payload.message else "") or ""
    thread = (at.thread_ts if at else "") or (payload.message.thread_ts if payload.message else "") or stamp or ""
    who = payload.user.id
    if at is not None and at.is_ephemeral and not at.thread_ts:
        thread = f"{ASIDE}{who}"
    where = _where(channel, thread, me)
    if thread.startswith(ASIDE):
        where = msgspec.structs.replace(where, private=True)
    event = payload.trigger_id or f"{channel}:{stamp}:{action}"
    return Pressed(event, where, _account(who, me), action, payload.user.name or "")


def _where(channel: str, thread: str, me: Me) -> ChatRef:
    return ChatRef(PLATFORM, me.team, channel, thread, _private(channel, None))


def _private(channel: str, kind: str | None) -> bool:
    return kind in {"im", "app_home"} if kind else channel.startswith("D")


def _account(who: str, me: Me) -> Account:
    return Account(PLATFORM, me.team, who)


def _tidied(text: str) -> str:
    """A text out of which a mention of us was taken."""
    text = re.sub(r"(?<=\S) {2,}(?=\S)", " ", text).strip()
    return text.removeprefix(",").removeprefix(":").strip()


def _quoted(post: Post, me: Me, called: wording.Names) -> str:
    shared = []
    for attachment in post.attachments or ():
        if isinstance(attachment, dict) and (attachment.get("is_share") or attachment.get("is_msg_unfurl")):
            text = attachment.get("text") or attachment.get("fallback")
            shared.append(wording.plain(text, me.user, called) if isinstance(text, str) else "")
    return "\n\n".join(part for part in shared if part)[:QUOTE_CAP]


def _attachment(file: File) -> Attachment | None:
    mime = file.mimetype or ""
    kind: AttachmentKind = "document"
    if mime in _PICTURES:
        kind = "image"
    elif file.subtype == "slack_audio":
        kind = "voice"
    elif mime.startswith("audio/"):
        kind = "audio"
    elif mime.startswith("video/") or file.subtype == "slack_video":
        kind = "video"
    return Attachment(kind, file.id, mime, file.name or "", file.size or 0, max(file.duration_ms or 0.0, 0.0) / 1000)
