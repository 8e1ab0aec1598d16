"""Numbers read from text, and the tolerance within which they are the target's."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.records import Score, Unscored
from harness.scoring.numeric import MAX_DIGITS, last_number, number

READ: list[tuple[str, Fraction | int | None]] = [
    ("42", 42),
    ("The answer is 1,234.50.", Fraction(2469, 2)),
    ("12,345,678", 12_345_678),
    ("1,2345", 2345),  # no thousands: two numbers
    ("(1,2)", 2),
    ("1.234,56", 56),  # the convention is English
    ("$1,000", 1000),
    ("-$5", -5),
    ("$-5", -5),
    ("€.50", Fraction(1, 2)),
    ("(-7)", -7),
    ("\u22127", -7),  # the minus sign of typography
    ("+5", 5),
    ("x-5", 5),  # a hyphen
    ("5-3", 3),
    ("2 - 3", 3),
    ("1e-3", Fraction(1, 1000)),
    ("2.5E3", 2500),
    ("50%", Fraction(1, 2)),
    ("12.5 %", Fraction(1, 8)),
    ("50 percent", Fraction(1, 2)),
    ("1/2", Fraction(1, 2)),
    ("1 / 3 of it", Fraction(1, 3)),
    ("-3/4", Fraction(-3, 4)),
    ("12/05/2024", 2024),
    ("1/2/3/4", 4),
    ("3 apples and 4 pears", 4),
    ("5kg", 5),
    ("10:30", 30),
    ("**42**", 42),
    ("\\boxed{42}", 42),
    ("version 1.2.3", Fraction(6, 5)),
    ("GPT3.5 and H2O", None),
    ("1/0", None),
    ("no number", None),
    ("", None),
    ("1e999999999", None),  # would take gigabytes to write out
    ("9" * (MAX_DIGITS + 1), None),
    ("\u0664\u0662", None),  # digits of other scripts
]


@pytest.mark.parametrize(("text", "value"), READ)
def test_the_last_number_is_read_when_a_text_has(text: str, value: Fraction | int | None) -> None:
    assert last_number(text) == value


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6), st.text("abc .:\n", max_size=10))
def test_a_number_reads_back_when_it_is_written_in_prose(value: Decimal, words: str) -> None:
    for written in (f"{value}", f"{value:,}", f"{value:e}"):
        assert last_number(f"1 {words} = {written}{words}") == Fraction(value)


@given(st.text("0123456789.,-+/%eE $", max_size=40))
def test_reading_never_fails_when_a_text_is_made_of_digits_and_signs(text: str) -> None:
    value = last_number(text)
    assert value is None or number(text, text) == Score(1.0)


HOSTILE: list[tuple[str, Fraction | int | None]] = [
    ("1,", 1),
    ("1/", 1),
    ("1e", 10),
    ("1.", Fraction(11, 10)),
    ("1 ", 1),
    ("-", None),
    ("$", None),
    ("1", None),
]


@pytest.mark.parametrize(("unit", "value"), HOSTILE)
def test_a_number_is_read_in_one_pass_when_a_long_text_repeats(unit: str, value: Fraction | int | None) -> None:
    assert last_number(unit * 200_000) == value  # never ends unless the scan is linear


SAME: list[tuple[str, str, float, float, int]] = [
    ("It is 1.50", "3/2", 0, 0, 1),
    ("150%", "1.5", 0, 0, 1),
    ("1,000", "1e3", 0, 0, 1),
    ("0.3", "0.30000000000000004", 0, 0, 0),
    ("45", "45%", 0, 0, 0),
    ("first 41, then 42", "42", 0, 0, 1),
    ("first 42, then 41", "42", 0, 0, 0),
    ("-5", "5", 0, 0, 0),
    ("none", "42", 0, 0, 0),
    ("none", "42", 100, 0, 0),
    ("42.1", "42", 0.1, 0, 1),  # exactly a tenth, which floats miss
    ("42.3", "42", 0.3, 0, 1),
    ("42.11", "42", 0.1, 0, 0),
    ("99", "100", 0, 0.01, 1),
    ("98.9", "100", 0, 0.01, 0),
    ("-101", "-100", 0, 0.01, 1),
    ("0.001", "0", 0, 0.5, 0),  # nothing is relative to zero
    ("0.001", "0", 0.001, 0.5, 1),
    ("105", "100", 1, 0.05, 1),  # the wider of the two
]


@pytest.mark.parametrize(("text", "target", "absolute", "relative", "value"), SAME)
def test_number_follows_the_table_when_answer_and_target_are(
    text: str, target: str, absolute: float, relative: float, value: int
) -> None:
    assert number(text, target, absolute=absolute, relative=relative) == Score(value)


def test_number_is_unscored_when_the_target_has_none() -> None:
    assert number("42", "forty-two") == Unscored("the target has no number")
