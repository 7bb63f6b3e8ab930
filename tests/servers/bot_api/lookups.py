"""What a bot looks up: itself, files, the people of a chat."""

from typing import TYPE_CHECKING

from tests.servers.bot_api.messages import as_member
from tests.servers.bot_api.methods import Methods
from tests.servers.bot_api.wire import Refused

if TYPE_CHECKING:
    from tests.servers.telegram import TelegramServer

METHODS = Methods()


@METHODS.method("getMe")
def _get_me(server: "TelegramServer", params: dict) -> dict:
    can = {"can_join_groups": True, "can_read_all_group_messages": not server.privacy, "supports_inline_queries": False}
    topics = {"has_topics_enabled": any(chat.forum and chat.kind == "private" for chat in server.chats.values())}
    return server.bot.json | can | topics


@METHODS.method("getFile", file_id="str!")
def _get_file(server: "TelegramServer", params: dict) -> dict:
    file_id = params["file_id"]
    if file_id not in server.files:
        raise Refused(400, "Bad Request: wrong file_id or the file is temporarily unavailable")
    path, data = server.files[file_id]
    if len(data) > 20 * 1024 * 1024:
        raise Refused(400, "Bad Request: file is too big")
    return {"file_id": file_id, "file_unique_id": "U" + file_id[1:], "file_size": len(data), "file_path": path}


@METHODS.method("getChatAdministrators", chat_id="chat!", return_bots="bool")
def _get_chat_administrators(server: "TelegramServer", params: dict) -> list[dict]:
    chat = server.chat_of(params)
    if chat.kind == "private":
        raise Refused(400, "Bad Request: there are no administrators in the private chat")
    return [as_member(p, "administrator" if n else "creator") for n, p in enumerate(chat.admins)]


@METHODS.method("getChatMember", chat_id="chat!", user_id="int!")
def _get_chat_member(server: "TelegramServer", params: dict) -> dict:
    chat, wanted = server.chat_of(params), params["user_id"]
    if wanted == server.bot.id:
        return as_member(server.bot, "administrator" if chat.bot_admin else "member")
    person = chat.members.get(wanted)
    if person is None:
        if wanted not in server.people:
            raise Refused(400, "Bad Request: PARTICIPANT_ID_INVALID")
        return as_member(server.people[wanted], "left")
    if person in chat.admins:
        return as_member(person, "administrator" if chat.admins.index(person) else "creator")
    return as_member(person, "member")
