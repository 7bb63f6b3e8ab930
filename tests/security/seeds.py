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
