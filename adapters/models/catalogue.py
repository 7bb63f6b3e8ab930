"""What is known about providers and models as data: addresses, key variables, windows, abilities, prices."""

import re
from functools import cache
from importlib.resources import files
from typing import Final

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
    protocol: str = "chat_completions"
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
    abilities: tuple[str, ...] = ("tools",)
    read: float | None = None
    cached: float | None = None
    written: float | None = None

    def cost(self, read: int, cached: int, written: int) -> float | None:
        """What a call costs in US dollars, None where the price is unknown; `cached` is a part of `read`."""
        if self.read is None or self.written is None:
            return None
        again = self.read if self.cached is None else self.cached
        return ((read - cached) * self.read + cached * again + written * self.written) / 1e6


class _Book(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    providers: dict[str, Provider]
    models: dict[str, dict[str, Known]]


UNKNOWN: Final = Known()
"""A model that nobody wrote down: a small window, no price."""


def provider(name: str) -> Provider:
    """A provider by its lower-case name; one that is not in the book is called by its name."""
    return _book().providers.get(name) or Provider(label=name or "the model")


def providers() -> dict[str, Provider]:
    """All providers of the book, by lower-case name, in the order in which a default is looked for."""
    return _book().providers


def known(name: str) -> Known:
    """What is known about `provider:model`; UNKNOWN where nothing is.

    The entry with the longest name that the model's begins with. Its price counts for the same model only: its name, or
    that with a date or `-latest` behind it.
    """
    who, _, model = name.partition(":")
    entries = _book().models.get(who, {})
    fitting = [beginning for beginning in entries if model.startswith(beginning)]
    if not fitting:
        return UNKNOWN
    longest = max(fitting, key=len)
    found = entries[longest]
    if _SAME.fullmatch(model[len(longest) :]):
        return found
    return msgspec.structs.replace(found, read=None, cached=None, written=None)


def offered(who: str) -> tuple[str, ...]:
    """Names of a provider's models to choose from, `provider:model`."""
    return tuple(f"{who}:{model}" for model, known in _book().models.get(who, {}).items() if not known.family)


_SAME = re.compile(r"(?:-latest)?(?:[-@]\d[\d-]*)?")


@cache
def _book() -> _Book:
    return msgspec.toml.decode(files(__package__).joinpath("catalogue.toml").read_bytes(), type=_Book)
