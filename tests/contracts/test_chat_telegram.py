"""Telegram keeps the promises of every chat platform: on a server of today, and on one without rich messages and drafts."""

from tests.contracts.abuse import AbusePromises
from tests.contracts.chat import Promises
from tests.contracts.group import GroupPromises
from tests.contracts.places.telegram import OlderTelegramPlace, TelegramPlace
from tests.contracts.rules import RulesPromises


class TestTelegram(Promises, place=TelegramPlace):
    pass


class TestOlderTelegram(Promises, place=OlderTelegramPlace):
    pass


class TestTelegramGroups(GroupPromises, place=TelegramPlace):
    pass


class TestTelegramRules(RulesPromises, place=TelegramPlace):
    pass


class TestOlderTelegramGroups(GroupPromises, place=OlderTelegramPlace):
    pass


class TestOlderTelegramRules(RulesPromises, place=OlderTelegramPlace):
    pass


class TestTelegramAbuse(AbusePromises, place=TelegramPlace):
    pass


class TestOlderTelegramAbuse(AbusePromises, place=OlderTelegramPlace):
    pass
