"""Slack's older way of writing, for sections: bold in single stars, links in angle brackets, no way to escape a mark."""

import re

from adapters.chat.slack.wording import escaped, opens, shown_link
from core.layout import Ink

JOINER = "\u2060"
"""Invisible; between a sign and a word, the sign is no mark."""
SIGN = re.compile(r"[*_~]")


def _tamed(text: str) -> str:
    """Words in mrkdwn, which has no way to escape its marks; a pair of backticks becomes a pair of graves."""
    text = text.replace("`", "ˋ") if text.count("`") > 1 else text
    return SIGN.sub(lambda found: JOINER + found[0] + JOINER, escaped(text))


def _styled(mark: str, inner: str) -> str:
    bare = inner.strip()
    return (
        f"{JOINER}{mark}{inner}{mark}{JOINER}"
        if bare and bare == inner and "\n" not in inner and mark not in inner
        else inner
    )


def _mrkdwn_link(label: str, read: str, href: str) -> str:
    if not opens(href):
        return shown_link(label, read, escaped(href))
    address = escaped(href).replace("|", "%7C")
    if read == href:
        return f"<{address}>"
    label = re.sub(r"<[^|>]*\|([^>]*)>", r"\1", label).replace("|", "¦").replace("\n", " ")
    return f"<{address}|{label}>"


MRKDWN = Ink(
    text=_tamed,
    code=lambda text: f"`{escaped(text)}`" if text.strip() and "`" not in text else _tamed(text),
    strong=lambda inner: _styled("*", inner),
    emphasis=lambda inner: _styled("_", inner),
    strike=lambda inner: _styled("~", inner),
    link=_mrkdwn_link,
    heading=lambda inner, _level: _styled("*", inner),
    fence=lambda text, _language: f"```\n{escaped(text).replace('``', f'`{JOINER}`')}\n```",
    # quotes do not nest, and what people wrote has no bare bracket
    quote=lambda inner, _depth: re.sub(r"^(?:> )?", "> ", inner, flags=re.MULTILINE) if "```" not in inner else inner,
)
