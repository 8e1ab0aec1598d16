"""A mean against a bar, for values without a range."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from harness.findings import Estimate
from harness.stats.drift import mean_against
from harness.stats.mean_tests import constant_difference, more_conservative, paired_t, studentised_bootstrap
from harness.stats.paired import DEFAULT_RESAMPLES

VALUES = np.random.default_rng(1).normal(0.2, 1.0, size=80)


def test_it_is_never_bolder_than_students_t() -> None:
    estimate, test = mean_against(VALUES, bar=0.0, alpha=0.05, seed=2)
    assert estimate.value == pytest.approx(VALUES.mean(), abs=1e-12)
    assert test.p_value >= ttest_1samp(VALUES, 0.0, alternative="greater").pvalue - 1e-12
    low, high = ttest_1samp(VALUES, 0.0).confidence_interval(0.90)
    assert estimate.low <= low + 1e-9 and estimate.high >= high - 1e-9


def test_equal_weights_change_nothing_and_unequal_ones_give_the_weighted_mean() -> None:
    plain, _ = mean_against(VALUES, bar=0.0, alpha=0.05, seed=2)
    equal, _ = mean_against(VALUES, bar=0.0, alpha=0.05, seed=2, weights=np.full(80, 1 / 80))
    assert equal.value == pytest.approx(plain.value) and equal.low == pytest.approx(plain.low)
    shares = np.arange(1, 81) / np.arange(1, 81).sum()
    weighted, _ = mean_against(VALUES, bar=0.0, alpha=0.05, seed=2, weights=shares)
    assert weighted.value == pytest.approx(float(shares @ VALUES))


def test_equal_values_are_judged_by_their_number() -> None:
    few, test_few = mean_against([0.0, 0.0, 0.0], bar=-0.1, alpha=0.05, seed=1)
    many, test_many = mean_against([0.0] * 200, bar=-0.1, alpha=0.05, seed=1)
    assert test_few.p_value > 0.05 > test_many.p_value
    assert few.low < many.low <= 0.0


@pytest.mark.parametrize("values", [[], [1.0], [1.0, float("nan")], [1.0, float("inf")], [1.0, None]])
def test_values_that_cannot_be_judged_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="at least two values"):
        mean_against(values, bar=0.0, alpha=0.05, seed=1)


@pytest.mark.parametrize("weights", [[0.2, 0.2], [[0.5, 0.5]], [0.5, 0.5, 0.0], [1.0, None], [0.5, 0.50001]])
def test_shares_that_are_not_one_for_each_value_and_sum_to_one_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="one finite share for each value and sum to 1"):
        mean_against([1.0, 2.0], bar=0.0, alpha=0.05, seed=1, weights=weights)


@pytest.mark.parametrize("values", [VALUES, np.array([0.5, 1.0, 0.75])])
def test_the_estimate_and_the_test_are_those_of_both_methods(values: np.ndarray) -> None:
    estimate, test = mean_against(values, bar=0.1, alpha=0.05, seed=2)
    reach = 10 * float(np.max(np.abs(values)))
    assert test == more_conservative(
        paired_t(values, bar=0.1, alpha=0.05),
        studentised_bootstrap(values, bar=0.1, alpha=0.05, reach=reach, seed=2, resamples=DEFAULT_RESAMPLES),
    )
    assert estimate == Estimate(
        value=float(np.mean(values)),
        low=test.low,
        high=test.high,
        confidence=0.9,
        n=len(values),
        method="the more conservative of Student's t and studentised bootstrap "
        f"({DEFAULT_RESAMPLES} resamples, seed 2)",
    )


@pytest.mark.parametrize(("bar", "reach"), [(0.0, 30.0), (-7.0, 70.0), (7.0, 70.0)])
def test_an_end_that_nothing_bounds_is_ten_times_the_farthest_of_values_and_bar(bar: float, reach: float) -> None:
    _, test = mean_against([0.0] * 49 + [3.0], bar=bar, alpha=0.05, seed=1)
    assert test.high == reach


@pytest.mark.parametrize(
    ("values", "bar", "reach"),
    [([0.0, 1e-12], 1.0, 1.0), ([0.0, 2e-12], 2.0, 2.0), ([0.0, 0.0], 0.0, 1e-12), ([-3.0, -3.0], 1.0, 3.0)],
)
def test_values_that_differ_by_rounding_are_judged_as_equal(values: list[float], bar: float, reach: float) -> None:
    _, test = mean_against(values, bar=bar, alpha=0.05, seed=1)
    assert test == constant_difference(values[0], 2, bar=bar, alpha=0.05, reach=reach)


def test_chance_passes_at_the_stated_rate() -> None:
    rng = np.random.default_rng(7)
    passed = sum(
        mean_against(rng.exponential(1.0, size=60) - 1.0, bar=0.0, alpha=0.05, seed=3)[1].p_value <= 0.05
        for _ in range(300)
    )
    assert passed <= 26  # 300 x 5 % = 15; a correct test exceeds 26 less than once in 200 times


def test_a_finer_error_rate_is_shown_by_more_resamples() -> None:
    with pytest.raises(ValueError, match="9999 resamples cannot reach"):
        mean_against(VALUES, bar=0.0, alpha=0.00005, seed=2)
    estimate, _ = mean_against(VALUES, bar=0.0, alpha=0.00005, seed=2, resamples=29_999)
    assert "(29999 resamples" in estimate.method
