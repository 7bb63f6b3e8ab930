"""Every failure that Pieria names, as one tree:

PieriaError
├── SettingsError       a setting is wrong; the sentence names it, its value and the remedy
├── StoreError          the store cannot serve
│   ├── StoreAway       no answer: what was asked may or may not have been done; it may come back
│   ├── StoreFull       memory or disk is at its limit: nothing new is accepted, what runs goes on
│   └── StoreMismatch   the store belongs to a newer program, another key or another layout
├── SealError           a value cannot be opened: forgotten, damaged, or sealed by another key
├── LaneError           a chat's mailbox refuses
│   └── LaneFull        too many messages wait in this chat
├── ModelError          a model did not answer; `sentence` is what the person is told
│   ├── ModelBusy       rate limit or overload; `retry_after` tells when to try again
│   ├── ModelUnreachable  no connection, time-out, broken stream
│   ├── ModelRefusedKey the key is missing, wrong or has no credit
│   ├── ModelUnknown    no such model, or no such ability
│   ├── PromptTooLong   the prompt does not fit the window: compact and try again
│   ├── ModelFailed     the provider failed or answered nonsense
│   └── OverBudget      a budget is spent: no model was asked
├── ToolError           a tool could not do it; the sentence goes to the model
└── ChatError           a platform did not take a message
    ├── ChatBusy        rate limit; `retry_after`
    ├── ChatUnreachable no connection, time-out; `arrived` says whether the message may have arrived
    ├── ChatRejected    the content is not accepted in this form: try a simpler form
    ├── ChatGone        blocked, removed or deleted: nothing can be delivered there any more
    └── ChatRefusedToken  the platform does not accept our token
"""

import traceback
from pathlib import Path


class PieriaError(Exception):
    """A failure with one sentence that a person can act on."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class SettingsError(PieriaError):
    """A setting is wrong: the sentence names the variable, the value and the remedy."""


class StoreError(PieriaError):
    """The store cannot serve."""


class StoreAway(StoreError):
    """The store does not answer; whether it did what was asked is unknown."""


class StoreFull(StoreError):
    """Memory or disk of the store is at its limit."""


class StoreMismatch(StoreError):
    """The store was written by a newer program, with another key or another layout."""


class SealError(PieriaError):
    """A sealed value cannot be opened."""


class LaneError(PieriaError):
    """A chat's mailbox refuses."""


class LaneFull(LaneError):
    """Too many messages wait in this chat."""


class ModelError(PieriaError):
    """A model did not answer. `retry_after` is in seconds; None means that another try does not help."""

    def __init__(self, sentence: str, *, retry_after: float | None = None) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class ModelBusy(ModelError):
    """Rate limit or overload."""


class ModelUnreachable(ModelError):
    """No connection, a time-out, or a stream that broke."""


class ModelRefusedKey(ModelError):
    """The key is missing, wrong, or has no credit."""


class ModelUnknown(ModelError):
    """No such model, or it lacks an ability that the request needs."""


class PromptTooLong(ModelError):
    """The prompt does not fit the model's window."""


class ModelFailed(ModelError):
    """The provider failed or answered nonsense."""


class OverBudget(ModelError):
    """A budget is spent; the sentence says whose, and until when."""


class ToolError(PieriaError):
    """A tool could not do what it was asked; the sentence is shown to the model."""


class ChatError(PieriaError):
    """A platform did not take a message."""


class ChatBusy(ChatError):
    """The platform asks us to wait `retry_after` seconds."""

    def __init__(self, sentence: str, *, retry_after: float) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class ChatUnreachable(ChatError):
    """No answer from the platform. `arrived` is False where the message surely did not arrive."""

    def __init__(self, sentence: str, *, arrived: bool = True) -> None:
        super().__init__(sentence)
        self.arrived = arrived


class ChatRejected(ChatError):
    """The platform does not accept the content in this form."""


class ChatGone(ChatError):
    """Blocked, removed or deleted: nothing can be delivered there any more."""


class ChatRefusedToken(ChatError):
    """The platform does not accept our token."""


def traced(error: BaseException) -> str:
    """Kind and place of an unexpected failure, for the log: never its message, which may hold what people said."""
    if isinstance(error, BaseExceptionGroup):
        return " and ".join(traced(inner) for inner in error.exceptions)
    way = [
        f"{Path(frame.f_code.co_filename).name}:{line} {frame.f_code.co_qualname}"
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    what = error.sentence if isinstance(error, PieriaError) else ""
    return f"{type(error).__qualname__}{f' ({what})' if what else ''} at {' < '.join(reversed(way)) or 'no place'}"
