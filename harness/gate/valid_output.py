"""The candidate's raw answers must satisfy the schema, shown on an interval."""

from __future__ import annotations

from harness.findings import CheckResult, Status
from harness.gate.evidence import Evidence
from harness.gate.results import check_name, check_result
from harness.records import Score
from harness.stats.proportion import cases_needed, proportion_estimate
from harness.suite.checks import ValidOutput
from harness.suite.schema import Statistics


def valid_output(check: ValidOutput, evidence: Evidence, statistics: Statistics) -> CheckResult:
    """The interval of the candidate's schema-valid share against the bar.

    Where rows have clusters, clusters are counted, each valid when all its answers are: answers that fail together
    are one fault, seen once.
    """
    scores = evidence.scores[evidence.candidate, check.on, "schema_valid"]
    clusters = {example.id: example.cluster or example.id for example in evidence.examples[check.on]}
    faulty = {clusters[key] for key, score in scores.items() if not (isinstance(score, Score) and score.value == 1.0)}
    n = len({clusters[key] for key in scores})
    valid = n - len(faulty)
    unscored = sum(1 for score in scores.values() if not isinstance(score, Score))
    share = proportion_estimate(valid, n, statistics.alpha)
    counted = "answers are valid" if n == len(scores) else f"clusters ({len(scores):,} answers) are wholly valid"
    shown = (
        f"{valid:,} of {n:,} {counted} ({share.value:.2%}, lower bound {share.low:.2%}, "
        f"upper {share.high:.2%}); the bar is {check.bar:.2%}"
    )
    needs = ""
    status: Status
    if unscored > statistics.max_unscored * len(scores):
        status, reason = (
            "undecided",
            f"{unscored} of {len(scores)} answers are missing, over {statistics.max_unscored:.1%}",
        )
        needs = "find out why answers failed, and run again"
    elif check.rule == "point":
        # Asked for in the suite and labelled wherever it is shown: chance is not ruled out.
        status = "pass" if share.value >= check.bar else "fail"
        reason = f"by the share itself, not by its interval: {shown}"
    elif share.low >= check.bar:
        status, reason = "pass", shown
    elif share.high < check.bar:
        status, reason = "fail", shown
    else:
        status, reason = "undecided", f"the bar lies inside the interval: {shown}"
        wanted = cases_needed(check.bar, n - valid, statistics.alpha)
        needs = f"{wanted:,} fresh cases with no more than {n - valid} invalid would pass"
    return check_result(
        check,
        check_name(check),
        status,
        reason,
        observed=share.value,
        low=share.low,
        high=share.high,
        limit=check.bar,
        n=n,
        method=share.method,
        needs=needs,
    )
