"""Slack: the real adapter on the tests' strict server, and what a person reads of its blocks."""

import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Self

import aiohttp
import msgspec
from markdown_it import MarkdownIt
from markdown_it.token import Token

from adapters.chat.slack.client import Times
from adapters.chat.slack.mrkdwn import JOINER
from adapters.chat.slack.outbound import Slack
from core.engine import Engine
from core.notes import Notes
from core.ports import Chat
from tests.contracts.place import Ability, By, Fault, Sent, Step, Way, Where
from tests.servers.slack import APP_TOKEN, BOT_TOKEN, SlackServer
from tests.servers.slack_api.delivery import Delivery
from tests.servers.slack_api.faults import Fault as ApiFault
from tests.servers.slack_api.faults import Limits
from tests.servers.slack_api.messages import Message

TIMES = Times(connect=2.0, backoff=0.02, backoff_cap=0.1, watch=0.02)
LIMITS = Limits(channel_seconds=0.05, methods={"apps.connections.open": 1000})
"""The platform's own, but for what a test would only wait for."""
FAULTS: dict[Fault, dict] = {
    "busy": {"status": 429, "retry_after": 1},
    "broken": {"status": 502},
    "cut before": {"drop": "before"},
    "cut after": {"drop": "after"},
}
LONG = 1_000_000

COMMONMARK = MarkdownIt("commonmark").enable(["table", "strikethrough"])
ENTITIES = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))
BOXES = (("[ ] ", "☐"), ("[x] ", "☑"))
STYLED = re.compile(r"\u2060([*_~])(?!\u2060[^*_~])(\S(?:[^\n]*?\S)?)(?<!\u2060)\1\u2060")


class SlackPlace:
    """A workspace of today whose app is an agent: streams in threads. Everything is said in one thread."""

    lacks: ClassVar[dict[Ability, str]] = {
        "block": "nobody can shut an app out of direct messages",
        "hang up": "the platform itself keeps what the person has not seen",
    }
    modern: ClassVar[bool] = True

    def __init__(self, server: SlackServer) -> None:
        self._server = server
        self._ada = server.person("U1", "Ada")
        bob, robot = server.person("U2", "Bob"), server.bot_person("U3", "Robot")
        self._carl = server.person("U4", "Carl", guest=True)
        self._people = {"ada": self._ada, "bob": bob, "robot": robot}
        self._chat = server.private(self._ada)
        self._theirs = server.private(self._carl)
        self._group = server.channel("C1", "friends", list(self._people.values()))
        self._projects = server.channel("C2", "projects", list(self._people.values()))
        self._roots: dict[str, Message] = {}
        self._faults: list[ApiFault] = []

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator[Self]:
        async with SlackServer(agent=cls.modern, limits=LIMITS) as server:
            if not cls.modern:
                server.fail("chat.startStream", error="unknown_method", times=1e9)
            yield cls(server)
            assert server.problems == []

    @asynccontextmanager
    async def life(self, engine: Engine) -> AsyncIterator[Chat]:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as shared:
            notes = Notes(engine._store, engine._people, "slack")
            yield Slack(BOT_TOKEN, shared, notes, app_token=APP_TOKEN, api_url=self._server.url, times=TIMES)

    async def say(self, text: str) -> "SlackSent":
        message = await self._chat.say(self._ada, text, thread=self._roots.get("ada"))
        self._roots.setdefault("ada", message)
        return SlackSent(message, text, self._server)

    async def edit(self, sent: "SlackSent", text: str) -> None:
        message = sent.message
        await message.chat.say(message.by, text, edit=message, mention=message.chat is self._group)

    async def take_back(self, sent: "SlackSent") -> None:
        await sent.message.chat.delete(sent.message.by, sent.message)

    async def send_picture(self, caption: str) -> None:
        message = await self._chat.photo(self._ada, b"a picture", caption, thread=self._roots.get("ada"))
        self._roots.setdefault("ada", message)

    async def redeliver(self, sent: Sent) -> None:
        first = next(d for d in self._server.deliveries.all if d.event.get("ts") == sent.id)
        self._server.deliveries.push(Delivery(first.kind, first.payload))

    async def say_raw(self, text: bytes) -> None:
        event = {"type": "message", "channel": self._chat.id, "channel_type": "im", "user": self._ada.id}
        event |= {"ts": self._server.now(), "team": "T1"}
        body = msgspec.json.encode(self._server.wrapped(event | {"text": 0})).replace(b'"text":0', b'"text":' + text)
        envelope = b'{"type":"events_api","envelope_id":"raw","payload":' + body + b"}"
        self._server.sockets._known.add("raw")
        await self._frame(envelope)

    async def send_nonsense(self) -> None:
        for frame in (b"{", b"[]", b"null", b"5", b"[" * 10_000, b'{"type":5}', b'{"type":"hello"}'):
            await self._frame(frame)
        for event in ({"type": "message", "channel": 5}, {"type": "message"}, {"type": "something_new"}, {}):
            self._server.push(event)
        for kind, payload in (
            ("interactive", {"type": "block_actions", "actions": 1}),
            ("slash_commands", {}),
            ("x", {}),
        ):
            self._server.deliveries.push(Delivery(kind, payload))

    async def press_stop(self) -> None:
        await self._chat.stop(self._ada)

    async def look(self) -> None:
        """Slack shows by itself."""

    def read(self) -> list[str]:
        # a stream that ended is no final before the program made it one
        seen = [message for message in self._chat.answers if message.metadata or not message.streamed]
        return [read_message(message.blocks, message.raw) for message in seen]

    def previews(self) -> list[str]:
        growing = [message for message in self._chat.messages if message.streamed]
        return [read_message(state.blocks, state.text) for message in growing for state in message.edits]

    def growing(self) -> bool:
        return bool(self._chat.streaming)

    def working(self) -> bool:
        return bool(self._chat.status or self._chat.session_log)

    def fail(self, fault: Fault, step: Step = "send", where: Where = "private", *, lasting: bool = False) -> None:
        method = "chat.postMessage"
        if step == "preview":
            method = "chat.appendStream" if self.modern else "chat.update"
        chat = self._chat if where == "private" else self._group
        self._order(method, chat.id, LONG if lasting else 1, **FAULTS[fault])

    def struck(self) -> int:
        return LONG - int(self._faults[-1].times)

    def heal(self) -> None:
        self._server.faults[:] = [fault for fault in self._server.faults if fault not in self._faults]

    async def thread_say(self, thread: str, text: str) -> "SlackSent":
        mention = not text.startswith("/")
        text = text if mention else f"!{text[1:]}"
        message = await self._projects.say(self._ada, text, mention=mention, thread=self._roots.get(thread))
        self._roots.setdefault(thread, message)
        return SlackSent(message, text, self._server)

    def thread_read(self, thread: str) -> list[str]:
        root = self._roots[thread].ts
        shown = [m for m in self._projects.answers if m.thread == root and (m.metadata or not m.streamed)]
        return [read_message(message.blocks, message.raw) for message in shown]

    async def group_say(self, text: str, by: By = "ada", way: Way = "") -> "SlackSent":
        said = "!" + text[1:] if way == "command" else text
        thread = self._roots.get("group") if way not in ("", "opening") else None
        mention = way in ("mention", "opening")
        message = await self._group.say(self._people[by], said, mention=mention, thread=thread)
        if way:
            self._roots.setdefault("group", message)
        return SlackSent(message, text, self._server)

    def group_read(self) -> list[str]:
        return [read_message(message.blocks, message.raw) for message in self._shown()]

    def group_pairs(self) -> list[tuple[str, str]]:
        """An answer belongs to the thread in which it stands."""
        asked = {m.ts: m.text.removeprefix(f"@{self._server.bot.name} ") for m in self._group.messages}
        return [(asked[m.thread or ""], read_message(m.blocks, m.raw)) for m in self._shown()]

    def pinged(self) -> list[str]:
        return [ping for message in self._shown() for ping in message.pings]

    async def wipe(self, sent: "SlackSent | None" = None) -> None:
        self._group.remove(sent.message if sent else self._shown()[-1])

    def tried(self) -> int:
        methods = ("chat.postMessage", "chat.update", "chat.startStream", "chat.appendStream")
        return sum(c.method in methods and c.params.get("channel") == self._group.id for c in self._server.calls)

    async def remove(self) -> None:
        await self._group.remove_bot(self._ada)

    async def readmit(self) -> None:
        await self._group.add_bot(self._ada)

    async def mute(self) -> None:
        for method in ("chat.postMessage", "chat.startStream"):
            self._order(method, self._group.id, LONG, error="restricted_action")

    async def unmute(self) -> None:
        self.heal()

    async def refuse_form(self) -> None:
        self._order("chat.postMessage", self._group.id, 1, error="invalid_blocks")

    async def say_as_stranger(self, text: str) -> None:
        message = await self._theirs.say(self._carl, text, thread=self._roots.get("carl"))
        self._roots.setdefault("carl", message)

    def stranger_reads(self) -> list[str]:
        return [read_message(message.blocks, message.raw) for message in self._theirs.answers]

    def _shown(self) -> list[Message]:
        mine = [m for m in self._group.messages if m.by is self._server.bot and not m.deleted]
        return [m for m in mine if m.wire.get("subtype") != "channel_join"]

    def _order(self, method: str, channel: str, times: float, **how: Any) -> None:
        # before the older workspace's own refusals
        self._faults.append(self._server.fail(method, channel=channel, times=times, **how))
        self._server.faults.insert(0, self._server.faults.pop())

    async def _frame(self, frame: bytes) -> None:
        (socket,) = await self._server.wait_for(lambda: self._server.sockets.open)
        await socket.ws._writer.send_frame(frame, aiohttp.WSMsgType.TEXT)


class OlderSlackPlace(SlackPlace):
    """A workspace whose app is no agent: no streams, no sessions; previews by edits."""

    modern = False
    lacks: ClassVar[dict[Ability, str]] = SlackPlace.lacks | {
        "previews": "a message that grows looks like any other (the group promises watch one become its final)"
    }


class SlackSent(Sent):
    def __init__(self, message: Message, text: str, server: SlackServer) -> None:
        self.message, self.id, self.text = message, message.ts, text
        self._server = server

    @property
    def told(self) -> bool:
        return any(d.acked for d in self._server.deliveries.all if d.event.get("ts") == self.id)


def read_message(blocks: list[dict[str, Any]] | None, text: str) -> str:
    """What a person reads of a message: of its blocks, of its text where it has none."""
    if not blocks:
        return _unescaped(text).strip()
    parts = (_block(block) for block in blocks)
    return "\n\n".join(part for part in parts if part).strip()


def _block(block: dict[str, Any]) -> str:
    match block["type"]:
        case "markdown":
            return read_markdown(block["text"])
        case "section":
            return read_mrkdwn(block["text"]["text"])
        case "table":
            return "\n".join(" | ".join(_cell(cell) for cell in row) for row in block["rows"])
        case "actions":
            return ""
    raise AssertionError(f"nobody reads a block of type {block['type']}")


def _cell(cell: dict[str, Any]) -> str:
    if cell["type"] == "raw_text":
        return cell["text"].strip()
    return "".join(_link(e.get("text", ""), e["url"]) if e["type"] == "link" else e["text"] for e in _inner(cell))


def _inner(cell: dict[str, Any]) -> Iterable[dict[str, Any]]:
    return (element for section in cell["elements"] for element in section["elements"])


def read_mrkdwn(text: str) -> str:
    """mrkdwn as it is read: code stays, marks go, a link shows where it leads."""
    kept: list[str] = []

    def keep(found: re.Match) -> str:
        kept.append(found[1] if found[1] is not None else found[2])
        return f"\0{len(kept) - 1}\0"

    text = re.sub(r"```\n(.*?)\n```|`([^`\n]+)`", keep, text, flags=re.DOTALL)
    text = re.sub(r"^> ?", "", text, flags=re.MULTILINE)
    while (plain := STYLED.sub(r"\2", text)) != text:
        text = plain
    text = re.sub(r"<(https?://[^|>]+)(?:\|([^>]*))?>", lambda found: _link(found[2] or found[1], found[1]), text)
    text = text.replace(JOINER, "")
    return _unescaped(re.sub(r"\0(\d+)\0", lambda found: kept[int(found[1])], text))


def read_markdown(text: str) -> str:
    """A markdown block as it is read; an open fence of a message that grows is code to its end."""
    return _Reader(COMMONMARK.parse(text)).blocks("").replace("\u00a0", " ")


def _unescaped(text: str) -> str:
    for entity, char in ENTITIES:
        text = text.replace(entity, char)
    return text


def _link(label: str, href: str) -> str:
    return label if label == href else f"{label} ({href})"


class _Reader:
    """The parser's flat tokens, read one after the other."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.at = 0

    def blocks(self, end: str, gap: str = "\n\n") -> str:
        parts = []
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            self.at += 1
            match token.type:
                case kind if kind == end:
                    break
                case "inline":
                    parts.append(_spans(token.children or []))
                case "fence" | "code_block" | "html_block":
                    assert token.type == "fence", f"{token.type}: {token.content!r}"
                    parts.append(token.content.removesuffix("\n"))
                case "hr":
                    parts.append("─────")
                case "bullet_list_open" | "ordered_list_open":
                    parts.append(self.items(token))
                case "blockquote_open":
                    parts.append(self.blocks("blockquote_close"))
                case "table_open":
                    raise AssertionError("tables stand in blocks of their own")
        return gap.join(part for part in parts if part)

    def items(self, opened: Token) -> str:
        number = int(opened.attrGet("start") or 1) if opened.type == "ordered_list_open" else 0
        lines = []
        while self.tokens[self.at].type == "list_item_open":
            self.at += 1
            mark = f"{number}. " if opened.type == "ordered_list_open" else "• "
            body = self.blocks("list_item_close", "\n")
            box = next((sign for source, sign in BOXES if body.startswith(source)), "")
            lines.append(f"{box} {body[4:]}" if box else mark + body)
            number += 1
        self.at += 1
        return "\n".join(lines)


def _spans(tokens: list[Token]) -> str:
    out = ""
    links: list[tuple[str, int]] = []
    for token in tokens:
        match token.type:
            case "text" | "code_inline":
                out += token.content
            case "softbreak" | "hardbreak":
                out += "\n"
            case "link_open":
                links.append((str(token.attrGet("href")), len(out)))
            case "link_close":
                href, start = links.pop()
                label = out[start:]
                out = out[:start] + _link(label, href)
            case "html_inline" | "image":
                raise AssertionError(f"{token.type}: {token.content!r}")
    return out
