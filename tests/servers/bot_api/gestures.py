"""What a bot does in a chat without saying anything: typing, answers to presses, reactions, deletions."""

import functools
import time
from typing import TYPE_CHECKING

from tests.servers.bot_api.chats import thread_of
from tests.servers.bot_api.methods import Methods
from tests.servers.bot_api.wire import Refused, words

if TYPE_CHECKING:
    from tests.servers.telegram import TelegramServer

METHODS = Methods()


ACTIONS = words(
    "typing upload_photo record_video upload_video record_voice upload_voice upload_document choose_sticker "
    "find_location record_video_note upload_video_note"
)


@METHODS.method("sendChatAction", business_connection_id="str", chat_id="chat!", message_thread_id="int", action="str!")
def _send_chat_action(server: "TelegramServer", params: dict) -> bool:
    chat = server.chat_of(params)
    if params["action"] not in ACTIONS:
        raise Refused(400, "Bad Request: wrong parameter action in request")
    thread = thread_of(chat, params)
    chat.typing.append((time.monotonic(), params["action"], thread))
    return True


@METHODS.method(
    "answerCallbackQuery", callback_query_id="str!", text="str", show_alert="bool", url="str", cache_time="int"
)
def _answer_callback_query(server: "TelegramServer", params: dict) -> bool:
    press = server.presses.get(params["callback_query_id"])
    if press is None or press.answered:
        raise Refused(400, "Bad Request: query is too old and response timeout expired or query ID is invalid")
    if len(params.get("text", "")) > 200:
        raise Refused(400, "Bad Request: MESSAGE_TOO_LONG")
    press.answered, press.answer, press.alert = True, params.get("text", ""), params.get("show_alert", False)
    return True


@METHODS.method("setMessageReaction", chat_id="chat!", message_id="int!", reaction="list", is_big="bool")
def _set_message_reaction(server: "TelegramServer", params: dict) -> bool:
    message = server.chat_of(params).by_id.get(params["message_id"])
    if message is None or message.deleted:
        raise Refused(400, "Bad Request: message to react not found")
    reactions = params.get("reaction", [])
    if len(reactions) > 1:
        raise Refused(400, "Bad Request: REACTIONS_TOO_MANY")
    if any(r.get("type") != "emoji" or r.get("emoji") not in _reaction_emoji() for r in reactions):
        raise Refused(400, "Bad Request: REACTION_INVALID")
    message.reactions = [r["emoji"] for r in reactions]
    return True


@METHODS.method("deleteMessage", chat_id="chat!", message_id="int!")
def _delete_message(server: "TelegramServer", params: dict) -> bool:
    chat = server.chat_of(params)
    message = chat.by_id.get(params["message_id"])
    if message is None or message.deleted:
        raise Refused(400, "Bad Request: message to delete not found")
    if message.by is not server.bot and chat.kind != "private" and not chat.bot_admin:
        raise Refused(400, "Bad Request: message can't be deleted")
    message.deleted = True
    return True


@functools.cache
def _reaction_emoji() -> frozenset[str]:
    from telegram.constants import ReactionEmoji

    return frozenset(str(e.value) for e in ReactionEmoji)
