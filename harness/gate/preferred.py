"""A judge model must prefer the candidate's answers to the baselines'."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from statistics import fmean

from harness.findings import CheckResult, Comparison
from harness.gate.comparing import compare_scores, judge_comparison
from harness.gate.evidence import Evidence
from harness.gate.results import check_result, gain_names
from harness.records import Preference, Score, ScoreResult, Unscored
from harness.suite.checks import Preferred
from harness.suite.schema import Statistics


def preferred(check: Preferred, evidence: Evidence, statistics: Statistics) -> Iterator[CheckResult]:
    """The candidate's answers against each baseline's under a judge's rubric: one result a baseline.

    The gain is the mean over the test examples of the preference p, which is the mean of the two orders: 1 when the
    candidate's answer is preferred in both, -1 when the baseline's is. A missing preference counts as -1.
    """
    for baseline, name in gain_names(check, evidence.baselines).items():
        if baseline in evidence.absent:
            reason = f"{baseline} did not take part: {evidence.absent[baseline]}"
            yield check_result(check, name, "undecided", reason, baseline=baseline, blocking=False)
        else:
            yield _against(baseline, check, name, evidence, statistics)


def _against(baseline: str, check: Preferred, name: str, evidence: Evidence, statistics: Statistics) -> CheckResult:
    comparison = _compare(baseline, check, evidence, statistics)
    status, reason, needs = judge_comparison(comparison, statistics, min_gain=check.min_gain)
    orders = _orders(baseline, check, evidence)
    return check_result(
        check,
        name,
        status,
        f"{reason}; {orders}{_first_error(evidence.preferences[check.judge, baseline])}",
        baseline=baseline,
        observed=comparison.delta.value,
        low=comparison.delta.low,
        high=comparison.delta.high,
        limit=check.min_gain,
        unit="points",
        n=comparison.n,
        method=f"mean preference of judge {check.judge}; {comparison.method}; {orders}",
        needs=needs,
    )


def _compare(baseline: str, check: Preferred, evidence: Evidence, statistics: Statistics) -> Comparison:
    """The comparison of the two sides of each preference, with the test that any scores would get.

    Each scores the share of the two orders in which its answer was preferred: 0, 1/2 or 1 like any score, and the two
    differ by p, so that the gain and `min_gain` are of the mean preference itself. A judge that is never swayed by
    the order gives only 0 and 1, which calls for the exact test; a tie in both orders is 0 against 0. Without a
    preference both are unscored, which the comparison counts as 0 against 1: a preference of -1.
    """
    found = evidence.preferences[check.judge, baseline]
    examples = evidence.examples["test"]
    comparison = compare_scores(
        {example.id: _share(found[example.id], side=1) for example in examples},
        {example.id: _share(found[example.id], side=-1) for example in examples},
        statistics=statistics,
        seed=evidence.seed,
        min_gain=check.min_gain,
        clusters={example.id: example.cluster for example in examples},
    )
    scorer = f"the preference of judge {check.judge}"
    return replace(comparison, baseline=baseline, scorer=scorer)


def _share(preference: Preference, *, side: int) -> ScoreResult:
    """The share of the orders in which the answer of one side (1 the candidate's, -1 the baseline's) was preferred."""
    if preference.error is not None:
        return Unscored(preference.error)
    return Score((preference.shown_first, preference.shown_second).count(side) / 2)


def _orders(baseline: str, check: Preferred, evidence: Evidence) -> str:
    """How far the judge says the same in both orders, over the pairs that it was asked about.

    The position bias is half of what an answer gains by being shown first: (mean of shown_first - mean of
    shown_second) / 2. Equal answers are nobody's question, so they are no agreement either.
    """
    ours, theirs = (evidence.answers[name, "test"] for name in (evidence.candidate, baseline))
    asked = [
        (row.shown_first, row.shown_second)
        for key, row in evidence.preferences[check.judge, baseline].items()
        if row.shown_first is not None and row.shown_second is not None and ours[key].text != theirs[key].text
    ]
    if not asked:
        return "no pair of answers was judged in both orders"
    agreeing = sum(first == second for first, second in asked)
    bias = fmean(first - second for first, second in asked) / 2
    return (
        f"both orders agree on {agreeing} of {len(asked)} pairs ({agreeing / len(asked):.0%}), and being shown first "
        f"is worth {100 * bias:+.1f} points"
    )


def _first_error(found: Mapping[str, Preference]) -> str:
    errors = [row.error for row in found.values() if row.error is not None]
    return f"; the first of {len(errors)} without a preference: {errors[0]}" if errors else ""
