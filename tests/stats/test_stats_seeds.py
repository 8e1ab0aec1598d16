from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t, ttest_1samp

from harness.stats.mean_tests import constant_difference, sign_flip
from harness.stats.proportion import upper_bound
from harness.stats.seeds import SMALLEST_P, _two_source_t, compare_over_seeds, item_means

ALPHA = 0.05


def compare(differences, *, alpha=ALPHA, min_gain=0.0, resamples=199):
    return compare_over_seeds(differences, alpha=alpha, min_gain=min_gain, seed=0, resamples=resamples)


def gains(rng, *, seeds, n, between_seeds, between_items, noise, mean=0.0):
    """Differences (k, n) in which seeds and items both have an effect of their own."""
    return (
        mean
        + rng.normal(0, between_seeds, (seeds, 1))
        + rng.normal(0, between_items, (1, n))
        + rng.normal(0, noise, (seeds, n))
    )


# --- the estimate


def test_bounds_add_the_squares_of_both_half_widths_when_both_sources_vary():
    table = np.array([[0.1, 0.3, 0.2, 0.6], [0.0, 0.2, 0.5, 0.5], [0.3, 0.3, 0.2, 0.8]])
    result = compare(table)
    over_seeds = t.isf(0.05, 2) ** 2 * np.var([0.3, 0.3, 0.4], ddof=1) / 3
    over_items = t.isf(0.05, 3) ** 2 * np.var(table.mean(axis=0), ddof=1) / 4
    half_width = sqrt(over_seeds + over_items)
    assert result.delta.value == pytest.approx(1 / 3)
    assert result.seed_gains == pytest.approx((0.3, 0.3, 0.4))
    assert result.delta.high == pytest.approx(1 / 3 + half_width)
    assert (result.n, result.delta.n, result.delta.confidence) == (4, 4, 0.9)


def test_result_is_the_t_test_over_items_when_seeds_make_no_difference():
    row = np.random.default_rng(1).normal(0.1, 0.3, 40)
    result = compare([row] * 3, resamples=999)
    flipped, flipped_back = sign_flip(np.sort(row), seed=0, resamples=999)
    assert result.p_value == pytest.approx(max(ttest_1samp(row, 0, alternative="greater").pvalue, flipped))
    assert result.p_reverse == pytest.approx(max(ttest_1samp(row, 0, alternative="less").pvalue, flipped_back))


def test_p_value_is_the_t_test_over_seeds_when_items_make_no_difference():
    seed_gains = np.array([0.05, 0.1, 0.3, 0.02, 0.08])
    result = compare(np.repeat(seed_gains[:, None], 50, axis=1))
    assert result.p_value == pytest.approx(ttest_1samp(seed_gains, 0, alternative="greater").pvalue)


@given(st.integers(3, 6), st.integers(2, 30), st.integers(0, 10_000), st.sampled_from([0.0, 0.1, 0.4]))
def test_an_interval_excludes_min_gain_only_when_the_p_value_rejects_it(seeds, n, number, min_gain):
    rng = np.random.default_rng(number)
    table = gains(rng, seeds=seeds, n=n, between_seeds=0.1, between_items=0.2, noise=0.1, mean=0.25)
    result = compare(table, min_gain=min_gain)
    assert (result.delta.low > min_gain) <= (result.p_value <= ALPHA)
    assert (result.delta.high < min_gain) <= (result.p_reverse <= ALPHA)
    assert result.delta.low <= result.delta.value <= result.delta.high


def test_one_lucky_seed_of_three_does_not_pass_when_its_items_alone_would():
    rng = np.random.default_rng(2)
    table = gains(rng, seeds=3, n=400, between_seeds=0, between_items=0.1, noise=0.1)
    table += np.array([[0.2], [0.0], [-0.01]])
    assert ttest_1samp(table.mean(axis=0), 0, alternative="greater").pvalue < 1e-6
    assert compare(table).p_value > ALPHA


def test_three_changed_items_of_200_do_not_pass_when_many_seeds_agree():
    table = np.zeros((20, 200))
    table[:, :3] = 1
    assert compare(table).p_value == pytest.approx(0.125, abs=0.06)  # 2^-3, estimated from 199 random signs


@pytest.mark.parametrize(("seeds", "p_value"), [(3, 0.125), (5, 0.03125)])
def test_exact_sign_test_over_seeds_decides_when_all_differences_are_equal(seeds, p_value):
    result = compare(np.full((seeds, 60), 0.1))
    assert result.p_value == p_value
    assert result.delta.low < 0.1 < result.delta.high


def test_both_p_values_are_1_when_nothing_differs():
    result = compare(np.zeros((3, 10)))
    assert (result.p_value, result.p_reverse) == (1.0, 1.0)


def test_result_is_unchanged_when_seeds_and_items_are_reordered():
    rng = np.random.default_rng(3)
    table = gains(rng, seeds=4, n=30, between_seeds=0.1, between_items=0.2, noise=0.1)
    there, back = compare(table), compare(table[::-1, rng.permutation(30)])
    assert back.p_value == pytest.approx(there.p_value, abs=1e-12)
    assert (back.delta.low, back.delta.high) == pytest.approx((there.delta.low, there.delta.high))


def test_a_gain_is_held_against_0_and_the_method_is_named_when_no_bar_is_given():
    table = gains(np.random.default_rng(1), seeds=3, n=20, between_seeds=0.1, between_items=0.2, noise=0.1)
    result = compare_over_seeds(table, alpha=ALPHA, seed=0, resamples=199)
    assert result == compare(table)
    method = "t over 3 training seeds and 20 items (Banerjee), and sign-flip over items, the larger p"
    assert result.method == result.delta.method == method


def test_the_signs_are_those_of_the_gains_over_the_bar_when_there_is_one():
    row = np.array([0.3, 0.32, 0.31])
    assert compare([row] * 3, min_gain=0.2).p_value == 0.125  # 2^-3; the t test says less
    assert compare([row] * 3, min_gain=0.4).p_reverse == 0.125


def test_an_end_stays_where_the_t_test_puts_it_when_alpha_is_the_p_value_itself():
    table = [np.array([0.3, 0.32, 0.31])] * 3
    t_test = _two_source_t(np.mean(table, axis=1), np.mean(table, axis=0), bar=0.2, alpha=0.125, reach=1.0)
    assert compare(table, alpha=0.125, min_gain=0.2).delta.low == t_test.low > 0.2
    assert compare(table, alpha=0.125, min_gain=0.4).delta.high == t_test.high < 0.4
    assert compare(table, alpha=0.12, min_gain=0.2).delta.low == 0.2
    assert compare(table, alpha=0.12, min_gain=0.4).delta.high == 0.4


SEED_GAINS = np.array([0.05, 0.1, 0.3, 0.02, 0.08])


@pytest.mark.parametrize("bar", [0.0, 0.05, 0.2, -0.1])
def test_p_values_are_those_of_the_t_test_at_any_bar_when_items_make_no_difference(bar):
    mean = SEED_GAINS.mean()
    found = _two_source_t(SEED_GAINS, np.full(50, mean), bar=bar, alpha=ALPHA, reach=1.0)
    assert found.p_value == pytest.approx(ttest_1samp(SEED_GAINS, bar, alternative="greater").pvalue)
    assert found.p_reverse == pytest.approx(ttest_1samp(SEED_GAINS, bar, alternative="less").pvalue)


def test_a_p_value_is_a_half_at_the_mean_and_ends_where_no_approximation_holds():
    items = np.array([0.25, 0.5, 0.75, 0.5])
    at_the_mean = _two_source_t(items[:3], items, bar=0.5, alpha=ALPHA, reach=1.0)
    assert (at_the_mean.p_value, at_the_mean.p_reverse) == (0.5, 0.5)
    far = _two_source_t(np.full(3, 0.5), np.tile(items, 50), bar=-5.0, alpha=ALPHA, reach=9.0)
    assert (far.p_value, far.p_reverse) == (SMALLEST_P, 1 - SMALLEST_P)


def test_a_small_p_value_is_as_precise_as_a_large_one():
    items = np.random.default_rng(8).normal(0.28, 0.2, 50)
    found = _two_source_t(np.full(3, items.mean()), items, bar=0.0, alpha=ALPHA, reach=1.0)
    expected = ttest_1samp(items, 0, alternative="greater").pvalue
    assert expected < 1e-9
    assert found.p_value == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("values", [[0.0, 1e-12], [2.0, 2.0 + 1.9e-12]])
def test_gains_that_differ_by_rounding_are_judged_as_equal(values):
    gains, reach = np.array(values), max(1.0, values[1])
    found = _two_source_t(np.full(3, gains.mean()), gains, bar=0.0, alpha=ALPHA, reach=reach)
    assert found == constant_difference(float(gains.mean()), 3, bar=0.0, alpha=ALPHA, reach=reach)


# --- error rates

WORLDS = [
    {"between_seeds": 0.0, "between_items": 0.3, "noise": 0.0},
    {"between_seeds": 0.02, "between_items": 0.3, "noise": 0.2},
    {"between_seeds": 0.1, "between_items": 0.3, "noise": 0.1},
    {"between_seeds": 0.1, "between_items": 0.02, "noise": 0.05},
]


def shipped(world, rng, *, replicates, seeds, n, mean=0.0):
    tables = (gains(rng, seeds=seeds, n=n, mean=mean, **world) for _ in range(replicates))
    return sum(compare(table, resamples=99).p_value <= ALPHA for table in tables)


@pytest.mark.parametrize("world", WORLDS)
def test_few_recipes_without_a_gain_ship_when_simulated_500_times(world):
    assert 0 < shipped(world, np.random.default_rng(4), replicates=500, seeds=3, n=60) <= 42


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("world", WORLDS)
def test_upper_bound_of_the_ship_rate_is_6_percent_when_simulated_10_000_times(world, seeds):
    count = shipped(world, np.random.default_rng(5), replicates=10_000, seeds=seeds, n=60)
    assert upper_bound(int(count), 10_000, 0.05) <= 0.06


@pytest.mark.parametrize(
    ("ignored", "axis", "world"),
    [
        ("seeds", 0, {"between_seeds": 0.1, "between_items": 0.3, "noise": 0.1}),
        ("items", 1, {"between_seeds": 0.01, "between_items": 0.3, "noise": 0.1}),
    ],
)
def test_recipes_ship_too_often_when_one_source_is_ignored(ignored, axis, world):
    rng, wrong = np.random.default_rng(6), 0
    for _ in range(300):
        means = gains(rng, seeds=3, n=100, **world).mean(axis=axis)
        wrong += ttest_1samp(means, 0, alternative="greater").pvalue <= ALPHA
    assert wrong > 45, ignored  # the reason for both variances: more than 15 % instead of 5 %


def test_a_clear_gain_ships_when_three_seeds_show_it():
    world = {"between_seeds": 0.02, "between_items": 0.3, "noise": 0.2}
    assert shipped(world, np.random.default_rng(7), replicates=100, seeds=3, n=200, mean=0.1) >= 80


# --- repeated generations


def test_item_means_average_the_generations_when_each_item_has_several():
    assert item_means([[1, 0, 1, 1], [0, 0, 0, 1]]).tolist() == [0.75, 0.25]


# --- refusals


@pytest.mark.parametrize(
    "differences",
    [
        np.zeros((2, 50)),
        np.zeros((3, 1)),
        np.zeros(50),
        np.zeros((3, 4, 2)),
        [[0.1, 0.2], [0.1, float("nan")], [0.0, 0.1]],
        [[0.1, 0.2], [0.1, float("inf")], [0.0, 0.1]],
        [[0.1, 0.2], [0.1, None], [0.0, 0.1]],
    ],
)
def test_differences_are_refused_when_they_cannot_show_both_variances(differences):
    with pytest.raises(ValueError, match=r"needs|must"):
        compare(differences)


@pytest.mark.parametrize("changed", [{"alpha": 0.0}, {"alpha": 0.5}, {"min_gain": -0.1}, {"min_gain": float("nan")}])
def test_rates_are_refused_when_they_are_out_of_range(changed):
    with pytest.raises(ValueError, match="need alpha"):
        compare(np.eye(3), **changed)


@pytest.mark.parametrize("scores", [[], [1.0, 0.0], [[]], [[1.0, float("nan")]], [[1.0, None]]])
def test_scores_are_refused_when_they_are_no_table_of_finite_numbers(scores):
    with pytest.raises(ValueError, match="finite"):
        item_means(scores)
