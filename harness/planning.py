"""What a suite can find out, before anything is spent: per check, what it could detect and what would settle it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import assert_never

from scipy.stats import norm

from harness.benchmarks.questions import read_subjects
from harness.prepare import Inputs
from harness.records import BASE_MODEL
from harness.stats.noninferiority import above_chance
from harness.stats.power import chance_to_ship, examples_needed, smallest_detectable_gain
from harness.stats.proportion import cases_needed, validity_cutoffs
from harness.store.facts import read_records
from harness.store.runs import StoredRun
from harness.suite.checks import (
    BenchmarkDrop,
    BetterThan,
    CheckSpec,
    HealthyTraining,
    KLDivergence,
    LogprobDrop,
    Preferred,
    RecipeBetterThan,
    ServedAsJudged,
    ValidOutput,
)
from harness.suite.load import LoadedSuite

ASSUMED_CHANGING = 0.20  # share of test examples on which two systems differ, when no earlier run tells
ASSUMED_CHANGING_QUESTIONS = 0.10
ASSUMED_PREFERRING = 0.80  # share of pairs of answers of which a judge likes one better
ASSUMED_BASE_ACCURACY = 0.50
MMLU_SUBJECTS = 57
MMLU_QUESTIONS = 14_042
POWER = 0.8
SHOWN_GAINS = (0.05, 0.10)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckPlan:
    """What one check can and cannot show at this size; every line states its assumption."""

    name: str
    n: int
    lines: tuple[str, ...]
    warnings: tuple[str, ...] = ()


class _Seen:
    """What an earlier run of the suite, if there is one, tells about its candidate."""

    def __init__(self, earlier: StoredRun | None, candidate: str) -> None:
        self._run, self._candidate = earlier, candidate
        self._scores: dict[tuple[str, str], dict[str, float]] = {}
        path = earlier.folder / "scores.jsonl" if earlier else None
        for row in read_records(dict, path) if path is not None and path.is_file() else ():
            if row["dataset"] == "test" and "value" in row["result"]:
                arm = self._scores.setdefault((row["system"], row["scorer"]), {})
                arm[row["example_id"]] = float(row["result"]["value"])

    def changing(self, baseline: str, scorer: str) -> float | None:
        """The share of test examples that candidate and baseline scored differently; None: not seen."""
        ours, theirs = (self._scores.get((name, scorer), {}) for name in (self._candidate, baseline))
        shared = ours.keys() & theirs.keys()
        return sum(ours[key] != theirs[key] for key in shared) / len(shared) if shared else None

    def preferring(self, judge: str, baseline: str) -> float | None:
        """The share of pairs of answers in which a judge preferred one of the two; None: not seen."""
        found = [
            row.shown_first + row.shown_second
            for row in (self._run.preferences if self._run else ())
            if (row.judge, row.baseline) == (judge, baseline)
            and row.shown_first is not None
            and row.shown_second is not None
        ]
        return sum(both != 0 for both in found) / len(found) if found else None

    def benchmark(self, name: str) -> tuple[tuple[int, int, float], float] | None:
        """(right, asked, chance) of the base model, and the share of questions that changed; None: not seen."""
        found = {r.system: r for r in self._run.benchmarks if r.benchmark == name} if self._run else {}
        if BASE_MODEL not in found or self._candidate not in found:
            return None
        base, tuned = found[BASE_MODEL], found[self._candidate]
        before = {outcome.question_id: outcome.correct for outcome in base.outcomes}
        changed = sum(before.get(outcome.question_id) != outcome.correct for outcome in tuned.outcomes)
        asked = len(base.outcomes)
        return (sum(before.values()), asked, base.chance), max(changed, 1) / asked


def plan_checks(inputs: Inputs, earlier: StoredRun | None) -> list[CheckPlan]:
    """Plan every check of the suite; `earlier` is a finished run of it, whose answers replace assumptions."""
    seen = _Seen(earlier, inputs.loaded.suite.candidate)
    return [plan for check in inputs.loaded.suite.checks for plan in _plan(check, inputs, seen)]


def _plan(check: CheckSpec, inputs: Inputs, earlier: _Seen) -> Iterator[CheckPlan]:
    match check:
        case BetterThan():
            yield from _plan_better_than(check, inputs, earlier)
        case RecipeBetterThan():
            suite, n = inputs.loaded.suite, len(inputs.datasets.test)
            for baseline in suite.baselines if check.baselines == "all" else check.baselines:
                name = f"{check.name or check.kind}/{check.scorer}/{baseline}"
                yield CheckPlan(name=name, n=n, lines=(f"{len(suite.replicas) + 1} trainings on {n:,} examples",))
        case Preferred():
            yield from _plan_preferred(check, inputs, earlier)
        case ValidOutput():
            yield _plan_valid_output(check, inputs)
        case BenchmarkDrop():
            yield _plan_benchmark_drop(check, inputs, earlier)
        case LogprobDrop():
            n = _questions(inputs.loaded, check.benchmark)
            line = f"{n:,} questions, paired; more sensitive than accuracy, since every question counts by degree"
            yield CheckPlan(name=f"{check.name or check.kind}/{check.benchmark}", n=n, lines=(line,))
        case KLDivergence():
            n = len(inputs.general[check.prompts])
            line = f"{n:,} general rows that are not trained on, against {check.limit:g} nats per token"
            yield CheckPlan(name=f"{check.name or check.kind}/{check.prompts}", n=n, lines=(line,))
        case HealthyTraining() | ServedAsJudged():
            yield _plan_without_chance(check, inputs)
        case _:
            assert_never(check)


def _plan_without_chance(check: HealthyTraining | ServedAsJudged, inputs: Inputs) -> CheckPlan:
    """A check that draws no conclusion from a sample."""
    if isinstance(check, ServedAsJudged):
        n = min(check.examples, len(inputs.datasets.test))
        line = f"{n:,} test examples asked of {check.endpoint.base_url}, within {check.tolerance:g} nats per token"
    else:
        n = len(inputs.datasets.validation)
        line = f"the validation loss is measured on {n} rows, at least four times an epoch"
    return CheckPlan(name=check.name or check.kind, n=n, lines=(line,))


def _plan_better_than(check: BetterThan, inputs: Inputs, earlier: _Seen) -> Iterator[CheckPlan]:
    suite = inputs.loaded.suite
    for baseline in suite.baselines if check.baselines == "all" else check.baselines:
        name = f"{check.name or check.kind}/{check.scorer}/{baseline}"
        if baseline in inputs.absent:
            yield CheckPlan(name=name, n=0, lines=(f"not compared: {inputs.absent[baseline]}",))
            continue
        seen = earlier.changing(baseline, check.scorer)
        changing, origin = (ASSUMED_CHANGING, "assumed") if seen is None else (seen, "seen in the last run")
        yield _plan_gain(name, inputs, changing, f"{changing:.0%} of them changing ({origin})")


def _plan_preferred(check: Preferred, inputs: Inputs, earlier: _Seen) -> Iterator[CheckPlan]:
    suite = inputs.loaded.suite
    pairs = len(inputs.datasets.test)
    for baseline in suite.baselines if check.baselines == "all" else check.baselines:
        name = f"{check.name or check.kind}/{check.judge}/{baseline}"
        if baseline in inputs.absent:
            yield CheckPlan(name=name, n=0, lines=(f"not compared: {inputs.absent[baseline]}",))
            continue
        seen = earlier.preferring(check.judge, baseline)
        share, origin = (ASSUMED_PREFERRING, "assumed") if seen is None else (seen, "seen in the last run")
        plan = _plan_gain(name, inputs, share, f"one answer preferred in {share:.0%} of them ({origin})")
        asked = (
            f"up to {2 * pairs:,} requests to {suite.judges[check.judge].model}: {pairs:,} pairs in both orders; equal "
            "answers are not asked about, and requests after a fault come on top"
        )
        yield replace(plan, lines=(asked, *plan.lines))


def _plan_gain(name: str, inputs: Inputs, changing: float, assumption: str) -> CheckPlan:
    """What a paired gain can show when the share `changing` of the examples goes one way or the other.

    McNemar's power: graded scores change by less than a whole point, so for them it is a lower bound.
    """
    statistics, n_test = inputs.loaded.suite.statistics.per_look, len(inputs.datasets.test)
    alpha, min_effect = statistics.alpha, statistics.min_effect
    n = len({example.cluster or example.id for example in inputs.datasets.test})
    gain = smallest_detectable_gain(n, changing, alpha, POWER)
    chances = [f"{chance_to_ship(n, g, changing, alpha):.0%} at +{100 * g:.0f} points" for g in SHOWN_GAINS]
    needed = examples_needed(min_effect, changing, alpha, POWER)
    lines = [
        f"{n:,} {'examples' if n == n_test else 'clusters'}, {assumption}",
        f"chance to ship: {', '.join(chances)}",
        f"a true gain of {100 * min_effect:.1f} points would take {needed:,} for {POWER:.0%} power",
    ]
    warnings = []
    if gain is None:
        warnings.append(f"this check cannot pass: {n} examples are too few for any gain")
    else:
        lines.insert(1, f"smallest gain shown with {POWER:.0%} power: {100 * gain:.1f} points")
    return CheckPlan(name=name, n=n, lines=tuple(lines), warnings=tuple(warnings))


def _plan_valid_output(check: ValidOutput, inputs: Inputs) -> CheckPlan:
    alpha = inputs.loaded.suite.statistics.per_look.alpha
    rows = inputs.datasets.probe if check.on == "probe" else inputs.datasets.test
    n = len({row.cluster or row.id for row in rows})
    passing, failing = validity_cutoffs(n, check.bar, alpha)
    least = cases_needed(check.bar, 0, alpha)
    cases = "cases" if n == len(rows) else "clusters"
    lines, warnings = [f"{n:,} {cases} against a bar of {check.bar:.2%}"], []
    if passing is None:
        warnings.append(f"this check cannot pass: even without a failure it takes {least:,} cases, {least - n:,} more")
    if failing is None:
        warnings.append("this check cannot fail at this size")
    if passing is not None and failing is not None:
        between = f"{passing + 1}-{failing - 1} undecided, " if failing > passing + 1 else ""
        lines.append(f"invalid answers: 0-{passing} pass, {between}{failing} or more fail")
    return CheckPlan(name=check.name or check.kind, n=n, lines=tuple(lines), warnings=tuple(warnings))


def _plan_benchmark_drop(check: BenchmarkDrop, inputs: Inputs, earlier: _Seen) -> CheckPlan:
    alpha = inputs.loaded.suite.statistics.per_look.alpha
    n = _questions(inputs.loaded, check.benchmark)
    accuracy, changing, warnings = ASSUMED_BASE_ACCURACY, ASSUMED_CHANGING_QUESTIONS, []
    origin = "assumed"
    seen = earlier.benchmark(check.benchmark)
    if seen is not None:
        (right, asked, chance), changing = seen
        accuracy, origin = right / asked, "seen in the last run"
        if not above_chance(right, asked, chance, alpha):
            warnings.append(f"no headroom: the base model has {accuracy:.1%} where chance is {chance:.0%}")
    floor = check.margin * (accuracy if check.margin_type == "relative" else 1.0)
    error = math.sqrt(changing / n)
    pass_below = floor - (norm.ppf(1 - alpha) + norm.ppf(POWER)) * error
    fail_above = floor + (norm.ppf(1 - alpha) + norm.ppf(POWER)) * error
    lines = [
        f"{n:,} questions, base accuracy {accuracy:.0%}, {changing:.0%} of them changing ({origin})",
        f"the margin is {100 * floor:.1f} points; a true drop of {100 * fail_above:.1f} or more fails with {POWER:.0%}",
    ]
    if pass_below > 0:
        lines.append(f"a true drop of {100 * pass_below:.1f} points or less passes with {POWER:.0%}")
    else:
        wanted = math.ceil(changing * ((norm.ppf(1 - alpha) + norm.ppf(POWER)) / floor) ** 2)
        warnings.append(
            f"even a harmless adapter passes with less than {POWER:.0%}; it takes about {wanted:,} questions"
        )
    name = f"{check.name or check.kind}/{check.benchmark}"
    return CheckPlan(name=name, n=n, lines=tuple(lines), warnings=tuple(warnings))


def _questions(loaded: LoadedSuite, name: str) -> int:
    declared = loaded.suite.benchmarks[name]
    if declared.task == "mmlu" and declared.mmlu_dir is None:
        return MMLU_QUESTIONS if declared.per_subject is None else MMLU_SUBJECTS * declared.per_subject
    folder = loaded.resolve(declared.mmlu_dir or declared.task)
    sizes = Counter({subject: len(test) for subject, (test, _) in read_subjects(folder).items()})
    limit = declared.per_subject
    return sum(size if limit is None else min(size, limit) for size in sizes.values())
