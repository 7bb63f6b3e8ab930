"""`pieria dead list | show | retry | drop`: messages that failed again and again, and what the operator does about them."""

from datetime import UTC, datetime

from core.dead import DeadLetters, Letter
from core.errors import PieriaError, SealError
from core.mailbox import Mailbox, Rules
from core.people import People
from core.store import Store


async def dead(what: str, wanted: list[str], store: Store, people: People) -> int:
    """Carry one of the commands out; `wanted` are ids as `list` shows them, or `all`. Returns the exit code."""
    letters = DeadLetters(store, people, Mailbox(store, "shell", Rules()))
    found = await letters.letters()
    if what == "list":
        for letter in found:
            print(f"{letter.id}  {_moment(letter)}  {await _whose(letters, letter)}  {letter.why}")
        if not found:
            print("Nothing was put aside.")
        return 0
    for letter in _chosen(found, wanted):
        if what == "show":
            message = await letters.read(letter)
            if message is None:
                raise SealError(f"{letter.id} cannot be read any more: its owner was forgotten.")
            print(f"{letter.id}  {_moment(letter)}  {await _whose(letters, letter)}  {letter.why}\n\n{message.text}\n")
        elif what == "retry":
            await letters.retry(letter)
            print(f"{letter.id} is tried again; a running program answers it within seconds.")
        else:
            await letters.drop(letter)
            print(f"{letter.id} is forgotten.")
    return 0


def _chosen(found: list[Letter], wanted: list[str]) -> list[Letter]:
    if wanted == ["all"]:
        return found
    known = {letter.id: letter for letter in found}
    if not wanted:
        raise PieriaError("Name one or more ids as `pieria dead list` shows them, or `all`.")
    if missing := [name for name in wanted if name not in known]:
        raise PieriaError(f"Nothing lies under {', '.join(missing)}: `pieria dead list` shows what there is.")
    return [known[name] for name in wanted]


async def _whose(letters: DeadLetters, letter: Letter) -> str:
    message = await letters.read(letter)
    if message is None:
        return "forgotten"
    return f"{message.chat.platform}  {message.name or message.sender.user}"


def _moment(letter: Letter) -> str:
    return datetime.fromtimestamp(letter.at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
