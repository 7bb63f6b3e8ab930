"""Colours for code: keywords, texts, numbers and comments, for the languages that people mostly paste.

One regular expression per family of languages; what it does not know stays plain.
"""

import re
from functools import lru_cache
from html import escape

LENGTH = 40_000
"""Characters beyond which code stays plain."""

_WORDS = {
    "python": "and as assert async await break class continue def del elif else except finally for from global if import in is "
    "lambda match case nonlocal not or pass raise return try while with yield True False None self",
    "c": "abstract and as async await auto bool boolean break byte case catch char class const constexpr continue crate debugger "
    "default defer delete do double dyn else enum export extends extern false final finally float fn for from func function go "
    "goto if impl implements import in include inline instanceof int interface internal let long loop map match mod module move "
    "mut namespace new nil null nullptr object of operator override package private protected pub public range ref return "
    "sealed select self short signed sizeof static string struct super switch template this throw throws trait true try type "
    "typedef typeof typename undefined union unsafe unsigned use using val var virtual void volatile when where while yield",
    "shell": "if then else elif fi for in do done while until case esac function return export local readonly set unset "
    "source alias sudo cd echo exit trap",
    "sql": "add all alter and as asc begin between by case check column commit constraint create cross database default delete desc "
    "distinct drop else end exists foreign from full group having if in index inner insert into is join key left like limit not "
    "null offset on or order outer over partition primary references right rollback select set table then transaction union "
    "unique update using values view when where with",
    "data": "true false null yes no on off",
}
_FAMILIES = {
    "python": "python py python3 pycon ipython",
    "c": "c h cpp c++ cc cs csharp java js javascript jsx mjs ts typescript tsx go golang rust rs kotlin kt swift scala php dart zig "
    "json5 proto css scss less",
    "shell": "sh bash zsh shell console fish dockerfile makefile make",
    "sql": "sql postgresql mysql sqlite",
    "data": "json jsonc yaml yml toml ini env conf ruby rb r perl julia elixir",
}
_FAMILY = {name: family for family, names in _FAMILIES.items() for name in names.split()}

_TEXT = r'"(?:\\.|[^"\\\n])*"|' + r"'(?:\\.|[^'\\\n])*'"
_MARKS = {
    "python": (r"#[^\n]*", r'"""[\s\S]*?(?:"""|\Z)|' + r"'''[\s\S]*?(?:'''|\Z)|" + _TEXT),
    "c": (r"//[^\n]*|/\*[\s\S]*?(?:\*/|\Z)", _TEXT + r"|`(?:\\.|[^`\\])*`"),
    "shell": (r"(?<![^\s;])#[^\n]*", _TEXT),
    "sql": (r"--[^\n]*|/\*[\s\S]*?(?:\*/|\Z)", _TEXT),
    "data": (r"(?<![^\s;])#[^\n]*", _TEXT),
}


def coloured(code: str, language: str) -> str:
    """The code as HTML: escaped, with spans of class k (keyword), s (text), n (number), c (comment), f (called name)."""
    family = _FAMILY.get(language.lower())
    if family is None or len(code) > LENGTH:
        return escape(code, quote=False)
    pieces: list[str] = []
    end = 0
    for found in _pattern(family).finditer(code):
        kind = found.lastgroup
        pieces.append(escape(code[end : found.start()], quote=False))
        pieces.append(f'<span class="{kind}">{escape(found[0], quote=False)}</span>')
        end = found.end()
    pieces.append(escape(code[end:], quote=False))
    return "".join(pieces)


@lru_cache(maxsize=len(_MARKS))
def _pattern(family: str) -> re.Pattern[str]:
    comment, text = _MARKS[family]
    words = "|".join(_WORDS[family].split())
    return re.compile(
        rf"(?P<c>{comment})|(?P<s>{text})|(?P<k>(?<![\w.$-])(?:{words})(?![\w-]))"
        rf"|(?P<f>(?<![\w$])[A-Za-z_]\w*(?=\())|(?P<n>(?<![\w.])\d[\w.]*)",
        re.IGNORECASE if family == "sql" else 0,
    )
