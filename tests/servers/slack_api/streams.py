"""Messages that grow: chat.startStream, appendStream, stopStream."""

import time
from typing import TYPE_CHECKING, Any

from tests.servers.slack_api.agents import STATES, set_state
from tests.servers.slack_api.blocks import check_blocks
from tests.servers.slack_api.messages import Message, Stream
from tests.servers.slack_api.methods import Methods
from tests.servers.slack_api.sending import LOOKS, check_metadata, finished, message_of
from tests.servers.slack_api.wire import Refused

if TYPE_CHECKING:
    from tests.servers.slack import SlackServer

METHODS = Methods()
CHUNKS = {
    "markdown_text": {"text"},
    "task_update": {"id", "title", "status", "details", "output", "sources"},
    "plan_update": {"title"},
    "blocks": {"blocks"},
}
TASKS = ("pending", "in_progress", "complete", "error")


@METHODS.method(
    "chat.startStream",
    "T2",
    "chat:write",
    channel="str!",
    thread_ts="str",
    markdown_text="str",
    chunks="list",
    recipient_team_id="str",
    recipient_user_id="str",
    task_display_mode="str",
    **LOOKS,
)
def _start(server: "SlackServer", params: dict) -> dict:
    chat = server.chat_of(params["channel"])
    if "thread_ts" not in params:
        raise Refused("invalid_thread_ts")
    thread = chat.thread_of(params["thread_ts"], error="invalid_thread_ts")
    if params.get("task_display_mode", "timeline") not in ("timeline", "plan", "dense"):
        raise Refused("invalid_arguments")
    if chat.kind != "im":
        if not params.get("recipient_user_id"):
            raise Refused("missing_recipient_user_id")
        if not params.get("recipient_team_id"):
            raise Refused("missing_recipient_team_id")
    recipient = params.get("recipient_user_id")
    if recipient and recipient not in chat.members:
        raise Refused("user_not_in_channel")
    parts = _parts(params)
    _fits([], parts)
    mode = _mode(params)
    message = chat.post_as(server.bot, "", thread, tell=False, streaming_state="in_progress")
    message.stream = Stream(recipient, time.monotonic(), mode=mode)
    _grow(server, message, parts)
    message.edits = message.edits[-1:]
    chat.tell_of(message)
    return {"channel": chat.id, "ts": message.ts}


@METHODS.method("chat.appendStream", "T4", "chat:write", channel="str!", ts="str!", markdown_text="str", chunks="list")
def _append(server: "SlackServer", params: dict) -> dict:
    message = _streaming(server, params)
    parts = _parts(params)
    if not parts:
        raise Refused("no_text")
    _fits(message.stream.parts, parts)
    message.stream.appends += 1
    previous = dict(message.wire)
    _grow(server, message, parts)
    message.chat.changed(message, previous)
    return {"channel": message.chat.id, "ts": message.ts}


@METHODS.method(
    "chat.stopStream",
    "T2",
    "chat:write",
    channel="str!",
    ts="str!",
    markdown_text="str",
    chunks="list",
    blocks="list",
    metadata="dict",
    session_status="str",
)
def _stop(server: "SlackServer", params: dict) -> dict:
    message = _streaming(server, params, stopping=True)
    state = params.get("session_status", "active")
    if state not in STATES:
        raise Refused("invalid_arguments")
    check_blocks(params.get("blocks", []))
    if "metadata" in params:
        check_metadata(params["metadata"])
    parts = _parts(params)
    _fits(message.stream.parts, parts)
    previous = dict(message.wire)
    _grow(server, message, parts, last=params.get("blocks", []))
    message.stream.state = "stopped"
    message.wire.pop("streaming_state", None)
    message.metadata = params.get("metadata", message.metadata)
    if message.root in message.chat.sessions:
        set_state(message.chat, message.root, state)
    message.chat.changed(message, previous)
    return {"channel": message.chat.id, "ts": message.ts, "message": dict(message.wire)}


def _streaming(server: "SlackServer", params: dict, *, stopping: bool = False) -> Message:
    message = message_of(server.chat_of(params["channel"]), params["ts"])
    if message.by is not server.bot:
        raise Refused("message_not_owned_by_app")
    state = server.stream_state(message)
    if state == "stopped_by_user" and not stopping:
        raise Refused("stopped_by_user")
    if state != "open":
        raise Refused("message_not_in_streaming_state")
    mode = _mode(params)
    if mode and message.stream.mode and mode != message.stream.mode:
        raise Refused("streaming_mode_mismatch")
    message.stream.mode = message.stream.mode or mode
    return message


def _mode(params: dict) -> str:
    """How a stream is fed: by text or by chunks, never by both in turns."""
    return next((key for key in ("markdown_text", "chunks") if params.get(key)), "")


def _parts(params: dict) -> list[dict]:
    if params.get("markdown_text") and params.get("chunks"):
        raise Refused("cannot_provide_both_markdown_text_and_chunks")
    parts = list(params.get("chunks") or [])
    if params.get("markdown_text"):
        parts.append({"type": "markdown_text", "text": params["markdown_text"]})
    for part in parts:
        known = CHUNKS.get(part.get("type")) if isinstance(part, dict) else None
        if known is None or set(part) - known - {"type"}:
            raise Refused("invalid_chunks")
        if part["type"] == "markdown_text":
            if not isinstance(part.get("text"), str):
                raise Refused("invalid_chunks")
            if len(part["text"]) > 12000:
                raise Refused("msg_too_long")
        if part["type"] == "task_update" and (
            not part.get("id") or not part.get("title") or part.get("status", "pending") not in TASKS
        ):
            raise Refused("invalid_chunks")
        if part["type"] == "blocks":
            check_blocks(part.get("blocks") or [])
    return parts


def _fits(before: list[dict], more: list[dict]) -> None:
    blocks = sum(len(p["blocks"]) for p in [*before, *more] if p["type"] == "blocks")
    if blocks > 50:
        raise Refused("msg_blocks_too_many")


def _grow(server: "SlackServer", message: Message, parts: list[dict], last: list[dict] | None = None) -> None:
    stream = message.stream
    stream.parts += parts
    blocks: list[dict[str, Any]] = []
    tasks: dict[str, dict] = {}
    for part in stream.parts:
        if part["type"] == "markdown_text" and blocks and blocks[-1]["type"] == "markdown":
            blocks[-1]["text"] += part["text"]
        elif part["type"] == "markdown_text" and part["text"]:
            blocks.append({"type": "markdown", "text": part["text"]})
        elif part["type"] == "blocks":
            blocks += part["blocks"]
        elif part["type"] == "task_update" and part["id"] in tasks:
            tasks[part["id"]] |= {k: v for k, v in part.items() if k in ("title", "status", "output", "details")}
        elif part["type"] == "task_update":
            kept = {k: v for k, v in part.items() if k not in ("type", "id")}
            tasks[part["id"]] = {"type": "task_card", "task_id": part["id"], **kept}
            blocks.append(tasks[part["id"]])
    message.wire["text"] = "".join(p["text"] for p in stream.parts if p["type"] == "markdown_text")
    message.wire["blocks"] = finished(server, blocks + (last or []))
    message.chat.show(message)
