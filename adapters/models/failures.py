"""Every way in which a provider fails, as one sentence with a remedy. The one table between httpx and core.errors.

A sentence names the provider and the setting, never a key and never an address with credentials; what a provider said is
quoted short and redacted.
"""

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

import httpx
import msgspec

from adapters.http import redact
from core.errors import (
    ModelBusy,
    ModelError,
    ModelFailed,
    ModelRefusedKey,
    ModelUnknown,
    ModelUnreachable,
    PromptTooLong,
)

QUOTE = 200
"""Characters of a provider's own words that people may see."""


class Source(msgspec.Struct, frozen=True):
    """Who failed, as a sentence names them."""

    label: str
    model: str
    key_variable: str = ""
    url_variable: str = ""
    secret: str = ""
    """The key, so that it can be taken out of what is quoted."""

    def __repr__(self) -> str:
        return f"Source({self.label!r}, {self.model!r})"


def unreachable(source: Source, error: Exception) -> ModelError:
    """What an httpx exception means."""
    for kind, form, again in EXCEPTIONS:
        if isinstance(error, kind):
            meant = ModelFailed if again is None else ModelUnreachable
            where = f", and {source.url_variable} if it is set" if source.url_variable else ""
            return meant(form.format(label=source.label, where=where), retry_after=again)
    return ModelFailed(f"{source.label} could not be asked ({type(error).__name__}).")


_NETWORK: Final = "{label} cannot be reached. Check the network{where}."
_SLOW: Final = "{label} does not answer. Try /retry, or choose another model with /model."
_BROKE: Final = "The answer of {label} broke off. Try /retry."
_ADDRESS: Final = "The address of {label} cannot be used. Check its base URL{where}."
_PROXY: Final = "{label} cannot be reached through the proxy. Check HTTPS_PROXY and NO_PROXY."
_NONSENSE: Final = "{label} sent an answer that cannot be read. Check its base URL{where}."

EXCEPTIONS: Final[tuple[tuple[type[Exception], str, float | None], ...]] = (
    (httpx.ConnectTimeout, _NETWORK, 0.0),
    (httpx.ConnectError, _NETWORK, 0.0),
    (httpx.PoolTimeout, _NETWORK, 0.0),
    (httpx.ProxyError, _PROXY, None),
    (httpx.TimeoutException, _SLOW, 0.0),
    (httpx.UnsupportedProtocol, _ADDRESS, None),
    (httpx.InvalidURL, _ADDRESS, None),
    (httpx.LocalProtocolError, _ADDRESS, None),
    (httpx.DecodingError, _NONSENSE, None),
    (httpx.TooManyRedirects, _ADDRESS, None),
    (httpx.CookieConflict, _NONSENSE, None),
    (httpx.HTTPStatusError, _NONSENSE, None),
    (httpx.StreamError, _BROKE, 0.0),
    (httpx.TransportError, _BROKE, 0.0),
    (httpx.RequestError, _BROKE, 0.0),
    (httpx.HTTPError, _BROKE, 0.0),
)
"""The first that fits: httpx's class, the sentence, seconds after which another try may help (None: it does not)."""


def refused(source: Source, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> ModelError:
    """What an HTTP status and its body mean; status 0 is an error object inside a stream."""
    said = words(body)
    wait = retry_after(headers or {})
    text = f"{said.code} {said.type} {said.message}".lower()
    whose = source.key_variable or "its key"
    status = status or said.status
    if _TOO_LONG.search(text) or status == 413:
        return PromptTooLong(f"This conversation is too long for {source.model}. /new starts afresh.")
    if status == 402 or _NO_CREDIT.search(text):
        return ModelRefusedKey(
            f"{source.label} says that the account behind {whose} has no credit left. "
            "Top it up, or choose another model with /model."
        )
    if status == 401 or (status in {0, 400, 403} and _BAD_KEY.search(text)):
        if not source.key_variable:
            return ModelRefusedKey(f"{source.label} wants a key, or does not accept the one it got.")
        return ModelRefusedKey(
            f"{source.label} does not accept the key in {source.key_variable}. "
            "Check it, or unset it to use the built-in model."
        )
    quote = _quote(said.message, source)
    if status in {404, 410} or _UNKNOWN.search(text):
        if status == 404 and not said.message:
            place = source.url_variable or "the base URL"
            return ModelUnknown(
                f"There is no chat at the address of {source.label}. Check {place}: it should end in /v1."
            )
        return ModelUnknown(f"{source.label} has no model “{source.model}”{quote}. Choose another with /model.")
    if status == 403:
        return ModelRefusedKey(f"{source.label} does not allow this with the key in {whose}{quote}.")
    if status == 429 or status in {503, 529} or _BUSY.search(text):
        when = f"in {wait:.0f} seconds" if wait and wait >= 1 else "in a moment"
        return ModelBusy(f"{source.label} is busy. Try again {when}.", retry_after=1.0 if wait is None else wait)
    if status >= 500 or status in {0, 408, 409, 425}:
        return ModelFailed(
            f"{source.label} could not answer{quote}. Try /retry, or choose another model with /model.",
            retry_after=wait or 0.0,
        )
    if 300 <= status < 400:
        return ModelFailed(
            f"{source.label} sends us to another address. Check {source.url_variable or 'its base URL'}."
        )
    return ModelFailed(f"{source.label} did not accept the request ({status}){quote}. Try another model with /model.")


def unreadable(source: Source) -> ModelError:
    """An answer that is no answer of a model."""
    place = source.url_variable or "its base URL"
    return ModelFailed(f"{source.label} sent something that is no model's answer. Check {place}: it should end in /v1.")


def broke(source: Source) -> ModelError:
    """A stream that ended before the answer did."""
    return unreachable(source, httpx.ReadError(""))


class Words(msgspec.Struct, frozen=True):
    """What a provider said about its failure."""

    message: str = ""
    code: str = ""
    type: str = ""
    status: int = 0


def words(body: bytes) -> Words:
    """The error of a body, in any of the usual forms; a body that is no JSON says nothing that people should see."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Words()
    if isinstance(found, list) and found:  # one provider wraps its errors in a list
        found = found[0]
    if isinstance(found, dict):
        inner = found.get("error", found.get("errors", found))
        if isinstance(inner, list) and inner:
            inner = inner[0]
        if isinstance(inner, dict):
            code = inner.get("code")
            number = code if isinstance(code, int) and not isinstance(code, bool) else 0
            message = inner.get("message") or inner.get("detail") or inner.get("msg") or ""
            if not isinstance(message, str):
                message = msgspec.json.encode(message).decode()
            kind = inner.get("type") or inner.get("status") or ""
            return Words(message, str(code or ""), str(kind), number if 400 <= number < 600 else 0)
        return Words(str(inner))
    return Words(found if isinstance(found, str) else "")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the answer asks us to wait: milliseconds, seconds or an HTTP date."""
    exact = headers.get("retry-after-ms", "")
    if _NUMBER.fullmatch(exact):
        return float(exact) / 1000
    told = headers.get("retry-after", "").strip()
    if not told:
        return None
    if _NUMBER.fullmatch(told):
        return float(told)
    try:
        return max(0.0, parsedate_to_datetime(told).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def _quote(message: str, source: Source) -> str:
    clean = redact(" ".join(message.split()), (source.secret,)).rstrip(".")
    if not clean:
        return ""
    return f": “{clean if len(clean) <= QUOTE else clean[: QUOTE - 2] + ' …'}”"


_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,6})?")
_TOO_LONG = re.compile(
    r"context_length_exceeded|exceed_context_size|context[ _](?:length|window|size)|maximum (?:context|prompt) length"
    r"|prompt is too long|input is too long|too many (?:input )?tokens|input token count.{0,40}exceeds"
    r"|request too large for model|exceed context limit|string_above_max_length|exceeds? the (?:available|maximum) context"
    r"|reduce the length of (?:the|your) (?:messages|prompt)"
)
_NO_CREDIT = re.compile(
    r"insufficient[_ ](?:quota|balance|funds|credit)|exceeded your current quota|billing_(?:hard_limit|not_active|error)"
    r"|credit balance is too low|requires more credits|out of credits|spending limit"
)
_BAD_KEY = re.compile(
    r"invalid[_ ]api[_ ]key|incorrect api key|api key not valid|api_key_invalid|authentication[_ ](?:error|fails)"
    r"|invalid authentication|unauthorized|no auth credentials"
)
_UNKNOWN = re.compile(
    r"model_not_found|model[ _]not[ _]found|unknown[ _]model|invalid[ _]model|no such model|not a valid model"
    r"|model .{0,80}(?:does not exist|is not found|has been (?:deprecated|decommissioned))|model_decommissioned"
)
_BUSY = re.compile(r"rate[_ ]limit|overloaded|resource_exhausted|too many requests|at capacity|loading model")
