"""The candidate must beat the baselines on the same examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from harness.gate.comparing import compare_systems, judge_comparison
from harness.gate.evidence import Evidence
from harness.gate.results import check_name, check_result
from harness.gate.sequential import bet_on_gain, judge_early, scores_in_order
from harness.records import CheckResult, Score
from harness.suite.schema import BetterThan, Statistics


def better_than(check: BetterThan, evidence: Evidence, statistics: Statistics) -> Iterator[CheckResult]:
    """The candidate against each baseline, paired by example: one result a baseline."""
    wanted = evidence.baselines if check.baselines == "all" else tuple(check.baselines)
    for baseline in wanted:
        where = f"[{check.tag}]" if check.tag else ""
        name = f"{check_name(check)}/{check.scorer}/{baseline}{where}"
        if baseline in evidence.absent:
            reason = f"{baseline} did not take part: {evidence.absent[baseline]}"
            yield check_result(check, name, "undecided", reason, baseline=baseline, blocking=False)
        else:
            yield _against(baseline, check, name, evidence, statistics)


def _against(baseline: str, check: BetterThan, name: str, evidence: Evidence, statistics: Statistics) -> CheckResult:
    comparison = compare_systems(
        evidence,
        scorer=check.scorer,
        baseline=baseline,
        statistics=statistics,
        min_gain=check.min_gain,
        mid_p=check.mid_p,
        tag=check.tag,
    )
    low: float | None = comparison.delta.low
    high: float | None = comparison.delta.high
    method = comparison.method
    if statistics.mode == "fixed":
        status, reason, needs = judge_comparison(comparison, statistics, min_gain=check.min_gain)
    else:
        early = bet_on_gain(
            scores_in_order(evidence, evidence.candidate, check.scorer),
            scores_in_order(evidence, baseline, check.scorer),
            min_gain=check.min_gain,
            statistics=statistics,
            pool=evidence.pool["test"],
        )
        status, reason, needs = judge_early(early, comparison, statistics)
        # An interval for a fixed number of examples does not hold where looking chose the number.
        low, high, method = None, None, early.method
    if status != "pass" and check.tag is None:
        reason += _driver_slice(evidence, check.scorer, baseline)
    return check_result(
        check,
        name,
        status,
        reason,
        baseline=baseline,
        observed=comparison.delta.value,
        low=low,
        high=high,
        limit=check.min_gain,
        unit="points",
        n=comparison.n,
        method=method,
        needs=needs,
    )


def _driver_slice(evidence: Evidence, scorer: str, baseline: str) -> str:
    """The tag on which the candidate loses most against the baseline, if it loses anywhere."""
    net: Counter[str] = Counter()
    rows: Counter[str] = Counter()
    ours, theirs = (evidence.scores[name, "test", scorer] for name in (evidence.candidate, baseline))
    for example in evidence.examples["test"]:
        mine, other = ours[example.id], theirs[example.id]
        for tag in example.tags:
            rows[tag] += 1
            if isinstance(mine, Score) and isinstance(other, Score):
                net[tag] += (mine.value > other.value) - (mine.value < other.value)
    worst = min(net, key=lambda tag: (net[tag], tag), default=None)
    if worst is None or net[worst] >= 0:
        return ""
    return f"; it loses most on '{worst}', {-net[worst]} more worse than better of {rows[worst]}"
