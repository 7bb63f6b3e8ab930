"""What speaks while no model can be had: says so, and still does exact arithmetic. Commands work without any model."""

from collections.abc import AsyncGenerator, Callable

import msgspec

from core.messages import ModelEvent, Prompt, Stop, Text, ToolCall


class Offline:
    """core.ports.Model without a model."""

    name = "offline"
    window = 8_192

    def __init__(self, why: Callable[[], str], arithmetic: str) -> None:
        """`why` tells in a sentence what is missing; `arithmetic` names the tool that calculates."""
        self._why = why
        self._arithmetic = arithmetic

    def can(self, ability: str) -> bool:
        """It calls tools, and only where a message plainly needs one."""
        return ability in {"tools", "small"}

    async def stream(self, prompt: Prompt) -> AsyncGenerator[ModelEvent, None]:
        """The result of the calculation that was asked for, or a sentence on what is missing."""
        newest = prompt.lines[-1]
        if newest.role == "tool" and not newest.text.startswith("Error"):
            yield Text(newest.text)
        elif newest.role == "user" and any(t.name == self._arithmetic for t in prompt.tools):
            arguments = msgspec.json.encode({"expression": newest.text.rstrip(" ?=.")}).decode()
            yield ToolCall("offline", self._arithmetic, arguments)
            yield Stop("tools")
            return
        else:
            yield Text(self._why())
        yield Stop()
