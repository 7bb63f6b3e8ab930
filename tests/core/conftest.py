"""Mailboxes of two workers at one store."""

import pytest

from core.mailbox import Mailbox, Rules
from core.store import Store


@pytest.fixture
def mailbox(store: Store) -> Mailbox:
    return Mailbox(store, "one", Rules())


@pytest.fixture
def other(store: Store) -> Mailbox:
    """Another worker at the same store."""
    return Mailbox(store, "two", Rules())
