"""The candidate must beat the baselines on the same examples."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from harness.gate.comparing import compare_systems
from harness.gate.evidence import Evidence
from harness.gate.results import check_name, check_result
from harness.records import CheckResult, Comparison, Score, Status
from harness.stats.power import examples_needed
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
            continue
        comparison = compare_systems(
            evidence,
            scorer=check.scorer,
            baseline=baseline,
            statistics=statistics,
            min_gain=check.min_gain,
            tag=check.tag,
        )
        result = _judge_comparison(check, name, comparison, statistics)
        driver = "" if result.status == "pass" or check.tag else _driver_slice(evidence, check.scorer, baseline)
        yield replace(result, reason=result.reason + driver)


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


def _judge_comparison(check: BetterThan, name: str, comparison: Comparison, statistics: Statistics) -> CheckResult:
    delta, alpha = comparison.delta, statistics.alpha
    gain = (
        f"{100 * delta.value:+.1f} points on {check.scorer} against {comparison.baseline} "
        f"[{100 * delta.low:+.1f}, {100 * delta.high:+.1f}] over {comparison.n} examples, "
        f"{comparison.wins} better and {comparison.losses} worse"
    )
    needs = ""
    status: Status
    if not all(map(math.isfinite, (delta.value, delta.low, delta.high, comparison.p_value, comparison.p_reverse))):
        status, reason = "undecided", f"the comparison with {comparison.baseline} is not a finite number"
    elif comparison.imputed > statistics.max_unscored * comparison.n:
        status = "undecided"
        reason = (
            f"{comparison.imputed} of {comparison.n} pairs lack a score, over {statistics.max_unscored:.1%}: {gain}"
        )
        needs = "find out why answers failed, and run again"
    elif comparison.p_value <= alpha:
        status, reason = "pass", f"better: {gain} (p = {comparison.p_value:.2g})"
    elif comparison.p_reverse <= alpha:
        status, reason = "fail", f"worse: {gain} (p = {comparison.p_reverse:.2g} that it is not)"
    else:
        status, reason = "undecided", f"no difference shown: {gain} (p = {comparison.p_value:.2g})"
        needs = _more_examples(comparison, statistics)
    if comparison.imputed and status != "undecided":
        reason += f"; {comparison.imputed} missing scores were counted against the candidate"
    return check_result(
        check,
        name,
        status,
        reason,
        baseline=comparison.baseline,
        observed=delta.value,
        low=delta.low,
        high=delta.high,
        limit=check.min_gain,
        unit="points",
        n=comparison.n,
        method=comparison.method,
        needs=needs,
    )


def _more_examples(comparison: Comparison, statistics: Statistics) -> str:
    changing = (comparison.wins + comparison.losses) / comparison.n
    needed = examples_needed(statistics.min_effect, changing, statistics.alpha)
    size = f"a true gain of {100 * statistics.min_effect:.1f} points takes about {needed:,} examples"
    if needed > comparison.n:
        return f"{size} (80 % power): {needed - comparison.n:,} more, as a fresh set"
    return f"{size} (80 % power), which this set has: the gain is likely smaller than that"
