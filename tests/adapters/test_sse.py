"""How a stream of events is cut, whatever way the network cuts it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.models import sse
from adapters.models.sse import Events
from core.errors import ModelFailed

STREAM = (
    ": a comment\n\n"
    'data: {"text":"Grüße 🦉"}\n\n'
    "event: message\nid: 7\ndata: first\ndata: second\n\n"
    ":\n\n"
    "data:no space\n\n"
    "data: [DONE]\n\n"
)
DATA = ['{"text":"Grüße 🦉"}', "first\nsecond", "no space", "[DONE]"]


def cut(stream: bytes, sizes: list[int]) -> list[str]:
    events, found, place = Events(), [], 0
    for size in [*sizes, len(stream)]:
        found += events.feed(stream[place : place + size])
        place += size
    return [data.decode() for data in found + events.rest()]


def test_all_whole_events_of_a_read_come_at_once():
    assert [d.decode() for d in Events().feed(STREAM.encode())] == DATA


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@settings(max_examples=60)
@given(sizes=st.lists(st.integers(1, 9), max_size=80))
def test_events_lines_and_letters_may_be_cut_anywhere(end, sizes):
    assert cut(STREAM.replace("\n", end).encode(), sizes) == DATA


def test_byte_by_byte_is_the_same():
    assert cut(STREAM.replace("\n", "\r\n").encode(), [1] * len(STREAM.encode()) * 2) == DATA


def test_a_last_event_without_a_blank_line_is_not_lost():
    events = Events()
    assert events.feed(b"data: one\n\ndata: [DONE]") == [b"one"]
    assert events.rest() == [b"[DONE]"]
    assert events.rest() == []


def test_keep_alives_say_nothing():
    events = Events()
    assert events.feed(b": keep-alive\n\n: keep-alive\n\n") == []
    assert events.feed(b"\n\n\n") == []


def test_an_event_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(sse, "MOST_PENDING", 1000)
    events = Events()
    events.feed(b"data: " + b"x" * 900)
    with pytest.raises(ModelFailed):
        events.feed(b"x" * 200)
