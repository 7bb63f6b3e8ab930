"""Who somebody is: an account's person, whether they may talk, whether they rule the installation; who is let in, and how.

A person is made at first contact. Answers are kept near for a minute and dropped as soon as any process announces a
change, so that a turn costs no trip for it.
"""

import secrets
import time
from collections import OrderedDict
from string import hexdigits
from typing import Literal

import msgspec

from core.keys import ADMINS, CLAIM, CODES, DAY, NEWS, account_key, asked_key, code_key
from core.messages import Account, ChatRef
from core.seal import Box, Keyring, Seal
from core.store import Store

Policy = Literal["pairing", "open", "closed"]

HOUR = 3_600_000
MOST_CODES = 50
MOST_CLAIMS = 5
"""Wrong codes of the operator that an account may try in a day."""
OPERATOR = "operator"
"""The user id under which the terminal and the page on loopback know the operator."""

_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # no I, O, 0, 1: people type these codes


NEAR = 60.0
"""Seconds for which it is kept near who somebody is."""
MOST_NEAR = 1_024


class Known(msgspec.Struct, frozen=True):
    """An account as the house knows it."""

    account: str
    """The account's name in keys."""
    person: str
    """"" for a stranger."""
    allowed: bool
    admin: bool


class Waiting(msgspec.Struct, frozen=True):
    """An account that shows a code, as the operator sees it."""

    account: Account
    name: str


class People:
    """Accounts, persons and access."""

    def __init__(self, store: Store, seal: Seal, ring: Keyring, policy: Policy) -> None:
        self._store = store
        self._seal = seal
        self._ring = ring
        self.policy = policy
        self._near: OrderedDict[tuple[str, bool], tuple[float, Known]] = OrderedDict()
        self._news = 0
        self.strangers = seal.name("strangers")
        """Owner of what is said to people who are not let in."""
        self.installation = seal.name("installation")
        """Owner of what the operator keeps, such as who rules."""

    def owner(self, chat: ChatRef, known: Known) -> str:
        """Whose key seals what is said in this chat: the person's in private, the group's own in a group."""
        if not known.allowed:
            return self.strangers
        return known.person if chat.private else self._seal.name("group", chat.platform, chat.space, chat.chat)

    def lane(self, chat: ChatRef) -> str:
        """The name of a chat in keys."""
        return self._seal.name("chat", chat.platform, chat.space, chat.chat, chat.thread)

    def event(self, chat: ChatRef, event: str) -> str:
        """The name of a platform's event in keys."""
        return self._seal.name("event", chat.platform, chat.space, event)

    def again(self, event: str, time: str) -> str:
        """The name of an event that is tried once more."""
        return self._seal.name("again", event, time)

    def sender(self, account: Account) -> str:
        """The name of an account in keys."""
        return self._seal.name("account", account.platform, account.space, account.user)

    def account(self, chat: ChatRef) -> str:
        """The name of the account of ours that speaks in a chat, in keys."""
        return self._seal.name("ours", chat.platform, chat.space)

    def digest(self, text: str) -> str:
        """A name for words, which tells nothing of them."""
        return self._seal.name("words", text.strip())

    def note(self, *name: str) -> str:
        """The name of an adapter's note in keys."""
        return self._seal.name("note", *name)

    async def meet(self, account: Account, *, trusted: bool, vouched: bool = False) -> Known:
        """Who this is. Whoever may talk is a person from the first contact on; of a stranger nothing is stored.

        `trusted`: whoever reaches us on this platform is let in. `vouched`: the platform tells of this message's sender that
        they belong to a community that was let in as a whole; that counts unless only named accounts may talk.
        """
        name = self.sender(account)
        near = self._near.get((name, vouched))
        if near is not None and near[0] > time.monotonic():
            return near[1]
        operator = trusted and account.user == OPERATOR
        news = self._news
        pipeline = self._store.redis.pipeline(transaction=False)
        pipeline.hmget(account_key(name), "person", "ok")
        pipeline.sismember(ADMINS, name)
        (person, ok), admin = await self._store.execute(pipeline)
        vouched_for = vouched and self.policy != "closed"
        allowed = trusted or vouched_for or self.policy == "open" or bool(admin) or ok == b"1"
        if allowed and person is None:
            candidate = self._seal.name("person", OPERATOR) if operator else secrets.token_hex(16)
            person = await self._become(name, candidate)
        known = Known(name, (person or b"").decode(), allowed, operator or bool(admin))
        if allowed and news == self._news:  # else it may have changed while we asked
            self._keep(known, vouched)
        return known

    def forget_near(self, name: str) -> None:
        """Drop what is kept near of an account or of an owner of seals; "" drops all."""
        self._news += 1
        self._ring.drop(name)
        if name:
            for vouched in (False, True):
                self._near.pop((name, vouched), None)
        else:
            self._near.clear()

    async def first_today(self, account: Account) -> bool:
        """Whether a stranger is to be told in public, once a day, that the assistant is private."""
        pipeline = self._store.redis.pipeline(transaction=False)
        pipeline.set(asked_key(self._daily("told", account)), "1", px=DAY, nx=True)
        return bool((await self._store.execute(pipeline))[0])

    async def ask(self, account: Account, name: str) -> str | None:
        """A code for a stranger to show to the operator; None when they had one today or too many codes wait."""
        who = self.sender(account)
        box = await self._ring.box(self.strangers)
        code = "".join(secrets.choice(_LETTERS) for _ in range(8))
        now = time.time() * 1000
        pipeline = self._store.redis.pipeline(transaction=True)
        pipeline.zremrangebyscore(CODES, "-inf", now)
        pipeline.zcard(CODES)
        pipeline.set(asked_key(who), "1", px=DAY, nx=True)
        _, waiting, first = await self._store.execute(pipeline)
        if first and waiting >= MOST_CODES:  # the stranger may ask again when there is room
            pipeline = self._store.redis.pipeline(transaction=False)
            pipeline.delete(asked_key(who))
            await self._store.execute(pipeline)
        if not first or waiting >= MOST_CODES:
            return None
        value = box.seal(msgspec.msgpack.encode(Waiting(account, name[:200])), "stranger")
        pipeline = self._store.redis.pipeline(transaction=True)
        pipeline.hset(code_key(code), mapping={"w": value})
        pipeline.pexpire(code_key(code), HOUR)
        pipeline.zadd(CODES, {code: now + HOUR})
        pipeline.pexpire(CODES, HOUR)
        pipeline.zcard(CODES)
        if (await self._store.execute(pipeline))[-1] > MOST_CODES:  # others were as quick
            pipeline = self._store.redis.pipeline(transaction=True)
            pipeline.delete(code_key(code))
            pipeline.zrem(CODES, code)
            pipeline.delete(asked_key(who))
            await self._store.execute(pipeline)
            return None
        return f"{code[:4]}-{code[4:]}"

    async def waiting(self, code: str) -> Waiting | None:
        """Who shows this code."""
        box = await self._ring.box(self.strangers)
        pipeline = self._store.redis.pipeline(transaction=False)
        pipeline.hget(code_key(_plain(code)), "w")
        value = (await self._store.execute(pipeline))[0]
        return msgspec.msgpack.decode(box.open(value, "stranger"), type=Waiting) if value else None

    async def approve(self, code: str) -> Waiting | None:
        """Let in whoever shows this code."""
        found = await self.waiting(code)
        if found is None:
            return None
        pipeline = self._store.redis.pipeline(transaction=True)
        pipeline.delete(code_key(_plain(code)))
        pipeline.zrem(CODES, _plain(code))
        await self._store.execute(pipeline)
        await self.allow(found.account)
        return found

    async def allow(self, account: Account) -> None:
        """Let this account in."""
        await self._grant(account, admin=False)

    async def crown(self, account: Account) -> None:
        """Make this account an admin of the installation."""
        await self._grant(account, admin=True)

    async def uncrown(self, account: Account) -> None:
        """This account is an admin no more."""
        pipeline = self._store.redis.pipeline(transaction=True)
        pipeline.srem(ADMINS, self.sender(account))
        pipeline.spublish(NEWS, self.sender(account))
        await self._store.execute(pipeline)
        self.forget_near(self.sender(account))

    async def rulers(self) -> list[Account]:
        """The accounts that rule the installation."""
        box = await self._ring.box(self.installation)
        pipeline = self._store.redis.pipeline(transaction=False)
        pipeline.smembers(ADMINS)
        names = [name.decode() for name in (await self._store.execute(pipeline))[0]]
        pipeline = self._store.redis.pipeline(transaction=False)
        for name in names:
            pipeline.hget(account_key(name), "who")
        sealed = await self._store.execute(pipeline) if names else []
        found = [msgspec.msgpack.decode(box.open(s, "account"), type=Account) for s in sealed if s]
        return sorted(found, key=lambda a: (a.platform, a.user))

    async def admins(self) -> int:
        """How many accounts rule the installation."""
        pipeline = self._store.redis.pipeline(transaction=False)
        pipeline.scard(ADMINS)
        return int((await self._store.execute(pipeline))[0])

    async def claim(self) -> str:
        """The code that makes its sender the operator, for a day; "" once somebody is."""
        if await self.admins():
            return ""
        code = secrets.token_hex(8)
        pipeline = self._store.redis.pipeline(transaction=True)
        pipeline.set(CLAIM, code, px=DAY)
        await self._store.execute(pipeline)
        return code

    async def claimed(self, account: Account, code: str) -> bool:
        """Make the sender of the right code the operator; each code works once, and wrong ones may be tried a few times."""
        if len(code) != 16 or not all(c in hexdigits for c in code):
            return False
        tries = asked_key(self._daily("claims", account))
        pipeline = self._store.redis.pipeline(transaction=False)
        pipeline.get(CLAIM)
        pipeline.get(tries)
        right, tried = await self._store.execute(pipeline)
        if right is None or int(tried or 0) >= MOST_CLAIMS:
            return False
        if not secrets.compare_digest(right, code.encode()):
            pipeline = self._store.redis.pipeline(transaction=True)
            pipeline.incr(tries)
            pipeline.pexpire(tries, DAY)
            await self._store.execute(pipeline)
            return False
        pipeline = self._store.redis.pipeline(transaction=True)
        pipeline.delete(CLAIM)
        if not (await self._store.execute(pipeline))[0]:
            return False
        await self.crown(account)
        return True

    async def _grant(self, account: Account, *, admin: bool) -> None:
        name = self.sender(account)
        await self._become(name, secrets.token_hex(16))
        box = await self._ring.box(self.installation)
        who = box.seal(msgspec.msgpack.encode(account), "account")
        pipeline = self._store.redis.pipeline(transaction=True)
        pipeline.hset(account_key(name), mapping={"ok": "1", "who": who})
        if admin:
            pipeline.sadd(ADMINS, name)
            pipeline.delete(CLAIM)
        pipeline.delete(asked_key(name))
        pipeline.spublish(NEWS, name)
        await self._store.execute(pipeline)
        self.forget_near(name)

    async def _become(self, name: str, candidate: str) -> bytes:
        pipeline = self._store.redis.pipeline(transaction=True)
        pipeline.hsetnx(account_key(name), "person", candidate)
        pipeline.hget(account_key(name), "person")
        return bytes((await self._store.execute(pipeline))[1])

    async def box(self, owner: str) -> Box:
        """The seals of an owner; a new owner gets a key."""
        return await self._ring.box(owner)

    async def opened(self, owner: str) -> Box:
        """The seals of an owner that must exist; SealError where it was forgotten."""
        return await self._ring.existing(owner)

    def _daily(self, what: str, account: Account) -> str:
        return self._seal.name(what, account.platform, account.space, account.user)

    def _keep(self, known: Known, vouched: bool) -> None:
        now = time.monotonic()
        self._near.pop((known.account, vouched), None)
        self._near[known.account, vouched] = (now + NEAR, known)
        while len(self._near) > MOST_NEAR or next(iter(self._near.values()))[0] <= now:
            self._near.popitem(last=False)


def _plain(code: str) -> str:
    return "".join(c for c in code.upper() if c in _LETTERS)
