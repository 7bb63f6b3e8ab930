"""Settings: where they come from, and what a wrong one says."""

from pathlib import Path

import pytest

from bots.settings import Settings, read
from core.budget import Limit
from core.errors import SettingsError
from core.ports import Rate


def test_nothing_set_is_a_working_product(tmp_path: Path) -> None:
    settings = read({}, tmp_path)
    assert (settings.host, settings.port, settings.access) == ("127.0.0.1", 8787, "pairing")
    assert settings.data == tmp_path / ".pieria"
    assert not settings.telegram_token
    assert settings.providers == {}


def test_the_environment_wins_over_the_file_in_the_working_folder(tmp_path: Path) -> None:
    (tmp_path / "pieria.toml").write_text('PIERIA_PORT = 9000\nPIERIA_ACCESS = "open"\n')
    settings = read({"PIERIA_PORT": "9001"}, tmp_path)
    assert (settings.port, settings.access) == (9001, "open")


def test_a_file_in_the_data_folder_is_read_when_there_is_none_in_the_working_folder(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "pieria.toml").write_text('TELEGRAM_BOT_TOKEN = "1:x"')
    assert read({"PIERIA_DATA": str(data)}, tmp_path).telegram_token.reveal() == "1:x"


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("PIERIA_PORT", "http", "whole number from 0 to 65535"),
        ("PIERIA_PORT", "70000", "whole number from 0 to 65535"),
        ("PIERIA_ACCESS", "everyone", "pairing, open, closed"),
        ("PIERIA_RATE", "often", "or off"),
        ("PIERIA_RATE", "0", "from 1 to 6000"),
        ("PIERIA_BUDGET", "5 dollars", "person:200k/day"),
        ("PIERIA_BUDGET", "person:200k/day,all:0/day", "all:5usd/day"),
        ("PIERIA_SEND_LIMITS", "on", "platform, off"),
        ("PIERIA_TZ", "Berlin", "Europe/Berlin"),
        ("PIERIA_TZ", "../../etc/passwd", "Europe/Berlin"),
        ("PIERIA_MODEL", "gpt-5", "provider:model"),
        ("PIERIA_KEEP", "forever", "days"),
        ("PIERIA_KEY", "short", "64 hex digits"),
        ("TELEGRAM_API_URL", "api.telegram.org", "https://"),
        ("OPENAI_BASE_URL", "localhost:1234", "https://"),
        ("TELEGRAM_BOT_TOKEN", "1:a b", "without them"),
        ("REDIS_URL", "localhost:6379", "redis://"),
        ("REDIS_URL", "memory://", "redis://"),
        ("REDIS_URL", "unix+cluster:///tmp/s", "redis://"),
        ("REDIS_URL", "redis://host:port/0", "a host, a port"),
        ("REDIS_URL", "redis+sentinel://one:26379,two:26379", "the service"),
        ("REDIS_URL", "redis+sentinel:///service", "the hosts"),
        ("REDIS_URL", "redis+sentinel://one:x/service", "a host, a port"),
        ("REDIS_URL", "redis+cluster://one:6379/1", "no database"),
        ("REDIS_URL", "redis://one:6379/0?max_connection=5", "no option"),
        ("REDIS_URL", "redis://:pa?ss@host:6379", "%3F"),
    ],
)
def test_a_wrong_value_names_the_variable_and_the_remedy(tmp_path: Path, name: str, value: str, remedy: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read({name: value}, tmp_path)
    assert name in raised.value.sentence
    assert remedy in raised.value.sentence


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "rediss://:p%2Fw@host:6380/3?ssl_cert_reqs=none",
        "redis://[::1]:6379/0?max_connections=2000",
        "unix:///run/valkey.sock?db=1",
        "redis+sentinel://user:p%40w@one,[::1]:26380,two:26379/mymaster/2?sentinel_password=x&socket_timeout=3",
        "rediss+sentinel://one/mymaster?ssl_ca_certs=/etc/ca.pem",
        "redis+cluster://:pw@one:7000",
        "rediss+cluster://one:7000/0?ssl_check_hostname=no",
    ],
)
def test_a_store_is_named_as_docket_names_it(tmp_path: Path, url: str) -> None:
    assert read({"REDIS_URL": url}, tmp_path).redis_url.reveal() == url


def test_rates_and_budgets_are_read(tmp_path: Path) -> None:
    assert read({}, tmp_path).rate == Rate(2.0, 20)
    assert read({"PIERIA_RATE": "off"}, tmp_path).rate is None
    settings = read({"PIERIA_RATE": "12", "PIERIA_BUDGET": "person:200k/day, Chat:1.5M/day,all:100usd/month"}, tmp_path)
    assert settings.rate == Rate(5.0, 20)
    assert settings.budget == (
        Limit("person", 200_000, "tokens", "day"),
        Limit("chat", 1_500_000, "tokens", "day"),
        Limit("all", 100_000_000, "micros", "month"),
    )


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "pieria.toml").write_text("PIERIA_PORT = = 1")
    with pytest.raises(SettingsError, match=r"pieria\.toml cannot be read"):
        read({}, tmp_path)


def test_secrets_do_not_print(tmp_path: Path) -> None:
    secret = "s3cr3t-value"
    environment = {
        "TELEGRAM_BOT_TOKEN": secret,
        "OPENAI_API_KEY": secret,
        "PIERIA_PASSWORD": secret,
        "REDIS_URL": f"redis://:{secret}@host",
        "TELEGRAM_WEBHOOK_SECRET": secret,
        "PIERIA_KEY": secret.encode().hex().ljust(64, "0"),
    }
    settings = read(environment, tmp_path)
    assert isinstance(settings, Settings)
    assert secret not in f"{settings!r} {settings}"
    assert environment["PIERIA_KEY"] not in repr(settings)
    assert secret.encode() not in repr(settings).encode()


@pytest.mark.parametrize("url", ["redis://:s3/cr3t@host", "redis://:s3?cr3t@host", "redis+sentinel://:s3/cr3t@one:1/a"])
def test_a_password_of_the_store_is_not_repeated_in_the_error(tmp_path: Path, url: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read({"REDIS_URL": url}, tmp_path)
    assert "s3" not in raised.value.sentence
    assert "cr3t" not in raised.value.sentence
    assert raised.value.__cause__ is None


def test_a_wrong_key_is_not_repeated_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as raised:
        read({"PIERIA_KEY": "almost-a-key"}, tmp_path)
    assert "almost-a-key" not in raised.value.sentence
