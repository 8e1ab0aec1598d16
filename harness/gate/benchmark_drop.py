"""General ability must not be lost against the base model."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.findings import CheckResult, Status
from harness.gate.evidence import Evidence
from harness.gate.results import check_result, drop_name
from harness.gate.sequential import bet
from harness.records import BASE_MODEL, BenchmarkResult
from harness.stats.noninferiority import above_chance, absolute_noninferiority, relative_noninferiority
from harness.suite.checks import BenchmarkDrop
from harness.suite.schema import Statistics


def benchmark_drop(check: BenchmarkDrop, evidence: Evidence, statistics: Statistics) -> CheckResult:
    """The candidate's accuracy against the base model's, question by question."""
    base = evidence.benchmarks[check.benchmark, BASE_MODEL]
    tuned = evidence.benchmarks[check.benchmark, evidence.candidate]
    ours, theirs, subjects = _paired_outcomes(tuned, base)
    name = drop_name(check)
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
    if statistics.mode != "fixed" and base.pool is not None:
        return _early(check, name, ours, theirs, base.pool, statistics)
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


def _early(
    check: BenchmarkDrop, name: str, ours: list[int], theirs: list[int], pool: int, statistics: Statistics
) -> CheckResult:
    """Bet on the questions of a fixed benchmark, drawn without replacement in one uniform random order."""
    relative = check.margin_type == "relative"
    kept = 1 - check.margin if relative else 1.0
    result = bet(
        [after - kept * before for after, before in zip(ours, theirs, strict=True)],
        bar=0.0 if relative else -check.margin,
        low=-kept,
        statistics=statistics,
        pool=pool,
        population=pool,
    )
    before, after = sum(theirs) / len(theirs), sum(ours) / len(ours)
    shown = (
        f"{check.benchmark}: {before:.1%} before, {after:.1%} after; the drop may not reach {check.margin:.1%} "
        f"{check.margin_type}; {result.n_used:,} of {pool:,} questions used; it holds for these {pool:,} alone"
    )
    reason = {"pass": shown, "fail": f"general ability was lost: {shown}", "undecided": f"not settled: {shown}"}
    return check_result(
        check,
        name,
        result.decision,
        reason[result.decision],
        baseline=BASE_MODEL,
        observed=after - before,
        limit=-check.margin * (before if relative else 1.0),
        unit="points",
        n=result.n_used,
        method=result.method,
        needs="the rest of the benchmark" if result.decision == "undecided" else "",
    )


def _more_questions(n: int, value: float, low: float) -> str:
    if value <= 0:
        return "more questions are unlikely to pass this: the observed drop itself reaches the margin"
    wanted = math.ceil(n * ((value - low) / value) ** 2)
    return f"if the drop is what it seems, about {max(wanted, n + 1):,} fresh questions would show it"


def _paired_outcomes(tuned: BenchmarkResult, base: BenchmarkResult) -> tuple[list[int], list[int], Sequence[str]]:
    before = {outcome.question_id: outcome for outcome in base.outcomes}
    pairs = [(outcome, before[outcome.question_id]) for outcome in tuned.outcomes]
    return (
        [int(after.correct) for after, _ in pairs],
        [int(earlier.correct) for _, earlier in pairs],
        [after.subject for after, _ in pairs],
    )
