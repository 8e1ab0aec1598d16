from itertools import product

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.stats import permutation_test, ttest_1samp
from scipy.stats import t as student

from harness.stats import mean_tests
from harness.stats.mean_tests import (
    _cluster_means,
    chunk_sizes,
    cluster_bootstrap,
    cluster_t,
    constant_difference,
    paired_t,
    sign_flip,
    sign_patterns,
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


def cluster_mean(sums, sizes):
    """The mean over items and its cluster-robust standard error, one cluster at a time."""
    clusters, items = len(sums), sum(sizes)
    mean = sum(sums) / items
    squares = sum((total - mean * size) ** 2 for total, size in zip(sums, sizes, strict=True))
    return mean, (clusters / (clusters - 1) * squares) ** 0.5 / items


CLUSTERS = {
    "two": ([0.5, 3.0], [1.0, 4.0]),
    "three, of which a resample is often one": ([0.5, 2.0, -0.25], [1.0, 2.0, 4.0]),
    "eight": ([0.5, 2.0, -0.25, 1.0, 1.5, 0.75, -1.0, 3.0], [1.0, 4.0, 2.0, 2.0, 3.0, 1.0, 2.0, 8.0]),
}


@pytest.mark.parametrize("cells", [10, 2_000_000], ids=["in many chunks", "in one"])
@pytest.mark.parametrize("bar", [None, 0.0, 0.2, -0.3], ids=["at the mean", "0", "above 0", "below 0"])
@pytest.mark.parametrize("name", CLUSTERS)
def test_cluster_bootstrap_counts_each_resample_when_they_are_drawn_one_by_one(name, bar, cells, monkeypatch):
    monkeypatch.setattr(mean_tests, "CELLS_PER_CHUNK", cells)
    sums, sizes = map(np.array, CLUSTERS[name])
    clusters, rng = len(sums), np.random.default_rng(3)
    mean, error = cluster_mean(sums, sizes)
    bar = mean if bar is None else bar
    above = below = 0
    for rows in chunk_sizes(99, clusters):
        for drawn in rng.integers(clusters, size=(rows, clusters)):
            found, spread = cluster_mean(sums[drawn], sizes[drawn])
            t = (found - mean) / spread if spread > 1e-12 else np.copysign(np.inf, found - mean)
            above, below = above + (t >= (mean - bar) / error), below + (t <= (mean - bar) / error)
    found = cluster_bootstrap(sums, sizes, bar=bar, reach=1.0, seed=3, resamples=99)
    assert found == ((1 + above) / 100, (1 + below) / 100)


@pytest.mark.parametrize(
    ("sums", "sizes"), [([0.5], [2.0]), ([0.5, 1.0], [1.0, 2.0]), ([2.0, 2.0 + 8e-12], [2.0, 2.0])]
)
def test_clusters_without_variance_have_nothing_to_follow(sums, sizes):
    sums, sizes = np.array(sums), np.array(sizes)
    assert cluster_bootstrap(sums, sizes, bar=0.1, reach=2.0, seed=0, resamples=99) == (0.0, 0.0)
    expected = constant_difference(sum(sums) / sum(sizes), len(sums), bar=0.1, alpha=0.05, reach=2.0)
    assert cluster_t(sums, sizes, bar=0.1, alpha=0.05, reach=2.0) == expected


def test_two_clusters_are_judged_by_their_variance_when_they_differ():
    sums, sizes = map(np.array, CLUSTERS["two"])
    mean, error = cluster_mean(sums, sizes)
    test = cluster_t(sums, sizes, bar=0.1, alpha=0.05, reach=1.0)
    assert test.p_value == pytest.approx(student.sf((mean - 0.1) / error, 1), abs=1e-9)
    half_width = student.isf(0.05, 1) * error
    assert (test.low, test.high) == pytest.approx((mean - half_width, mean + half_width), abs=1e-9)


@pytest.mark.parametrize("cells", [10, 2_000_000], ids=["in many chunks", "in one"])
@pytest.mark.parametrize("bar", [0.5, 0.0, 0.75, -2.0], ids=["at the mean", "below it", "above it", "far"])
@pytest.mark.parametrize("values", [[0.0, 0.5, 1.0], [-1.0, 0.0, 0.5, 1.0, 2.0], [0.0, 0.25, 0.25, 0.5, 1.0, 0.5, 1.0]])
def test_bootstrap_is_what_its_resamples_say_when_they_are_drawn_one_by_one(values, bar, cells, monkeypatch):
    monkeypatch.setattr(mean_tests, "CELLS_PER_CHUNK", cells)
    d = np.array(values)
    n, rng, t = len(d), np.random.default_rng(3), []
    error = np.std(d, ddof=1) / n**0.5
    for rows in chunk_sizes(199, n):
        for drawn in (d - 0.5)[rng.integers(n, size=(rows, n))]:
            spread = np.std(drawn, ddof=1) / n**0.5
            t.append(np.copysign(np.inf, drawn.mean()) if spread == 0 else drawn.mean() / spread)
    t, observed = np.sort(t), (0.5 - bar) / error
    test = studentised_bootstrap(d, bar=bar, alpha=0.05, reach=4.0, seed=3, resamples=199)
    assert test.p_value == (1 + sum(t >= observed)) / 200
    assert test.p_reverse == (1 + sum(t <= observed)) / 200
    assert test.low == pytest.approx(max(0.5 - t[-10] * error, -4.0), abs=1e-12)
    assert test.high == pytest.approx(min(0.5 - t[9] * error, 4.0), abs=1e-12)


def test_ends_of_the_bootstrap_are_the_tenth_of_200_when_no_two_resamples_agree():
    d = differences(12)
    n, rng, error = 12, np.random.default_rng(3), d.std(ddof=1) / 12**0.5
    drawn = (d - d.mean())[rng.integers(n, size=(199, n))]
    t = np.sort(drawn.mean(axis=1) / (drawn.std(axis=1, ddof=1) / n**0.5))
    test = studentised_bootstrap(d, bar=0.0, alpha=0.05, reach=9.0, seed=3, resamples=199)
    assert (test.low, test.high) == pytest.approx((d.mean() - t[-10] * error, d.mean() - t[9] * error), abs=1e-12)


@pytest.mark.parametrize(
    ("value", "bar", "p_value", "p_reverse"),
    [
        (0.5, 0.0, 0.5**7, 1.0),
        (-0.5, 0.0, 1.0, 0.5**7),
        (0.5, 0.2, (2.2 / 2.5) ** 7, 1.0),
        (0.5, -1.9, 0.5**7, 1.0),
        (0.2, 0.5, 1.0, (1.5 / 1.8) ** 7),
        (-0.5, 1.9, 1.0, 0.5**7),
        (1.0, -2.5, 0.5**7, 1.0),
        (2e-12, 0.0, 1.0, 1.0),
        (-2e-12, 0.0, 1.0, 1.0),
        (1.5e-12, 0.0, 1.0, 1.0),
        (-1.5e-12, 0.0, 1.0, 1.0),
        (3e-12, 0.0, 0.5**7, 1.0),
        (-3e-12, 0.0, 1.0, 0.5**7),
    ],
)
def test_constant_difference_is_its_formula_when_seven_pairs_are_equal(value, bar, p_value, p_reverse):
    unlike = 1 - 0.05 ** (1 / 7)
    test = constant_difference(value, 7, bar=bar, alpha=0.05, reach=2.0)
    assert (test.p_value, test.p_reverse) == pytest.approx((p_value, p_reverse), abs=1e-12)
    assert test.low == pytest.approx((1 - unlike) * value - unlike * 2.0, abs=1e-12)
    assert test.high == pytest.approx((1 - unlike) * value + unlike * 2.0, abs=1e-12)


def test_resamples_are_drawn_in_chunks_of_as_many_cells_as_may_be(monkeypatch):
    monkeypatch.setattr(mean_tests, "CELLS_PER_CHUNK", 10)
    assert list(chunk_sizes(10, 3)) == [3, 3, 3, 1]
    assert list(chunk_sizes(4, 5)) == [2, 2]
    assert list(chunk_sizes(2, 11)) == [1, 1]


@pytest.mark.parametrize("cells", [50, 2_000_000], ids=["in many chunks", "in one"])
def test_signs_that_are_drawn_are_counted_with_the_observed_one(cells, monkeypatch):
    monkeypatch.setattr(mean_tests, "CELLS_PER_CHUNK", cells)
    d = np.array([0.5, -0.25, 1.0, 0.25] * 4)
    rng, totals = np.random.default_rng(3), [d.sum()]
    for rows in chunk_sizes(99, 16):
        negative = rng.integers(2, size=(rows, 16), dtype=np.int8)
        totals += [(np.where(row, -1.0, 1.0) * d).sum() for row in negative]
    expected = sum(x >= d.sum() for x in totals) / 100, sum(x <= d.sum() for x in totals) / 100
    assert sign_flip(np.append(d, 0.0), seed=3, resamples=99) == expected
    reverse = sum(x >= -d.sum() for x in np.negative(totals)) / 100
    assert sign_flip(-d, seed=3, resamples=99)[0] == reverse


def test_every_pattern_of_signs_is_there_once_up_to_15_units():
    (patterns,) = sign_patterns(3, seed=0, resamples=9)
    assert {tuple(row) for row in patterns} == set(product((1.0, -1.0), repeat=3)) and len(patterns) == 8
    assert [len(chunk) for chunk in sign_patterns(15, seed=0, resamples=9)] == [2**15]


def test_the_observed_signs_come_first_when_the_others_are_drawn():
    observed, drawn = sign_patterns(16, seed=0, resamples=9)
    assert (observed == np.ones((1, 16))).all()
    assert drawn.shape == (9, 16) and set(np.unique(drawn)) == {-1.0, 1.0}


@pytest.mark.parametrize("name", CLUSTERS)
def test_means_and_errors_of_clusters_are_those_of_each_row(name):
    sums, sizes = map(np.array, CLUSTERS[name])
    means, errors = _cluster_means(np.stack([sums, sums[::-1]]), np.stack([sizes, sizes]))
    for row, (one, other) in enumerate(zip(means, errors, strict=True)):
        assert (one, other) == pytest.approx(cluster_mean(sums if row == 0 else sums[::-1], sizes), abs=1e-12)
