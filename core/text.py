"""Text as people read it: Markdown in, a small tree, its plain reading, pieces within a limit, and previews of half a text."""

from core.growing import balanced
from core.layout import Ink, columns, layout, plain
from core.markdown import Document, parse, write
from core.maths import unicode_math
from core.split import cut, split

__all__ = [
    "Document",
    "Ink",
    "balanced",
    "columns",
    "cut",
    "layout",
    "parse",
    "plain",
    "split",
    "unicode_math",
    "write",
]
