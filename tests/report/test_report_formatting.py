from __future__ import annotations

import math

import pytest

from harness.report import formatting


@pytest.mark.parametrize(
    ("fraction", "text"),
    [
        (0.883, "88.3 %"),
        (0.995, "99.5 %"),
        (1.0, "100.0 %"),
        (0.0, "0.0 %"),
        (0.9996, "99.96 %"),
        (0.9953, "99.53 %"),
        (0.9843, "98.4 %"),
        (0.005, "0.5 %"),
        (0.99999, "99.999 %"),
        (0.0004, "0.04 %"),
        (-0.05, "−5.0 %"),
    ],
)
def test_percent_never_rounds_to_the_ends_when_the_share_is_not_there(fraction: float, text: str) -> None:
    assert formatting.percent(fraction) == text


@pytest.mark.parametrize(
    ("fraction", "text"),
    [
        (0.417, "+41.7 points"),
        (-0.042, "−4.2 points"),
        (0.0, "0 points"),
        (-0.0, "0 points"),
        (0.0004, "+0.04 points"),
        (1e-9, "0 points"),
    ],
)
def test_points_carry_their_sign_when_there_is_a_difference(fraction: float, text: str) -> None:
    assert formatting.points(fraction) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.0583, "0.0583"),
        (0.000123456, "0.000123"),
        (2.5e-7, "2.5e-07"),
        (0.9999, "1.00"),
        (9.996, "10.0"),
        (80.0, "80.0"),
        (99.96, "100"),
        (1234.5, "1,234"),
        (-0.25, "−0.250"),
    ],
)
def test_amount_keeps_three_digits_and_is_zero_for_nothing_else(value: float, text: str) -> None:
    assert formatting.amount(value) == text


@pytest.mark.parametrize(
    ("low", "high", "unit", "text"),
    [
        (0.825, 0.929, "fraction", "82.5 to 92.9 %"),
        (-0.117, 0.033, "points", "−11.7 to +3.3 points"),
        (0.1, 0.25, "nats", "0.1 to 0.25 nats"),
        (1.0, 2.0, "", "1 to 2"),
    ],
)
def test_interval_names_the_unit_once_when_both_ends_share_it(low: float, high: float, unit: str, text: str) -> None:
    assert formatting.interval(low, high, unit) == text


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "show",
    [
        formatting.percent,
        formatting.points,
        formatting.number,
        formatting.amount,
        formatting.p_value,
        formatting.duration,
    ],
)
def test_a_value_is_refused_when_it_is_not_finite(show, value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        show(value)


def test_p_value_is_bounded_when_it_is_tiny() -> None:
    assert formatting.p_value(0.0) == "p < 0.001"
    assert formatting.p_value(0.0312) == "p = 0.031"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(8.24, "8.2 s"), (59.94, "59.9 s"), (59.96, "1 min 0 s"), (372, "6 min 12 s"), (7500, "2 h 5 min")],
)
def test_duration_uses_the_unit_of_its_size(seconds: float, text: str) -> None:
    assert formatting.duration(seconds) == text


def test_clean_leaves_marks_when_characters_are_unsafe() -> None:
    assert formatting.clean("a\x1b[31mb") == "a␛[31mb"
    assert formatting.clean("a\x00\x7f") == "a␀␡"
    assert formatting.clean("a\x9bb\u202ec\ufffe") == "a⟨U+009B⟩b⟨U+202E⟩c⟨U+FFFE⟩"
    assert formatting.clean("\ud800x") == "\ufffdx"


def test_clean_keeps_text_when_it_is_only_unusual() -> None:
    text = "Zeile 1\n\tZeile 2 – naïve 日本語 🙂 <b>&amp;"
    assert formatting.clean(text) == text
    assert formatting.clean("a\r\nb") == "a\nb"


def test_clip_says_how_much_is_missing_when_text_is_long() -> None:
    assert formatting.clip("x" * 1500, 100) == "x" * 100 + "… (1,400 more characters)"
    assert formatting.clip("short", 100) == "short"


@pytest.mark.parametrize(
    ("iso", "text"),
    [
        ("2026-01-05T12:40:11Z", "2026-01-05 12:40 UTC"),
        ("2026-01-05T12:40:11.123456+00:00", "2026-01-05 12:40 UTC"),
        ("2026-01-05T12:40:11+02:00", "2026-01-05T12:40:11+02:00"),
        ("soon\x1b", "soon␛"),
    ],
)
def test_moment_is_shown_as_it_is_when_it_is_not_utc(iso: str, text: str) -> None:
    assert formatting.moment(iso) == text


@pytest.mark.parametrize(
    ("scorer", "share"),
    [
        ("exact_match", True),
        ("schema_valid", True),
        ("field_f1", True),
        ("accuracy", True),
        ("bleu", False),
        ("rouge_l", False),
    ],
)
def test_a_score_is_a_share_when_its_name_says_so(scorer: str, share: bool) -> None:
    assert formatting.is_share(scorer) is share
