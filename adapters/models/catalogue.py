"""What is known about providers and models as data: addresses, key variables, windows, abilities, prices."""

import re
from functools import cache
from importlib.resources import files
from typing import Final, Literal

import msgspec


class Provider(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody who runs models."""

    label: str
    """As people call it."""
    base_url: str = ""
    default: str = ""
    """The model that speaks when only the key is set."""
    key: str = ""
    """The environment variable of the key; "" where none is needed."""
    url: str = ""
    """The environment variable of the base URL."""
    protocol: Literal["chat_completions", "responses", "messages"] = "chat_completions"
    like: str = ""
    """The provider whose models these are too, over another protocol."""
    limit: str = "max_tokens"
    """How the field for the longest reply is called."""
    routed: bool = False
    """Takes prompt_cache_key."""
    short_ids: bool = False
    """Takes only ids of nine letters and digits for tool calls."""


class Known(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model, or a family of them whose names begin alike. Prices are US dollars a million tokens."""

    family: bool = False
    """The beginning of many names and itself no model."""
    window: int = 32_768
    longest: int = 0
    """Tokens of the longest reply, 0 where no wire needs to know."""
    abilities: tuple[str, ...] = ("tools",)
    efforts: tuple[str, ...] = ()
    """How much it can be asked to think, in the provider's words."""
    thinking: Literal["adaptive", "budget"] = "adaptive"
    """Whether the model itself, or a number of tokens, says how long it thinks."""
    off: Literal["disabled", "between_tools"] = "disabled"
    """What stands for the effort `none` where thinking has a kind of its own."""
    read: float | None = None
    cached: float | None = None
    stored: float | None = None
    """What is read and kept in the provider's cache; without it, that costs what reading does."""
    written: float | None = None

    def cost(self, read: int, cached: int, written: int, stored: int = 0) -> float | None:
        """What a call costs in US dollars, None where the price is unknown; `cached` and `stored` are parts of `read`."""
        if self.read is None or self.written is None:
            return None
        again = self.read if self.cached is None else self.cached
        keep = self.read if self.stored is None else self.stored
        fresh = read - cached - stored
        return (fresh * self.read + cached * again + stored * keep + written * self.written) / 1e6


class _Book(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    providers: dict[str, Provider]
    models: dict[str, dict[str, Known]]


UNKNOWN: Final = Known()
"""A model that nobody wrote down: a small window, no price."""
EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""How much a model may be asked to think, from nothing to all it can."""


def provider(name: str) -> Provider:
    """A provider by its lower-case name; one that is not in the book is called by its name."""
    return _book().providers.get(name) or Provider(label=name or "the model")


def providers() -> dict[str, Provider]:
    """All providers of the book, by lower-case name, in the order in which a default is looked for."""
    return _book().providers


def parted(name: str) -> tuple[str, str, str]:
    """Provider, model and effort of `provider:model@effort`; the effort is "" where none is named or the model has no such.

    A model that nobody wrote down may have any.
    """
    who, model, effort = _parted(name)
    about = known(name)
    return who, model, effort if about is UNKNOWN or effort in about.efforts else ""


def settled(name: str) -> str:
    """The name without an effort that its model does not have."""
    who, model, effort = parted(name)
    return f"{who}:{model}@{effort}" if effort else f"{who}:{model}"


def mistaken(name: str) -> str:
    """The word behind the @ of a name that looks like an effort and is none; "" where all is well."""
    told = name.rpartition("@")[2] if "@" in name else ""
    return told if told.isalpha() and told not in EFFORTS else ""


def known(name: str) -> Known:
    """What is known about `provider:model`, with or without an effort; UNKNOWN where nothing is.

    The entry with the longest name that the model's begins with. Its price counts for the same model only: its name, or
    that with a date or `-latest` behind it.
    """
    who, model, _ = _parted(name)
    entries = _book().models.get(provider(who).like or who, {})
    fitting = [beginning for beginning in entries if model.startswith(beginning)]
    if not fitting:
        return UNKNOWN
    longest = max(fitting, key=len)
    found = entries[longest]
    if _SAME.fullmatch(model[len(longest) :]):
        return found
    return msgspec.structs.replace(found, read=None, cached=None, stored=None, written=None)


def offered(who: str) -> tuple[str, ...]:
    """Names of a provider's models to choose from, `provider:model`."""
    return tuple(f"{who}:{model}" for model, known in _book().models.get(who, {}).items() if not known.family)


def _parted(name: str) -> tuple[str, str, str]:
    who, _, model = name.partition(":")
    bare, _, effort = model.rpartition("@")
    return (who, bare, effort) if bare and effort in EFFORTS else (who, model, "")


_SAME = re.compile(r"(?:-latest)?(?:[-@]\d{4}[\d-]*)?")


@cache
def _book() -> _Book:
    return msgspec.toml.decode(files(__package__).joinpath("catalogue.toml").read_bytes(), type=_Book)
