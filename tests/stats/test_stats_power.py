from math import ceil

import numpy as np
import pytest
from scipy.stats import multinomial, norm

from harness.stats import power
from harness.stats.paired_proportions import mcnemar_exact
from harness.stats.power import _likely_counts, chance_to_ship, examples_needed, smallest_detectable_gain
from harness.stats.sequential import decide_sequential


@pytest.mark.parametrize("gain", [-0.1, 0.0, 0.15, 0.3])
@pytest.mark.parametrize("n", [1, 6, 17])
def test_chance_to_ship_is_the_exact_sum_when_every_table_is_enumerated(n, gain):
    changing, alpha = 0.3, 0.05
    shares = [(changing + gain) / 2, (changing - gain) / 2, 1 - changing]
    expected = sum(
        multinomial.pmf([wins, losses, n - wins - losses], n, shares)
        for wins in range(n + 1)
        for losses in range(n + 1 - wins)
        if mcnemar_exact(wins, losses) <= alpha
    )
    assert chance_to_ship(n, gain, changing, alpha) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("n", "points"), [(100, 11.5), (200, 8.1), (300, 6.6), (500, 5.1)])
def test_smallest_detectable_gain_matches_the_reference_when_a_fifth_changes(n, points):
    assert 100 * smallest_detectable_gain(n, 0.2, 0.05) == pytest.approx(points, abs=0.05)


def test_equal_systems_ship_at_most_alpha_when_n_is_any():
    assert all(chance_to_ship(n, 0.0, 0.2, 0.05) <= 0.05 for n in range(1, 200))


def test_changing_share_is_raised_when_the_gain_is_larger():
    assert chance_to_ship(60, 0.4, 0.1, 0.05) == chance_to_ship(60, 0.4, 0.4, 0.05)


def test_no_gain_is_detectable_when_four_wins_cannot_reach_alpha():
    assert smallest_detectable_gain(4, 0.2, 0.05) is None
    assert smallest_detectable_gain(5, 0.2, 0.05) is not None


def test_nothing_ships_when_nothing_changes():
    assert chance_to_ship(100, 0.0, 0.0, 0.05) == 0.0


@pytest.mark.parametrize(("effect", "power"), [(0.1, 0.8), (0.05, 0.8), (0.05, 0.95), (0.3, 0.5)])
def test_examples_needed_reach_the_power_when_one_fewer_does_not(effect, power):
    n = examples_needed(effect, 0.2, 0.05, power)
    assert chance_to_ship(n, effect, 0.2, 0.05) >= power > chance_to_ship(n - 1, effect, 0.2, 0.05)


def test_eight_tenths_are_asked_for_when_no_power_is_given():
    assert examples_needed(0.1, 0.2, 0.05) == examples_needed(0.1, 0.2, 0.05, 0.8)
    assert smallest_detectable_gain(100, 0.2, 0.05) == smallest_detectable_gain(100, 0.2, 0.05, 0.8)


def test_five_examples_are_needed_when_every_one_is_a_win():
    assert examples_needed(1.0, 0.2, 0.05) == 5
    with pytest.raises(ValueError, match="the smallest effect must lie in"):
        examples_needed(1.5, 0.2, 0.05)


@pytest.mark.parametrize("n", [64, 96])
def test_a_number_that_has_exactly_the_power_is_enough(n):
    found = examples_needed(0.1, 0.2, 0.05, chance_to_ship(n, 0.1, 0.2, 0.05))
    assert found <= n and type(found) is int


def test_a_gain_that_has_exactly_the_power_is_detectable():
    assert smallest_detectable_gain(10, 0.2, 0.05, chance_to_ship(10, 0.5, 0.2, 0.05)) == 0.5


def test_the_counts_summed_over_are_those_within_eight_deviations_and_twenty_more():
    assert _likely_counts(10_000, 0.2).tolist() == list(range(2000 - 320 - 20, 2000 + 320 + 21))
    assert _likely_counts(5, 0.5).tolist() == [0, 1, 2, 3, 4, 5]
    assert _likely_counts(5, 0.5).dtype == float


def test_every_share_and_gain_has_a_chance_up_to_the_largest():
    assert chance_to_ship(10, -1.0, 0.2, 0.05) == 0.0
    assert chance_to_ship(10, 1.0, 0.2, 0.05) == 1.0
    assert chance_to_ship(1000, 0.5, 1.0, 0.05) > 0.99


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: chance_to_ship(10, -1.5, 0.2, 0.05), "need n >= 1 and a gain in"),
        (lambda: chance_to_ship(10, 1.5, 0.2, 0.05), "need n >= 1 and a gain in"),
        (lambda: chance_to_ship(10, 0.1, 1.5, 0.05), "the share of changing examples must lie in"),
        (lambda: chance_to_ship(10, 0.1, -0.5, 0.05), "the share of changing examples must lie in"),
        (lambda: chance_to_ship(10, 0.1, 0.2, 0.5), "alpha must lie between 0 and 0.5, not 0.5"),
        (lambda: chance_to_ship(10, 0.1, 0.2, 0.9), "alpha must lie between 0 and 0.5, not 0.9"),
        (lambda: smallest_detectable_gain(10, 0.2, 0.05, 0.0), "power must lie between 0 and 1, not 0.0"),
        (lambda: smallest_detectable_gain(10, 0.2, 0.05, 1.5), "power must lie between 0 and 1, not 1.5"),
    ],
)
def test_the_rate_is_named_when_it_is_out_of_range(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_few_terms_are_summed_when_n_is_a_whole_benchmark(monkeypatch):
    counted = []

    def noted(n, changing):
        found = likely(n, changing)
        counted.append(len(found))
        return found

    likely = power._likely_counts
    monkeypatch.setattr(power, "_likely_counts", noted)
    smallest_detectable_gain(14_042, 0.2, 0.05)
    examples_needed(0.01, 0.2, 0.05)
    assert len(counted) <= 50 and sum(counted) <= 30_000  # of 50 times 14,042


@pytest.mark.parametrize(
    "call",
    [
        lambda: chance_to_ship(0, 0.1, 0.2, 0.05),
        lambda: chance_to_ship(10, float("nan"), 0.2, 0.05),
        lambda: chance_to_ship(10, 0.1, 1.2, 0.05),
        lambda: chance_to_ship(10, 0.1, 0.2, 0.0),
        lambda: smallest_detectable_gain(10, 0.2, 0.05, 1.0),
        lambda: examples_needed(0.0, 0.2, 0.05),
    ],
)
def test_value_error_is_raised_when_a_rate_is_out_of_range(call):
    with pytest.raises(ValueError, match=r"must|need"):
        call()


# --- what stopping early saves, against the fixed n with 80 % power


def mean_used(delta, changing, *, bar, pool, look_every, population, streams):
    """The mean number of items until a decision, over random orders of a pool with this true difference."""
    changing, rng = max(changing, abs(delta)), np.random.default_rng(50)
    wins, losses = round((changing + delta) / 2 * pool), round((changing - delta) / 2 * pool)
    values = np.repeat([1.0, -1.0, 0.0], [wins, losses, pool - wins - losses])
    used, right = [], 0
    for _ in range(streams):
        result = decide_sequential(
            rng.permutation(values),
            bar=bar,
            low=-1.0,
            high=1.0,
            alpha=0.05,
            population=pool if population else None,
            look_every=look_every,
        )
        used.append(result.n_used)
        right += result.decision == ("pass" if delta > bar else "fail")
    assert max(used) <= pool
    assert right >= 0.95 * streams
    return np.mean(used)


def drop_used(margin, changing, delta, *, streams):
    """For "not worse by the margin", as a share of the fixed n that shows it of an equal candidate."""
    fixed = ceil(changing * ((norm.isf(0.05) + norm.ppf(0.8)) / margin) ** 2)
    used = mean_used(delta, changing, bar=-margin, pool=3 * fixed, look_every=25, population=True, streams=streams)
    return used / fixed


@pytest.mark.parametrize(("margins", "most"), [(2 / 3, 0.45), (-3, 0.45), (0, 1.0)])
def test_mean_n_is_at_most_its_share_of_the_fixed_n_when_a_drop_may_stop_early(margins, most):
    assert drop_used(0.05, 0.2, margins * 0.05, streams=200) <= most


@pytest.mark.slow
@pytest.mark.parametrize(("margin", "changing"), [(0.05, 0.2), (0.03, 0.1), (0.02, 0.1)])
@pytest.mark.parametrize(("margins", "most"), [(2 / 3, 0.45), (-3, 0.45), (0, 1.0)])
def test_mean_n_is_at_most_its_share_of_the_fixed_n_over_2_000_streams_when_margins_differ(
    margin, changing, margins, most
):
    assert drop_used(margin, changing, margins * margin, streams=2000) <= most


@pytest.mark.parametrize("pools", [1, 3])
@pytest.mark.parametrize(("effect", "times"), [(0.05, 2), (0.05, -2), (0.08, 2), (0.08, -2), (0.08, 3)])
def test_45_percent_of_the_fixed_n_decide_a_gain_when_it_is_twice_what_the_fixed_n_shows(effect, times, pools):
    fixed = examples_needed(effect, 0.2, 0.05)
    used = mean_used(times * effect, 0.2, bar=0.0, pool=pools * fixed, look_every=50, population=False, streams=200)
    assert used <= 0.45 * fixed
