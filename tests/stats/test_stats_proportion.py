import numpy as np
import pytest
from scipy.stats import binom
from statsmodels.stats.proportion import proportion_confint

from harness.stats.proportion import (
    cases_needed,
    clopper_pearson,
    lower_bound,
    proportion_estimate,
    upper_bound,
    validity_cutoffs,
)


@pytest.mark.parametrize("n", [1, 2, 7, 30, 1000])
def test_interval_agrees_with_statsmodels_when_enumerated(n):
    for successes in {0, 1, n // 2, n - 1, n}:
        expected = proportion_confint(successes, n, alpha=0.1, method="beta")
        assert clopper_pearson(successes, n, 0.9) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("truth", [0.02, 0.3, 0.5, 0.9, 0.995])
def test_bounds_miss_the_truth_at_most_alpha_when_every_outcome_is_enumerated(truth):
    n, alpha = 40, 0.05
    chances = binom.pmf(np.arange(n + 1), n, truth)
    too_high = sum(chances[k] for k in range(n + 1) if lower_bound(k, n, alpha) > truth)
    too_low = sum(chances[k] for k in range(n + 1) if upper_bound(k, n, alpha) < truth)
    assert too_high <= alpha
    assert too_low <= alpha


def test_estimate_has_one_sided_bounds_as_ends_when_alpha_is_given():
    estimate = proportion_estimate(9, 10, 0.05)
    assert (estimate.value, estimate.n, estimate.confidence) == (0.9, 10, 0.9)
    assert estimate.low == lower_bound(9, 10, 0.05)
    assert estimate.high == upper_bound(9, 10, 0.05)
    assert estimate.low < estimate.value < estimate.high
    assert estimate.method == "Clopper-Pearson (exact)"


def test_validity_cutoffs_match_the_reference_when_bar_is_99_5_percent():
    assert validity_cutoffs(1000, 0.995, 0.05) == (1, 10)


def test_validity_cutoffs_agree_with_the_bounds_when_checked_count_by_count():
    n, bar, alpha = 120, 0.95, 0.05
    passes, fails = validity_cutoffs(n, bar, alpha)
    verdicts = [(lower_bound(n - k, n, alpha) >= bar, upper_bound(n - k, n, alpha) < bar) for k in range(n + 1)]
    assert verdicts.index((False, False)) == passes + 1
    assert verdicts.index((False, True)) == fails


def test_a_bound_that_is_the_bar_itself_passes_and_does_not_fail():
    passing, failing = lower_bound(9, 10, 0.05), upper_bound(5, 10, 0.05)
    assert validity_cutoffs(10, passing, 0.05)[0] == 1
    assert validity_cutoffs(10, failing, 0.05)[1] == 6
    assert cases_needed(passing, 1, 0.05) == 10


@pytest.mark.parametrize(("bar", "cutoffs"), [(0.02, (0, None)), (0.1, (None, None)), (0.96, (None, 1))])
def test_one_case_says_little_when_it_is_all_there_is(bar, cutoffs):
    assert validity_cutoffs(1, bar, 0.05) == cutoffs


def test_one_case_is_enough_when_the_bar_is_low():
    assert cases_needed(0.04, 0, 0.05) == 1


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_an_estimate_is_refused_when_its_ends_would_meet_or_be_everything(alpha):
    with pytest.raises(ValueError, match=f"alpha must lie between 0 and 0.5, not {alpha}"):
        proportion_estimate(1, 2, alpha)


def test_nothing_passes_or_fails_when_the_sample_is_too_small():
    assert validity_cutoffs(100, 0.995, 0.05)[0] is None
    assert validity_cutoffs(1, 0.5, 0.05) == (None, None)


@pytest.mark.parametrize(
    ("bar", "failures", "expected"),
    [
        (0.995, 0, 598),
        (0.995, 1, 947),
        (0.995, 2, 1258),
        (0.995, 3, 1549),
        (0.995, 4, 1829),
        (0.999, 0, 2995),
    ],
)
def test_cases_needed_match_the_reference_when_failures_are_allowed(bar, failures, expected):
    assert cases_needed(bar, failures, 0.05) == expected
    assert validity_cutoffs(expected, bar, 0.05)[0] == failures
    assert validity_cutoffs(expected - 1, bar, 0.05)[0] != failures


@pytest.mark.parametrize(
    "call",
    [
        lambda: proportion_estimate(0, 0, 0.05),
        lambda: proportion_estimate(1, 2, 0.5),
        lambda: proportion_estimate(3, 2, 0.05),
        lambda: proportion_estimate(-1, 2, 0.05),
        lambda: proportion_estimate(1, 2, float("nan")),
        lambda: clopper_pearson(1, 2, 1.0),
        lambda: validity_cutoffs(0, 0.9, 0.05),
        lambda: lower_bound(1, 2, 1.0),
        lambda: lower_bound(1, 2, 1.5),
        lambda: lower_bound(1, 2, 0.0),
        lambda: validity_cutoffs(10, 0.0, 0.05),
        lambda: validity_cutoffs(10, 1.0, 0.05),
        lambda: cases_needed(float("nan"), 0, 0.05),
        lambda: cases_needed(0.9, -1, 0.05),
    ],
)
def test_value_error_is_raised_when_an_argument_is_out_of_range(call):
    with pytest.raises(ValueError, match=r"must|needs"):
        call()
