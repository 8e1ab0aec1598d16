"""What evidence seldom holds, or lacks: each is decided, and said, as its rule has it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from evidence_factory import history_of
from evidence_in_memory import GAIN, evidence_of, suite_of

from harness.errors import BrokenRunError, InvalidInputError
from harness.gate.comparing import claim, compare_systems, judge_comparison
from harness.gate.evidence import Evidence, index_answers, index_drift
from harness.gate.requirements import refuse_empty_slices, refuse_incomplete_plan, refuse_unknown_scorers
from harness.gate.verdict import decide, not_needed
from harness.records import DriftRow, Example, TrainingHistory
from harness.suite.schema import Suite

RIGHT, WRONG, HALF = [1.0] * 100, [0.0] * 100, [1.0, 0.0] * 50
FAILED = [None] * 10 + [1.0] * 90


def reason(suite: Suite, evidence: Evidence, kind: str) -> tuple[str, str]:
    (found,) = [r for r in decide(suite, evidence).checks if r.kind == kind and r.status]
    return found.status, found.reason


# --- gains -----------------------------------------------------------------------------------------------------------


def test_beating_any_of_several_is_open_when_too_many_pairs_lack_a_score() -> None:
    suite = suite_of({**GAIN, "require": "any"}, baselines=2)
    found = [check for check in decide(suite, evidence_of(FAILED, WRONG, WRONG)).checks if check.baseline is None]
    (any_of,) = [check for check in found if check.kind == "better_than"]
    assert (any_of.status, any_of.reason) == ("undecided", "over 1.0% of the pairs lack a score")


def test_bets_are_open_when_too_many_pairs_lack_a_score() -> None:
    suite = suite_of(GAIN, mode="anytime")
    status, why = reason(suite, evidence_of(FAILED, WRONG), "better_than")
    assert status == "undecided" and why.startswith("10 of 100 pairs lack a score, over 1.0%")


def test_a_recipe_is_not_compared_with_an_arm_that_did_not_take_part() -> None:
    suite = suite_of(GAIN, {"kind": "recipe_better_than", "baselines": ["second"]}, baselines=2)
    evidence = replace(evidence_of(RIGHT, WRONG), absent={"second": "no adapter was promoted yet"})
    (found,) = [check for check in decide(suite, evidence).checks if check.kind == "recipe_better_than"]
    assert (found.status, found.blocking) == ("undecided", False)
    assert found.reason == "second did not take part: no adapter was promoted yet"


@pytest.mark.parametrize(
    ("candidate", "status", "words"),
    [
        (HALF, "pass", "not worse by 20 points or more"),
        (WRONG, "fail", "worse by 20 points or more"),
        ([1.0, 0.0] * 32 + [0.0] * 36, "undecided", "not shown to be less than 20 points worse"),
    ],
)
def test_a_margin_is_judged_and_what_would_settle_it_is_said(candidate: list[float], status: str, words: str) -> None:
    statistics = suite_of(GAIN).statistics
    comparison = compare_systems(
        evidence_of(candidate, HALF), scorer="exact_match", baseline="bare", statistics=statistics, min_gain=-0.2
    )
    found, why, needs = judge_comparison(comparison, statistics, min_gain=-0.2)
    assert found == status and why.startswith(words)
    assert needs.startswith("to show it of a candidate that is as good takes about ") == (status == "undecided")


def test_one_point_is_singular() -> None:
    assert claim("pass", -0.01) == "not worse by 1 point or more"


# --- training --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("history", "why"),
    [
        (history_of((2.0, 1.0), best=1, weights_finite=False), "training ended with weights that are not finite"),
        (history_of((2.0, 1.0), best=7), "no finite validation loss was measured"),
        (history_of((2.0, 1.0), best=1, stop_reason=""), "training ended for no stated reason"),
    ],
    ids=["weights", "no loss at the best step", "no reason to stop"],
)
def test_a_training_is_not_healthy_when_what_it_ended_with_is_not_known(history: TrainingHistory, why: str) -> None:
    suite = suite_of(GAIN, {"kind": "healthy_training"})
    assert reason(suite, replace(evidence_of(RIGHT, WRONG), training=history), "healthy_training") == ("fail", why)


# --- sentences beside the verdict ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("baseline", "said"), [("bare", True), ("strict", True), ("over_other", False), ("other", False)]
)
def test_only_an_arm_that_nothing_was_trained_for_makes_tuning_needless(baseline: str, said: bool) -> None:
    declared = suite_of(GAIN).model_dump(by_alias=True, exclude_unset=True)
    declared["systems"] |= {
        "strict": {"kind": "constrained", "over": "bare", "regex": "a"},
        "other": {"kind": "adapter", "from": "theirs"},
        "over_other": {"kind": "constrained", "over": "other", "regex": "a"},
    }
    suite = Suite.model_validate(declared)
    (result,) = [r for r in decide(suite_of(GAIN), evidence_of(RIGHT, RIGHT)).checks if r.kind == "better_than"]
    sentence = not_needed(suite, replace(result, baseline=baseline, high=0.01))
    assert sentence.startswith(f"You did not need to fine-tune: {baseline} is within 50.0 points") == said
    assert bool(sentence) == said


@pytest.mark.parametrize(
    ("begun", "said"),
    [
        (None, "whether that is before the candidate was trained cannot be told, since its training was not recorded"),
        ("2026-01-02T00:00:00+00:00", "before the training of the candidate began (2026-01-02T00:00:00+00:00)"),
        ("2025-12-31T00:00:00+00:00", "after the training of the candidate began (2025-12-31T00:00:00+00:00): its"),
    ],
)
def test_a_locked_suite_says_whether_its_bars_are_older_than_the_candidate(begun: str | None, said: str) -> None:
    training = history_of((2.0, 1.0), best=1, begun=begun)
    evidence = replace(evidence_of(RIGHT, WRONG), locked="2026-01-01T00:00:00+00:00", training=training)
    (note,) = [note for note in decide(suite_of(GAIN), evidence).notes if "the suite was locked" in note]
    assert note.startswith("the suite was locked at 2026-01-01T00:00:00+00:00") and said in note


# --- what must be there ----------------------------------------------------------------------------------------------


def test_an_example_that_stands_in_a_set_twice_is_refused_before_any_answer_is_counted() -> None:
    row = Example(id="1", messages=())
    with pytest.raises(BrokenRunError, match="test: an example stands in the data set twice"):
        index_answers([], {"test": (row, row)}, {})


@pytest.mark.parametrize("arm", ["candidate/gone", "candidate"])
def test_answers_that_were_planned_to_no_data_set_are_refused(arm: str) -> None:
    with pytest.raises(BrokenRunError, match=f"{arm}: answers were planned, and the evidence has no such data set"):
        index_answers([], {"test": ()}, {arm: 1})


def test_a_row_that_drifted_twice_is_refused() -> None:
    row = DriftRow(prompts="general.jsonl", example_id="1", kl=0.1, tokens=3)
    with pytest.raises(BrokenRunError, match=r"general\.jsonl: '1' was measured twice"):
        index_drift([row, replace(row, kl=0.0)], ["general.jsonl"])


def test_an_adapter_that_was_never_promoted_may_be_absent_and_nothing_else() -> None:
    declared = suite_of(GAIN).model_dump(by_alias=True, exclude_unset=True)
    declared["systems"] |= {"old": {"kind": "adapter", "from": "promoted"}}
    suite, planned = Suite.model_validate(declared), {"candidate/test": 1, "bare/test": 1}
    refuse_incomplete_plan(suite, planned, {"old": "no adapter was promoted yet"})
    with pytest.raises(BrokenRunError, match="bare: said to be absent, but only a promoted adapter can be"):
        refuse_incomplete_plan(suite, planned, {"bare": "gone"})


CORPUS = {**GAIN, "scorer": "macro_f1"}


@pytest.mark.parametrize(
    ("changes", "checks", "message"),
    [
        ({}, [{**GAIN, "scorer": "luck"}], "checks.0: there is no scorer 'luck'; known: "),
        ({"data": {"test": "a"}}, [{**GAIN, "scorer": "schema_valid"}], "checks.0: the scorer 'schema_valid' needs"),
        ({"statistics": {"mode": "hybrid"}}, [CORPUS], "a corpus metric, which only mode fixed can judge"),
        ({"decoding": {"samples": 2, "temperature": 1}}, [CORPUS], "to average over its samples"),
        ({}, [{**CORPUS, "kind": "recipe_better_than"}], "to average over the seeds"),
        ({}, [{**CORPUS, "min_gain": 0.1}], "checks.0.min_gain: macro_f1 is a corpus metric; only 0 can be tested"),
        (
            {"scorers": [{"name": "any", "kind": "regex", "pattern": "(?s).*"}]},
            [GAIN],
            r"scorers.0 \(any\): it accepts every text",
        ),
    ],
)
def test_a_scorer_that_cannot_do_what_is_asked_is_refused(
    changes: dict[str, object], checks: list[dict[str, object]], message: str
) -> None:
    declared = suite_of(*checks).model_dump(by_alias=True, exclude_unset=True) | changes
    with pytest.raises(InvalidInputError, match=message):
        refuse_unknown_scorers(Suite.model_validate(declared))


def test_a_slice_without_examples_is_refused() -> None:
    suite = suite_of(GAIN, {**GAIN, "tag": "hard"})
    refuse_empty_slices(suite, {"hard"})
    with pytest.raises(InvalidInputError, match=r"checks\.1\.tag: no test example has the tag 'hard'; known: none"):
        refuse_empty_slices(suite, set())
