"""`pieria setup`: it asks, tries by a live call, and writes what works into a pieria.toml that only its owner can read."""

import stat
from pathlib import Path

from bots.settings import file_in_use, read
from bots.setup import write
from tests.servers.discord import TOKEN as DISCORD_TOKEN
from tests.servers.discord import DiscordServer
from tests.servers.models import ModelServer
from tests.servers.slack import APP_TOKEN, BOT_TOKEN, SlackServer
from tests.servers.telegram import TOKEN, TelegramServer
from tests.stories.program import ROOT, command, environment


async def setup(what: str, folder: Path, typed: str, **settings: str) -> tuple[int, str, str]:
    """The command in a folder of its own, with lines typed into it."""
    told = environment(folder / "data", **settings)
    told["PYTHONPATH"] = str(ROOT)
    return await command(told, "setup", what, typed=typed, folder=folder)


async def test_telegram_is_connected_by_its_token(tmp_path: Path) -> None:
    async with TelegramServer() as server:
        status, out, err = await setup("telegram", tmp_path, f"{TOKEN}\n", TELEGRAM_API_URL=server.url)
    assert (status, err) == (0, "")
    assert "BotFather" in out
    assert "@pieria_bot" in out
    assert TOKEN not in out
    assert read({}, tmp_path).telegram_token.reveal() == TOKEN
    assert stat.S_IMODE((tmp_path / "pieria.toml").stat().st_mode) == 0o600


async def test_a_wrong_token_is_told_and_another_one_asked_for(tmp_path: Path) -> None:
    async with TelegramServer() as server:
        wrong = "123456:" + "x" * 35
        status, out, _ = await setup("telegram", tmp_path, f"{wrong}\n{TOKEN}\n", TELEGRAM_API_URL=server.url)
        assert status == 0
        assert "does not accept" in out
        other = tmp_path / "other"
        other.mkdir()
        status, out, err = await setup("telegram", other, f"{wrong}\n" * 3, TELEGRAM_API_URL=server.url)
        assert status == 1
        assert "does not accept" in err
        assert wrong not in out + err
        assert not (other / "pieria.toml").exists()


async def test_who_says_nothing_changes_nothing(tmp_path: Path) -> None:
    status, _, err = await setup("telegram", tmp_path, "")
    assert status == 1
    assert "nothing was written" in err
    assert not (tmp_path / "pieria.toml").exists()


async def test_slack_is_connected_by_two_tokens_and_a_link_that_makes_the_app(tmp_path: Path) -> None:
    async with SlackServer(limits=False) as server:
        swapped = f"{APP_TOKEN}\n{BOT_TOKEN}\n{APP_TOKEN}\n"
        status, out, err = await setup("slack", tmp_path, swapped, SLACK_API_URL=server.url)
    assert (status, err) == (0, "")
    assert "https://api.slack.com/apps?new_app=1&manifest_yaml=" in out
    assert "begins with xoxb-" in out
    assert "all scopes" in out
    settings = read({}, tmp_path)
    assert (settings.slack_bot_token.reveal(), settings.slack_app_token.reveal()) == (BOT_TOKEN, APP_TOKEN)


async def test_a_missing_scope_is_named(tmp_path: Path) -> None:
    async with SlackServer(limits=False, scopes=["chat:write", "users:read"]) as server:
        _, out, _ = await setup("slack", tmp_path, f"{BOT_TOKEN}\n{APP_TOKEN}\n", SLACK_API_URL=server.url)
    assert "missing scopes" in out
    assert "im:history" in out


async def test_discord_is_connected_by_its_token_and_prints_the_invitation(tmp_path: Path) -> None:
    async with DiscordServer() as server:
        status, out, err = await setup("discord", tmp_path, f"{DISCORD_TOKEN}\n", DISCORD_API_URL=server.url)
    assert (status, err) == (0, "")
    assert "Message Content: on" in out
    assert "https://discord.com/oauth2/authorize?client_id=" in out
    assert read({}, tmp_path).discord_token.reveal() == DISCORD_TOKEN


async def test_a_switch_that_is_off_is_told(tmp_path: Path) -> None:
    async with DiscordServer(message_content=False) as server:
        status, out, _ = await setup("discord", tmp_path, f"{DISCORD_TOKEN}\n", DISCORD_API_URL=server.url)
    assert status == 0
    assert "Message Content: off" in out


async def test_a_model_is_connected_by_its_key(tmp_path: Path) -> None:
    async with ModelServer(key="sk-a-good-key-0123456789", models=["gpt-test"]) as server:
        typed = "nobody\nopenai\nsk-a-bad-key-0123456789\nopenai\nsk-a-good-key-0123456789\n\n"
        status, out, err = await setup("model", tmp_path, typed, OPENAI_BASE_URL=server.url)
    assert (status, err) == (0, "")
    assert "'nobody' is not known here" in out
    assert "does not accept the key" in out
    settings = read({}, tmp_path)
    assert settings.providers["openai"].key.reveal() == "sk-a-good-key-0123456789"
    assert settings.model == ("openai:gpt-test",)


def test_what_else_stands_in_the_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "pieria.toml"
    path.write_text('# mine\nPIERIA_PORT = 9000\nTELEGRAM_BOT_TOKEN = "1:old"\n')
    path.chmod(0o644)
    write(path, {"TELEGRAM_BOT_TOKEN": '2:"new"\\', "PIERIA_TZ": "Europe/Berlin"})
    settings = read({}, tmp_path)
    assert (settings.port, settings.telegram_token.reveal(), settings.zone) == (9000, '2:"new"\\', "Europe/Berlin")
    assert path.read_text().startswith("# mine\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_file_of_the_data_folder_is_used_where_it_is_the_one_that_is_read(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "pieria.toml").write_text("PIERIA_PORT = 9000\n")
    assert file_in_use({"PIERIA_DATA": str(data)}, tmp_path) == data / "pieria.toml"
    (tmp_path / "pieria.toml").write_text("PIERIA_PORT = 9001\n")
    assert file_in_use({"PIERIA_DATA": str(data)}, tmp_path) == tmp_path / "pieria.toml"
