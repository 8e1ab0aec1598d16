from collections import Counter
from itertools import permutations
from math import inf, log, prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.stats.mean_tests import MeanTest
from harness.stats.paired import compare_binary
from harness.stats.proportion import upper_bound
from harness.stats.sequential import (
    FRACTIONS,
    BettingTest,
    decide_hybrid,
    decide_sequential,
    permutation,
    with_final_test,
)

ALPHA = 0.05
MMLU = 14_042
CHANGES = st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=60)


def decide(values, *, bar=0.0, low=-1.0, high=1.0, alpha=ALPHA, population=None, look_every=None):
    look_every = look_every or len(values)
    return decide_sequential(
        values, bar=bar, low=low, high=high, alpha=alpha, population=population, look_every=look_every
    )


def changes(ups, downs, n):
    """Paired differences of n items, of which some got better and some got worse."""
    return np.concatenate((np.ones(ups), -np.ones(downs), np.zeros(n - ups - downs)))


# --- the wealth


def wealth_by_hand(values, bar, population):
    """The highest wealth against "mean <= bar" of values in [0, 1], multiplied out with plain numbers."""
    fortunes, highest = [1.0] * len(FRACTIONS), 1.0
    for seen, value in enumerate(values):
        mean = bar if population is None else (population * bar - sum(values[:seen])) / (population - seen)
        fortunes = [f * (1 + share * (value / mean - 1)) for f, share in zip(fortunes, FRACTIONS, strict=True)]
        highest = max(highest, sum(fortunes) / len(fortunes))
    return highest


@pytest.mark.parametrize("population", [None, 12, 40])
def test_wealth_is_the_product_of_the_bets_when_multiplied_out_by_hand(population):
    values = [0.5, 1.0, 0.0, 1.0, 0.25, 0.75, 1.0]
    result = decide(values, bar=0.55, low=0.0, high=1.0, population=population)
    assert result.wealth_pass == pytest.approx(wealth_by_hand(values, 0.55, population), rel=1e-12)
    mirrored = [1 - value for value in values]
    assert result.wealth_fail == pytest.approx(wealth_by_hand(mirrored, 0.45, population), rel=1e-12)


@given(CHANGES, st.integers(1, 9), st.sampled_from([None, 0, 25]))
def test_no_digit_changes_when_the_blocks_are_cut_differently(values, look_every, beyond):
    population = None if beyond is None else len(values) + beyond
    whole = decide(values, population=population)
    test = BettingTest(bar=0.0, low=-1.0, high=1.0, alpha=1e-9, n_planned=len(values), population=population)
    for start in range(0, len(values), look_every):
        pieces = test.update(values[start : start + look_every])
        if pieces.decision != "undecided":
            break
    else:
        assert (pieces.wealth_pass, pieces.wealth_fail) == (whole.wealth_pass, whole.wealth_fail)


@given(CHANGES)
def test_highest_wealth_never_falls_when_items_are_added(values):
    test = BettingTest(bar=0.0, low=-1.0, high=1.0, alpha=1e-30, n_planned=len(values))
    wealth = [(r.wealth_pass, r.wealth_fail) for r in (test.update([value]) for value in values)]
    assert np.all(np.diff([(1.0, 1.0), *wealth], axis=0) >= 0)


ORDER = {"fail": 0, "undecided": 1, "pass": 2}


@given(CHANGES, st.data(), st.sampled_from([None, 0, 25]), st.integers(1, 9))
def test_decision_never_moves_up_when_the_candidate_gets_worse(values, data, beyond, look_every):
    index = data.draw(st.integers(0, len(values) - 1))
    worse = [-1 if i == index else value for i, value in enumerate(values)]
    population = None if beyond is None else len(values) + beyond
    before, after = (decide(v, alpha=0.3, population=population, look_every=look_every) for v in (values, worse))
    assert ORDER[after.decision] <= ORDER[before.decision]
    low, high = (decide(v, population=population) for v in (worse, values))
    assert low.wealth_pass <= high.wealth_pass * (1 + 1e-9)
    assert low.wealth_fail >= high.wealth_fail * (1 - 1e-9)


@given(CHANGES, st.sampled_from([None, 0, 25]))
def test_directions_are_mirrored_when_the_systems_swap(values, beyond):
    population = None if beyond is None else len(values) + beyond
    there, back = decide(values, population=population), decide([-value for value in values], population=population)
    assert (back.wealth_pass, back.wealth_fail) == pytest.approx((there.wealth_fail, there.wealth_pass))
    swapped = {"pass": "fail", "fail": "pass", "undecided": "undecided"}
    assert back.decision == swapped[there.decision]


def test_wealth_stays_finite_when_it_outgrows_a_float():
    assert 1e300 < decide(np.ones(3000)).wealth_pass < inf


# --- looks


def test_a_crossing_counts_when_it_lies_inside_a_block():
    values = [1] * 12 + [-1] * 12
    assert decide(values, look_every=1).decision == "pass"
    assert decide(values, look_every=24).decision == "pass"


def test_items_are_used_in_whole_blocks_when_the_decision_is_early():
    result = decide([1] * 100, look_every=30)
    assert (result.decision, result.n_used, result.n_planned) == ("pass", 30, 100)


def test_the_last_block_is_short_when_the_pool_is_not_a_multiple():
    result = decide([0, 1, -1, 0, 0, 0, 0], look_every=3)
    assert (result.decision, result.n_used, result.n_planned) == ("undecided", 7, 7)


def test_a_loop_can_stop_when_blocks_are_fed_one_by_one():
    test = BettingTest(bar=-0.05, low=-1.0, high=1.0, alpha=ALPHA, n_planned=1000, population=MMLU)
    used = [result.decision for result in (test.update(np.zeros(50)) for _ in range(3))]
    assert used == ["undecided", "undecided", "pass"]
    with pytest.raises(ValueError, match="must not go on"):
        test.update(np.zeros(50))


# --- what the values seen rule out


def test_null_is_not_refuted_when_the_rest_can_still_be_the_lowest():
    """A mean of exactly the bar is not above it: 2 of 4 points seen leave 0 for the rest, which is possible."""
    assert decide([1, 1], bar=0.5, low=0.0, population=4, alpha=0.01).wealth_pass < inf
    assert decide([1, 1, 0, 0], bar=0.5, low=0.0, population=4, alpha=0.01).decision == "undecided"


def test_null_is_refuted_when_the_rest_can_no_longer_make_it_true():
    result = decide([1, 1, 1], bar=0.5, low=0.0, population=4, alpha=1e-6)
    assert (result.decision, result.wealth_pass) == ("pass", inf)
    result = decide([0, 0, 0], bar=0.5, low=0.0, population=4, alpha=1e-6)
    assert (result.decision, result.wealth_fail) == ("fail", inf)


@given(st.lists(st.sampled_from([-0.95, 0.0, 0.05, 1.0, 0.3, 0.1]), min_size=2, max_size=300))
def test_null_is_not_refuted_when_the_mean_is_the_bar_but_for_rounding(values):
    bar = float(np.mean(values))
    if -0.95 < bar < 1:
        result = decide(values, bar=bar, low=-0.95, population=len(values), alpha=1e-6)
        assert result.wealth_pass < inf
        assert result.wealth_fail < inf


def test_every_mean_but_the_bar_is_decided_when_all_items_are_seen():
    values = changes(1, 0, 500)
    assert decide(values, population=500, alpha=1e-6).decision == "pass"
    assert decide(-values, population=500, alpha=1e-6).decision == "fail"
    assert decide(values, population=None, alpha=1e-6).decision == "undecided"


# --- error rates

SMALL_POPULATIONS = [
    ((1, 1, 0, 0, 0, 0), 0.0, 1.0),
    ((1, 1, 1, 0, 0), 0.0, 1.0),
    ((1, 1, 1, 1, 1, 0), 0.0, 1.0),
    ((1, 1, 0, 0, -1, -1, 0), -1.0, 1.0),
    ((1, 0, 0, -1, -1, -1), -1.0, 1.0),
    ((1, 0.05, 0.05, 0.05, -0.95, 0), -0.95, 1.0),
    ((0.1, 0.2, 0.7, 0.9, 1.0), 0.0, 1.0),
]


@pytest.mark.parametrize("alpha", [0.1, 0.25, 0.4, 0.49])
@pytest.mark.parametrize(("items", "low", "high"), SMALL_POPULATIONS)
def test_wrong_decisions_are_at_most_alpha_when_every_order_is_enumerated(items, low, high, alpha):
    n, orders = len(items), Counter(permutations(items))
    decisions = Counter()
    for order, times in orders.items():
        bar = float(np.mean(items))
        result = decide(order, bar=bar, low=low, high=high, alpha=alpha, population=n, look_every=1)
        decisions[result.decision] += times
    total = prod(range(1, n + 1))
    assert decisions.total() == total
    assert decisions["pass"] <= alpha * total
    assert decisions["fail"] <= alpha * total
    if alpha > 0.45:
        assert decisions["pass"] + decisions["fail"] > 0


@pytest.mark.parametrize("items", [(1, 1, 0, 0, 0, 0), (1, 0, 0, -1, -1, -1)])
def test_passes_are_at_most_alpha_when_the_mean_is_below_the_bar_in_every_order(items):
    orders = list(permutations(items))
    bar = float(np.mean(items)) + 0.1
    passed = sum(
        decide(order, bar=bar, alpha=0.49, population=len(items), look_every=1).decision == "pass" for order in orders
    )
    assert passed <= 0.49 * len(orders)


def equal_systems(rng, n):
    return rng.choice([-1.0, 0.0, 1.0], n, p=[0.1, 0.8, 0.1]), {"bar": 0.0}


def exactly_at_the_margin(rng, n):
    return rng.choice([-1.0, 0.0, 1.0], n, p=[0.1, 0.85, 0.05]), {"bar": -0.05}


def skewed_scores(rng, n):
    return rng.beta(0.2, 1.8, n), {"bar": 0.1, "low": 0.0}


STREAMS = [equal_systems, exactly_at_the_margin, skewed_scores]


def wrong_decisions(stream, rng, *, streams, n):
    results = (decide(values, **bounds) for values, bounds in (stream(rng, n) for _ in range(streams)))
    return Counter(result.decision for result in results)


@pytest.mark.parametrize("stream", STREAMS)
def test_few_streams_are_decided_when_their_mean_is_the_bar(stream):
    wrong = wrong_decisions(stream, np.random.default_rng(30), streams=500, n=500)
    assert wrong["pass"] <= 42  # 25 expected at 5 %; more than 42 has a chance of 0.0006
    assert wrong["fail"] <= 42
    assert wrong["pass"] + wrong["fail"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("stream", STREAMS)
def test_upper_bound_of_wrong_decisions_is_6_percent_when_2_000_streams_are_long(stream):
    wrong = wrong_decisions(stream, np.random.default_rng(31), streams=2000, n=5000)
    assert upper_bound(wrong["pass"], 2000, 0.05) <= 0.06
    assert upper_bound(wrong["fail"], 2000, 0.05) <= 0.06


@pytest.mark.slow
@pytest.mark.parametrize("size", [60, 500, 1500])
def test_upper_bound_of_wrong_decisions_is_6_percent_in_10_000_permutations(size):
    rng, values, wrong = np.random.default_rng(32), changes(size // 10, size // 10, size), Counter()
    for _ in range(10_000):
        wrong[decide(rng.permutation(values), population=size).decision] += 1
    assert wrong["pass"] > 0
    assert upper_bound(wrong["pass"], 10_000, 0.05) <= 0.06
    assert upper_bound(wrong["fail"], 10_000, 0.05) <= 0.06


# --- what stopping early saves


def used(values, *, replicates, rng, decision, **bounds):
    results = [decide(rng.permutation(values), look_every=10, **bounds) for _ in range(replicates)]
    assert {result.decision for result in results} <= {decision, "undecided"}
    assert max(result.n_used for result in results) <= len(values)
    return np.array([result.n_used for result in results])


@pytest.mark.parametrize(
    ("ups", "downs", "decision"), [(110, 10, "pass"), (130, 30, "pass"), (10, 110, "fail"), (0, 75, "fail")]
)
def test_45_percent_of_500_items_are_enough_when_the_effect_is_clear(ups, downs, decision):
    values, rng = changes(ups, downs, 500), np.random.default_rng(33)
    assert np.mean(used(values, replicates=100, rng=rng, decision=decision)) <= 0.45 * 500


def benchmark(kept_up, lost):
    """Outcomes (candidate, baseline) on a benchmark like full MMLU, where the base is right on 65 %."""
    right = round(0.65 * MMLU)
    baseline = np.concatenate((np.ones(right), np.zeros(MMLU - right)))
    candidate = baseline.copy()
    candidate[: round(lost * MMLU)] = 0
    candidate[right : right + round(kept_up * MMLU)] = 1
    return candidate, baseline


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gained", "lost", "margin_type", "decision", "fewest", "most"),
    [
        (0.05, 0.05, "absolute", "pass", 236 / 2, 236 * 2),
        (0.05, 0.05, "relative", "pass", 775 / 2, 775 * 2),
        (0.00, 0.10, "relative", "fail", 90 / 1.5, 180 * 1.5),
        (0.02, 0.12, "relative", "fail", 90 / 1.5, 180 * 1.5),
        (0.00, 0.10, "absolute", "fail", 90 / 1.5, 180 * 2),  # 5 points beyond the margin instead of 6.75
    ],
)
def test_full_mmlu_needs_a_few_hundred_items_when_the_case_is_clear(gained, lost, margin_type, decision, fewest, most):
    candidate, baseline = benchmark(gained, lost)
    values, bounds = candidate - baseline, {"bar": -0.05}
    if margin_type == "relative":
        values, bounds = candidate - (1 - 0.05) * baseline, {"bar": 0.0, "low": -(1 - 0.05)}
    rng = np.random.default_rng(34)
    median = np.median(used(values, replicates=200, rng=rng, decision=decision, population=MMLU, **bounds))
    assert fewest <= median <= most


# --- hybrid


def hybrid(values, final_test, **shares):
    return decide_hybrid(values, final_test, bar=0.0, low=-1.0, high=1.0, look_every=20, **shares)


def fixed(p_value, p_reverse):
    return lambda: MeanTest(low=-1.0, high=1.0, p_value=p_value, p_reverse=p_reverse)


def not_to_be_run():
    raise AssertionError("the final test ran")


def test_final_test_is_not_run_when_the_bets_decide_early():
    result = hybrid(np.ones(100), not_to_be_run)
    assert (result.decision, result.n_used) == ("pass", 20)


@pytest.mark.parametrize(
    ("p_value", "p_reverse", "decision"),
    [(0.04, 0.97, "pass"), (0.041, 0.97, "undecided"), (0.97, 0.04, "fail"), (1.0, 1.0, "undecided")],
)
def test_final_test_decides_at_its_share_when_the_bets_do_not(p_value, p_reverse, decision):
    result = hybrid(changes(5, 5, 100), fixed(p_value, p_reverse))
    assert (result.decision, result.n_used) == (decision, 100)
    assert "fixed test at 0.04" in result.method


def test_bets_need_a_wealth_of_100_when_their_share_is_one_percent():
    values = [1] * 9  # a wealth of 51.5
    assert 20 < decide(values).wealth_pass < 100
    assert hybrid(values, fixed(1.0, 1.0)).decision == "undecided"
    assert hybrid(values, not_to_be_run, shares=(0.04, 0.01)).decision == "pass"


def test_few_equal_systems_are_passed_when_both_parts_of_hybrid_are_run():
    rng, passed = np.random.default_rng(35), 0
    for _ in range(500):
        candidate = (rng.random(200) < 0.6).astype(float)
        baseline = np.where(rng.random(200) < 0.3, rng.random(200) < 0.6, candidate)
        result = hybrid(
            candidate - baseline, lambda c=candidate, b=baseline: compare_binary(c, b, alpha=0.04, min_gain=0.0)
        )
        passed += result.decision == "pass"
    assert 0 < passed <= 42


def test_final_test_is_refused_when_planned_values_are_missing():
    test = BettingTest(bar=0.0, low=-1.0, high=1.0, alpha=0.01, n_planned=10)
    with pytest.raises(ValueError, match="needs all 10"):
        with_final_test(test.update([0, 0, 1]), fixed(0.01, 1.0), alpha=0.04)


@pytest.mark.parametrize(("p_value", "p_reverse"), [(float("nan"), 0.5), (0.5, float("nan")), (-0.1, 0.5)])
def test_p_values_are_refused_when_they_are_no_probabilities(p_value, p_reverse):
    with pytest.raises(ValueError, match="p-values"):
        hybrid([0, 0, 1], fixed(p_value, p_reverse))


@pytest.mark.parametrize(("p_value", "p_reverse", "decision"), [(0.0, 1.0, "pass"), (1.0, 0.0, "fail")])
def test_a_p_value_of_0_or_1_is_one_when_the_final_test_gives_it(p_value, p_reverse, decision):
    assert hybrid(changes(5, 5, 100), fixed(p_value, p_reverse)).decision == decision


@pytest.mark.parametrize(("p_value", "p_reverse"), [(1.5, 0.5), (0.5, 1.5), (0.5, -0.1)])
def test_p_values_are_refused_when_they_are_beyond_1_or_below_0(p_value, p_reverse):
    with pytest.raises(ValueError, match=f"between 0 and 1, not {p_value} and {p_reverse}"):
        hybrid(changes(5, 5, 100), fixed(p_value, p_reverse))


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.9])
def test_the_share_of_the_final_test_is_refused_when_it_is_out_of_range(alpha):
    early = decide(changes(5, 5, 100))
    with pytest.raises(ValueError, match=f"^alpha must lie between 0 and 0.5, not {alpha}$"):
        with_final_test(early, not_to_be_run, alpha=alpha)


# --- refusals


@pytest.mark.parametrize("values", [[], [0, float("nan")], [0, inf], [0, 1.01], [-1.01], [[0, 1]], [0, None]])
def test_values_are_refused_when_they_are_missing_or_out_of_range(values):
    with pytest.raises(ValueError, match=r"must|need"):
        decide_sequential(values, bar=0.0, low=-1.0, high=1.0, alpha=ALPHA, population=None, look_every=5)


@pytest.mark.parametrize(
    "changed",
    [
        {"bar": -1.0},
        {"bar": 1.0},
        {"bar": float("nan")},
        {"low": -inf},
        {"high": inf},
        {"alpha": 0.0},
        {"alpha": 0.5},
        {"alpha": float("nan")},
        {"population": 2},
        {"look_every": -1},
    ],
)
def test_settings_are_refused_when_they_make_no_test(changed):
    with pytest.raises(ValueError, match=r"must|need"):
        decide([0, 1, 0], **changed)


def test_more_values_are_refused_when_the_plan_is_used_up():
    test = BettingTest(bar=0.0, low=-1.0, high=1.0, alpha=ALPHA, n_planned=4, population=9)
    test.update([0, 1, 0])
    with pytest.raises(ValueError, match="within the 4 planned"):
        test.update([0, 0])


def test_permutation_holds_every_item_once_and_repeats_when_the_seed_does():
    order = permutation(100, 0)
    assert sorted(order) == list(range(100))
    assert np.array_equal(order, permutation(100, 0))
    assert not np.array_equal(order, permutation(100, 1))
    assert permutation(1, 0).tolist() == [0]
    with pytest.raises(ValueError, match="at least one"):
        permutation(0, 0)


def test_bets_keep_a_stake_when_every_value_is_the_lowest():
    wealth = decide(-np.ones(50), alpha=1e-40).wealth_fail
    assert log(wealth) == pytest.approx(log(np.mean([(1 + f) ** 50 for f in FRACTIONS])))


@pytest.mark.parametrize(("population", "source"), [(None, "independent items"), (40, "40 items without replacement")])
def test_the_method_says_what_the_items_are(population, source):
    result = decide([0, 1, 0], population=population)
    assert result.method == f"betting e-process (mixed bets) at 0.05, {source}"


@pytest.mark.parametrize(("population", "n_planned", "most"), [(None, 0, "any number of"), (5, 9, "5")])
def test_how_many_values_may_be_planned_is_said_when_it_is_another_number(population, n_planned, most):
    with pytest.raises(ValueError, match=f"^need 1 to {most} values, not {n_planned}$"):
        BettingTest(bar=0.0, low=-1.0, high=1.0, alpha=ALPHA, n_planned=n_planned, population=population)


@pytest.mark.parametrize(("values", "why"), [([], "an update needs values"), ([0, None], "must lie between")])
def test_an_update_is_refused_when_it_has_no_values_or_misses_one(values, why):
    test = BettingTest(bar=0.0, low=-1.0, high=1.0, alpha=ALPHA, n_planned=4)
    with pytest.raises(ValueError, match=why):
        test.update(values)


def test_a_wealth_of_exactly_1_over_alpha_decides():
    test = BettingTest(bar=0.0, low=-1.0, high=1.0, alpha=ALPHA, n_planned=4)
    test._above.log_highest = test._threshold
    assert test._decide() == "pass"
    test._above.log_highest, test._below.log_highest = 0.0, test._threshold
    assert test._decide() == "fail"


def test_nothing_is_bet_any_more_when_what_is_to_come_is_known():
    test = BettingTest(bar=0.0, low=-1.0, high=1.0, alpha=ALPHA, n_planned=4, population=4)
    result = test.update([1, 1, -1, -1])  # after the first two the others must be the lowest, if the mean is the bar
    assert result.wealth_pass == pytest.approx(np.mean([(1 + f) * (1 + 2 * f) for f in FRACTIONS]))
    assert result.wealth_fail == 1.0
    assert result.decision == "undecided"
