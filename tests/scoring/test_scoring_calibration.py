"""Stated confidence: how it is read, the Brier score of an answer, and the calibration error of many."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.records import Score, ScoreResult, Unscored
from harness.scoring.calibration import Bin, brier, expected_calibration_error, split_confidence
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
    found = expected_calibration_error([percent / 100 for percent, _ in rows], correct, bins=bins)
    assert found.error == pytest.approx(_by_definition([Fraction(p, 100) for p, _ in rows], correct, bins), abs=1e-12)
    assert sum(item.n for item in found.bins) == found.n == len(rows)


def test_calibration_shows_its_bins_when_they_hold_answers() -> None:
    found = expected_calibration_error([0.0, 0.7, 0.7, 0.7, 1.0], [False, True, True, False, True])
    assert [(item.low, item.high, item.n) for item in found.bins] == [(0.0, 0.1, 1), (0.6, 0.7, 3), (0.9, 1.0, 1)]
    assert found.bins[0] == Bin(low=0.0, high=0.1, n=1, confidence=0.0, accuracy=0.0)
    assert found.error == pytest.approx(3 / 5 * (0.7 - 2 / 3))


@pytest.mark.parametrize(
    ("confidences", "correct", "bins"),
    [
        ([], [], 10),
        ([0.5], [], 10),
        ([math.nan], [True], 10),
        ([1.1], [True], 10),
        ([-0.1], [True], 10),
        ([0.5], [True], 0),
    ],
)
def test_calibration_is_refused_when_the_input_is_no_calibration(
    confidences: list[float], correct: list[bool], bins: int
) -> None:
    with pytest.raises(ValueError):
        expected_calibration_error(confidences, correct, bins=bins)
