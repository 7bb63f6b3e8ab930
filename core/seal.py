"""Every value that holds people's words or names is sealed here, from the first commit.

Each person and each group has a random data key, wrapped by the installation's key; forgetting deletes the data key, so
that append-only files and backups become unreadable too. Key names hold keyed hashes made here: injective over their
parts, of one length, and not to be turned back without the installation's key.
"""

import hmac
import os
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from hashlib import blake2b

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from core.errors import SealError
from core.keys import owner_key

VERSION = b"\x01"
KEY_BYTES = 32
NONCE_BYTES = 12


class Box:
    """Seals and opens the values of one owner."""

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, value: bytes, about: str) -> bytes:
        """Version byte, nonce, ciphertext. `about` names what the value is; it must be the same at opening."""
        nonce = os.urandom(NONCE_BYTES)
        return VERSION + nonce + self._cipher.encrypt(nonce, value, about.encode())

    def open(self, value: bytes, about: str) -> bytes:
        """The value again; SealError where it is damaged, of another owner, or of another kind."""
        if value[:1] != VERSION:
            raise SealError("A stored value has a form that this program does not know.")
        try:
            return self._cipher.decrypt(value[1 : 1 + NONCE_BYTES], value[1 + NONCE_BYTES :], about.encode())
        except (InvalidTag, ValueError) as error:
            raise SealError("A stored value cannot be opened with this key.") from error


class Seal:
    """The installation's key: wraps data keys, hashes names, signs what we hand out."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise SealError(f"The installation's key must have {KEY_BYTES} bytes.")
        self._box = Box(_derive(key, b"wrap"))
        self._names = _derive(key, b"names")
        self._signs = _derive(key, b"signs")
        self.fingerprint = blake2b(key, digest_size=8, person=b"fingerprint").hexdigest()

    def name(self, *parts: str) -> str:
        """A keyed hash of the parts, 32 hex digits; different parts never meet, whatever characters they hold."""
        digest = blake2b(key=self._names, digest_size=16)
        for part in parts:
            data = part.encode("utf-8", "surrogatepass")
            digest.update(len(data).to_bytes(8, "big"))
            digest.update(data)
        return digest.hexdigest()

    def sign(self, text: str) -> str:
        """A keyed MAC of the text, for cookies and links that we hand out."""
        return hmac.new(self._signs, text.encode("utf-8", "surrogatepass"), "sha256").hexdigest()

    def wrap(self, owner: str, key: bytes) -> bytes:
        """A data key as it lies in the store."""
        return self._box.seal(key, "key " + owner)

    def unwrap(self, owner: str, wrapped: bytes) -> bytes:
        """The data key of an owner, from how it lies in the store."""
        return self._box.open(wrapped, "key " + owner)


class Keyring:
    """The boxes of owners. Keys are made at first use and kept near for the recent ones; a box, which takes a hundred times as
    much, only for as long as somebody uses it.
    """

    def __init__(self, seal: Seal, fetch: Callable[[str, bytes], Awaitable[bytes | None]], size: int = 4096) -> None:
        """`fetch(key name, candidate)` returns what lies there, after storing the candidate where nothing lay and the
        candidate is not empty.
        """
        self._seal = seal
        self._fetch = fetch
        self._size = size
        self._near: OrderedDict[str, bytes] = OrderedDict()

    async def box(self, owner: str) -> Box:
        """The owner's box; a new owner gets a new data key."""
        near = self._near.get(owner)
        if near is not None:
            self._near.move_to_end(owner)
            return Box(near)
        wrapped = await self._fetch(owner_key(owner), self._seal.wrap(owner, os.urandom(KEY_BYTES)))
        return self._keep(owner, wrapped)

    async def existing(self, owner: str) -> Box:
        """The box of an owner that must have one; SealError where it was forgotten."""
        near = self._near.get(owner)
        return Box(near) if near is not None else self._keep(owner, await self._fetch(owner_key(owner), b""))

    def drop(self, owner: str) -> None:
        """The owner was forgotten; "" when it is unknown who."""
        if owner:
            self._near.pop(owner, None)
        else:
            self._near.clear()

    def _keep(self, owner: str, wrapped: bytes | None) -> Box:
        if wrapped is None:
            raise SealError("The data key of this conversation is gone: it was forgotten.")
        key = self._near[owner] = self._seal.unwrap(owner, wrapped)
        while len(self._near) > self._size:
            self._near.popitem(last=False)
        return Box(key)


def _derive(key: bytes, purpose: bytes) -> bytes:
    return blake2b(key=key, digest_size=KEY_BYTES, person=purpose).digest()
