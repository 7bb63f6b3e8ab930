"""Honest events of each platform, one of each shape that we read."""

from typing import Any

_ADA = {"id": 1, "is_bot": False, "first_name": "Ada", "last_name": "L", "language_code": "de"}
_PRIVATE = {"id": 1, "type": "private", "first_name": "Ada"}
_GROUP = {"id": -100123, "type": "supergroup", "title": "G", "is_forum": True}


def _post(**fields: Any) -> dict[str, Any]:
    return {"message_id": 5, "date": 1, "chat": _PRIVATE, "from": _ADA, **fields}


TELEGRAM: list[Any] = [
    {"update_id": 1, "message": _post(text="hi 👩‍👩‍👧‍👦 @mybot", entities=[{"type": "mention", "offset": 15, "length": 6}])},
    {"update_id": 2, "message": _post(chat=_GROUP, text="/new@mybot x", message_thread_id=9, is_topic_message=True,
        entities=[{"type": "bot_command", "offset": 0, "length": 10}],
        reply_to_message=_post(message_id=4, text="before"), quote={"text": "fore"})},
    {"update_id": 3, "edited_message": _post(caption="look", photo=[{"file_id": "F", "file_unique_id": "U", "file_size": 5}],
        caption_entities=[{"type": "text_mention", "offset": 0, "length": 4, "user": {"id": 42, "is_bot": True}}])},
    {"update_id": 4, "message": _post(voice={"file_id": "F", "file_unique_id": "U", "duration": 3, "mime_type": "audio/ogg"})},
    {"update_id": 5, "message": _post(venue={"location": {"latitude": 1.5, "longitude": 2.5}, "title": "T", "address": "A"},
        location={"latitude": 1.5, "longitude": 2.5})},
    {"update_id": 6, "message": _post(rich_message={"blocks": [
        {"type": "paragraph", "text": ["hi ", {"type": "bold", "text": "you"}]},
        {"type": "list", "items": [{"blocks": [{"type": "paragraph", "text": "one"}]}]}]})},
    {"update_id": 7, "message": _post(poll={"question": "?", "options": [{"text": "a"}, {"text": "b"}]})},
    {"update_id": 8, "message": _post(contact={"phone_number": "+1", "first_name": "B"}, forward_origin={"type": "user"})},
    {"update_id": 9, "callback_query": {"id": "q", "from": _ADA, "chat_instance": "c", "data": "/retry", "message": _post()}},
    {"update_id": 10, "my_chat_member": {"chat": _GROUP, "from": _ADA, "date": 1,
        "old_chat_member": {"status": "left"}, "new_chat_member": {"status": "member"}}},
    {"update_id": 11, "stopped_message_generation": {"chat": _PRIVATE, "draft_id": 9}},
]  # fmt: skip

WEB: list[Any] = [
    {"thread": "t" * 20, "id": "message-1", "text": "hello", "zone": "Europe/Berlin", "language": "de-DE"},
    {"thread": "t" * 20, "id": "message-2", "action": "/model openai:x"},
]

TERMINAL: list[Any] = [
    {"text": "hello", "thread": "main", "id": "m1", "zone": "Europe/Berlin"},
    {"thread": "main", "id": "s1"},
]

_BOB = {"id": "2", "username": "bob", "global_name": "Bob", "discriminator": "0", "avatar": None}


def _frame(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"op": 0, "s": 2, "t": kind, "d": data}


def _written(**fields: Any) -> dict[str, Any]:
    return {"id": "1000", "channel_id": "50", "author": _BOB, "content": "hi", "type": 0, "mentions": [], "attachments": [],
        "timestamp": "2026-11-01T00:00:00+00:00", "edited_timestamp": None, **fields}  # fmt: skip


DISCORD: list[Any] = [
    _frame("MESSAGE_CREATE", _written(content="hello <@42>, <#50>, <@&7> and <:smile:99> <t:1:R>", guild_id="9",
        mentions=[{"id": "42", "username": "pieria", "bot": True, "member": {"nick": "P", "roles": ["7"]}}],
        member={"nick": "B", "roles": ["7"]}, mention_roles=["7"])),
    _frame("MESSAGE_CREATE", _written(attachments=[{"id": "9", "filename": "voice-message.ogg", "size": 5,
        "content_type": "audio/ogg", "duration_secs": 2.5, "waveform": "AAA="}], flags=8192)),
    _frame("MESSAGE_CREATE", _written(type=19, message_reference={"message_id": "900", "channel_id": "50"},
        referenced_message=_written(id="900", content="before", author={"id": "42", "username": "pieria", "bot": True}))),
    _frame("MESSAGE_CREATE", _written(content="", message_reference={"type": 1, "message_id": "8"},
        message_snapshots=[{"message": {"content": "forwarded", "attachments": []}}])),
    _frame("MESSAGE_CREATE", _written(content="", sticker_items=[{"id": "5", "name": "wave", "format_type": 1}],
        poll={"question": {"text": "?"}, "answers": [{"answer_id": 1, "poll_media": {"text": "a"}}]})),
    _frame("MESSAGE_UPDATE", _written(content="hi!", edited_timestamp="2026-11-01T00:00:05+00:00")),
    _frame("MESSAGE_DELETE", {"id": "1000", "channel_id": "50", "guild_id": "9"}),
    _frame("MESSAGE_DELETE_BULK", {"ids": ["1000", "1001"], "channel_id": "50"}),
    _frame("INTERACTION_CREATE", {"id": "2000", "application_id": "42", "type": 2, "token": "TOK", "version": 1,
        "channel_id": "50", "channel": {"id": "50", "type": 11, "parent_id": "40"}, "guild_id": "9",
        "member": {"user": _BOB, "roles": [], "permissions": "32"},
        "data": {"id": "77", "name": "model", "type": 1, "options": [{"name": "name", "type": 3, "value": "openai:x"}]}}),
    _frame("INTERACTION_CREATE", {"id": "2001", "application_id": "42", "type": 3, "token": "TOK", "channel_id": "50",
        "user": _BOB, "data": {"custom_id": "/retry", "component_type": 2}, "message": _written()}),
]  # fmt: skip


def _told(event: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "event_callback", "team_id": "T1", "api_app_id": "A1", "event_id": "Ev1", "event": event, **more}


def _spoken(**fields: Any) -> dict[str, Any]:
    return {
        "type": "message",
        "user": "U1",
        "text": "hi",
        "ts": "10.1",
        "channel": "D1",
        "channel_type": "im",
        **fields,
    }


SLACK: list[Any] = [
    _told(_spoken(text="hello <@UBOT> &amp; <#C1|general>, <https://a.example|there> <!here>")),
    _told(_spoken(type="app_mention", channel="C1", channel_type="channel", thread_ts="9.1", blocks=[{"type": "rich_text",
        "elements": [{"type": "rich_text_section", "elements": [{"type": "user", "user_id": "UBOT"},
            {"type": "text", "text": " look", "style": {"bold": True}}, {"type": "link", "url": "https://a.example"},
            {"type": "emoji", "name": "smile"}, {"type": "broadcast", "range": "here"}]},
            {"type": "rich_text_list", "style": "ordered", "elements": [{"type": "rich_text_section", "elements": []}]},
            {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": "x = 1"}]}]}])),
    _told(_spoken(subtype="file_share", files=[{"id": "F1", "name": "a.png", "mimetype": "image/png", "size": 5},
        {"id": "F2", "subtype": "slack_audio", "mimetype": "audio/webm", "duration_ms": 1500}])),
    _told(_spoken(subtype="message_changed", message=_spoken(text="hi!"), previous_message=_spoken(), user=None)),
    _told(_spoken(subtype="message_deleted", deleted_ts="10.1", previous_message=_spoken())),
    _told(_spoken(attachments=[{"text": "shared words", "is_msg_unfurl": True, "author_name": "Bob"}])),
    _told({"type": "member_joined_channel", "user": "UBOT", "channel": "C1", "inviter": "U1", "event_ts": "11.1"}),
    _told({"type": "agent_session_stopped", "user": "U1", "channel": "D1", "thread_ts": "10.1", "event_ts": "12.1"}),
    {"type": "block_actions", "team": {"id": "T1"}, "user": {"id": "U1", "name": "ada"}, "channel": {"id": "C1"},
        "trigger_id": "1.3", "container": {"type": "message", "message_ts": "10.2", "channel_id": "C1", "thread_ts": "10.1"},
        "actions": [{"type": "button", "action_id": "a", "block_id": "b", "value": "/retry"}]},
    {"type": "slash_commands", "command": "/pieria", "text": "help me", "user_id": "U1", "channel_id": "C1", "team_id": "T1",
        "trigger_id": "1.2", "user_name": "ada", "channel_name": "general"},
]  # fmt: skip
