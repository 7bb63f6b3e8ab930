"""What a person sees who opens the app: its Home tab, and prompts to begin with in the Messages tab. Never fails."""

import logging
from collections.abc import Mapping

import msgspec
from slack_sdk.errors import SlackClientError

from adapters.chat.slack.client import ANYTHING, Client
from adapters.chat.slack.events import Payload
from adapters.chat.slack.inbound import COMMAND
from adapters.chat.slack.wording import escaped
from core.ports import Command

log = logging.getLogger(__name__)

PROMPTS = (
    ("What can you do?", "What can you do?"),
    ("Explain something", "Explain how tides work, in plain words"),
    ("Work something out", "How much is 18 % of 4,350, step by step?"),
    ("Write something", "Write a short, friendly note that moves a meeting to Thursday"),
)
"""Title and message; four are the most that Slack shows."""
BUTTONS = (("Help", "/help"), ("Status", "/status"), ("Who am I?", "/whoami"))
"""Answered in the Messages tab."""


class Opened(msgspec.Struct):
    """A direct message."""

    id: str = ""


class Im(msgspec.Struct):
    """The answer of conversations.open."""

    channel: Opened


_IM = msgspec.json.Decoder(Im)


class Home:
    """The app's own pages."""

    def __init__(self, client: Client, commands: tuple[Command, ...]) -> None:
        self._client = client
        self._commands = commands

    async def opened(self, payload: Payload) -> None:
        """Somebody opened the app."""
        event = payload.event
        if event is None:
            return
        if event.type == "assistant_thread_started":
            thread = event.assistant_thread
            if thread and thread.channel_id and thread.thread_ts:
                await self._prompts(thread.channel_id, {"thread_ts": thread.thread_ts})
        elif event.tab == "home" and event.user:
            await self._try("views.publish", {"user_id": event.user, "view": view(self._commands)})
        elif event.tab == "messages" and event.channel:
            # with a thread the call would fail without a word in apps of the newer kind
            await self._prompts(event.channel, {})

    async def im(self, who: str) -> str:
        """The direct message with somebody; "" where Slack does not tell."""
        try:
            opened = await self._client.write(
                "conversations.open", {"users": who}, _IM, timeout=self._client.times.member
            )
        except SlackClientError as error:
            log.debug("%s", error)
            return ""
        return opened.channel.id

    async def _prompts(self, channel: str, thread: dict[str, str]) -> None:
        prompts = [{"title": title, "message": message} for title, message in PROMPTS]
        body = {"channel_id": channel, "title": "Ask me anything", "prompts": prompts, **thread}
        await self._try("assistant.threads.setSuggestedPrompts", body)

    async def _try(self, method: str, body: Mapping[str, object]) -> None:
        try:
            await self._client.write(method, body, ANYTHING, timeout=self._client.times.aside)
        except SlackClientError as error:
            log.debug("%s", error)


def view(commands: tuple[Command, ...]) -> dict[str, object]:
    """The Home tab: what the assistant does, its commands, buttons for those that only tell."""
    rows = "\n".join(f"• `{COMMAND} {c.name}` or `!{c.name}`: {escaped(c.about)}" for c in commands)
    about = (
        "Ask me anything in the *Messages* tab, or mention me in a channel that I was invited to: science, mathematics, "
        "health, writing, code. Each message there begins a conversation of its own; go on in its thread."
    )
    typed = (
        f"*Commands*\n{rows}\n\n`{COMMAND}` works everywhere but in threads, and only you see the answer; "
        "`!` works in messages to me, in our threads, and after a mention."
    )
    buttons = [
        {"type": "button", "text": {"type": "plain_text", "text": label}, "action_id": f"home{action}", "value": action}
        for label, action in BUTTONS
    ]
    return {
        "type": "home",
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": "Pieria"}},
            {"type": "section", "text": {"type": "mrkdwn", "text": about}},
            {"type": "actions", "elements": buttons},
            {"type": "section", "text": {"type": "mrkdwn", "text": typed[:2_900]}},
        ],
    }
