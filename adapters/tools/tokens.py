"""Arithmetic as people and models write it, in pieces: thousands separators, percentages, words, signs of every script."""

import re
import unicodedata
from fractions import Fraction
from typing import NamedTuple

from adapters.tools.functions import ALIASES, FUNCTIONS
from adapters.tools.reals import checked
from core.errors import ToolError

LONGEST = 2_000
"""Characters of an expression."""
DEEPEST = 30
"""Brackets within brackets."""
CONSTANTS = {"pi", "π", "e", "tau", "τ"}


class Token(NamedTuple):
    """A piece of an expression; `kind` is number, name, or the operator itself."""

    kind: str
    text: str
    number: Fraction | None = None


def tokens_of(expression: str) -> list[Token]:
    """The pieces of an expression. Raises ToolError for what is none."""
    if len(expression) > LONGEST:
        raise ToolError(f"The expression is too long: at most {LONGEST:,} characters. Split it.")
    text = _ENDING.sub("", "".join(_plain(char) for char in expression).translate(_SIGNS)).strip()
    if not text:
        raise ToolError("The expression is empty: write one such as 37 * 91.")
    tokens: list[Token] = []
    brackets: list[bool] = []  # for each open one, whether commas part its values
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise ToolError(f"“{text[place]}” cannot be calculated: write numbers, + - * / ^ % ! ( ) and functions.")
        kind = match.lastgroup or ""
        if kind == "grouped" and brackets and brackets[-1]:
            match, kind = _in_list(text, place, match)
        if kind == "word" and _TIMES.match(text, place) and _is_operand(tokens):
            match, kind = _TIMES.match(text, place), "sign"
            assert match is not None
        piece = match[0]
        place = match.end()
        match kind:
            case "space":
                continue
            case "grouped" | "spaced" | "decimal":
                tokens.append(_number(piece))
            case "based":
                tokens.append(Token("number", piece, _literal(int(piece.replace("_", ""), 0))))
            case "word":
                tokens.append(_word(piece, _is_operand(tokens)))
            case "raised":
                digits = "".join(str(_RAISED.index(c)) if c != "⁻" else "-" for c in piece)
                if digits.rfind("-") > 0 or digits == "-":
                    raise ToolError(f"“{piece}” is no exponent: write x^2.")
                tokens.append(Token("raised", piece, Fraction(int(digits))))
            case _:
                if piece == "%" and _parts(text, match.start(), place):
                    piece = "mod"
                tokens.append(Token({"**": "^", "x": "*", "X": "*"}.get(piece, piece), piece))
        if tokens[-1].kind in {"(", "["}:
            called = len(tokens) > 1 and tokens[-2].kind == "name" and tokens[-2].text in FUNCTIONS
            brackets.append(tokens[-1].kind == "[" or called)
            if len(brackets) > DEEPEST:
                raise ToolError(f"The brackets are nested too deeply: at most {DEEPEST}. Split the expression.")
        elif tokens[-1].kind in {")", "]"} and brackets:
            brackets.pop()
    return tokens


def _literal(value: int) -> Fraction:
    """A number as it was written."""
    found = checked(Fraction(value))
    assert isinstance(found, Fraction)
    return found


def _plain(char: str) -> str:
    return str(unicodedata.decimal(char)) if not char.isascii() and char.isdecimal() else char


def _number(piece: str) -> Token:
    bare = _SEPARATORS.sub("", piece)
    mantissa, _, exponent = bare.lower().partition("e")
    if len(exponent) > 5 or abs(int(exponent or 0)) > 4_000:
        raise ToolError(f"{piece} is too large or too small: exponents go up to 4000.")
    value = Fraction(mantissa + "0" if mantissa.endswith(".") else mantissa) * Fraction(10) ** int(exponent or 0)
    return Token("number", piece, value)


def _word(piece: str, between: bool) -> Token:
    name = " ".join(piece.lower().split())
    if name == "mod" and not between:
        return Token("name", name)  # mod(7, 3)
    if name in {"squared", "cubed"}:
        return Token("raised", piece, Fraction(2 if name == "squared" else 3))
    if name in _WORDS:
        return Token(_WORDS[name], piece)
    name = ALIASES.get(name, name)
    if name in FUNCTIONS or name in CONSTANTS or name in {"deg", "degrees"}:
        return Token("name", name)
    raise ToolError(
        f"“{piece[:40]}” is not known: write numbers and leave units out. Functions: {', '.join(FUNCTIONS)}."
    )


def _in_list(text: str, place: int, match: re.Match[str]) -> tuple[re.Match[str], str]:
    """A number with commas among others that commas part: each is its own, unless the writing says both."""
    end = min((e for e in (text.find(")", place), text.find("]", place)) if e >= 0), default=len(text))
    begin = max(text.rfind("(", 0, place), text.rfind("[", 0, place))
    if re.search(r",\s", text[begin:end]):
        raise ToolError(
            f"It is unclear whether “{match[0]}” is one number here: write it without thousands separators."
        )
    single = _DECIMAL.match(text, place)
    assert single is not None
    return single, "decimal"


def _parts(text: str, start: int, end: int) -> bool:
    """Whether this % stands between two numbers as a remainder, rather than after one as a percentage."""
    rest = text[end:].lstrip()
    if re.match(r"of\b", rest, re.IGNORECASE):
        return False
    if re.match(r"[\w(.√]", rest) and not _WORD_OPERATOR.match(rest):
        return True
    return text[start - 1 : start] == " " and bool(re.match(r" -[\d.(]", text[end:]))


def _is_operand(tokens: list[Token]) -> bool:
    return bool(tokens) and tokens[-1].kind in {"number", ")", "!", "percent", "raised"}


_RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_WORDS = {
    "plus": "+",
    "minus": "-",
    "times": "*",
    "multiplied by": "*",
    "divided by": "/",
    "over": "/",
    "to the power of": "^",
    "mod": "mod",
    "modulo": "mod",
    "of": "of",
    "percent": "percent",
    "per cent": "percent",
}
_SIGNS = {ord(a): b for a, b in zip("×·⋅∗✕÷∕⁄−–—﹢+", "*****///---++", strict=True)} | {ord(c): "" for c in "$€£¥₹"}
_ENDING = re.compile(r"\s*=\s*\??\s*\Z")
_SEPARATORS = re.compile(r"[,_\s'’]")
_DECIMAL = re.compile(r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_GROUPED = r"[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])(?:\.[0-9]+)?"
_SPACED = r"[0-9]{1,3}(?:[ \u00a0\u2009\u202f'’][0-9]{3})+(?![0-9])(?:\.[0-9]+)?|[0-9]+(?:_[0-9]+)+(?:\.[0-9]+)?"
_BASED = r"0[xX][0-9a-fA-F_]*[0-9a-fA-F]|0[bB][01_]*[01](?![0-9])|0[oO][0-7_]*[0-7](?![0-9])"
_PHRASES = r"multiplied\s+by|divided\s+by|to\s+the\s+power\s+of|per\s+cent"
_TOKEN = re.compile(
    rf"(?P<space>\s+)|(?P<based>{_BASED})|(?P<grouped>{_GROUPED})|(?P<spaced>{_SPACED})|(?P<decimal>{_DECIMAL.pattern})"
    rf"|(?P<word>(?i:{_PHRASES})(?![A-Za-z])|[A-Za-z][A-Za-z0-9]*|[πτ])|(?P<raised>[⁻{_RAISED}]+)"
    r"|(?P<sign>\*\*|//|[-+*/^%!(),;=°√\[\]])"
)
_TIMES = re.compile(r"[xX](?=\s*[0-9.(])")
_WORD_OPERATOR = re.compile(r"(?:plus|minus|times|multiplied|divided|over|to the|off?)\b", re.IGNORECASE)
