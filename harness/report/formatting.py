"""Values and foreign text as people read them: every number and string of a report passes through here."""

from __future__ import annotations

import math
import re

ELLIPSIS = "…"
NOTHING = "–"

# What may not reach a terminal, an XML file or a reader's eye as itself: C0 and C1 controls (but tab and
# newline), lone surrogates, non-characters, and the marks that reorder or hide text (CVE-2021-42574).
UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"
    "\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]"
)
# Scorers whose values are shares of something, shown as percentages; every other score is a plain number.
_SHARES = re.compile(r"(accuracy|_match|_valid|_f1|_rate)$")


def clean(text: str) -> str:
    """Return text in which every control or invisible character is a visible mark; CR LF becomes newline."""
    return UNSAFE.sub(_mark, text.replace("\r\n", "\n"))


def _mark(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)  # the control picture: ESC is shown as ␛
    if code == 0x7F:
        return "\u2421"
    return "\ufffd" if 0xD800 <= code <= 0xDFFF else f"⟨U+{code:04X}⟩"


def one_line(text: str) -> str:
    """Return text with every run of white space as one space."""
    return " ".join(text.split())


def clip(text: str, limit: int) -> str:
    """Return at most `limit` characters of text, and say how many were left out."""
    if len(text) <= limit:
        return text
    return f"{text[:limit].rstrip()}{ELLIPSIS} ({count(len(text) - limit)} more characters)"


def is_share(scorer: str) -> bool:
    """Whether a scorer's values are shares (0 to 1), to be shown as percentages."""
    return _SHARES.search(scorer) is not None


def count(number: int) -> str:
    """Return a whole number with thousands separators."""
    return f"{number:,}"


def plural(number: int, noun: str) -> str:
    """Return "1 example", "2 examples"."""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def percent(fraction: float) -> str:
    """Return "88.3 %"; near the ends, where bars lie, "99.53 %". Never rounds to 0 or 100 what is not.

    Raises:
        ValueError: the number is not finite.
    """
    hundredfold = _finite(fraction) * 100
    for digits in range(1 if 1 <= abs(hundredfold) <= 99 else 2, 5):
        text = f"{hundredfold:.{digits}f}"
        if float(text) not in (0.0, 100.0) or float(text) == round(hundredfold, 9):
            break
    whole, decimals = text.split(".")
    return f"{_minus(whole)}.{decimals[0]}{decimals[1:].rstrip('0')} %"


def points(fraction: float) -> str:
    """Return a difference of two shares as "+41.7 points".

    Raises:
        ValueError: the number is not finite.
    """
    return f"{_signed(fraction)} points"


def number(value: float, *, digits: int = 4) -> str:
    """Return so many significant digits.

    Raises:
        ValueError: the number is not finite.
    """
    return _minus(f"{_finite(value):.{digits}g}")


def amount(value: float) -> str:
    """Return tokens, seconds or money with three significant digits or more: "1,234", "80.0", "0.0583".

    Raises:
        ValueError: the number is not finite.
    """
    size = abs(_finite(value))
    if 0 < size < 1e-6:
        return number(value, digits=3)
    digits = next((digits for digits in range(9) if size * 10**digits >= 99.95), 0)
    return _minus(f"{value:,.{digits}f}")


def quantity(value: float, unit: str) -> str:
    """Return a value in one of the units of a check: "fraction", "points", "nats" or another word.

    Raises:
        ValueError: the number is not finite.
    """
    if unit == "fraction":
        return percent(value)
    if unit == "points":
        return points(value)
    return f"{number(value)} {unit}".rstrip()


def interval(low: float, high: float, unit: str) -> str:
    """Return "82.5 to 92.9 %", with the unit once.

    Raises:
        ValueError: an end is not finite.
    """
    end = quantity(high, unit)
    start = quantity(low, unit)
    mark = {"fraction": " %", "points": " points"}.get(unit, f" {unit}" if unit else "")
    return f"{start.removesuffix(mark)} to {end}"


def p_value(value: float) -> str:
    """Return "p = 0.031", or "p < 0.001" below that.

    Raises:
        ValueError: the number is not finite.
    """
    return "p < 0.001" if _finite(value) < 0.001 else f"p = {value:.3f}"


def duration(seconds: float) -> str:
    """Return "8.2 s", "6 min 12 s" or "2 h 5 min".

    Raises:
        ValueError: the number is not finite.
    """
    if _finite(seconds) < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def moment(iso: str) -> str:
    """Return an ISO 8601 time in UTC as "2026-01-05 12:40 UTC"; anything else as it is."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(?::\d\d(?:\.\d+)?)?(?:Z|\+00:00)", iso)
    return f"{match[1]} {match[2]} UTC" if match else clean(iso)


def _signed(fraction: float) -> str:
    for digits in range(1, 5):  # a gain of 0.04 points is not "0.0"
        text = f"{_finite(fraction) * 100:+.{digits}f}"
        if float(text) != 0:
            return _minus(text)
    return "0"


def _minus(text: str) -> str:
    return "\u2212" + text[1:] if text.startswith("-") else text


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"a report shows finite numbers only, not {value}")
    return value
