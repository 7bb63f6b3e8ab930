"""Messages that the bot posts, edits and deletes."""

import time
from typing import TYPE_CHECKING, Any

from tests.servers.slack_api.blocks import check_blocks
from tests.servers.slack_api.messages import Message
from tests.servers.slack_api.methods import Methods
from tests.servers.slack_api.wire import Refused, encode

if TYPE_CHECKING:
    from tests.servers.slack import SlackServer
    from tests.servers.slack_api.chats import Chat

METHODS = Methods()
LOOKS = {"icon_emoji": "str", "icon_url": "str", "username": "str"}
SAID = {"text": "str", "blocks": "list", "attachments": "list", "markdown_text": "str", "metadata": "dict"}
SAID |= {"parse": "str", "link_names": "bool", "as_user": "bool"}


@METHODS.method(
    "chat.postMessage",
    "special",
    "chat:write",
    channel="str!",
    thread_ts="str",
    reply_broadcast="bool",
    unfurl_links="bool",
    unfurl_media="bool",
    unfurl_app_links="bool",
    mrkdwn="bool",
    container_id="str",
    **SAID,
    **LOOKS,
)
def _post_message(server: "SlackServer", params: dict) -> dict:
    chat = server.chat_of(params["channel"])
    said = content(server, params)
    thread = chat.thread_of(params.get("thread_ts"))
    if params.get("reply_broadcast"):
        if thread is None:
            raise Refused("cannot_reply_to_message")
        said["subtype"] = "thread_broadcast"
    if params.get("mrkdwn") is False:
        said["mrkdwn"] = False
    message = chat.post_as(server.bot, said.pop("text"), thread, tell=False, **said)
    told(server, message, params)
    chat.tell_of(message)
    if message.links and params.get("unfurl_links") is not False:
        unfurl(chat, message)
    return {"channel": chat.id, "ts": message.ts, "message": dict(message.wire)}


@METHODS.method(
    "chat.update",
    "T3",
    "chat:write",
    channel="str!",
    ts="str!",
    reply_broadcast="bool",
    file_ids="list",
    unfurl_links="bool",
    unfurl_media="bool",
    **SAID,
)
def _update(server: "SlackServer", params: dict) -> dict:
    chat = server.chat_of(params["channel"], people=False)
    message = message_of(chat, params["ts"])
    if message.by is not server.bot or message.wire.get("subtype") == "channel_join":
        raise Refused("cant_update_message")
    if server.edit_seconds is not None and time.monotonic() - message.at > server.edit_seconds:
        raise Refused("edit_window_closed")
    if message.stream and server.stream_state(message) == "open":
        raise Refused("streaming_state_conflict")
    said = content(server, params, most_text=server.longest_update)
    previous = dict(message.wire)
    if message.stream and message.stream.state == "expired":
        message.stream.state = "stopped"
    message.wire["text"] = said["text"]
    if "blocks" in said:
        message.wire["blocks"] = said["blocks"]
    else:
        message.wire.pop("blocks", None)
        message.wire["edited"] = {"user": server.bot.id, "ts": server.now()}
    told(server, message, params)
    chat.show(message)
    chat.changed(message, previous)
    return {"channel": chat.id, "ts": message.ts, "text": message.raw, "message": dict(message.wire)}


@METHODS.method("chat.delete", "T3", "chat:write", channel="str!", ts="str!", as_user="bool")
def _delete(server: "SlackServer", params: dict) -> dict:
    chat = server.chat_of(params["channel"])
    message = message_of(chat, params["ts"])
    if message.by is not server.bot:
        raise Refused("cant_delete_message")
    chat.remove(message)
    return {"channel": chat.id, "ts": message.ts}


@METHODS.method("chat.postEphemeral", "T4", "chat:write", channel="str!", user="str!", thread_ts="str", **SAID, **LOOKS)
def _post_ephemeral(server: "SlackServer", params: dict) -> dict:
    chat = server.chat_of(params["channel"])
    if params["user"] not in chat.members:
        raise Refused("user_not_in_channel")
    said = content(server, params)
    said.pop("metadata", None)
    thread = chat.thread_of(params.get("thread_ts"))
    message = chat.whisper(server.bot, params["user"], said.pop("text"), thread, **said)
    return {"message_ts": message.ts}


@METHODS.method("chat.getPermalink", "special", only_form=True, channel="str!", message_ts="str!")
def _get_permalink(server: "SlackServer", params: dict) -> dict:
    chat = server.chat_of(params["channel"], write=False)
    message = message_of(chat, params["message_ts"])
    link = f"https://{server.domain}.slack.com/archives/{chat.id}/p{message.ts.replace('.', '')}"
    link += f"?thread_ts={message.thread}&cid={chat.id}" if message.thread else ""
    return {"channel": chat.id, "permalink": link}


def message_of(chat: "Chat", ts: str) -> Message:
    """The message that a call names."""
    message = chat.by_ts.get(ts)
    if message is None or message.deleted:
        raise Refused("message_not_found")
    return message


def content(server: "SlackServer", params: dict, *, most_text: int | None = None) -> dict[str, Any]:
    """What a call says, checked: text, blocks with their ids, attachments."""
    if "markdown_text" in params:
        if params.get("text") or params.get("blocks"):
            raise Refused("markdown_text_conflict")
        if len(params["markdown_text"]) > 12000:
            raise Refused("msg_too_long")
        blocks = [{"type": "markdown", "text": params["markdown_text"]}] if params["markdown_text"] else []
        said = {"text": params["markdown_text"], "blocks": finished(server, blocks)}
    else:
        check_blocks(params.get("blocks", []))
        said = {"text": params.get("text", "")}
        if params.get("blocks"):
            said["blocks"] = finished(server, params["blocks"])
    if params.get("attachments"):
        said["attachments"] = params["attachments"]
    if not said["text"].strip() and not said.get("blocks") and not said.get("attachments"):
        raise Refused("no_text")
    if len(said["text"]) > (most_text or server.longest_text):
        raise Refused("msg_too_long")
    if said.get("blocks") and not said["text"]:
        server.problems.append("blocks without a text that notifications and screen readers could use")
    for key in ("icon_emoji", "icon_url", "username"):
        if key in params and "chat:write.customize" not in server.scopes:
            raise Refused("missing_scope", needed="chat:write.customize", provided=",".join(sorted(server.scopes)))
    if "metadata" in params:
        check_metadata(params["metadata"])
    if server.longest_blocks and len(encode(said.get("blocks", []))) > server.longest_blocks:
        raise Refused("msg_blocks_too_long")
    return said


def finished(server: "SlackServer", blocks: list[dict]) -> list[dict]:
    """Blocks with the ids that the platform gives to those that have none."""
    done = []
    for block in blocks:
        block = dict(block)
        block["block_id"] = (
            server.new_id("b") if block["type"] == "markdown" else block.get("block_id") or server.new_id("b")
        )
        if block["type"] in ("actions", "context_actions"):
            block["elements"] = [{"action_id": server.new_id("a")} | element for element in block["elements"]]
        if "accessory" in block and block["accessory"]["type"] != "image":
            block["accessory"] = {"action_id": server.new_id("a")} | block["accessory"]
        done.append(block)
    return done


def check_metadata(metadata: Any) -> None:
    if metadata == {}:
        return
    if not isinstance(metadata, dict) or set(metadata) - {"event_type", "event_payload", "entities"}:
        raise Refused("invalid_metadata_format")
    kind, payload = metadata.get("event_type"), metadata.get("event_payload")
    if not isinstance(kind, str) or not kind or not isinstance(payload, dict):
        raise Refused("invalid_metadata_schema")
    if len(str(payload)) > 8000:
        raise Refused("metadata_too_large")


def told(server: "SlackServer", message: Message, params: dict) -> None:
    """What goes with a message and is not seen: metadata, and loud ways of parsing."""
    if "metadata" in params:
        message.metadata = params["metadata"] or None
    if params.get("link_names") or params.get("parse") == "full":
        server.problems.append("link_names or parse=full makes mentions of plain words")


def unfurl(chat: "Chat", message: Message) -> None:
    """Show what stands behind the links, as an attachment; the bot hears of its own message again."""
    message.unfurls = list(message.links)
    previous = dict(message.wire)
    message.wire["attachments"] = [{"id": n, "from_url": url, "title": url} for n, url in enumerate(message.links, 1)]
    chat.changed(message, previous)
