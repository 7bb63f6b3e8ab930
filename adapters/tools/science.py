"""The calculator as a tool, and what a message looks like that needs it."""

import asyncio
import re
from typing import Annotated

from adapters.tools.arithmetic import evaluate
from core.tools import About, tool

READ = 2_000
"""Characters of a message that are looked at."""


def offered(text: str) -> bool:
    """Whether a message looks like arithmetic. It decides what a small model is offered, so a wrong yes costs as well."""
    text = _LONG.sub(r"\1", text[:READ])
    if not _ANY.search(text):
        return False
    text = _NOT_COUNTED.sub(" § ", text)
    if _FORMULA.fullmatch(text) and _OPERATED.search(text):
        return True
    if _STRONG.search(text):
        return True
    numbers = len(_QUANTITY.findall(text))
    if not numbers:
        return False
    if _OPERATED.search(text) and _ASKING.search(text):
        return True
    if _CONVERTED.search(text):
        return True
    return numbers > 1 and bool(_ASKING_AMOUNT.search(text))


@tool(label="calculating", offered=offered)
async def calculator(
    expression: Annotated[
        str,
        About(description="Arithmetic such as (3+4)*12.5, 15% of 2480, sqrt(2), 20!, sin(30 deg), mean([1, 2, 6])."),
    ],
) -> str:
    """Calculate exactly. Use it for every calculation; write numbers only, no units.

    Knows + - * / // % ^ !, percentages, sqrt cbrt root abs round floor ceil min max gcd lcm factorial, ln log10 log2
    log(x, base) exp, sin cos tan asin acos atan in radians (degrees: `30 deg`), sum mean median, comb perm mod, pi e tau.
    Values that are rounded begin with ≈.
    """
    # a long one takes up to 20 ms: nobody else waits for that
    return evaluate(expression) if len(expression) < 200 else await asyncio.to_thread(evaluate, expression)


_WORD_NUMBER = (
    r"(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen"
    r"|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|million|billion|dozen)"
)
_DIGITS = r"(?:[$€£]\s?)?\d[\d,.]*(?:\s?%)?"
_NUM = rf"(?:{_DIGITS}|\b{_WORD_NUMBER}\b|\bone\b)"
_UNIT = (
    r"(?:second|minute|hour|day|week|fortnight|month|year|decade|centur(?:y|ies)|inch(?:es)?|f(?:oo|ee)t|yard|mile|metre|"
    r"meter|kilomet(?:re|er)|centimet(?:re|er)|millimet(?:re|er)|km|cm|mm|gram|kilogram|kilo|kg|mg|ounce|oz|pound|lb|ton"
    r"|tonne|lit(?:re|er)|ml|cup|gallon|pint|quart|byte|kilobyte|megabyte|gigabyte|mb|gb|kb|degree|cent|dime|quarter)s?"
)
_LONG = re.compile(r"([\d.,]{20})[\d.,]+")
_ANY = re.compile(rf"\d|\b{_WORD_NUMBER}\b", re.IGNORECASE)
_NOT_COUNTED = re.compile(
    r"\b\d{1,4}([-/.])\d{1,2}\1\d{1,4}\b"  # dates, versions
    r"|\bv?\d+\.\d+\.\d[\w.]*"
    r"|\b\d{1,2}:\d\d(?::\d\d)?\b(?:\s?[ap]m\b)?"  # times of day
    r"|\+?\d[\d ]*(?:-\d{3,}){1,3}\b|\+\d{9,}"  # telephone numbers
    r"|https?://\S+|\b[\w.]+@[\w.]+"
    r"|\b24/7\b|\b9/11\b"
    r"|(?<=[a-z,] )(?:[A-Z][a-z]+|[A-Z]{2,}) \d+\b(?!\s*[-+*/×÷^%.,]?\s*\d)"  # World War 2, Chapter 3
    r"|\b(?:in|since|from|until|year|before|after|during|around)\s+(?:1[5-9]|20)\d\d\b(?![.,]?\d)",
)
_OPERATED = re.compile(
    r"[\d)!%]\s*(?:\*\*|//|[+*/×÷·⋅^−–-]|[xX](?=\s*\d))\s*(?:[-+(√$€£.]|\d|\b(?:sqrt|ln|log|sin|cos|tan|pi|e)\b)"
    r"|\d\s*[!²³]|√\s*\d|\d\s*%\s*\d|\d\(|\)\s*\(",
    re.IGNORECASE,
)
_FORMULA = re.compile(
    r"(?:[\d\s.,+*/×÷·⋅^%!()=?$€£²³√−–-]|\b(?:sqrt|pi|e|x|mod|ln|log|sin|cos|tan)\b|(?<=\d)x(?=\d))+", re.IGNORECASE
)
_STRONG = re.compile(
    rf"\d\s*(?:%|percent|per cent)\s+of\s+(?:the\s+)?{_NUM}"
    rf"|{_NUM}\s+percent\s+of\s+{_NUM}"
    rf"|{_NUM}\s+(?:plus|minus|times|multiplied\s+by|divided\s+by|over|mod|modulo|to\s+the\s+power\s+of)\s+{_NUM}"
    rf"|{_NUM}\s+(?:squared|cubed|factorial)\b|\bfactorial\s+of\s+{_NUM}"
    rf"|\b(?:square|cube|cubic)\s+root\s+of\s+{_NUM}"
    rf"|\b(?:sqrt|cbrt|ln|log|log2|log10|sin|cos|tan|asin|acos|atan|exp|gcd|lcm|sum|mean|median)\s*\(\s*\[?\s*[\d.π-]"
    rf"|\b(?:sine|cosine|tangent|logarithm|log|ln|sin|cos|tan)\s+(?:of\s+)?{_NUM}"
    rf"|\b(?:sum|product|average|mean|median|difference|quotient|gcd|lcm|remainder)\s+(?:of|between|when)\s+(?:the\s+\w+\s+)?"
    rf"{_NUM}\D{{1,12}}{_NUM}"
    rf"|\b(?:half|twice|double|triple|a\s+third|a\s+quarter)\s+(?:of\s+)?{_DIGITS}"
    rf"|\b(?:add|subtract|multiply|divide)\s+{_NUM}.{{1,20}}?{_NUM}"
    rf"|\b(?:calculate|compute|work\s+out|evaluate)\b.{{0,40}}?\d.{{0,40}}?\d"
    rf"|\d\s*(?:\*\*|[*×÷])\s*\d|[\d)]\s+[+/^x]\s+[\d(]|\d\^\d|\d{{2,}}\+\d",
    re.IGNORECASE,
)
_QUANTITY = re.compile(rf"(?<![\w§]){_DIGITS}|\b{_WORD_NUMBER}\b", re.IGNORECASE)
_ASKING = re.compile(
    r"\b(?:what\s*(?:is|’s|'s|are|does)|whats|how\s+much|how\s+many|calculate|compute|solve|evaluate|equals?|result|add|sum|total)\b|=",
    re.IGNORECASE,
)
_ASKING_AMOUNT = re.compile(
    r"\bhow\s+(?:much|many|far|long|fast|old|tall|heavy)\b|\b(?:total|altogether|in\s+all|remain|left\s+over|interest|"
    r"discount|tip|tax|vat|average|per\s+(?:hour|person|month|day|week|year)|each|increase[ds]?|decrease[ds]?|profit|split"
    r"|ratio|area|volume|perimeter|compound|what\s+percent(?:age)?|convert)\b|%\s*(?:off|tip|discount|tax|interest)",
    re.IGNORECASE,
)
_CONVERTED = re.compile(
    rf"\bhow\s+(?:many|much)\s+{_UNIT}\b.{{0,30}}?\b(?:in|is|are|make|equal)\b.{{0,12}}?{_NUM}\s*{_UNIT}\b"
    rf"|\bconvert\s+{_NUM}"
    rf"|{_NUM}\s*{_UNIT}\s+(?:in|to|into|is\s+how\s+many)\s+{_UNIT}\b",
    re.IGNORECASE,
)
