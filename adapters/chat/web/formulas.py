"""LaTeX to MathML, which browsers draw by themselves; what cannot be converted stays readable as code."""

import re
import xml.etree.ElementTree as ET
from functools import lru_cache
from html import escape, unescape

from latex2mathml import exceptions
from latex2mathml.converter import convert_to_element

LENGTH = 4_000
DEPTH = 40
"""Characters and open braces beyond which a formula is shown as code: no honest one is longer or deeper."""

_REFUSALS: tuple[type[Exception], ...] = (
    *(kind for kind in vars(exceptions).values() if isinstance(kind, type) and issubclass(kind, Exception)),
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    RecursionError,
    StopIteration,
)
_ENVIRONMENTS = re.compile(r"\\(begin|end)\{(aligned|align|alignedat|eqnarray\*?|gathered|gather\*?)\}")
_SIGNS = frozenset("±∓•⧵~⟂⟺⟹⟸¬")
"""Operators that the converter takes for names."""
_ENTITY = re.compile(r"&amp;(#x[0-9A-Fa-f]{1,6};)")


@lru_cache(maxsize=1_000)
def mathml(latex: str, display: bool) -> str:
    """The formula as a `<math>` element, escaped; as `<code>` where it cannot be converted."""
    source = latex.strip()
    if len(source) > LENGTH or _depth(source) > DEPTH:
        return _code(source)
    named = _ENVIRONMENTS.sub(lambda found: rf"\{found[1]}{{{_known(found[2])}}}", source)
    try:
        element = convert_to_element(named, display="block" if display else "inline")
    except _REFUSALS:
        return _code(source)
    if any((part.text or "").startswith("\\") for part in element.iter()):
        return _code(source)  # a macro that it does not know, written out
    for part in element.iter("mi"):
        if part.text and unescape(part.text) in _SIGNS:
            part.tag = "mo"  # else it stands without the space around it
    element.attrib.pop("xmlns", None)
    element.set("alttext", source)
    # the converter writes characters as entities inside its texts: escape all but those
    return _ENTITY.sub(r"&\1", ET.tostring(element, encoding="unicode"))


def _known(environment: str) -> str:
    return "matrix" if environment.startswith("gather") else "align*"


def _depth(source: str) -> int:
    deepest = open_now = 0
    for mark in re.findall(r"[{}]|\\left|\\right|\\begin|\\end", source):
        open_now += 1 if mark in {"{", "\\left", "\\begin"} else -1
        deepest = max(deepest, open_now)
    return deepest


def _code(source: str) -> str:
    return f'<code class="formula">{escape(source)}</code>'
