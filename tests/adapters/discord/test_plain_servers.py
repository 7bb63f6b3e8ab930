"""Servers that speak Discord's API and are not Discord tell less and know less: people there are answered all the same."""

import contextlib
import json
from typing import Self

import aiohttp
import pytest
from aiohttp import web

from adapters.chat.discord.outbound import Discord
from adapters.chat.discord.profile import application, introduce
from adapters.chat.discord.rest import SENT, Rest, Times
from core.errors import ChatBusy, ChatRejected
from core.messages import Button, ChatRef, Partial, Reply
from core.notes import Notes
from tests.servers.loopback import Loopback

CHANNEL = "/channels/50/messages"
CHAT = ChatRef("discord", "1", "50", private=True)
LONG_TEXT = "\n\n".join(f"Paragraph {number}: " + "word " * 60 for number in range(20))


class Plain:
    """Messages of one channel, under `prefix`. `components` says what becomes of a message in them: "shown", "unseen" or
    "refused"; `wordless`: answers have no body; `limited`: headers of the one 429 that the next message gets.
    """

    def __init__(self) -> None:
        self.prefix = ""
        self.components = "shown"
        self.wordless = False
        self.limited: dict[str, str] | None = None
        self.shown: dict[str, dict] = {}
        self.asked: list[str] = []
        self._loopback = Loopback()

    async def __aenter__(self) -> Self:
        await self._loopback.open(self._answer, grace=0.1)
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._loopback.close()

    @property
    def host(self) -> str:
        return self._loopback.url

    @property
    def texts(self) -> list[str]:
        return [message.get("content") or "" for message in self.shown.values()]

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(request.path)
        path = request.path.removeprefix(self.prefix)
        if self.prefix and path == request.path:
            return web.Response(status=404, text="404: Not Found")
        if path == "/users/@me":
            return web.json_response({"id": "1", "username": "bot"})
        known = path.startswith(CHANNEL)
        name = path.removeprefix(CHANNEL).strip("/") if known else ""
        if not known or (name and name not in self.shown):
            return web.Response(status=404, text="404: Not Found")
        if self.limited is not None:
            headers, self.limited = self.limited, None
            return web.Response(status=429, headers=headers)
        return self._changed(request.method, name, json.loads(await request.read() or b"{}"))

    def _changed(self, method: str, name: str, body: dict) -> web.Response:
        if method == "DELETE":
            del self.shown[name]
            return web.Response(status=204)
        if body.get("flags", 0) & 1 << 15 and self.components == "refused":
            return web.json_response({"message": "Cannot send an empty message", "code": 50006}, status=400)
        if self.components == "unseen":
            body.pop("components", None)
        name = name or str(500 + len(self.asked))
        self.shown[name] = {**self.shown.get(name, {}), **body, "id": name}
        return web.Response() if self.wordless else web.json_response(self.shown[name])


@pytest.fixture
async def plain():
    async with Plain() as server:
        yield server


@pytest.fixture
async def session():
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as one:
        yield one


@pytest.fixture
def rest(plain, session):
    return Rest("TEST", session, plain.host, Times())


@pytest.fixture
async def bot(plain, session, store, people):
    one = Discord("TEST", session, Notes(store, people, "discord"), api_url=f"{plain.host}/api/v10")
    plain.prefix = "/api/v10"
    return one


async def send(bot: Discord, text: str, edit: str = "", **more: object) -> list[str]:
    reply = Reply("t1", CHAT, text, **more)
    parts = bot.parts(reply)
    sent = []
    for number, part in enumerate(parts):
        last, place = part is parts[-1], "" if number else edit
        sent.append(await bot.send(reply, part, key=f"t1:{number}", edit=place, last=last))
    return sent


@pytest.mark.parametrize(("prefix", "given"), [("", ""), ("/api/v10", ""), ("/api", "/api"), ("/api/v10", "/api")])
async def test_the_api_is_found_at_either_address_that_may_be_meant(plain, session, prefix: str, given: str) -> None:
    plain.prefix = prefix
    rest = Rest("TEST", session, plain.host + given, Times())
    assert (await introduce(rest)).id == "1"
    assert rest.base == plain.host + prefix


async def test_a_bot_whose_application_is_not_told_has_its_own_id(rest) -> None:
    await introduce(rest)
    assert (await application(rest)).id == "1"


async def test_a_429_that_says_how_long_in_its_headers_only_is_obeyed(plain, rest) -> None:
    await introduce(rest)
    plain.limited = {"Retry-After": "0.2"}
    with pytest.raises(ChatBusy) as busy:
        await rest.call("POST", CHANNEL, SENT, {"content": "a"})
    assert busy.value.retry_after == 0.2
    await rest.call("POST", CHANNEL, SENT, {"content": "b"})
    assert plain.texts == ["b"]


async def test_a_message_that_is_gone_without_a_code_is_sent_anew(plain, bot) -> None:
    shown = await bot.preview(Partial("t1", CHAT, 1, "the"), "")
    del plain.shown[shown]
    await send(bot, "the answer", edit=shown)
    assert plain.texts == ["the answer"]


async def test_an_answer_without_a_body_is_an_answer(plain, bot) -> None:
    plain.wordless = True
    await send(bot, "the answer")
    (name,) = plain.shown
    await send(bot, "another", edit=name)
    assert plain.texts == ["another"]


@pytest.mark.parametrize("components", ["unseen", "refused"])
async def test_without_components_a_long_reply_is_cut_smaller(plain, bot, components: str) -> None:
    plain.components = components
    await send(bot, LONG_TEXT, buttons=(Button("Try again", "/retry"),))
    assert "".join("\n\n".join(plain.texts).split()) == "".join(LONG_TEXT.split())
    assert [bool(message.get("components")) for message in plain.shown.values()][:-1] == [False] * (
        len(plain.texts) - 1
    )
    plain.shown.clear()
    await send(bot, LONG_TEXT)
    assert len(plain.texts) == 4
    assert all(plain.texts)


@pytest.mark.parametrize("components", ["unseen", "refused"])
async def test_without_components_a_preview_stays_one_message_and_becomes_the_final(
    plain, bot, components: str
) -> None:
    plain.components = components
    shown = ""
    for size in (1_000, 3_000, 5_000):
        with contextlib.suppress(ChatRejected):  # the one by which it turns out
            shown = await bot.preview(Partial("t1", CHAT, 1, LONG_TEXT[:size]), shown)
    assert len(plain.texts) == 1
    await send(bot, LONG_TEXT, edit=shown)
    assert "".join("\n\n".join(plain.texts).split()) == "".join(LONG_TEXT.split())
