"""Intents: which events a session asked for, and which bits it may ask for at all."""

GUILDS, MEMBERS, PRESENCES, CONTENT = 1 << 0, 1 << 1, 1 << 8, 1 << 15
KNOWN = sum(1 << n for n in (*range(17), 20, 21, 24, 25))

_GUILD = {
    "MESSAGE_CREATE": 1 << 9,
    "MESSAGE_UPDATE": 1 << 9,
    "MESSAGE_DELETE": 1 << 9,
    "MESSAGE_REACTION_ADD": 1 << 10,
    "MESSAGE_REACTION_REMOVE": 1 << 10,
    "TYPING_START": 1 << 11,
    "GUILD_MEMBER_ADD": MEMBERS,
    "GUILD_MEMBER_UPDATE": MEMBERS,
    "GUILD_MEMBER_REMOVE": MEMBERS,
}
_ALWAYS = {"READY", "RESUMED", "INTERACTION_CREATE", "USER_UPDATE", "GUILD_MEMBERS_CHUNK"}


def wanted(event: str, *, direct: bool) -> int:
    """The intent that an event needs; 0 for one that always comes."""
    if event in _ALWAYS:
        return 0
    if event in _GUILD:
        return _GUILD[event] << 3 if direct else _GUILD[event]  # the bits of direct messages stand three further
    return GUILDS
