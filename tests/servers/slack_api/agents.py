"""What an assistant shows beside its messages: status, titles, suggested prompts, sessions."""

from typing import TYPE_CHECKING

from tests.servers.slack_api.messages import Status
from tests.servers.slack_api.methods import Methods
from tests.servers.slack_api.sending import LOOKS
from tests.servers.slack_api.wire import Refused

if TYPE_CHECKING:
    from tests.servers.slack import SlackServer
    from tests.servers.slack_api.chats import Chat

METHODS = Methods()
STATES = ("processing", "active", "suspended", "closed")


@METHODS.method(
    "assistant.threads.setStatus",
    "special",
    "chat:write",
    channel_id="str!",
    thread_ts="str!",
    status="str",
    loading_messages="list",
    **LOOKS,
)
def _set_status(server: "SlackServer", params: dict) -> dict:
    chat = server.chat_of(params["channel_id"])
    if "status" not in params:
        raise Refused("invalid_arguments")
    messages = params.get("loading_messages", [])
    if len(messages) > 10:
        raise Refused("invalid_arguments")
    thread = chat.thread_of(params["thread_ts"], error="invalid_thread_ts")
    chat.status.append(Status(thread, params["status"], messages))
    return {}


@METHODS.method(
    "assistant.threads.setTitle", "T4", "assistant:write", channel_id="str!", thread_ts="str!", title="str!"
)
def _set_title(server: "SlackServer", params: dict) -> dict:
    chat = server.chat_of(params["channel_id"])
    thread = chat.thread_of(params["thread_ts"], error="invalid_thread_ts")
    if server.agent:
        server.problems.append("assistant.threads.setTitle: of an agent's session it is agents.sessions.rename")
        return {}
    chat.titles[thread] = params["title"]
    return {}


@METHODS.method(
    "assistant.threads.setSuggestedPrompts",
    "T4",
    "assistant:write",
    channel_id="str!",
    thread_ts="str",
    title="str",
    prompts="list!",
)
def _set_suggested_prompts(server: "SlackServer", params: dict) -> dict:
    chat = server.chat_of(params["channel_id"])
    prompts = params["prompts"]
    if not 1 <= len(prompts) <= 4:
        raise Refused("too_many_prompts")
    if any(not isinstance(p, dict) or set(p) != {"title", "message"} or not all(p.values()) for p in prompts):
        raise Refused("invalid_arguments")
    if server.agent and "thread_ts" in params:
        server.problems.append("assistant.threads.setSuggestedPrompts: with thread_ts an agent's prompts are not shown")
        return {}
    if not server.agent and "thread_ts" not in params:
        raise Refused("missing_thread_ts")
    chat.prompts = prompts
    return {}


@METHODS.method(
    "agents.sessions.setStatus",
    "T3",
    "chat:write",
    channel_id="str!",
    thread_ts="str",
    status="str!",
    title="str",
    initiator_user_id="str",
    **LOOKS,
)
def _set_session_status(server: "SlackServer", params: dict) -> dict:
    chat, thread = _session(server, params)
    if params["status"] not in STATES:
        raise Refused("invalid_status")
    if len(params.get("title", "")) > 200:
        raise Refused("invalid_arguments")
    if params.get("initiator_user_id", server.bot.id) not in [*chat.members, server.bot.id]:
        raise Refused("user_not_found")
    if thread not in chat.sessions and "title" in params:
        chat.titles[thread] = params["title"]
    set_state(chat, thread, params["status"])
    result = {"status": params["status"], "agent_status": params["status"], "title": chat.titles.get(thread, "")}
    if params["status"] == "processing" and "agent_session_stopped" not in server.events:
        result["warning"] = "missing_agent_session_stopped_event_subscription"
    return result


@METHODS.method("agents.sessions.rename", "T3", "chat:write", channel_id="str!", thread_ts="str", title="str!")
def _rename(server: "SlackServer", params: dict) -> dict:
    chat, thread = _session(server, params)
    if thread not in chat.sessions:
        raise Refused("session_not_found")
    if len(params["title"]) > 200:
        raise Refused("invalid_arguments")
    chat.titles[thread] = params["title"]
    return {"title": params["title"]}


def set_state(chat: "Chat", thread: str, status: str) -> None:
    """Move a session."""
    chat.sessions[thread] = status
    chat.session_log.append(Status(thread, status, []))


def _session(server: "SlackServer", params: dict) -> tuple["Chat", str]:
    if not server.agent:
        raise Refused("feature_disabled")
    chat = server.chat_of(params["channel_id"])
    if "thread_ts" not in params:
        raise Refused("thread_ts_required")
    return chat, chat.thread_of(params["thread_ts"], error="invalid_thread_ts")
