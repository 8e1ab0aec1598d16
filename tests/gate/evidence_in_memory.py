"""Suites and evidence made in memory, so that the decision can be tried thousands of times without a run folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from harness.gate.evidence import Evidence
from harness.records import (
    BASE_MODEL,
    BenchmarkResult,
    Example,
    Liveness,
    Prediction,
    Preference,
    QuestionOutcome,
    Score,
    ScoreResult,
    Unscored,
)
from harness.suite.schema import Suite

BASELINES = ("bare", "second", "third")
LIVE = Liveness(prompts=50, differing_answers=40, max_logit_difference=2.0, logits_finite=True)
GAIN: dict[str, Any] = {"kind": "better_than"}
VALID: dict[str, Any] = {"kind": "valid_output", "on": "probe", "bar": 0.995}
PREFERRED: dict[str, Any] = {"kind": "preferred", "judge": "strict"}
DROP: dict[str, Any] = {"kind": "benchmark_drop", "benchmark": "general", "margin": 0.05, "margin_type": "absolute"}


def suite_of(*checks: dict[str, Any], baselines: int = 1, **statistics: Any) -> Suite:
    """A suite with these checks, a candidate and so many baselines."""
    systems: dict[str, Any] = {"candidate": {"kind": "adapter", "role": "candidate", "from": "adapter"}}
    systems |= {name: {"kind": "prompt"} for name in BASELINES[:baselines]}
    # A large `min_effect` makes it cheap to say how many examples would settle a check; no status depends on it.
    return Suite.model_validate(
        {
            "suite": "in-memory",
            "seed": 1,
            "model": "model",
            "data": {"test": "test.jsonl", "probe": "probe.jsonl", "schema": "schema.json"},
            "systems": systems,
            "benchmarks": {"general": {"task": "mmlu", "per_subject": None}},
            "judges": {"strict": {"rubric": "rubric.txt", "base_url": "http://localhost:1/v1", "model": "some/model"}},
            "checks": list(checks),
            "statistics": {"min_effect": 0.5, **statistics},
        }
    )


def evidence_of(
    candidate: Sequence[float | None],
    *baselines: Sequence[float | None],
    scorer: str = "exact_match",
    clusters: Sequence[str | None] | None = None,
    probe: Sequence[float | None] = (),
    answered: tuple[Sequence[int], Sequence[int]] | None = None,
    pool: int | None = None,
) -> Evidence:
    """Scores of each system on the test set (None: no answer), and what else the checks may read.

    `probe` holds the candidate's validity; `answered` the benchmark's questions, right (1) or wrong (0), of the base
    model and of the candidate; `pool` the size of the benchmark when its questions are in random order.
    """
    test = _examples("test", len(candidate), tuple(clusters) if clusters else None)
    arms = {"candidate": candidate, **dict(zip(BASELINES, baselines, strict=False))}
    scores = {(name, "test", scorer): _by_id(test, values) for name, values in arms.items()}
    probes = _examples("probe", len(probe), None)
    if probe:
        scores["candidate", "probe", "schema_valid"] = _by_id(probes, probe)
    return Evidence(
        candidate="candidate",
        baselines=tuple(arms)[1:],
        absent={},
        examples={"test": test, "probe": probes},
        answers={},
        scores=scores,
        benchmarks=_benchmarks(*answered, pool=pool) if answered else {},
        drift={},
        preferences={},
        pool={"test": len(candidate), "probe": len(probe)},
        training=None,
        liveness=LIVE,
        seed=3,
    )


def judged(
    *baselines: Sequence[tuple[int, int] | None],
    equal: Sequence[int] = (),
    clusters: Sequence[str | None] | None = None,
) -> Evidence:
    """What the judge `strict` prefers of the candidate's and each baseline's answers, shown first and shown second.

    None: no preference. The answers differ but for those at the places in `equal`.
    """
    n = len(baselines[0])
    found = evidence_of([1.0] * n, *([0.0] * n for _ in baselines), clusters=clusters)
    test = found.examples["test"]
    arms = ("candidate", *found.baselines)
    answers = {
        (arm, "test"): {row.id: _answer(arm, row.id, "same" if i in equal else arm) for i, row in enumerate(test)}
        for arm in arms
    }
    preferences = {
        ("strict", arm): {row.id: _preference(arm, row.id, pair) for row, pair in zip(test, pairs, strict=True)}
        for arm, pairs in zip(found.baselines, baselines, strict=True)
    }
    return replace(found, answers=answers, preferences=preferences)


def _answer(system: str, key: str, text: str) -> Prediction:
    return Prediction(
        example_id=key,
        system=system,
        dataset="test",
        text=text,
        stop="end",
        prompt_tokens=1,
        output_tokens=1,
        seconds=0.0,
    )


def _preference(baseline: str, key: str, pair: tuple[int, int] | None) -> Preference:
    first, second = pair or (None, None)
    error = "the server is gone" if pair is None else None
    return Preference(
        judge="strict",
        baseline=baseline,
        example_id=key,
        shown_first=first,  # type: ignore[arg-type]
        shown_second=second,  # type: ignore[arg-type]
        error=error,
    )


def _by_id(examples: Sequence[Example], values: Sequence[float | None]) -> dict[str, ScoreResult]:
    results = [Unscored("no answer") if value is None else Score(float(value)) for value in values]
    return {example.id: result for example, result in zip(examples, results, strict=True)}


@cache
def _examples(dataset: str, n: int, clusters: tuple[str | None, ...] | None) -> tuple[Example, ...]:
    groups = clusters or (None,) * n
    return tuple(Example(id=f"{dataset}-{i}", messages=(), cluster=groups[i]) for i in range(n))


def _benchmarks(
    before: Sequence[int], after: Sequence[int], *, pool: int | None
) -> dict[tuple[str, str], BenchmarkResult]:
    return {
        ("general", system): BenchmarkResult(
            benchmark="general",
            system=system,
            task_digest="t" * 64,
            chance=0.25,
            outcomes=tuple(_outcome(i, bool(right)) for i, right in enumerate(answers)),
            weights={"first": 0.5, "second": 0.5},
            pool=pool,
        )
        for system, answers in ((BASE_MODEL, before), ("candidate", after))
    }


@cache
def _outcome(number: int, right: bool) -> QuestionOutcome:
    """A four-choice question, of two subjects in turn."""
    return QuestionOutcome(
        question_id=f"q{number}",
        subject="first" if number % 2 else "second",
        logprobs=(-1.0, -2.0, -3.0, -4.0) if right else (-2.0, -1.0, -3.0, -4.0),
        choice=0 if right else 1,
        target=0,
        correct=right,
    )
