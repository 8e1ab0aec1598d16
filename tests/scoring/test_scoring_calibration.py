"""Confidence: how it is read, the Brier score of an answer, and the calibration error of many."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.findings import CalibrationBin
from harness.records import Score, ScoreResult, Unscored
from harness.scoring.calibration import brier, confidence, expected_calibration_error, split_confidence
from harness.scoring.labels import label_f1
from harness.scoring.numeric import number

STATED: list[tuple[str, str, float | None]] = [
    ("refund\nConfidence: 80%", "refund", 0.8),
    ("refund, confidence = 0.8", "refund", 0.8),
    ("refund (Confidence: 100 %).", "refund", 1.0),
    ("**Confidence:** 0.25\nrefund", "refund", 0.25),
    ("refund\n**Confidence: 5%**", "refund", 0.05),
    ("Confidence: 10%\nno: refund\nConfidence: 90%", "Confidence: 10% no: refund", 0.9),
    ("refund\nCONFIDENCE: .5", "refund", 0.5),
    ('{"queue": "refund", "confidence": 0.8}', '{"queue":"refund"}', 0.8),
    ('```json\n{"queue": "refund", "confidence": "80%"}\n```', '{"queue":"refund"}', 0.8),
    ('{"queue": "refund", "confidence": 1}', '{"queue":"refund"}', 1.0),
    ('{"queue": "refund"} Confidence: 70%', '{"queue": "refund"}', 0.7),
    ("refund\nConfidence: 80", "refund", None),  # of what?
    ("refund\nConfidence: 120%", "refund", None),
    ("refund\nConfidence: -5%", "refund Confidence: -5%", None),
    ("refund\nConfidence: high", "refund Confidence: high", None),
    ("refund", "refund", None),
    ("a confidence interval of 95%", "a confidence interval of 95%", None),
    ('{"queue": "refund", "confidence": true}', '{"queue":"refund"}', None),
    ('{"queue": "refund", "confidence": 80}', '{"queue":"refund"}', None),
    ('{"queue": "refund", "confidence": -0.1}', '{"queue":"refund"}', None),
    ('{"queue": "refund", "confidence": "sure"}', '{"queue":"refund"}', None),
    ("", "", None),
]


@pytest.mark.parametrize(("text", "rest", "confidence"), STATED)
def test_confidence_is_split_off_when_an_answer_is(text: str, rest: str, confidence: float | None) -> None:
    found_rest, found = split_confidence(text)
    assert (" ".join(found_rest.split()), found) == (rest, confidence)


@pytest.mark.parametrize("hostile", ["confidence" + " " * 200_000, "confidence:" * 50_000, "confidence*_" * 50_000])
def test_confidence_is_read_in_one_pass_when_an_answer_is_hostile(hostile: str) -> None:
    assert split_confidence(hostile)[1] is None


BRIER: list[tuple[str, str, float]] = [
    ("refund\nConfidence: 100%", "refund", 1),
    ("refund\nConfidence: 80%", "refund", 0.96),
    ("refund\nConfidence: 0%", "refund", 0),
    ("tech\nConfidence: 100%", "refund", 0),
    ("tech\nConfidence: 30%", "refund", 0.91),
    ("tech\nConfidence: 0%", "refund", 1),
    ("refund", "refund", 0),  # asked for a confidence, it stated none
    ('{"queue": "refund", "confidence": 0.5}', '{"queue": "refund"}', 0.75),
    ('{"queue": "refund", "confidence": 0.5}', '{"queue": "refund", "confidence": 0.9}', 0.75),
    ('{"confidence": 0.5, "queue": "tech"}', '{"queue": "refund"}', 0.75),
]


@pytest.mark.parametrize(("text", "target", "value"), BRIER)
def test_brier_follows_the_table_when_answer_and_target_are(text: str, target: str, value: float) -> None:
    result = brier(text, target)
    assert isinstance(result, Score)
    assert result.value == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "target", "result"),
    [
        ("It is 42.0 (confidence: 100%)", "42", Score(1.0)),
        ("It is 41 (confidence: 100%)", "42", Score(0.0)),
        ("It is 42 (confidence: 100%)", "forty-two", Unscored("the target has no number")),
        ("It is 42", "forty-two", Unscored("the target has no number")),
    ],
)
def test_brier_asks_another_scorer_what_is_right_when_told_to(text: str, target: str, result: ScoreResult) -> None:
    assert brier(text, target, correct=number) == result


def test_an_answer_is_right_only_when_the_other_scorer_gives_it_all() -> None:
    assert brier("billing (confidence: 100%)", "billing, tech", correct=label_f1) == Score(0.0)
    assert brier("tech, billing (confidence: 100%)", "billing, tech", correct=label_f1) == Score(1.0)


BY_LOGPROB: list[tuple[str, str, float, float]] = [
    ("refund", "refund", 0.0, 1),
    ("refund", "refund", math.log(0.8), 0.96),
    ("refund", "refund", -1e4, 0),
    ("tech", "refund", 0.0, 0),
    ("tech", "refund", math.log(0.3), 0.91),
    ("refund", "refund", 5e-7, 1),  # above 0 by rounding
    ("refund\nConfidence: 100%", "refund", 0.0, 0),  # what is stated is part of the answer like any other words
    ("refund\nConfidence: 5%", "refund\nConfidence: 5%", math.log(0.8), 0.96),
]


@pytest.mark.parametrize(("text", "target", "logprob", "value"), BY_LOGPROB)
def test_brier_takes_the_probability_of_the_answer_when_its_logarithm_is_given(
    text: str, target: str, logprob: float, value: float
) -> None:
    result = brier(text, target, logprob)
    assert isinstance(result, Score)
    assert result.value == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("logprob", [math.nan, math.inf, -math.inf, 0.1])
def test_a_log_probability_is_refused_when_it_is_none(logprob: float) -> None:
    with pytest.raises(ValueError, match="a log-probability must be finite and not above 0"):
        brier("refund", "refund", logprob)


@pytest.mark.parametrize(
    ("text", "target", "logprob", "found"),
    [
        ("42 (confidence: 70%)", "42", None, (0.7, True)),
        ("41 (confidence: 70%)", "42", None, (0.7, False)),
        ("42", "42", None, (None, True)),
        ("42 (confidence: 7/10)", "42.0", 0.0, (1.0, False)),
        ("It is 42", "42.0", 0.0, (1.0, True)),
        ("42", "forty-two", 0.0, Unscored("the target has no number")),
    ],
)
def test_confidence_stands_with_whether_the_answer_is_right_when_asked_for(
    text: str, target: str, logprob: float | None, found: object
) -> None:
    assert confidence(text, target, logprob, correct=number) == found


def _by_definition(confidences: list[Fraction], correct: list[bool], bins: int) -> float:
    """Sum over bins of |B|/n · |accuracy - mean confidence|, in exact arithmetic, straight from the formula."""
    error = Fraction(0)
    for k in range(bins):
        low, high = Fraction(k, bins), Fraction(k + 1, bins)
        inside = [(p, c) for p, c in zip(confidences, correct, strict=True) if low < p <= high or (k == 0 and p == 0)]
        if inside:
            accuracy = Fraction(sum(c for _, c in inside), len(inside))
            confidence = sum((p for p, _ in inside), Fraction(0)) / len(inside)
            error += Fraction(len(inside), len(confidences)) * abs(accuracy - confidence)
    return float(error)


@given(
    st.lists(st.tuples(st.integers(0, 100), st.booleans()), min_size=1, max_size=60), st.sampled_from([1, 4, 10, 20])
)
def test_calibration_error_is_that_of_the_definition_when_confidences_are_percents(
    rows: list[tuple[int, bool]], bins: int
) -> None:
    correct = [right for _, right in rows]
    found = expected_calibration_error([(percent / 100, right) for percent, right in rows], bins=bins)
    assert found.ece == pytest.approx(_by_definition([Fraction(p, 100) for p, _ in rows], correct, bins), abs=1e-12)
    assert sum(item.n for item in found.bins) == found.n == len(rows)


def test_calibration_shows_its_bins_when_they_hold_answers() -> None:
    found = expected_calibration_error([(0.0, False), (0.7, True), (0.7, True), (0.7, False), (1.0, True)])
    assert [(item.low, item.high, item.n) for item in found.bins] == [(0.0, 0.1, 1), (0.6, 0.7, 3), (0.9, 1.0, 1)]
    assert found.bins[0] == CalibrationBin(low=0.0, high=0.1, n=1, confidence=0.0, accuracy=0.0)
    assert found.ece == pytest.approx(3 / 5 * (0.7 - 2 / 3))


@pytest.mark.parametrize(
    ("pairs", "bins", "message"),
    [
        ([], 10, "no answers"),
        ([(math.nan, True)], 10, "between 0 and 1"),
        ([(1.1, True)], 10, "between 0 and 1"),
        ([(0.5, False), (-0.1, True)], 10, "between 0 and 1"),
        ([(0.5, True)], 0, "0 bins"),
    ],
)
def test_calibration_is_refused_when_the_input_is_no_calibration(
    pairs: list[tuple[float, bool]], bins: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        expected_calibration_error(pairs, bins=bins)


def test_few_answers_look_worse_calibrated_when_every_confidence_is_exactly_right() -> None:
    """What the docstring says of small sets: 0.14 of 50 answers and 0.06 of 300, by chance alone."""
    rng = np.random.default_rng(3)

    def mean_error(n: int) -> float:
        draws = rng.random((300, n))
        right = rng.random((300, n)) < draws
        found = [expected_calibration_error(list(zip(p, c, strict=True))) for p, c in zip(draws, right, strict=True)]
        return sum(item.ece for item in found) / len(found)

    assert mean_error(50) == pytest.approx(0.14, abs=0.01)
    assert mean_error(300) == pytest.approx(0.06, abs=0.01)
