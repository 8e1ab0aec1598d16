"""What holds of the decision on any evidence: worse never helps, order means nothing, damage never ships."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf, nan
from typing import Any

import pytest
from evidence_in_memory import DROP, GAIN, LIVE, VALID, evidence_of, suite_of
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import BrokenRunError
from harness.findings import LookCount, Verdict
from harness.gate.evidence import Evidence
from harness.gate.verdict import decide
from harness.records import BASE_MODEL, DriftRow, Score
from harness.suite.schema import Suite

UPWARD = {"hold": 0, "undecided": 1, "ship": 2}
RESAMPLED = settings(deadline=None, max_examples=40)  # a verdict by resampling takes some 10 ms

MODES = st.sampled_from(["fixed", "hybrid", "anytime"])
LABELS = ["a", "b", "c", "d", "e", "f", "g", None]


def many(elements: st.SearchStrategy[Any], *, fewest: int = 1, most: int = 60) -> st.SearchStrategy[list[Any]]:
    """Lists of every length alike; lists as they come are short, and short evidence decides nothing."""
    return st.integers(fewest, most).flatmap(lambda n: st.lists(elements, min_size=n, max_size=n))


# (candidate, baseline) of candidates that win, lose or do neither, so that every status occurs.
PAIRS = st.sampled_from(
    [
        [(1, 0), (1, 0), (1, 0), (0, 1), (1, 1), (0, 0)],
        [(1, 0), (0, 1), (1, 1), (0, 0)],
        [(1, 0), (0, 1), (0, 1), (0, 1), (1, 1), (0, 0)],
    ]
).flatmap(lambda kinds: many(st.sampled_from(kinds)))
VALIDITY = many(st.sampled_from([0] + [1] * 14), fewest=14)


@st.composite
def tenths(draw: st.DrawFn) -> list[tuple[float, float]]:
    """Scores of candidate and baseline, with the candidate tilted up or down."""
    rows = draw(many(st.tuples(st.integers(0, 10), st.integers(0, 10)), most=30))
    tilt = draw(st.integers(-6, 6))
    return [(min(max(mine + tilt, 0), 10) / 10, other / 10) for mine, other in rows]


def unzip(pairs: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [mine for mine, _ in pairs], [other for _, other in pairs]


def some_of(data: st.DataObject, n: int) -> list[int]:
    return data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=n, unique=True))


# --- worse never helps


@given(PAIRS, st.data(), MODES, st.sampled_from([0.0, 0.02, 0.2]))
def test_decision_never_moves_up_when_the_candidate_gets_some_answers_wrong(
    pairs: list[tuple[int, int]], data: st.DataObject, mode: str, min_gain: float
) -> None:
    candidate, baseline = unzip(pairs)
    wrong = some_of(data, len(pairs))
    worse = [0 if i in wrong else value for i, value in enumerate(candidate)]
    suite = suite_of({**GAIN, "min_gain": min_gain}, mode=mode, look_every=7)
    before, after = (decide(suite, evidence_of(values, baseline)).decision for values in (candidate, worse))
    assert UPWARD[after] <= UPWARD[before]


@given(VALIDITY, st.data())
def test_decision_never_moves_up_when_the_candidate_gives_some_invalid_answers(
    probe: list[int], data: st.DataObject
) -> None:
    wrong = some_of(data, len(probe))
    worse = [0 if i in wrong else value for i, value in enumerate(probe)]
    suite = suite_of(GAIN, {**VALID, "bar": 0.8})
    before, after = (decide(suite, evidence_of([1] * 9, [0] * 9, probe=values)).decision for values in (probe, worse))
    assert UPWARD[after] <= UPWARD[before]


@given(PAIRS, VALIDITY, st.data(), MODES)
def test_no_candidate_ships_for_giving_no_answer(
    pairs: list[tuple[int, int]], probe: list[int], data: st.DataObject, mode: str
) -> None:
    candidate, baseline = unzip(pairs)
    missing, gone = some_of(data, len(pairs)), some_of(data, len(probe))
    suite = suite_of(GAIN, {**VALID, "bar": 0.8}, mode=mode, look_every=7, max_unscored=1.0)
    silent = [None if i in missing else value for i, value in enumerate(candidate)]
    cut = [None if i in gone else value for i, value in enumerate(probe)]
    before = decide(suite, evidence_of(candidate, baseline, probe=probe)).decision
    after = decide(suite, evidence_of(silent, baseline, probe=cut)).decision
    assert UPWARD[after] <= UPWARD[before]


@given(PAIRS, st.data(), MODES)
def test_decision_never_moves_up_when_a_baseline_gives_no_answer(
    pairs: list[tuple[int, int]], data: st.DataObject, mode: str
) -> None:
    candidate, baseline = unzip(pairs)
    missing = some_of(data, len(pairs))
    silent = [None if i in missing else value for i, value in enumerate(baseline)]
    suite = suite_of(GAIN, mode=mode, look_every=7, max_unscored=1.0)
    before, after = (decide(suite, evidence_of(candidate, values)).decision for values in (baseline, silent))
    assert UPWARD[after] <= UPWARD[before]


@RESAMPLED
@given(tenths(), st.data(), st.booleans())
def test_hold_never_turns_into_ship_when_scores_of_the_candidate_fall(
    pairs: list[tuple[float, float]], data: st.DataObject, in_clusters: bool
) -> None:
    candidate, baseline = unzip(pairs)
    clusters = data.draw(st.lists(st.sampled_from(LABELS), min_size=len(pairs), max_size=len(pairs)))
    low = some_of(data, len(pairs))
    worse = [value * data.draw(st.sampled_from([0.0, 0.5])) if i in low else value for i, value in enumerate(candidate)]
    suite = suite_of({**GAIN, "scorer": "rouge_l"})
    before, after = (
        decide(
            suite, evidence_of(values, baseline, scorer="rouge_l", clusters=clusters if in_clusters else None)
        ).decision
        for values in (candidate, worse)
    )
    assert (before, after) != ("hold", "ship")


QUESTIONS = many(st.sampled_from([(1, 1), (1, 1), (1, 1), (0, 0), (1, 0), (0, 1), (1, 0)]), fewest=20, most=90)


@given(QUESTIONS, st.data(), st.sampled_from(["absolute", "relative"]), st.sampled_from([0.05, 0.3]), MODES)
def test_hold_never_turns_into_ship_when_the_candidate_gets_some_questions_wrong(
    outcomes: list[tuple[int, int]], data: st.DataObject, margin_type: str, margin: float, mode: str
) -> None:
    before, after = unzip(outcomes)
    wrong = some_of(data, len(outcomes))
    worse = [0 if i in wrong else value for i, value in enumerate(after)]
    suite = suite_of(GAIN, {**DROP, "margin_type": margin_type, "margin": margin}, mode=mode, look_every=9)
    first, second = (
        decide(suite, evidence_of([1] * 9, [0] * 9, answered=(before, values), pool=100)).decision
        for values in (after, worse)
    )
    assert (first, second) != ("hold", "ship")
    if mode != "fixed":
        assert UPWARD[second] <= UPWARD[first]


def with_drift(values: Sequence[float]) -> Evidence:
    rows = [DriftRow(prompts="general.jsonl", example_id=f"g{i}", kl=v, tokens=9) for i, v in enumerate(values)]
    return replace(evidence_of([1] * 9, [0] * 9), drift={"general.jsonl": tuple(rows)})


def with_logprobs(changes: Sequence[float]) -> Evidence:
    """The candidate's log-probability of each right choice, moved by `changes`."""
    found = evidence_of([1] * 9, [0] * 9, answered=([1] * len(changes), [1] * len(changes)))
    tuned = found.benchmarks["general", "candidate"]
    outcomes = tuple(
        replace(outcome, logprobs=(outcome.logprobs[0] + change, *outcome.logprobs[1:]))
        for outcome, change in zip(tuned.outcomes, changes, strict=True)
    )
    return replace(found, benchmarks={**found.benchmarks, ("general", "candidate"): replace(tuned, outcomes=outcomes)})


KL = suite_of(GAIN, {"kind": "kl_divergence", "prompts": "general.jsonl", "limit": 0.3})
LOGPROB = suite_of(GAIN, {"kind": "logprob_drop", "benchmark": "general", "margin": 0.3})
AMOUNTS = st.integers(0, 6).flatmap(lambda least: many(st.integers(least, least + 3).map(lambda x: x / 20), fewest=2))


@RESAMPLED
@given(AMOUNTS, st.data())
def test_hold_never_turns_into_ship_when_the_candidate_moves_further_from_the_base_model(
    amounts: list[float], data: st.DataObject
) -> None:
    further = some_of(data, len(amounts))
    worse = [value + 0.4 if i in further else value for i, value in enumerate(amounts)]
    pair = [decide(KL, with_drift(values)).decision for values in (amounts, worse)]
    assert pair != ["hold", "ship"]
    pair = [decide(LOGPROB, with_logprobs([-value for value in values])).decision for values in (amounts, worse)]
    assert pair != ["hold", "ship"]


# --- the two arms


@RESAMPLED
@given(tenths(), st.data(), st.booleans(), MODES, st.sampled_from([0.0, 0.1]))
def test_swapped_arms_never_both_ship(
    pairs: list[tuple[float, float]], data: st.DataObject, right_or_wrong: bool, mode: str, min_gain: float
) -> None:
    if right_or_wrong:
        pairs = [(float(mine > 0.5), float(other > 0.5)) for mine, other in pairs]
    labels = st.lists(st.sampled_from(LABELS), min_size=len(pairs), max_size=len(pairs))
    clusters = data.draw(st.none() | labels)
    suite = suite_of({**GAIN, "scorer": "rouge_l", "min_gain": min_gain}, mode=mode, look_every=7)
    there, back = (
        decide(suite, evidence_of(*arms, scorer="rouge_l", clusters=clusters)).decision
        for arms in (unzip(pairs), unzip(pairs)[::-1])
    )
    assert (there, back) != ("ship", "ship")
    if right_or_wrong and not min_gain and clusters is None:
        assert UPWARD[there] + UPWARD[back] == 2, "one side's gain is the other's loss"


# --- order


def reordered(evidence: Evidence, order: Sequence[int]) -> Evidence:
    """The same examples and questions in another order, and every arm in an order of its own."""
    test = [evidence.examples["test"][i] for i in order]
    scores = {
        key: dict(sorted(found.items(), key=lambda item: item[0][::-1], reverse=bool(turn)))
        for turn, (key, found) in enumerate(evidence.scores.items())
    }
    benchmarks = {
        key: replace(found, outcomes=found.outcomes[::-1] if turn else found.outcomes[9:] + found.outcomes[:9])
        for turn, (key, found) in enumerate(evidence.benchmarks.items())
    }
    return replace(evidence, examples={**evidence.examples, "test": tuple(test)}, scores=scores, benchmarks=benchmarks)


def numbers(verdict: Verdict) -> list[float]:
    return [
        0.0 if value is None else value
        for check in verdict.checks
        for value in (check.observed, check.low, check.high, check.limit, check.n)
    ]


@RESAMPLED
@given(tenths(), QUESTIONS, st.data(), st.booleans(), st.booleans())
def test_nothing_changes_when_examples_and_questions_are_reordered(
    pairs: list[tuple[float, float]],
    outcomes: list[tuple[int, int]],
    data: st.DataObject,
    right_or_wrong: bool,
    in_clusters: bool,
) -> None:
    if right_or_wrong:
        pairs = [(float(mine > 0.5), float(other > 0.5)) for mine, other in pairs]
    clusters = [f"cluster {i // 3}" for i in range(len(pairs))] if in_clusters else None
    suite = suite_of({**GAIN, "scorer": "rouge_l"}, {**DROP, "margin": 0.3}, {**VALID, "bar": 0.8})
    evidence = evidence_of(
        *unzip(pairs), scorer="rouge_l", clusters=clusters, probe=[1] * 20 + [0], answered=unzip(outcomes)
    )
    shuffled = reordered(evidence, data.draw(st.permutations(range(len(pairs)))))
    there, back = decide(suite, evidence), decide(suite, shuffled)
    assert [check.status for check in back.checks] == [check.status for check in there.checks]
    assert numbers(back) == pytest.approx(numbers(there), abs=1e-9)
    assert back.decision == there.decision


# --- what is not a number


def forged(value: float) -> Score:
    """A score that its own class refuses to make."""
    score = object.__new__(Score)
    object.__setattr__(score, "value", value)
    return score


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_a_score_is_refused_when_it_is_not_finite(value: float) -> None:
    with pytest.raises(ValueError, match="must be finite"):
        Score(value)


@given(PAIRS, st.sampled_from([nan, inf, -inf]), st.booleans(), st.booleans(), MODES, st.data())
def test_evidence_is_refused_when_a_score_is_not_finite(
    pairs: list[tuple[int, int]],
    value: float,
    of_candidate: bool,
    partly: bool,
    mode: str,
    data: st.DataObject,
) -> None:
    candidate, baseline = unzip(pairs)
    evidence = evidence_of([*candidate, 0.5 if partly else 1.0], [*baseline, 0.0])
    arm = ("candidate" if of_candidate else "bare", "test", "exact_match")
    key = data.draw(st.sampled_from(sorted(evidence.scores[arm])))
    scores = {**evidence.scores, arm: {**evidence.scores[arm], key: forged(value)}}
    with pytest.raises(ValueError, match=r"finite|must lie between"):
        decide(suite_of(GAIN, mode=mode, look_every=7), replace(evidence, scores=scores))


@pytest.mark.parametrize("value", [nan, inf, -inf])
@pytest.mark.parametrize("system", [BASE_MODEL, "candidate"])
@pytest.mark.parametrize("suite", [LOGPROB, suite_of(GAIN, DROP), suite_of(GAIN, DROP, mode="anytime")])
def test_a_candidate_is_held_when_a_log_probability_is_not_finite(suite: Suite, system: str, value: float) -> None:
    evidence = evidence_of([1] * 9, [0] * 9, answered=([1] * 90, [1] * 90), pool=90)
    assert decide(suite, evidence).decision == "ship"
    result = evidence.benchmarks["general", system]
    broken = replace(result.outcomes[7], logprobs=(value, -2.0, -3.0, -4.0))
    outcomes = (*result.outcomes[:7], broken, *result.outcomes[8:])
    benchmarks = {**evidence.benchmarks, ("general", system): replace(result, outcomes=outcomes)}
    assert decide(suite, replace(evidence, benchmarks=benchmarks)).decision == "hold"


@pytest.mark.parametrize("value", [nan, inf])
def test_a_candidate_is_held_when_a_divergence_is_not_finite(value: float) -> None:
    assert decide(KL, with_drift([0.1, 0.12] * 20)).decision == "ship"
    assert decide(KL, with_drift([0.1, 0.12] * 20 + [value])).decision == "hold"


def test_a_candidate_is_held_when_its_logits_are_not_finite() -> None:
    evidence = replace(evidence_of([1] * 9, [0] * 9), liveness=replace(LIVE, logits_finite=False))
    assert decide(suite_of(GAIN), evidence).decision == "hold"


# --- what is missing


@given(PAIRS, st.booleans(), MODES, st.data())
def test_evidence_is_refused_when_a_score_is_missing(
    pairs: list[tuple[int, int]], of_candidate: bool, mode: str, data: st.DataObject
) -> None:
    evidence = evidence_of(*unzip(pairs))
    arm = ("candidate" if of_candidate else "bare", "test", "exact_match")
    gone = data.draw(st.sampled_from(sorted(evidence.scores[arm])))
    left = {key: score for key, score in evidence.scores[arm].items() if key != gone}
    with pytest.raises(BrokenRunError, match=gone):
        decide(suite_of(GAIN, mode=mode, look_every=7), replace(evidence, scores={**evidence.scores, arm: left}))


# --- what people may change


@given(PAIRS, st.integers(1, 30), st.integers(1, 5))
def test_no_count_of_looks_and_no_acceptance_moves_a_hold(
    pairs: list[tuple[int, int]], number: int, budget: int
) -> None:
    candidate, baseline = unzip(pairs)
    evidence = evidence_of(candidate, baseline)
    plain = decide(suite_of(GAIN), evidence)
    counted = decide(
        suite_of(GAIN, holdout_budget=budget),
        evidence,
        looks=LookCount(number=number, budget=budget, recorded=True),
    )
    assert (plain.decision, counted.decision) != ("undecided", "ship")
    accepted = decide(suite_of(GAIN), evidence, accepted={check.name: "please" for check in plain.checks})
    assert accepted.decision == ("hold" if plain.decision == "hold" else "ship")
