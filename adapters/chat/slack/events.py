"""The parts of Slack's payloads that we read, as Slack names them; all else is skipped while decoding."""

import json
from typing import Annotated, Any

import msgspec


class Profile(msgspec.Struct):
    """What a message of somebody from elsewhere tells of them."""

    real_name: str | None = None
    display_name: str | None = None
    team: str | None = None
    is_restricted: bool | None = None
    is_ultra_restricted: bool | None = None


class File(msgspec.Struct):
    """A file that was shared."""

    id: str = ""
    name: str | None = None
    mimetype: str | None = None
    subtype: str | None = None
    size: Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)] | None = None
    duration_ms: float | None = None


class Post(msgspec.Struct):
    """A message, as it stands inside an event or inside another message."""

    type: str | None = None
    subtype: str | None = None
    user: str | None = None
    bot_id: str | None = None
    text: str | None = None
    ts: str | None = None
    thread_ts: str | None = None
    parent_user_id: str | None = None
    team: str | None = None
    user_team: str | None = None
    source_team: str | None = None
    user_profile: Profile | None = None
    blocks: list[Any] | None = None
    attachments: list[Any] | None = None
    files: list[File] | None = None


class Thread(msgspec.Struct):
    """A conversation with an app of the older kind."""

    channel_id: str | None = None
    thread_ts: str | None = None
    user_id: str | None = None


class Event(Post):
    """Something that happened: a message or any other event, with the fields of all that we read."""

    channel: str | None = None
    channel_type: str | None = None
    message: Post | None = None
    previous_message: Post | None = None
    deleted_ts: str | None = None
    event_ts: str | None = None
    inviter: str | None = None
    tab: str | None = None
    assistant_thread: Thread | None = None


class Authorization(msgspec.Struct):
    """For whom an event is."""

    team_id: str | None = None


class Named(msgspec.Struct):
    """Something with an id: a workspace, a person, a channel."""

    id: str = ""
    name: str | None = None
    team_id: str | None = None


class Action(msgspec.Struct):
    """What was pressed."""

    value: str | None = None


class Container(msgspec.Struct):
    """Where a button stands."""

    type: str | None = None
    channel_id: str | None = None
    message_ts: str | None = None
    thread_ts: str | None = None
    is_ephemeral: bool | None = None


class Payload(msgspec.Struct):
    """What an envelope or a request carries: an event, a press of a button, a slash command, a challenge."""

    type: str | None = None
    team_id: str | None = None
    api_app_id: str | None = None
    event_id: str | None = None
    event: Event | None = None
    authorizations: list[Authorization] | None = None
    is_ext_shared_channel: bool | None = None
    challenge: str | None = None
    # a press
    team: Named | None = None
    user: Named | None = None
    channel: Named | None = None
    container: Container | None = None
    message: Post | None = None
    actions: list[Action] | None = None
    trigger_id: str | None = None
    response_url: str | None = None
    # a slash command
    command: str | None = None
    text: str | None = None
    user_id: str | None = None
    user_name: str | None = None
    channel_id: str | None = None

    @property
    def lane(self) -> str:
        """The place whose events stay in order."""
        event = self.event
        if event:
            return event.channel or event.user or ""
        return self.channel_id or (self.channel.id if self.channel else "") or (self.user.id if self.user else "")

    @property
    def name(self) -> str:
        """What a copy of it is called too."""
        return self.event_id or self.trigger_id or ""


class Envelope(msgspec.Struct):
    """What comes over a socket; the payload is decoded apart, so that one that nobody understands is acknowledged."""

    type: str = ""
    envelope_id: str = ""
    payload: msgspec.Raw = msgspec.Raw(b"null")
    reason: str = ""
    connection_info: dict[str, Any] | None = None


_ENVELOPE = msgspec.json.Decoder(Envelope)
_PAYLOAD = msgspec.json.Decoder(Payload)


def envelope(frame: str | bytes) -> Envelope | None:
    """What came over a socket, None for what is no envelope."""
    try:
        return _ENVELOPE.decode(frame)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    try:
        return _ENVELOPE.decode(_mended(frame))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def payload(body: bytes | msgspec.Raw) -> Payload | None:
    """What an envelope or a request carries, None for a shape that is not understood. Raises msgspec.DecodeError for no JSON."""
    try:
        return _PAYLOAD.decode(body)
    except (msgspec.ValidationError, RecursionError):
        return None
    except (msgspec.DecodeError, UnicodeError):
        pass
    try:
        return _PAYLOAD.decode(_mended(bytes(body)))
    except (msgspec.ValidationError, RecursionError):
        return None


def slash(fields: dict[str, str]) -> Payload | None:
    """A slash command from the fields of its form."""
    try:
        return msgspec.convert({"type": "slash_command", **fields}, Payload, strict=False)
    except msgspec.ValidationError:
        return None


def _mended(frame: str | bytes) -> bytes:
    """The same JSON with a sign in place of what is no text: halves of pairs of surrogates, bytes that are no UTF-8."""
    try:
        value = json.loads(frame if isinstance(frame, str) else frame.decode("utf-8", "replace"))
    except ValueError as error:
        raise msgspec.DecodeError(str(error)) from None
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
