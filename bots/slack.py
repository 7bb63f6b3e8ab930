"""Connects Slack, whose adapter is imported only where it is switched on."""

from pathlib import Path
from urllib.parse import quote

from adapters.http import Http
from bots.connection import Ask, Connection
from bots.settings import Settings
from core.errors import SettingsError
from core.notes import Notes

MANIFEST = Path(__file__).parents[1] / "deploy" / "slack-manifest.yaml"
OFF = ".venv/bin/pieria setup slack  switches it on (docs/guide/slack.md)"
ASKS = (
    Ask("SLACK_BOT_TOKEN", "The bot's token", "xoxb-"),
    Ask("SLACK_APP_TOKEN", "The app's token", "xapp-"),
)


def steps() -> str:
    """As Platform promises."""
    lines = (line for line in MANIFEST.read_text().splitlines() if not line.startswith("#"))
    link = f"https://api.slack.com/apps?new_app=1&manifest_yaml={quote(chr(10).join(lines))}"
    return (
        f"  1. Open this link, choose your workspace, Next, Create (it brings {MANIFEST}):\n\n{link}\n\n"
        "  2. Install App > Install to Workspace: copy the Bot User OAuth Token (xoxb-…)\n"
        "  3. Basic Information > App-Level Tokens > Generate, add the scope connections:write: copy the token (xapp-…)"
    )


def connect(settings: Settings, http: Http, notes: Notes) -> Connection | None:
    """The app of SLACK_BOT_TOKEN: over sockets with SLACK_APP_TOKEN, by HTTP events with the secret. Raises SettingsError."""
    if not settings.slack_bot_token:
        return None
    if not (settings.slack_app_token or settings.slack_signing_secret):
        raise SettingsError(
            "SLACK_BOT_TOKEN is set, but neither SLACK_APP_TOKEN (for sockets) nor SLACK_SIGNING_SECRET (for events over "
            "HTTP): set one of them, or run `pieria setup slack`."
        )
    from adapters.chat.slack.outbound import Slack

    slack = Slack(
        settings.slack_bot_token.reveal(),
        http.session_for(settings.slack_api_url),
        notes,
        app_token=settings.slack_app_token.reveal(),
        signing_secret=settings.slack_signing_secret.reveal(),
        api_url=settings.slack_api_url,
    )
    way = "by socket" if settings.slack_app_token else "by events at /slack/events"
    return Connection(slack, way, lambda: slack.deaf_for, lambda: slack.lack, slack.routes())


async def check(settings: Settings, http: Http) -> str:
    """As Platform promises."""
    from adapters.chat.slack.checks import check

    tokens = settings.slack_bot_token.reveal(), settings.slack_app_token.reveal()
    return await check(*tokens, http.session_for(settings.slack_api_url), settings.slack_api_url)
