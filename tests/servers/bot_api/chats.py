"""A chat as people see it: what they do there, and what is to be seen."""

import itertools
import math
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tests.servers.bot_api.markup import entities_of
from tests.servers.bot_api.messages import Draft, Message, Person, Press, as_member
from tests.servers.bot_api.wire import Refused, now

if TYPE_CHECKING:
    from tests.servers.telegram import TelegramServer


class Chat:
    """A place to talk: the person's side as methods, what is to be seen there as attributes."""

    def __init__(
        self,
        server: "TelegramServer",
        id: int,  # noqa: A002 - the platform says id
        kind: str,
        title: str,
        members: Iterable[Person],
        *,
        forum: bool = False,
        admins: Sequence[Person] = (),
    ) -> None:
        self.server = server
        self.id = id
        self.kind = kind
        self.title = title
        self.forum = forum
        self.members = {p.id: p for p in (*members, *admins)}
        self.admins = list(admins)
        self.bot_in = True
        self.bot_admin = False
        self.blocked = False
        self.started = kind != "private"
        self.migrated_to: int | None = None
        self.messages: list[Message] = []  # everybody's, in order; deleted ones stay, marked
        self.by_id: dict[int, Message] = {}
        self.threads: set[int] = set()
        self.typing: list[tuple[float, str, int | None]] = []  # when, what, in which thread
        self.draft_log: list[Draft] = []  # every state of every preview
        self._drafts: dict[int, Draft] = {}
        self._own_ids = itertools.count(1)
        known = {"username": next(iter(self.members.values())).username} if kind == "private" else {}
        named = {"first_name": title} if kind == "private" else {"title": title}
        self.json = {"id": id, "type": kind} | named | ({"is_forum": True} if forum and kind != "private" else {})
        self.json |= {k: v for k, v in known.items() if v}

    @property
    def drafts(self) -> dict[int, Draft]:
        """The previews that stand now, by draft_id."""
        end = time.monotonic() - self.server.draft_seconds
        self._drafts = {k: d for k, d in self._drafts.items() if d.at > end}
        return self._drafts

    @property
    def answers(self) -> list[Message]:
        """The bot's messages that are to be seen now."""
        return [m for m in self.messages if m.by is self.server.bot and not m.deleted]

    @property
    def is_typing(self) -> bool:
        """Whether "typing" shows now: five seconds after an action, until a message comes."""
        last = self.typing[-1][0] if self.typing else -math.inf
        return time.monotonic() - last < 5 and not (self.answers and self.answers[-1].at > last)

    async def replies(self, count: int = 1, *, after: Message | None = None, timeout: float = 10.0) -> list[Message]:
        """The bot's messages (those after a given one), as soon as there are `count`."""

        def enough() -> list[Message]:
            found = [m for m in self.answers if after is None or m.id > after.id]
            return found if len(found) >= count else []

        return await self.server.wait_for(enough, timeout)

    async def say(
        self,
        person: Person,
        text: str,
        *,
        reply_to: Message | None = None,
        thread: int | None = None,
        mention: bool = False,
        edit: Message | None = None,
        **more: Any,
    ) -> Message:
        """Write a text, or `edit` an own one. `mention` puts the bot's name first. `more` goes into the Message as it is."""
        text = f"@{self.server.bot.username} {text}" if mention else text
        fields = {"text": text, **more}
        if found := entities_of(text):
            fields["entities"] = found
        if edit is None:
            return self._post(person, fields, "text", reply_to, thread)
        edit.edits.append(edit.text)
        edit.text = edit.raw = text
        edit.entities = fields.get("entities", [])
        edit.wire = edit.wire | {"entities": []} | fields | {"edit_date": now()}
        self._tell("edited_message", edit.wire)
        return edit

    async def start(self, person: Person, payload: str = "") -> Message:
        """Press Start, or open the bot's deep link."""
        return await self.say(person, f"/start {payload}".strip())

    async def photo(self, person: Person, data: bytes, caption: str = "", **more: Any) -> Message:
        """Send a picture; `media_group_id=...` makes it part of an album; reply_to and thread as in say."""
        sizes = [self._file(data, f"photos/file_{n}.jpg") | {"width": w, "height": w} for n, w in ((0, 90), (1, 1280))]
        return self._attach(person, "photo", {"photo": sizes}, caption, more)

    async def voice(self, person: Person, data: bytes, seconds: int = 3, caption: str = "", **more: Any) -> Message:
        """Send a voice note (OGG/Opus)."""
        note = self._file(data, "voice/file_0.oga") | {"duration": seconds, "mime_type": "audio/ogg"}
        return self._attach(person, "voice", {"voice": note}, caption, more)

    async def document(
        self,
        person: Person,
        data: bytes,
        name: str,
        mime: str = "application/octet-stream",
        caption: str = "",
        **more: Any,
    ) -> Message:
        """Send a file."""
        file = self._file(data, f"documents/{name}") | {"file_name": name, "mime_type": mime}
        return self._attach(person, "document", {"document": file}, caption, more)

    async def post(
        self, person: Person, *, reply_to: Message | None = None, thread: int | None = None, **fields: Any
    ) -> Message:
        """Any other kind of message, by its fields (sticker, location, contact ...)."""
        return self._post(person, fields, "other", reply_to, thread)

    async def press(self, person: Person, button: str, message: Message | None = None) -> Press:
        """Press a button by its label or data, on a message or on the newest that has it."""
        for seen in [message] if message else reversed(self.answers):
            for wanted in itertools.chain.from_iterable(seen.buttons):
                data = wanted.get("callback_data")
                if data is not None and button in (wanted["text"], data):
                    press = Press(f"q{len(self.server.presses) + 1}", person, data)
                    self.server.presses[press.id] = press
                    query = {"id": press.id, "from": person.json, "chat_instance": f"c{self.id}", "data": data}
                    self._tell("callback_query", query | {"message": seen.wire})
                    return press
        raise AssertionError(f"no button {button!r} is to be seen")

    async def stop(self, person: Person) -> None:
        """Press Stop on the preview that offers it."""
        draft = next((d for d in reversed(self.drafts.values()) if d.can_stop), None)
        assert draft, "no preview with a stop button is to be seen"
        if not draft.keep_on_stop:
            del self._drafts[draft.id]
        self._tell("stopped_message_generation", {"chat": self.json, "draft_id": draft.id})

    async def react(self, person: Person, message: Message, emoji: str) -> None:
        """Set the person's reaction on a message."""
        new = [{"type": "emoji", "emoji": emoji}] if emoji else []
        body = {"chat": self.json, "message_id": message.id, "user": person.json, "date": now()}
        self._tell("message_reaction", body | {"old_reaction": [], "new_reaction": new})

    async def block(self, person: Person) -> None:
        """Block the bot: from now on it is refused with 403."""
        self.blocked = True
        self._membership(person, "member", "kicked")

    async def unblock(self, person: Person) -> None:
        """Let the bot write again."""
        self.blocked = False
        self._membership(person, "kicked", "member")

    async def add_bot(self, person: Person) -> None:
        """Take the bot into this group."""
        self.bot_in = True
        self._membership(person, "left", "member")
        self._post(person, {"new_chat_members": [self.server.bot.json]}, "other", None, None)

    async def remove_bot(self, person: Person) -> None:
        """Throw the bot out of this group."""
        self._membership(person, "member", "kicked")
        self.bot_in = False

    async def migrate(self, person: Person, new_id: int) -> "Chat":
        """Make a supergroup of a basic group; the old id answers with migrate_to_chat_id from now on."""
        new = self.server.group(new_id, self.title, list(self.members.values()), admins=self.admins)
        self._post(person, {"migrate_to_chat_id": new_id}, "other", None, None)
        self.migrated_to = new_id
        new._post(person, {"migrate_from_chat_id": self.id}, "other", None, None)
        return new

    def topic(self, title: str = "Topic") -> int:
        """Open a topic of a forum; its message_thread_id."""
        assert self.forum, "topics need a forum"
        thread = self.next_id()
        self.threads.add(thread)
        return thread

    def next_id(self) -> int:
        return next(self._own_ids if self.kind == "supergroup" else self.server.message_ids)

    def keep(self, message: Message) -> Message:
        """Put a message into the chat."""
        self.messages.append(message)
        self.by_id[message.id] = message
        return message

    def vanish(self, thread: int | None) -> None:
        """A real message came: previews go."""
        if self._drafts:
            self._drafts = {k: d for k, d in self._drafts.items() if d.thread != thread}

    def preview(self, draft: Draft) -> None:
        """Show a draft."""
        self._drafts[draft.id] = draft
        self.draft_log.append(draft)

    def _attach(self, person: Person, kind: str, fields: dict, caption: str, more: dict) -> Message:
        reply_to, thread = more.pop("reply_to", None), more.pop("thread", None)
        if caption:
            fields["caption"] = caption
            if found := entities_of(caption):
                fields["caption_entities"] = found
        return self._post(person, fields | more, kind, reply_to, thread)

    def _post(self, person: Person, fields: dict, kind: str, reply_to: Message | None, thread: int | None) -> Message:
        assert person.id in self.members, f"{person.name} is not in {self.title}"
        wire = {"message_id": self.next_id(), "date": now(), "chat": self.json, "from": person.json} | fields
        if thread is not None:
            self.threads.add(thread)
            wire |= {"message_thread_id": thread, "is_topic_message": True}
        if reply_to:
            wire["reply_to_message"] = {k: v for k, v in reply_to.wire.items() if k != "reply_to_message"}
        text = fields.get("text") or fields.get("caption") or ""
        message = Message(wire["message_id"], self.id, person, text, text, kind, wire, time.monotonic())
        message.thread, message.reply_to = thread, reply_to and reply_to.id
        message.entities = fields.get("entities", [])
        self.keep(message)
        self.started = True
        self._tell("message", wire)
        return message

    def _tell(self, kind: str, body: dict) -> None:
        if not self.bot_in or self.blocked or self.migrated_to:
            return
        if self.server.privacy and self.kind != "private" and kind in ("message", "edited_message"):
            bot, text = self.server.bot, body.get("text") or body.get("caption") or ""
            answered = body.get("reply_to_message", {}).get("from", {}).get("id") == bot.id
            service = "migrate_to_chat_id" in body or "new_chat_members" in body
            if not (answered or service or text.startswith("/") or f"@{bot.username}" in text):
                return
        self.server.updates.push(kind, body, self.id)

    def _membership(self, person: Person, old: str, new: str) -> None:
        body = {"chat": self.json, "from": person.json, "date": now()}
        states = {
            "old_chat_member": as_member(self.server.bot, old),
            "new_chat_member": as_member(self.server.bot, new),
        }
        self.server.updates.push("my_chat_member", body | states, self.id)

    def _file(self, data: bytes, path: str) -> dict:
        number = len(self.server.files) + 1
        folder, _, name = path.partition("/")
        self.server.files[f"F{number}"] = (f"{folder}/{number}_{name}", data)
        return {"file_id": f"F{number}", "file_unique_id": f"U{number}", "file_size": len(data)}


def thread_of(chat: Chat, params: dict) -> int | None:
    thread = params.get("message_thread_id")
    if thread is not None and not (chat.forum and thread in chat.threads):
        raise Refused(400, "Bad Request: message thread not found")
    return thread
