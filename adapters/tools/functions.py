"""The functions that the calculator knows by name, each on fractions and decimals alike; exact where the value is rational."""

import decimal
import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from adapters.tools.reals import (
    DIGITS,
    Number,
    Real,
    add,
    angle,
    approximate,
    checked,
    divide,
    floor,
    multiply,
    negative,
    pi,
    power,
    root,
    shown,
    sign,
    too_large,
    whole,
)
from core.errors import ToolError


class Function(NamedTuple):
    """Something with a name and brackets. `most` 0: as many numbers as are given."""

    run: Callable[..., Number]
    least: int = 1
    most: int = 1
    slow: bool = False
    """Takes a series of terms rather than a step."""


def factorial(number: Number) -> Number:
    """The factorial of a whole number from 0 on."""
    n = whole(number, "A factorial")
    if n < 0:
        raise ToolError("A factorial needs a whole number from 0 on: check its sign.")
    if n > DIGITS or math.lgamma(n + 1) > DIGITS * math.log(10):
        raise too_large()
    return checked(Fraction(math.factorial(n)))


def quotient(a: Number, b: Number) -> Number:
    """How often `b` goes into `a`, rounded down."""
    if isinstance(a, Fraction) and isinstance(b, Fraction) and b:
        return checked(Fraction(a // b))
    return floor(divide(a, b))


def remainder(a: Number, b: Number) -> Number:
    """What is left of `a` after whole times `b`; it has the sign of `b`."""
    if isinstance(a, Fraction) and isinstance(b, Fraction) and b:
        return checked(a % b)
    return add(a, negative(multiply(b, quotient(a, b))))


def _absolute(a: Number) -> Number:
    return negative(a) if sign(a) < 0 else a


def _ceil(a: Number) -> Number:
    return negative(floor(negative(a)))


def _round(a: Number, places: Number = Fraction(0)) -> Number:
    """Half away from zero, as people do it on paper."""
    digits = whole(places, "The number of places")
    if abs(digits) > 100:
        raise ToolError("At most 100 places: write round(x, 2).")
    scale = Fraction(10) ** digits
    found = divide(floor(add(multiply(_absolute(a), scale), Fraction(1, 2))), scale)
    return negative(found) if sign(a) < 0 else found


def _root(a: Number, degree: Number = Fraction(2)) -> Number:
    return root(a, whole(degree, "The degree of a root"))


def _ln(a: Number) -> Number:
    return Fraction(0) if a == 1 else checked(Real(_positive(a).ln()))


def _log(a: Number, base: Number | None = None) -> Number:
    if base is None:
        raise ToolError("log needs its base: write log10(x), ln(x), log2(x) or log(x, base).")
    value = _positive(a).ln()
    if not (below := _positive(base).ln()):
        raise ToolError("A logarithm to the base 1 has no value: check the base.")
    found = value / below
    near = int(found.to_integral_value())
    if (
        isinstance(a, Fraction)
        and isinstance(base, Fraction)
        and abs(near) <= DIGITS * 4
        and power(base, Fraction(near)) == a
    ):
        return Fraction(near)
    return checked(Real(found))


def _positive(a: Number) -> Decimal:
    value = approximate(a)
    if value <= 0:
        raise ToolError(f"The logarithm of {shown(a)} has no real value: it needs a number above 0.")
    return value


def _exp(a: Number) -> Number:
    return Fraction(1) if a == 0 else checked(Real(approximate(a).exp()))


def _sin(a: Number) -> Number:
    turns = Fraction(0) if a == 0 else a.turns if isinstance(a, Real) else None
    if turns is not None:
        part = turns % 2
        exact = _SINES.get(part if part <= 1 else part - 1)
        if exact is not None:
            return exact if part <= 1 else -exact
        a = angle(part)
    return checked(Real(_sine(approximate(a))))


def _cos(a: Number) -> Number:
    if a == 0:
        return Fraction(1)
    if isinstance(a, Real) and a.turns is not None:
        return _sin(angle(a.turns + Fraction(1, 2)))
    return checked(Real(_sine(approximate(a), cosine=True)))


def _tan(a: Number) -> Number:
    below = _cos(a)
    if below == 0:
        raise ToolError("The tangent of a right angle has no value: check the angle.")
    if isinstance(a, Real) and a.turns is not None and (a.turns * 4).denominator == 1 and (a.turns * 4) % 2:
        return Fraction(1) if (a.turns % 1) == Fraction(1, 4) else Fraction(-1)
    return divide(_sin(a), below)


def _asin(a: Number) -> Number:
    value = approximate(a)
    if abs(value) > 1:
        raise ToolError(f"asin and acos need a number from -1 to 1, not {shown(a)}.")
    for turns, sine in _SINES.items():
        if turns <= Fraction(1, 2) and isinstance(a, Fraction) and abs(a) == sine:
            return angle(turns if a >= 0 else -turns)
    with decimal.localcontext() as wider:
        wider.prec += 20
        found = _arctangent(value / (1 - value * value).sqrt())
    return Real(+found)


def _acos(a: Number) -> Number:
    return add(angle(Fraction(1, 2)), negative(_asin(a)))


def _atan(a: Number) -> Number:
    if isinstance(a, Fraction) and abs(a) in {0, 1}:
        return angle(a / 4)
    return Real(_arctangent(approximate(a)))


def _degrees(a: Number) -> Number:
    if isinstance(a, Real) and a.turns is not None:
        return a.turns * 180
    return divide(multiply(a, Fraction(180)), angle(Fraction(1)))


def degrees_of(a: Number) -> Number:
    """An angle of so many degrees."""
    return multiply(a, angle(Fraction(1, 180)))


def _deg(a: Number) -> Number:
    """`deg(30)` is an angle of 30 degrees, `deg(asin(0.5))` that angle in degrees: both are written so."""
    return degrees_of(a) if isinstance(a, Fraction) else _degrees(a)


def _sine(x: Decimal, *, cosine: bool = False) -> Decimal:
    if x and x.adjusted() > 100:
        raise ToolError("The angle is too large: take it modulo 2*pi, or use degrees below 10^100.")
    with decimal.localcontext() as wider:
        wider.prec += 15 + max(0, x.adjusted() if x else 0)
        quarter = pi(wider.prec) / 2
        quarters = int((x / quarter).to_integral_value())
        rest = x - quarter * quarters
        quarters += cosine
        term = Decimal(1) if quarters % 2 else rest
        n, total, square = 0 if quarters % 2 else 1, term, rest * rest
        smallest = Decimal(10) ** -(wider.prec + max(0, -rest.adjusted() if rest else 0))
        while abs(term) > smallest:
            term = -term * square / ((n + 1) * (n + 2))
            n += 2
            total += term
        found = -total if quarters % 4 >= 2 else total
    return +found


def _arctangent(x: Decimal) -> Decimal:
    with decimal.localcontext() as wider:
        wider.prec += 20
        if abs(x) > 1:
            outer = pi(wider.prec) / 2
            found = (outer if x > 0 else -outer) - _arctangent(1 / x)
        else:
            halvings = 0
            while abs(x) > Decimal("0.05"):
                x, halvings = x / (1 + (1 + x * x).sqrt()), halvings + 1
            total = term = x
            square, n = x * x, 1
            smallest = Decimal(10) ** -(wider.prec + max(0, -x.adjusted() if x else 0))
            while abs(term) > smallest:
                term, n = -term * square, n + 2
                total += term / n
            found = total * 2**halvings
    return +found


def _sum(*numbers: Number) -> Number:
    total: Number = Fraction(0)
    for number in numbers:
        total = add(total, number)
    return total


def _product(*numbers: Number) -> Number:
    total: Number = Fraction(1)
    for number in numbers:
        total = multiply(total, number)
    return total


def _mean(*numbers: Number) -> Number:
    return divide(_sum(*numbers), Fraction(len(numbers)))


def _median(*numbers: Number) -> Number:
    ordered = sorted(numbers, key=_height)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else _mean(ordered[middle - 1], ordered[middle])


def _least(*numbers: Number) -> Number:
    return min(numbers, key=_height)


def _most(*numbers: Number) -> Number:
    return max(numbers, key=_height)


def _height(number: Number) -> Fraction:
    return number if isinstance(number, Fraction) else Fraction(number.value)


def _gcd(*numbers: Number) -> Number:
    return Fraction(math.gcd(*(whole(n, "gcd") for n in numbers)))


def _lcm(*numbers: Number) -> Number:
    found = 1
    for number in numbers:
        checked(Fraction(found := math.lcm(found, whole(number, "lcm"))))
    return Fraction(found)


def _perm(total: Number, chosen: Number) -> Number:
    n, k = whole(total, "perm"), whole(chosen, "perm")
    _countable(n, k, math.lgamma(max(n, 0) + 1) - math.lgamma(max(n - k, 0) + 1) if n <= 10**15 else math.inf)
    return checked(Fraction(math.perm(n, k)))


def _comb(total: Number, chosen: Number) -> Number:
    n, k = whole(total, "comb"), whole(chosen, "comb")
    k = min(k, n - k) if 0 <= k <= n else k
    size = math.lgamma(n + 1) - math.lgamma(n - k + 1) - math.lgamma(k + 1) if 0 <= k <= n <= 10**15 else math.inf
    _countable(n, k, size)
    return checked(Fraction(math.comb(n, k)))


def _countable(n: int, k: int, size: float) -> None:
    if n < 0 or k < 0:
        raise ToolError("comb and perm need whole numbers from 0 on: write comb(49, 6).")
    if k <= n and (size > DIGITS * math.log(10) or (k > 2 and n > 10**15) or k > DIGITS):
        raise too_large()


_SINES = {Fraction(0): Fraction(0), Fraction(1, 6): Fraction(1, 2), Fraction(1, 2): Fraction(1)} | {
    Fraction(5, 6): Fraction(1, 2),
    Fraction(1): Fraction(0),
}
"""The sines that are rational, by the angle as a multiple of pi: there are no others (Niven)."""

FUNCTIONS = {
    "sqrt": Function(lambda a: root(a, 2)),
    "cbrt": Function(lambda a: root(a, 3)),
    "root": Function(_root, 1, 2),
    "abs": Function(_absolute),
    "round": Function(_round, 1, 2),
    "floor": Function(floor),
    "ceil": Function(_ceil),
    "min": Function(_least, 1, 0),
    "max": Function(_most, 1, 0),
    "gcd": Function(_gcd, 1, 0, slow=True),
    "lcm": Function(_lcm, 1, 0, slow=True),
    "factorial": Function(factorial, slow=True),
    "ln": Function(_ln, slow=True),
    "log": Function(_log, 1, 2, slow=True),
    "log10": Function(lambda a: _log(a, Fraction(10)), slow=True),
    "log2": Function(lambda a: _log(a, Fraction(2)), slow=True),
    "exp": Function(_exp, slow=True),
    "sin": Function(_sin, slow=True),
    "cos": Function(_cos, slow=True),
    "tan": Function(_tan, slow=True),
    "asin": Function(_asin, slow=True),
    "acos": Function(_acos, slow=True),
    "atan": Function(_atan, slow=True),
    "deg": Function(_deg),
    "degrees": Function(_degrees),
    "radians": Function(degrees_of),
    "sum": Function(_sum, 1, 0),
    "product": Function(_product, 1, 0),
    "mean": Function(_mean, 1, 0),
    "median": Function(_median, 1, 0),
    "comb": Function(_comb, 2, 2, slow=True),
    "perm": Function(_perm, 2, 2, slow=True),
    "mod": Function(remainder, 2, 2),
    "pow": Function(power, 2, 2),
}
ALIASES = {"average": "mean", "avg": "mean", "choose": "comb", "ncr": "comb", "npr": "perm", "ceiling": "ceil"}
