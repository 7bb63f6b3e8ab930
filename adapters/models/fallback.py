"""A chain of models: the first that answers speaks. One that keeps failing is left alone for a while."""

import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from typing import Final

import msgspec

from core import messages
from core.errors import ModelError, PromptTooLong
from core.history import tokens, weight
from core.messages import ModelEvent, Prompt, Text, ToolCall
from core.ports import Model, Priced

FAILURES: Final = 3
"""In a row, after which a model is left alone."""
REST: Final = 30.0
"""Seconds for which it is; then one call tries it again."""


class Fallback:
    """core.ports.Model over several; name, window and abilities are the first's."""

    def __init__(self, models: tuple[Model, ...], clock: Callable[[], float] = time.monotonic) -> None:
        """`models` holds at least one. `clock` counts seconds and never goes back."""
        self.models = models
        self.name = models[0].name
        self.window = models[0].window
        self.longest = max((m.longest for m in models if isinstance(m, Priced)), default=0)
        self._breakers = tuple(_Breaker() for _ in models)
        self._clock = clock

    def can(self, ability: str) -> bool:
        """Whether the first model has this ability."""
        return self.models[0].can(ability)

    def cost(self, read: int, written: int) -> float | None:
        """What the dearest of those costs whose price is known."""
        costs = [m.cost(read, written) for m in self.models if isinstance(m, Priced)]
        return max((cost for cost in costs if cost is not None), default=None)

    async def stream(self, prompt: Prompt) -> AsyncGenerator[ModelEvent, None]:
        """The answer of the first model that gives one, behind a Fallback event where that is not the first of the chain.

        A failure after text was shown is raised: an answer never begins anew. PromptTooLong is raised at once. When all
        fail, the failure of the model that was asked first is raised.
        """
        failure: ModelError | None = None
        for model, breaker in self._ready():
            announced = model is self.models[0]
            shown = False
            breaker.trying = True
            try:
                async with aclosing(model.stream(fitted(prompt, model.window, self.window))) as stream:
                    async for event in stream:
                        if not announced:
                            announced = True
                            yield messages.Fallback(model.name, self.name, self._why(failure))
                        shown = shown or isinstance(event, Text | ToolCall)
                        yield event
            except PromptTooLong:
                raise
            except ModelError as error:
                breaker.failed(error, self._clock())
                if shown:
                    raise
                failure = failure or error
            else:
                breaker.succeeded()
                return
            finally:
                breaker.trying = False
        raise failure or ModelError("No model answers now. Try again in a moment.", retry_after=1.0)

    def _ready(self) -> Iterator[tuple[Model, "_Breaker"]]:
        """The models to ask, in order; where all are to be left alone, the one whose rest ends first."""
        asked = False
        for model, breaker in zip(self.models, self._breakers, strict=True):
            if breaker.closed(self._clock()):
                asked = True
                yield model, breaker
        if not asked:
            yield min(zip(self.models, self._breakers, strict=True), key=lambda pair: pair[1].until)

    def _why(self, failure: ModelError | None) -> str:
        known = self._breakers[0].failure or failure
        return known.sentence if known else ""


class _Breaker:
    """Whether a model is worth a call: open after three failures in a row, half open when its rest is over."""

    __slots__ = ("_failures", "failure", "trying", "until")

    def __init__(self) -> None:
        self._failures = 0
        self.failure: ModelError | None = None
        """The last one; None once it answered."""
        self.until = 0.0
        self.trying = False

    def closed(self, now: float) -> bool:
        if self._failures < FAILURES:
            return True
        return now >= self.until and not self.trying

    def failed(self, error: ModelError, now: float) -> None:
        self._failures += 1
        self.failure = error
        self.until = now + REST

    def succeeded(self) -> None:
        self._failures = 0
        self.failure = None


def fitted(prompt: Prompt, window: int, meant: int) -> Prompt:
    """A prompt that was made for a window of `meant` tokens, without the oldest lines that do not fit `window`."""
    if window >= meant:
        return prompt
    fixed = tokens(prompt.system) + sum(tokens(t.about) + len(bytes(t.schema)) // 3 for t in prompt.tools)
    budget = window * 3 // 4 - fixed
    begin = place = len(prompt.lines)
    while place:
        place -= 1
        said = prompt.lines[place]
        budget -= weight((said,))
        if budget < 0 and begin < len(prompt.lines):
            break
        if said.role == "user":  # a result without its call, or half an exchange, would only confuse
            begin = place
    return prompt if begin in {0, len(prompt.lines)} else msgspec.structs.replace(prompt, lines=prompt.lines[begin:])
