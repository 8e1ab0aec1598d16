"""One system's scores with an interval, exactly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import t

from harness.findings import Estimate
from harness.stats.proportion import proportion_estimate
from harness.stats.summary import SUMMARY_RESAMPLES, corpus_estimate, mean_estimate


def test_scores_of_right_and_wrong_are_a_proportion() -> None:
    assert mean_estimate([0, 1, 1, 1], 0.05) == proportion_estimate(3, 4, 0.05)
    assert mean_estimate([1.0], 0.05) == proportion_estimate(1, 1, 0.05)
    assert mean_estimate([0.0], 0.05) == proportion_estimate(0, 1, 0.05)


def test_other_scores_have_students_interval() -> None:
    scores = np.array([0.2, 0.5, 0.9, 0.4, 0.35])
    half = t.isf(0.05, 4) * scores.std(ddof=1) / np.sqrt(5)
    found = mean_estimate(scores, 0.05)
    assert (found.low, found.high) == pytest.approx((scores.mean() - half, scores.mean() + half), abs=1e-12)
    assert (found.value, found.n, found.confidence) == (pytest.approx(scores.mean()), 5, 0.9)
    assert found.method == "mean with Student's t interval"
    assert mean_estimate(scores.astype(np.float32), 0.05).value == float(scores.astype(np.float32).astype(float).mean())


def test_an_interval_ends_at_0_and_1_when_students_goes_beyond() -> None:
    low, high = mean_estimate([0.0, 0.1, 0.4], 0.05), mean_estimate([1.0, 0.9, 0.6], 0.05)
    assert (low.low, high.high) == (0.0, 1.0)
    assert low.high < 1.0 and high.low > 0.0


def test_a_single_score_says_nothing_of_others() -> None:
    assert mean_estimate([0.5], 0.05) == Estimate(value=0.5, low=0.0, high=1.0, confidence=0.9, n=1, method="one score")
    assert mean_estimate([0.5, 0.5], 0.05).low == 0.5


@pytest.mark.parametrize("scores", [[], [float("nan")], [float("inf")], [0.5, -0.01], [0.5, 1.01], [0.5, 2.0]])
def test_scores_are_refused_when_they_are_none_or_not_from_0_to_1(scores: list[float]) -> None:
    with pytest.raises(ValueError, match="at least one score"):
        mean_estimate(scores, 0.05)


def share(sums: np.ndarray) -> np.ndarray:
    """The share of right among counted, of sums (..., 2)."""
    return np.asarray(sums[..., 0] / sums[..., 1], dtype=float)


def rest(sums: np.ndarray) -> np.ndarray:
    """Its mirror, whose bootstrap is skewed the other way."""
    return 1 - share(sums)


@pytest.mark.parametrize("compute", [share, rest])
@pytest.mark.parametrize(("alpha", "cut"), [(0.05, 50), (0.09995, 99)])
def test_a_corpus_metric_has_the_wider_of_both_bootstrap_intervals(
    compute: Callable[[np.ndarray], np.ndarray], alpha: float, cut: int
) -> None:
    statistics = np.random.default_rng(0).random((30, 2)) + np.array([0.0, 1.0])
    rng = np.random.default_rng(7)
    draws = np.sort([compute(statistics[rng.integers(30, size=30)].sum(axis=0)) for _ in range(SUMMARY_RESAMPLES)])
    low, high, value = float(draws[cut - 1]), float(draws[-cut]), float(compute(statistics.sum(axis=0)))
    found = corpus_estimate(statistics, compute, alpha=alpha, seed=7)
    assert found == Estimate(
        value=value,
        low=min(low, 2 * value - high),
        high=max(high, 2 * value - low),
        confidence=1 - 2 * alpha,
        n=30,
        method="corpus score with percentile and basic bootstrap (999 resamples, seed 7)",
    )


@pytest.mark.parametrize(("right", "end"), [(0, "low"), (1, "high")])
def test_a_corpus_interval_ends_at_0_and_1(right: int, end: str) -> None:
    statistics = np.array([[right, 1]] * 3 + [[1 - right, 1]])
    assert getattr(corpus_estimate(statistics, share, alpha=0.05, seed=7), end) == float(right)


def test_a_corpus_of_one_answer_is_a_number_and_one_of_none_is_refused() -> None:
    found = corpus_estimate(np.array([[1, 2]]), share, alpha=0.05, seed=7)
    assert (found.value, found.low, found.high, found.n) == (0.5, 0.5, 0.5, 1)
    with pytest.raises(ValueError, match="at least one answer"):
        corpus_estimate(np.zeros((0, 2), dtype=np.int64), share, alpha=0.05, seed=7)
