import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student
from scipy.stats import ttest_1samp, ttest_ind

from harness.stats.noninferiority import (
    _stratified_t,
    _tango_bounds,
    above_chance,
    absolute_noninferiority,
    relative_noninferiority,
)
from harness.stats.paired_proportions import tango_interval

ALPHA = 0.05
BOTH = [relative_noninferiority, absolute_noninferiority]


def outcomes(both, wins, losses, neither):
    candidate = [1] * both + [1] * wins + [0] * losses + [0] * neither
    baseline = [1] * both + [0] * wins + [1] * losses + [0] * neither
    return candidate, baseline


def one_stratum(test, counts, margin=0.05):
    return test(*outcomes(*counts), ["all"] * sum(counts), {"all": 1.0}, margin=margin, alpha=ALPHA)


def test_accuracies_and_drops_are_reported_when_a_few_answers_are_lost():
    result = one_stratum(relative_noninferiority, (590, 5, 10, 395))
    assert (result.baseline_accuracy, result.candidate_accuracy) == pytest.approx((0.6, 0.595))
    assert (result.drop_absolute, result.drop_relative) == pytest.approx((0.005, 0.005 / 0.6))
    assert result.value == pytest.approx(0.03 - 0.005)
    assert result.low < result.value < result.high
    assert result.n == 1000


@pytest.mark.parametrize("margin", [0.05, 0.5])
def test_relative_bounds_are_the_wider_of_t_and_tango_when_there_is_one_stratum(margin):
    counts = (550, 40, 50, 360)
    candidate, baseline = outcomes(*counts)
    result = one_stratum(relative_noninferiority, counts, margin)
    d = np.subtract(candidate, (1 - margin) * np.array(baseline))
    t = ttest_1samp(d, 0).confidence_interval(0.9)
    tango = np.array(tango_interval(*counts, 0.9)) + margin * 0.6
    assert result.low == pytest.approx(min(t.low, tango[0]), abs=1e-9)
    assert result.high == pytest.approx(max(t.high, tango[1]), abs=1e-9)


def test_absolute_bounds_are_tango_when_all_questions_weigh_the_same():
    result = one_stratum(absolute_noninferiority, (550, 40, 50, 360), margin=0.03)
    expected = np.array(tango_interval(550, 40, 50, 360, 0.9)) + 0.03
    assert (result.low, result.high) == pytest.approx(tuple(expected), abs=1e-9)
    assert result.method == "Tango score interval"


@pytest.mark.parametrize("test", BOTH)
@pytest.mark.parametrize("counts", [(5, 0, 0, 0), (3, 0, 0, 2), (1, 0, 0, 0), (0, 0, 0, 5)])
def test_a_handful_of_equal_questions_does_not_pass_when_none_is_discordant(test, counts):
    result = one_stratum(test, counts)
    assert result.low < 0 < result.high


@pytest.mark.parametrize(("n", "passes"), [(87, False), (95, True)])
def test_equal_answers_pass_only_when_the_sample_could_have_shown_the_margin(n, passes):
    result = one_stratum(absolute_noninferiority, (n - 30, 0, 0, 30), margin=0.03)
    assert (result.low > 0) == passes  # z^2 / (n + z^2) < 0.03 from n = 88


@pytest.mark.parametrize("test", BOTH)
def test_verdict_follows_the_drop_when_the_sample_is_large(test):
    harmless = one_stratum(test, (8_400, 150, 150, 5_300))
    harmful = one_stratum(test, (6_900, 150, 1_650, 5_300))
    assert harmless.low > 0
    assert harmful.high < 0


def test_five_of_every_hundred_is_relative_when_the_margin_is():
    counts = (960, 0, 40, 1_000)  # 2 points of accuracy, 4 % of what the baseline got right
    assert one_stratum(relative_noninferiority, counts).value == pytest.approx(0.005)
    assert one_stratum(absolute_noninferiority, counts).value == pytest.approx(0.03)


def test_relative_drop_is_absent_when_the_baseline_gets_nothing_right():
    result = one_stratum(relative_noninferiority, (0, 0, 0, 50))
    assert result.drop_relative is None
    assert result.low < 0


def stratified(test, weights, seed=0, margin=0.05):
    rng = np.random.default_rng(seed)
    strata = ["small"] * 40 + ["large"] * 40
    baseline = np.where(np.array(strata) == "small", rng.random(80) < 0.5, rng.random(80) < 0.9)
    candidate = np.where(rng.random(80) < 0.1, 1 - baseline, baseline)
    result = test(candidate, baseline, strata, weights, margin=margin, alpha=ALPHA)
    return result, candidate.astype(float), baseline.astype(float)


def test_accuracy_is_weighted_when_strata_are_sampled_equally():
    result, candidate, baseline = stratified(relative_noninferiority, {"small": 0.1, "large": 0.9})
    assert result.baseline_accuracy == pytest.approx(0.1 * baseline[:40].mean() + 0.9 * baseline[40:].mean())
    assert result.candidate_accuracy == pytest.approx(0.1 * candidate[:40].mean() + 0.9 * candidate[40:].mean())


def test_unequal_weights_use_the_stratified_t_when_the_margin_is_absolute():
    equal, _, _ = stratified(absolute_noninferiority, {"small": 0.5, "large": 0.5})
    unequal, _, _ = stratified(absolute_noninferiority, {"small": 0.2, "large": 0.8})
    assert "stratified" not in equal.method
    assert "stratified" in unequal.method


@pytest.mark.parametrize("test", BOTH)
def test_equal_answers_count_as_their_effective_number_when_weights_differ(test):
    strata, weights = ["rare"] * 20 + ["usual"] * 20, {"rare": 0.1, "usual": 0.9}
    result = test([1] * 40, [1] * 40, strata, weights, margin=0.05, alpha=ALPHA)
    effective = 20 / (0.1**2 + 0.9**2)  # 24 instead of 40
    z2 = student.isf(ALPHA, np.inf) ** 2
    assert result.low == pytest.approx(0.05 - z2 / (effective + z2), abs=1e-9)


def test_stratified_t_is_welch_when_two_strata_are_contrasted():
    rng = np.random.default_rng(0)
    first, second = rng.normal(0.3, 1.0, 12), rng.normal(0.0, 3.0, 20)
    weights = np.repeat([1 / 12, -1 / 20], [12, 20])  # a difference of means is a weighted sum too
    bounds = _stratified_t(np.append(first, second), ["a"] * 12 + ["b"] * 20, weights, ALPHA)
    expected = ttest_ind(first, second, equal_var=False).confidence_interval(0.9)
    assert bounds == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_single_questions_share_one_stratum_when_there_are_several():
    d, weights = np.array([0.1, 0.4, 0.9, 0.2]), np.full(4, 0.25)
    pooled = _stratified_t(d, ["a", "b", "c", "d"], weights, ALPHA)
    assert pooled == pytest.approx(_stratified_t(d, ["x"] * 4, weights, ALPHA))
    error = d.std(ddof=1) / 2
    assert pooled[0] == pytest.approx(d.mean() - student.isf(ALPHA, 3) * error)


def test_a_lone_question_joins_the_smallest_stratum_when_it_is_the_only_one():
    d, weights = np.array([0.1, 0.4, 0.9, 0.2, 0.3, 0.8]), np.full(6, 1 / 6)
    joined = _stratified_t(d, ["big"] * 3 + ["few"] * 2 + ["lone"], weights, ALPHA)
    assert joined == pytest.approx(_stratified_t(d, ["big"] * 3 + ["few"] * 3, weights, ALPHA))


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1), st.sampled_from("abc")), min_size=1), st.data())
def test_noninferiority_is_unchanged_when_questions_are_reordered(rows, data):
    labels = {label for _, _, label in rows}
    weights = {label: 1 / len(labels) for label in labels}

    def bounds(test, rows):
        candidate, baseline, strata = zip(*rows, strict=True)
        result = test(candidate, baseline, strata, weights, margin=0.05, alpha=ALPHA)
        assert result.low <= result.value + 1e-12
        assert result.high >= result.value - 1e-12
        return result.low, result.high

    shuffled = data.draw(st.permutations(rows))
    for test in BOTH:
        assert bounds(test, shuffled) == pytest.approx(bounds(test, rows), abs=1e-9)


def test_above_chance_needs_more_than_luck_when_four_choices_are_given():
    assert not above_chance(25, 100, 0.25, ALPHA)
    assert not above_chance(32, 100, 0.25, ALPHA)
    assert above_chance(33, 100, 0.25, ALPHA)  # P(X >= 33) = 0.045
    assert not above_chance(0, 10, 0.0, ALPHA)


@pytest.mark.parametrize("test", BOTH)
@pytest.mark.parametrize(
    ("candidate", "strata", "weights", "margin", "alpha"),
    [
        ([1, 0.5], ["a", "a"], {"a": 1.0}, 0.05, 0.05),
        ([1, float("nan")], ["a", "a"], {"a": 1.0}, 0.05, 0.05),
        ([1], ["a"], {"a": 1.0}, 0.05, 0.05),
        ([1, 0], ["a"], {"a": 1.0}, 0.05, 0.05),
        ([1, 0], ["a", "b"], {"a": 1.0}, 0.05, 0.05),
        ([1, 0], ["a", "a"], {"a": 0.5, "b": 0.5}, 0.05, 0.05),
        ([1, 0], ["a", "b"], {"a": 0.5, "b": 0.4}, 0.05, 0.05),
        ([1, 0], ["a", "b"], {"a": 1.5, "b": -0.5}, 0.05, 0.05),
        ([1, 0], ["a", "b"], {"a": 0.5, "b": float("nan")}, 0.05, 0.05),
        ([1, 0], ["a", "a"], {"a": 1.0}, 0.0, 0.05),
        ([1, 0], ["a", "a"], {"a": 1.0}, 0.05, 0.5),
    ],
)
def test_value_error_is_raised_when_the_input_is_unusable(test, candidate, strata, weights, margin, alpha):
    with pytest.raises(ValueError, match=r"must|shapes|strata"):
        test(candidate, [1, 0], strata, weights, margin=margin, alpha=alpha)


@pytest.mark.parametrize("chance", [1.0, -0.1, float("nan")])
def test_value_error_is_raised_when_chance_is_no_chance(chance):
    with pytest.raises(ValueError, match="chance"):
        above_chance(1, 2, chance, ALPHA)


def test_the_method_is_named_when_the_margin_is_relative():
    method = "stratified t on c - 0.95 b, and Tango score interval, the more conservative"
    assert one_stratum(relative_noninferiority, (550, 40, 50, 360)).method == method


def test_absolute_bounds_are_the_wider_of_stratified_t_and_tango_when_weights_differ():
    weights, alpha = {"small": 0.2, "large": 0.8}, ALPHA
    result, candidate, baseline = stratified(absolute_noninferiority, weights, margin=0.03)
    strata = ["small"] * 40 + ["large"] * 40
    each = np.repeat([0.2 / 40, 0.8 / 40], 40)
    t, tango = _stratified_t(candidate - baseline, strata, each, alpha), _tango_bounds(candidate, baseline, each, alpha)
    assert (result.low, result.high) == (min(t[0], tango[0]) + 0.03, max(t[1], tango[1]) + 0.03)
    assert result.method == "stratified t (unequal weights), and Tango score interval, the more conservative"


def test_weights_differ_when_they_do_by_more_than_rounding():
    nearly, _, _ = stratified(absolute_noninferiority, {"small": 0.5000001, "large": 0.4999999})
    assert "stratified" in nearly.method


def test_a_stratum_of_two_has_a_variance_of_its_own():
    first, second = np.array([0.1, 0.9]), np.array([0.3, 0.2, 0.8])
    bounds = _stratified_t(np.append(first, second), ["a"] * 2 + ["b"] * 3, np.repeat([1 / 2, -1 / 3], [2, 3]), ALPHA)
    expected = ttest_ind(first, second, equal_var=False).confidence_interval(0.9)
    assert bounds == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_two_single_questions_share_a_stratum_of_their_own_when_there_is_a_larger_one():
    d, weights = np.array([0.1, 0.4, 0.9, 0.2, 0.7]), np.full(5, 0.2)
    pooled = _stratified_t(d, ["big"] * 3 + ["x", "y"], weights, ALPHA)
    assert pooled == _stratified_t(d, ["big"] * 3 + ["z"] * 2, weights, ALPHA)
    assert pooled != _stratified_t(d, ["big"] * 5, weights, ALPHA)


@pytest.mark.parametrize("test", BOTH)
def test_the_rate_is_named_when_a_margin_or_alpha_is_out_of_range(test):
    for margin in (0.0, 1.0, 1.5):
        with pytest.raises(ValueError, match=f"^the margin must lie between 0 and 1, not {margin}$"):
            test([1, 0], [1, 0], ["a", "a"], {"a": 1.0}, margin=margin, alpha=ALPHA)
    for alpha in (0.0, 0.5, 0.9):
        with pytest.raises(ValueError, match=f"^alpha must lie between 0 and 0.5, not {alpha}$"):
            test([1, 0], [1, 0], ["a", "a"], {"a": 1.0}, margin=0.05, alpha=alpha)


@pytest.mark.parametrize("test", BOTH)
def test_a_stratum_may_weigh_nothing_and_one_without_a_weight_is_named(test):
    result = test([1, 0], [1, 1], ["a", "b"], {"a": 1.0, "b": 0.0}, margin=0.05, alpha=ALPHA)
    assert (result.candidate_accuracy, result.baseline_accuracy) == (1.0, 1.0)
    with pytest.raises(ValueError, match=r"without a weight or without a question: \{'b'\}$"):
        test([1, 0], [1, 0], ["a", "b"], {"a": 1.0}, margin=0.05, alpha=ALPHA)
