"""`pieria setup telegram|slack|discord|model`: says what to do there, asks for the token, tries it, writes pieria.toml."""

import asyncio
import getpass
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from adapters.http import Http
from adapters.models import catalogue
from adapters.models.discovery import first_model
from bots.connection import Ask, platform
from bots.settings import Settings, file_in_use, read
from core.errors import ChatError, ModelError, PieriaError, SettingsError

TRIES = 3


async def setup(what: str, environment: Mapping[str, str], folder: Path) -> int:
    """Carry it out in this folder; returns the exit code. Raises PieriaError with what is missing."""
    http = Http()
    try:
        values, told = await (
            _model(environment, folder, http) if what == "model" else _platform(what, environment, folder, http)
        )
    finally:
        await http.close()
    path = file_in_use(environment, folder)
    write(path, values)
    print(f"\n  It works: {told.replace(chr(10), chr(10) + '  ')}\n  Written to {path} (only you can read it).")
    for name in values:
        if name in environment:
            print(f"  {name} is set in the environment too, which wins: unset it there.")
    print("  Now start, or start again:  make run\n")
    return 0


def write(path: Path, values: Mapping[str, str]) -> None:
    """Set these names in a pieria.toml, which keeps all else that stands in it. Raises SettingsError."""
    try:
        lines = path.read_text().splitlines() if path.exists() else []
        for name, value in values.items():
            line = f"{name} = {msgspec.json.encode(value).decode()}"
            at = next((n for n, old in enumerate(lines) if re.match(rf"\s*{name}\s*=", old)), None)
            if at is None:
                lines.append(line)
            else:
                lines[at] = line
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = path.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write("\n".join(lines) + "\n")
        fresh.chmod(0o600)
        fresh.replace(path)
    except OSError as error:
        raise SettingsError(f"{path} cannot be written: {error.strerror}.") from error


async def _platform(name: str, environment: Mapping[str, str], folder: Path, http: Http) -> tuple[dict[str, str], str]:
    module = platform(name)
    print(f"\n{module.steps()}\n")
    for left in range(TRIES - 1, -1, -1):
        values = {ask.variable: _asked(ask) for ask in module.ASKS}
        settings = _with(values, environment, folder)
        print("  Trying it …")
        try:
            return values, await module.check(settings, http)
        except ChatError as error:
            if not left:
                raise
            print(f"\n  {error.sentence}\n")
    raise AssertionError(TRIES)


async def _model(environment: Mapping[str, str], folder: Path, http: Http) -> tuple[dict[str, str], str]:
    offered = {name: found for name, found in catalogue.providers().items() if found.key and found.default}
    print("\n  Who runs the model? " + ", ".join(offered) + "\n")
    for left in range(TRIES - 1, -1, -1):
        who = _typed("Provider").lower()
        if (provider := offered.get(who)) is None:
            print(f"  {who!r} is not known here.\n")
            continue
        values = {provider.key: _asked(Ask(provider.key, f"The key of {provider.label}"))}
        settings = _with(values, environment, folder)
        base = next((p.base_url for p in settings.providers.values() if p.key.reveal() == values[provider.key]), "")
        print("  Trying it …")
        try:
            first = await first_model(http, base or provider.base_url, values[provider.key], who)
        except ModelError as error:
            if not left:
                raise
            print(f"\n  {error.sentence}\n")
            continue
        proposed = provider.default if provider.default and not base else first
        model = _typed(f"Model (Enter: {proposed})", needed=False) or proposed
        return {
            **values,
            "PIERIA_MODEL": f"{who}:{model}",
        }, f"{provider.label} takes the key; {who}:{model} will speak."
    raise PieriaError("No provider was chosen; nothing was written.")


def _with(values: Mapping[str, str], environment: Mapping[str, str], folder: Path) -> Settings:
    return read({**environment, **values}, folder)


def _asked(ask: Ask) -> str:
    for _ in range(TRIES):
        value = _typed(f"{ask.question} ({ask.variable})", hidden=True)
        if value.startswith(ask.begins):
            return value
        print(f"  That is another one: this begins with {ask.begins}")
    raise PieriaError(f"{ask.variable} was not given; nothing was written.")


def _typed(question: str, *, hidden: bool = False, needed: bool = True) -> str:
    """A line from the person; a secret is not shown on a terminal while it is typed. Raises PieriaError at the end of input."""
    prompt = f"  {question}: "
    for _ in range(TRIES):
        try:
            if hidden and sys.stdin.isatty():
                value = getpass.getpass(f"{prompt}(not shown) ").strip()
            else:
                value = input(prompt).strip()
        except EOFError:
            break
        if value or not needed:
            return value
    raise PieriaError("Nothing was given, and nothing was written.")


def run(what: str, environment: Mapping[str, str], folder: Path) -> int:
    """`setup` in a loop of its own."""
    return asyncio.run(setup(what, environment, folder))
