"""Telegram keeps the promises of every chat platform: on a server of today, and on one without rich messages and drafts."""

from tests.contracts.chat import Promises
from tests.contracts.places.telegram import OlderTelegramPlace, TelegramPlace


class TestTelegram(Promises, place=TelegramPlace):
    pass


class TestOlderTelegram(Promises, place=OlderTelegramPlace):
    pass
