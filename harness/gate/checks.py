"""One pure function per check kind: from evidence to pass, fail or undecided, with the sentence that says why."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import assert_never

from harness.gate.comparing import compare_systems
from harness.gate.evidence import Evidence
from harness.records import (
    BASE_MODEL,
    BenchmarkResult,
    CheckResult,
    Comparison,
    Score,
    Status,
    TrainingHistory,
)
from harness.stats.noninferiority import above_chance, absolute_noninferiority, relative_noninferiority
from harness.stats.power import examples_needed
from harness.stats.proportion import cases_needed, proportion_estimate
from harness.suite.schema import (
    BenchmarkDrop,
    BetterThan,
    CheckDeclaration,
    CheckSpec,
    HealthyTraining,
    Statistics,
    ValidOutput,
)

LIVE_LOGIT_DIFFERENCE = 1e-5  # below this, two float32 forward passes of one model may differ by rounding


def run_check(check: CheckSpec, evidence: Evidence, statistics: Statistics) -> Iterator[CheckResult]:
    """The results of one declared check: one for each baseline of `better_than`, one for any other kind."""
    match check:
        case BetterThan():
            yield from _better_than(check, evidence, statistics)
        case ValidOutput():
            yield _valid_output(check, evidence, statistics)
        case BenchmarkDrop():
            yield _benchmark_drop(check, evidence, statistics)
        case HealthyTraining():
            yield _healthy_training(check, evidence)
        case _:
            assert_never(check)


def adapter_is_live(evidence: Evidence) -> CheckResult:
    """Always on: an adapter that changes nothing is not a tie, it is broken."""
    found = evidence.liveness
    status: Status
    if found is None:
        status, reason = "undecided", "the adapter was not compared with the base model"
    elif not found.logits_finite:
        status, reason = "fail", "the adapter's logits are not finite"
    elif found.max_logit_difference <= LIVE_LOGIT_DIFFERENCE and found.differing_answers == 0:
        status = "fail"
        reason = (
            f"the adapter has no effect: on {found.prompts} prompts its logits and answers equal the base model's "
            f"(largest difference {found.max_logit_difference:.1e})"
        )
    else:
        status = "pass"
        reason = (
            f"the adapter changes {found.differing_answers} of {found.prompts} answers; "
            f"its logits differ by up to {found.max_logit_difference:.2f}"
        )
    return CheckResult(
        name="adapter_is_live",
        kind="adapter_is_live",
        status=status,
        blocking=True,
        reason=reason,
        observed=found.max_logit_difference if found and found.logits_finite else None,
        limit=LIVE_LOGIT_DIFFERENCE,
        unit="",
        n=found.prompts if found else 0,
        method="largest difference of next-token logits, and equality of answers",
    )


def _better_than(check: BetterThan, evidence: Evidence, statistics: Statistics) -> Iterator[CheckResult]:
    wanted = evidence.baselines if check.baselines == "all" else tuple(check.baselines)
    for baseline in wanted:
        name = f"{_name(check)}/{check.scorer}/{baseline}"
        if baseline in evidence.absent:
            reason = f"{baseline} did not take part: {evidence.absent[baseline]}"
            yield _result(check, name, "undecided", reason, baseline=baseline, blocking=False)
            continue
        comparison = compare_systems(
            evidence, scorer=check.scorer, baseline=baseline, statistics=statistics, min_gain=check.min_gain
        )
        yield _judge_comparison(check, name, comparison, statistics)


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
    return _result(
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


def _valid_output(check: ValidOutput, evidence: Evidence, statistics: Statistics) -> CheckResult:
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
    elif share.low >= check.bar:
        status, reason = "pass", shown
    elif share.high < check.bar:
        status, reason = "fail", shown
    else:
        status, reason = "undecided", f"the bar lies inside the interval: {shown}"
        wanted = cases_needed(check.bar, n - valid, statistics.alpha)
        needs = f"{wanted:,} cases with no more than these {n - valid} invalid answers would pass: {wanted - n:,} more"
    return _result(
        check,
        _name(check),
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


def _benchmark_drop(check: BenchmarkDrop, evidence: Evidence, statistics: Statistics) -> CheckResult:
    base = evidence.benchmarks[check.benchmark, BASE_MODEL]
    tuned = evidence.benchmarks[check.benchmark, evidence.candidate]
    ours, theirs, subjects = _paired_outcomes(tuned, base)
    name = f"{_name(check)}/{check.benchmark}"
    n = len(ours)
    if not all(math.isfinite(value) for result in (base, tuned) for o in result.outcomes for value in o.logprobs):
        reason = f"log-probabilities on {check.benchmark} are not finite"
        return _result(check, name, "fail", reason, n=n)
    if not above_chance(sum(theirs), n, base.chance, statistics.alpha):
        reason = (
            f"no headroom: the base model itself has {sum(theirs) / n:.1%} on {check.benchmark}, which is not shown "
            f"to be above chance ({base.chance:.0%}), so forgetting cannot be seen here"
        )
        return _result(check, name, "undecided", reason, n=n, needs="a benchmark that the base model can do")
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
    return _result(
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


def _healthy_training(check: HealthyTraining, evidence: Evidence) -> CheckResult:
    history = evidence.training
    if history is None:
        reason = "the adapter was trained elsewhere, so its training is not judged; its weights are finite"
        return _result(check, _name(check), "pass", reason, unit="")
    status, reason = _judge_training(history)
    best, first = _validation_at(history, history.best_step), _validation_at(history, 0)
    return _result(
        check,
        _name(check),
        status,
        reason,
        observed=best,
        limit=first,
        direction="below",
        unit="nats",
        n=history.validation_tokens,
        method="mean loss over the answer tokens of the validation rows",
    )


def _judge_training(history: TrainingHistory) -> tuple[Status, str]:
    best, first = _validation_at(history, history.best_step), _validation_at(history, 0)
    if history.diverged:
        return "fail", f"training diverged: {history.stop_reason}"
    if not history.weights_finite:
        return "fail", "training ended with weights that are not finite"
    if best is None or first is None:
        return "fail", "no finite validation loss was measured"
    if history.best_step == 0 or not best < first:
        return (
            "fail",
            f"training never improved on the untrained model ({first:.4f} nats per token): {history.stop_reason}",
        )
    if not history.stop_reason:
        return "fail", "training ended for no stated reason"
    return "pass", (
        f"the validation loss fell from {first:.4f} to {best:.4f} nats per token at step {history.best_step} "
        f"of {history.last_step}, which is the candidate; stopped: {history.stop_reason}"
    )


def _validation_at(history: TrainingHistory, step: int) -> float | None:
    return next((p.validation_loss for p in history.points if p.step == step and p.validation_loss is not None), None)


def _name(check: CheckDeclaration) -> str:
    kind: str = check.kind  # type: ignore[attr-defined]
    return check.name or kind


def _result(
    check: CheckDeclaration,
    name: str,
    status: Status,
    reason: str,
    *,
    blocking: bool | None = None,
    **facts: object,
) -> CheckResult:
    return CheckResult(
        name=name,
        kind=check.kind,  # type: ignore[attr-defined]
        status=status,
        blocking=check.blocking if blocking is None else blocking,
        reason=reason,
        declared_reason=check.reason or "",
        **facts,  # type: ignore[arg-type]
    )
