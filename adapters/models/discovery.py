"""Model servers that can be found without being told: those on this machine, and the models of a base URL."""

import asyncio
from typing import Final

import httpx
import msgspec

from adapters.http import Http
from adapters.models import catalogue, failures
from adapters.models.wire import address, credentials
from core.errors import ModelError, ModelUnknown


class Place(msgspec.Struct, frozen=True):
    """Where a model server may listen."""

    label: str
    provider: str
    base_url: str


LOCAL: Final = (
    Place("Ollama", "ollama", "http://127.0.0.1:11434/v1"),
    Place("LM Studio", "local", "http://127.0.0.1:1234/v1"),
    Place("llama-server", "local", "http://127.0.0.1:8080/v1"),
)
"""Where people run models, in the order in which they are asked."""

WITHIN: Final = 0.3
"""Seconds in which all of them must have answered."""


class Local(msgspec.Struct, frozen=True):
    """A model server on this machine."""

    label: str
    base_url: str
    name: str
    """`provider:model`, the first that it offers."""


class _Listed(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Listed] | None = None


async def local_servers(http: Http, places: tuple[Place, ...] = LOCAL) -> Local | None:
    """The first of the usual servers that runs here and has a model; None where there is none. Never longer than 0.3 s."""
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(_found(http, place)) for place in places]
    return next((task.result() for task in asked if task.result()), None)


async def first_model(http: Http, base_url: str, key: str, provider: str = "") -> str:
    """The first of a server's /models that can chat, as that server calls it. Raises ModelError in the provider's name."""
    known = catalogue.provider(provider) if provider else catalogue.Provider("The model server")
    source = failures.Source(known.label, "", known.key, known.url, key)
    try:
        place = str(address(known.protocol, base_url))
        names = await _models(http, place, credentials(known.protocol, key), source, 10.0)
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        raise failures.unreachable(source, error) from error
    if not names:
        raise ModelUnknown(f"{source.label} has no model. Fetch one there, or name one in PIERIA_MODEL.")
    return names[0]


async def _found(http: Http, place: Place) -> Local | None:
    source = failures.Source(place.label, "")
    try:
        async with asyncio.timeout(WITHIN):
            names = await _models(http, place.base_url, {}, source, WITHIN)
    except (httpx.HTTPError, TimeoutError, ModelError):
        return None
    return Local(place.label, place.base_url, f"{place.provider}:{names[0]}") if names else None


async def _models(
    http: Http, base_url: str, shown: dict[str, str], source: failures.Source, seconds: float
) -> list[str]:
    headers = {"accept": "application/json", "accept-encoding": "identity"} | shown
    timeout = httpx.Timeout(seconds, connect=min(seconds, 5.0))
    answer = await http.call("GET", base_url.rstrip("/") + "/models", headers=headers, timeout=timeout)
    told = await answer.whole(4 * 2**20, seconds)
    if answer.status != 200:
        raise failures.refused(source, answer.status, told, answer.headers)
    try:
        listed = msgspec.json.decode(told, type=_Models).data or []
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise failures.unreadable(source) from error
    return [model.id for model in listed if not any(word in model.id.lower() for word in _NO_CHAT)]


_NO_CHAT = ("embed", "whisper", "tts", "rerank", "moderation", "dall-e", "bge-", "clip")
"""Parts of the names of models that do not chat."""
