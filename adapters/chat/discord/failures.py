"""One table from what Discord answers to core's failures. What its library raises stands in endings.py."""

from core.errors import ChatError, ChatGone, ChatRefusedToken, ChatRejected, ChatUnreachable

REFUSED = (
    "Discord does not accept DISCORD_BOT_TOKEN. Make a new one (discord.com/developers/applications, your application, "
    "Bot, Reset Token) and set it; check DISCORD_API_URL if you set one."
)
NO_CONTENT = (
    "Discord: Message Content Intent is off, so only mentions, answers to me and direct messages are read. Switch it on: "
    "discord.com/developers/applications, your application, Bot, Message Content Intent; then start again."
)


class Refused(Exception):
    """Discord answered, and said no."""

    def __init__(self, status: int, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code
        self.sentence = sentence


UNKNOWN_CHANNEL, UNKNOWN_MESSAGE, UNKNOWN_WEBHOOK, UNKNOWN_INTERACTION = 10003, 10008, 10015, 10062
EMPTY, BAD_FORM, NO_HISTORY = 50006, 50035, 160002
NO_ACCESS, NO_DMS, NO_RIGHT, BAD_WEBHOOK_TOKEN, ARCHIVED, HAS_THREAD = 50001, 50007, 50013, 50027, 50083, 160004

CODES: dict[int, type[ChatGone] | type[ChatRejected]] = {
    UNKNOWN_CHANNEL: ChatGone,
    10004: ChatGone,  # the server
    10013: ChatGone,  # the user
    UNKNOWN_MESSAGE: ChatRejected,
    UNKNOWN_WEBHOOK: ChatRejected,
    UNKNOWN_INTERACTION: ChatRejected,
    40001: ChatGone,  # not authorised
    40002: ChatGone,  # the account must be verified
    40060: ChatRejected,  # acknowledged already
    NO_ACCESS: ChatGone,
    50003: ChatGone,  # not in a direct message
    NO_DMS: ChatGone,
    50005: ChatRejected,  # somebody else's message
    50008: ChatGone,  # a channel that takes no text
    50009: ChatGone,  # the channel's verification level
    NO_RIGHT: ChatGone,
    50020: ChatGone,  # the owner must use two factors
    BAD_WEBHOOK_TOKEN: ChatRejected,
    50021: ChatRejected,  # a message of Discord's own
    ARCHIVED: ChatGone,  # and locked: else a message would open it again
    50278: ChatGone,  # no server in common
    HAS_THREAD: ChatRejected,
    160005: ChatGone,  # the thread is locked
    200000: ChatRejected,  # blocked by the server's own filter
    240000: ChatRejected,
}
"""The codes that mean more than the status that they come with."""


def chat_error(refused: Refused) -> ChatError:
    """What core is told of an answer."""
    if refused.code in CODES:
        return CODES[refused.code](f"Discord: {refused.sentence}.")
    match refused.status:
        case 401:
            return ChatRefusedToken(REFUSED)
        case 403 | 404:
            return ChatGone(f"Discord: {refused.sentence}.")
        case status if status >= 500:
            return ChatUnreachable(f"Discord: {refused.sentence}.", arrived=True)
        case _:
            return ChatRejected(f"Discord does not take this: {refused.sentence}.")
