"""Which model speaks: settings, a provider's key, a server on this machine, the built-in model, or none; in this order.

The choice is made beside everything else: platforms are served while weights are fetched, and whoever asks meanwhile
waits, seeing how far it is.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from adapters.http import Http
from adapters.models import catalogue
from adapters.models.discovery import first_model, local_servers
from adapters.models.hosted import Hosted
from adapters.models.offline import Offline
from adapters.models.wire import address
from core.errors import ModelError, PieriaError, SettingsError
from core.messages import Prompt
from core.ports import Model
from core.words import words

if TYPE_CHECKING:
    from adapters.models.builtin import BuiltinServer

log = logging.getLogger(__name__)

BUILTIN = "builtin"


class Plan(msgspec.Struct, frozen=True):
    """What the operator set."""

    models: tuple[str, ...]
    """`provider:model` or `provider:model@effort`, in the order in which they are tried."""
    providers: Mapping[str, tuple[str, str]]
    """Key and base URL by what their variables begin with, in lower case; either may be empty."""
    cache: Path
    weights: str
    data: Path
    first: Prompt
    """What a small local model reads once before anybody asks."""
    arithmetic: str
    """The tool that calculates."""
    elsewhere: bool = False
    """Other processes answer: a built-in model is named, and neither fetched nor started."""


class Registry:
    """core.ports.Models of this installation."""

    def __init__(self, http: Http, plan: Plan, tell: Callable[[str, int, int], None] | None = None) -> None:
        """`tell(source, bytes done, bytes in all)` hears how the fetching of weights goes."""
        self._http = http
        self._plan = plan
        self._providers = _set_up(plan.providers)
        self._tell = tell
        self._chosen: asyncio.Future[Model] | None = None
        self._near: dict[str, Model] = {}
        self._builtin: BuiltinServer | None = None
        self._doing = "choosing a model"
        self.why = ""
        """Why this model, in a few words."""
        self.remark = ""

    async def prepare(self, *, warm: bool = False) -> None:
        """Choose, fetch and start; never raises, what fails leads to the offline mode that says why.

        `warm`: let a built-in model read what every prompt begins with before anybody speaks with it, which it then knows at
        later starts too. Whoever asks meanwhile would wait for that reading in any case.
        """
        chosen = self._future()
        try:
            model = await self._choose()
        except PieriaError as error:
            sentence = error.sentence
            log.info("no model: %s", sentence)  # people read it in the table, and in the offline mode's answer
            self.why = sentence
            model = Offline(lambda: words("offline", why=sentence), self._plan.arithmetic)
        if warm and self._builtin is not None and model.can("small") and not self._builtin.prepared:
            await self._warm(model, self._builtin)
        self._doing = ""
        if not chosen.done():
            chosen.set_result(model)

    async def default(self) -> Model:
        """The model that speaks unless a chat chose another; waits while it is being made ready."""
        return await asyncio.shield(self._future())

    async def settled(self) -> None:
        """Wait until it is known which model speaks."""
        await asyncio.shield(self._future())

    def named(self, name: str) -> Model | None:
        """A model by `provider:model` or `provider:model@effort`, None where its provider is not set up here."""
        provider, _, model = name.partition(":")
        if provider == BUILTIN and self._doing:
            return None  # what it reads now is kept in a file, and must be nobody's words
        if (near := self._near.get(catalogue.settled(name))) is not None:
            return near
        if not model or provider not in self._providers or catalogue.mistaken(name):
            return None
        return self._hosted(name)

    def offered(self) -> tuple[str, ...]:
        """The models that speak or that the catalogue lists for a provider with a key."""
        names = dict.fromkeys(self._near)
        for provider, (key, _) in self._providers.items():
            if key:
                names |= dict.fromkeys(catalogue.offered(provider))
        return tuple(names)

    @property
    def speaking(self) -> str:
        """Which model speaks, or what it waits for."""
        if self._doing or self._chosen is None or not self._chosen.done():
            return self._doing
        return self._chosen.result().name

    @property
    def progress(self) -> str:
        """What is still going on; "" once a model speaks."""
        return self._doing

    async def line(self) -> str:
        """Which model speaks, once that is known, for the head of a terminal."""
        model = await self.default()
        return f"{model.name}: {self.why}"

    @property
    def hint(self) -> str:
        """One sentence on how to connect a better model; "" where there is nothing to add."""
        return words("better_model") if self.remark else ""

    async def close(self) -> None:
        """End the built-in model's process."""
        if self._builtin is not None:
            await self._builtin.close()

    def _future(self) -> "asyncio.Future[Model]":
        if self._chosen is None:
            self._chosen = asyncio.get_running_loop().create_future()
        return self._chosen

    async def _choose(self) -> Model:
        plan = self._plan
        if plan.models:
            from adapters.models.fallback import Fallback

            self.why = "PIERIA_MODEL"
            models = [await self._explicit(name) for name in plan.models]
            return models[0] if len(models) == 1 else Fallback(tuple(models))
        for provider, (key, base_url) in self._providers.items():
            about = catalogue.provider(provider)
            if key and about.default:
                self.why = f"{about.key} is set"
                return self._hosted(f"{provider}:{await self._first(provider) if base_url else about.default}")
        for provider, (_, base_url) in self._providers.items():
            if base_url:
                self.why = f"{catalogue.provider(provider).url} is set"
                return self._hosted(f"{provider}:{await self._first(provider)}")
        self._doing = "looking for a model on this machine"
        if (found := await local_servers(self._http)) is not None:
            self.why = f"{found.label} runs on this machine"
            return self._keep(Hosted(found.name, found.base_url, "", self._http))
        self.why = "no key is set, and no model server runs here"
        return await self._local("")

    async def _explicit(self, name: str) -> Model:
        provider, _, model = name.partition(":")
        if provider == BUILTIN:
            return await self._local(model)
        if not catalogue.provider(provider).base_url:
            known = ", ".join((*(p for p, what in catalogue.providers().items() if what.base_url), BUILTIN))
            raise SettingsError(
                f"PIERIA_MODEL names the provider {provider!r}, which is not known here. Known: {known}."
            )
        if word := catalogue.mistaken(name):
            known = ", ".join(catalogue.EFFORTS)
            raise SettingsError(f"PIERIA_MODEL asks for the effort {word!r}, which no model has. Known: {known}.")
        if catalogue.settled(name) != name:
            log.warning("%s is not known for this effort, and thinks as its provider lets it", catalogue.settled(name))
        return self._hosted(name)

    async def _first(self, provider: str) -> str:
        key, base_url = self._providers[provider]
        about = catalogue.provider(provider)
        default = about.default
        if default and str(address(about.protocol, base_url)) == about.base_url:
            return default  # its own address, told once more
        try:
            return await first_model(self._http, base_url, key, provider)
        except ModelError:
            if default:
                return default
            raise

    def _hosted(self, name: str) -> Model:
        provider = name.partition(":")[0]
        key, base_url = self._providers.get(provider, ("", ""))
        url = base_url or catalogue.provider(provider).base_url
        near = self._near.get(catalogue.settled(name))
        return near if near is not None else self._keep(Hosted(name, url, key, self._http))

    async def _local(self, name: str) -> Model:
        from adapters.models import weights
        from adapters.models.builtin import BuiltinServer, fitting
        from adapters.models.json_tools import JsonTools, routing

        plan = self._plan
        wanted = fitting(name)
        if plan.elsewhere:
            return self._keep(Hosted(f"{BUILTIN}:{wanted.name}", "", "", self._http))
        self._doing = f"fetching the built-in model {wanted.title}"

        def progress(source: str, done: int, total: int) -> None:
            self._doing = f"fetching the built-in model, {done * 100 // max(total, 1)} %"
            if self._tell is not None:
                self._tell(source, done, total)

        path = await weights.fetch(self._http, wanted, plan.cache, mirror=plan.weights, progress=progress)
        self._doing = "loading the built-in model"
        self._builtin = BuiltinServer(path, plan.data, msgspec.json.encode(routing(plan.first)))
        await self._builtin.start()
        self.remark = words("first_builtin")
        inner = Hosted(
            f"{BUILTIN}:{wanted.name}",
            self._builtin.base_url,
            "",
            self._http,
            window=self._builtin.window,
            abilities=("small", "schema"),
            uds=str(self._builtin.socket),
        )
        return self._keep(JsonTools(inner))

    async def _warm(self, model: Model, server: "BuiltinServer") -> None:
        try:
            async with asyncio.timeout(30.0), aclosing(model.stream(self._plan.first)) as events:
                async for _ in events:
                    break
            await server.keep()
        except (ModelError, TimeoutError) as error:
            log.info("the built-in model is cold: %s", error)

    def _keep(self, model: Model) -> Model:
        self._near[model.name] = model
        return model


def _set_up(told: Mapping[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """Key and base URL by provider: several may have the same variables, and not all are called like theirs."""
    named = {name: what.key.removesuffix("_API_KEY").lower() for name, what in catalogue.providers().items()}
    return {name: told[variables] for name, variables in named.items() if variables in told}


def bar(source: str, done: int, total: int) -> None:
    """A progress bar on standard error."""
    share = done / max(total, 1)
    width = 30
    full = int(share * width)
    line = f"\r  {'█' * full}{'·' * (width - full)} {share:4.0%} of {total / 1e6:.0f} MB from {source}"
    if sys.stderr.isatty():
        os.write(2, (line + ("\n" if done >= total else "")).encode())
