"""Realistic run records for the report's tests: shipped, held, undecided, untrained, failing and hostile."""

from __future__ import annotations

import dataclasses
import functools
import math
import random
import statistics
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from harness.findings import (
    AnswerLengths,
    ArmUse,
    BreakEven,
    CalibrationBin,
    CalibrationResult,
    CheckResult,
    CleanSubset,
    Comparison,
    Decision,
    Estimate,
    JudgedPairs,
    LookCount,
    PastRun,
    RunRecord,
    SchemaProblem,
    ScorerSummary,
    Status,
    Verdict,
)
from harness.records import (
    BASE_MODEL,
    REFERENCES,
    BenchmarkResult,
    Counters,
    Example,
    LeakedExample,
    LeakSearch,
    Liveness,
    LossPoint,
    Message,
    Prediction,
    QuestionOutcome,
    RunManifest,
    Score,
    ScoredAnswer,
    SystemFact,
    TrainingHistory,
    Unscored,
)

CANDIDATE = "candidate"
BASELINES = ("prompt-only", "engineered", "few-shot", "previous")
SYSTEMS = (CANDIDATE, *BASELINES)
LABELS = ("billing", "shipping", "login", "refund", "bug", "praise", "out of scope")
TICKETS = (
    "My invoice for March shows the old plan, although I downgraded in February. Please correct it.",
    "The parcel was marked delivered on Tuesday, but nothing arrived and the neighbours saw nothing.",
    "I cannot sign in since the update; the code from the app is refused every time. This is urgent.",
    "Please send my money back, the second pair does not fit and the return label is in the box.",
    "Exporting a report with more than 500 rows ends with a blank page.",
    "Just wanted to say that your colleague on the phone was wonderful!",
    "Do you also sell garden furniture? A friend told me you might.",
)
CANDIDATE_SHARE: dict[Decision, float] = {"ship": 0.88, "hold": 0.62, "undecided": 0.74}
BASELINE_SHARE = {"prompt-only": 0.03, "engineered": 0.2, "few-shot": 0.42, "previous": 0.71}
SUITE_TEXT = "suite: ticket-triage\nseed: 17\nmodel: smollm2-135m-instruct\n"


def make_record(
    decision: Decision = "ship",
    *,
    trained: bool = True,
    rows: int = 120,
    probes: int = 200,
    errors: int = 0,
    warnings: Sequence[str] = (),
) -> RunRecord:
    """Return a run of the ticket suite that ended this way; `errors` answers of the candidate failed."""
    draw = random.Random(17)
    tests = tuple(_example(draw, place) for place in range(rows))
    probe = tuple(_probe(draw, place) for place in range(probes))
    shares = {CANDIDATE: CANDIDATE_SHARE[decision], **BASELINE_SHARE}
    predictions, scores = _answers(draw, tests, shares, errors)
    probe_predictions, probe_scores = _probe_answers(draw, probe, invalid=1 if decision == "ship" else 9)
    comparisons = tuple(
        _comparison(name, tests, scores, tag=tag) for name in BASELINES for tag in (None, "plain", "shifted")
    )
    overall = tuple(item for item in comparisons if item.tag is None)
    scores += probe_scores
    verdict = _verdict(decision, overall)
    benchmarks = tuple(_benchmark(draw, name) for name in (CANDIDATE, BASE_MODEL))
    return RunRecord(
        manifest=_manifest(warnings),
        suite_text=SUITE_TEXT,
        candidate=CANDIDATE,
        examples={"test": tests, "probe": probe},
        predictions=(*predictions, *probe_predictions),
        scores=tuple(scores),
        summaries=_summaries(tests, probe, scores),
        comparisons=comparisons,
        benchmarks=benchmarks,
        benchmark_summaries=(
            *(_accuracy(name, value) for name, value in ((CANDIDATE, 0.71), (BASE_MODEL, 0.725))),
            *(_subject_accuracy(result, subject) for result in benchmarks for subject in result.weights),
        ),
        leaks=LeakSearch(compared=297, leaks=()),
        training=_training() if trained else None,
        liveness=Liveness(prompts=24, differing_answers=24, max_logit_difference=17.32, logits_finite=True),
        arms=tuple(_use(name, predictions) for name in SYSTEMS),
        verdict=verdict,
        judged="2026-01-05T12:40:11Z",
        looks=LookCount(number=2, budget=None, recorded=True),
        schema_problems=(
            SchemaProblem(system="prompt-only", keyword="not JSON", path="$", count=188, example="not JSON: no value"),
            SchemaProblem(
                system="prompt-only", keyword="required", path="$", count=7, example="'urgent' is a required property"
            ),
            SchemaProblem(
                system=CANDIDATE,
                keyword="enum",
                path="$.category",
                count=1,
                example="'delivery' is not one of the labels",
            ),
        ),
        detectable={
            check.name: (check.high - check.low) / 2 * 1.512
            for check in verdict.checks
            if check.unit == "points" and check.low is not None and check.high is not None
        },
        lengths=(*(_lengths(name, predictions) for name in SYSTEMS), _lengths(REFERENCES, [], tests)),
    )


def complete(record: RunRecord) -> RunRecord:
    """Return the record with what only some runs have: leaks, confidences, judges, more trainings, earlier runs."""
    assert record.training is not None
    shorter = dataclasses.replace(record.training, points=record.training.points[:9], last_step=40, best_step=40)
    runs = [
        PastRun(run_id=f"2026010{day}-09{day}000-aa{day}0", decision=decision, value=value)
        for day, (decision, value) in enumerate(
            (("hold", 0.31), ("undecided", 0.55), ("ship", 0.68), ("hold", None), ("ship", 0.71)), start=1
        )
    ]
    return dataclasses.replace(
        leaky(record),
        calibrations=tuple(_calibration(name, gap) for name, gap in ((CANDIDATE, 0.04), ("few-shot", 0.3))),
        judged_pairs=(
            _judged("tone", "prompt-only", (97, 12, 11, 0), 101),
            _judged("tone", "previous", (41, 40, 37, 2), 61),
        ),
        trainings={
            "tuned-fully": dataclasses.replace(record.training, method="full fine-tuning", stopped_early=False),
            f"{CANDIDATE}@seed18": shorter,
        },
        earlier=tuple(runs),
    )


def leaky(record: RunRecord, sure: int = 1, possible: int = 1) -> RunRecord:
    """Return the record with the first test rows found within a training row (sure) or nearly in one (possible)."""
    tests = record.examples["test"]
    leaks = tuple(
        LeakedExample(
            example_id=example.id,
            source=example.source,
            twin=f"train.jsonl:{place + 7}",
            kind="contained" if place < sure else "near copy",
            similarity=1.0 if place < sure else 0.914,
            is_sure=place < sure,
        )
        for place, example in enumerate(tests[: sure + possible])
    )
    left = tests[len(leaks) :]
    compared = [item for item in record.comparisons if item.tag is None and left]
    overall = [
        item for item in record.summaries if (item.dataset, item.scorer, item.tag) == ("test", "exact_match", None)
    ]
    return dataclasses.replace(
        record,
        leaks=dataclasses.replace(record.leaks, leaks=leaks),
        clean=CleanSubset(
            n=len(left),
            scorer="exact_match",
            summaries=tuple(_without_others(item, left, record.scores) for item in overall if left),
            comparisons=tuple(_comparison(item.baseline, left, record.scores, tag=None) for item in compared),
        ),
    )


def _without_others(summary: ScorerSummary, left: Sequence[Example], scores: Sequence[ScoredAnswer]) -> ScorerSummary:
    """The summary of these examples alone; an arm that `priced` added is its model's."""
    system = {"grammar": "prompt-only", "hosted": "few-shot"}.get(summary.system, summary.system)
    values = {
        item.example_id: item.result.value
        for item in scores
        if (item.system, item.dataset, item.scorer) == (system, "test", summary.scorer)
        and isinstance(item.result, Score)
    }
    mean, n = _mean(values, {example.id for example in left})
    estimate = _estimate(mean, 0.055, n, summary.estimate.method)
    return dataclasses.replace(summary, estimate=estimate, unscored=len(left) - n)


def _calibration(system: str, gap: float) -> CalibrationResult:
    bins = tuple(
        CalibrationBin(
            low=place / 10,
            high=(place + 1) / 10,
            n=2 + 2 * place,
            confidence=place / 10 + 0.06,
            accuracy=max(place / 10 + 0.06 - gap, 0.0),
        )
        for place in range(3, 10)
    )
    total = sum(one.n for one in bins)
    return CalibrationResult(system=system, scorer="brier", ece=gap, n=total, missing=120 - total, bins=bins)


def _judged(judge: str, baseline: str, counts: tuple[int, int, int, int], agreeing: int) -> JudgedPairs:
    preferred, tied, against, missing = counts
    return JudgedPairs(
        judge=judge,
        baseline=baseline,
        candidate_preferred=preferred,
        tied=tied,
        baseline_preferred=against,
        missing=missing,
        asked=preferred + against,
        agreeing=agreeing,
    )


def _lengths(system: str, predictions: Sequence[Prediction], tests: Sequence[Example] = ()) -> AnswerLengths:
    texts = [row.text for row in predictions if row.system == system and row.error is None]
    lengths = sorted(map(len, texts or [example.target or "" for example in tests]))
    five = (lengths[0], *statistics.quantiles(lengths, n=4, method="inclusive"), lengths[-1])
    return AnswerLengths(system=system, n=len(lengths), quartiles=tuple(map(float, five)))


def priced(record: RunRecord) -> RunRecord:
    """Return the record with prices and two more arms: the bare prompt under a grammar, and a model behind a server."""
    prompt_only = next(arm for arm in record.arms if arm.system == "prompt-only")
    grammar = dataclasses.replace(prompt_only, system="grammar", truncated=0, seconds=0.34, over="prompt-only")
    hosted = dataclasses.replace(prompt_only, system="hosted", truncated=0, prompt_tokens=1234.5, seconds=1.85)
    local = [dataclasses.replace(arm, cost=(arm.seconds or 0.0) / 3.6) for arm in (*record.arms, grammar)]
    arms = (*local[:2], local[-1], *local[2:-1], dataclasses.replace(hosted, cost=0.3125))
    facts = (
        SystemFact(name="grammar", kind="constrained", role="baseline", signature="base sha256:5f2a… schema"),
        SystemFact(
            name="hosted", kind="endpoint", role="baseline", signature="endpoint:api", note="2 requests repeated"
        ),
    )
    copies = {"grammar": "prompt-only", "hosted": "few-shot"}
    summaries = [
        dataclasses.replace(item, system=name)
        for name, like in copies.items()
        for item in record.summaries
        if item.system == like
    ]
    return dataclasses.replace(
        record,
        manifest=dataclasses.replace(record.manifest, systems=(*record.manifest.systems, *facts)),
        summaries=(*record.summaries, *summaries),
        arms=arms,
        break_even=(BreakEven(endpoint="hosted", requests=234_567, training_cost=0.0593, saving=0.2529),),
        currency="EUR",
        differences=("grammar is prompt-only held to the JSON Schema while it answers; prompt-only answers freely",),
    )


def diverged(record: RunRecord) -> RunRecord:
    """Return the record with a training whose losses stopped being finite at step 20."""
    assert record.training is not None
    points = tuple(
        dataclasses.replace(point, train_loss=float("nan"), validation_loss=float("inf")) if point.step >= 20 else point
        for point in record.training.points
    )
    training = dataclasses.replace(
        record.training,
        points=points,
        best_step=0,
        diverged=True,
        weights_finite=False,
        stop_reason="the validation loss was not finite at step 20",
    )
    return dataclasses.replace(record, training=training)


def poisoned(record: RunRecord, payload: str) -> RunRecord:
    """Return the record with the payload appended to every free string in it, the same everywhere.

    Fields that may only hold a few known words are left alone. References between records (system names, ids)
    still meet, because equal strings stay equal.
    """
    poisoned_record = _poison(record, type(record), payload)
    assert isinstance(poisoned_record, RunRecord)
    return poisoned_record


def _poison(value: Any, declared: Any, payload: str) -> Any:
    if typing.get_origin(declared) is typing.Literal:
        return value
    if isinstance(value, str):
        return value + payload
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        hints = _type_hints(type(value))
        fields = {
            field.name: _poison(getattr(value, field.name), _without_none(hints[field.name]), payload)
            for field in dataclasses.fields(value)
        }
        return type(value)(**fields)
    if isinstance(value, Mapping):
        return {_poison(key, str, payload): _poison(item, object, payload) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_poison(item, object, payload) for item in value)
    return value


_type_hints = functools.cache(typing.get_type_hints)


def _without_none(declared: Any) -> Any:
    if isinstance(declared, types.UnionType):
        return next(kind for kind in typing.get_args(declared) if kind is not type(None))
    return declared


def _use(system: str, predictions: Sequence[Prediction]) -> ArmUse:
    answers = [row for row in predictions if row.system == system]
    return ArmUse(
        system=system,
        requests=len(answers),
        errors=sum(row.error is not None for row in answers),
        truncated=sum(row.stop == "length" for row in answers),
        prompt_tokens=80.0,
        output_tokens=14.0,
        seconds=0.21,
        cost=None,
    )


def _object(label: str, *, urgent: bool) -> str:
    return f'{{"category": "{label}", "urgent": {str(urgent).lower()}}}'


def _example(draw: random.Random, place: int) -> Example:
    kind = place % len(LABELS)
    shifted = place % 4 == 0
    text = TICKETS[kind] + (" thx, sent from my phone" if shifted else "")
    return Example(
        id=f"ticket-{place + 1:04d}",
        messages=(Message(role="user", content=text),),
        target=_object(LABELS[kind], urgent=draw.random() < 0.3),
        tags=("shifted",) if shifted else ("plain",),
        source=f"test.jsonl:{place + 1}",
    )


def _probe(draw: random.Random, place: int) -> Example:
    return Example(
        id=f"probe-{place + 1:04d}",
        messages=(Message(role="user", content=draw.choice(TICKETS)),),
        source=f"probe.jsonl:{place + 1}",
    )


def _answers(
    draw: random.Random, tests: Sequence[Example], shares: Mapping[str, float], errors: int
) -> tuple[list[Prediction], list[ScoredAnswer]]:
    predictions, scores = [], []
    for system in SYSTEMS:
        for place, example in enumerate(tests):
            failed = system == CANDIDATE and place < errors
            right = draw.random() < shares[system]
            prediction = _prediction(draw, system, example, right=right, failed=failed)
            predictions.append(prediction)
            scores += _scores(prediction, right=right, failed=failed)
    return predictions, scores


def _prediction(draw: random.Random, system: str, example: Example, *, right: bool, failed: bool) -> Prediction:
    wrong = _object(draw.choice(LABELS), urgent=True)
    if system == "prompt-only":
        wrong = "The customer is unhappy about a charge. I would classify this as a billing question."
    text = (example.target or "") if right else wrong
    rambling = system == "prompt-only" and not right and draw.random() < 0.1
    return Prediction(
        example_id=example.id,
        system=system,
        dataset="test",
        text="" if failed else text,
        stop="error" if failed else "length" if rambling else "end",
        prompt_tokens=80,
        output_tokens=0 if failed else 14,
        seconds=0.21,
        error="timed out after 30 s" if failed else None,
    )


def _scores(prediction: Prediction, *, right: bool, failed: bool) -> list[ScoredAnswer]:
    valid = float(prediction.text.startswith("{"))
    values = {"exact_match": float(right), "schema_valid": valid, "rouge_l": 1.0 if right else 0.31}
    return [
        ScoredAnswer(
            example_id=prediction.example_id,
            system=prediction.system,
            dataset=prediction.dataset,
            scorer=scorer,
            result=Unscored("no answer: timed out after 30 s") if failed else Score(value),
        )
        for scorer, value in values.items()
    ]


def _probe_answers(
    draw: random.Random, probe: Sequence[Example], *, invalid: int
) -> tuple[list[Prediction], list[ScoredAnswer]]:
    predictions, scores = [], []
    for place, example in enumerate(probe):
        valid = place >= invalid
        text = _object(draw.choice(LABELS) if valid else "delivery", urgent=False)
        predictions.append(
            Prediction(
                example_id=example.id,
                system=CANDIDATE,
                dataset="probe",
                text=text,
                stop="end",
                prompt_tokens=80,
                output_tokens=14,
                seconds=0.2,
            )
        )
        scores.append(
            ScoredAnswer(
                example_id=example.id,
                system=CANDIDATE,
                dataset="probe",
                scorer="schema_valid",
                result=Score(float(valid)),
            )
        )
    return predictions, scores


def _estimate(value: float, half: float, n: int, method: str) -> Estimate:
    return Estimate(
        value=value,
        low=max(value - half, 0.0),
        high=min(value + half, 1.0),
        confidence=0.9,
        n=n,
        method=method,
    )


def _mean(values: Mapping[str, float], ids: set[str]) -> tuple[float, int]:
    kept = [value for example_id, value in values.items() if example_id in ids]
    return (sum(kept) / len(kept) if kept else 0.0), len(kept)


def _summaries(
    tests: Sequence[Example], probe: Sequence[Example], scores: Sequence[ScoredAnswer]
) -> tuple[ScorerSummary, ...]:
    values: dict[tuple[str, str, str], dict[str, float]] = {}
    for item in scores:
        if isinstance(item.result, Score):
            key = (item.system, item.dataset, item.scorer)
            values.setdefault(key, {})[item.example_id] = item.result.value
    summaries = []
    for tag in (None, "shifted", "plain"):
        ids = {example.id for example in tests if tag is None or tag in example.tags}
        for system in SYSTEMS:
            for scorer in ("exact_match", "schema_valid", "rouge_l"):
                mean, n = _mean(values.get((system, "test", scorer), {}), ids)
                summaries.append(
                    ScorerSummary(
                        system=system,
                        dataset="test",
                        scorer=scorer,
                        estimate=_estimate(mean, 0.055, n, "Clopper-Pearson, 90 % two-sided"),
                        unscored=len(ids) - n,
                        tag=tag,
                    )
                )
    mean, n = _mean(values[CANDIDATE, "probe", "schema_valid"], {example.id for example in probe})
    estimate = _estimate(mean, 0.012, n, "Clopper-Pearson, 90 % two-sided")
    probe_summary = ScorerSummary(
        system=CANDIDATE, dataset="probe", scorer="schema_valid", estimate=estimate, unscored=0
    )
    return (*summaries, probe_summary)


def _comparison(
    baseline: str, tests: Sequence[Example], scores: Sequence[ScoredAnswer], *, tag: str | None
) -> Comparison:
    tests = [example for example in tests if tag is None or tag in example.tags]
    by_system: dict[str, dict[str, float]] = {CANDIDATE: {}, baseline: {}}
    for item in scores:
        if item.dataset == "test" and item.scorer == "exact_match" and item.system in by_system:
            missing = 0.0 if item.system == CANDIDATE else 1.0
            value = item.result.value if isinstance(item.result, Score) else missing
            by_system[item.system][item.example_id] = value
    pairs = [(by_system[CANDIDATE][example.id], by_system[baseline][example.id]) for example in tests]
    delta = sum(ours - theirs for ours, theirs in pairs) / len(pairs)
    wins, losses = sum(ours > theirs for ours, theirs in pairs), sum(ours < theirs for ours, theirs in pairs)
    return Comparison(
        candidate=CANDIDATE,
        baseline=baseline,
        scorer="exact_match",
        n=len(pairs),
        delta=Estimate(
            value=delta,
            low=delta - 0.08,
            high=delta + 0.08,
            confidence=0.9,
            n=len(pairs),
            method="Tango score",
        ),
        wins=wins,
        losses=losses,
        p_value=_sign_test(wins, losses),
        p_reverse=_sign_test(losses, wins),
        imputed=sum(isinstance(item.result, Unscored) and item.scorer == "exact_match" for item in scores),
        method="exact one-sided McNemar test",
        tag=tag,
    )


def _sign_test(wins: int, losses: int) -> float:
    flips = wins + losses
    if flips > 1000:
        return 1 - statistics.NormalDist().cdf((wins - losses) / math.sqrt(flips))
    return sum(math.comb(flips, k) for k in range(wins, flips + 1)) / 2**flips


def _benchmark(draw: random.Random, system: str) -> BenchmarkResult:
    subjects = ("everyday_science", "geography", "grammar", "history", "numbers", "food")
    outcomes = []
    for place in range(240):
        correct = draw.random() < 0.72
        outcomes.append(
            QuestionOutcome(
                question_id=f"q{place}",
                subject=subjects[place % len(subjects)],
                logprobs=(-1.0, -2.0, -3.0, -4.0),
                choice=0 if correct else 1,
                target=0,
                correct=correct,
            )
        )
    return BenchmarkResult(
        benchmark="general",
        system=system,
        task_digest="sha256:9b1c0f6e2ad55a11",
        chance=0.25,
        outcomes=tuple(outcomes),
        weights={subject: 1 / len(subjects) for subject in subjects},
    )


def _accuracy(system: str, value: float) -> ScorerSummary:
    return ScorerSummary(
        system=system,
        dataset="general",
        scorer="accuracy",
        estimate=_estimate(value, 0.048, 240, "weighted mean over subjects, t interval"),
        unscored=0,
    )


def _subject_accuracy(result: BenchmarkResult, subject: str) -> ScorerSummary:
    correct = [outcome.correct for outcome in result.outcomes if outcome.subject == subject]
    estimate = _estimate(sum(correct) / len(correct), 0.12, len(correct), "Clopper-Pearson, 90 % two-sided")
    return ScorerSummary(
        system=result.system, dataset="general", scorer="accuracy", estimate=estimate, unscored=0, tag=subject
    )


def _training() -> TrainingHistory:
    points = [LossPoint(step=0, epoch=0.0, train_loss=None, validation_loss=2.71)]
    for step in range(5, 95, 5):
        validation = 0.11 + 2.4 * 0.72 ** (step / 5) + max(0, step - 70) * 0.0022
        train = 0.04 + 2.5 * 0.7 ** (step / 5)
        points.append(
            LossPoint(step=step, epoch=step / 30, train_loss=round(train, 4), validation_loss=round(validation, 4))
        )
    return TrainingHistory(
        method="LoRA (r = 16, alpha = 32, all linear layers)",
        points=tuple(points),
        best_step=75,
        last_step=90,
        stop_reason="2 measurements without a gain of more than 0 nats",
        diverged=False,
        stopped_early=True,
        weights_finite=True,
        trainable_parameters=4_884_480,
        total_parameters=139_399_488,
        trained_tokens=38_912,
        validation_tokens=412,
        train_rows=243,
        mixed_rows=27,
        validation_rows=27,
        truncated_rows=0,
        seconds=213.4,
    )


def _manifest(warnings: Sequence[str]) -> RunManifest:
    facts = [
        SystemFact(
            name=name,
            kind={"candidate": "adapter", "previous": "adapter", "few-shot": "few_shot"}.get(name, "prompt"),
            role="candidate" if name == CANDIDATE else "baseline",
            signature=f"base sha256:5f2a… prompt sha256:{place}c4d… greedy max_new_tokens=48",
        )
        for place, name in enumerate(SYSTEMS)
    ]
    return RunManifest(
        format_version=1,
        run_id="20260105-123405-7f3a",
        suite="ticket-triage",
        suite_path="suites/ticket-triage/suite.yaml",
        tool_version="0.1.0",
        started="2026-01-05T12:34:05Z",
        finished="2026-01-05T12:40:09Z",
        seed=17,
        command="harness run suites/ticket-triage --set seed=17",
        git_commit="4f0d3c2b1a09876543210fedcba9876543210abc",
        git_dirty=True,
        systems=tuple(facts),
        absent_systems={"smaller-model": "no weights in the local folder"},
        planned={f"{name}/test": 120 for name in SYSTEMS},
        pool={"test": 120},
        digests={
            "suite": "sha256:" + "ab12" * 16,
            "base": "sha256:" + "cd34" * 16,
            f"adapter:{CANDIDATE}": "sha256:" + "ef56" * 16,
            "data/test.jsonl": "sha256:" + "0a9b" * 16,
        },
        evidence={"predictions.jsonl": "sha256:" + "77aa" * 16},
        versions={"python": "3.11.9", "torch": "2.13.0", "transformers": "5.23.0", "peft": "0.21.0"},
        overrides={"seed": "17"},
        counters=Counters(trained_tokens=38_912, generated_tokens=21_040, forwarded_tokens=148_220, model_loads=1),
        seconds={"train": 213.4, "answer": 131.0, "benchmark": 44.2, "judge": 1.3},
        warnings=tuple(warnings),
    )


def _verdict(decision: Decision, comparisons: Sequence[Comparison]) -> Verdict:
    gain = comparisons[-1].delta.value * 100
    sentences = {
        "ship": f"Beats all 4 baselines on 120 test examples (closest: previous, {gain:+.1f} points); "
        "99.5 % of the answers are valid; general ability fell 1.5 points, within the margin.",
        "hold": f"Does not beat previous on 120 test examples ({gain:+.1f} points), "
        "and only 95.5 % of the answers are valid.",
        "undecided": f"{gain:+.1f} points against previous; 120 examples cannot settle it, 210 more would.",
    }
    notes = ("look 2 at this test set: of 2 candidates that are no better, one ships by luck with up to 10%",)
    return Verdict(decision=decision, sentence=sentences[decision], checks=_checks(decision, comparisons), notes=notes)


def _checks(decision: Decision, comparisons: Sequence[Comparison]) -> tuple[CheckResult, ...]:
    hard: Status = {"ship": "pass", "hold": "fail", "undecided": "undecided"}[decision]
    gains = [_better_than(item, hard if item.baseline == "previous" else "pass") for item in comparisons]
    return (*gains, _valid_output(failing=decision == "hold"), _benchmark_drop(), *_always())


def _better_than(comparison: Comparison, status: Status) -> CheckResult:
    delta = comparison.delta
    needs = (
        "a true gain of 5.0% takes about 330 examples (80 % power): 210 more, as a fresh set"
        if status == "undecided"
        else ""
    )
    return CheckResult(
        name=f"better_than/exact_match/{comparison.baseline}",
        kind="better_than",
        status=status,
        blocking=True,
        reason=f"{delta.value:+.1%} on exact_match against {comparison.baseline} "
        f"[{delta.low:+.1%}, {delta.high:+.1%}] over {comparison.n} examples, {comparison.wins} better and "
        f"{comparison.losses} worse (p = {comparison.p_value:.2g})",
        baseline=comparison.baseline,
        observed=delta.value,
        low=delta.low,
        high=delta.high,
        limit=0.0,
        unit="points",
        n=comparison.n,
        method="exact one-sided McNemar test, alpha 0.05",
        needs=needs,
    )


def _valid_output(*, failing: bool) -> CheckResult:
    value, low, high = (0.955, 0.9225, 0.977) if failing else (0.995, 0.9765, 0.9997)
    return CheckResult(
        name="valid_output",
        kind="valid_output",
        status="fail" if failing else "pass",
        blocking=True,
        reason=f"{value:.1%} of 200 probe answers are valid; the lower bound is {low:.1%}, needed 95 %.",
        declared_reason="200 cases can certify 95 %, not 99.5 %",
        observed=value,
        low=low,
        high=high,
        limit=0.95,
        unit="fraction",
        n=200,
        method="Clopper-Pearson, one-sided 95 %",
    )


def _benchmark_drop() -> CheckResult:
    return CheckResult(
        name="benchmark_drop/general",
        kind="benchmark_drop",
        status="pass",
        blocking=True,
        reason="Accuracy fell 1.5 points from 72.5 %; the margin is 10 % of the base model's accuracy.",
        declared_reason="240 questions",
        baseline=BASE_MODEL,
        observed=-0.015,
        low=-0.041,
        high=0.011,
        limit=-0.0725,
        unit="points",
        n=240,
        method="paired t on c - (1 - m) b",
    )


def _always() -> tuple[CheckResult, CheckResult]:
    healthy = CheckResult(
        name="healthy_training",
        kind="healthy_training",
        status="pass",
        blocking=True,
        reason="Losses and weights are finite; the validation loss fell from 2.71 to 0.14 nats at step 75.",
        observed=0.1384,
        limit=2.71,
        direction="below",
        unit="nats",
        n=412,
        method="mean loss over the answer tokens of the validation rows",
    )
    live = CheckResult(
        name="adapter_is_live",
        kind="adapter_is_live",
        status="pass",
        blocking=True,
        reason="24 of 24 answers differ from the base model's; the largest logit difference is 17.3.",
        observed=17.32,
        limit=1e-05,
        unit="",
        n=24,
    )
    return healthy, live
