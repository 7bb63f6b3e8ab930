"""Numbers of the calculator: fractions where the value is rational, decimals of the precision at work where it is not.

Every size is bounded before the work is done, so that no expression can hold up the process.
"""

import decimal
import math
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from core.errors import ToolError

DIGITS = 4_000
"""Most digits of a whole number; also how far from 1 an approximate value may lie, as a power of ten."""
FRACTION_DIGITS = 600
"""Most digits above and below a fraction's bar; a longer one goes on as a decimal."""
SHOWN = 15
"""Significant digits of an approximate result."""
EXACT = 40
"""Digits up to which a fraction, or a decimal that ends, is shown in full."""

_BITS = int(DIGITS * math.log2(10))
_FRACTION_BITS = int(FRACTION_DIGITS * math.log2(10))


class Real(NamedTuple):
    """A value that is not known to be rational."""

    value: Decimal
    turns: Fraction | None = None
    """Its exact multiple of pi, where it is one."""


Number = Fraction | Real


class Percent(NamedTuple):
    """A percentage as it was written: `10%` is 0.1, but adds a tenth of what stands before it."""

    value: Number


def context(precision: int) -> decimal.Context:
    """The arithmetic of Real for a number of significant digits."""
    traps = [decimal.Overflow, decimal.InvalidOperation, decimal.DivisionByZero]
    return decimal.Context(precision, Emax=DIGITS * 4, Emin=-DIGITS * 4, traps=traps)


def checked(number: Number) -> Number:
    """The number; as a decimal when it is too long a fraction. Raises ToolError when it is too large."""
    if isinstance(number, Real):
        if number.value and abs(number.value.adjusted()) > DIGITS:
            raise too_large()
        return number
    size = max(number.numerator.bit_length(), number.denominator.bit_length())
    if number.denominator == 1:
        if size > _BITS:
            raise too_large()
    elif size > _FRACTION_BITS:
        return checked(Real(approximate(number)))
    return number


def too_large() -> ToolError:
    """The refusal of what would take too long to write."""
    return ToolError(
        f"The result is too large or too small: at most {DIGITS:,} digits. Use logarithms, or other numbers."
    )


def approximate(number: Number) -> Decimal:
    """The value in the precision at work."""
    return number.value if isinstance(number, Real) else Decimal(number.numerator) / Decimal(number.denominator)


def sign(number: Number) -> int:
    """Below 0, 0 or above 0."""
    if isinstance(number, Fraction):
        return number.numerator
    return int(number.value > 0) - int(number.value < 0)


def add(a: Number, b: Number) -> Number:
    """The sum."""
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        return checked(a + b)
    if isinstance(a, Real) and isinstance(b, Real) and a.turns is not None and b.turns is not None:
        return angle(a.turns + b.turns)
    return checked(Real(approximate(a) + approximate(b)))


def negative(a: Number) -> Number:
    """The number with the other sign."""
    return -a if isinstance(a, Fraction) else Real(-a.value, None if a.turns is None else -a.turns)


def multiply(a: Number, b: Number) -> Number:
    """The product."""
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        return checked(a * b)
    if isinstance(a, Fraction):
        a, b = b, a
    assert isinstance(a, Real)
    if b == 0:
        return Fraction(0)
    if a.turns is not None and isinstance(b, Fraction):
        return angle(a.turns * b)
    return checked(Real(approximate(a) * approximate(b)))


def divide(a: Number, b: Number) -> Number:
    """The quotient. Raises ToolError for a division by zero."""
    if not sign(b):
        raise ToolError("Division by zero has no value: check the number that you divide by.")
    if isinstance(b, Fraction):
        return multiply(a, 1 / b)
    if isinstance(a, Real) and a.turns is not None and b.turns is not None:
        return checked(a.turns / b.turns)
    return checked(Real(approximate(a) / approximate(b)))


def floor(a: Number) -> Number:
    """The largest whole number that is not above."""
    if isinstance(a, Fraction):
        return Fraction(math.floor(a))
    near = a.value.to_integral_value(decimal.ROUND_HALF_EVEN)
    if abs(a.value - near) < tolerance():
        return Fraction(near)
    return Fraction(a.value.to_integral_value(decimal.ROUND_FLOOR))


def tolerance() -> Decimal:
    """Two decimals that lie closer together than this are taken for the same where a step stands between them."""
    return Decimal(10) ** -(decimal.getcontext().prec // 2)


def whole(a: Number, what: str) -> int:
    """The number as an integer. Raises ToolError where it is none."""
    if isinstance(a, Fraction) and a.denominator == 1:
        return a.numerator
    raise ToolError(f"{what} needs whole numbers, not {shown(a)}: round it first with round(x).")


def power(a: Number, b: Number) -> Number:
    """`a` to the power of `b`, the real one. Raises ToolError where there is none and where it is too large."""
    if isinstance(b, Fraction) and b.denominator == 1:
        return _whole_power(a, b.numerator)
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        exact = root_exactly(a, b.denominator)
        if exact is not None:
            return _whole_power(exact, b.numerator)
    base, negated = approximate(a), False
    if base < 0:
        if not isinstance(b, Fraction) or b.denominator % 2 == 0:
            raise ToolError(f"{shown(a)} to the power of {shown(b)} is not a real number: only real results are given.")
        negated = b.numerator % 2 == 1
    if not base:
        if approximate(b) < 0:
            raise ToolError("Zero to a negative power has no value: check the base.")
        return Fraction(0)
    found = abs(base) ** approximate(b)
    return checked(Real(-found if negated else found))


def _whole_power(a: Number, exponent: int) -> Number:
    if isinstance(a, Real):
        return checked(Real(a.value**exponent)) if exponent != 1 else a
    if a == 0 and exponent < 0:
        raise ToolError("Zero to a negative power has no value: check the base.")
    if abs(a) in {0, 1}:
        return a if exponent % 2 else abs(a) if exponent else Fraction(1)
    size = max(a.numerator.bit_length(), a.denominator.bit_length()) - 1
    if size * abs(exponent) <= (_BITS if a.denominator == 1 and exponent > 0 else _FRACTION_BITS):
        return checked(a**exponent)
    if a.denominator == 1 and exponent > 0:
        raise too_large()
    return checked(Real(approximate(a) ** exponent))


def root(a: Number, degree: int) -> Number:
    """The real root. Raises ToolError for an even root of a negative number."""
    if degree < 1:
        raise ToolError("The degree of a root is a whole number from 1 on: write root(27, 3).")
    if sign(a) < 0 and degree % 2 == 0:
        raise ToolError(f"An even root of {shown(a)} is not a real number: only real results are given.")
    return power(a, Fraction(1, degree))


def root_exactly(a: Fraction, degree: int) -> Fraction | None:
    """The rational root, None where it is irrational or not real."""
    if a < 0 and degree % 2 == 0:
        return None
    above, below = _integer_root(abs(a.numerator), degree), _integer_root(a.denominator, degree)
    if above is None or below is None:
        return None
    return Fraction(-above if a < 0 else above, below)


def _integer_root(n: int, degree: int) -> int | None:
    if n < 2:
        return n
    if n.bit_length() <= degree:
        return None  # between 1 and 2
    if degree == 2:
        found = math.isqrt(n)
    else:
        found = 1 << -(-n.bit_length() // degree)
        while (closer := ((degree - 1) * found + n // found ** (degree - 1)) // degree) < found:
            found = closer
    return found if found**degree == n else None


def angle(turns: Fraction) -> Number:
    """A multiple of pi."""
    exact = checked(turns)
    if exact == 0:
        return Fraction(0)
    value = approximate(exact) * pi(decimal.getcontext().prec)
    return checked(Real(value, exact if isinstance(exact, Fraction) else None))


@lru_cache(maxsize=64)
def pi(precision: int) -> Decimal:
    """Pi to a number of significant digits, by Machin's formula."""
    scale: int = 10 ** (precision + 10)

    def inverse_tangent(x: int) -> int:
        total = term = scale // x
        square, n = x * x, 1
        while term:
            term //= -square
            n += 2
            total += term // n
        return total

    with decimal.localcontext(context(precision)):
        return Decimal(4 * (4 * inverse_tangent(5) - inverse_tangent(239))) / Decimal(scale)


def shown(number: Number) -> str:
    """As people read it: `0.3`, `1/3 ≈ 0.333333333333333`, `≈ 1.4142135623731`."""
    if isinstance(number, Real):
        return f"≈ {_rounded(number.value)}"
    if number.denominator == 1:
        return str(number.numerator)
    ending = _ending(number)
    if ending:
        return ending
    with decimal.localcontext(context(SHOWN * 2)):
        near = _rounded(approximate(number))
    whole_text = f"{number.numerator}/{number.denominator}"
    return f"{whole_text} ≈ {near}" if len(whole_text) <= EXACT else f"≈ {near}"


def _ending(number: Fraction) -> str:
    """The decimal expansion where it ends and is short, else nothing."""
    rest, twos, fives = number.denominator, 0, 0
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    places = max(twos, fives)
    if rest != 1 or places > EXACT:
        return ""
    digits = str(abs(number.numerator) * 10**places // number.denominator).rjust(places + 1, "0")
    text = f"{'-' if number < 0 else ''}{digits[:-places]}.{digits[-places:]}"
    return text if len(text) <= EXACT + 3 else ""


def _rounded(value: Decimal) -> str:
    short = decimal.Context(SHOWN, rounding=decimal.ROUND_HALF_EVEN, Emax=DIGITS * 4, Emin=-DIGITS * 4).plus(value)
    if not short:
        return "0"
    if -7 < short.adjusted() <= SHOWN + 5:
        text = format(short, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    exponent = short.adjusted()
    mantissa = format(short.scaleb(-exponent), "f")
    return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa} × 10^{exponent}"
