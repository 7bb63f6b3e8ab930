"""Names of keys never meet, whatever stands in a platform's ids; sealed values open for nobody else."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import SealError
from core.keys import lane_keys
from core.messages import ChatRef
from core.seal import Box, Seal
from tests.conftest import _KINDS

SEAL = Seal(bytes(range(32)))
NASTY = (":", "::", "{", "}", "{}", "{pieria0}", "\n", "\r\n", "\0", "\0\0", "\ud800", "\udfff", "\ud83d\ude00", "😀")
NASTY += ("", " ", "1", "12", "123", "-1", "a", "A", "ä", "a\u0308", "\ufeff", "\u202e", "None", "'", '"', "\\", "\x01")
WORDS = st.text(st.characters(exclude_categories=()), max_size=12) | st.sampled_from(NASTY)
PARTS = st.lists(WORDS, max_size=6).map(tuple)


def crafted(count: int) -> set[tuple[str, ...]]:
    """Ids as a hostile platform or person would choose them: separators inside, and the same text cut at every place."""
    made: set[tuple[str, ...]] = set(itertools.product(NASTY, repeat=3))
    text = "chat:telegram{1}:\n\0:2::3\ud83d\ude00"
    for cuts in range(5):
        for places in itertools.combinations_with_replacement(range(len(text) + 1), cuts):
            ends = (0, *places, len(text))
            made.add(tuple(text[a:b] for a, b in itertools.pairwise(ends)))
    rng = random.Random(2026)
    while len(made) < count:
        length = rng.randrange(1, 6)
        made.add(tuple("".join(rng.choices(NASTY, k=rng.randrange(4))) for _ in range(length)))
    return made


def test_a_hundred_thousand_crafted_ids_give_as_many_names():
    ids = crafted(100_000)
    names = {SEAL.name(*parts) for parts in ids}
    print(f"{len(ids)} crafted ids, {len(ids) - len(names)} collisions")
    assert len(names) == len(ids) >= 100_000
    assert all(len(name) == 32 and set(name) <= set("0123456789abcdef") for name in names)


def test_crafted_chats_give_as_many_lanes_and_no_key_holds_an_id():
    chats = {
        ChatRef(platform, space, chat, thread, private=True)
        for platform, space, chat, thread in itertools.product(("p", "p:", "p:1"), NASTY[:14], NASTY[:20], NASTY[:14])
    }
    lanes = {SEAL.name("chat", c.platform, c.space, c.chat, c.thread) for c in chats}
    assert len(lanes) == len(chats)
    for lane in itertools.islice(lanes, 2_000):
        keys = lane_keys(lane)
        for name in (keys.state, keys.mailbox, keys.context, keys.history(0)):
            assert any(pattern.fullmatch(name) for pattern, _ in _KINDS)


@given(PARTS, PARTS)
@settings(max_examples=2_000, deadline=None)
def test_names_are_equal_only_where_all_parts_are(one: tuple[str, ...], other: tuple[str, ...]):
    assert (SEAL.name(*one) == SEAL.name(*other)) is (one == other)


@given(PARTS)
@settings(max_examples=300, deadline=None)
def test_another_installation_has_other_names(parts: tuple[str, ...]):
    assert SEAL.name(*parts) != Seal(bytes(32)).name(*parts)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=400), st.text(st.characters(codec="utf-8"), max_size=12))
@settings(max_examples=500, deadline=None)
def test_what_was_sealed_opens_again(key: bytes, value: bytes, about: str):
    assert Box(key).open(Box(key).seal(value, about), about) == value


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32), st.binary(max_size=40), st.data())
@settings(max_examples=500, deadline=None)
def test_another_owner_never_opens_a_value(key: bytes, other: bytes, value: bytes, data: st.DataObject):
    sealed = Box(key).seal(value, "history")
    if key != other:
        with pytest.raises(SealError):
            Box(other).open(sealed, "history")
    about = data.draw(st.sampled_from(("", "histor", "history ", "History", "summary", "history\0")))
    with pytest.raises(SealError):
        Box(key).open(sealed, about)


@given(st.binary(max_size=60), st.data())
@settings(max_examples=500, deadline=None)
def test_a_damaged_value_never_opens(value: bytes, data: st.DataObject):
    box = Box(bytes(32))
    sealed = box.seal(value, "history")
    place = data.draw(st.integers(0, len(sealed) - 1))
    bit = data.draw(st.integers(0, 7))
    damaged = sealed[:place] + bytes([sealed[place] ^ 1 << bit]) + sealed[place + 1 :]
    with pytest.raises(SealError):
        box.open(damaged, "history")


def test_every_shortened_or_lengthened_value_is_refused():
    box = Box(bytes(32))
    sealed = box.seal(b"what somebody said", "history")
    for wrong in (*(sealed[:n] for n in range(len(sealed))), sealed + b"\0", sealed + sealed, b"\0" + sealed):
        with pytest.raises(SealError):
            box.open(wrong, "history")
