"""How often the whole decision ships what must not ship, and finds what it should: simulated on evidence in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from evidence_in_memory import DROP, GAIN, VALID, evidence_of, suite_of
from numpy.random import Generator
from scipy.stats import binom

from harness.findings import Decision, LookCount
from harness.gate.evidence import Evidence
from harness.gate.verdict import decide
from harness.records import Example, Prediction
from harness.stats.power import chance_to_ship
from harness.stats.proportion import clopper_pearson, upper_bound
from harness.suite.schema import Suite

Draw = Callable[[Generator], Evidence]


def decisions(suite: Suite, draw: Draw, *, replicates: int, seed: int) -> Counter[Decision]:
    rng = np.random.default_rng(seed)
    return Counter(decide(suite, draw(rng)).decision for _ in range(replicates))


# --- candidate and baseline equal in distribution


def right_or_wrong(n: int, systems: int = 2) -> Draw:
    """The same examples are hard for every system."""

    def draw(rng: Generator) -> Evidence:
        return evidence_of(*(rng.random((systems, n)) < rng.beta(2, 1, n)).tolist())

    return draw


def partly_right(n: int) -> Draw:
    """Overlap with a reference: many zeros, some perfect answers, and a skewed rest."""

    def draw(rng: Generator) -> Evidence:
        scores = np.where(rng.random((2, n)) < 0.3, 0.0, np.clip(rng.beta(0.8, 2.5, (2, n)) * 1.3, 0, 1))
        return evidence_of(*scores.tolist(), scorer="rouge_l")

    return draw


def by_document(rng: Generator) -> Evidence:
    """20 documents of 15 examples; a document is good or bad for a system as a whole."""
    shares = rng.beta(1, 1, (2, 20)).repeat(15, axis=1)
    return evidence_of(*(rng.random((2, 300)) < shares).tolist(), clusters=[f"document {i // 15}" for i in range(300)])


ANY = {**GAIN, "require": "any"}
EQUAL: dict[str, tuple[Suite, Draw]] = {
    "50 right or wrong": (suite_of(GAIN), right_or_wrong(50)),
    "200 right or wrong": (suite_of(GAIN), right_or_wrong(200)),
    "1000 right or wrong": (suite_of(GAIN), right_or_wrong(1000)),
    "40 partly right": (suite_of({**GAIN, "scorer": "rouge_l"}), partly_right(40)),
    "20 clusters": (suite_of(GAIN), by_document),
    "hybrid": (suite_of(GAIN, mode="hybrid", look_every=20), right_or_wrong(200)),
    "anytime": (suite_of(GAIN, mode="anytime", look_every=20), right_or_wrong(200)),
    "any of three baselines": (suite_of(ANY, baselines=3), right_or_wrong(200, systems=4)),
}


@pytest.mark.parametrize("name", EQUAL)
def test_few_equal_candidates_ship_or_are_held_when_simulated_500_times(name: str) -> None:
    found = decisions(*EQUAL[name], replicates=500, seed=40)
    assert 0 < found["ship"] <= 42  # 25 expected at 5 %; more than 42 has a chance of 0.0006
    assert found["hold"] <= 42


@pytest.mark.slow
@pytest.mark.parametrize("name", EQUAL)
def test_upper_bound_of_the_ship_rate_is_6_percent_when_equal_candidates_are_judged_10_000_times(name: str) -> None:
    found = decisions(*EQUAL[name], replicates=10_000, seed=41)
    assert upper_bound(found["ship"], 10_000, 0.05) <= 0.06
    assert upper_bound(found["hold"], 10_000, 0.05) <= 0.06


def test_equal_candidates_ship_too_often_when_their_clusters_are_not_declared() -> None:
    def undeclared(rng: Generator) -> Evidence:
        found = by_document(rng)
        examples = tuple(replace(example, cluster=None) for example in found.examples["test"])
        return replace(found, examples={**found.examples, "test": examples})

    found = decisions(suite_of(GAIN), undeclared, replicates=200, seed=42)
    assert found["ship"] > 20  # the reason for clusters: about 17 % instead of 5 %


WORDS = ["the", "a", "cat", "dog", "sat", "ran", "on", "in", "mat", "house", "red", "green", "small", "old"]


def translated(metric: str, n: int) -> Draw:
    """Answers of two systems that each get every word wrong with the same chance."""

    def answer(reference: list[str], rng: Generator) -> str:
        return " ".join(str(rng.choice(WORDS)) if rng.random() < 0.3 else word for word in reference)

    def draw(rng: Generator) -> Evidence:
        references = [[str(word) for word in rng.choice(WORDS, 8)] for _ in range(n)]
        examples = tuple(
            Example(id=f"test-{i}", messages=(), target=" ".join(words)) for i, words in enumerate(references)
        )
        arms = {name: [answer(words, rng) for words in references] for name in ("candidate", "bare")}
        answers = {
            (name, "test"): {e.id: _prediction(name, e.id, text) for e, text in zip(examples, texts, strict=True)}
            for name, texts in arms.items()
        }
        # Corpus metrics are compared by the texts; the scores of single answers only say that there are some.
        found = evidence_of([0.5] * n, [0.5] * n, scorer=metric)
        return replace(found, examples={"test": examples}, answers=answers)

    return draw


def _prediction(system: str, example_id: str, text: str) -> Prediction:
    return Prediction(
        example_id=example_id,
        system=system,
        dataset="test",
        text=text,
        stop="end",
        prompt_tokens=1,
        output_tokens=1,
        seconds=0.0,
    )


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["bleu", "chrf"])
def test_few_equal_candidates_ship_by_a_corpus_metric_when_simulated_500_times(metric: str) -> None:
    """Through the decision with all its resamples; 10,000 times with fewer in test_stats_error_rates.py."""
    found = decisions(suite_of({**GAIN, "scorer": metric}), translated(metric, 40), replicates=500, seed=43)
    assert 0 < found["ship"] <= 42
    assert found["hold"] <= 42


# --- ten equal candidates on one test set


def sets_that_ship_one_of_ten(budget: int | None, *, sets: int, seed: int) -> int:
    rng, suite, shipped = np.random.default_rng(seed), suite_of(GAIN, holdout_budget=budget), 0
    for _ in range(sets):
        right = (rng.random((11, 100)) < rng.beta(2, 1, 100)).tolist()
        shipped += any(
            decide(
                suite,
                evidence_of(right[number], right[0]),
                looks=LookCount(number=number, budget=budget, recorded=True),
            ).decision
            == "ship"
            for number in range(1, 11)
        )
    return shipped


def test_a_budget_of_looks_keeps_the_error_rate_when_ten_equal_candidates_are_judged() -> None:
    assert sets_that_ship_one_of_ten(10, sets=200, seed=44) <= 20  # 10 expected at 5 %; more has a chance of 0.001
    assert sets_that_ship_one_of_ten(None, sets=200, seed=44) > 20  # the reason for the budget: about 21 %


@pytest.mark.slow
def test_upper_bound_is_6_percent_when_ten_equal_candidates_share_a_budget_in_10_000_sets() -> None:
    assert upper_bound(sets_that_ship_one_of_ten(10, sets=10_000, seed=45), 10_000, 0.05) <= 0.06


# --- candidates that fall short in one respect only


# The share that the base model gets right, and of all questions those that the candidate loses and gains.
TRUE_DROPS = {"absolute": (0.625, 0.13, 0.08), "relative": (0.80, 0.09, 0.05)}


def at_the_margin(margin_type: str, questions: int, *, pool: int | None = None) -> Draw:
    """A clear gain, and a true drop of exactly 5 points (absolute) or of 5 % of what was right (relative)."""
    right, lost, gained = TRUE_DROPS[margin_type]
    size = pool or 2000
    before, after = np.zeros(size, dtype=int), np.zeros(size, dtype=int)
    before[: round(right * size)] = 1
    after[round(lost * size) : round((right + gained) * size)] = 1

    def draw(rng: Generator) -> Evidence:
        seen = rng.permutation(size)[:questions] if pool else rng.integers(size, size=questions)
        return evidence_of([1] * 30, [0] * 30, answered=(before[seen].tolist(), after[seen].tolist()), pool=pool)

    return draw


RELATIVE = {**DROP, "margin_type": "relative"}
UNDESERVING: dict[str, tuple[Suite, Draw]] = {
    "absolute": (suite_of(GAIN, DROP), at_the_margin("absolute", 400)),
    "relative": (suite_of(GAIN, RELATIVE), at_the_margin("relative", 400)),
    "absolute, anytime": (suite_of(GAIN, DROP, mode="anytime"), at_the_margin("absolute", 600, pool=1000)),
    "relative, anytime": (suite_of(GAIN, RELATIVE, mode="anytime"), at_the_margin("relative", 600, pool=1000)),
}


@pytest.mark.parametrize("name", UNDESERVING)
def test_few_candidates_ship_or_are_held_when_general_ability_fell_by_exactly_the_margin(name: str) -> None:
    found = decisions(*UNDESERVING[name], replicates=500, seed=46)
    assert 0 < found["ship"] <= 42
    assert found["hold"] <= 42


@pytest.mark.slow
@pytest.mark.parametrize("name", UNDESERVING)
def test_upper_bound_is_6_percent_when_10_000_candidates_lost_exactly_the_margin(name: str) -> None:
    found = decisions(*UNDESERVING[name], replicates=10_000, seed=47)
    assert upper_bound(found["ship"], 10_000, 0.05) <= 0.06
    assert upper_bound(found["hold"], 10_000, 0.05) <= 0.06


@cache
def decision_with(invalid: int) -> Decision:
    probe = [0] * invalid + [1] * (1000 - invalid)
    return decide(suite_of(GAIN, VALID), evidence_of([1] * 30, [0] * 30, probe=probe)).decision


def test_validity_ships_up_to_1_and_holds_from_10_of_1000_when_every_count_is_tried() -> None:
    expected = ["ship"] * 2 + ["undecided"] * 8 + ["hold"] * 991
    assert [decision_with(invalid) for invalid in range(1001)] == expected


def test_at_most_5_percent_ship_or_are_held_when_the_true_share_of_valid_answers_is_the_bar() -> None:
    chances = binom.pmf(np.arange(1001), 1000, 1 - 0.995)
    wrong: Counter[Decision] = Counter()
    for invalid, chance in enumerate(chances):
        wrong[decision_with(invalid)] += chance
    assert 0.03 < wrong["ship"] <= 0.05
    assert 0.02 < wrong["hold"] <= 0.05


# --- power

# n, and the gain in points that 80 % of candidates ship with when 20 % of the examples change
SMALLEST_SHOWN = [(100, 11.5), (200, 8.1), (300, 6.6), (500, 5.1)]


def better_by(points: float, n: int) -> Draw:
    """20 % of the examples change, more of them for the better."""
    wins = (0.2 + points / 100) / 2

    def draw(rng: Generator) -> Evidence:
        change = rng.random(n)
        baseline = np.where(change < wins, False, np.where(change < 0.2, True, rng.random(n) < 0.6))
        return evidence_of(np.where(change < 0.2, ~baseline, baseline).tolist(), baseline.tolist())

    return draw


@pytest.mark.parametrize(("n", "points"), SMALLEST_SHOWN)
def test_80_percent_of_candidates_ship_when_the_gain_is_the_smallest_that_n_examples_show(
    n: int, points: float
) -> None:
    shipped = decisions(suite_of(GAIN), better_by(points, n), replicates=500, seed=48)["ship"]
    low, high = clopper_pearson(shipped, 500, 0.999)
    assert low <= 0.80 <= high
    assert low <= chance_to_ship(n, points / 100, 0.2, 0.05) <= high


@pytest.mark.slow
@pytest.mark.parametrize(("n", "points"), SMALLEST_SHOWN)
def test_power_is_80_percent_within_a_point_and_a_half_when_10_000_gains_are_judged(n: int, points: float) -> None:
    shipped = decisions(suite_of(GAIN), better_by(points, n), replicates=10_000, seed=49)["ship"]
    assert shipped / 10_000 == pytest.approx(0.80, abs=0.015)
