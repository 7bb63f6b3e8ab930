"""The terminal keeps the promises of every chat platform."""

from tests.contracts.abuse import AbusePromises
from tests.contracts.chat import Promises
from tests.contracts.places.terminal import TerminalPlace


class TestTerminal(Promises, place=TerminalPlace):
    pass


class TestTerminalAbuse(AbusePromises, place=TerminalPlace):
    pass
