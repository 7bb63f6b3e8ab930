"""One table from Slack's failures to core's; a test walks slack_sdk's classes and fails on one without a row."""

from collections.abc import Callable

from slack_sdk.errors import (
    BotUserAccessError,
    SlackApiError,
    SlackClientConfigurationError,
    SlackClientError,
    SlackClientNotConnectedError,
    SlackObjectFormationError,
    SlackRequestError,
    SlackTokenRotationError,
)

from adapters.chat.slack.client import Busy, Refused, Unanswered, Unreached
from core.errors import ChatBusy, ChatError, ChatGone, ChatRefusedToken, ChatRejected, ChatUnreachable

REFUSED = (
    "Slack does not accept SLACK_BOT_TOKEN. Copy it again (xoxb-…) from api.slack.com/apps > your app > OAuth & Permissions "
    "> Bot User OAuth Token, and check SLACK_API_URL if you set one."
)
REFUSED_APP = (
    "Slack does not accept SLACK_APP_TOKEN. Copy it again (xapp-…, with the scope connections:write) from api.slack.com/apps > "
    "your app > Basic Information > App-Level Tokens."
)
NO_SOCKETS = (
    "Slack does not open sockets for this app: switch Socket Mode on at api.slack.com/apps > your app > Socket Mode, or leave "
    "SLACK_APP_TOKEN out and set SLACK_SIGNING_SECRET (Basic Information > App Credentials)."
)
UNINSTALLED = (
    "Slack: the app was taken out of the workspace. Install it again at api.slack.com/apps > your app > OAuth & Permissions, "
    "and copy the new SLACK_BOT_TOKEN."
)
NO_WAY_IN = (
    "Slack needs SLACK_APP_TOKEN (xapp-…, from api.slack.com/apps > your app > Basic Information > App-Level Tokens) or "
    "SLACK_SIGNING_SECRET (Basic Information > App Credentials) beside SLACK_BOT_TOKEN."
)

TOKEN = frozenset(
    [
        "invalid_auth",
        "not_authed",
        "account_inactive",
        "token_revoked",
        "token_expired",
        "org_login_required",
        "team_access_not_granted",
        "not_allowed_token_type",
        "access_denied",
        "two_factor_setup_required",
        "ekm_access_denied",
        "app_not_found",
    ]
)
GONE = frozenset(
    [
        "channel_not_found",
        "not_in_channel",
        "is_archived",
        "is_inactive",
        "channel_type_not_supported",
        "restricted_action",
        "restricted_action_read_only_channel",
        "restricted_action_thread_locked",
        "restricted_action_thread_only_channel",
        "restricted_action_non_threadable_channel",
        "cannot_reply_to_message",
        "thread_not_found",
        "thread_locked",
        "messages_tab_disabled",
        "user_not_found",
        "user_not_in_channel",
        "cannot_dm_bot",
        "team_not_found",
        "no_permission",
        "slack_connect_canvas_sharing_blocked",
        "slack_connect_file_link_sharing_blocked",
        "not_allowed_in_channel",
    ]
)
PASSING = frozenset(
    [
        "internal_error",
        "fatal_error",
        "service_unavailable",
        "request_timeout",
        "team_added_to_org",
        "accesslimited",
        "message_limit_exceeded",
        "external_channel_migrating",
    ]
)
"""Slack's own troubles, after which the same call may do; whether it was done is not told."""
FORM = frozenset(
    [
        "invalid_blocks",
        "invalid_blocks_format",
        "msg_blocks_too_long",
        "msg_too_long",
        "markdown_text_conflict",
        "no_text",
        "invalid_arguments",
        "block_mismatch",
        "invalid_chunks",
    ]
)
"""Another form of the same words may be taken."""
LOST = frozenset(
    [
        "message_not_found",
        "cant_update_message",
        "edit_window_closed",
        "message_not_owned_by_app",
        "cant_delete_message",
        "invalid_ts",
        "bad_timestamp",
    ]
)
"""The message to be edited cannot be edited any more."""
ENDED = frozenset(["message_not_in_streaming_state", "stopped_by_user"])
"""The message does not grow any more."""
UNKNOWN = frozenset(
    [
        "unknown_method",
        "method_not_supported_for_channel_type",
        "channel_type_not_supported",
        "not_allowed",
        "missing_scope",
        "feature_not_enabled",
        "not_enabled",
        "method_deprecated",
        "no_permission",
        "not_an_agent",
    ]
)
"""What an app without the newer abilities hears where they are asked for."""
NOT_HERE = frozenset(
    [
        "missing_recipient_user_id",
        "missing_recipient_team_id",
        "user_not_in_channel",
        "user_not_found",
        "team_not_found",
        "invalid_thread_ts",
    ]
)
"""This one message cannot be a stream."""


def chat_error(error: SlackClientError) -> ChatError:
    """What core is told."""
    for kind in type(error).__mro__:
        if kind in TABLE:
            return TABLE[kind](error)
    raise AssertionError(type(error))


def word(error: SlackClientError) -> str:
    """Slack's word for a refusal; "" where it is none."""
    return error.word if isinstance(error, Refused) else ""


def _refused(error: SlackClientError) -> ChatError:
    said = word(error)
    if said in TOKEN:
        return ChatRefusedToken(REFUSED)
    if said in GONE:
        return ChatGone(f"Slack: nothing can be sent there any more ({said}).")
    if said == "unknown_method":
        return ChatUnreachable("Slack does not know what was asked: check SLACK_API_URL.", arrived=False)
    if said in PASSING:
        return ChatUnreachable(f"Slack fails at the moment ({said}).", arrived=True)
    if said == "missing_scope" and isinstance(error, Refused):
        return ChatGone(
            f"Slack: the app lacks the scope {error.more or 'for that'}; install it again from the manifest."
        )
    return ChatRejected(f"Slack does not take this message ({said or type(error).__name__}).")


def _busy(error: SlackClientError) -> ChatError:
    wait = error.wait if isinstance(error, Busy) else 1.0
    return ChatBusy(f"Slack asks us to wait {wait:g} s.", retry_after=wait)


def _away(error: SlackClientError) -> ChatError:
    return ChatUnreachable(f"Slack: {error}.", arrived=not isinstance(error, Unreached))


def _token(_error: SlackClientError) -> ChatError:
    return ChatRefusedToken(REFUSED)


def _misused(error: SlackClientError) -> ChatError:
    return ChatRejected(f"Slack does not take this message ({type(error).__name__}).")


TABLE: dict[type, Callable[[SlackClientError], ChatError]] = {
    BotUserAccessError: _token,
    Busy: _busy,
    Refused: _refused,
    SlackApiError: _refused,
    SlackClientConfigurationError: _misused,
    SlackClientError: _away,
    SlackClientNotConnectedError: _away,
    SlackObjectFormationError: _misused,
    SlackRequestError: _misused,
    SlackTokenRotationError: _token,
    Unanswered: _away,
    Unreached: _away,
}
