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
    """The interval of the candidate's schema-valid share against the bar."""
    scores = evidence.scores[evidence.candidate, check.on, "schema_valid"]
    n = len(scores)
    valid = sum(1 for score in scores.values() if isinstance(score, Score) and score.value == 1.0)
    unscored = sum(1 for score in scores.values() if not isinstance(score, Score))
    share = proportion_estimate(valid, n, statistics.alpha)
    shown = (
        f"{valid:,} of {n:,} answers are valid ({share.value:.2%}, lower bound {share.low:.2%}, "
        f"upper {share.high:.2%}); the bar is {check.bar:.2%}"
    )
    needs = ""
    status: Status
    if unscored > statistics.max_unscored * n:
        status, reason = (
            "undecided",
            f"{unscored} of {n} answers are missing, over {statistics.max_unscored:.1%}",
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
        needs = f"{wanted:,} cases with no more than these {n - valid} invalid answers would pass: {wanted - n:,} more"
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
