"""A prompt's lines as every provider wants them, pure: each call has its result and no result is without its call; the date
and the pictures go with the newest message of a person. The wires encode this in their own words.
"""

import hashlib
import re
from collections.abc import Callable
from typing import Final

import msgspec

from core.messages import Media, Prompt, Said, ToolCall

NO_PICTURE = "[A picture came with this message. You cannot see pictures: say so.]"
NO_SOUND = "[A voice message came with this message. You cannot hear it: say so.]"
NO_RESULT = "Error: there is no result of this call."


class Asked(msgspec.Struct, frozen=True, gc=False):
    """What a person said."""

    text: str
    media: tuple[Media, ...] = ()
    now: bool = False
    """The newest, in front of which the date stands: it will not stand there so again."""


class Answered(msgspec.Struct, frozen=True, gc=False):
    """What the model said, and what it called; at least one of both."""

    text: str
    calls: tuple[ToolCall, ...] = ()
    now: bool = False
    """After the newest message of a person: in the turn that is under way."""


class Results(msgspec.Struct, frozen=True, gc=False):
    """What the calls of the Answered before came to: a text for each of them."""

    texts: tuple[tuple[ToolCall, str], ...]


Step = Asked | Answered | Results


def steps(prompt: Prompt) -> list[Step]:
    """The lines in order. At least one of them is a person's where there are none at all, or pictures without words."""
    newest = newest_user(prompt.lines)
    found: list[Step] = []
    calls: list[tuple[str, ToolCall]] = []
    told: dict[str, str] = {}
    taken: set[str] = set()
    for place, said in enumerate(prompt.lines):
        if said.role == "tool":
            told.setdefault(
                said.call, clean(said.text)
            )  # one whose call was cut away with the older history is left out
            continue
        if calls:
            found.append(_results(calls, told))
            calls = []
        told = {}
        if said.role == "assistant":
            calls = [(call.id, _distinct(call, taken)) for call in said.calls]
            if said.text or calls:
                found.append(Answered(clean(said.text), tuple([call for _, call in calls]), now=place > newest))
        elif place == newest:
            found.append(Asked(fronted(prompt.now, clean(spoken(said))), prompt.media, now=True))
        else:
            found.append(Asked(clean(spoken(said))))
    if calls:
        found.append(_results(calls, told))
    if newest < 0 and (prompt.media or not found):
        found.append(Asked(prompt.now, prompt.media, now=True))
    return found


def _results(calls: list[tuple[str, ToolCall]], told: dict[str, str]) -> Results:
    return Results(tuple([(call, told.get(by, NO_RESULT)) for by, call in calls]))


def _distinct(call: ToolCall, taken: set[str]) -> ToolCall:
    """The call under an id of its own: some models begin to count anew with each turn."""
    if call.id not in taken:
        taken.add(call.id)
        return call
    name, number = call.id, 1
    while name in taken:
        number += 1
        name = f"{call.id}_{number}"
    taken.add(name)
    return msgspec.structs.replace(call, id=name)


def perceived(asked: Asked, taken: Callable[[str, bytes], bool]) -> tuple[str, list[tuple[str, bytes]]]:
    """The text and the media that a model takes, each with its bare mime type; of what it does not take the text tells."""
    media: list[tuple[str, bytes]] = []
    notes: dict[str, None] = {}
    for one in asked.media:
        kind = one.mime.partition(";")[0].strip().lower()
        if taken(kind, one.data):
            media.append((kind, one.data))
        else:
            notes[NO_PICTURE if kind.startswith("image/") else NO_SOUND] = None
    return "\n".join([asked.text, *notes] if asked.text else notes), media


def fronted(now: str, text: str) -> str:
    """A message with date, zone and platform in front of it."""
    return f"({now})\n{text}" if now else text


def newest_user(lines: tuple[Said, ...]) -> int:
    """The place of the newest message of a person, -1 where there is none."""
    for place in range(len(lines) - 1, -1, -1):
        if lines[place].role == "user":
            return place
    return -1


def spoken(said: Said) -> str:
    """A person's line with the speaker's name, where there are several."""
    return f"{said.speaker}: {said.text}" if said.speaker else said.text


def clean(text: str) -> str:
    """The text without what cannot be encoded: half a character, as a terminal may hand it over."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def arguments(call: ToolCall) -> str:
    """Servers read this again: what a model once wrote wrongly must not make them refuse the whole history."""
    return (call.arguments or "{}") if whole(call.arguments) else "{}"


def whole(told: str) -> bool:
    """Whether a call's arguments are an object; none at all count as an empty one."""
    try:
        return isinstance(msgspec.json.decode(told or "{}"), dict)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return False


def id_of(call: ToolCall) -> str:
    """A call's id in letters that every provider takes: the history may hold the calls of another one."""
    return call.id if _ID.fullmatch(call.id) else f"call_{digest(call.id)}"


def name_of(call: ToolCall) -> str:
    """A called tool's name in letters that every provider takes: a model may have made one up."""
    return call.name if _ID.fullmatch(call.name) else _NOT_NAME.sub("_", call.name)[:64] or "tool"


def digest(text: str) -> str:
    """Twenty letters that stand for a text."""
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=10).hexdigest()


_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NOT_NAME: Final = re.compile(r"[^A-Za-z0-9_-]")
