"""Numeric answers: the last number of a text, exactly, and whether it is the target's."""

from __future__ import annotations

import re
from collections import deque
from fractions import Fraction
from itertools import pairwise

from harness.records import Score, ScoreResult, Unscored

MAX_DIGITS = 400  # of a mantissa, and the largest power of ten; beyond it a text is no number one would answer

# A number does not start inside a word (H2O) or a version (1.2.3), and a sign stands at the start of something.
# Digits are taken whole, so the scan is linear and 1,2345 is never cut into 1,234 and 5.
_NUMBER = re.compile(
    r"""
    (?: (?<![\w.)\]]) (?P<sign>[+\-−]) )?
    [$€£¥]?
    (?<!\w) (?<!\w\.)
    (?P<digits> (?> [0-9]{1,3}(?:,[0-9]{3})++(?![0-9]) | [0-9]++ ) (?:\.[0-9]++)? | \.[0-9]++ )
    (?: [eE] (?P<power>[+\-−]?[0-9]++) )?
    (?P<percent> [ ]?% | [ ]percent\b )?
    """,
    re.VERBOSE,
)


def number(text: str, target: str, *, absolute: float = 0.0, relative: float = 0.0) -> ScoreResult:
    """1 when the last number of the answer is the target's last number, else 0; also 0 when there is none.

    They are the same when they differ by no more than `absolute`, or than `relative` times the target's number,
    whichever is more; with neither, when they are equal: 1.50 is 3/2 and 150%. All arithmetic is exact.
    Unscored when the target has no number.
    """
    wanted = last_number(target)
    if wanted is None:
        return Unscored("the target has no number")
    given = last_number(text)
    if given is None:
        return Score(0.0)
    # Through decimal text, so that a tolerance of 0.1 is one tenth and not the float nearest to it.
    tolerance = max(Fraction(str(absolute)), Fraction(str(relative)) * abs(wanted))
    return Score(float(abs(given - wanted) <= tolerance))


def last_number(text: str) -> Fraction | None:
    """The last number in `text`; None when there is none, or it has more than `MAX_DIGITS` digits.

    Read are a sign, commas between thousands, a decimal point, powers of ten (1e-3), a percent sign (a hundredth),
    a currency sign before the digits, and a fraction of two numbers (1/2), which a date (1/2/2026) is not. The
    convention is English: 1.234,56 is two numbers.
    """
    found = deque(_NUMBER.finditer(text), maxlen=3)
    if not found:
        return None
    value = _value(found[-1])
    slashes = [text[left.end() : right.start()].strip(" ") == "/" for left, right in pairwise(found)]
    if value is None or slashes not in ([True], [False, True]):
        return value
    dividend = _value(found[-2])
    return None if dividend is None or value == 0 else dividend / value


def _value(match: re.Match[str]) -> Fraction | None:
    digits = match["digits"].replace(",", "")
    power = (match["power"] or "0").replace("−", "-")
    if len(digits) > MAX_DIGITS or len(power.lstrip("+-0")) > 3 or abs(int(power)) > MAX_DIGITS:
        return None
    value = Fraction(f"{digits}e{power}") / (100 if match["percent"] else 1)
    return value if match["sign"] in (None, "+") else -value
