"""The page keeps the promises of every chat platform."""

from tests.contracts.abuse import AbusePromises
from tests.contracts.chat import Promises
from tests.contracts.places.web import WebPlace


class TestWeb(Promises, place=WebPlace):
    pass


class TestWebAbuse(AbusePromises, place=WebPlace):
    pass
