"""Connects Discord, whose adapter is imported only where it is switched on."""

from adapters.http import Http
from bots.connection import Ask, Connection
from bots.settings import Settings
from core.notes import Notes

OFF = ".venv/bin/pieria setup discord  switches it on (docs/guide/discord.md)"
ASKS = (Ask("DISCORD_BOT_TOKEN", "The bot's token"),)


def steps() -> str:
    """As Platform promises."""
    return (
        "  1. Open https://discord.com/developers/applications > New Application, choose a name\n"
        "  2. Bot > Privileged Gateway Intents: switch on Message Content Intent, Save\n"
        "  3. Bot > Reset Token: copy the token"
    )


def connect(settings: Settings, http: Http, notes: Notes) -> Connection | None:
    """The bot of DISCORD_BOT_TOKEN."""
    if not settings.discord_token:
        return None
    from adapters.chat.discord.outbound import Discord

    discord = Discord(
        settings.discord_token.reveal(),
        http.session_for(settings.discord_api_url),
        notes,
        api_url=settings.discord_api_url,
        gateway_url=settings.discord_gateway_url,
        cdn_url=settings.discord_cdn_url,
        pairing=settings.access == "pairing",
    )
    return Connection(discord, "by gateway", lambda: discord.deaf_for, lambda: discord.lack)


async def check(settings: Settings, http: Http) -> str:
    """As Platform promises."""
    from adapters.chat.discord.checks import check

    session = http.session_for(settings.discord_api_url)
    return await check(settings.discord_token.reveal(), session, settings.discord_api_url)
