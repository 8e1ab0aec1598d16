"""Evidence on either side of each line that the gate draws, where one example or one sign would tip it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf, nan
from typing import Any

import pytest
from evidence_factory import history_of
from evidence_in_memory import DROP, GAIN, LIVE, VALID, evidence_of, suite_of

from harness.assembly import drop_settled, gains_settled
from harness.errors import BrokenRunError
from harness.findings import Decision
from harness.gate.comparing import compare_scores, judge_comparison
from harness.gate.evidence import Evidence
from harness.gate.training import LIVE_LOGIT_DIFFERENCE
from harness.gate.verdict import decide
from harness.records import BenchmarkResult, Example, Prediction, Score
from harness.suite.schema import Suite


def counted(wins: int, losses: int, n: int) -> tuple[list[float | None], list[float | None]]:
    """Candidate and baseline of n examples: losses, then wins, then what they agree on."""
    same: list[float | None] = [float(i % 2) for i in range(n - wins - losses)]
    return [0.0] * losses + [1.0] * wins + same, [1.0] * losses + [0.0] * wins + same


def without(values: Sequence[float | None], place: int) -> list[float | None]:
    return [None if i == place else value for i, value in enumerate(values)]


def gained(wins: int, losses: int, n: int, *, pool: int | None = None, silent: tuple[int, int] = (-1, -1)) -> Evidence:
    """`silent`: the place at which the candidate, and the baseline, gave no answer; `pool` of a run that stopped."""
    arms = (without(values, place) for values, place in zip(counted(wins, losses, n), silent, strict=True))
    found = evidence_of(*arms)
    return replace(found, pool={"test": pool or n})


def against_three(second: Sequence[float]) -> Evidence:
    return evidence_of([1.0] * 20, [0.0] * 20, second, [0.0] * 20)


FIXED, HALF = suite_of(GAIN), suite_of(GAIN, alpha=1 / 32)
HYBRID, ANYTIME = (suite_of(GAIN, mode=mode, look_every=10) for mode in ("hybrid", "anytime"))
THREE = suite_of(GAIN, baselines=3)
CASES = suite_of(GAIN, VALID)
TRAINED = suite_of(GAIN, {"kind": "healthy_training"})
SHIPS = gained(20, 0, 20)


def asking(min_gain: float) -> Suite:
    return suite_of({**GAIN, "min_gain": min_gain})


def trained(*losses: float) -> Evidence:
    return replace(SHIPS, training=history_of(losses, best=1))


def probed(invalid: int, unanswered: int) -> Evidence:
    rest = 1000 - invalid - unanswered
    return evidence_of([1] * 20, [0] * 20, probe=[0] * invalid + [None] * unanswered + [1] * rest)


def moved(difference: float) -> Evidence:
    return replace(SHIPS, liveness=replace(LIVE, differing_answers=0, max_logit_difference=difference))


TABLE: list[tuple[str, Suite, Evidence, Decision]] = [
    ("a p-value of exactly alpha ships", HALF, gained(5, 0, 40), "ship"),
    ("a p-value of exactly alpha holds", HALF, gained(0, 5, 40), "hold"),
    ("13 wins to 5 losses ship, p = .048", FIXED, gained(13, 5, 60), "ship"),
    ("hybrid leaves them open: its final test has .04", HYBRID, gained(13, 5, 60), "undecided"),
    ("8 straight wins are enough for the bets at .05", ANYTIME, gained(8, 0, 10, pool=90), "ship"),
    ("7 are not", ANYTIME, gained(7, 0, 10, pool=90), "undecided"),
    ("8 are not for hybrid: its bets have .01", HYBRID, gained(8, 0, 10, pool=90), "undecided"),
    ("hybrid has no final test before the end", HYBRID, gained(6, 0, 50, pool=90), "undecided"),
    ("and has it at the end", HYBRID, gained(6, 0, 50), "ship"),
    ("a candidate's missing answer counts as the worst", FIXED, gained(5, 0, 200, silent=(2, -1)), "undecided"),
    ("a baseline's missing answer counts as the best", FIXED, gained(5, 0, 200, silent=(-1, 2)), "undecided"),
    ("also where both were wrong", FIXED, gained(5, 0, 200, silent=(-1, 5)), "undecided"),
    ("in the bets too, the candidate's", ANYTIME, gained(8, 0, 200, silent=(2, -1)), "undecided"),
    ("in the bets too, the baseline's", ANYTIME, gained(8, 0, 200, silent=(-1, 2)), "undecided"),
    ("8 of 200 ship by the bets", ANYTIME, gained(8, 0, 200), "ship"),
    ("three baselines that are beaten", THREE, against_three([0.0] * 20), "ship"),
    ("one of them is as good", THREE, against_three([1.0] * 20), "undecided"),
    ("20 wins of 200 are a gain", FIXED, gained(20, 0, 200), "ship"),
    ("not one of 8 points for sure", asking(0.08), gained(20, 0, 200), "undecided"),
    ("and not one of 20", asking(0.2), gained(20, 0, 200), "hold"),
    ("a probe without an answer is not valid", CASES, probed(0, 2), "undecided"),
    ("nor is it left out", CASES, probed(0, 10), "hold"),
    ("over 1 % without an answer are undecided", CASES, probed(0, 11), "undecided"),
    ("a loss that fell is healthy", TRAINED, trained(2.0, 1.9), "ship"),
    ("a loss that stayed is not", TRAINED, trained(2.0, 2.0), "hold"),
    ("a loss that is not a number is not", TRAINED, trained(2.0, nan), "hold"),
    ("a first loss that is not a number is not", TRAINED, trained(nan, 1.0), "hold"),
    ("rounding is no effect", FIXED, moved(LIVE_LOGIT_DIFFERENCE), "hold"),
    ("more than rounding is one", FIXED, moved(2 * LIVE_LOGIT_DIFFERENCE), "ship"),
]  # fmt: skip


@pytest.mark.parametrize(("suite", "evidence", "decision"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_the_line_is_drawn_there_when(suite: Suite, evidence: Evidence, decision: Decision) -> None:
    assert decide(suite, evidence).decision == decision


@pytest.mark.parametrize("value", [nan, inf, -inf])
@pytest.mark.parametrize("field", ["value", "low", "high"])
def test_no_gain_is_decided_when_a_number_of_the_comparison_is_not_finite(field: str, value: float) -> None:
    scores = [{f"e{i}": Score(float(right)) for i in range(20)} for right in (1, 0)]
    comparison = compare_scores(scores[0], scores[1], statistics=FIXED.statistics, seed=0)
    assert judge_comparison(comparison, FIXED.statistics, min_gain=0.0)[0] == "pass"
    named = judge_comparison(comparison, FIXED.statistics, min_gain=0.0)
    assert judge_comparison(comparison, FIXED.statistics) == named, "any gain is enough where none is named"
    broken = replace(comparison, delta=replace(comparison.delta, **{field: value}))
    assert judge_comparison(broken, FIXED.statistics, min_gain=0.0)[::2] == ("undecided", "")


@pytest.mark.parametrize("lone", [1, 0])
def test_scores_are_refused_when_one_side_has_an_id_more(lone: int) -> None:
    sides = [{f"e{i}": Score(float(right)) for i in range(20)} for right in (1, 0)]
    sides[lone]["more"] = Score(1.0)
    with pytest.raises(BrokenRunError, match="scored on one side only, the first is 'more'"):
        compare_scores(sides[0], sides[1], statistics=FIXED.statistics, seed=0)


def test_questions_are_paired_by_id_when_the_systems_answered_them_in_another_order() -> None:
    suite, answered = suite_of(GAIN, DROP), [1] * 300 + [0] * 100
    evidence = evidence_of([1] * 20, [0] * 20, answered=(answered, answered))
    tuned = evidence.benchmarks["general", "candidate"]
    turned = {**evidence.benchmarks, ("general", "candidate"): replace(tuned, outcomes=tuned.outcomes[::-1])}
    assert decide(suite, evidence).decision == decide(suite, replace(evidence, benchmarks=turned)).decision == "ship"


# --- whether a run may stop answering


def answers(suite: Suite, n: int, **right: int) -> tuple[tuple[Example, ...], list[Prediction]]:
    """n examples, of which each system gets the first few right."""
    examples = tuple(Example(id=f"e{i}", messages=(), target="yes") for i in range(n))
    facts: dict[str, Any] = {"stop": "end", "prompt_tokens": 1, "output_tokens": 1, "seconds": 0.0}
    return examples, [
        Prediction(
            example_id=example.id, system=name, dataset="test", text="yes" if i < right.get(name, 0) else "no", **facts
        )
        for name in suite.systems
        for i, example in enumerate(examples)
    ]


@pytest.mark.parametrize(
    ("right", "settled"),
    [
        ({"candidate": 20}, True),
        ({"bare": 20, "second": 20, "third": 20}, True),
        ({"candidate": 20, "second": 20}, False),
        ({"candidate": 20, "third": 16}, False),
        ({}, False),
    ],
)
def test_a_run_stops_only_when_every_gain_is_settled(right: dict[str, int], settled: bool) -> None:
    suite = suite_of(GAIN, baselines=3, mode="anytime", look_every=10)
    examples, given = answers(suite, 20, **right)
    assert gains_settled(suite, examples, given, absent={}, validator=None, pool=500) is settled


def test_a_run_goes_on_until_a_gain_is_settled_at_its_share_of_alpha() -> None:
    alone, shared = (suite_of(GAIN, mode="anytime", look_every=10, **budget) for budget in ({}, {"holdout_budget": 20}))
    examples, given = answers(alone, 10, candidate=10)
    stopped = [gains_settled(suite, examples, given, absent={}, validator=None, pool=500) for suite in (alone, shared)]
    assert stopped == [True, False]


def asked(*checks: dict[str, Any], lost: int, **statistics: Any) -> tuple[Suite, list[BenchmarkResult]]:
    suite = suite_of(GAIN, *checks, mode="anytime", look_every=100, **statistics)
    found = evidence_of([1], [0], answered=([1] * 300, [0] * lost + [1] * (300 - lost)), pool=14_042)
    return suite, list(found.benchmarks.values())


NARROW, WIDE = ({"kind": "benchmark_drop", "benchmark": "general", "margin": margin} for margin in (0.02, 0.2))


@pytest.mark.parametrize(
    ("checks", "lost", "settled"),
    [
        ((WIDE,), 0, True),
        ((WIDE,), 150, True),
        ((NARROW,), 6, False),
        ((WIDE, NARROW), 6, False),
        ((), 0, False),
        (({"kind": "logprob_drop", "benchmark": "general"},), 0, False),
    ],
)
def test_a_benchmark_stops_only_when_every_drop_is_settled(
    checks: tuple[dict[str, Any], ...], lost: int, settled: bool
) -> None:
    assert drop_settled(*asked(*checks, lost=lost)) is settled


def test_a_benchmark_goes_on_until_a_drop_is_settled_at_its_share_of_alpha() -> None:
    assert [drop_settled(*asked(WIDE, lost=30, holdout_budget=budget)) for budget in (1, 10**6)] == [True, False]
