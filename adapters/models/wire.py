"""What a protocol of model servers is to us: a body for a prompt, and events for what comes back. Everything else of a call
is the same for all of them and lives in hosted.py.
"""

from typing import Protocol

import httpx
import msgspec

from adapters.models import catalogue, failures
from core.messages import ModelEvent, Prompt


class Chosen(msgspec.Struct, frozen=True):
    """The model that a wire speaks with."""

    name: str
    """`provider:model`, with `@effort` where one is asked for."""
    model: str
    """As the provider calls it."""
    effort: str
    provider: catalogue.Provider
    known: catalogue.Known
    window: int
    abilities: frozenset[str]
    source: failures.Source


class Reply(Protocol):
    """Puts one answer together from the data of its events."""

    begun: bool
    """Something was said, thought or called."""
    done: bool
    """The server said that this was all."""

    def read(self, payloads: list[bytes]) -> list[ModelEvent]:
        """What the events of one network read say, joined. Raises ModelError."""
        ...

    def end(self) -> list[ModelEvent]:
        """What stands at the end: calls, usage, Stop. Raises ModelError where the answer broke off."""
        ...


class Wire(Protocol):
    """One protocol, spoken with one model."""

    path: str
    """Below the base URL."""

    def ask(self, prompt: Prompt) -> tuple[bytes, Reply]:
        """The body of a streamed request, and who understands its answer."""
        ...

    def adapt(self, said: str) -> bool:
        """Learn from a refusal, in lower case, what this server does not take; true where to ask anew may help.

        Each thing is learned once, so that this ends.
        """
        ...


def address(protocol: str, base_url: str) -> httpx.URL:
    """The base URL with its version: Anthropic's is often set without. Raises httpx.InvalidURL."""
    url = httpx.URL(base_url.rstrip("/"))
    return url.copy_with(path="/v1") if protocol == "messages" and url.path in {"", "/"} else url


def credentials(protocol: str, key: str) -> dict[str, str]:
    """The headers that show a key; none for one that cannot stand in a header."""
    fixed = {"anthropic-version": "2023-06-01"} if protocol == "messages" else {}
    if not (key and key.isascii() and key.isprintable()):
        return fixed
    return fixed | ({"x-api-key": key} if protocol == "messages" else {"authorization": f"Bearer {key}"})
