"""Slack keeps the promises of every chat platform: in a workspace of today, and where the app is no agent and has no streams."""

from tests.contracts.chat import Promises
from tests.contracts.places.slack import OlderSlackPlace, SlackPlace


class TestSlack(Promises, place=SlackPlace):
    pass


class TestOlderSlack(Promises, place=OlderSlackPlace):
    pass
