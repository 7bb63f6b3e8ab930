"""A model on the tests' provider, and what it is asked."""

from adapters.models.hosted import Hosted
from core.messages import Prompt, Said
from tests.contracts.model import NATIVE, Bench

KEY = "sk-test-0123456789abcdef"
LUNA = "gpt-6-luna"
SONNET = "claude-sonnet-5-5"
HAIKU = "claude-haiku-4-5"


def model_on(server, http, name=f"openai:{LUNA}", key=KEY, **how):
    return Hosted(name, server.url, key, http, **how)


def bench_of(server, http, name):
    """A model for the contract, and the same at any effort."""
    made = {}

    def at(effort):
        return made.setdefault(effort, model_on(server, http, f"{name}@{effort}" if effort else name))

    return Bench(server, at(""), lambda: NATIVE, at)


def asking(*lines, **how):
    return Prompt(system="S", lines=lines or (Said("user", "Hi"),), **how)
