"""A model on the tests' provider, and what it is asked."""

from adapters.models.chat_completions import ChatCompletions
from core.messages import Prompt, Said

KEY = "sk-test-0123456789abcdef"
LUNA = "gpt-6-luna"


def model_on(server, http, name=f"openai:{LUNA}", key=KEY, **how):
    return ChatCompletions(name, server.url, key, http, **how)


def asking(*lines, **how):
    return Prompt(system="S", lines=lines or (Said("user", "Hi"),), **how)
