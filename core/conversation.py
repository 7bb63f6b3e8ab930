"""Plays the turn that a lane is due: reads what the turn needs, asks the model or runs a command, and commits the reply.

Nothing here is visible to others before COMMIT; whoever lost the lane in the meantime is fenced off there.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine

import msgspec

from core import commands
from core.budget import Budgets, Payer
from core.delivery import Delivery, Out
from core.errors import ModelError, PieriaError, PromptTooLong, SealError, StoreAway, StoreError, StoreFull
from core.history import open_block, open_summary, seal_block, seal_summary, with_facts
from core.mailbox import Begun, Committed, Mailbox
from core.messages import Button, Message, Partial, Prompt, Reply, Said
from core.people import People
from core.places import Places, space_of
from core.ports import Model, Models
from core.prompt import build, moment, to_summarise
from core.records import MESSAGE, Records
from core.running import Pages, Running
from core.seal import Box
from core.store import Arg
from core.tools import Caller, Toolbox
from core.turn import Budget, Desk, Outcome, answer, gather
from core.words import words

log = logging.getLogger(__name__)

REPLY = "reply"
PATIENCE = 0.5
"""Seconds between two tries of a commit while the store is away."""
QUOTE = 600
"""Characters of a quoted message that a model sees."""

encode = msgspec.msgpack.Encoder().encode
_message = msgspec.msgpack.Decoder(Message)

Block = tuple[Said, ...]


class Written(msgspec.Struct):
    """What a turn wants to commit."""

    text: str
    block: Block = ()
    """Lines for the history; empty: the turn leaves no trace there."""
    replace: bool = False
    changes: dict[str, Arg] = msgspec.field(default_factory=dict)
    shown: str = ""
    doubt: str = ""
    """What a message may show of which nobody has heard, as a digest."""
    failed: bool = False
    window: int = 0
    """Of the model that answered, in tokens; 0 where none did."""


class Question(msgspec.Struct, frozen=True):
    """What a model is to answer, and all that it may know."""

    running: Running
    box: Box
    newest: Message
    said: Block
    blocks: list[Block]


class Conversations:
    """The turns of all lanes that this process works on."""

    def __init__(
        self,
        *,
        people: People,
        mailbox: Mailbox,
        delivery: Delivery,
        places: Places,
        records: Records,
        models: Models,
        budgets: Budgets,
        tools: Toolbox,
        zone: str,
        later: Callable[[Coroutine[None, None, None]], None],
        budget: Budget | None = None,
    ) -> None:
        """`zone` is the installation's time zone; `later` runs work that nobody waits for."""
        self._people = people
        self._mailbox = mailbox
        self._delivery = delivery
        self._places = places
        self._records = records
        self._models = models
        self._budgets = budgets
        self._tools = tools
        self._zone = zone
        self._later = later
        self._budget = budget or Budget()
        self._summarising: set[str] = set()

    async def turn(self, running: Running, *, more: Callable[[], bool]) -> Committed | None:
        """Play one turn and commit it; None when it was fenced off.

        `more` says, when it comes to that, whether the commit takes the lane's next turn.
        """
        begun = running.begun
        try:
            box = await self._people.opened(begun.owner)
            messages = tuple(_message.decode(box.open(e.body, MESSAGE)) for e in begun.entries)
            await self._places.know(messages[-1].chat)
        except (SealError, msgspec.DecodeError):
            # Its owner was forgotten while it waited: nobody may read it, and nobody waits for an answer.
            return await self._mailbox.commit(begun, space="none", begin=more())
        try:
            written = await self._written(running, box, messages)
        except StoreError:
            raise
        except PieriaError as error:
            written = Written(error.sentence)
        return None if running.fenced else await self._commit(running, box, messages, written, more=more)

    async def _written(self, running: Running, box: Box, messages: tuple[Message, ...]) -> Written:
        begun, newest = running.begun, messages[-1]
        language = newest.language or "en"
        if why := self._mailbox.poison(begun):
            await self._mailbox.bury(begun, why)
            return Written(words("poison", language), shown=Pages(self._mailbox, running, box).shown)
        line = commands.read(newest.text) if begun.entries[0].alone else None
        if line and line.name == "new":
            return Written(words("new", language), changes=_fresh(begun))
        blocks = [open_block(box, b) for b in begun.blocks]
        if line and line.name == "model":
            return self._choose_model(newest, line.rest)
        if line and line.name == "retry":
            asked = tuple(s for s in blocks[-1] if s.role == "user") if blocks else ()
            if not asked:
                return Written(words("nothing_to_retry", language))
            written = await self._answered(Question(running, box, newest, asked, blocks[:-1]))
            written.replace = True
            if written.failed:
                written.block = ()  # what was answered before stays
            return written
        kinds = _kinds(messages, language)
        if kinds and not any((m.text or m.quoted).strip() for m in messages):
            return Written(words("cannot_read", language, kinds=kinds))
        said = tuple(_said(m, begun.now, language) for m in messages)
        written = await self._answered(Question(running, box, newest, said, blocks))
        if kinds:
            written.text += "\n\n" + words("cannot_read_note", language, kinds=kinds)
        return written

    def _choose_model(self, message: Message, name: str) -> Written:
        language = message.language or "en"
        if not message.chat.private and not message.admin:
            return Written(words("admins_only", language))
        if name == "default":
            return Written(words("model_default", language, model=self._models.speaking), changes={"model": ""})
        model = self._models.named(name)
        if model is None:
            offered = ", ".join(f"`{n}`" for n in self._models.offered())
            return Written(words("model_missing", language, model=name[:80], list=offered))
        return Written(words("model_set", language, model=model.name), changes={"model": model.name})

    async def _answered(self, question: Question) -> Written:
        running, newest, said = question.running, question.newest, question.said
        begun, language = running.begun, newest.language or "en"
        outcome = Outcome()
        pages = Pages(self._mailbox, running, question.box)
        again = begun.again and not pages.shown
        partial = Partial(begun.turn, newest.chat, begun.fence, "", reply_to=newest.message_id, again=again)
        live = self._delivery.live(begun, question.box, partial, pages)
        written = Written("")
        async with asyncio.TaskGroup() as tasks:
            showing = tasks.create_task(live.run())
            answering = tasks.create_task(self._ask(question, pages, live.show, outcome, written))
            running.watch(answering)
            await asyncio.wait((answering,))
            showing.cancel()
        written.shown, written.doubt = live.shown, live.doubt
        failure = "" if answering.cancelled() else answering.result()
        written.failed = bool(failure)
        notes = [outcome.said]
        if running.halted:
            notes.append(words("stopped_note", language) if outcome.said else words("stopped", language))
        elif failure:
            notes.append(failure)
        elif outcome.stop == "length":
            notes.append(words("cut_note", language))
        elif outcome.stop == "refused":
            notes.append(words("refused_note", language))
        if (fallback := outcome.fallback) is not None:
            notes.append(
                words("fallback_note", language, instead=fallback.instead_of, why=fallback.why, model=fallback.model)
            )
        written.text = "\n\n".join(n for n in notes if n)
        final = outcome.final if not (running.halted or failure) else outcome.said
        ended = (Said("assistant", final, at=begun.now),) if final else ()
        written.block = (*said, *(outcome.lines if not failure else ()), *ended)
        return written

    async def _ask(
        self, question: Question, pages: Pages, show: Callable[[str, str], None], outcome: Outcome, written: Written
    ) -> str:
        """Let the model answer into `outcome`; returns why it could not, "" when it did."""
        begun, newest = question.running.begun, question.newest
        try:
            model = self._chosen(begun) or await self._default(show)
            model = self._budgets.charged(model, await self._payer(begun, newest))
            written.window = model.window
            caller = Caller(begun.owner, newest.chat, newest.admin, "")

            def desk_caller(step: str) -> Caller:
                return msgspec.structs.replace(caller, key=f"{begun.turn}:{step}")

            desk = Desk(self._tools, pages, desk_caller, show, self._budget)
            prompt = self._prompt(model, question, question.blocks, model.window)
            try:
                await answer(model, prompt, desk, outcome)
            except PromptTooLong:
                # The provider counts otherwise than we do: half of the history must do.
                half = question.blocks[len(question.blocks) // 2 + 1 :]
                shorter = self._prompt(model, question, half, model.window // 2)
                await answer(model, shorter, desk, outcome)
        except ModelError as error:
            return error.sentence
        except TimeoutError:
            minutes, prefix = round(self._budget.seconds / 60), self._places.traits(newest.chat).command
            return words("too_slow", newest.language or "en", minutes=minutes, prefix=prefix)
        return ""

    async def _payer(self, begun: Begun, newest: Message) -> Payer:
        """Whoever wrote pays, also in a group."""
        person = begun.owner
        if not newest.chat.private:
            trusted = self._places.traits(newest.chat).trusted
            known = await self._people.meet(newest.sender, trusted=trusted, vouched=newest.vouched)
            person = known.person or begun.owner
        return Payer(person, newest.chat, begun.now, newest.zone or self._zone, newest.language or "en")

    def _chosen(self, begun: Begun) -> Model | None:
        """The model that this chat chose, where it can be had."""
        name = begun.context.get("model")
        return self._models.named(name.decode()) if name else None

    async def _default(self, show: Callable[[str, str], None]) -> Model:
        """The default model; while it is being made ready, the person sees how far that is."""
        waiting = asyncio.ensure_future(self._models.default())
        try:
            while not (await asyncio.wait((waiting,), timeout=1.0))[0]:
                show("", self._models.speaking)
        finally:
            waiting.cancel()
        return waiting.result()

    def _prompt(self, model: Model, question: Question, blocks: list[Block], window: int) -> Prompt:
        begun, newest, said = question.running.begun, question.newest, question.said
        tools = self._tools.specs
        if model.can("small"):
            tools = self._tools.fitting(" ".join(s.text for s in said))
        return build(
            hint=self._places.traits(newest.chat).hint,
            group=not newest.chat.private,
            summary=open_summary(question.box, begun.context),
            blocks=blocks,
            newest=said,
            tools=tools if model.can("tools") else (),
            window=window,
            now=moment(begun.now, newest.zone or self._zone),
            key=f"{begun.lane.id}:{begun.conversation}",
            small=model.can("small"),
        )

    async def _commit(
        self, running: Running, box: Box, messages: tuple[Message, ...], written: Written, *, more: Callable[[], bool]
    ) -> Committed | None:
        begun, newest = running.begun, messages[-1]
        traits = self._places.traits(newest.chat)
        here = self._delivery.holds(newest.chat)
        text = written.text
        first = begun.conversation == 0 and begun.total == 0 and bool(written.block)
        if first and not traits.stored and self._models.remark:
            text += "\n\n" + self._models.remark
        reply = Reply(
            begun.turn,
            newest.chat,
            text,
            at=begun.now,
            reply_to=newest.message_id,
            shown=written.shown,
            failed=written.failed,
            again=begun.again and not written.shown,
            copied=not written.shown and written.doubt == self._people.digest(text),
            buttons=(Button(words("retry", newest.language or "en"), "/retry"),) if written.failed else (),
        )
        sealed = box.seal(encode(reply), REPLY)
        space = space_of(newest.chat)
        while True:
            try:
                committed = await self._mailbox.commit(
                    begun,
                    space=space,
                    reply=sealed,
                    sending=here,
                    block=seal_block(box, written.block) if written.block else b"",
                    replace=written.replace,
                    changes=written.changes,
                    begin=more(),
                )
                if committed.status != "FENCED":
                    break
                # A commit whose answer got lost was done, and its repetition is fenced off: only we know these bytes.
                outbox = await self._mailbox.left(begun.lane, space, sealed)
                if not outbox:
                    return None
                committed = Committed("IDLE", outbox, 0, begun.now)
                break
            except (StoreAway, StoreFull) as error:
                log.warning("a finished turn waits for the store: %s", error.sentence)
                await asyncio.sleep(PATIENCE)
        if here:
            self._delivery.deliver(Out(begun.lane, committed.outbox, reply))
        if traits.stored and written.block and newest.chat.private:
            person = begun.owner
            self._later(self._records.note(newest.chat, begun.lane, person, written.block[0].text, committed.now))
        if written.window and begun.lane.id not in self._summarising:
            older = self._to_summarise(begun, box, written)
            if older:
                self._later(self._summarise(begun, newest, box, older))
        return committed

    def _to_summarise(self, begun: Begun, box: Box, written: Written) -> list[Block]:
        """The older half of a history that fills more than half of what a turn can read; else nothing."""
        rules = self._mailbox.rules
        size = sum(len(b) for b in begun.blocks)  # sealed bytes: three make about a token
        long = size > written.window * 3 // 2 or size > rules.read_bytes // 2
        if len(begun.blocks) < 4 or not (long or len(begun.blocks) > rules.read_blocks * 2 // 3):
            return []
        return [open_block(box, b) for b in begun.blocks[: len(begun.blocks) // 2]]

    async def _summarise(self, begun: Begun, newest: Message, box: Box, older: list[Block]) -> None:
        lane = begun.lane.id
        self._summarising.add(lane)
        try:
            # What a chat says goes to the model that it chose, and to no other.
            model = self._chosen(begun) or await self._models.default()
            model = self._budgets.charged(model, await self._payer(begun, newest))
            earlier = open_summary(box, begun.context)
            prompt = to_summarise(earlier, older, key=lane)
            summary = await gather(model, prompt, 120.0)
            if summary:
                kept = with_facts(summary, earlier, (s for b in older for s in b))
                upto = begun.total - len(begun.blocks) + len(older)
                await self._mailbox.summarize(begun, upto, seal_summary(box, kept))
        except (PieriaError, TimeoutError) as error:
            log.info("a summary has to wait: %s", error)
        finally:
            self._summarising.discard(lane)


def _fresh(begun: Begun) -> dict[str, Arg]:
    return {"n": begun.conversation + 1, "sum": "", "upto": "", "base": ""}


def _said(message: Message, now: int, language: str) -> Said:
    text = message.text
    if message.quoted:
        quoted = message.quoted if len(message.quoted) <= QUOTE else message.quoted[:QUOTE] + " …"
        text = f"(In reply to: “{quoted}”)\n{text}" if text else f"(Forwarded:)\n{message.quoted}"
    if kinds := _kinds((message,), language):
        text += f"\n[{kinds}: not readable yet]"
    speaker = "" if message.chat.private else message.name
    return Said("user", text, speaker=speaker, at=now, attachments=message.attachments)


def _kinds(messages: tuple[Message, ...], language: str) -> str:
    kinds = dict.fromkeys(
        a.kind for m in messages for a in m.attachments if a.kind not in {"sticker", "location", "contact"}
    )
    return ", ".join(words(kind, language) for kind in kinds)
