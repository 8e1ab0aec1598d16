"""The candidate must beat the baselines on the same examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from harness.findings import CheckResult, Comparison, Status
from harness.gate.comparing import compare_systems, judge_comparison
from harness.gate.evidence import Evidence
from harness.gate.results import any_name, check_result, gain_names
from harness.gate.sequential import bet_on_gain, judge_early, scores_in_order
from harness.records import Score
from harness.stats.multiplicity import holm
from harness.suite.checks import BetterThan
from harness.suite.schema import Statistics


def better_than(check: BetterThan, evidence: Evidence, statistics: Statistics) -> Iterator[CheckResult]:
    """The candidate against each baseline, paired by example: one result a baseline.

    When beating any of them is enough, these are shown and one further result decides.
    """
    wanted = gain_names(check, evidence.baselines)
    for baseline, name in wanted.items():
        if baseline in evidence.absent:
            reason = f"{baseline} did not take part: {evidence.absent[baseline]}"
            yield check_result(check, name, "undecided", reason, baseline=baseline, blocking=False)
        else:
            result = _against(baseline, check, name, evidence, statistics)
            yield replace(result, blocking=check.blocking and check.require == "all")
    if check.require == "any":
        yield _any_of([name for name in wanted if name not in evidence.absent], check, evidence, statistics)


def _any_of(baselines: Sequence[str], check: BetterThan, evidence: Evidence, statistics: Statistics) -> CheckResult:
    """Whether at least one baseline is beaten, each more of them being one more chance to be lucky (Holm)."""
    comparisons = [_compare(name, check, evidence, statistics) for name in baselines]
    adjusted = holm([comparison.p_value for comparison in comparisons])
    least = min(adjusted, default=1.0)
    status: Status = "undecided"
    if any(c.imputed > statistics.max_unscored * c.n for c in comparisons):
        reason = f"over {statistics.max_unscored:.1%} of the pairs lack a score"
    elif least <= statistics.alpha:
        status = "pass"
        counted = f"{len(baselines)} baseline{'s' if len(baselines) > 1 else ''}"
        reason = f"better than {baselines[adjusted.index(least)]} (p = {least:.2g}, adjusted for {counted})"
    elif comparisons and all(c.p_reverse <= statistics.alpha for c in comparisons):
        status, reason = "fail", f"worse than each of {', '.join(baselines)}"
    else:
        reason = f"not shown to beat any of {', '.join(baselines) or 'no baseline'} (smallest adjusted p = {least:.2g})"
    return check_result(
        check,
        any_name(check),
        status,
        reason,
        observed=least,
        limit=statistics.alpha,
        direction="below",
        unit="",
        n=comparisons[0].n if comparisons else 0,
        method="Holm's step-down over the baselines",
    )


def _compare(baseline: str, check: BetterThan, evidence: Evidence, statistics: Statistics) -> Comparison:
    return compare_systems(
        evidence,
        scorer=check.scorer,
        baseline=baseline,
        statistics=statistics,
        min_gain=check.min_gain,
        mid_p=check.mid_p,
        tag=check.tag,
    )


def _against(baseline: str, check: BetterThan, name: str, evidence: Evidence, statistics: Statistics) -> CheckResult:
    comparison = _compare(baseline, check, evidence, statistics)
    low: float | None = comparison.delta.low
    high: float | None = comparison.delta.high
    method = comparison.method
    if statistics.mode == "fixed":
        status, reason, needs = judge_comparison(comparison, statistics, min_gain=check.min_gain)
    elif any(example.cluster for example in evidence.examples["test"]):
        status, needs = "undecided", "statistics.mode: fixed, which knows of clusters"
        reason = f"mode {statistics.mode} bets on independent examples, and the test examples have clusters"
    else:
        early = bet_on_gain(
            scores_in_order(evidence, evidence.candidate, check.scorer),
            scores_in_order(evidence, baseline, check.scorer),
            min_gain=check.min_gain,
            statistics=statistics,
            pool=evidence.pool["test"],
        )
        status, reason, needs = judge_early(early, comparison, statistics, min_gain=check.min_gain)
        # An interval for a fixed number of examples does not hold where looking chose the number.
        low, high, method = None, None, early.method
    if comparison.imputed > statistics.max_unscored * comparison.n:
        # Drawn, or read as "within reach", it would speak of answers that there are not.
        low, high = None, None
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
