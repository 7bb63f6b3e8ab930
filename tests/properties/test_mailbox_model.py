"""An exhaustive check of the mailbox: the real scripts, on a real Valkey, in every order in which things can happen."""

import os
import time

import pytest
from redis import Redis

from core.mailbox import Entry, Rules
from core.store import Store
from tests.properties.explorer import explore
from tests.properties.mutants import MUTANTS
from tests.properties.scripts import Scripts
from tests.properties.world import Broken, World

LONG = bool(os.environ.get("LONG"))
WORLDS = [("aa", 10), ("ab", 10)]
if LONG:
    WORLDS += [
        ("aA", 10),
        ("aa", 1),
        *((people, 10) for people in ("aaa", "aab", "aba", "abc", "aAa", "Aaa")),
        ("aaa", 2),
    ]


@pytest.fixture
async def sources(store: Store) -> dict[str, str]:
    """The scripts as the store runs them."""
    assert store._sources
    return dict(store._sources)


@pytest.mark.parametrize(("people", "merge"), WORLDS)
def test_nothing_is_lost_doubled_or_out_of_order_whatever_happens_in_whatever_order(
    people: str, merge: int, sources: dict[str, str], valkey_url: str
):
    began = time.perf_counter()
    with Redis.from_url(valkey_url) as redis:
        found = explore(Scripts(redis, sources, entries(people), Rules(merge=merge)), len(people), World())
    took = time.perf_counter() - began
    print(
        f"\n{people} merge={merge}: {found.states:,} states, {found.steps:,} steps between them, {found.lanes:,} states of "
        f"the lane, {found.calls:,} runs of scripts, {took:.1f} s"
    )
    assert found.states > 10_000


@pytest.mark.parametrize("name", MUTANTS)
def test_the_check_finds(name: str, sources: dict[str, str], valkey_url: str):
    mutant = MUTANTS[name]
    source = sources[mutant.script]
    assert source.count(mutant.right) == 1, "the script has changed: so must its mutant"
    wrong = {**sources, mutant.script: source.replace(mutant.right, mutant.wrong)}
    with Redis.from_url(valkey_url) as redis, pytest.raises(Broken, match=mutant.found) as caught:
        explore(Scripts(redis, wrong, entries(mutant.people), Rules()), len(mutant.people), World())
    print(f"\n{name}: {caught.value}")


def entries(people: str) -> tuple[Entry, ...]:
    """`aab`: two messages of one person, then one of another; a capital letter stands for a command."""
    return tuple(
        Entry(f"{n:032x}", f"{ord(p.lower()):032x}", alone=p.isupper(), body=b"first") for n, p in enumerate(people)
    )
