"""A run's numbers as one flat mapping, as `dvc metrics diff` and dashboards read them."""

from __future__ import annotations

import math
from collections.abc import Iterable

from harness.findings import ArmUse, Comparison, RunRecord, ScorerSummary
from harness.records import TrainingHistory


def flat_metrics(record: RunRecord) -> dict[str, float]:
    """Return name -> value, such as "test.exact_match.candidate": 0.88; shares 0 to 1, losses nats per token.

    Names: `<data set or benchmark>.<scorer>.<system>[.<tag>]`, `gain.<scorer>.<baseline>[.<tag>]`,
    `leakage.rows` and `leakage.sure`, without those rows `clean.<scorer>.<system>` and
    `clean_gain.<scorer>.<baseline>`, `use.<what>.<system>`, `break_even.<endpoint>`, `checks.<status>`, `training.*`
    and `cost.*`. What is not known has no entry, and neither has a loss that is not finite.

    Raises:
        ValueError: any other number is not finite.
    """
    metrics = {
        **_summaries((*record.summaries, *(item for item in record.benchmark_summaries if item.tag is None))),
        **_gains(record.comparisons),
        **_leakage(record),
        **_use(record.arms),
        **{f"break_even.{b.endpoint}": float(b.requests) for b in record.break_even if b.requests is not None},
        **_checks(record),
        **({} if record.training is None else _training(record.training)),
        **_cost(record),
    }
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise ValueError(f"the metric {name} is not finite: {value}")
    return metrics


def _summaries(summaries: Iterable[ScorerSummary]) -> dict[str, float]:
    return {
        ".".join(part for part in (item.dataset, item.scorer, item.system, item.tag) if part): item.estimate.value
        for item in summaries
    }


def _gains(comparisons: Iterable[Comparison]) -> dict[str, float]:
    return {
        ".".join(part for part in ("gain", item.scorer, item.baseline, item.tag) if part): item.delta.value
        for item in comparisons
    }


def _leakage(record: RunRecord) -> dict[str, float]:
    if not record.leaks.compared:
        return {}
    leaks, clean = record.leaks.leaks, record.clean
    found = {"leakage.rows": float(len(leaks)), "leakage.sure": float(sum(leak.is_sure for leak in leaks))}
    if clean is None:
        return found
    scores = {f"clean.{clean.scorer}.{item.system}": item.estimate.value for item in clean.summaries}
    return found | scores | {f"clean_{name}": value for name, value in _gains(clean.comparisons).items()}


def _use(arms: Iterable[ArmUse]) -> dict[str, float]:
    return {
        f"use.{what}.{arm.system}": float(value)
        for arm in arms
        for what, value in (
            ("requests", arm.requests),
            ("errors", arm.errors),
            ("truncated", arm.truncated),
            ("prompt_tokens", arm.prompt_tokens),
            ("output_tokens", arm.output_tokens),
            ("seconds", arm.seconds),
            ("cost_per_1000", arm.cost),
        )
        if value is not None
    }


def _checks(record: RunRecord) -> dict[str, float]:
    statuses = [check.status for check in record.verdict.checks]
    return {f"checks.{status}": float(statuses.count(status)) for status in ("pass", "fail", "undecided")}


def _training(history: TrainingHistory) -> dict[str, float]:
    losses = {point.step: point.validation_loss for point in history.points}
    best = losses.get(history.best_step)
    metrics = {
        "training.best_step": float(history.best_step),
        "training.last_step": float(history.last_step),
        "training.trainable_parameters": float(history.trainable_parameters),
        "training.truncated_rows": float(history.truncated_rows),
    }
    if best is not None and math.isfinite(best):
        metrics["training.best_validation_loss"] = best
    return metrics


def _cost(record: RunRecord) -> dict[str, float]:
    counters = record.manifest.counters
    return {
        "cost.trained_tokens": float(counters.trained_tokens),
        "cost.generated_tokens": float(counters.generated_tokens),
        "cost.forwarded_tokens": float(counters.forwarded_tokens),
        "cost.seconds": sum(record.manifest.seconds.values()),
    }
