"""Discord keeps the promises of every chat platform."""

from tests.contracts.chat import Promises
from tests.contracts.places.discord import DiscordPlace


class TestDiscord(Promises, place=DiscordPlace):
    pass
