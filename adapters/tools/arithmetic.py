"""Reads arithmetic as people and models write it, and works it out: by descent, within fixed bounds.

An expression is calculated again with more digits until the digits that are shown no longer change.
"""

import decimal
from fractions import Fraction

from adapters.tools.functions import FUNCTIONS, Function, degrees_of, factorial, quotient, remainder
from adapters.tools.reals import (
    Number,
    Percent,
    Real,
    add,
    checked,
    context,
    divide,
    multiply,
    negative,
    pi,
    power,
    root,
    shown,
)
from adapters.tools.tokens import CONSTANTS, DEEPEST, Token, tokens_of
from core.errors import ToolError

WORK = 20_000
"""Microseconds, estimated, that an expression may take: a fixed sum, so that the same expression always ends alike."""
PRECISIONS = (50, 120, 300)


def evaluate(expression: str) -> str:
    """The value as text: `0.3`, `1/3 ≈ 0.333333333333333`, `≈ 1.4142135623731`. Raises ToolError."""
    tokens = tokens_of(expression)
    work, before = Work(), ""
    value: Number = Fraction(0)
    for precision in PRECISIONS:
        with decimal.localcontext(context(precision)):
            try:
                value = _Reading(tokens, work).whole()
            except decimal.DecimalException as error:
                raise ToolError("The result is too large or too small to be written: use smaller numbers.") from error
            text = shown(value)
            inexact = bool(decimal.getcontext().flags[decimal.Inexact])
        if not inexact or text == before:
            return text
        before = text
    if isinstance(value, Real) and abs(value.value) < decimal.Decimal("1e-100"):
        return "≈ 0"
    raise ToolError("Too many digits cancel out in this expression: simplify it first.")


class Work:
    """What an expression has cost so far."""

    def __init__(self) -> None:
        self.left = float(WORK)

    def spend(self, microseconds: float) -> None:
        """Raises ToolError when the sum is used up."""
        self.left -= microseconds
        if self.left < 0:
            raise ToolError("This expression is too much work: split it, or use smaller numbers.")


class _Reading:
    """One pass over the tokens, calculating on the way."""

    def __init__(self, tokens: list[Token], work: Work) -> None:
        self._tokens = tokens
        self._place = 0
        self._depth = 0
        self._work = work

    def whole(self) -> Number:
        value = self._sum()
        if self._place < len(self._tokens):
            token = self._tokens[self._place]
            if token.kind == "number":
                raise ToolError(
                    f"An operator is missing before {token.text[:40]}: write + - * or / between two numbers."
                )
            if token.kind == ",":
                raise ToolError(
                    "A comma stands between numbers: write 1.5 for a decimal, and one expression at a time."
                )
            if token.kind == "=":
                raise ToolError("Equations are not solved here: write one expression without =.")
            raise ToolError(f"“{token.text[:40]}” stands where nothing fits it: check the brackets and operators.")
        return _value(value)

    def _next(self) -> str:
        return self._tokens[self._place].kind if self._place < len(self._tokens) else ""

    def _take(self, *kinds: str) -> str:
        kind = self._next()
        if kind and kind in kinds:
            self._place += 1
            return kind
        return ""

    def _done(self, value: Number, *used: Number) -> Number:
        """A step's value, its cost paid."""
        cost = 5.0
        for number in (value, *used):
            if isinstance(number, Real):
                cost += decimal.getcontext().prec / 40
            elif number.denominator != 1:
                bits = max(number.numerator.bit_length(), number.denominator.bit_length())
                cost += 6 + bits * bits / 20_000
            else:
                cost += number.numerator.bit_length() / 100
        self._work.spend(cost)
        return value

    def _sum(self) -> Number | Percent:
        left = self._product()
        while sign := self._take("+", "-"):
            right = self._product()
            if isinstance(right, Percent) and not isinstance(left, Percent):
                right = self._done(multiply(left, right.value), left)
            both = isinstance(left, Percent) and isinstance(right, Percent)
            a, b = _value(left), _value(right)
            total = self._done(add(a, b if sign == "+" else negative(b)), a, b)
            left = Percent(total) if both else total
        return left

    def _product(self) -> Number | Percent:
        left = self._signed()
        divided = False
        while True:
            sign = self._take("*", "/", "//", "mod", "of")
            if not sign:
                if self._next() not in {"(", "name", "√"}:
                    return left
                if divided:
                    raise ToolError("After a division write what is meant: 1/(2*pi), or (1/2)*pi.")
                sign = "*"
            divided = sign == "/"
            a, b = _value(left), _value(self._signed())
            left = self._done(_OPERATIONS[sign](a, b), a, b)

    def _signed(self) -> Number | Percent:
        minus = False
        while sign := self._take("+", "-"):
            minus ^= sign == "-"
        value = self._power()
        if minus:
            return Percent(negative(value.value)) if isinstance(value, Percent) else negative(value)
        return value

    def _power(self) -> Number | Percent:
        base = self._atom()
        if not self._take("^"):
            return base
        self._deeper()
        exponent = _value(self._signed())
        self._depth -= 1
        return self._raised(_value(base), exponent)

    def _raised(self, base: Number, exponent: Number) -> Number:
        self._work.spend(20)
        if isinstance(base, Real) or isinstance(exponent, Real) or exponent.denominator != 1:
            self._work.spend(decimal.getcontext().prec * 3)
        return self._done(power(base, exponent), base, exponent)

    def _atom(self) -> Number | Percent:
        """A value with what is written right behind it: 5!, 10%, 30°, 3²."""
        value: Number | Percent = self._bare()
        while True:
            if self._take("!"):
                if self._next() == "!":
                    raise ToolError("Double factorials are not known: write (n!)! for one after the other.")
                self._work.spend(300)
                value = self._done(factorial(_value(value)))
            elif self._next() == "raised":
                exponent = self._tokens[self._place].number
                assert exponent is not None
                self._place += 1
                value = self._raised(_value(value), exponent)
            elif self._take("°") or self._is_name("deg", "degrees"):
                value = self._done(degrees_of(_value(value)))
            elif self._take("percent", "%"):
                value = Percent(self._done(divide(_value(value), Fraction(100))))
                if self._take("of"):
                    a, b = value.value, _value(self._signed())
                    value = self._done(multiply(a, b), a, b)
            else:
                return value

    def _is_name(self, *names: str) -> bool:
        """Takes `deg` behind a value; `deg(` is the function."""
        if self._next() != "name" or self._tokens[self._place].text not in names:
            return False
        following = self._tokens[self._place + 1].kind if self._place + 1 < len(self._tokens) else ""
        if following == "(":
            return False
        self._place += 1
        return True

    def _bare(self) -> Number:
        if self._place >= len(self._tokens):
            raise ToolError("The expression ends too early: a number is missing at its end.")
        token = self._tokens[self._place]
        self._place += 1
        if token.kind == "number":
            assert token.number is not None
            return self._done(checked(token.number))
        if token.kind == "√":
            self._deeper()
            under = _value(self._atom())
            self._depth -= 1
            self._work.spend(20)
            return self._done(root(under, 2), under)
        if token.kind == "(":
            self._deeper()
            value = _value(self._sum())
            self._close(")")
            return value
        if token.kind == "name":
            if token.text in CONSTANTS:
                return self._done(_constant(token.text))
            return self._called(token.text, FUNCTIONS[token.text])
        if token.kind == "[":
            raise ToolError("A list stands alone: write sum([1, 2, 3]) or mean([1, 2, 3]).")
        raise ToolError(f"A number is missing before “{token.text[:40]}”: check the operators.")

    def _called(self, name: str, function: Function) -> Number:
        if not self._take("("):
            raise ToolError(f"{name} needs brackets: write {name}(…).")
        self._deeper()
        values: list[Number] = []
        while self._next() not in {")", ""}:
            if self._take("["):
                while self._next() not in {"]", ""}:
                    values.append(_value(self._sum()))
                    if not self._take(",", ";"):
                        break
                self._close("]", closes=False)
            else:
                values.append(_value(self._sum()))
            if not self._take(",", ";"):
                break
        self._close(")")
        if len(values) < function.least or (function.most and len(values) > function.most):
            wanted = str(function.least) if function.least == function.most else f"{function.least} or {function.most}"
            takes = wanted if function.most else "at least 1"
            raise ToolError(
                f"{name} takes {takes} value{'' if takes.endswith('1') else 's'}, not {len(values)}: part them by commas, and "
                "write numbers without thousands separators."
            )
        if function.slow:
            self._work.spend(60 + len(values) * 5 + decimal.getcontext().prec * 5)
        if function.run in _ROOTS:
            self._work.spend(decimal.getcontext().prec)
        return self._done(function.run(*values), *values)

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise ToolError(f"The expression is nested too deeply: at most {DEEPEST} levels. Split it.")

    def _close(self, bracket: str, *, closes: bool = True) -> None:
        if not self._take(bracket):
            found = self._tokens[self._place].text[:40] if self._place < len(self._tokens) else ""
            raise ToolError(
                f"“{bracket}” is missing before “{found}”: check the brackets and operators."
                if found
                else f"“{bracket}” is missing at the end: close the brackets."
            )
        self._depth -= closes


def _value(value: Number | Percent) -> Number:
    return value.value if isinstance(value, Percent) else value


def _constant(name: str) -> Number:
    precision = decimal.getcontext().prec
    if name == "e":
        return Real(decimal.Decimal(1).exp())
    turns = Fraction(2) if name in {"tau", "τ"} else Fraction(1)
    return Real(pi(precision) * int(turns), turns)


_OPERATIONS = {
    "*": multiply,
    "of": multiply,
    "/": divide,
    "//": quotient,
    "mod": remainder,
}
_ROOTS = {FUNCTIONS[name].run for name in ("sqrt", "cbrt", "root", "pow")}
