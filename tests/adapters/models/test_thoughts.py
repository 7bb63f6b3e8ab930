"""What is remembered between the calls of one turn, and no longer than there is room."""

from adapters.models.thoughts import Thoughts, Trace
from core.messages import ToolCall


def calls(*ids):
    return [ToolCall(call, "f", "{}") for call in ids]


def test_an_answer_is_found_by_its_calls_and_all_that_stood_before_it():
    thoughts = Thoughts()
    before = Trace(b"system", b"hello").here()
    thoughts.keep(calls("a", "b"), before, b"told")
    assert thoughts.find(tuple(calls("a", "b")), before) == b"told"
    for other, place in ((("a",), before), (("b", "a"), before), (("a", "b"), Trace(b"systemhello").here())):
        assert not thoughts.find(tuple(calls(*other)), place)


def test_the_oldest_goes_where_there_is_no_room():
    thoughts = Thoughts(most=100)
    for name in "abc":
        thoughts.keep(calls(name), b"", b"x" * 40)
    thoughts.keep(calls("c"), b"", b"y" * 40)  # the same again takes no more room
    assert [len(thoughts.find(tuple(calls(name)), b"")) for name in "abc"] == [0, 40, 40]
    thoughts.keep(calls("huge"), b"", b"x" * 101)
    assert not thoughts.forget()


def test_what_is_forgotten_is_gone():
    thoughts = Thoughts()
    thoughts.keep(calls("a"), b"", b"told")
    assert thoughts.forget()
    assert not thoughts.forget()
    assert not thoughts.find(tuple(calls("a")), b"")


def test_parts_are_told_apart_by_their_ends():
    assert Trace(b"ab", b"c").here() != Trace(b"a", b"bc").here()
    grown = Trace(b"ab")
    grown.add(b"c")
    assert grown.here() == Trace(b"ab", b"c").here()
