import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import binom, binomtest, norm
from statsmodels.stats.contingency_tables import mcnemar

from harness.stats.paired_proportions import (
    mcnemar_exact,
    mcnemar_midp,
    newcombe_interval,
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
