"""From two compared runs to the page model: what they are, what differs between them, and which answers changed."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.findings import CheckResult, Comparison, Decision
from harness.records import BEST, WORST, Example, Prediction, RunManifest, ScoreResult
from harness.report.compare_page import ChangedExample, Changes, CheckPair, ComparePage, DiffLine, PairRow, ShownAnswer
from harness.report.formatting import NOTHING, clean, count, moment, plural
from harness.report.page import CheckRow
from harness.report.view_checks import DECISION_SYMBOLS, DECISION_WORDS, check_rows, comparison_rows
from harness.report.view_examples import as_sample, imputed, input_text, is_right, problem_text, score_text

SHOWN_CHANGES = 50  # of each direction
_KINDS: dict[str, Literal["added", "removed", "same", "place"]] = {
    "+": "added",
    "-": "removed",
    "@": "place",
    " ": "same",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedRun:
    """One of two runs: what its manifest and its verdict say, and one system's answers to the test set."""

    manifest: RunManifest
    suite_text: str
    system: str  # whose answers and scores these are
    decision: Decision
    sentence: str
    judged: str  # ISO 8601, UTC
    checks: tuple[CheckResult, ...]
    answers: Mapping[str, Prediction]  # by example id, the first of several samples
    scores: Mapping[str, Mapping[str, ScoreResult]]  # scorer -> example id -> score


@dataclass(frozen=True, slots=True, kw_only=True)
class RunComparison:
    """Two runs on the same test set, and what their paired comparison found."""

    baseline: ComparedRun
    candidate: ComparedRun
    examples: tuple[Example, ...]
    scorer: str  # the one that decides
    decision: Decision
    reason: str
    needs: str
    comparisons: tuple[Comparison, ...]  # by each scorer, that which decides first
    left_out: tuple[str, ...]  # scorers without a comparison, and why


def build_compare_page(found: RunComparison) -> ComparePage:
    """Return the page model of two compared runs: every number formatted, every text cleaned.

    Raises:
        ValueError: a number is not finite.
    """
    differing, equal = _facts_of_both(found.baseline.manifest, found.candidate.manifest)
    return ComparePage(
        suite=clean(found.candidate.manifest.suite),
        decision=found.decision,
        word=DECISION_WORDS[found.decision],
        symbol=DECISION_SYMBOLS[found.decision],
        sentence=clean(found.reason),
        needs=clean(found.needs),
        scorer=clean(found.scorer),
        names=(clean(found.baseline.manifest.run_id), clean(found.candidate.manifest.run_id)),
        runs=_runs(found.baseline, found.candidate),
        differing=differing,
        equal=equal,
        suite_diff=tuple(_diff(found.baseline.suite_text, found.candidate.suite_text)),
        checks=_check_pairs(found.baseline.checks, found.candidate.checks),
        comparisons=comparison_rows(found.comparisons),
        left_out=tuple(clean(reason) for reason in found.left_out),
        changes=_changes(found),
    )


def _runs(baseline: ComparedRun, candidate: ComparedRun) -> tuple[PairRow, ...]:
    first, second = (_identity(run) for run in (baseline, candidate))
    return tuple(PairRow(label=name, baseline=first[name], candidate=second[name]) for name in first)


def _identity(run: ComparedRun) -> dict[str, str]:
    manifest = run.manifest
    dirty = " with uncommitted changes" if manifest.git_dirty else ""
    facts = {
        "Verdict": f"{DECISION_SYMBOLS[run.decision]} {DECISION_WORDS[run.decision]}",
        "Why": run.sentence,
        "Answers of": run.system,
        "Started": moment(manifest.started),
        "Judged": moment(run.judged),
        "Commit": (manifest.git_commit or "not in a git repository") + dirty,
        "Command": manifest.command,
    }
    return {name: clean(text) for name, text in facts.items()}


def _facts_of_both(baseline: RunManifest, candidate: RunManifest) -> tuple[tuple[PairRow, ...], tuple[str, ...]]:
    """What is unequal between the runs, and the names of what is equal."""
    first, second = _facts(baseline), _facts(candidate)
    names = list(dict.fromkeys([*first, *second]))
    rows = [
        PairRow(label=clean(name), baseline=clean(first.get(name, NOTHING)), candidate=clean(second.get(name, NOTHING)))
        for name in names
    ]
    return (
        tuple(row for row in rows if row.baseline != row.candidate),
        tuple(row.label for row in rows if row.baseline == row.candidate),
    )


def _facts(manifest: RunManifest) -> dict[str, str]:
    return {
        "seed": str(manifest.seed),
        "harness": manifest.tool_version,
        **{f"set {name}": value for name, value in manifest.overrides.items()},
        **{f"version of {name}": value for name, value in manifest.versions.items()},
        **{f"digest of {name}": value for name, value in manifest.digests.items()},
        **{f"system {fact.name}": f"{fact.role}: {fact.signature}" for fact in manifest.systems},
    }


def _diff(baseline: str, candidate: str) -> Iterator[DiffLine]:
    lines = difflib.unified_diff(_lines(baseline), _lines(candidate), n=3, lineterm="")
    for place, line in enumerate(lines):
        if place > 1:  # the first two name files
            yield DiffLine(kind=_KINDS[line[0]], text=line)


def _lines(text: str) -> list[str]:
    return clean(text).removesuffix("\n").split("\n")


def _check_pairs(baseline: Sequence[CheckResult], candidate: Sequence[CheckResult]) -> tuple[CheckPair, ...]:
    """Each check beside itself, in the order of the candidate's run; checks of one name by their place."""
    first, second = _by_name(baseline), _by_name(candidate)
    return tuple(
        CheckPair(name=clean(key[0]), baseline=first.get(key), candidate=second.get(key))
        for key in dict.fromkeys([*second, *first])
    )


def _by_name(checks: Sequence[CheckResult]) -> dict[tuple[str, int], CheckRow]:
    seen: Counter[str] = Counter()
    rows = {}
    for check in checks:
        rows[check.name, seen[check.name]] = check_rows((check,), {})[0]
        seen[check.name] += 1
    return rows


def _changes(found: RunComparison) -> tuple[Changes, ...]:
    ours, theirs = found.candidate.scores[found.scorer], found.baseline.scores[found.scorer]
    moved = {e.id: imputed(ours[e.id], WORST) - imputed(theirs[e.id], BEST) for e in found.examples}
    examples = sorted(found.examples, key=lambda example: -abs(moved[example.id]))  # stable: else in file order
    return (
        _direction("worse", "Got worse", [e for e in examples if moved[e.id] < 0], found),
        _direction("better", "Got better", [e for e in examples if moved[e.id] > 0], found),
    )


def _direction(
    key: Literal["worse", "better"], title: str, examples: Sequence[Example], found: RunComparison
) -> Changes:
    more = len(examples) - SHOWN_CHANGES
    return Changes(
        key=key,
        title=title,
        count=plural(len(examples), "example"),
        shown=tuple(_changed(example, found) for example in examples[:SHOWN_CHANGES]),
        more=f"and {count(more)} more, with a smaller change or later in the test set" if more > 0 else "",
    )


def _changed(example: Example, found: RunComparison) -> ChangedExample:
    return ChangedExample(
        id=clean(example.id),
        tags=tuple(clean(tag) for tag in example.tags),
        input=input_text(example),
        reference=None if example.target is None else clean(example.target),
        baseline=_answer(found.baseline, found.scorer, example.id),
        candidate=_answer(found.candidate, found.scorer, example.id),
    )


def _answer(run: ComparedRun, scorer: str, key: str) -> ShownAnswer:
    answer, result = run.answers[key], run.scores[scorer][key]
    sample = as_sample(answer)
    return ShownAnswer(
        text=sample.text,
        score=score_text(result),
        problem=problem_text((sample,), (answer,), result),
        right=is_right(result),
    )
