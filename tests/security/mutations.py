"""Damage to honest events: what a broken proxy, a new version of a platform or a hostile hand may send."""

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

ODD = (
    None,
    True,
    False,
    0,
    -1,
    1 << 63,
    1 << 200,
    1.5,
    1e308,
    float("nan"),
    "",
    " ",
    "\x00",
    "\ud800",
    "\u202e",
    "null",
    "/stop",
    "<@U1|>",
    "<@!>",
    "](",
    "&lt;",
    "```",
    "x" * 5_000,
    "👨‍👩‍👧‍👦" * 50,
    [],
    {},
    [[]],
    [None],
    [{}],
    {"": None},
    {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": None}]},
)


def damaged(seeds: list[Any], count: int, seed: int) -> Iterator[bytes]:
    """So many payloads, each an honest event with one to six injuries; the same for the same seed."""
    chance = random.Random(seed)
    for _ in range(count):
        event = _copy(chance.choice(seeds))
        for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
            event = _injured(event, chance)
        yield _broken(_encoded(event), chance)


def _injured(event: Any, chance: random.Random) -> Any:
    places = list(_places(event))
    if not places:
        return _copy(chance.choice(ODD))
    holder, key = chance.choice(places)
    kind = chance.randrange(7)
    if kind == 0:
        del holder[key]
    elif kind == 1:
        holder[key] = _copy(chance.choice(ODD))
    elif kind == 2:
        elsewhere, name = chance.choice(places)
        holder[key] = _copy(elsewhere[name])
    elif kind == 3 and isinstance(holder[key], str):
        holder[key] = _torn(holder[key], chance)
    elif kind == 4:
        deep: Any = holder[key]
        for _ in range(chance.choice((3, 30, 400))):
            deep = [deep] if chance.random() < 0.5 else {"elements": [deep]}
        holder[key] = deep
    elif kind == 5 and isinstance(holder[key], list):
        holder[key] = holder[key] * chance.choice((2, 50))
    elif isinstance(holder, dict):
        holder[chance.choice((f"{key}_", "type", "subtype", "text", "id"))] = _copy(chance.choice(ODD))
    return event


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every holder and key or index inside of a value."""
    waiting = [value]
    while waiting:
        holder = waiting.pop()
        inner = holder.items() if isinstance(holder, dict) else enumerate(holder) if isinstance(holder, list) else ()
        for key, below in inner:
            yield holder, key
            waiting.append(below)


def _copy(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except RecursionError:  # hurt so often that it is too deep
        return None


def _torn(text: str, chance: random.Random) -> str:
    at = chance.randint(0, len(text))
    return text[:at] + str(chance.choice(ODD))[:40] + text[chance.randint(0, len(text)) :]


def _encoded(event: Any) -> bytes:
    try:
        return json.dumps(event, ensure_ascii=False).encode("utf-8", "surrogatepass")
    except RecursionError:
        return b"[" * 2_000


def _broken(payload: bytes, chance: random.Random) -> bytes:
    """Now and then the bytes themselves are hurt."""
    kind = chance.randrange(20)
    if kind == 0:
        return payload[: chance.randint(0, len(payload))]
    if kind == 1 and payload:
        at = chance.randrange(len(payload))
        return payload[:at] + bytes((chance.randrange(256),)) + payload[at + 1 :]
    return payload
