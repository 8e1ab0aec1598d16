import numpy as np
import pytest
import statsmodels.api as sm
from scipy.stats import permutation_test, ttest_1samp
from scipy.stats import t as student

from harness.stats.mean_tests import (
    cluster_t,
    constant_difference,
    paired_t,
    sign_flip,
    studentised_bootstrap,
    tail_count,
)
from harness.stats.paired_proportions import mcnemar_exact


def differences(n=40, seed=3):
    return np.random.default_rng(seed).normal(0.1, 0.4, n)


@pytest.mark.parametrize("bar", [0.0, 0.05, -0.2])
def test_paired_t_agrees_with_scipy_when_bar_is_set(bar):
    d = differences()
    test = paired_t(d, bar=bar, alpha=0.05)
    assert test.p_value == pytest.approx(ttest_1samp(d, bar, alternative="greater").pvalue, abs=1e-9)
    assert test.p_reverse == pytest.approx(ttest_1samp(d, bar, alternative="less").pvalue, abs=1e-9)
    assert (test.low, test.high) == pytest.approx(ttest_1samp(d, bar).confidence_interval(0.9), abs=1e-9)


def test_cluster_t_agrees_with_statsmodels_when_clusters_are_unequal():
    d = differences(90)
    groups = np.sort(np.random.default_rng(0).integers(0, 11, 90))
    groups[:11] = np.arange(11)
    fit = sm.OLS(d, np.ones(90)).fit(cov_type="cluster", cov_kwds={"groups": groups})
    test = cluster_t(np.bincount(groups, d), np.bincount(groups) * 1.0, bar=0.05, alpha=0.05, reach=1.0)
    assert test.p_value == pytest.approx(student.sf((d.mean() - 0.05) / fit.bse[0], 10), abs=1e-9)
    half_width = student.isf(0.05, 10) * fit.bse[0]
    assert (test.low, test.high) == pytest.approx((d.mean() - half_width, d.mean() + half_width), abs=1e-9)


def test_sign_flip_agrees_with_scipy_when_patterns_are_enumerated():
    sums = differences(9)
    p_value, p_reverse = sign_flip(sums, seed=0, resamples=99)
    for p, alternative in ((p_value, "greater"), (p_reverse, "less")):
        exact = permutation_test(
            (sums,), np.sum, permutation_type="samples", alternative=alternative, n_resamples=np.inf
        )
        assert p == pytest.approx(exact.pvalue, abs=1e-12)


@pytest.mark.parametrize(("wins", "losses"), [(3, 0), (6, 1), (9, 4), (0, 2)])
def test_sign_flip_is_mcnemar_when_differences_are_of_right_and_wrong(wins, losses):
    d = np.repeat([1.0, -1.0, 0.0], [wins, losses, 100])
    expected = mcnemar_exact(wins, losses), mcnemar_exact(losses, wins)
    assert sign_flip(d, seed=0, resamples=99) == pytest.approx(expected, abs=1e-12)


def test_sign_flip_draws_near_the_exact_p_when_units_are_too_many_to_enumerate():
    d = np.repeat([1.0, -1.0], [14, 8])
    drawn = sign_flip(d, seed=0, resamples=9999)
    assert drawn == pytest.approx((mcnemar_exact(14, 8), mcnemar_exact(8, 14)), abs=0.015)


def test_sign_flip_counts_the_observed_pattern_when_patterns_are_drawn():
    assert sign_flip(np.ones(40), seed=0, resamples=999)[0] == 1 / 1000


def test_sign_flip_says_nothing_when_nothing_deviates():
    assert sign_flip(np.zeros(8), seed=0, resamples=99) == (1.0, 1.0)


def test_bootstrap_interval_and_p_agree_when_the_bar_sits_at_an_end():
    d = differences(30)
    ends = studentised_bootstrap(d, bar=0.0, alpha=0.05, reach=1.0, seed=7, resamples=999)
    just_inside = studentised_bootstrap(d, bar=ends.low - 1e-9, alpha=0.05, reach=1.0, seed=7, resamples=999)
    just_outside = studentised_bootstrap(d, bar=ends.low + 1e-9, alpha=0.05, reach=1.0, seed=7, resamples=999)
    assert just_inside.p_value <= 0.05 < just_outside.p_value


def test_bootstrap_counts_the_observed_sample_when_no_resample_is_as_far():
    d = np.random.default_rng(0).normal(9.0, 0.1, 30)
    far_above = studentised_bootstrap(d, bar=0.0, alpha=0.05, reach=10.0, seed=0, resamples=999)
    far_below = studentised_bootstrap(-d, bar=0.0, alpha=0.05, reach=10.0, seed=0, resamples=999)
    assert (far_above.p_value, far_above.p_reverse) == (1 / 1000, 1.0)
    assert (far_below.p_value, far_below.p_reverse) == (1.0, 1 / 1000)


def test_bootstrap_is_near_the_t_interval_when_differences_are_normal():
    d = differences(300)
    boot = studentised_bootstrap(d, bar=0.0, alpha=0.05, reach=5.0, seed=1, resamples=9999)
    t = paired_t(d, bar=0.0, alpha=0.05)
    assert (boot.low, boot.high) == pytest.approx((t.low, t.high), abs=0.1 * (t.high - t.low))


def test_bootstrap_follows_the_skew_when_a_long_tail_lies_above():
    d = np.random.default_rng(2).exponential(1.0, 30)
    boot = studentised_bootstrap(d, bar=0.0, alpha=0.05, reach=9.0, seed=1, resamples=9999)
    assert boot.high - d.mean() > 1.3 * (d.mean() - boot.low)


def test_bootstrap_end_is_the_reach_when_too_many_resamples_lack_variance():
    d = np.zeros(50)
    d[0] = 1.0
    test = studentised_bootstrap(d, bar=0.0, alpha=0.05, reach=1.0, seed=0, resamples=999)
    assert test.high == 1.0
    assert np.isfinite(test.low)
    assert test.p_value > 0.05


def test_too_few_resamples_are_refused_when_alpha_is_out_of_reach():
    assert tail_count(0.05, 9999) == 500
    assert tail_count(0.05, 19) == 1
    with pytest.raises(ValueError, match="18 resamples"):
        tail_count(0.05, 18)


def test_constant_difference_is_a_sign_test_when_off_the_bar():
    test = constant_difference(0.2, 6, bar=0.0, alpha=0.05, reach=1.0)
    assert (test.p_value, test.p_reverse) == (pytest.approx(0.5**6), 1.0)
    mirrored = constant_difference(-0.2, 6, bar=0.0, alpha=0.05, reach=1.0)
    assert (mirrored.p_value, mirrored.p_reverse) == (1.0, pytest.approx(0.5**6))
    assert (mirrored.low, mirrored.high) == pytest.approx((-test.high, -test.low))


def test_constant_difference_says_nothing_when_at_the_bar():
    test = constant_difference(0.1, 50, bar=0.1, alpha=0.05, reach=1.0)
    assert (test.p_value, test.p_reverse) == (1.0, 1.0)
    assert test.low < 0.1 < test.high
