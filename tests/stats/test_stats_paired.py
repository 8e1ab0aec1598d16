import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, multinomial, ttest_rel

from harness.stats.mean_tests import cluster_bootstrap, cluster_t
from harness.stats.paired import (
    compare_binary,
    compare_bounded,
    compare_clustered,
    compare_paired,
)
from harness.stats.paired_proportions import (
    mcnemar_midp,
    tango_exact_p_value,
    tango_interval,
    tango_p_value,
)

ALPHA = 0.05
OUTCOMES = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=40)
TENTHS = st.integers(0, 10).map(lambda tenths: tenths / 10)
SCORES = st.lists(st.tuples(TENTHS, TENTHS), min_size=1, max_size=25)


def binary(pairs, min_gain=0.0):
    return compare_binary([c for c, _ in pairs], [b for _, b in pairs], alpha=ALPHA, min_gain=min_gain)


def bounded(pairs, min_gain=0.0):
    candidate, baseline = [c for c, _ in pairs], [b for _, b in pairs]
    return compare_bounded(candidate, baseline, alpha=ALPHA, min_gain=min_gain, seed=0, resamples=199)


def clustered(pairs, labels, min_gain=0.0):
    candidate, baseline = [c for c, _ in pairs], [b for _, b in pairs]
    return compare_clustered(candidate, baseline, labels, alpha=ALPHA, min_gain=min_gain, seed=0, resamples=199)


def status(result):
    if result.p_value <= ALPHA:
        return "pass"
    return "fail" if result.p_reverse <= ALPHA else "undecided"


# --- binary


def test_binary_result_is_mcnemar_and_tango_when_there_is_no_min_gain():
    result = binary([(1, 1)] * 36 + [(1, 0)] * 12 + [(0, 1)] * 2)
    assert (result.n, result.wins, result.losses) == (50, 12, 2)
    assert result.p_value == pytest.approx(binomtest(12, 14, 0.5, alternative="greater").pvalue, abs=1e-12)
    assert result.p_reverse == pytest.approx(binomtest(12, 14, 0.5, alternative="less").pvalue, abs=1e-12)
    assert result.delta.value == pytest.approx(0.2)
    assert (result.delta.low, result.delta.high) == pytest.approx(tango_interval(36, 12, 2, 0, 0.9))
    assert (result.delta.confidence, result.delta.n) == (0.9, 50)


def test_mid_p_is_used_and_named_when_asked_for():
    candidate, baseline = [1] * 4 + [1] * 40, [0] * 4 + [1] * 40
    exact, mid = (compare_paired(candidate, baseline, alpha=ALPHA, seed=0, mid_p=mid_p) for mid_p in (False, True))
    assert (exact.p_value, mid.p_value) == (0.0625, 0.03125)
    assert mid.p_reverse == mcnemar_midp(0, 4)
    assert (status(exact), status(mid)) == ("undecided", "pass")
    assert exact.method.startswith("exact one-sided McNemar")
    assert mid.method.startswith("mid-p one-sided McNemar")


def test_mid_p_changes_nothing_when_the_scores_are_not_binary():
    candidate, baseline = [0.5, 0.9, 0.7, 0.4], [0.4, 0.5, 0.7, 0.6]
    for clusters in (None, ["a", "a", "b", None]):
        exact, mid = (
            compare_paired(candidate, baseline, alpha=ALPHA, seed=0, clusters=clusters, resamples=199, mid_p=mid_p)
            for mid_p in (False, True)
        )
        assert exact == mid


def test_p_follows_tango_when_min_gain_is_substantial():
    pairs = [(1, 1)] * 36 + [(1, 0)] * 12 + [(0, 1)] * 2
    result = binary(pairs, min_gain=0.05)
    method = "Tango score test of a difference above 0.05, exact, and exact McNemar; Tango score interval"
    assert result.method == result.delta.method == method
    assert binary(pairs).method == binary(pairs).delta.method == "exact one-sided McNemar; Tango score interval"
    assert result.p_value == max(tango_p_value(36, 12, 2, 0, 0.05), tango_exact_p_value(36, 12, 2, 0, 0.05))
    assert result.p_reverse == max(tango_p_value(36, 2, 12, 0, -0.05), tango_exact_p_value(36, 2, 12, 0, -0.05))


BARS = (-0.5, -0.1, -0.01, -1e-6, 0.0, 1e-6, 0.01, 0.1, 0.5)
RANKS = {"fail": 0, "undecided": 1, "pass": 2}


@settings(deadline=None, max_examples=40)
@given(OUTCOMES, st.booleans())
def test_deciding_never_moves_up_when_min_gain_grows(pairs, mid_p):
    candidate, baseline = [c for c, _ in pairs], [b for _, b in pairs]
    found = [compare_binary(candidate, baseline, alpha=ALPHA, min_gain=bar, mid_p=mid_p) for bar in BARS]
    assert np.all(np.diff([RANKS[status(result)] for result in found]) <= 0)


def test_three_wins_of_200_do_not_pass_when_no_loss_is_seen():
    pairs = [(1, 0)] * 3 + [(1, 1)] * 120 + [(0, 0)] * 77
    assert binary(pairs).p_value == 0.125
    assert binary(pairs, min_gain=1e-6).p_value == 0.125
    assert bounded(pairs).p_value == 0.125
    assert binary(pairs).delta.low == bounded(pairs).delta.low == 0.0


@given(OUTCOMES, st.data())
def test_mcnemar_p_never_falls_when_the_candidate_gets_worse(pairs, data):
    index = data.draw(st.integers(0, len(pairs) - 1))
    worse = [(0, b) if i == index else (c, b) for i, (c, b) in enumerate(pairs)]
    assert binary(worse).p_value >= binary(pairs).p_value - 1e-12
    assert binary(worse).p_reverse <= binary(pairs).p_reverse + 1e-12


@given(OUTCOMES)
def test_binary_result_is_mirrored_when_the_systems_swap(pairs):
    there, back = binary(pairs), binary([(b, c) for c, b in pairs])
    assert (back.p_value, back.p_reverse) == (there.p_reverse, there.p_value)
    assert (back.wins, back.losses) == (there.losses, there.wins)
    assert back.delta.value == -there.delta.value
    assert (back.delta.low, back.delta.high) == pytest.approx((-there.delta.high, -there.delta.low))


@given(OUTCOMES, st.randoms(use_true_random=False))
def test_binary_result_is_unchanged_when_examples_are_reordered(pairs, random):
    shuffled = list(pairs)
    random.shuffle(shuffled)
    assert binary(shuffled) == binary(pairs)


# --- bounded


@settings(deadline=None)
@given(OUTCOMES, st.sampled_from([0.0, 0.01, 0.2]))
def test_an_interval_excludes_min_gain_only_when_the_p_value_rejects_it(pairs, min_gain):
    labels = [str(i // 3) for i in range(len(pairs))]
    for result in (binary(pairs, min_gain), bounded(pairs, min_gain), clustered(pairs, labels, min_gain)):
        assert result.p_value <= ALPHA or result.delta.low <= min_gain
        assert result.p_reverse <= ALPHA or result.delta.high >= min_gain


def test_bounded_result_is_never_bolder_than_the_paired_t_when_compared():
    rng = np.random.default_rng(4)
    candidate, baseline = rng.beta(2, 1, 40), rng.beta(2, 2, 40)
    result = compare_bounded(candidate, baseline, alpha=ALPHA, min_gain=0.0, seed=1)
    t = ttest_rel(candidate, baseline, alternative="greater")
    interval = ttest_rel(candidate, baseline).confidence_interval(0.9)
    assert result.p_value >= t.pvalue - 1e-12
    assert result.p_value == pytest.approx(t.pvalue, abs=0.01)
    assert result.delta.low <= interval.low + 1e-12
    assert result.delta.high >= interval.high - 1e-12
    assert result.delta.value == pytest.approx(np.mean(candidate - baseline))


@settings(deadline=None)
@given(SCORES)
def test_bounded_p_and_interval_agree_when_differences_vary(pairs):
    result = bounded(pairs)
    assert np.isfinite([result.delta.low, result.delta.high]).all()
    assert result.delta.low <= result.delta.value <= result.delta.high
    if len({round(c - b, 9) for c, b in pairs}) > 1:
        assert (result.p_value <= ALPHA) == (result.delta.low > 0)
        assert (result.p_reverse <= ALPHA) == (result.delta.high < 0)


@settings(deadline=None)
@given(SCORES, st.randoms(use_true_random=False))
def test_bounded_result_is_unchanged_when_examples_are_reordered(pairs, random):
    shuffled = list(pairs)
    random.shuffle(shuffled)
    assert bounded(shuffled) == bounded(pairs)


@settings(deadline=None)
@given(SCORES)
def test_bounded_result_is_nearly_mirrored_when_the_systems_swap(pairs):
    there, back = bounded(pairs), bounded([(b, c) for c, b in pairs])
    assert back.p_value == pytest.approx(there.p_reverse, abs=0.2)  # other resamples, 199 of them
    assert back.delta.value == pytest.approx(-there.delta.value, abs=1e-12)
    assert (back.wins, back.losses) == (there.losses, there.wins)


@settings(deadline=None)
@given(SCORES, st.data())
def test_fail_never_turns_into_pass_when_the_candidate_gets_worse(pairs, data):
    index = data.draw(st.integers(0, len(pairs) - 1))
    worse = [(0.0, b) if i == index else (c, b) for i, (c, b) in enumerate(pairs)]
    assert (status(bounded(pairs)), status(bounded(worse))) != ("fail", "pass")


def test_identical_scores_say_nothing_when_compared():
    result = bounded([(0.4, 0.4)] * 30)
    assert (result.p_value, result.p_reverse) == (1.0, 1.0)
    assert result.delta.low < 0 < result.delta.high


@pytest.mark.parametrize(("n", "expected"), [(1, 0.5), (4, 0.0625), (5, 0.03125)])
def test_sign_test_decides_when_all_differences_are_equal(n, expected):
    pairs = [(0.3 + shift, 0.1 + shift) for shift in np.linspace(0, 0.5, n)]  # equal but for rounding
    result = bounded(pairs)
    assert (result.p_value, result.p_reverse) == (expected, 1.0)
    assert result.delta.low < result.delta.value < result.delta.high
    assert "sign test" in result.method


def test_interval_of_equal_differences_narrows_when_pairs_are_many():
    few, many = bounded([(0.5, 0.2)] * 5), bounded([(0.5, 0.2)] * 500)
    assert few.delta.low < 0 < many.delta.low < 0.3 < many.delta.high < few.delta.high


def test_equal_differences_are_held_against_min_gain_when_it_is_set():
    pairs = [(0.5, 0.2)] * 50
    assert status(bounded(pairs, min_gain=0.2)) == "pass"
    assert bounded(pairs, min_gain=0.3).p_value == 1.0
    assert status(bounded(pairs, min_gain=0.4)) == "fail"


def test_min_gain_is_held_against_the_differences_when_they_vary():
    gains = np.random.default_rng(0).uniform(0.1, 0.3, 40)
    pairs = [(0.2 + gain, 0.2) for gain in gains]
    assert [status(bounded(pairs, min_gain)) for min_gain in (0.1, gains.mean(), 0.3)] == [
        "pass",
        "undecided",
        "fail",
    ]


def test_the_seed_decides_the_resamples_when_differences_vary():
    rng = np.random.default_rng(0)
    candidate, baseline = rng.random(8), rng.random(8)
    first, again, other = (
        compare_bounded(candidate, baseline, alpha=ALPHA, min_gain=0.0, seed=seed, resamples=199) for seed in (0, 0, 1)
    )
    assert first == again
    assert first.delta != other.delta


# --- clustered


def test_clusters_are_never_bolder_than_their_number_allows_when_all_agree():
    result = clustered([(1.0, 0.0)] * 80, [str(i // 20) for i in range(80)])
    assert result.p_value == 0.5**4
    assert result.delta.low < 1.0


def test_one_cluster_shows_nothing_when_it_holds_every_example():
    result = clustered([(0.9, 0.1 * (i % 5)) for i in range(50)], ["one"] * 50)
    assert result.p_value == 0.5
    assert result.delta.low < 0 < result.delta.value


def test_clustered_p_is_larger_when_items_repeat_their_cluster():
    rng = np.random.default_rng(1)
    effect = rng.normal(0.1, 0.2, 12).repeat(10)
    candidate, labels = np.clip(0.5 + effect, 0, 1), [str(i // 10) for i in range(120)]
    alone = compare_bounded(candidate, np.full(120, 0.5), alpha=ALPHA, min_gain=0.0, seed=0)
    together = compare_clustered(candidate, np.full(120, 0.5), labels, alpha=ALPHA, min_gain=0.0, seed=0)
    assert together.p_value > 10 * alone.p_value
    assert together.delta.value == pytest.approx(alone.delta.value)


@given(st.lists(st.tuples(TENTHS, TENTHS, st.sampled_from("abcdef")), min_size=1, max_size=30), st.data())
def test_clustered_result_is_unchanged_when_examples_are_reordered(rows, data):
    def result(rows):
        return clustered([(c, b) for c, b, _ in rows], [label for _, _, label in rows])

    there, shuffled = result(rows), result(data.draw(st.permutations(rows)))
    assert (shuffled.p_value, shuffled.p_reverse) == pytest.approx((there.p_value, there.p_reverse))
    assert (shuffled.delta.low, shuffled.delta.high) == pytest.approx((there.delta.low, there.delta.high))


def test_drawn_signs_do_not_change_when_many_clusters_are_reordered():
    rng = np.random.default_rng(0)
    scores = [(int(c), int(b)) for c, b in rng.integers(0, 2, (120, 2))]
    labels = [str(i // 3) for i in range(120)]
    for _ in range(5):
        order = rng.permutation(120)
        shuffled = clustered([scores[i] for i in order], [labels[i] for i in order])
        assert shuffled.p_value == clustered(scores, labels).p_value


@given(st.lists(st.tuples(TENTHS, TENTHS, st.sampled_from("abcdef")), min_size=1, max_size=30))
def test_clustered_result_is_mirrored_when_the_systems_swap(rows):
    labels = [label for _, _, label in rows]
    there = clustered([(c, b) for c, b, _ in rows], labels)
    back = clustered([(b, c) for c, b, _ in rows], labels)
    assert (back.p_value, back.p_reverse) == pytest.approx((there.p_reverse, there.p_value))
    assert (back.delta.low, back.delta.high) == pytest.approx((-there.delta.high, -there.delta.low))


def test_min_gain_is_held_against_clusters_when_it_is_set():
    rng = np.random.default_rng(3)
    pairs = [(0.5 + x, 0.3) for x in rng.uniform(-0.1, 0.1, 60)]
    labels = [str(i // 3) for i in range(60)]
    assert [status(clustered(pairs, labels, gain)) for gain in (0.1, 0.2, 0.3)] == [
        "pass",
        "undecided",
        "fail",
    ]


# --- margins: a bar below 0


def of_counts(n, wins, losses, min_gain):
    candidate = np.repeat([1, 0, 1], [wins, losses, n - wins - losses])
    baseline = np.repeat([0, 1, 1], [wins, losses, n - wins - losses])
    return compare_binary(candidate, baseline, alpha=ALPHA, min_gain=min_gain)


def chance_by_addition(n, wins, losses, margin):
    """The exact p-value with every table of n pairs written out, at 2,000 shares of losses."""
    tables = [(w, lost, n - w - lost) for lost in range(n + 1) for w in range(n - lost + 1)]
    seen = tango_p_value(n - wins - losses, wins, losses, 0, margin)
    region = np.array([t for t in tables if tango_p_value(t[2], t[0], t[1], 0, margin) <= seen + 1e-9])
    shares = np.linspace(max(0.0, -margin), (1 - margin) / 2, 2000)
    return max(
        float(np.sum(multinomial.pmf(region, n, [max(0.0, share + margin), share, max(0.0, 1 - 2 * share - margin)])))
        for share in shares
    )


@pytest.mark.parametrize("counts", [(0, 0), (2, 1), (1, 3), (6, 0), (0, 8)])
@pytest.mark.parametrize("margin", [-0.3, -0.05, 0.1])
def test_exact_tango_p_is_the_chance_of_its_region_when_every_table_is_added_up(counts, margin):
    wins, losses = counts
    expected = chance_by_addition(9, wins, losses, margin)
    assert tango_exact_p_value(9 - wins - losses, wins, losses, 0, margin) == pytest.approx(expected, rel=2e-3)


def error_rate(rejected, n, bar):
    """The largest chance of a rejected table at a true difference of exactly the bar, over every share of losses."""
    tables, rates = np.array(rejected), [0.0]
    for share in np.linspace(max(0.0, -bar), (1 - bar) / 2, 211):
        wins = (share + bar) / (1 - share)
        chances = binom.pmf(tables[:, 1], n, share) * binom.pmf(tables[:, 0], n - tables[:, 1], max(0.0, wins))
        rates.append(float(chances.sum()))
    return max(rates)


@pytest.mark.parametrize("bar", [-0.2, -0.05, 0.1])
def test_error_rate_at_the_bar_is_at_most_alpha_when_every_table_is_enumerated(bar):
    n = 14
    results = {(w, lost): of_counts(n, w, lost, bar) for lost in range(n + 1) for w in range(n - lost + 1)}
    passed = [table for table, result in results.items() if status(result) == "pass"]
    failed = [table for table, result in results.items() if status(result) == "fail"]
    assert 0.01 < error_rate(passed, n, bar) <= ALPHA
    assert 0.01 < error_rate(failed, n, bar) <= ALPHA


@pytest.mark.parametrize(("n", "bar"), [(52, -0.05), (60, 0.05)])
def test_error_rate_stays_at_alpha_when_the_normal_approximation_exceeds_it(n, bar):
    """More losses never need fewer wins, so the edge of the region is found step by step."""

    def region(passes):
        tables, wins = [], 0
        for losses in range(n // 2):
            while wins <= n - losses and not passes(wins, losses):
                wins += 1
            tables += [(more, losses) for more in range(wins, n - losses + 1)]
        return tables

    normal = region(lambda w, lost: tango_p_value(n - w - lost, w, lost, 0, bar) <= ALPHA)
    assert error_rate(normal, n, bar) > 0.069
    assert 0.03 < error_rate(region(lambda w, lost: of_counts(n, w, lost, bar).p_value <= ALPHA), n, bar) <= ALPHA


@pytest.mark.parametrize(("n", "expected"), [(58, "undecided"), (59, "pass")])
def test_ties_show_no_more_than_their_number_when_a_margin_is_set(n, expected):
    # Of candidates that lose 5 % of the examples, 0.95 ** n lose none of n: 5.1 % and 4.8 %.
    assert status(binary([(1, 1)] * n, min_gain=-0.05)) == expected
    assert status(bounded([(0.4, 0.4)] * n, min_gain=-0.05)) == expected
    assert bounded([(0.4, 0.4)] * n, min_gain=-0.05).p_value == pytest.approx(0.95**n)
    pairs, labels = [(0.4, 0.4)] * 2 * n, [str(i // 2) for i in range(2 * n)]
    assert status(clustered(pairs, labels, min_gain=-0.05)) == expected


def test_a_margin_passes_and_fails_when_scores_are_binary():
    found = [status(of_counts(400, wins, losses, -0.05)) for wins, losses in ((20, 22), (20, 33), (5, 60))]
    assert found == ["pass", "undecided", "fail"]


def test_a_margin_passes_and_fails_when_scores_are_bounded_or_clustered():
    rng = np.random.default_rng(5)
    baseline, labels = rng.uniform(0.3, 0.7, 120), [str(i // 3) for i in range(120)]
    for mean, expected in ((-0.02, "pass"), (-0.05, "undecided"), (-0.08, "fail")):
        noise = rng.normal(0, 0.05, 120)
        pairs = list(zip(baseline + mean + noise - noise.mean(), baseline, strict=True))
        assert status(bounded(pairs, min_gain=-0.05)) == expected
        assert status(clustered(pairs, labels, min_gain=-0.05)) == expected


@settings(deadline=None, max_examples=25)
@given(OUTCOMES, st.sampled_from([-0.2, -0.05, 0.01]))
def test_binary_result_is_mirrored_at_the_mirrored_bar_when_the_systems_swap(pairs, bar):
    there, back = binary(pairs, bar), binary([(b, c) for c, b in pairs], -bar)
    assert (back.p_value, back.p_reverse) == (there.p_reverse, there.p_value)


@settings(deadline=None)
@given(SCORES, st.sampled_from([-0.3, -0.05, 0.05, 0.3]))
def test_what_is_better_is_also_not_worse_when_scores_are_clustered_or_all_equal(pairs, bar):
    labels = [str(i // 2) for i in range(len(pairs))]
    for compare in (lambda rows, gain: clustered(rows, labels, gain), lambda rows, gain: bounded(rows[:1] * 9, gain)):
        at_bar, at_zero = compare(pairs, bar), compare(pairs, 0.0)
        low, high = (at_bar, at_zero) if bar < 0 else (at_zero, at_bar)
        assert low.p_value <= high.p_value
        assert low.p_reverse >= high.p_reverse


def lose_rarely(rng):
    """Scores that hardly change but for one answer in ten, which loses half a point: 5 points on average."""
    baseline = np.full(80, 0.75)
    return baseline + 0.01 * rng.choice([-1, 0, 1], 80) - 0.5 * (rng.random(80) < 0.1), baseline, None


def lose_a_little(rng):
    baseline = rng.uniform(0.3, 0.7, 60)
    return baseline - 0.05 + rng.normal(0, 0.1, 60), baseline, None


def lose_whole_clusters(rng):
    """One document in 20 is lost as a whole; the sign-flip and the t test alone pass 19 % of these."""
    lost = (rng.random(60) < 0.05).repeat(10)
    return np.where(lost, 0.0, 1.0), np.ones(600), [str(i // 10) for i in range(600)]


@pytest.mark.parametrize("lose", [lose_rarely, lose_a_little, lose_whole_clusters])
def test_few_candidates_pass_or_fail_when_they_are_worse_by_exactly_the_margin(lose):
    rng, found = np.random.default_rng(20), []
    for _ in range(300):
        candidate, baseline, labels = lose(rng)
        result = compare_paired(
            candidate, baseline, alpha=ALPHA, min_gain=-0.05, seed=7, clusters=labels, resamples=199
        )
        found.append(status(result))
    # 15 expected at 5 %; more than 28 has a chance of 0.001.
    assert found.count("pass") <= 28
    assert found.count("fail") <= 28


# --- dispatch


@pytest.mark.parametrize(
    ("candidate", "clusters", "expected"),
    [
        ([1, 0, 1, 1], None, "McNemar"),
        ([True, False, True, True], ["a", "b", "c", "d"], "McNemar"),
        ([1, 0, 1, 1], [None, None, None, None], "McNemar"),
        ([1, 0, 1, 1], ["a", "a", "b", None], "3 clusters"),
        ([0.5, 0, 1, 1], None, "paired t"),
        ([0.5, 0, 1, 1], ["a", "b", "b", "b"], "2 clusters"),
    ],
)
def test_the_test_follows_from_the_data_when_dispatched(candidate, clusters, expected):
    result = compare_paired(candidate, [0, 0, 1, 0], alpha=ALPHA, seed=0, clusters=clusters)
    assert expected in result.method
    assert result.delta.method == result.method


# --- refusal

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("candidate", "baseline"),
    [([], []), ([1, 0], [1]), ([1, NAN], [1, 0]), ([1, 0], [INF, 0]), ([[1], [0]], [[1], [0]])],
)
def test_pairs_are_refused_when_empty_unequal_or_not_finite(candidate, baseline):
    with pytest.raises(ValueError, match=r"at least one pair|shapes|finite"):
        compare_paired(candidate, baseline, alpha=ALPHA, seed=0)
    with pytest.raises(ValueError, match=r"at least one pair|shapes|finite"):
        compare_paired(candidate, baseline, alpha=ALPHA, seed=0, clusters=["a"] * len(candidate))


@given(SCORES, st.sampled_from([NAN, INF, -INF]), st.booleans(), st.data())
def test_a_score_is_refused_when_it_is_not_finite_wherever_it_stands(pairs, bad, in_candidate, data):
    index = data.draw(st.integers(0, len(pairs) - 1))
    c, b = pairs[index]
    pairs = [*pairs[:index], (bad, b) if in_candidate else (c, bad), *pairs[index + 1 :]]
    with pytest.raises(ValueError, match="finite"):
        bounded(pairs)


@pytest.mark.parametrize(
    "call",
    [
        lambda: compare_binary([1, 0.5], [1, 0], alpha=ALPHA, min_gain=0.0),
        lambda: compare_binary([1, 0], [1, 0], alpha=ALPHA, min_gain=1.5),
        lambda: compare_paired([1, 0], [1, 0], alpha=0.5, seed=0),
        lambda: compare_paired([1, 0], [1, 0], alpha=NAN, seed=0),
        lambda: compare_binary([1, 0], [1, 0], alpha=ALPHA, min_gain=-1.5),
        lambda: compare_paired([1, 0], [1, 0], alpha=ALPHA, min_gain=NAN, seed=0),
        lambda: compare_paired([1, 0], [1, 0], alpha=ALPHA, seed=0, clusters=["a"]),
        lambda: compare_paired([0.1, 0], [1, 0], alpha=ALPHA, seed=0, resamples=18),
    ],
)
def test_value_error_is_raised_when_an_argument_is_out_of_range(call):
    with pytest.raises(ValueError, match=r"must|needs|cluster names|resamples"):
        call()


# --- which test is chosen, and with which settings


def test_the_exact_test_is_taken_when_nothing_is_said_of_mid_p():
    assert compare_paired([1] * 4, [0] * 4, alpha=ALPHA, seed=0).p_value == 0.0625


def test_clusters_are_judged_by_the_seed_and_the_resamples_given_when_scores_come_in_clusters():
    rng = np.random.default_rng(5)
    candidate, baseline, labels = rng.random(60), rng.random(60), [str(i // 3) for i in range(60)]
    given_by = {"alpha": ALPHA, "min_gain": 0.01, "seed": 3, "resamples": 99}
    found = compare_paired(candidate, baseline, clusters=labels, **given_by)
    assert found == compare_clustered(candidate, baseline, labels, **given_by)
    assert found != compare_clustered(candidate, baseline, labels, **{**given_by, "seed": 4})


@pytest.mark.parametrize("missing", [[0.5, None], [None, 0.5]])
def test_a_missing_score_is_refused_when_it_is_compared(missing):
    with pytest.raises(ValueError, match="every score must be finite"):
        compare_paired(missing, [0.5, 0.5], alpha=ALPHA, seed=0)
    with pytest.raises(ValueError, match="every score must be finite"):
        compare_paired([0.5, 0.5], missing, alpha=ALPHA, seed=0)


@pytest.mark.parametrize(
    ("min_gain", "tests"),
    [
        (0.0, "cluster sign-flip and cluster-t"),
        (0.01, "cluster sign-flip, cluster bootstrap and cluster-t"),
        (-0.01, "cluster sign-flip, cluster bootstrap and cluster-t"),
    ],
)
def test_the_tests_over_clusters_are_named_when_they_were_made(min_gain, tests):
    pairs, labels = [(0.1 * (i % 7), 0.3) for i in range(60)], [str(i // 3) for i in range(60)]
    method = f"{tests} over 20 clusters, the larger p; cluster-t interval"
    assert clustered(pairs, labels, min_gain).method == clustered(pairs, labels, min_gain).delta.method == method


def test_the_bootstrap_over_clusters_decides_when_a_few_are_lost_whole():
    candidate, labels = np.repeat([0.0, 1.0], [9, 171]), np.array([str(i // 3) for i in range(180)])
    settings = {"alpha": ALPHA, "min_gain": -0.1, "seed": 4, "resamples": 199}
    found = compare_clustered(candidate, np.ones(180), labels, **settings)
    sums, sizes = np.repeat([-3.0, 0.0], [3, 57]), np.full(60, 3.0)
    drawn = cluster_bootstrap(sums, sizes, bar=-0.1, reach=1.0, seed=4, resamples=199)
    assert found.p_value == drawn[0] > cluster_t(sums, sizes, bar=-0.1, alpha=ALPHA, reach=1.0).p_value


@pytest.mark.parametrize(
    ("candidate", "baseline"), [([0.0, 1e-12], [0.0, 0.0]), ([2.0, 1.9e-12], [2.0, 0.0]), ([0.3, 0.4], [0.1, 0.2])]
)
def test_differences_that_are_equal_but_for_rounding_are_judged_by_their_signs(candidate, baseline):
    result = compare_bounded(candidate, baseline, alpha=ALPHA, min_gain=0.0, seed=0, resamples=199)
    assert result.method == "exact sign test (all differences are equal); interval widened"


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_alpha_is_named_when_it_is_out_of_range(alpha):
    with pytest.raises(ValueError, match=f"^alpha must lie between 0 and 0.5, not {alpha}$"):
        compare_binary([1, 0], [1, 1], alpha=alpha, min_gain=0.0)
