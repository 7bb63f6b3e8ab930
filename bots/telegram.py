"""Connects Telegram, whose adapter is imported only where it is switched on."""

from typing import TYPE_CHECKING

from adapters.http import Http
from bots.connection import Ask, Connection
from bots.settings import Settings
from core.notes import Notes

if TYPE_CHECKING:
    from adapters.chat.telegram.outbound import Telegram

OFF = ".venv/bin/pieria setup telegram  switches it on (docs/guide/telegram.md)"
ASKS = (Ask("TELEGRAM_BOT_TOKEN", "The bot's token"),)


def steps() -> str:
    """As Platform promises."""
    return (
        "  1. Open https://t.me/BotFather in Telegram and send it  /newbot\n"
        "  2. Choose a name and a username; it answers with a token such as 123456789:ABC…"
    )


def connect(settings: Settings, http: Http, _notes: Notes) -> Connection | None:
    """The bot of TELEGRAM_BOT_TOKEN. Raises ChatRefusedToken for what cannot be a token."""
    if not settings.telegram_token:
        return None
    telegram = _telegram(settings, http)
    routes = telegram.routes()
    way = "by webhook" if routes else "by long polling"
    return Connection(telegram, way, lambda: telegram.deaf_for, routes=[*routes])


async def check(settings: Settings, http: Http) -> str:
    """As Platform promises."""
    return await _telegram(settings, http).check()


def _telegram(settings: Settings, http: Http) -> "Telegram":
    from adapters.chat.telegram.outbound import Telegram

    return Telegram(
        settings.telegram_token.reveal(),
        http.session_for(settings.telegram_api_url),
        settings.telegram_api_url,
        settings.public_url,
        settings.telegram_webhook_secret.reveal(),
    )
