"""Discord keeps the promises of every chat platform."""

from tests.contracts.abuse import AbusePromises
from tests.contracts.chat import Promises
from tests.contracts.group import GroupPromises
from tests.contracts.places.discord import DiscordPlace
from tests.contracts.rules import RulesPromises


class TestDiscord(Promises, place=DiscordPlace):
    pass


class TestDiscordGroups(GroupPromises, place=DiscordPlace):
    pass


class TestDiscordRules(RulesPromises, place=DiscordPlace):
    pass


class TestDiscordAbuse(AbusePromises, place=DiscordPlace):
    pass
