"""Forgetting, seen before accuracy moves: log-probability of the right choice, and distance from the base model."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from harness.findings import CheckResult, Estimate, Status
from harness.gate.evidence import Evidence
from harness.gate.results import check_result, drop_name
from harness.records import BASE_MODEL
from harness.stats.drift import mean_against
from harness.suite.checks import KLDivergence, LogprobDrop
from harness.suite.schema import Statistics


def logprob_drop(check: LogprobDrop, evidence: Evidence, statistics: Statistics) -> CheckResult:
    """The paired change in the log-probability of the right choice, against a margin in nats."""
    name = drop_name(check)
    base = evidence.benchmarks[check.benchmark, BASE_MODEL]
    before = {outcome.question_id: outcome for outcome in base.outcomes}
    tuned = evidence.benchmarks[check.benchmark, evidence.candidate].outcomes
    changes = [o.logprobs[o.target] - before[o.question_id].logprobs[o.target] for o in tuned]
    if not all(map(math.isfinite, changes)):
        return check_result(check, name, "fail", f"log-probabilities on {check.benchmark} are not finite", n=len(tuned))
    sizes = Counter(outcome.subject for outcome in tuned)
    shares = [base.weights[outcome.subject] / sizes[outcome.subject] for outcome in tuned]
    change, test = mean_against(
        changes,
        bar=-check.margin,
        alpha=statistics.alpha,
        seed=evidence.seed,
        weights=shares,
        resamples=statistics.resamples,
    )
    status = _status(test.p_value, test.p_reverse, statistics.alpha)
    reason = (
        f"the right choice of {check.benchmark} changed by {change.value:+.3f} nats on average "
        f"[{change.low:+.3f}, {change.high:+.3f}] over {change.n} questions; a loss of {check.margin:g} is too much"
    )
    shown = _shown(change, limit=-check.margin, direction="above", method=change.method)
    return check_result(check, name, status, reason, **shown)


def kl_divergence(check: KLDivergence, evidence: Evidence, statistics: Statistics) -> CheckResult:
    """The mean divergence of the candidate's next-token distribution from the base model's, against a limit."""
    name = drop_name(check)
    values = [row.kl for row in evidence.drift[check.prompts]]
    if not all(map(math.isfinite, values)):
        return check_result(check, name, "fail", "the divergence is not finite", n=len(values))
    drift, test = mean_against(
        values, bar=check.limit, alpha=statistics.alpha, seed=evidence.seed, resamples=statistics.resamples
    )
    # Less is better: the pass side is the reverse of the test.
    status = _status(test.p_reverse, test.p_value, statistics.alpha)
    reason = (
        f"on {drift.n} general prompts the candidate is {drift.value:.3f} nats per token from the base model "
        f"[{drift.low:.3f}, {drift.high:.3f}]; the limit is {check.limit:g}"
    )
    method = f"Kullback-Leibler divergence, base from candidate, mean over answer tokens; {drift.method}"
    shown = _shown(drift, limit=check.limit, direction="below", method=method)
    return check_result(check, name, status, reason, **shown)


def _shown(estimate: Estimate, *, limit: float, direction: str, method: str) -> dict[str, Any]:
    """The numbers in nats beside a sentence: the estimate against its limit."""
    return {
        "baseline": BASE_MODEL,
        "observed": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "limit": limit,
        "direction": direction,
        "unit": "nats",
        "n": estimate.n,
        "method": method,
    }


def _status(p_pass: float, p_fail: float, alpha: float) -> Status:
    if p_pass <= alpha:
        return "pass"
    return "fail" if p_fail <= alpha else "undecided"
