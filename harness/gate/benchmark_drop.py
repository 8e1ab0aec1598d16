"""General ability must not be lost against the base model."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.gate.evidence import Evidence
from harness.gate.results import check_name, check_result
from harness.records import BASE_MODEL, BenchmarkResult, CheckResult, Status
from harness.stats.noninferiority import above_chance, absolute_noninferiority, relative_noninferiority
from harness.suite.schema import BenchmarkDrop, Statistics


def benchmark_drop(check: BenchmarkDrop, evidence: Evidence, statistics: Statistics) -> CheckResult:
    """The candidate's accuracy against the base model's, question by question."""
    base = evidence.benchmarks[check.benchmark, BASE_MODEL]
    tuned = evidence.benchmarks[check.benchmark, evidence.candidate]
    ours, theirs, subjects = _paired_outcomes(tuned, base)
    name = f"{check_name(check)}/{check.benchmark}"
    n = len(ours)
    if not all(math.isfinite(value) for result in (base, tuned) for o in result.outcomes for value in o.logprobs):
        reason = f"log-probabilities on {check.benchmark} are not finite"
        return check_result(check, name, "fail", reason, n=n)
    if not above_chance(sum(theirs), n, base.chance, statistics.alpha):
        reason = (
            f"no headroom: the base model itself has {sum(theirs) / n:.1%} on {check.benchmark}, which is not shown "
            f"to be above chance ({base.chance:.0%}), so forgetting cannot be seen here"
        )
        return check_result(check, name, "undecided", reason, n=n, needs="a benchmark that the base model can do")
    test = relative_noninferiority if check.margin_type == "relative" else absolute_noninferiority
    found = test(ours, theirs, subjects, base.weights, margin=check.margin, alpha=statistics.alpha)
    floor = check.margin * (found.baseline_accuracy if check.margin_type == "relative" else 1.0)
    relative = f", {found.drop_relative:+.1%} relative" if found.drop_relative is not None else ""
    shown = (
        f"{check.benchmark}: {found.baseline_accuracy:.1%} before, {found.candidate_accuracy:.1%} after "
        f"(a drop of {100 * found.drop_absolute:+.1f} points{relative}); "
        f"the drop may not reach {check.margin:.1%} {check.margin_type} ({100 * floor:.1f} points)"
    )
    needs = ""
    status: Status
    if found.low > 0:
        status, reason = "pass", shown
    elif found.high < 0:
        status, reason = "fail", f"general ability was lost: {shown}"
    else:
        status, reason = "undecided", f"the margin lies inside the interval: {shown}"
        needs = _more_questions(n, found.value, found.low)
    # The interval of the change itself, so that the report shows it against the margin.
    return check_result(
        check,
        name,
        status,
        reason,
        baseline=BASE_MODEL,
        observed=-found.drop_absolute,
        low=found.low - floor,
        high=found.high - floor,
        limit=-floor,
        unit="points",
        n=n,
        method=found.method,
        needs=needs,
    )


def _more_questions(n: int, value: float, low: float) -> str:
    if value <= 0:
        return "more questions are unlikely to pass this: the observed drop itself reaches the margin"
    wanted = math.ceil(n * ((value - low) / value) ** 2)
    return f"if the drop is what it seems, about {wanted:,} questions would show it: {max(wanted - n, 1):,} more"


def _paired_outcomes(tuned: BenchmarkResult, base: BenchmarkResult) -> tuple[list[int], list[int], Sequence[str]]:
    before = {outcome.question_id: outcome for outcome in base.outcomes}
    pairs = [(outcome, before[outcome.question_id]) for outcome in tuned.outcomes]
    return (
        [int(after.correct) for after, _ in pairs],
        [int(earlier.correct) for _, earlier in pairs],
        [after.subject for after, _ in pairs],
    )
