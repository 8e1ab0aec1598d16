"""The recipe, not only this adapter, must beat the baselines: the gain over several training seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.findings import CheckResult, Status
from harness.gate.evidence import Evidence
from harness.gate.results import check_result, gain_names
from harness.records import BEST, WORST, Score, ScoreResult
from harness.stats.seeds import RecipeResult, compare_over_seeds
from harness.suite.checks import RecipeBetterThan
from harness.suite.schema import Statistics


def recipe_better_than(check: RecipeBetterThan, evidence: Evidence, statistics: Statistics) -> Iterator[CheckResult]:
    """The mean gain of the candidate and its replicas over each baseline, with the variance between seeds in it."""
    for baseline, name in gain_names(check, evidence.baselines).items():
        if baseline in evidence.absent:
            reason = f"{baseline} did not take part: {evidence.absent[baseline]}"
            yield check_result(check, name, "undecided", reason, baseline=baseline, blocking=False)
        else:
            yield _against(baseline, check, name, evidence, statistics)


def _against(
    baseline: str, check: RecipeBetterThan, name: str, evidence: Evidence, statistics: Statistics
) -> CheckResult:
    order = [example.id for example in evidence.examples["test"]]
    theirs = evidence.scores[baseline, "test", check.scorer]
    trained = [evidence.scores[arm, "test", check.scorer] for arm in (evidence.candidate, *evidence.replicas)]
    imputed = sum(_missing(ours[key], theirs[key]) for ours in trained for key in order)
    result = compare_over_seeds(
        [[_gain(ours, theirs, key) for key in order] for ours in trained],
        alpha=statistics.alpha,
        min_gain=check.min_gain,
        seed=evidence.seed,
        resamples=statistics.resamples,
    )
    status, reason, needs = _judge(result, imputed, baseline, check, statistics)
    return check_result(
        check,
        name,
        status,
        reason,
        baseline=baseline,
        observed=result.delta.value,
        low=result.delta.low,
        high=result.delta.high,
        limit=check.min_gain,
        unit="points",
        n=result.n,
        method=result.method,
        needs=needs,
    )


def _judge(
    result: RecipeResult, imputed: int, baseline: str, check: RecipeBetterThan, statistics: Statistics
) -> tuple[Status, str, str]:
    each = ", ".join(f"{100 * gain:+.1f}" for gain in result.seed_gains)
    seeds = len(result.seed_gains)
    gain = (
        f"{100 * result.delta.value:+.1f} points on {check.scorer} against {baseline} "
        f"[{100 * result.delta.low:+.1f}, {100 * result.delta.high:+.1f}] over {seeds} trainings ({each}) "
        f"and {result.n} examples"
    )
    if imputed > statistics.max_unscored * seeds * result.n:
        share = f"{imputed} of {seeds * result.n} pairs lack a score, over {statistics.max_unscored:.1%}"
        return "undecided", f"{share}: {gain}", "find out why answers failed, and run again"
    if result.p_value <= statistics.alpha:
        return "pass", f"the recipe is better: {gain} (p = {result.p_value:.2g})", ""
    if result.p_reverse <= statistics.alpha:
        return "fail", f"the recipe is worse: {gain} (p = {result.p_reverse:.2g} that it is not)", ""
    reason = f"no difference shown between the recipe and the baseline: {gain} (p = {result.p_value:.2g})"
    return "undecided", reason, "more seeds (train.seeds) when the trainings differ, more examples when they agree"


def _gain(ours: Mapping[str, ScoreResult], theirs: Mapping[str, ScoreResult], key: str) -> float:
    """The paired gain; a missing score counts against the recipe, as everywhere."""
    mine, other = ours[key], theirs[key]
    return (mine.value if isinstance(mine, Score) else WORST) - (other.value if isinstance(other, Score) else BEST)


def _missing(mine: ScoreResult, other: ScoreResult) -> bool:
    return not (isinstance(mine, Score) and isinstance(other, Score))
