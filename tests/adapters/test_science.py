"""The calculator: exact where it can be, right in every digit that it shows, and quick to refuse the rest."""

import asyncio
import math
import time
from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.tools.arithmetic import evaluate
from adapters.tools.science import calculator, offered
from core.errors import ToolError
from core.messages import ChatRef, ToolCall
from core.tools import Caller, Toolbox

CALLER = Caller("p", ChatRef("stage", "bot", "ada"), admin=False, key="t:0")


def refused(expression):
    with pytest.raises(ToolError) as error:
        evaluate(expression)
    return error.value.sentence


def answer(expression):
    """What the model reads, value or sentence; anything else that is raised fails the test."""
    try:
        return evaluate(expression)
    except ToolError as error:
        return error.sentence


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("37 * 91", "3367"),
        ("0.1+0.2", "0.3"),
        ("1/3", "1/3 ≈ 0.333333333333333"),
        ("3/8", "0.375"),
        ("-2^2", "-4"),
        ("2^3^2", "512"),
        ("2**-2", "0.25"),
        ("5!", "120"),
        ("-7 // 2", "-4"),
        ("-7 mod 3", "2"),
        ("mod(-7, 3)", "2"),
        ("10 % 3", "1"),
        ("7 % -3", "-2"),
        ("2^100", str(2**100)),
        ("2^13000 // 3^8000", str(2**13000 // 3**8000)),
        ("floor(2^13000 / 3^8000)", str(2**13000 // 3**8000)),
        ("1000!", str(math.factorial(1000))),
        ("0x1F + 0b101 + 0o17", "51"),
        ("1.5e3", "1500"),
        ("2(3+4)", "14"),
        ("37 * 91 =", "3367"),
    ],
)
def test_plain_arithmetic_is_exact(expression, value):
    assert evaluate(expression) == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("15% of 2480", "372"),
        ("15 percent of 2480", "372"),
        ("200 + 10%", "220"),
        ("200 - 10%", "180"),
        ("100 + 10% + 10%", "121"),
        ("200 * 10%", "20"),
        ("50% + 10%", "0.6"),
        ("100 + 10% of 50", "105"),
        ("$1,200 * 1.08", "1296"),
    ],
)
def test_a_percentage_means_what_people_mean(expression, value):
    assert evaluate(expression) == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1,234.5 + 1 234 + 1_000 + 1'000", "4468.5"),
        ("6 × 7 − 2 · 3 ÷ 6", "41"),
        ("√16 + 3² + 2⁻¹", "13.5"),
        ("3 x 4", "12"),
        ("3x4", "12"),
        ("12 plus 3 times 2 minus 1", "17"),
        ("9 divided by 2", "4.5"),
        ("5 squared", "25"),
        ("2 to the power of 10", "1024"),
        ("٣ + ٤", "7"),
        ("max(1,200)", "200"),
        ("sum([1, 2], 3)", "6"),
    ],
)
def test_it_reads_what_people_write(expression, value):
    assert evaluate(expression) == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("sqrt(2)", "≈ 1.4142135623731"),  # …30950: the last zero is not shown
        ("sqrt(4/9)", "2/3 ≈ 0.666666666666667"),
        ("cbrt(-27)", "-3"),
        ("root(81, 4)", "3"),
        ("(-8)^(1/3)", "-2"),
        ("sqrt(2)^2 - 2", "≈ 0"),
        ("floor(sqrt(2)^2)", "2"),
        ("sin(30 deg)", "0.5"),
        ("sin(30°)", "0.5"),
        ("sin(deg(30))", "0.5"),
        ("cos(pi/3)", "0.5"),
        ("tan(135 deg)", "-1"),
        ("degrees(asin(0.5))", "30"),
        ("deg(atan(1))", "45"),
        ("sin(10^50)", "≈ -0.78967249342931"),
        ("log10(1000)", "3"),
        ("log2(1/8)", "-3"),
        ("ln(2)", "≈ 0.693147180559945"),
        ("e^2", "≈ 7.38905609893065"),
        ("exp(100)", "≈ 2.68811714181614 × 10^43"),
        ("10000*(1+0.035/12)^(12*30)", "≈ 28532.8716519575"),
        ("pi/pi", "1"),
        ("tau/2 - π", "0"),
    ],
)
def test_roots_angles_and_logarithms_are_exact_or_marked(expression, value):
    assert evaluate(expression) == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("round(2.5)", "3"),
        ("round(-2.5)", "-3"),
        ("round(pi, 2)", "3.14"),
        ("ceil(1.2) + floor(-1.5)", "0"),
        ("mean([1, 2, 6])", "3"),
        ("median(5, 1, 9, 2)", "3.5"),
        ("gcd(12, 18) + lcm(4, 6)", "18"),
        ("comb(49, 6)", "13983816"),
        ("perm(10, 3)", "720"),
        ("comb(3, 5)", "0"),
        ("min(3, 1/3, pi)", "1/3 ≈ 0.333333333333333"),
        ("abs(-3) * factorial(3)", "18"),
    ],
)
def test_functions_have_their_names(expression, value):
    assert evaluate(expression) == value


@pytest.mark.parametrize(
    ("expression", "remedy"),
    [
        ("", "37 * 91"),
        ("1/0", "zero"),
        ("5 mod 0", "zero"),
        ("5 5", "operator"),
        ("1,5", "1.5"),
        ("2*(3", "close"),
        ("2*3)", "brackets"),
        ("3 +", "missing"),
        ("* 3", "missing before"),
        ("x = 3", "units"),
        ("3 = 3", "without ="),
        ("5 km", "units out"),
        ("1/2pi", "1/(2*pi)"),
        ("6÷2(1+2)", "(1/2)*pi"),
        ("sum(1,200, 3)", "without thousands separators"),
        ("sqrt(1,234)", "without thousands separators"),
        ("log(100)", "log10(x)"),
        ("log(8, 1)", "base"),
        ("ln(-1)", "above 0"),
        ("sqrt(-4)", "real"),
        ("(-1)^0.5", "real"),
        ("asin(2)", "-1 to 1"),
        ("0.5!", "round"),
        ("3!!", "(n!)!"),
        ("median 3", "median("),
        ("[1, 2]", "sum("),
        ("12:30", "cannot be calculated"),
        ("tan(90 deg)", "angle"),
        ("0^-1", "base"),
    ],
)
def test_what_cannot_be_calculated_is_one_sentence_with_a_remedy(expression, remedy):
    sentence = refused(expression)
    assert remedy in sentence
    assert "\n" not in sentence
    assert len(sentence) < 500


HOSTILE = [
    "10**10**10",
    "9^9^9^9",
    "1e999999",
    "1e99999999999999999999",
    "100000!",
    "2000!",
    "3!" + ")!" * 5,
    "(((3!)!)!)!",
    "(" * 1500,
    "(" * 900 + "1" + ")" * 900,
    "[" * 1500,
    "√" * 1500 + "2",
    "-" * 1900 + "x",
    "2^" * 900 + "2",
    "!" * 1900,
    "sqrt(" * 300 + "2",
    "9" * 100_000,
    "1+" * 50_000,
    "a" * 1900,
    "1,234," * 300,
    "1 " * 900,
    "1'" * 900,
    "exp(exp(exp(10)))",
    "(1+sqrt(2))^(10^3999)",
    "comb(10^15, 3000)",
    "comb(10^400, 200)",
    "perm(10^9, 10^8)",
    "root(2, 10^3999)" + "^10^10",
    "sin(10^300)",
    "+".join(f"sin({n})" for n in range(190)),
    "+".join(f"(1/{10**90 + n})" for n in range(20)),
    "*".join(["9^4000"] * 100),
    "lcm(" + ",".join(str(10**40 + n) for n in range(45)) + ")" + "^100",
    "ln(" * 25 + "10^3999" + ")" * 25,
    "\x00\x1b[31m",
    "__import__('os').system('true')",
    "1e4000*1e4000",
    "1e-3999*1e-3999",
]


@pytest.mark.parametrize("expression", HOSTILE, ids=lambda e: e[:20].encode("unicode_escape").decode())
def test_a_hostile_expression_is_refused_at_once(expression):
    best = math.inf
    for _ in range(3):  # other processes share the machine: the quickest of three is what it costs
        begun = time.perf_counter()
        assert len(answer(expression)) < 5_000
        best = min(best, time.perf_counter() - begun)
    assert best < 0.05


@given(st.text(alphabet="0123456789.,+-*/^%!()[] episqrtxlog10deg√²°'=of_", max_size=40))
@settings(max_examples=600, deadline=None)
def test_any_text_gives_a_value_or_a_sentence(text):
    assert answer(text)


def _joined(parts):
    (left, a), sign, (right, b) = parts
    if a is None or b is None or (sign == "/" and b == 0):
        value = None
    else:
        value = {"+": lambda: a + b, "-": lambda: a - b, "*": lambda: a * b, "/": lambda: a / b}[sign]()
    return f"({left} {sign} {right})", value


numbers = st.one_of(
    st.integers(0, 10**6).map(str),
    st.decimals(0, 10**4, places=3, allow_nan=False).map(lambda d: format(d, "f")),
)
trees = st.recursive(
    numbers.map(lambda n: (n, Fraction(n))),
    lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner).map(_joined),
    max_leaves=12,
)


@given(trees)
@settings(max_examples=400, deadline=None)
def test_it_agrees_with_fractions_on_any_expression(tree):
    expression, value = tree
    if value is None:
        assert "zero" in refused(expression).lower()
        return
    text = evaluate(expression)
    exact, _, near = text.partition("≈ ")
    if exact:
        assert Fraction(exact.strip()) == value
    if near:
        mantissa, _, exponent = near.partition(" × 10^")
        with localcontext() as wide:
            wide.prec = 40
            off = Fraction(Decimal(mantissa).scaleb(int(exponent or 0))) - value
        assert abs(off) <= abs(value) * Fraction(5, 10**15)


@given(st.floats(-20, 20, allow_nan=False), st.sampled_from(["sin", "cos", "atan", "exp"]))
@settings(max_examples=200, deadline=None)
def test_it_agrees_with_the_machine_as_far_as_that_goes(x, name):
    text = evaluate(f"{name}({x:f})")
    value = float(Fraction(text.partition("≈")[0] or "0")) if "≈" not in text else _float(text)
    assert value == pytest.approx(getattr(math, name)(float(f"{x:f}")), rel=1e-11, abs=1e-14)


def _float(text):
    mantissa, _, exponent = text.rpartition("≈ ")[2].partition(" × 10^")
    return float(f"{mantissa}e{exponent or 0}")


async def test_the_model_calls_it_and_reads_the_value_or_the_remedy():
    box = Toolbox((calculator,))
    assert await box.call(ToolCall("1", "calculator", '{"expression": "37 * 91"}'), CALLER, 5.0) == "3367"
    answer = await box.call(ToolCall("2", "calculator", '{"expression": "1,5 * 2"}'), CALLER, 5.0)
    assert answer.startswith("Error: ")
    assert "1.5" in answer
    assert "wrong arguments" in await box.call(ToolCall("3", "calculator", '{"text": "1"}'), CALLER, 5.0)


async def test_what_the_model_is_told_is_short():
    assert len(calculator.spec.about) + len(bytes(calculator.spec.schema)) < 450


async def test_a_long_expression_does_not_hold_up_the_others():
    longest, last, done = 0.0, time.perf_counter(), asyncio.Event()

    async def beat():
        nonlocal longest, last
        while not done.is_set():
            await asyncio.sleep(0)
            now = time.perf_counter()
            longest, last = max(longest, now - last), now

    expression = "+".join(f"sqrt({n})" for n in range(2, 60))
    best = math.inf
    for _ in range(3):
        longest, last = 0.0, time.perf_counter()
        done.clear()
        beating = asyncio.create_task(beat())
        await calculator.run(expression)
        done.set()
        await beating
        best = min(best, longest)
    assert best < 0.05


@pytest.mark.parametrize(
    "text",
    [
        "what is 37 * 91?",
        "15% of 2480",
        "how many days in 3 weeks",
        "What's 12 plus 30",
        "2+2",
        "What is 5-3?",
        "calculate 3^7",
        "What is the square root of 144?",
        "If I have 3 apples and buy 5 more, how many do I have in total?",
        "20% off $80, how much do I pay?",
        "half of 350",
        "twelve times twelve",
        "How much is 18% tip on $54.20?",
        "convert 5 miles to km",
        "average of 10, 20, 30",
        "10!",
        "what is 1/3 + 1/4",
        "What is the sum of 1234 and 5678?",
        "How many minutes are in 2 hours?",
        "A train travels 120 km in 1.5 hours, how fast is it?",
        "split 240 between 3 people, how much each",
        "12x12",
    ],
)
def test_a_message_that_looks_like_arithmetic_is_offered_the_calculator(text):
    assert offered(text)


@pytest.mark.parametrize(
    "text",
    [
        "capital of France?",
        "In 1999 what happened?",
        "Hello",
        "",
        "Tell me about World War 2",
        "How many people died in World War 2?",
        "Write a poem with 4 lines",
        "My phone number is 555-123-4567",
        "Meet me at 10:30 on 2024-05-01",
        "Python 3.11 vs 3.12?",
        "What happened in 1914 and 1918?",
        "Who won the 2018 World Cup?",
        "Is 24/7 support good?",
        "Give me 3 tips and 2 tricks",
        "What does HTTP 404 mean?",
        "How many planets are there?",
        "two wrongs don't make a right",
        "Explain chapter 3 of the book",
        "what is covid-19?",
        "What is the population of Germany in 2020?",
        "GPT-4 or GPT-5?",
        "What is C++?",
        "top 10 movies of 1994",
    ],
)
def test_other_messages_are_not(text):
    assert not offered(text)


@pytest.mark.parametrize(
    "text", ["9" * 200_000, "9.9," * 9_000, "1 " * 100_000, "two " * 50_000, "1-" * 100_000, "how many " * 20_000]
)
def test_looking_at_a_message_is_quick(text):
    begun = time.perf_counter()
    offered(text)
    assert time.perf_counter() - begun < 0.5
