"""The terminal keeps the promises of every chat platform."""

from tests.contracts.chat import Promises
from tests.contracts.places.terminal import TerminalPlace


class TestTerminal(Promises, place=TerminalPlace):
    pass
