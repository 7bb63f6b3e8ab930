"""Whether tokens work, asked before anything is served with them."""

import aiohttp
from slack_sdk.errors import SlackClientError

from adapters.chat.slack import needs
from adapters.chat.slack.client import ANYTHING, Client, Refused, Times
from adapters.chat.slack.failures import REFUSED_APP, chat_error
from core.errors import ChatRefusedToken


async def check(bot_token: str, app_token: str, session: aiohttp.ClientSession, api_url: str) -> str:
    """Who the tokens belong to and what is missing: `@bot in Acme, all scopes`. Raises ChatError."""
    client = Client(bot_token, session, api_url, Times())
    try:
        told = await client.introduce()
    except SlackClientError as error:
        raise chat_error(error) from None
    if app_token:
        try:
            await client.ask("apps.connections.open", ANYTHING, token=app_token)
        except Refused as error:
            raise ChatRefusedToken(f"{REFUSED_APP} (Slack says {error.word}.)") from None
        except SlackClientError as error:
            raise chat_error(error) from None
    missing = needs.missing(told.scopes)
    scopes = f"missing scopes: {', '.join(missing)}" if missing else "all scopes" if told.scopes else "scopes unknown"
    return f"@{told.value.user} in {told.value.team or told.value.team_id}, {scopes}"
