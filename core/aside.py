"""What is answered at once, beside a chat's lane: strangers, refusals, and commands that only read or stop.

It goes through the outbox like any reply, so that it too is delivered once, whatever process dies.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from core import commands
from core.budget import Budgets, Payer
from core.conversation import REPLY, encode
from core.delivery import Delivery, Out
from core.keys import Lane, lane_keys
from core.mailbox import Mailbox
from core.messages import ChatRef, Message, Reply
from core.people import Known, People
from core.places import Places, space_of
from core.ports import Models
from core.running import Running
from core.words import words


class Aside:
    """The answers that take no turn."""

    def __init__(
        self,
        *,
        people: People,
        mailbox: Mailbox,
        delivery: Delivery,
        places: Places,
        models: Models,
        budgets: Budgets,
        running: Mapping[str, Running],
    ) -> None:
        """`running` are the turns under way in this process, by lane."""
        self._people = people
        self._mailbox = mailbox
        self._delivery = delivery
        self._places = places
        self._models = models
        self._budgets = budgets
        self._running = running
        self._since = datetime.now(UTC)

    async def say(self, chat: ChatRef, event: str, known: Known, text: str, reply_to: str = "") -> None:
        """Say a text because of this event; an event that comes again changes nothing. Raises StoreError."""
        lane = self._lane(chat)
        turn = self._people.event(chat, event)
        owner = self._people.owner(chat, known)
        box = await self._people.box(owner)
        local = self._delivery.holds(chat)
        at = int(datetime.now(UTC).timestamp() * 1000)
        reply = Reply(turn, chat, text, at=at, reply_to=reply_to)
        sealed = box.seal(encode(reply), REPLY)
        outbox, _ = await self._mailbox.say(lane, turn, space_of(chat), owner, sealed, sending=local)
        if local and not outbox:
            # Said before: when the event came first, or just now, and the store's answer got lost.
            outbox = await self._mailbox.left(lane, space_of(chat), sealed)
        if outbox and local:
            self._delivery.deliver(Out(lane, outbox, reply))

    async def answer(self, message: Message, known: Known, key: str, **values: object) -> None:
        """Say one of our texts as the answer to a message."""
        prefix = self._places.traits(message.chat).command
        text = words(key, message.language or "en", prefix=prefix, **values)
        await self.say(message.chat, message.event, known, text, message.message_id)

    async def claims(self, message: Message, known: Known) -> bool:
        """Whether a message was the operator's code, which makes its sender the operator."""
        code = message.start or message.text.strip()
        if known.admin or not await self._people.claimed(message.sender, code):
            return False
        known = await self._people.meet(message.sender, trusted=False)
        await self.answer(message, known, "claimed")
        return True

    async def turn_away(self, message: Message, known: Known) -> None:
        """Tell a stranger the way in: once a day, and not at all where only named accounts may talk."""
        if self._people.policy == "closed":
            return
        if not message.chat.private:
            if await self._people.first_today(message.sender):
                await self.answer(message, known, "code_in_group")
            return
        code = await self._people.ask(message.sender, message.name)
        if code:
            text = words("code", message.language or "en", code=code)
            await self.say(message.chat, message.event, known, text)

    async def command(self, line: commands.Line, message: Message, known: Known) -> None:
        """Carry out a command that takes no turn."""
        language = message.language or "en"
        traits = self._places.traits(message.chat)
        prefix = traits.command
        match line.name:
            case "start":
                text = words("welcome", language, prefix=prefix)
            case "help":
                text = commands.help_text(prefix, self._models.speaking, traits.also, language)
            case "stop":
                text = await self._stop(message, language)
            case "model":
                offered = ", ".join(f"`{prefix}model {name}`" for name in self._models.offered())
                text = words("model_now", language, model=await self._speaking(message.chat))
                text += "\n\n" + words("model_offered", language, list=offered) if offered else ""
            case "status":
                text = await self._status(message.chat, language)
            case "usage":
                text = await self._budgets.usage(await self._payer(message, known))
            case "budget" if known.admin:
                text = await self._budgets.account(await self._payer(message, known))
            case "budget":
                text = words("admins_only", language)
            case "whoami":
                text = words(
                    "whoami",
                    language,
                    name=message.name or message.sender.user,
                    platform=traits.label,
                    user=message.sender.user,
                    access=words("is_admin" if known.admin else "is_allowed", language),
                    kind=words("private_chat" if message.chat.private else "group_chat", language),
                )
            case _:
                text = words("unknown_command", language, command=f"{prefix}{line.name[:40]}", prefix=prefix)
        if text:
            await self.say(message.chat, message.event, known, text, message.message_id)

    async def _stop(self, message: Message, language: str) -> str:
        lane = self._lane(message.chat)
        fence, dropped = await self._mailbox.stop(lane, drop=message.chat.private)
        running = self._running.get(lane.id)
        if fence and running is not None and running.begun.fence == fence:
            running.halt()
        if dropped:
            return words("dropped", language, count=dropped)
        return "" if fence else words("nothing_runs", language)  # the turn itself says that it was stopped

    async def _payer(self, message: Message, known: Known) -> Payer:
        return Payer(known.person, message.chat, await self._budgets.now(), language=message.language or "en")

    async def _speaking(self, chat: ChatRef) -> str:
        context, _, _ = await self._mailbox.context(self._lane(chat))
        chosen = context.get("model")
        return chosen.decode() if chosen else self._models.speaking

    async def _status(self, chat: ChatRef, language: str) -> str:
        _, blocks, _ = await self._mailbox.context(self._lane(chat))
        return words(
            "status",
            language,
            model=await self._speaking(chat),
            turns=len(blocks),
            since=self._since.strftime("%Y-%m-%d %H:%M UTC"),
        )

    def _lane(self, chat: ChatRef) -> Lane:
        return lane_keys(self._people.lane(chat))
