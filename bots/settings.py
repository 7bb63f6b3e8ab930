"""The only reader of the environment and of pieria.toml. Environment over pieria.toml over defaults.

pieria.toml holds the same names as the environment, one a line; it is looked for in the working folder, then in the data
folder. A wrong value is one sentence that names the variable, the value and the remedy. Secrets never print.
"""

import base64
import binascii
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from core.budget import PERIODS, SCOPES, Limit
from core.errors import SettingsError
from core.people import Policy
from core.ports import Rate

PROVIDERS = ("OPENAI", "ANTHROPIC", "GEMINI", "OPENROUTER", "GROQ", "MISTRAL", "DEEPSEEK", "XAI", "OLLAMA", "MODEL")
"""Every provider NAME has NAME_API_KEY and NAME_BASE_URL. MODEL is Muse Spark's."""
_UNITS = {"": 1, "k": 1_000, "m": 1_000_000, "usd": 1_000_000}
_LIMIT = re.compile(
    rf"(?P<scope>{'|'.join(SCOPES)}):(?P<amount>\d{{1,12}}(?:\.\d{{1,6}})?)(?P<unit>|k|m|usd)/(?P<period>{'|'.join(PERIODS)})"
)
BURST = 20
"""Turns that a person may have at once, before PIERIA_RATE holds them back."""


class Secret:
    """A text that does not print."""

    __slots__ = ("_text",)

    def __init__(self, text: str = "") -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return "Secret(set)" if self._text else "Secret(not set)"


class Provider(msgspec.Struct, frozen=True):
    """What the operator told about one provider."""

    key: Secret
    base_url: str


class Settings(msgspec.Struct, frozen=True):
    """All that an operator can set."""

    telegram_token: Secret
    telegram_api_url: str
    telegram_webhook_secret: Secret
    slack_bot_token: Secret
    slack_app_token: Secret
    slack_signing_secret: Secret
    slack_api_url: str
    discord_token: Secret
    discord_api_url: str
    discord_gateway_url: str
    """Not set: Discord tells it."""
    discord_cdn_url: str
    model: tuple[str, ...]
    """`provider:model`, the first that answers speaks."""
    providers: dict[str, Provider]
    """By lower-case name, only those with a key or a base URL."""
    redis_url: Secret
    data: Path
    cache: Path
    weights: str
    key: Secret
    """The installation's key as 64 hex digits; not set: a file in the data folder."""
    keep_days: int
    host: str
    port: int
    public_url: str
    password: Secret
    access: Policy
    rate: Rate | None
    """Of a person's turns; None: no limit."""
    budget: tuple[Limit, ...]
    send_limits: bool
    """Keep the platforms' limits of sending."""
    zone: str

    def secrets(self) -> list[str]:
        """Every secret that is set, for the filter that keeps them out of logs."""
        told = [getattr(self, name) for name in self.__struct_fields__]
        told += [provider.key for provider in self.providers.values()]
        return [secret.reveal() for secret in told if isinstance(secret, Secret) and secret]


def read(environment: Mapping[str, str], folder: Path) -> Settings:
    """The settings of a program that starts in `folder`. Raises SettingsError."""
    data = _data(environment, folder)
    values = _Values(environment, _told(file_in_use(environment, folder)))
    if "PIERIA_DATA" not in environment and (told := values.text("PIERIA_DATA")):
        data = Path(told).expanduser()
    return Settings(
        telegram_token=values.secret("TELEGRAM_BOT_TOKEN"),
        telegram_api_url=values.url("TELEGRAM_API_URL", "https://api.telegram.org"),
        telegram_webhook_secret=values.secret("TELEGRAM_WEBHOOK_SECRET"),
        slack_bot_token=values.secret("SLACK_BOT_TOKEN"),
        slack_app_token=values.secret("SLACK_APP_TOKEN"),
        slack_signing_secret=values.secret("SLACK_SIGNING_SECRET"),
        slack_api_url=values.url("SLACK_API_URL", "https://slack.com/api"),
        discord_token=values.secret("DISCORD_BOT_TOKEN"),
        discord_api_url=values.url("DISCORD_API_URL", "https://discord.com/api/v10"),
        discord_gateway_url=values.url("DISCORD_GATEWAY_URL", "", ("ws", "wss")),
        discord_cdn_url=values.url("DISCORD_CDN_URL", "https://cdn.discordapp.com"),
        model=values.checked("PIERIA_MODEL", _models, ()),
        providers=values.providers(),
        redis_url=values.store("REDIS_URL"),
        data=data if data.is_absolute() else folder / data,
        cache=Path(values.text("PIERIA_CACHE") or _cache_home(environment)).expanduser(),
        weights=values.text("PIERIA_WEIGHTS"),
        key=values.checked("PIERIA_KEY", _key, Secret()),
        keep_days=values.checked("PIERIA_KEEP", _whole(1, 3650, "days"), 90),
        host=values.text("PIERIA_HOST") or "127.0.0.1",
        port=values.checked("PIERIA_PORT", _whole(0, 65535, "a port"), 8787),
        public_url=values.url("PIERIA_PUBLIC_URL", ""),
        password=values.secret("PIERIA_PASSWORD"),
        access=values.checked("PIERIA_ACCESS", _one_of("pairing", "open", "closed"), "pairing"),
        rate=values.checked("PIERIA_RATE", _rate, _rate("30")),
        budget=values.checked("PIERIA_BUDGET", _budget, ()),
        send_limits=values.checked("PIERIA_SEND_LIMITS", _one_of("platform", "off"), "platform") == "platform",
        zone=values.checked("PIERIA_TZ", _zone, "") or _local_zone(),
    )


def file_in_use(environment: Mapping[str, str], folder: Path) -> Path:
    """The pieria.toml of a program that starts in `folder`: there, else in the data folder; there where it is in neither."""
    here, kept = folder / "pieria.toml", _data(environment, folder) / "pieria.toml"
    return kept if kept.is_file() and not here.is_file() else here


class _Values:
    """The environment over the file."""

    def __init__(self, environment: Mapping[str, str], file: dict[str, str]) -> None:
        self._environment = environment
        self._file = file

    def text(self, name: str) -> str:
        told = self._environment.get(name)
        return (told if told is not None else self._file.get(name, "")).strip()

    def secret(self, name: str) -> Secret:
        text = self.text(name)
        if any(ch.isspace() or ord(ch) < 32 for ch in text):
            raise SettingsError(f"{name} holds a space or a line break: paste it again without them.")
        return Secret(text)

    def checked(self, name: str, check: Callable[[str], Any], default: Any) -> Any:
        text = self.text(name)
        if not text:
            return default
        try:
            return check(text)
        except ValueError as error:
            shown = "" if name == "PIERIA_KEY" else f" is {text[:80]!r}, but"
            raise SettingsError(f"{name}{shown} must be {error}.") from None

    def url(self, name: str, default: str, schemes: tuple[str, ...] = ("http", "https")) -> str:
        text = self.text(name)
        if not text:
            return default
        parts = urlsplit(text)
        if parts.scheme not in schemes or not parts.hostname:
            raise SettingsError(f"{name} is {text[:80]!r}, but must be a URL such as {schemes[-1]}://example.org.")
        return text.rstrip("/")

    def store(self, name: str) -> Secret:
        secret = self.secret(name)
        if secret:
            from core.connections import (
                address,
            )  # without an own store, the embedded one starts before this is imported

            try:
                address(secret.reveal())
            except ValueError as error:
                raise SettingsError(f"{name} must {error}.") from None
        return secret

    def providers(self) -> dict[str, Provider]:
        found: dict[str, Provider] = {}
        for name in PROVIDERS:
            key = self.secret(f"{name}_API_KEY")
            base = self.url(f"{name}_BASE_URL", "")
            if key or base:
                found[name.lower()] = Provider(key, base)
        return found


def _data(environment: Mapping[str, str], folder: Path) -> Path:
    return Path(environment.get("PIERIA_DATA") or folder / ".pieria").expanduser()


def _told(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        told = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}.") from None
    for name, value in told.items():
        if isinstance(value, dict | list):
            raise SettingsError(f'{path}: {name} must be one value, such as {name} = "text".')
    return {name: str(value) for name, value in told.items()}


def _models(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    for name in names:
        provider, colon, model = name.partition(":")
        if not colon or not provider or not (model or provider == "builtin"):
            raise ValueError("provider:model, or several of them with commas between, such as openai:gpt-5-mini")
    return names


def _key(text: str) -> Secret:
    try:
        key = bytes.fromhex(text) if len(text) == 64 else base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != 32:
        raise ValueError("32 bytes as 64 hex digits or in base64; `openssl rand -hex 32` makes one")
    return Secret(key.hex())


def _whole(least: int, most: int, what: str) -> Callable[[str], int]:
    def check(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise ValueError(f"{what}, a whole number from {least} to {most}")
        return int(text)

    return check


def _rate(text: str) -> Rate | None:
    if text == "off":
        return None
    try:
        return Rate(60 / _whole(1, 6000, "turns")(text), BURST)
    except ValueError:
        raise ValueError("turns a minute a person, a whole number from 1 to 6000, or off") from None


def _budget(text: str) -> tuple[Limit, ...]:
    limits = []
    for part in text.split(","):
        found = _LIMIT.fullmatch(part.strip().lower())
        if found is None or not (most := round(float(found["amount"]) * _UNITS[found["unit"]])):
            raise ValueError(
                "limits such as person:200k/day, chat:1m/day, all:5usd/day or all:100usd/month, with commas between"
            )
        unit = "micros" if found["unit"] == "usd" else "tokens"
        told = {"scope": found["scope"], "most": most, "unit": unit, "period": found["period"]}
        limits.append(msgspec.convert(told, Limit))
    return tuple(limits)


def _one_of(*choices: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in choices:
            raise ValueError("one of " + ", ".join(choices))
        return text

    return check


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError("an IANA time zone such as Europe/Berlin") from None
    return text


def _local_zone() -> str:
    link = Path("/etc/localtime")
    if link.is_symlink() and "zoneinfo/" in (target := os.readlink(link)):  # noqa: PTH115 - the target itself names the zone
        return target.partition("zoneinfo/")[2]
    return "UTC"


def _cache_home(environment: Mapping[str, str]) -> Path:
    base = environment.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "pieria"
