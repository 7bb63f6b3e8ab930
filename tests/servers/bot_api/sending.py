"""What a bot says: messages, edits and previews, with their replies, buttons and threads."""

import itertools
import time
from typing import TYPE_CHECKING

from tests.servers.bot_api.chats import Chat, thread_of
from tests.servers.bot_api.markup import read_html, units
from tests.servers.bot_api.messages import Content, Draft, Message
from tests.servers.bot_api.methods import Methods
from tests.servers.bot_api.rich import read_rich
from tests.servers.bot_api.wire import Refused, now, words

if TYPE_CHECKING:
    from tests.servers.telegram import TelegramServer

METHODS = Methods()


SEND = {
    "business_connection_id": "str",
    "chat_id": "chat!",
    "message_thread_id": "int",
    "direct_messages_topic_id": "int",
    "disable_notification": "bool",
    "protect_content": "bool",
    "allow_paid_broadcast": "bool",
    "message_effect_id": "str",
    "suggested_post_parameters": "dict",
    "reply_parameters": "dict",
    "reply_markup": "dict",
}
TEXT = {"parse_mode": "str", "entities": "list", "link_preview_options": "dict"}
DRAFT = {"chat_id": "int!", "message_thread_id": "int", "draft_id": "int!", "can_stop": "bool", "keep_on_stop": "bool"}
NOT_MODIFIED = (
    "Bad Request: message is not modified: specified new message content and reply markup are exactly the same as a "
    "current content and reply markup of the message"
)
REPLY = words(
    "message_id chat_id allow_sending_without_reply quote quote_parse_mode quote_entities quote_position "
    "checklist_task_id poll_option_id"
)
PREVIEW = words("is_disabled url prefer_small_media prefer_large_media show_above_text")
BUTTON_ACTIONS = words(
    "url callback_data web_app login_url switch_inline_query switch_inline_query_current_chat "
    "switch_inline_query_chosen_chat copy_text callback_game pay"
)


@METHODS.method("sendMessage", text="str!", **SEND, **TEXT)
def _send_message(server: "TelegramServer", params: dict) -> dict:
    return _send(server, params, _content(params))


@METHODS.method("sendRichMessage", rich_message="dict!", **SEND)
def _send_rich_message(server: "TelegramServer", params: dict) -> dict:
    return _send(server, params, _rich_content(params["rich_message"]))


@METHODS.method(
    "editMessageText",
    business_connection_id="str",
    chat_id="chat",
    message_id="int",
    inline_message_id="str",
    text="str",
    rich_message="dict",
    reply_markup="dict",
    **TEXT,
)
def _edit_message_text(server: "TelegramServer", params: dict) -> dict:
    if "chat_id" not in params or "message_id" not in params:
        raise Refused(400, "Bad Request: message identifier is not specified")
    if "rich_message" in params and not server.rich:
        raise Refused(400, "Bad Request: message text is empty")  # an older server does not know the parameter
    if ("text" in params) == ("rich_message" in params):
        raise Refused(400, "Bad Request: exactly one of text and rich_message must be given")
    chat = server.chat_of(params)
    message = chat.by_id.get(params["message_id"])
    if message is None or message.deleted:
        raise Refused(400, "Bad Request: message to edit not found")
    if message.by is not server.bot:
        raise Refused(400, "Bad Request: message can't be edited")
    new = _content(params) if "text" in params else _rich_content(params["rich_message"])
    buttons = _buttons(params.get("reply_markup"), only_inline=True)
    if (new.text, new.entities, new.blocks, buttons) == (
        message.text,
        message.entities,
        message.wire.get("rich_message", {}).get("blocks", []),
        message.buttons,
    ):
        raise Refused(400, NOT_MODIFIED)
    message.edits.append(message.text)
    content = ("text", "entities", "rich_message", "reply_markup")
    wire = {k: v for k, v in message.wire.items() if k not in content} | {"edit_date": now()}
    _fill(message, new, buttons, wire)
    return message.wire


@METHODS.method("sendMessageDraft", text="str", parse_mode="str", entities="list", **DRAFT)
def _send_message_draft(server: "TelegramServer", params: dict) -> bool:
    return _draft(server, params, _content(params, empty=True))


@METHODS.method("sendRichMessageDraft", rich_message="dict!", **DRAFT)
def _send_rich_message_draft(server: "TelegramServer", params: dict) -> bool:
    return _draft(server, params, _rich_content(params["rich_message"], draft=True))


def _send(server: "TelegramServer", params: dict, content: Content) -> dict:
    chat = server.chat_of(params)
    thread, reply_to = thread_of(chat, params), _reply(chat, params)
    buttons = _buttons(params.get("reply_markup"))
    if "message_effect_id" in params and chat.kind != "private":
        raise Refused(400, "Bad Request: message effects are for private chats")
    if problems := set(params.get("link_preview_options", {})) - PREVIEW:
        raise Refused(400, f"Bad Request: link_preview_options has no {problems}")
    wire: dict = {"message_id": chat.next_id(), "date": now(), "chat": chat.json, "from": server.bot.json}
    if thread is not None:
        wire |= {"message_thread_id": thread, "is_topic_message": True}
    if reply_to:
        wire["reply_to_message"] = {k: v for k, v in reply_to.wire.items() if k != "reply_to_message"}
    message = Message(wire["message_id"], chat.id, server.bot, "", "", "", wire, time.monotonic(), thread=thread)
    message.reply_to = reply_to and reply_to.id
    _fill(message, content, buttons, wire)
    chat.keep(message)
    chat.vanish(thread)
    return wire


def _fill(message: Message, content: Content, buttons: list[list[dict]], wire: dict) -> None:
    message.kind, message.text, message.raw = content.kind, content.text, content.raw
    message.entities, message.links, message.media = content.entities, content.links, content.media
    message.buttons, message.wire = buttons, wire
    if content.kind == "rich":
        wire["rich_message"] = {"blocks": content.blocks}
    else:
        wire["text"] = content.text
        if content.entities:
            wire["entities"] = content.entities
    if buttons:
        wire["reply_markup"] = {"inline_keyboard": buttons}


def _draft(server: "TelegramServer", params: dict, content: Content) -> bool:
    chat = server.chat_of(params)
    if chat.kind != "private":
        raise Refused(400, "Bad Request: drafts can be sent only to private chats")
    if not params["draft_id"]:
        raise Refused(400, "Bad Request: draft_id must be non-zero")
    stop, keep = params.get("can_stop", False), params.get("keep_on_stop", False)
    thread = thread_of(chat, params)
    chat.preview(
        Draft(params["draft_id"], content.text, content.raw, content.kind, thread, stop, keep, time.monotonic())
    )
    return True


def _content(params: dict, *, empty: bool = False) -> Content:
    raw, mode = params.get("text", ""), params.get("parse_mode", "")
    if mode and "entities" in params:
        raise Refused(400, "Bad Request: parse_mode and entities exclude each other")
    if mode.lower() not in ("", "html"):
        raise Refused(400, "Bad Request: unsupported parse_mode")
    text, entities = read_html(raw) if mode else (raw, params.get("entities", []))
    if not mode:
        size = units(text)
        if any(e["offset"] < 0 or e["length"] < 1 or e["offset"] + e["length"] > size for e in entities):
            raise Refused(400, "Bad Request: entity is outside of the text")
        if not entities:
            text = text.strip(" \n\t\r")
    if not text and not empty:
        raise Refused(400, "Bad Request: message text is empty")
    if units(text) > 4096:
        raise Refused(400, "Bad Request: message is too long")
    links = [e["url"] for e in entities if "url" in e]
    return Content("html" if mode else "text", text, raw, entities, links=links)


def _rich_content(rich: dict, *, draft: bool = False) -> Content:
    if unknown := set(rich) - {"html", "markdown", "is_rtl", "skip_entity_detection"}:
        raise Refused(400, f"Bad Request: rich_message has no {', '.join(sorted(unknown))}")
    if ("html" in rich) == ("markdown" in rich):
        raise Refused(400, "Bad Request: exactly one of html and markdown must be given")
    if "markdown" in rich:
        text = raw = rich["markdown"]
        content = Content("rich", text, raw, blocks=[{"type": "paragraph", "text": text}])
    else:
        content = read_rich(rich["html"], draft=draft)
    if not content.text and not content.blocks:
        raise Refused(400, "Bad Request: message text is empty")
    if len(content.text) > 32768:
        raise Refused(400, "Bad Request: message is too long")
    return content


def _reply(chat: Chat, params: dict) -> Message | None:
    given = params.get("reply_parameters")
    if given is None:
        return None
    if not isinstance(given.get("message_id"), int) or set(given) - REPLY:
        raise Refused(400, "Bad Request: can't parse reply parameters")
    message = chat.by_id.get(given["message_id"])
    if message is None or message.deleted:
        if given.get("allow_sending_without_reply"):
            return None
        raise Refused(400, "Bad Request: message to be replied not found")
    if given.get("quote") and given["quote"] not in message.text:
        raise Refused(400, "Bad Request: QUOTE_TEXT_INVALID")
    return message


def _buttons(markup: dict | None, *, only_inline: bool = False) -> list[list[dict]]:
    if not markup:
        return []
    if "inline_keyboard" not in markup:
        if only_inline or not set(markup) & {"keyboard", "remove_keyboard", "force_reply"}:
            raise Refused(400, "Bad Request: object expected as reply markup")
        return []
    rows = [row for row in markup["inline_keyboard"] if row]
    if any(len(row) > 8 for row in rows) or sum(map(len, rows)) > 100:
        raise Refused(400, "Bad Request: reply markup is too long")
    for button in itertools.chain.from_iterable(rows):
        actions = set(button) & BUTTON_ACTIONS
        if not button.get("text") or set(button) - actions - {"text", "style", "icon_custom_emoji_id"}:
            raise Refused(400, "Bad Request: can't parse inline keyboard button")
        if len(actions) != 1:
            raise Refused(400, "Bad Request: text buttons are unallowed in the inline keyboard")
        if "callback_data" in button and not 1 <= len(button["callback_data"].encode()) <= 64:
            raise Refused(400, "Bad Request: BUTTON_DATA_INVALID")
        if button.get("style", "primary") not in ("primary", "success", "danger"):
            raise Refused(400, "Bad Request: BUTTON_STYLE_INVALID")
        if "copy_text" in button and not 1 <= len(button["copy_text"].get("text", "")) <= 256:
            raise Refused(400, "Bad Request: BUTTON_COPY_TEXT_INVALID")
    return rows
