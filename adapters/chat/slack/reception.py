"""Takes payloads in: adds what they cannot tell by themselves (who somebody is, which threads are ours) and hands them to
core. Sockets and HTTP both end here. Whatever nobody has to wait for runs beside.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from slack_sdk.errors import SlackClientError

from adapters.chat.slack import failures, inbound
from adapters.chat.slack.asked import Asked, Book
from adapters.chat.slack.client import ANYTHING, Client
from adapters.chat.slack.events import Payload
from adapters.chat.slack.home import Home
from adapters.chat.slack.inbound import ASIDE, Me
from adapters.chat.slack.members import Member, Members
from adapters.chat.slack.places import Places
from core.messages import Deleted, Edited, Inbound, Joined, Message, Pressed
from core.ports import Accept, Command

log = logging.getLogger(__name__)

IN_THREAD = ("/stop", "/new", "/retry")
"""Slash commands that mean the conversation in which their giver spoke last: in it they cannot be given."""
TITLE = 60


class Reception:
    """`beside` runs what nobody has to wait for; `gone` is set when the app was taken out of the workspace."""

    def __init__(
        self,
        client: Client,
        *,
        me: Me,
        places: Places,
        members: Members,
        book: Book,
        accept: Accept,
        commands: tuple[Command, ...],
        beside: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self.me = me
        self.gone = asyncio.Event()
        self._client = client
        self._places = places
        self._members = members
        self._book = book
        self._accept = accept
        self._names = frozenset(command.name for command in commands)
        self._home = Home(client, commands)
        self._beside = beside

    async def receive(self, payload: Payload) -> None:
        """Accept a payload; returns when it is durable. Raises StoreError."""
        if not inbound.ours(payload, self.me):
            log.debug("a payload for another app or workspace is ignored")
            return
        event = payload.event
        match event.type if event else "":
            case "app_uninstalled":
                self.gone.set()
            case "tokens_revoked":
                self._beside(self._still_there())
            case "app_home_opened" | "assistant_thread_started":
                if event and event.type == "app_home_opened" and event.channel:
                    await self._places.met(event.channel)
                self._beside(self._home.opened(payload))
            case _:
                await self._inbound(payload)

    async def _inbound(self, payload: Payload) -> None:
        im = await self._im(payload)
        found = inbound.read(payload, self.me, {}, self._names, im)
        if found is None:
            return
        if isinstance(found, Deleted):
            await self._accept(found)
            return
        told = found.message if isinstance(found, Edited) else found
        if isinstance(told, Message):
            told = await self._addressed(told)
            if not told.addressed:
                await self._accept(msgspec.structs.replace(found, message=told) if isinstance(found, Edited) else told)
                return
        who = inbound.speaker(payload)
        member = await self._members.meet(who, self.me.team, payload) if who else Member()
        names = await self._members.names(inbound.people(payload) - {who, self.me.user}, self.me.team)
        named = inbound.read(payload, self.me, {**names, who: member.name}, self._names, im)
        if named is not None and not isinstance(named, Deleted):
            await self._accept(await self._known(named, member, payload))

    async def _addressed(self, message: Message) -> Message:
        """The message, addressed also where it stands in a thread of ours."""
        chat = message.chat
        if chat.thread.startswith(ASIDE) or not chat.thread:
            return message
        if chat.private:
            await self._places.met(chat.chat)
        elif message.addressed:
            await self._places.take(chat.chat, chat.thread)
        elif chat.thread != message.message_id and await self._places.ours(chat.chat, chat.thread):
            return msgspec.structs.replace(message, addressed=True)
        return message

    async def _known(self, event: Inbound, member: Member, payload: Payload) -> Inbound:
        """The event with what is known of whoever sent it."""
        if isinstance(event, Joined):
            if event.sender.user:
                await self._places.invited(event.chat.chat, event.sender.user)
            return msgspec.structs.replace(event, vouched=member.vouched)
        told = event.message if isinstance(event, Edited) else event
        if not isinstance(told, Message | Pressed):
            return event
        told = msgspec.structs.replace(
            told,
            name=member.name or told.name,
            vouched=member.vouched,
            admin=await self._rules(told, member),
        )
        if isinstance(told, Pressed):
            self._book.note(told.chat, "", Asked(told.sender.user, member.team, payload.response_url or ""))
            return told
        told = msgspec.structs.replace(await self._addressed(told), zone=member.zone, language=member.language)
        if payload.command:
            told = self._elsewhere(told)
        title = ""
        if told.chat.private and told.chat.thread == told.message_id:
            title = " ".join(told.text.split())[:TITLE]
        self._book.note(
            told.chat, told.message_id, Asked(told.sender.user, member.team, payload.response_url or "", title)
        )
        return msgspec.structs.replace(event, message=told) if isinstance(event, Edited) else told

    async def _rules(self, told: Message | Pressed, member: Member) -> bool:
        if told.chat.private:
            return False
        if isinstance(told, Message) and not told.text.startswith(("/", "!")):
            return False
        return member.admin or told.sender.user == await self._places.inviter(told.chat.chat)

    def _elsewhere(self, message: Message) -> Message:
        newest = self._book.newest(message.chat.chat, message.sender.user)
        if message.text.strip() not in IN_THREAD or newest is None:
            return message
        return msgspec.structs.replace(message, chat=newest)

    async def _im(self, payload: Payload) -> str:
        """The direct message with us in which a command was given, or where a press in the Home tab is answered."""
        if payload.command and payload.channel_id and payload.channel_id.startswith("D"):
            return payload.channel_id if await self._places.is_im(payload.channel_id) else ""
        at = payload.container
        if payload.type == "block_actions" and payload.user and at and at.type == "view":
            return await self._home.im(payload.user.id)
        return ""

    async def _still_there(self) -> None:
        """Tokens were revoked: ours too?"""
        try:
            await self._client.ask("auth.test", ANYTHING)
        except SlackClientError as error:
            if failures.word(error) in failures.TOKEN:
                self.gone.set()
