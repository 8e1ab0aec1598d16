"""Look into a judged run: one example with every answer to it, or one check with what drives it; nothing is judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from harness.errors import BrokenRunError, InvalidInputError
from harness.files import write_bytes
from harness.findings import CheckResult
from harness.judged import pick, read_scores, suite_of, verdict_of
from harness.records import (
    BASE_MODEL,
    BEST,
    WORST,
    Example,
    Prediction,
    QuestionOutcome,
    Score,
    ScoredAnswer,
    ScoreResult,
)
from harness.store.frames import FORMATS, comparison_frame
from harness.store.runs import StoredRun
from harness.suite.checks import (
    BenchmarkDrop,
    BetterThan,
    CheckSpec,
    KLDivergence,
    LogprobDrop,
    Preferred,
    RecipeBetterThan,
    ValidOutput,
)
from harness.suite.schema import Suite

ALWAYS_ON = "The adapter must change something: an adapter without effect is no tie, it is broken."
SHOWN_ITEMS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownArm:
    """One arm's answers to an example (several where the decoding draws them) and its scores by scorer."""

    system: str
    answers: tuple[Prediction, ...]
    scores: Mapping[str, ScoreResult]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownExample:
    """One example of a run with everything that was answered to it, the candidate first."""

    run_id: str
    dataset: str
    example: Example
    arms: tuple[ShownArm, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What one example or question did to a check: above 0 it helped the candidate, below 0 it hurt."""

    id: str
    change: float
    groups: tuple[str, ...]  # its tags, or its subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """The examples of one tag, or the questions of one subject, in a check."""

    name: str
    n: int
    better: int
    worse: int
    change: float  # mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One check in words, and the examples behind it; `worst` and `slices` begin with what hurt most."""

    run_id: str
    check: CheckResult
    asks: str
    declared: Mapping[str, object]  # the check as the suite declares it; empty for the one that is always on
    items: str  # "test examples", "probe rows", "questions of general"; empty where no single item is behind it
    worse: int
    worst: tuple[Effect, ...]
    slices: tuple[Slice, ...]


def show_example(run: StoredRun, wanted: str) -> tuple[ShownExample, ...]:
    """The example whose id is `wanted` or alone starts with it; two where test set and probe share the id.

    Raises:
        InvalidInputError: no or several such examples, or a run that was not judged.
    """
    every = [(dataset, example) for dataset, examples in run.examples.items() for example in examples]
    name = pick(wanted, list(dict.fromkeys(example.id for _, example in every)), "example")
    scores = [item for item in read_scores(run.folder, name) if item.example_id == name]
    candidate = suite_of(run).candidate
    systems = sorted((fact.name for fact in run.manifest.systems), key=lambda system: system != candidate)
    return tuple(
        ShownExample(
            run_id=run.manifest.run_id,
            dataset=dataset,
            example=example,
            arms=tuple(arm for system in systems if (arm := _arm(run, system, dataset, name, scores)).answers),
        )
        for dataset, example in every
        if example.id == name
    )


def _arm(run: StoredRun, system: str, dataset: str, name: str, scores: Sequence[ScoredAnswer]) -> ShownArm:
    place = (system, dataset, name)
    return ShownArm(
        system=system,
        answers=tuple(p for p in run.predictions if (p.system, p.dataset, p.example_id) == place),
        scores={s.scorer: s.result for s in scores if (s.system, s.dataset, s.example_id) == place},
    )


def explain_check(run: StoredRun, wanted: str) -> tuple[Explanation, ...]:
    """The check whose name is `wanted` or alone starts with it, with what drives it; two where they share the name.

    Raises:
        InvalidInputError: no or several such checks, or a run that was not judged.
        EvidenceRefusedError: the verdict is not about this evidence.
    """
    checks, suite = verdict_of(run).checks, suite_of(run)
    name = pick(wanted, list(dict.fromkeys(check.name for check in checks)), "check")
    named = [check for check in checks if check.name == name]
    specs = [spec for spec in suite.checks if _declares(spec, named[0])]
    return tuple(
        _explanation(run, suite, check, specs[place] if place < len(specs) else None)
        for place, check in enumerate(named)
    )


def _declares(spec: CheckSpec, check: CheckResult) -> bool:
    """Whether a declared check gave this result, which is named by the check, by what it is about and by a baseline."""
    about = [getattr(spec, name) for name in ("scorer", "judge", "benchmark", "prompts") if hasattr(spec, name)]
    name = "/".join([spec.name or spec.kind, *about])
    tag = f"[{spec.tag}]" if isinstance(spec, BetterThan) and spec.tag else ""
    if not isinstance(spec, BetterThan | RecipeBetterThan | Preferred):
        return (check.kind, check.name) == (spec.kind, name)
    against = spec.baselines == "all" or check.baseline is None or check.baseline in spec.baselines
    return against and (check.kind, check.name) == (spec.kind, f"{name}/{check.baseline or 'any'}{tag}")


def _explanation(run: StoredRun, suite: Suite, check: CheckResult, spec: CheckSpec | None) -> Explanation:
    items, effects = ("", []) if spec is None else _effects(run, suite, spec, check)
    worst = sorted((effect for effect in effects if effect.change < 0), key=lambda effect: effect.change)
    return Explanation(
        run_id=run.manifest.run_id,
        check=check,
        asks=ALWAYS_ON if spec is None else spec.__doc__ or "",
        declared={} if spec is None else spec.model_dump(mode="json", exclude_none=True),
        items=items,
        worse=len(worst),
        worst=tuple(worst[:SHOWN_ITEMS]),
        slices=_slices(effects),
    )


def _effects(run: StoredRun, suite: Suite, spec: CheckSpec, check: CheckResult) -> tuple[str, list[Effect]]:
    """What the items of a check are, and what each did to it."""
    candidate, baseline = suite.candidate, check.baseline
    match spec:
        case BetterThan() | RecipeBetterThan() if baseline and baseline not in run.manifest.absent_systems:
            arms = [candidate, *(suite.replicas if isinstance(spec, RecipeBetterThan) else ())]
            tag = spec.tag if isinstance(spec, BetterThan) else None
            return "test examples", _gains(run, arms, baseline, spec.scorer, tag)
        case Preferred() if baseline and baseline not in run.manifest.absent_systems:
            return "test examples", _preferences(run, spec.judge, baseline)
        case ValidOutput():
            return f"{spec.on} examples", _invalid(run, candidate, spec.on)
        case BenchmarkDrop():
            found = _questions(run, candidate, spec.benchmark)
            return f"questions of {spec.benchmark}", [
                Effect(id=o.question_id, change=o.correct - was.correct, groups=(o.subject,)) for o, was in found
            ]
        case LogprobDrop():
            found = _questions(run, candidate, spec.benchmark)
            return f"questions of {spec.benchmark}", [
                Effect(id=o.question_id, change=o.logprobs[o.target] - was.logprobs[was.target], groups=(o.subject,))
                for o, was in found
            ]
        case KLDivergence():
            rows = [row for row in run.drift if row.prompts == spec.prompts]
            return f"rows of {spec.prompts}", [Effect(id=row.example_id, change=-row.kl, groups=()) for row in rows]
        case _:
            return "", []


def _gains(run: StoredRun, arms: Sequence[str], baseline: str, scorer: str, tag: str | None) -> list[Effect]:
    """The candidate's score less the baseline's, a missing one counting against the candidate."""
    found = {(s.system, s.example_id): s.result for s in read_scores(run.folder, scorer) if s.dataset == "test"}
    return [
        Effect(
            id=example.id,
            change=fmean(_value(found, (arm, example.id), WORST) for arm in arms)
            - _value(found, (baseline, example.id), BEST),
            groups=example.tags,
        )
        for example in run.examples["test"]
        if tag is None or tag in example.tags
    ]


def _invalid(run: StoredRun, candidate: str, dataset: str) -> list[Effect]:
    """-1 for each answer that the schema refuses, 0 for the others."""
    rows = read_scores(run.folder, candidate, dataset, "schema_valid")
    found = {(s.system, s.example_id): s.result for s in rows if s.dataset == dataset}
    return [
        Effect(id=example.id, change=_value(found, (candidate, example.id), WORST) - 1, groups=example.tags)
        for example in run.examples[dataset]
    ]


def _value(found: Mapping[tuple[str, str], ScoreResult], key: tuple[str, str], missing: float) -> float:
    if key not in found:
        raise BrokenRunError(
            f"the score of {key[0]} on {key[1]} is missing; `harness gate RUN` writes the scores again"
        )
    result = found[key]
    return result.value if isinstance(result, Score) else missing


def _preferences(run: StoredRun, judge: str, baseline: str) -> list[Effect]:
    """The mean preference over both orders, -1 where there is none."""
    tags = {example.id: example.tags for example in run.examples["test"]}
    found = [row for row in run.preferences if (row.judge, row.baseline) == (judge, baseline)]
    return [
        Effect(
            id=row.example_id,
            change=-1.0
            if row.shown_first is None or row.shown_second is None
            else (row.shown_first + row.shown_second) / 2,
            groups=tags[row.example_id],
        )
        for row in found
    ]


def _questions(run: StoredRun, candidate: str, benchmark: str) -> Iterator[tuple[QuestionOutcome, QuestionOutcome]]:
    """Each question as the candidate answered it, and as the base model did."""
    by_system = {result.system: result.outcomes for result in run.benchmarks if result.benchmark == benchmark}
    before = {outcome.question_id: outcome for outcome in by_system[BASE_MODEL]}
    return ((outcome, before[outcome.question_id]) for outcome in by_system[candidate])


def _slices(effects: Sequence[Effect]) -> tuple[Slice, ...]:
    """The groups of the effects, those that lost most in all first."""
    groups: dict[str, list[float]] = {}
    for effect in effects:
        for name in effect.groups:
            groups.setdefault(name, []).append(effect.change)
    return tuple(
        Slice(
            name=name,
            n=len(changes),
            better=sum(change > 0 for change in changes),
            worse=sum(change < 0 for change in changes),
            change=fmean(changes),
        )
        for name, changes in sorted(groups.items(), key=lambda item: sum(item[1]))
    )


def export_run(run: StoredRun, output: Path) -> tuple[int, tuple[str, ...]]:
    """Write the run's test set as a table, one row per example and arm; returns its rows and its columns.

    Raises:
        InvalidInputError: a format that is not known or not installed, or a run that was not judged.
    """
    form = output.suffix.lower()
    if form not in FORMATS:
        raise InvalidInputError(f"{output}: no format for '{output.suffix}'; give the file one of {', '.join(FORMATS)}")
    frame = comparison_frame(run.examples["test"], run.predictions, read_scores(run.folder), dataset="test")
    write_bytes(output, FORMATS[form](frame))
    return len(frame), tuple(map(str, frame.columns))
