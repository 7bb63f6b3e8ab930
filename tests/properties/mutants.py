"""Faults put into the mailbox's scripts, each of which the exhaustive check must find."""

from typing import NamedTuple


class Mutant(NamedTuple):
    """A fault put into a script, and the words with which the check must find it."""

    script: str
    right: str
    wrong: str
    found: str
    people: str = "aa"


HEAD = "s[1] ~= fen or s[2] ~= 'busy' or s[3] ~= turn or not head or string.sub(head, 1, 32) ~= turn"
MUTANTS = {
    "a commit that looks at the token alone": Mutant(
        "commit", f"if {HEAD} then", "s[4] = s[4] or 1\nif s[1] ~= fen or not head then", "was owed"
    ),
    "a commit that does not look at the token": Mutant("commit", "s[1] ~= fen or ", "", "an old token committed"),
    "a commit that keeps its messages": Mutant("commit", "redis.call('LTRIM', mb, tonumber(s[4]), -1)", "", "is owed"),
    "a commit that consumes one message only": Mutant("commit", "tonumber(s[4]), -1)", "1, -1)", "is owed"),
    "a commit that consumes whatever waits": Mutant("commit", "tonumber(s[4]), -1)", "99, -1)", "is owed"),
    "a commit that leaves the next message asleep": Mutant(
        "commit", "if redis.call('LLEN', mb) == 0 then", "if true then", "not awake", "ab"
    ),
    "a commit that hides the lane from the sweeper": Mutant(
        "commit",
        "now + grace, lane)\nif want",
        "now + grace, lane)\nredis.call('ZREM', live, lane)\nif want",
        "does not see",
        "ab",
    ),
    "a begin that does not look at the lease": Mutant(
        "begin",
        "if s[2] == 'busy' and tonumber(s[3]) > now then return {'BUSY', 0} end",
        "",
        "before its lane was free",
    ),
    "a begin that does not look at the epoch": Mutant(
        "begin", "if s[1] ~= epoch then return {'OLD', 0} end", "", "a stale wake-up began a turn"
    ),
    "a begin that counts the messages of a resumed turn anew": Mutant(
        "begin", "1, tonumber(s[3]),", "1, taken(mb, most),", "other messages than those that its journal answers"
    ),
    "a begin with the old token": Mutant(
        "begin", "fen = math.max(fen + 1, now)", "fen = math.max(fen, 1)", "renewed beside another"
    ),
    "a begin that forgets after one crash that the turn is to be stopped": Mutant(
        "begin", "if halted == 1 then redis.call('HSET', c, 'stop', fen) end", "", "but STOP had named"
    ),
    "no sweeper": Mutant(
        "sweep", "local woken = {}", "do return {} end\nlocal woken = {}", "the sweeper leaves a lane", "a"
    ),
    "a sweeper that goes by no clock": Mutant("sweep", "'-inf', now,", "'-inf', '+inf',", "lease had not ended"),
    "a sweeper that wakes with an old epoch": Mutant(
        "sweep", "woken[#woken + 1] = ep", "woken[#woken + 1] = ep - 1", "begins nothing", "a"
    ),
    "an accept that knows no event": Mutant(
        "accept", "if redis.call('EXISTS', ev) == 1 then", "if false then", "repeated"
    ),
    "an accept that wakes nobody": Mutant(
        "accept", "redis.call('ZADD', live, now + grace, lane)\n  return ep", "return ep", "does not see"
    ),
    "a step that does not look at the token": Mutant("step", "s[1] ~= fen or ", "", "an old token was renewed"),
    "a renewal that does not look at the token": Mutant("renew", "s[1] ~= fen or ", "", "an old token was renewed"),
    "a renewal after the commit": Mutant("renew", " or s[2] ~= 'busy'", "", "old token ended a turn"),
    "a worker's death that is not counted": Mutant("begin", "elseif s[4] then died = died + 1 end", "end", "but had"),
    "a worker's death that counts as the turn's failure": Mutant(
        "begin", "elseif s[4] then died = died + 1 end", "elseif s[4] then fail = fail + 1 end", "but had"
    ),
    "a worker's death that is counted although the turn got on": Mutant(
        "begin", "then died = 0 elseif s[4] then", "then died = 0 end\n    if s[4] then", "but had"
    ),
    "deaths that are never forgiven": Mutant("begin", "then died = 0 elseif", "then elseif", "but had"),
    "a begin that forgets failures": Mutant("begin", "'fail', fail, 'died'", "'fail', 0, 'died'", "but had"),
    "a sweeper that forgets that a worker died": Mutant(
        "sweep", "redis.call('HDEL', c, 'exp')", "redis.call('HDEL', c, 'exp', 'own')", "but had"
    ),
    "a failure that is not counted": Mutant("renew", "redis.call('HINCRBY', c, 'fail', 1)", "1", "but had"),
    "a failure, or a hand-back, that counts as a death": Mutant(
        "renew", "if how ~= '' then redis.call('HDEL', c, 'own') end", "", "but had"
    ),
    "a failure that is tried again at once": Mutant(
        "renew", "ttl = ttl * math.min(60,", "ttl = 0 * math.min(60,", "at once"
    ),
    "a failure that an old token reports": Mutant(
        "renew", "s[1] ~= fen or ", "s[1] ~= fen and how ~= 'failed' or ", "old token ended"
    ),
    "an edit of what is being answered": Mutant("edit", "from = tonumber(s[2]) + 1", "from = 1", "edited. was owed"),
    "an edit that leaves an empty lane awake": Mutant(
        "edit", "if redis.call('EXISTS', mb) == 0 then sleep(c, live, lane, keep) end", "", "not awake"
    ),
    "a stop that drops what is being answered": Mutant(
        "stop", "begun = tonumber(s[3])", "begun = 0", "lease had not ended"
    ),
    "a lane that sleeps for ever": Mutant("commit", "redis.call('PEXPIRE', c, keep)", "", "never ends"),
}
