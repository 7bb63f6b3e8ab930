"""Commands, the same on every platform: what there is, how a line is read, what each one answers.

`/name` is how a platform registers them; `!name` works everywhere besides. Commands that only read are answered at once,
beside the lane; the others take their turn like any message.
"""

import msgspec

from core.ports import Command
from core.words import words


class Line(msgspec.Struct, frozen=True):
    """A command as somebody typed it."""

    name: str
    rest: str


BESIDE = ("start", "help", "stop", "usage", "status", "whoami", "budget")
IN_TURN = ("new", "retry", "model")
NAMES = ("help", "new", "stop", "retry", "model", "usage", "status", "whoami", "budget")
"""In the order in which help and menus show them."""


def commands(language: str = "en") -> tuple[Command, ...]:
    """The commands that platforms register natively."""
    return tuple(Command(name, words(f"about_{name}", language)) for name in NAMES)


def read(text: str) -> Line | None:
    """The command that a message is, if it is one: `/new`, `!model openai:gpt`."""
    if not text or text[0] not in "/!":
        return None
    head, _, rest = text[1:].partition(" ")
    name = head.partition("\n")[0].lower()
    if not name or not name.isascii() or not name.replace("_", "").isalnum() or not name[0].isalpha():
        return None
    if text[0] == "!" and name not in NAMES and name != "start":
        return None  # "!important" is a person being emphatic
    return Line(name, rest.strip())


def beside(line: Line) -> bool:
    """Whether the command is answered at accept, beside the lane."""
    return line.name in BESIDE or (line.name == "model" and not line.rest) or line.name not in IN_TURN


def help_text(prefix: str, model: str, also: str = "", language: str = "en") -> str:
    """What /help answers; `also` is the platform's other way to give commands."""
    rows = "\n".join(f"- `{prefix}{c.name}` {c.about}" for c in commands(language))
    other = f"\n\n{words('help_also', language, also=also)}" if also else ""
    other += "" if prefix == "!" else f"\n\n{words('help_other', language)}"
    return f"{words('help', language)}\n\n{rows}{other}\n\n{words('help_model', language, model=model)}"
