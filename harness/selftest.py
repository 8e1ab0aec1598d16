"""Measure this suite's gate on its own stored outcomes: how often it ships what it must not, and holds what it may.

Each replicate draws the stored examples, probes and benchmark questions anew with replacement, plants one fault (or
none), and runs the very function that decides. Nothing is trained or answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal, TypeVar

import numpy as np
from numpy.random import Generator

from harness.assembly import assemble_evidence, schema_validator
from harness.data.splits import refuse_overlap
from harness.errors import InvalidInputError
from harness.findings import Estimate
from harness.gate.evidence import Evidence
from harness.gate.verdict import decide
from harness.records import (
    BASE_MODEL,
    BenchmarkResult,
    Example,
    LeakedExample,
    Liveness,
    Prediction,
    Preference,
    Score,
    ScoreResult,
    Unscored,
)
from harness.scoring.apply import apply_scorer
from harness.scoring.declared import scorers_of
from harness.scoring.json_schema import SchemaValidator
from harness.stats.proportion import proportion_estimate
from harness.store.runs import StoredRun
from harness.suite.checks import BenchmarkDrop, ValidOutput
from harness.suite.schema import Suite

PLANTED_DROP = 0.05  # of all questions, or the margin where that is wider: what may be lost is no fault
PLANTED_TRUNCATION = 0.05  # of the probe's answers
Plant = Callable[[Evidence, Generator], Evidence]
T = TypeVar("T")
AnswerScorer = Callable[[str, Prediction, Example], ScoreResult]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One scenario: how often the gate did what it should, with an exact interval."""

    name: str
    meaning: str
    wanted: str  # "ship" or "not ship"
    rate: Estimate
    error: str  # what a miss is called


def run_selftest(run: StoredRun, suite: Suite, *, replicates: int, seed: int) -> list[Trial]:
    """Measure every scenario that the suite's checks and the stored evidence allow.

    Raises:
        BrokenRunError: evidence that does not pair.
    """
    _, evidence = assemble_evidence(run, suite)
    trials: list[Trial] = []
    for name, meaning, wanted, plant in _scenarios(suite, evidence, _answer_scorer(suite, schema_validator(run))):
        rng = np.random.default_rng([seed, len(trials)])
        shipped = sum(decide(suite, plant(_redraw(evidence, rng), rng)).decision == "ship" for _ in range(replicates))
        hits = shipped if wanted == "ship" else replicates - shipped
        trials.append(
            Trial(
                name=name,
                meaning=meaning,
                wanted=wanted,
                rate=proportion_estimate(hits, replicates, suite.statistics.alpha),
                error="false block" if wanted == "ship" else "false ship",
            )
        )
    trials.append(_leak(run))
    return trials


def _answer_scorer(suite: Suite, validator: SchemaValidator | None) -> AnswerScorer:
    """Scores an answer as if it had been given to any example; replicates bring the same pairs again and again."""
    known = scorers_of(suite)

    @cache
    def scored(scorer: str, text: str, logprob: float | None, example: Example) -> ScoreResult:
        return apply_scorer(known[scorer], text, example, validator, logprob)

    def score(scorer: str, answer: Prediction, example: Example) -> ScoreResult:
        if answer.error is not None:
            return Unscored(f"no answer: {answer.error}")
        seen = Example(id="", messages=(), target=example.target, tags=example.tags)  # what a scorer sees of it
        return scored(scorer, answer.text, answer.logprob, seen)

    return score


def _scenarios(suite: Suite, evidence: Evidence, score: AnswerScorer) -> list[tuple[str, str, str, Plant]]:
    found: list[tuple[str, str, str, Plant]] = [
        ("as it is", "the candidate's own outcomes; it ships when it deserves to", "ship", lambda e, _: e),
        ("equal systems", "candidate and closest baseline exchange answers by coin", "not ship", _exchange),
        ("shuffled answers", "the candidate's answers under wrong examples", "not ship", _shuffle(score)),
        ("base as candidate", "a baseline's answers handed in as the candidate's", "not ship", _impostor),
        ("adapter without effect", "logits and answers equal the base model's", "not ship", _null_adapter),
    ]
    if any(isinstance(check, ValidOutput) for check in suite.checks):
        meaning = f"{PLANTED_TRUNCATION:.0%} of the probed answers cut off"
        found.append(("truncated JSON", meaning, "not ship", _truncate(suite)))
    if any(isinstance(check, BenchmarkDrop) for check in suite.checks):
        drops = _drops(suite, evidence)
        lost = ", ".join(f"{100 * drop:.1f} points on {name}" for name, drop in drops.items())
        meaning = f"the candidate lost {lost} against the base model"
        found.append(("lost ability", meaning, "not ship", _forget(drops)))
    return found


def _drops(suite: Suite, evidence: Evidence) -> dict[str, float]:
    """Benchmark -> the least loss of accuracy that is a fault: the planted one, or the widest margin allowed."""
    drops: dict[str, float] = {}
    for check in suite.checks:
        if isinstance(check, BenchmarkDrop):
            outcomes = evidence.benchmarks[check.benchmark, BASE_MODEL].outcomes
            accuracy = sum(outcome.correct for outcome in outcomes) / len(outcomes)
            margin = check.margin * (accuracy if check.margin_type == "relative" else 1.0)
            drops[check.benchmark] = max(drops.get(check.benchmark, PLANTED_DROP), margin)
    return drops


def _redraw(evidence: Evidence, rng: Generator) -> Evidence:
    """The evidence with its examples, probes and questions drawn with replacement, under new ids."""
    examples: dict[str, tuple[Example, ...]] = {}
    scores: dict[tuple[str, str, str], dict[str, ScoreResult]] = {key: {} for key in evidence.scores}
    answers = {key: dict(found) for key, found in evidence.answers.items()}
    preferences = {key: dict(found) for key, found in evidence.preferences.items()}
    leaks: tuple[LeakedExample, ...] = ()
    for dataset, rows in evidence.examples.items():
        drawn = [rows[index] for index in rng.integers(len(rows), size=len(rows))]
        renamed = [replace(row, id=f"{row.id}#{place}") for place, row in enumerate(drawn)]
        examples[dataset] = tuple(renamed)
        for (system, name, scorer), found in evidence.scores.items():
            if name == dataset:
                pairs = zip(renamed, drawn, strict=True)
                scores[system, name, scorer] = {new.id: found[old.id] for new, old in pairs}
        for (system, name), given in evidence.answers.items():
            if name == dataset:
                answers[system, name] = {new.id: given[old.id] for new, old in zip(renamed, drawn, strict=True)}
        if dataset == "test":
            for pair, asked in evidence.preferences.items():
                rows_of = zip(renamed, drawn, strict=True)
                preferences[pair] = {new.id: replace(asked[old.id], example_id=new.id) for new, old in rows_of}
            leaked = {leak.example_id: leak for leak in evidence.leaks}
            both = zip(renamed, drawn, strict=True)
            leaks = tuple(replace(leaked[old.id], example_id=new.id) for new, old in both if old.id in leaked)
    benchmarks = {}
    for name in {name for name, _ in evidence.benchmarks}:
        picks = _stratified(evidence.benchmarks[name, BASE_MODEL], rng)
        for key in ((name, BASE_MODEL), (name, evidence.candidate)):
            benchmarks[key] = _pick(evidence.benchmarks[key], picks)
    return replace(
        evidence,
        examples=examples,
        scores=scores,
        answers=answers,
        benchmarks=benchmarks,
        preferences=preferences,
        leaks=leaks,
    )


def _stratified(result: BenchmarkResult, rng: Generator) -> list[str]:
    by_subject: dict[str, list[str]] = {}
    for outcome in result.outcomes:
        by_subject.setdefault(outcome.subject, []).append(outcome.question_id)
    return [str(item) for ids in by_subject.values() for item in rng.choice(ids, size=len(ids))]


def _pick(result: BenchmarkResult, ids: list[str]) -> BenchmarkResult:
    found = {outcome.question_id: outcome for outcome in result.outcomes}
    drawn = [replace(found[name], question_id=f"{name}#{place}") for place, name in enumerate(ids)]
    return replace(result, outcomes=tuple(drawn))


def _with_candidate_scores(
    evidence: Evidence, dataset: str, change: Callable[[str, Mapping[str, ScoreResult]], dict[str, ScoreResult]]
) -> Evidence:
    """The evidence with the candidate's scores on one data set replaced, scorer by scorer."""
    scores = {
        key: change(key[2], found) if key[:2] == (evidence.candidate, dataset) else found
        for key, found in evidence.scores.items()
    }
    return replace(evidence, scores=scores)


def _with_candidate_answers(evidence: Evidence, answers: Mapping[str, Prediction]) -> Evidence:
    """The evidence with the candidate's answers to the test set replaced, which corpus scores are made of."""
    return replace(evidence, answers={**evidence.answers, (evidence.candidate, "test"): answers})


def _closest(evidence: Evidence) -> str:
    """The baseline with the best mean on the scorer that every run has."""

    def mean(name: str) -> float:
        found = evidence.scores[name, "test", "exact_match"].values()
        return float(np.mean([score.value if isinstance(score, Score) else 0.0 for score in found]))

    return max(evidence.baselines, key=lambda name: (mean(name), name))


def _exchange(evidence: Evidence, rng: Generator) -> Evidence:
    """Two systems that differ as candidate and closest baseline do, and of which neither is better."""
    rival, candidate = _closest(evidence), evidence.candidate
    swap = {example.id: bool(rng.integers(2)) for example in evidence.examples["test"]}

    def mixed(mine: Mapping[str, T], other: Mapping[str, T]) -> dict[str, T]:
        return {key: other[key] if swap[key] else mine[key] for key in mine}

    scores, answers = dict(evidence.scores), dict(evidence.answers)
    for system, dataset, scorer in evidence.scores:
        if (system, dataset) == (candidate, "test"):
            ours, theirs = evidence.scores[system, "test", scorer], evidence.scores[rival, "test", scorer]
            scores[system, "test", scorer], scores[rival, "test", scorer] = mixed(ours, theirs), mixed(theirs, ours)
    said, rival_said = evidence.answers[candidate, "test"], evidence.answers[rival, "test"]
    answers[candidate, "test"], answers[rival, "test"] = mixed(said, rival_said), mixed(rival_said, said)
    preferences = {
        (judge, name): {key: _turned(row) if swap[key] else row for key, row in found.items()}
        if name == rival
        else found
        for (judge, name), found in evidence.preferences.items()
    }
    return replace(evidence, scores=scores, answers=answers, preferences=preferences)


def _turned(preference: Preference) -> Preference:
    """The preference when each of the two had given the other's answer."""
    first, second = preference.shown_first, preference.shown_second
    if first is None or second is None:
        return preference
    opposite: dict[int, Literal[-1, 0, 1]] = {-1: 1, 0: 0, 1: -1}
    return replace(preference, shown_first=opposite[second], shown_second=opposite[first])


def _shuffle(score: AnswerScorer) -> Plant:
    """The candidate is right as often as its answer fits another example."""

    def plant(evidence: Evidence, rng: Generator) -> Evidence:
        rows = evidence.examples["test"]
        answers = evidence.answers[evidence.candidate, "test"]
        order = rng.permutation(len(rows))
        moved = {row.id: answers[rows[place].id] for row, place in zip(rows, order, strict=True)}

        def change(scorer: str, _: Mapping[str, ScoreResult]) -> dict[str, ScoreResult]:
            return {row.id: score(scorer, moved[row.id], row) for row in rows}

        return _with_candidate_scores(_with_candidate_answers(evidence, moved), "test", change)

    return plant


def _impostor(evidence: Evidence, rng: Generator) -> Evidence:
    rival = _closest(evidence)
    changed = _with_candidate_answers(evidence, evidence.answers[rival, "test"])
    return _with_candidate_scores(changed, "test", lambda scorer, _: dict(evidence.scores[rival, "test", scorer]))


def _null_adapter(evidence: Evidence, rng: Generator) -> Evidence:
    found = Liveness(prompts=1, differing_answers=0, max_logit_difference=0.0, logits_finite=True)
    return replace(evidence, liveness=found)


def _truncate(suite: Suite) -> Plant:
    dataset = next(check.on for check in suite.checks if isinstance(check, ValidOutput))

    def plant(evidence: Evidence, rng: Generator) -> Evidence:
        cut = {example.id for example in evidence.examples[dataset] if rng.random() < PLANTED_TRUNCATION}

        def change(scorer: str, found: Mapping[str, ScoreResult]) -> dict[str, ScoreResult]:
            return {key: Score(0.0) if key in cut else score for key, score in found.items()}

        return _with_candidate_scores(evidence, dataset, change)

    return plant


def _forget(drops: Mapping[str, float]) -> Plant:
    """The base model's own outcomes with the loss in them, each right answer being lost with the same chance."""

    def plant(evidence: Evidence, rng: Generator) -> Evidence:
        benchmarks = dict(evidence.benchmarks)
        for name, drop in drops.items():
            outcomes = benchmarks[name, BASE_MODEL].outcomes
            lost = drop * len(outcomes) / max(1, sum(outcome.correct for outcome in outcomes))
            turned = [replace(o, correct=o.correct and rng.random() >= lost) for o in outcomes]
            benchmarks[name, evidence.candidate] = replace(benchmarks[name, evidence.candidate], outcomes=tuple(turned))
        return replace(evidence, benchmarks=benchmarks)

    return plant


def _leak(run: StoredRun) -> Trial:
    """Every test row, planted in the training rows in another form, must be refused before anything runs."""
    test = run.examples["test"]
    refused = 0
    for example in test:
        last = example.messages[-1]
        disguised = replace(last, content=f"  {last.content.upper()} !")
        leaked = replace(example, messages=(*example.messages[:-1], disguised), id=f"leak {example.id}")
        try:
            refuse_overlap({"train": (leaked,), "test": test})
        except InvalidInputError:
            refused += 1
    return Trial(
        name="leaked rows",
        meaning="a test row among the training rows, in capitals and with other spacing",
        wanted="not ship",
        rate=proportion_estimate(refused, len(test), 0.05),
        error="false ship",
    )
