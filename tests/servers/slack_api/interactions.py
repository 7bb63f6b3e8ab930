"""What people set off besides messages: slash commands, presses, modals; and what comes back over response_url."""

import time
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from tests.servers.slack_api.blocks import check_blocks
from tests.servers.slack_api.delivery import Delivery
from tests.servers.slack_api.messages import Hook, Message, Sent
from tests.servers.slack_api.people import Person
from tests.servers.slack_api.wire import JSON, Refused

if TYPE_CHECKING:
    from tests.servers.slack import SlackServer
    from tests.servers.slack_api.chats import Chat

RESPONSE = {"text", "blocks", "response_type", "replace_original", "delete_original", "thread_ts", "metadata"}
RESPONSE |= {"unfurl_links", "unfurl_media", "markdown_text", "mrkdwn", "attachments"}


class Interactions:
    """Deliveries that a person waits for, and the addresses that answer them."""

    def __init__(self, server: "SlackServer") -> None:
        self.sent: list[Sent] = []
        self.triggers: dict[str, tuple[Person, float]] = {}  # trigger_id -> who, until when
        self._hooks: dict[str, Hook] = {}
        self._server = server

    def slash(self, chat: "Chat", by: Person, command: str, text: str) -> Sent:
        server = self._server
        names = {"im": "directmessage", "mpim": f"mpdm-{chat.name}", "group": "privategroup"}
        payload = {
            "token": "verification",
            "team_id": server.team,
            "team_domain": server.domain,
            "channel_id": chat.id,
            "channel_name": names.get(chat.kind, chat.name),
            "user_id": by.id,
            "user_name": by.handle,
            "command": command,
            "text": text,
            "api_app_id": server.app_id,
            "is_enterprise_install": "false",
            "trigger_id": self._trigger(by),
        }
        return self._send("slash_commands", chat, by, payload, None)

    def press(self, chat: "Chat", by: Person, message: Message, button: dict) -> Sent:
        server = self._server
        keys = ("type", "action_id", "block_id", "text", "value", "style", "url")
        action = {k: button[k] for k in keys if k in button}
        container = {"type": "message", "message_ts": message.ts, "channel_id": chat.id}
        container |= {"is_ephemeral": message.ephemeral_to is not None}
        container |= {"thread_ts": message.thread} if message.thread else {}
        payload = self._about(by) | {
            "type": "block_actions",
            "container": container,
            "channel": {"id": chat.id, "name": "directmessage" if chat.kind == "im" else chat.name},
            "message": dict(message.wire),
            "state": {"values": {}},
            "trigger_id": self._trigger(by),
            "actions": [action | {"action_ts": server.now()}],
        }
        if message.ephemeral_to:
            del payload["message"]
        return self._send("interactive", chat, by, payload, message)

    def press_home(self, by: Person, label: str) -> Sent:
        """Press a button of the Home tab."""
        view = self._server.homes[by.id]
        for block in view["blocks"]:
            for button in [*block.get("elements", []), *([block["accessory"]] if "accessory" in block else [])]:
                if button.get("type") == "button" and label in (
                    button["text"]["text"],
                    button.get("action_id"),
                    button.get("value"),
                ):
                    keys = ("type", "action_id", "text", "value", "style")
                    action = {"block_id": block.get("block_id", ""), "action_ts": self._server.now()}
                    payload = self._about(by) | {
                        "type": "block_actions",
                        "container": {"type": "view", "view_id": view["id"]},
                        "view": view,
                        "trigger_id": self._trigger(by),
                        "actions": [action | {k: button[k] for k in keys if k in button}],
                    }
                    return self._send("interactive", None, by, payload, None)
        raise AssertionError(f"no button {label!r} in the Home tab")

    def submit(self, by: Person, view: dict, values: dict) -> Sent:
        """Submit a modal that the bot opened; `values` as view.state.values has them."""
        seen = view | {"state": {"values": values}}
        payload = self._about(by) | {"type": "view_submission", "view": seen, "trigger_id": self._trigger(by)}
        return self._send("interactive", None, by, payload | {"response_urls": []}, None)

    async def respond(self, request: web.BaseRequest) -> web.Response:
        """A POST to a response_url."""
        hook = self._hooks.get(request.path)
        if hook is None or time.monotonic() > hook.until:
            return web.json_response({"ok": False, "error": "expired_url"}, status=404)
        if hook.left <= 0:
            self._server.problems.append("a response_url was used more than five times")
            return web.json_response({"ok": False, "error": "used_url"}, status=404)
        try:
            given = msgspec.json.decode(await request.read(), type=dict)
            if request.content_type != JSON:
                raise Refused("invalid_payload")
            if extra := set(given) - RESPONSE:
                self._server.problems.append(f"response_url: no field {', '.join(sorted(extra))}")
            self._show(hook, given)
        except (msgspec.DecodeError, msgspec.ValidationError):
            return web.Response(status=400, text="invalid_payload")
        except Refused as no:
            return web.json_response({"ok": False, "error": no.error}, status=400)
        hook.left -= 1
        hook.sent.responses.append(given)
        return web.Response(text="ok")

    def _about(self, by: Person) -> dict:
        server = self._server
        user = {"id": by.id, "username": by.handle, "name": by.handle, "team_id": by.team}
        about = {"user": user, "api_app_id": server.app_id, "token": "verification", "enterprise": None}
        return about | {"team": {"id": server.team, "domain": server.domain}, "is_enterprise_install": False}

    def _send(self, kind: str, chat: "Chat | None", by: Person, payload: dict, message: Message | None) -> Sent:
        sent = Sent(by, payload)
        self.sent.append(sent)
        if chat is not None:
            path = f"/hooks/{kind}/{self._server.new_id('H')}"
            self._hooks[path] = Hook(chat, sent, message, until=time.monotonic() + 1800)
            payload["response_url"] = self._server.origin + path
        self._server.deliveries.push(
            Delivery(kind, payload, lambda answer: self._heard(sent, chat, answer), lambda: self._missed(sent))
        )
        return sent

    def _heard(self, sent: Sent, chat: "Chat | None", answer: Any) -> None:
        sent.acked, sent.answer = True, answer
        if chat is not None and isinstance(answer, dict) and (answer.get("text") or answer.get("blocks")):
            self._show(Hook(chat, sent, None), answer)

    def _missed(self, sent: Sent) -> None:
        sent.failed = True

    def _show(self, hook: Hook, given: dict) -> None:
        chat, bot = hook.chat, self._server.bot
        check_blocks(given.get("blocks") or [])
        original = hook.message
        if given.get("delete_original") and original:
            original.deleted = True
            return
        if not given.get("text") and not given.get("blocks"):
            raise Refused("no_text")
        shown = {"text": given.get("text", ""), "blocks": given.get("blocks")}
        if given.get("replace_original") and original:
            previous = dict(original.wire)
            original.wire |= {k: v for k, v in shown.items() if v is not None}
            chat.show(original)
            if original.ephemeral_to is None:
                chat.changed(original, previous)
        elif given.get("response_type") == "in_channel":
            chat.post_as(bot, shown["text"], given.get("thread_ts"), blocks=shown["blocks"])
        else:
            chat.whisper(bot, hook.sent.by.id, shown["text"], given.get("thread_ts"), blocks=shown["blocks"])

    def _trigger(self, by: Person) -> str:
        trigger = f"{self._server.new_id('')}.{self._server.new_id('')}.{self._server.new_uuid()[:8]}"
        self.triggers[trigger] = (by, time.monotonic() + 3)
        return trigger
