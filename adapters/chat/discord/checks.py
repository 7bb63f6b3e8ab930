"""Whether a token works, asked before anything is served with it."""

import aiohttp

from adapters.chat.discord.failures import Refused, chat_error
from adapters.chat.discord.profile import CONTENT, application, introduce, invitation
from adapters.chat.discord.rest import Rest, Times


async def check(token: str, session: aiohttp.ClientSession, api_url: str) -> str:
    """Who the bot is, what it may read, and the link that invites it. Raises ChatError."""
    rest = Rest(token, session, api_url, Times())
    try:
        me = await introduce(rest)
        about = await application(rest)
    except Refused as refused:
        raise chat_error(refused) from None
    content = "on" if about.flags & CONTENT else "off (only mentions, answers to the bot and direct messages are read)"
    return f"{me.username}, Message Content: {content}\nInvite it: {invitation(about.id)}"
