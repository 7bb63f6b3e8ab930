"""What the app must be allowed in a workspace; the manifest asks for it, the check says what is missing."""

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


def missing(scopes: str) -> tuple[str, ...]:
    """The scopes that a token lacks, from what Slack says of it; none where Slack says nothing."""
    given = {scope.strip() for scope in scopes.split(",")} - {""}
    return tuple(scope for scope in SCOPES if scope not in given) if given else ()
