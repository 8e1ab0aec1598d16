"""Evidence that would decide by being read carelessly: each piece found by trying to make an undeserved ship."""

from __future__ import annotations

from dataclasses import replace

import pytest
from evidence_factory import history_of
from evidence_in_memory import DROP, GAIN, LIVE, VALID, evidence_of, suite_of

from harness.errors import BrokenRunError
from harness.findings import Decision, LookCount
from harness.gate.evidence import Evidence, index_benchmarks
from harness.gate.verdict import decide
from harness.records import BASE_MODEL, Score, TrainingHistory
from harness.suite.schema import Suite

RIGHT, WRONG = [1.0] * 100, [0.0] * 100
CLEAR = evidence_of(RIGHT, WRONG, probe=[1.0] * 1000, answered=([1] * 500, [1] * 500))


def decision(suite: Suite, evidence: Evidence) -> Decision:
    return decide(suite, evidence).decision


def test_the_evidence_ships_when_nothing_is_wrong_with_it() -> None:
    assert decision(suite_of(GAIN, VALID, DROP), CLEAR) == "ship"


def test_nothing_ships_when_no_baseline_took_part() -> None:
    # The valid answers alone would ship.
    assert decision(suite_of(GAIN, VALID), replace(CLEAR, baselines=())) == "undecided"
    assert decision(suite_of(GAIN, VALID), replace(CLEAR, absent={"bare": "gone"})) == "undecided"


def test_a_check_of_an_adapter_that_was_never_promoted_does_not_block_a_first_run() -> None:
    suite = suite_of(GAIN, {**GAIN, "baselines": ["second"]}, baselines=2)
    evidence = replace(evidence_of(RIGHT, WRONG), absent={"second": "no adapter was promoted yet"})
    assert decision(suite, evidence) == "ship"


@pytest.mark.parametrize("checks", [(), ({**GAIN, "blocking": False},)], ids=["no checks", "none blocks"])
def test_nothing_ships_when_nothing_that_blocks_was_checked(checks: tuple[dict[str, object], ...]) -> None:
    assert decision(suite_of(*checks), CLEAR) == "undecided"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_adapter_is_not_live_when_its_difference_is_not_finite(value: float) -> None:
    liveness = replace(LIVE, max_logit_difference=value, differing_answers=0)
    assert decision(suite_of(GAIN), replace(CLEAR, liveness=liveness)) == "hold"


def with_losses(**changes: float) -> TrainingHistory:
    history = history_of((2.0, 1.0, 0.5), best=2)
    return replace(history, points=(replace(history.points[0], **changes), *history.points[1:]))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["validation_loss", "train_loss"])
def test_training_is_not_healthy_when_any_loss_is_not_finite(name: str, value: float) -> None:
    suite = suite_of(GAIN, {"kind": "healthy_training"})
    assert decision(suite, replace(CLEAR, training=with_losses())) == "ship"
    assert decision(suite, replace(CLEAR, training=with_losses(**{name: value}))) == "hold"


def test_examples_that_are_listed_twice_are_refused() -> None:
    rows = CLEAR.examples["test"]
    with pytest.raises(BrokenRunError, match="stands in the data set twice"):
        decide(suite_of(GAIN), replace(CLEAR, examples={**CLEAR.examples, "test": (*rows, rows[0])}))


def test_two_results_of_one_arm_are_refused() -> None:
    base, tuned = CLEAR.benchmarks["general", BASE_MODEL], CLEAR.benchmarks["general", "candidate"]
    with pytest.raises(BrokenRunError, match="two results of candidate"):
        index_benchmarks([base, tuned, tuned], ["general"], "candidate")


def without(evidence: Evidence, key: tuple[str, str, str], count: int) -> Evidence:
    """The arm without its last scores."""
    kept = list(evidence.scores[key].items())[:-count]
    return replace(evidence, scores={**evidence.scores, key: dict(kept)})


@pytest.mark.parametrize(
    "key",
    [("candidate", "probe", "schema_valid"), ("candidate", "test", "exact_match"), ("bare", "test", "exact_match")],
)
def test_an_arm_that_lacks_scores_is_refused(key: tuple[str, str, str]) -> None:
    with pytest.raises(BrokenRunError, match="1 missing"):
        decide(suite_of(GAIN, VALID), without(CLEAR, key, 1))


def test_a_score_of_an_unknown_example_is_refused() -> None:
    key = ("bare", "test", "exact_match")
    more = {**CLEAR.scores[key], "another": Score(0.0)}
    with pytest.raises(BrokenRunError, match="1 unknown"):
        decide(suite_of(GAIN), replace(CLEAR, scores={**CLEAR.scores, key: more}))


def test_questions_that_the_candidate_did_not_answer_are_refused() -> None:
    key = ("general", "candidate")
    found = CLEAR.benchmarks[key]
    fewer = replace(found, outcomes=found.outcomes[:-1])
    with pytest.raises(BrokenRunError, match="1 missing"):
        decide(suite_of(GAIN, DROP), replace(CLEAR, benchmarks={**CLEAR.benchmarks, key: fewer}))


@pytest.mark.parametrize("mode", ["anytime", "hybrid"])
def test_clusters_are_never_bet_on_as_if_they_were_independent(mode: str) -> None:
    evidence = evidence_of(RIGHT, WRONG, clusters=[f"c{i // 10}" for i in range(100)])
    assert decision(suite_of(GAIN, mode=mode), evidence) == "undecided"
    assert decision(suite_of(GAIN, mode="fixed"), evidence) == "ship"


def test_no_check_on_the_test_set_passes_when_its_looks_are_spent() -> None:
    spent = LookCount(number=3, budget=2, recorded=True)
    on_test = {**VALID, "on": "test", "bar": 0.5, "blocking": True}
    scores = {**CLEAR.scores, ("candidate", "test", "schema_valid"): CLEAR.scores["candidate", "test", "exact_match"]}
    suite = suite_of({**GAIN, "blocking": False}, on_test, holdout_budget=2)
    evidence = replace(CLEAR, scores=scores)
    assert decide(suite, evidence, looks=replace(spent, number=2)).decision == "ship"
    assert decide(suite, evidence, looks=spent).decision == "undecided"
