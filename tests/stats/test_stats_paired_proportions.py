import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import binom, binomtest, norm
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from harness.stats.paired_proportions import (
    _chance_of_region,
    _fewest_wins,
    _score,
    mcnemar_exact,
    mcnemar_midp,
    newcombe_interval,
    tango_exact_p_value,
    tango_interval,
    tango_p_value,
)

COUNTS = st.tuples(*[st.integers(0, 40)] * 4).filter(lambda counts: sum(counts) > 0)


def test_mcnemar_agrees_with_scipy_when_every_small_table_is_enumerated():
    for wins in range(12):
        for losses in range(12):
            total = wins + losses
            expected = binomtest(wins, total, 0.5, alternative="greater").pvalue if total else 1.0
            assert mcnemar_exact(wins, losses) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("wins", "losses"), [(3, 0), (9, 2), (19, 15), (130, 101)])
def test_mcnemar_is_half_of_the_two_sided_test_when_wins_are_more(wins, losses):
    two_sided = mcnemar([[50, wins], [losses, 50]], exact=True).pvalue
    assert 2 * mcnemar_exact(wins, losses) == pytest.approx(two_sided, abs=1e-9)


@pytest.mark.parametrize("changing", [0.05, 0.3, 1.0])
def test_mcnemar_rejects_at_most_alpha_when_every_outcome_is_enumerated(changing):
    n, alpha = 25, 0.05
    rejected = sum(
        binom.pmf(d, n, changing) * binom.pmf(w, d, 0.5)
        for d in range(n + 1)
        for w in range(d + 1)
        if mcnemar_exact(w, d - w) <= alpha
    )
    assert rejected <= alpha


def test_no_discordant_pair_says_nothing_when_mcnemar_is_asked():
    assert mcnemar_exact(0, 0) == 1.0


def test_midp_counts_half_of_the_outcome_when_every_small_table_is_enumerated():
    for wins in range(12):
        for losses in range(12):
            total = wins + losses
            expected = binom.sf(wins, total, 0.5) + binom.pmf(wins, total, 0.5) / 2
            assert mcnemar_midp(wins, losses) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("wins", "losses"), [(3, 0), (9, 2), (19, 15), (130, 101)])
def test_midp_is_the_two_sided_exact_test_less_the_outcome_when_wins_are_more(wins, losses):
    two_sided = mcnemar([[50, wins], [losses, 50]], exact=True).pvalue
    expected = two_sided - binom.pmf(wins, wins + losses, 0.5)  # Fagerland et al. 2013
    assert 2 * mcnemar_midp(wins, losses) == pytest.approx(expected, abs=1e-9)


@given(st.integers(0, 200), st.integers(0, 200))
def test_midp_never_exceeds_the_exact_test_and_sums_to_one_when_reversed(wins, losses):
    assert mcnemar_midp(wins, losses) <= mcnemar_exact(wins, losses)
    assert mcnemar_midp(wins, losses) + mcnemar_midp(losses, wins) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("changing", [0.05, 0.3, 1.0])
def test_midp_rejects_at_most_slightly_above_alpha_when_every_outcome_is_enumerated(changing):
    n, alpha = 50, 0.05
    rejected = sum(
        binom.pmf(d, n, changing) * binom.pmf(w, d, 0.5)
        for d in range(n + 1)
        for w in range(d + 1)
        if mcnemar_midp(w, d - w) <= alpha
    )
    assert rejected <= 0.06


def test_tango_interval_matches_the_reference_when_given_36_12_2_0():
    assert tango_interval(36, 12, 2, 0, 0.95) == pytest.approx((0.0611, 0.3447), abs=5e-5)


def test_newcombe_interval_matches_the_reference_when_given_36_12_2_0():
    assert newcombe_interval(36, 12, 2, 0, 0.95) == pytest.approx((0.0569, 0.3404), abs=5e-5)


def test_methods_match_r_contingencytables_when_given_the_table_of_cavo_2012():
    counts = (59, 6, 16, 80)  # expected values: the tests of the R package contingencytables
    assert tango_interval(*counts, 0.95) == pytest.approx((-0.1240, -0.0054), abs=5e-5)
    assert newcombe_interval(*counts, 0.95) == pytest.approx((-0.1186, -0.0046), abs=5e-5)
    assert 2 * mcnemar_exact(16, 6) == pytest.approx(0.052479, abs=5e-7)
    assert 2 * mcnemar_midp(16, 6) == pytest.approx(0.034690, abs=5e-7)


@pytest.mark.parametrize("counts", [(0, 0, 3, 7), (0, 3, 0, 7), (2, 1, 1, 1), (3, 2, 1, 1)])
def test_newcombe_takes_both_as_independent_when_the_corrected_correlation_is_0(counts):
    n11, n10, n01, _ = counts
    n, first, second = sum(counts), n11 + n10, n11 + n01
    (low, high), (other_low, other_high) = (proportion_confint(x, n, 0.1, method="wilson") for x in (first, second))
    delta, first, second = (first - second) / n, first / n, second / n
    expected = (
        delta - math.hypot(first - low, other_high - second),
        delta + math.hypot(high - first, second - other_low),
    )
    assert newcombe_interval(*counts, 0.9) == pytest.approx(expected, abs=1e-9)


def score_by_maximisation(counts, delta):
    """Tango's statistic with the nuisance found by maximising the likelihood numerically."""
    n11, n10, n01, n00 = counts
    n = sum(counts)

    def minus_log_likelihood(loss_share):
        rest = 1 - 2 * loss_share - delta
        return -sum(
            count * math.log(max(share, 1e-300))
            for count, share in ((n10, loss_share + delta), (n01, loss_share), (n11 + n00, rest))
        )

    bounds = (max(0.0, -delta), (1 - delta) / 2)
    loss_share = minimize_scalar(minus_log_likelihood, bounds=bounds, method="bounded", options={"xatol": 1e-10}).x
    return (n10 - n01 - n * delta) / math.sqrt(n * (2 * loss_share + delta * (1 - delta)))


@pytest.mark.parametrize("counts", [(36, 12, 2, 0), (5, 3, 4, 8), (90, 1, 7, 2), (0, 2, 1, 0)])
@pytest.mark.parametrize("delta", [-0.3, -0.05, 0.02, 0.1])
def test_tango_p_value_agrees_when_the_likelihood_is_maximised_numerically(counts, delta):
    expected = norm.sf(score_by_maximisation(counts, delta))
    assert tango_p_value(*counts, delta) == pytest.approx(expected, abs=1e-6)


@given(COUNTS, st.sampled_from([0.8, 0.9, 0.95]))
def test_tango_ends_are_where_the_p_value_is_the_tail_when_inside(counts, confidence):
    low, high = tango_interval(*counts, confidence)
    n11, n10, n01, n00 = counts
    assert -1 <= low <= (n10 - n01) / sum(counts) <= high <= 1
    tail = (1 - confidence) / 2
    if low > -1:
        assert tango_p_value(*counts, low) == pytest.approx(tail, abs=1e-7)
    if high < 1:
        assert tango_p_value(n11, n01, n10, n00, -high) == pytest.approx(tail, abs=1e-7)


@given(COUNTS)
def test_intervals_are_mirrored_when_the_systems_swap(counts):
    n11, n10, n01, n00 = counts
    for interval in (tango_interval, newcombe_interval):
        low, high = interval(*counts, 0.9)
        assert interval(n11, n01, n10, n00, 0.9) == pytest.approx((-high, -low), abs=1e-9)


@given(st.integers(1, 500), st.integers(0, 500))
def test_tango_interval_stays_wide_when_no_pair_is_discordant(both, neither):
    n, z = both + neither, norm.isf(0.05)
    expected = z * z / (n + z * z)
    assert tango_interval(both, 0, 0, neither, 0.9) == pytest.approx((-expected, expected), abs=1e-9)


@pytest.mark.parametrize(("counts", "closed_end"), [((0, 9, 0, 0), 1), ((0, 0, 9, 0), 0)])
def test_tango_interval_reaches_the_limit_when_every_pair_goes_one_way(counts, closed_end):
    interval = tango_interval(*counts, 0.9)
    assert abs(interval[closed_end]) == 1
    assert abs(interval[1 - closed_end]) < 1


def test_tango_p_value_is_monotone_when_the_margin_grows():
    p = [tango_p_value(30, 8, 3, 9, margin) for margin in np.linspace(-0.9, 0.9, 61)]
    assert np.all(np.diff(p) >= 0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: mcnemar_exact(-1, 2),
        lambda: mcnemar_midp(-1, 2),
        lambda: mcnemar_midp(2, -1),
        lambda: tango_interval(0, 0, 0, 0, 0.9),
        lambda: tango_interval(1, float("nan"), 0, 0, 0.9),
        lambda: tango_interval(1, -1, 3, 0, 0.9),
        lambda: tango_interval(1, 1, 1, 1, 1.0),
        lambda: tango_p_value(1, 1, 1, 1, 1.5),
        lambda: tango_p_value(1, 1, 1, 1, float("nan")),
        lambda: newcombe_interval(1, 1, 1, 1, 0.0),
    ],
)
def test_value_error_is_raised_when_counts_or_rates_are_impossible(call):
    with pytest.raises(ValueError, match=r"must|needs"):
        call()


@pytest.mark.parametrize("counts", [(0, 0), (2, 1), (1, 3), (6, 0), (0, 8), (0, 9), (9, 0)])
@pytest.mark.parametrize("delta", [-1.0, -0.3, 0.0, 0.1, 1.0])
def test_the_region_holds_every_table_that_is_as_far_when_each_is_tried(counts, delta):
    seen, fewest = _score(*counts, 9, delta), []
    for lost in range(10):
        far = [w for w in range(10 - lost) if _score(w, lost, 9, delta) >= seen - 1e-9]
        if not far:
            break
        fewest.append(min(far))
    assert _fewest_wins(*counts, 9, delta).tolist() == fewest


@pytest.mark.parametrize(("counts", "margin"), [((3, 4, 1, 2), 0.1), ((6, 1, 2, 3), -0.2), ((20, 9, 3, 8), 0.05)])
def test_exact_tango_p_is_the_largest_chance_over_300_shares(counts, margin):
    n, wins, losses = sum(counts), counts[1], counts[2]
    fewest = _fewest_wins(wins, losses, n, margin)
    lowest, highest = max(0.0, -margin), (1 - margin) / 2
    chances = []
    for turn in np.linspace(0, math.pi / 2, 300):
        share = lowest + (highest - lowest) * math.sin(turn) ** 2
        win_share = min(1.0, max(0.0, (share + margin) / (1 - share)))
        enough = [binom.sf(needed - 1, n - lost, win_share) for lost, needed in enumerate(fewest)]
        chances.append(sum(binom.pmf(lost, n, share) * more for lost, more in enumerate(enough)))
    assert tango_exact_p_value(*counts, margin) == pytest.approx(max(chances), abs=1e-9)


def test_exact_tango_p_is_a_chance_when_every_table_is_as_far():
    assert all(tango_exact_p_value(0, 0, n, 0, margin) <= 1.0 for n in range(1, 40) for margin in (-0.1, 0.0, 0.1))
    assert tango_exact_p_value(0, 0, 5, 0, -1.0) == tango_exact_p_value(0, 5, 0, 0, 1.0) == 1.0


@pytest.mark.parametrize("test", [tango_p_value, tango_exact_p_value])
def test_the_margin_is_named_when_it_is_out_of_range(test):
    for margin in (-1.5, 1.5, math.nan):
        with pytest.raises(ValueError, match=f"^the margin must lie between -1 and 1, not {margin}$"):
            test(1, 1, 1, 1, margin)


def test_a_margin_of_all_or_nothing_is_a_margin():
    assert tango_p_value(0, 5, 0, 0, 1.0) == tango_p_value(0, 0, 5, 0, -1.0) == 0.5


def test_the_chance_of_everything_is_1_when_losses_are_summed_around_their_mean():
    every = np.zeros(10_001, dtype=np.int64)
    assert _chance_of_region(every, 10_000, 0.2, 0.1) == pytest.approx(1.0, abs=1e-10)
    assert _chance_of_region(every[:1001], 10_000, 0.2, 0.1) == pytest.approx(0.0, abs=1e-12)


def test_every_pair_that_is_no_loss_is_a_win_when_the_margin_leaves_no_other():
    assert _chance_of_region(np.array([3, 2]), 5, 0.6, 0.1) == pytest.approx(0.4**5 + 5 * 0.6 * 0.4**4)


def test_an_interval_begins_at_minus_1_when_nearly_all_of_a_weighted_sample_is_lost():
    assert tango_interval(0, 1e-12, 1.0, 0, 0.9)[0] == -1.0


def test_tango_p_value_takes_counts_of_a_weighted_sample_when_they_are_below_1():
    counts = (0.1, 0.2, 0.05, 0.15)
    assert tango_p_value(*counts, 0.1) == pytest.approx(norm.sf(score_by_maximisation(counts, 0.1)), abs=1e-6)
