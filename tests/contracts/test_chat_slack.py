"""Slack keeps the promises of every chat platform: in a workspace of today, and where the app is no agent and has no streams."""

from tests.contracts.abuse import AbusePromises
from tests.contracts.chat import Promises
from tests.contracts.group import GroupPromises
from tests.contracts.places.slack import OlderSlackPlace, SlackPlace
from tests.contracts.rules import RulesPromises


class TestSlack(Promises, place=SlackPlace):
    pass


class TestOlderSlack(Promises, place=OlderSlackPlace):
    pass


class TestSlackGroups(GroupPromises, place=SlackPlace):
    pass


class TestSlackRules(RulesPromises, place=SlackPlace):
    pass


class TestOlderSlackGroups(GroupPromises, place=OlderSlackPlace):
    pass


class TestOlderSlackRules(RulesPromises, place=OlderSlackPlace):
    pass


class TestSlackAbuse(AbusePromises, place=SlackPlace):
    pass


class TestOlderSlackAbuse(AbusePromises, place=OlderSlackPlace):
    pass
