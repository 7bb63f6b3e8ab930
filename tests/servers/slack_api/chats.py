"""A conversation as people see it: what they do there, and what is to be seen."""

import re
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tests.servers.slack_api import text as wording
from tests.servers.slack_api.blocks import Reading, read_blocks
from tests.servers.slack_api.messages import Message, Sent, State, Status
from tests.servers.slack_api.people import Person
from tests.servers.slack_api.wire import Refused

if TYPE_CHECKING:
    from tests.servers.slack import SlackServer

KINDS = {"im": "im", "mpim": "mpim", "channel": "channel", "group": "group"}
WRITTEN = re.compile(
    r"<[@#][A-Z0-9]+(?:\|[^<>]*)?>|<!(?:here|channel|everyone|subteam\^\w+)(?:\|[^<>]*)?>|<?https?://[^\s<>]+>?"
)


class Chat:
    """A place to talk: the person's side as methods, what is to be seen there as attributes."""

    def __init__(self, server: "SlackServer", id: str, kind: str, name: str, members: Iterable[Person]) -> None:  # noqa: A002
        self.server = server
        self.id = id
        self.kind = kind  # im, mpim, channel, group (a private channel)
        self.name = name
        self.members = {p.id: p for p in members}
        self.bot_in = True
        self.archived = False
        self.shared = any(p.team != server.team for p in self.members.values())
        self.messages: list[Message] = []  # everybody's, in order; deleted ones stay, marked
        self.by_ts: dict[str, Message] = {}
        self.whispers: list[Message] = []  # what only one person sees: `ephemeral_to`
        self.status: list[Status] = []  # every state of the line under a thread
        self.sessions: dict[str, str] = {}  # agent sessions by thread: processing, active, suspended, closed
        self.session_log: list[Status] = []
        self.prompts: list[dict] = []  # the suggested prompts that stand now
        self.titles: dict[str, str] = {}  # of threads and sessions

    @property
    def answers(self) -> list[Message]:
        """The bot's finished messages that are to be seen now."""
        return [m for m in self.messages if m.by is self.server.bot and not m.deleted and not m.streaming]

    @property
    def streaming(self) -> list[Message]:
        """The bot's messages that still grow (or look so)."""
        return [m for m in self.messages if m.streaming and not m.deleted]

    @property
    def thinking(self) -> str:
        """The status that shows now: for two minutes, until it is emptied or a message comes."""
        last = self.status[-1] if self.status else None
        if (
            last is None
            or time.monotonic() - last.at > 120
            or any(m.at > last.at for m in self.answers + self.streaming)
        ):
            return ""
        return last.status

    async def replies(
        self, count: int = 1, *, after: Message | None = None, whispers: bool = False, timeout: float = 10.0
    ) -> list[Message]:
        """The bot's messages (those after a given one), as soon as there are `count`; of whispers if asked."""

        def enough() -> list[Message]:
            seen = self.whispers if whispers else self.answers
            found = [m for m in seen if after is None or m.ts > after.ts]
            return found if len(found) >= count else []

        return await self.server.wait_for(enough, timeout)

    async def say(
        self,
        person: Person,
        text: str,
        *,
        thread: Message | str | None = None,
        mention: bool = False,
        files: Sequence[tuple] = (),
        edit: Message | None = None,
        broadcast: bool = False,
        **more: Any,
    ) -> Message:
        """Write a text, or `edit` an own one. References stand as <@U1>, <#C1|name>, <!here>; all else is escaped.

        thread: a message or the ts of a root. mention: the bot's name first. files: (name, bytes, type) each.
        broadcast: a reply in a thread that is also sent to the channel. `more` goes into the event as it is.
        """
        text = f"<@{self.server.bot.id}> {text}" if mention else text
        text = written(text)
        if edit is not None:
            return self._edit(person, edit, text)
        assert person.id in self.members, f"{person.name} is not in {self.name}"
        kept = [self.server.files.keep(person, *file) if isinstance(file, tuple) else file for file in files]
        extra: dict[str, Any] = {} if person.is_bot else {"client_msg_id": self.server.new_uuid()}
        if text:
            extra["blocks"] = [wording.rich_text(text, self.server.new_id("b"))]
        if kept:
            extra |= {"subtype": "file_share", "files": [self.server.files.in_event(f) for f in kept], "upload": False}
        if broadcast:
            extra |= {"subtype": "thread_broadcast"}
        root = thread.root if isinstance(thread, Message) else thread
        return self.post_as(person, text, root, **(extra | more))

    async def voice(self, person: Person, data: bytes, seconds: float = 3, text: str = "", **how: Any) -> Message:
        """Record a voice clip."""
        more = {"subtype": "slack_audio", "duration_ms": int(seconds * 1000), "transcription": {"status": "processing"}}
        clip = self.server.files.keep(person, "audio_message.m4a", data, "audio/mp4", **more)
        return await self.say(person, text, files=[clip], **how)

    async def photo(
        self, person: Person, data: bytes, text: str = "", name: str = "picture.png", **how: Any
    ) -> Message:
        """Share a picture."""
        picture = self.server.files.keep(person, name, data, original_w=640, original_h=480)
        return await self.say(person, text, files=[picture], **how)

    async def document(
        self, person: Person, data: bytes, name: str, mime: str | None = None, text: str = "", **how: Any
    ) -> Message:
        """Share a file."""
        return await self.say(person, text, files=[self.server.files.keep(person, name, data, mime)], **how)

    async def delete(self, person: Person, message: Message) -> None:
        """Delete an own message."""
        assert message.by is person, f"{person.name} did not write that"
        self.remove(message)

    async def react(self, person: Person, message: Message, name: str, *, remove: bool = False) -> None:
        """Put a reaction on a message, or take it away."""
        self.reaction(person, message, name, remove=remove)

    async def press(self, person: Person, label: str, message: Message | None = None) -> Sent:
        """Press a button by its label, action_id or value, on a message or on the newest that has it."""
        for seen in [message] if message else reversed(self.answers + self.whispers):
            for button in seen.buttons:
                if label in (button["text"]["text"], button.get("action_id"), button.get("value")):
                    return self.server.interactions.press(self, person, seen, button)
        raise AssertionError(f"no button {label!r} is to be seen")

    async def slash(self, person: Person, command: str, text: str = "") -> Sent:
        """Give a slash command; the platform takes none inside a thread."""
        return self.server.interactions.slash(self, person, command, written(text))

    async def open_home(self, person: Person, tab: str = "messages") -> None:
        """Open the app: its Home tab or the conversation."""
        event = {
            "type": "app_home_opened",
            "user": person.id,
            "channel": self.id,
            "tab": tab,
            "event_ts": self.server.now(),
        }
        if tab == "home" and person.id in self.server.homes:
            event["view"] = self.server.homes[person.id]
        if tab == "messages" and self.server.agent:
            event["context"] = {}
        self.tell(event)

    async def start_thread(self, person: Person) -> Message:
        """Open a new assistant thread, as apps with the older assistant view know it."""
        root = self.post_as(self.server.bot, "New Assistant Thread", None, subtype="assistant_app_thread")
        self.messages.remove(root)
        context = {"channel_id": self.id, "team_id": self.server.team, "enterprise_id": None}
        thread = {"user_id": person.id, "context": context, "channel_id": self.id, "thread_ts": root.ts}
        self.tell({"type": "assistant_thread_started", "assistant_thread": thread, "event_ts": self.server.now()})
        return root

    async def stop(self, person: Person) -> list[Message]:
        """Press Stop on the session that is at work; the streams that it ended."""
        threads = [t for t, status in self.sessions.items() if status == "processing"]
        assert threads, "no session is at work, there is no stop button"
        assert "agent_session_stopped" in self.server.events, "without the subscription there is no stop button"
        ended = [m for m in self.messages if m.stream and m.stream.state == "open" and m.root == threads[-1]]
        for message in ended:
            message.stream.state = "stopped_by_user"
        event = {"type": "agent_session_stopped", "channel": self.id, "thread_ts": threads[-1], "user": person.id}
        self.tell(event | {"streaming_message_ts": [m.ts for m in ended], "event_ts": self.server.now()})
        return ended

    async def add_bot(self, by: Person) -> None:
        """Invite the bot."""
        self.bot_in = True
        bot = self.server.bot
        event = {"type": "member_joined_channel", "user": bot.id, "channel": self.id, "team": self.server.team}
        event |= {"channel_type": "G" if self.kind == "group" else "C", "inviter": by.id, "event_ts": self.server.now()}
        self.tell(event)
        self.post_as(bot, f"<@{bot.id}> has joined the channel", None, subtype="channel_join", inviter=by.id)

    async def add(self, person: Person, by: Person | None = None) -> None:
        """Let somebody join."""
        self.members[person.id] = person
        self.shared = self.shared or person.team != self.server.team
        event = {"type": "member_joined_channel", "user": person.id, "channel": self.id, "team": person.team}
        event |= {"channel_type": "G" if self.kind == "group" else "C", "event_ts": self.server.now()}
        self.tell(event | ({"inviter": by.id} if by else {}))
        self.post_as(person, f"<@{person.id}> has joined the channel", None, subtype="channel_join")

    async def remove_bot(self, by: Person) -> None:
        """Throw the bot out; it hears of it by channel_left or group_left, if it subscribed."""
        kind = "group_left" if self.kind == "group" else "channel_left"
        self.tell({"type": kind, "channel": self.id, "actor_id": by.id, "event_ts": self.server.now()})
        self.bot_in = False

    def thread_of(self, ts: str | None, *, error: str = "thread_not_found") -> str | None:
        """The root of the thread that a call names; refused if nothing stands there."""
        if ts is None:
            return None
        root = self.by_ts.get(ts)
        if root is None or (root.deleted and not self.thread(ts)):
            raise Refused(error)
        if root.root != ts:
            self.server.problems.append(f"thread_ts {ts} is a reply, not a root ({root.root})")
        return root.root

    def thread(self, root: str) -> list[Message]:
        """The replies of a thread, without the root."""
        return [m for m in self.messages if m.thread == root and m.ts != root and not m.deleted]

    def post_as(self, by: Person, text: str, thread: str | None, *, tell: bool = True, **extra: Any) -> Message:
        """Put a message into the chat and tell the bot of it."""
        message = self._made(by, text, thread, extra)
        self.messages.append(message)
        self.by_ts[message.ts] = message
        if root := self.by_ts.get(thread or ""):
            replies = self.thread(root.ts)
            users = list(dict.fromkeys(m.by.id for m in replies))
            counts = {"reply_count": len(replies), "reply_users": users, "reply_users_count": len(users)}
            root.wire |= counts | {"thread_ts": root.ts, "latest_reply": message.ts}
        if tell:
            self.tell_of(message)
        return message

    def whisper(self, by: Person, to: str, text: str, thread: str | None, **extra: Any) -> Message:
        """Put a message there that only one person sees."""
        message = self._made(by, text, thread, extra | {"is_ephemeral": True})
        message.ephemeral_to = to
        self.whispers.append(message)
        return message

    def show(self, message: Message) -> None:
        """Read a message as a person does, and remember the state."""
        reading = read_blocks(message.blocks, self.server.name_of) if message.blocks else Reading()
        raw = message.raw
        if not message.blocks:
            plain = message.wire.get("mrkdwn") is False
            read = wording.read_plain if plain else wording.read_mrkdwn
            reading.text = read(raw, self.server.name_of)
            reading.links = wording.links(raw)
        reading.pings += [p for p in wording.pings(raw) if p not in reading.pings]
        message.text, message.buttons, message.links = reading.text, reading.buttons, reading.links
        message.pings = reading.pings
        message.edits.append(State(message.text, message.blocks, time.monotonic()))

    def remove(self, message: Message) -> None:
        """Take a message away; of a root with replies a tombstone stays."""
        message.deleted = True
        now = self.server.now()
        event = {"type": "message", "channel": self.id, "hidden": True, "ts": now, "event_ts": now}
        if message.thread == message.ts and self.thread(message.ts):
            tomb = {"type": "message", "subtype": "tombstone", "text": "This message was deleted.", "user": "USLACKBOT"}
            tomb |= {"ts": message.ts, "thread_ts": message.ts, "hidden": True}
            event |= {"subtype": "message_changed", "message": tomb, "previous_message": dict(message.wire)}
        else:
            event |= {"subtype": "message_deleted", "previous_message": dict(message.wire), "deleted_ts": message.ts}
        self.tell(event)

    def changed(self, message: Message, previous: dict) -> None:
        """Tell the bot that a message is another now."""
        now = self.server.now()
        event = {"type": "message", "subtype": "message_changed", "channel": self.id, "hidden": True}
        event |= {"message": dict(message.wire), "previous_message": previous, "ts": now, "event_ts": now}
        self.tell(event)

    def reaction(self, by: Person, message: Message, name: str, *, remove: bool) -> None:
        """Set or take a reaction, and tell the bot."""
        marks = [dict(r, users=list(r["users"])) for r in message.wire.get("reactions", [])]
        mark = next((r for r in marks if r["name"] == name), None)
        if remove:
            if mark is None or by.id not in mark["users"]:
                raise Refused("no_reaction")
            mark["users"].remove(by.id)
        else:
            if mark is None:
                marks.append(mark := {"name": name, "users": [], "count": 0})
            if by.id in mark["users"]:
                raise Refused("already_reacted")
            mark["users"].append(by.id)
        mark["count"] = len(mark["users"])
        message.wire["reactions"] = [r for r in marks if r["users"]]
        item = {"type": "message", "channel": self.id, "ts": message.ts}
        event = {"type": "reaction_removed" if remove else "reaction_added", "user": by.id, "reaction": name}
        self.tell(event | {"item_user": message.wire.get("user"), "item": item, "event_ts": self.server.now()})

    def tell_of(self, message: Message) -> None:
        """The events of a new message: a mention in a channel has two."""
        event = dict(message.wire) | {"channel": self.id, "event_ts": message.ts}
        if event.get("subtype") == "thread_broadcast" and message.thread in self.by_ts:
            event["root"] = dict(self.by_ts[message.thread].wire)
        if self._calls_bot(message) and "channel_join" not in event.get("subtype", ""):
            kept = {k: v for k, v in event.items() if k not in ("subtype", "parent_user_id")}
            self.tell(kept | {"type": "app_mention"})
        self.tell(event)

    def tell(self, event: dict) -> None:
        """Deliver an event, if the bot is here and subscribed."""
        if self.bot_in and not self.archived:
            if event["type"] == "message":
                event["channel_type"] = self.kind
            self.server.tell(event, shared=self.shared)

    def _made(self, by: Person, text: str, thread: str | None, extra: dict[str, Any]) -> Message:
        wire: dict[str, Any] = {
            "type": "message",
            "user": by.id,
            "ts": self.server.now(),
            "text": text,
            "team": by.team,
        }
        if by.is_bot:
            wire |= {"bot_id": by.bot_id, "app_id": by.app_id, "bot_profile": by.bot_profile}
        if by.team != self.server.team:
            wire |= {"user_team": by.team, "source_team": by.team, "user_profile": by.profile}
        wire = {k: v for k, v in (wire | extra).items() if v is not None}
        if thread is not None:
            root = self.by_ts.get(thread)
            wire |= {"thread_ts": thread, "parent_user_id": root.wire["user"]} if root else {"thread_ts": thread}
        message = Message(self, by, wire)
        self.show(message)
        return message

    def _calls_bot(self, message: Message) -> bool:
        bot = self.server.bot
        return self.kind != "im" and message.by is not bot and f"<@{bot.id}>" in message.raw

    def _edit(self, person: Person, message: Message, text: str) -> Message:
        assert message.by is person, f"{person.name} did not write that"
        previous = dict(message.wire)
        called = self._calls_bot(message)
        message.wire["text"] = text
        message.wire["blocks"] = [wording.rich_text(text, self.server.new_id("b"))]
        message.wire["edited"] = {"user": person.id, "ts": self.server.now()}
        self.show(message)
        self.changed(message, previous)
        if self._calls_bot(message) and not called:
            event = dict(message.wire) | {"type": "app_mention", "channel": self.id, "event_ts": self.server.now()}
            self.tell(event)
        return message


def written(text: str) -> str:
    """What a person wrote, as the platform keeps it: escaped, with references and links in <...>."""
    kept, end = "", 0
    for match in WRITTEN.finditer(text):
        kept += wording.escape(text[end : match.start()])
        found = match[0]
        kept += f"<{wording.escape(found)}>" if found.startswith("http") else found
        end = match.end()
    return kept + wording.escape(text[end:])
