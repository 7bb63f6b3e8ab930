"""Sealing: what lies in the store is unreadable without the right key, and forgetting makes it so for ever."""

import asyncio

import pytest

from core.errors import SealError
from core.keys import owner_key
from core.seal import Box, Keyring, Seal
from core.store import Store

KEY = bytes(range(32))
OWNER, OTHER = "a" * 32, "b" * 32


def test_a_sealed_value_shows_nothing_of_its_text_and_is_never_the_same_twice():
    box = Box(KEY)
    sealed = {box.seal(b"the treasure lies under the oak", "history") for _ in range(100)}
    assert len(sealed) == 100
    assert not any(word in value for value in sealed for word in (b"treasure", b"oak", b"history"))


def test_a_value_of_another_form_is_refused_with_a_sentence():
    with pytest.raises(SealError) as caught:
        Box(KEY).open(b"\x02" + bytes(60), "history")
    assert caught.value.sentence.endswith(".")


@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_a_key_of_another_length_is_refused(size: int):
    with pytest.raises(SealError):
        Seal(bytes(size))


def test_the_fingerprint_tells_keys_apart_and_holds_nothing_of_them():
    assert Seal(KEY).fingerprint == Seal(KEY).fingerprint
    assert Seal(KEY).fingerprint != Seal(bytes(32)).fingerprint
    assert Seal(KEY).fingerprint not in KEY.hex()


def test_a_wrapped_key_opens_only_for_its_owner_and_its_installation():
    wrapped = Seal(KEY).wrap(OWNER, bytes(32))
    assert Seal(KEY).unwrap(OWNER, wrapped) == bytes(32)
    with pytest.raises(SealError):
        Seal(KEY).unwrap(OTHER, wrapped)
    with pytest.raises(SealError):
        Seal(bytes(32)).unwrap(OWNER, wrapped)


def test_a_signature_holds_for_its_text_and_installation_only():
    signed = Seal(KEY).sign("web:1:2026")
    assert signed == Seal(KEY).sign("web:1:2026")
    assert signed != Seal(KEY).sign("web:1:2027")
    assert signed != Seal(bytes(32)).sign("web:1:2026")


async def test_an_owners_values_open_after_a_restart(store: Store):
    first, second = (Keyring(Seal(KEY), store.fetch_or_set) for _ in range(2))
    sealed = (await first.box(OWNER)).seal(b"hello", "history")
    assert (await second.existing(OWNER)).open(sealed, "history") == b"hello"


async def test_two_owners_have_two_keys(store: Store):
    ring = Keyring(Seal(KEY), store.fetch_or_set)
    sealed = (await ring.box(OWNER)).seal(b"hello", "history")
    with pytest.raises(SealError):
        (await ring.box(OTHER)).open(sealed, "history")


async def test_processes_that_meet_an_owner_at_once_agree_on_one_key(store: Store):
    rings = [Keyring(Seal(KEY), store.fetch_or_set) for _ in range(20)]
    boxes = await asyncio.gather(*(ring.box(OWNER) for ring in rings))
    sealed = boxes[0].seal(b"hello", "history")
    assert {box.open(sealed, "history") for box in boxes} == {b"hello"}


async def test_what_was_forgotten_never_opens_again(store: Store):
    ring = Keyring(Seal(KEY), store.fetch_or_set)
    sealed = (await ring.box(OWNER)).seal(b"hello", "history")
    await store.redis.delete(owner_key(OWNER))
    ring.drop(OWNER)
    with pytest.raises(SealError, match="forgotten"):
        await ring.existing(OWNER)
    assert await store.redis.exists(owner_key(OWNER)) == 0
    with pytest.raises(SealError):
        (await ring.box(OWNER)).open(sealed, "history")


async def test_a_key_moved_to_another_owner_is_refused(store: Store):
    ring = Keyring(Seal(KEY), store.fetch_or_set)
    await ring.box(OWNER)
    await store.redis.copy(owner_key(OWNER), owner_key(OTHER))
    with pytest.raises(SealError):
        await Keyring(Seal(KEY), store.fetch_or_set).existing(OTHER)


async def test_the_ring_keeps_only_the_recent_owners_and_fetches_the_others_again(store: Store):
    trips = []

    async def fetch(key: str, candidate: bytes) -> bytes | None:
        trips.append(key)
        return await store.fetch_or_set(key, candidate)

    ring = Keyring(Seal(KEY), fetch, size=2)
    for owner in ("1" * 32, "2" * 32, "1" * 32, "3" * 32, "1" * 32, "2" * 32):
        await ring.box(owner)
    assert trips == [owner_key(n * 32) for n in "1232"]
