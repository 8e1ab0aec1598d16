import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.stats.paired import compare_corpus

ROWS = st.lists(st.tuples(*[st.integers(0, 5)] * 6), min_size=1, max_size=20)


def micro_f1(total):
    """F1 of a corpus from summed (hits, false alarms, misses): not the mean of the examples' F1."""
    hits, false_alarms, misses = total
    return 2 * hits / max(1.0, 2 * hits + false_alarms + misses)


def compare(candidate, baseline, seed=0, resamples=199):
    return compare_corpus(candidate, baseline, micro_f1, alpha=0.05, seed=seed, resamples=resamples)


def random_stats(n, hit_rate, seed):
    hits = np.random.default_rng(seed).binomial(10, hit_rate, n)
    return np.stack([hits, np.full(n, 2), 10 - hits], axis=1)


def test_delta_is_the_difference_of_corpus_metrics_when_examples_differ_in_size():
    candidate, baseline = [[9, 1, 0], [0, 1, 1]], [[5, 5, 4], [1, 0, 0]]
    result = compare(candidate, baseline)
    assert result.delta.value == pytest.approx(18 / 21 - 12 / 21)
    assert (result.n, result.wins, result.losses) == (2, 1, 1)


def test_p_is_one_when_systems_are_identical():
    stats = random_stats(50, 0.5, 0)
    result = compare(stats, stats.copy())
    assert (result.p_value, result.p_reverse) == (1.0, 1.0)
    assert (result.delta.value, result.delta.low, result.delta.high) == (0.0, 0.0, 0.0)


def test_a_clear_gain_is_found_when_the_candidate_hits_more():
    result = compare(random_stats(100, 0.6, 1), random_stats(100, 0.5, 2))
    assert result.p_value <= 0.01
    assert result.p_reverse > 0.99
    assert 0 < result.delta.low < result.delta.value < result.delta.high


@pytest.mark.parametrize(("wins", "n"), [(1, 1), (2, 2), (3, 200), (4, 60)])
def test_p_is_no_smaller_than_an_exchange_allows_when_few_examples_changed(wins, n):
    baseline = np.tile([5, 2, 5], (n, 1))
    candidate = baseline.copy()
    candidate[:wins] = [9, 2, 1]
    result = compare(candidate, baseline, resamples=999)
    assert result.p_value >= 0.5**wins
    assert result.delta.low <= 0


@settings(deadline=None, max_examples=50)
@given(ROWS)
def test_corpus_result_is_mirrored_when_the_systems_swap(rows):
    first, second = np.array(rows)[:, :3], np.array(rows)[:, 3:]
    there, back = compare(first, second, resamples=99), compare(second, first, resamples=99)
    assert (back.p_value, back.p_reverse) == pytest.approx((there.p_reverse, there.p_value), abs=0.02)
    assert (back.delta.low, back.delta.high) == pytest.approx((-there.delta.high, -there.delta.low))
    assert (back.wins, back.losses) == (there.losses, there.wins)


def test_corpus_p_barely_moves_when_examples_are_reordered():
    first, second = random_stats(80, 0.53, 3), random_stats(80, 0.5, 4)
    order = np.random.default_rng(5).permutation(80)
    there, shuffled = (
        compare(first, second, resamples=9999),
        compare(first[order], second[order], resamples=9999),
    )
    assert shuffled.p_value == pytest.approx(there.p_value, abs=0.015)
    assert shuffled.delta.value == there.delta.value


def test_the_seed_decides_when_systems_differ():
    first, second = random_stats(30, 0.53, 3), random_stats(30, 0.5, 4)
    assert compare(first, second, seed=0) == compare(first, second, seed=0)
    assert compare(first, second, seed=0).delta.low != compare(first, second, seed=1).delta.low


@pytest.mark.parametrize(
    ("candidate", "baseline"),
    [
        (np.empty((0, 3)), np.empty((0, 3))),
        ([[1, 2, 3]], [[1, 2, 3], [1, 2, 3]]),
        ([[1, 2, float("nan")]], [[1, 2, 3]]),
        ([1, 2, 3], [1, 2, 3]),
    ],
)
def test_statistics_are_refused_when_empty_unequal_or_not_finite(candidate, baseline):
    with pytest.raises(ValueError, match=r"at least one pair|shapes|finite"):
        compare(candidate, baseline)


def test_a_metric_is_refused_when_it_is_not_finite():
    with pytest.raises(ValueError, match="metric must be finite"):
        compare_corpus([[1.0]], [[2.0]], lambda _: float("nan"), alpha=0.05, seed=0)
