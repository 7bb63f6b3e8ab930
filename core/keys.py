"""Every key that Pieria writes to the store: its name, type, time to live and what it holds.

Names hold no id and no words of a person: chats, accounts and events stand in them as keyed hashes (core/seal.py).
All keys of a shard share the hash tag `{pieria<n>}`, so that one script may touch them, in a cluster too.
"""

from zlib import crc32

import msgspec

SHARDS = 8
"""Fixed for the life of a store; growing means moving whole shards."""

DAY = 24 * 3600 * 1000
"""Milliseconds."""


class Kind(msgspec.Struct, frozen=True):
    """One family of keys."""

    pattern: str
    type: str
    expires: str
    """What ends it; `permanent` where nothing does."""
    holds: str


TABLE = (
    Kind("pieria:meta", "hash", "permanent", "schema, shards, fingerprint of the installation's key"),
    Kind("pieria:key:<owner>", "string", "permanent", "the owner's data key, wrapped; deleted by forgetting"),
    Kind(
        "pieria:account:<account>",
        "hash",
        "permanent",
        "person and access of an account; sealed, who it is, once it was let in",
    ),
    Kind("pieria:chats:<person>", "hash", "PIERIA_KEEP after the last turn", "sealed cards of a person's stored chats"),
    Kind("pieria:admins", "set", "permanent", "accounts that rule the installation"),
    Kind("pieria:claim", "string", "a day", "code that makes its sender the operator"),
    Kind("pieria:code:<code>", "hash", "an hour", "an account that waits for approval"),
    Kind("pieria:codes", "zset", "an hour", "codes that wait, by their end"),
    Kind(
        "pieria:asked:<account>", "string", "a day", "this stranger was told how to get in, or tried to claim the house"
    ),
    Kind("pieria:note:<note>", "string", "90 days after it was written", "sealed, what a platform's adapter remembers"),
    Kind(
        "pieria:pace:{<account>}:<lane>",
        "string",
        "seconds after the last send",
        "until when a bucket of sends is spent",
    ),
    Kind(
        "pieria:lease:<space>",
        "string",
        "seconds after it was last renewed",
        "the process that holds an account of ours",
    ),
    Kind("pieria:traits", "hash", "permanent", "account of ours -> what core must know of its platform"),
    Kind(
        "pieria:rate:{all}:<who>",
        "hash",
        "a minute after the last turn",
        "until when a person's or a group's turns are spent, and nobody is told of it",
    ),
    Kind(
        "pieria:spent:{all}:<who>:<n>",
        "hash",
        "2 days, or 40 where n is a month",
        "tokens and millionths of a dollar that a person, a chat or all spent on a day or in a month",
    ),
    Kind(
        "pieria:held:{all}:<who>",
        "hash",
        "15 minutes after the last call began",
        "call of a model -> what it may come to",
    ),
    Kind("{t}:c:<lane>", "hash", "PIERIA_KEEP after the last turn", "state of a lane: epoch, fencing token, lease"),
    Kind("{t}:mb:<lane>", "list", "gone when empty", "waiting messages: event, sender, kind, sealed body"),
    Kind("{t}:ev:<event>", "string", "a day", "an event that was accepted"),
    Kind("{t}:j:<lane>:<turn>", "hash", "a day", "sealed results of a turn's finished steps"),
    Kind(
        "{t}:x:<lane>", "hash", "PIERIA_KEEP after the last turn", "the lane's conversation, its summary, its choices"
    ),
    Kind(
        "{t}:h:<lane>:<n>",
        "list",
        "PIERIA_KEEP after the last turn",
        "sealed history of conversation n, a block a turn",
    ),
    Kind("{t}:live", "zset", "gone when empty", "lane -> when the sweeper looks at it"),
    Kind("{t}:due", "zset", "gone when empty", "timed work -> when"),
    Kind("{t}:todo", "hash", "gone when empty", "timed work -> lane and sealed message"),
    Kind("{t}:out:<space>", "stream", "gone when delivered", "replies to deliver, sealed"),
    Kind("{t}:sent:<turn>", "hash", "a day", "part -> the platform's message id, or `sending`"),
    Kind("{t}:dead", "stream", "permanent, at most 1,000 entries", "turns that failed again and again, sealed"),
)

META = "pieria:meta"
ADMINS = "pieria:admins"
CLAIM = "pieria:claim"
CODES = "pieria:codes"
TRAITS = "pieria:traits"
NEWS = "pieria:news"
"""A channel: an account or a person changed; caches drop it. Other channels are named by `Lane` and by `tags`."""


def tag(lane: str) -> str:
    """The hash tag of a lane's shard."""
    return f"{{pieria{crc32(lane.encode()) % SHARDS}}}"


def tags() -> tuple[str, ...]:
    """The hash tags of all shards."""
    return tuple(f"{{pieria{n}}}" for n in range(SHARDS))


def owner_key(owner: str) -> str:
    """Where the wrapped data key of a person or group lies."""
    return f"pieria:key:{owner}"


def account_key(account: str) -> str:
    """Where an account's person and access lie."""
    return f"pieria:account:{account}"


def chats_key(person: str) -> str:
    """Where the cards of a person's stored chats lie."""
    return f"pieria:chats:{person}"


def code_key(code: str) -> str:
    """Where an account that shows this code waits."""
    return f"pieria:code:{code}"


def asked_key(account: str) -> str:
    """Where it stands that a stranger was answered today."""
    return f"pieria:asked:{account}"


def note_key(note: str) -> str:
    """Where an adapter's note lies."""
    return f"pieria:note:{note}"


def pace_key(account: str, place: str) -> str:
    """Until when a bucket of an account of ours is spent; all of one account lie in one slot."""
    return f"pieria:pace:{{{account}}}:{place}"


def lease_key(space: str) -> str:
    """Which process holds an account of ours."""
    return f"pieria:lease:{space}"


def rate_key(who: str) -> str:
    """How often a person or a group had turns; all lie in one slot, for one script takes a place in several."""
    return f"pieria:rate:{{all}}:{who}"


def spent_key(who: str, period: str) -> str:
    """What a person, a chat or the installation spent on a day (`20261126`) or in a month (`202611`)."""
    return f"pieria:spent:{{all}}:{who}:{period}"


def held_key(who: str) -> str:
    """What the calls of a model that are under way may come to."""
    return f"pieria:held:{{all}}:{who}"


class Lane(msgspec.Struct, frozen=True):
    """The keys of one lane, built once."""

    id: str
    tag: str
    state: str
    mailbox: str
    context: str

    @property
    def live(self) -> str:
        """The shard's zset of lanes to look at."""
        return f"{self.tag}:live"

    def event(self, event: str) -> str:
        """Where it stands that an event was accepted."""
        return f"{self.tag}:ev:{event}"

    def journal(self, turn: str) -> str:
        """Where a turn's finished steps lie."""
        return f"{self.tag}:j:{self.id}:{turn}"

    def sent(self, turn: str) -> str:
        """Where a reply's delivered parts lie."""
        return f"{self.tag}:sent:{turn}"

    def history(self, conversation: int) -> str:
        """Where a conversation's blocks lie."""
        return f"{self.tag}:h:{self.id}:{conversation}"

    @property
    def halts(self) -> str:
        """The channel that tells which turns of the shard are to be stopped."""
        return f"{self.tag}:ctl"

    def outbox(self, space: str) -> str:
        """The stream of replies of one account of ours; the channel that tells of new ones is called like it."""
        return f"{self.tag}:out:{space}"

    def partials(self, space: str) -> str:
        """The channel of replies that grow, for whoever holds this account of ours."""
        return f"{self.tag}:part:{space}"


def lane_keys(lane: str) -> Lane:
    """The keys of a lane."""
    t = tag(lane)
    return Lane(id=lane, tag=t, state=f"{t}:c:{lane}", mailbox=f"{t}:mb:{lane}", context=f"{t}:x:{lane}")
