"""Whether tokens work and what they lack, asked before anything is served with them; the manifest asks for the scopes."""

import aiohttp
from slack_sdk.errors import SlackClientError

from adapters.chat.slack.client import ANYTHING, Client, Refused, Times
from adapters.chat.slack.failures import REFUSED_APP, chat_error
from core.errors import ChatRefusedToken

SCOPES = {
    "app_mentions:read": "to hear of mentions",
    "assistant:write": "to be an agent: sessions, titles, suggested prompts",
    "channels:history": "to read on in threads of public channels",
    "channels:read": "to hear that it was invited",
    "chat:write": "to answer",
    "commands": "for /pieria",
    "files:read": "to see files that come with messages",
    "groups:history": "to read on in threads of private channels",
    "groups:read": "to hear that it was invited into a private channel",
    "im:history": "to read direct messages",
    "im:write": "to answer a button of the Home tab in the direct message",
    "mpim:history": "to read on in group messages",
    "users:read": "to know members from guests, names and time zones",
}


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
    lacking = missing(told.scopes)
    scopes = f"missing scopes: {', '.join(lacking)}" if lacking else "all scopes" if told.scopes else "scopes unknown"
    return f"@{told.value.user} in {told.value.team or told.value.team_id}, {scopes}"


def missing(scopes: str) -> tuple[str, ...]:
    """The scopes that a token lacks, from what Slack says of it; none where Slack says nothing."""
    given = {scope.strip() for scope in scopes.split(",")} - {""}
    return tuple(scope for scope in SCOPES if scope not in given) if given else ()
