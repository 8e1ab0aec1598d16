from __future__ import annotations

import dataclasses
import json
import math

import pytest
from record_factory import diverged, make_record

from harness.report.metrics import flat_metrics


def test_metrics_are_named_by_data_set_scorer_and_system() -> None:
    record = make_record()
    metrics = flat_metrics(record)
    summary = record.summaries[0]
    assert metrics["test.exact_match.candidate"] == summary.estimate.value
    assert metrics["probe.schema_valid.candidate"] == 0.995
    assert metrics["general.accuracy.base model"] == 0.725
    assert metrics["gain.exact_match.previous"] == record.comparisons[-1].delta.value
    assert metrics["test.exact_match.candidate.shifted"] != metrics["test.exact_match.candidate"]
    assert metrics["training.best_validation_loss"] == 0.1384


def test_no_two_numbers_share_a_name() -> None:
    record = make_record()
    named = len(record.summaries) + len(record.benchmark_summaries) + len(record.comparisons)
    assert len(flat_metrics(record)) == named + 3 + 5 + 4


@pytest.mark.parametrize(("decision", "counts"), [("ship", (8, 0, 0)), ("hold", (6, 2, 0)), ("undecided", (7, 0, 1))])
def test_checks_are_counted_by_status(decision: str, counts: tuple[int, int, int]) -> None:
    metrics = flat_metrics(make_record(decision))  # type: ignore[arg-type]
    assert tuple(metrics[f"checks.{status}"] for status in ("pass", "fail", "undecided")) == counts


def test_metrics_are_plain_finite_json_numbers() -> None:
    metrics = flat_metrics(make_record())
    assert all(type(value) is float for value in metrics.values())
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics


def test_a_loss_has_no_entry_when_it_is_not_finite() -> None:
    record = diverged(make_record("hold"))
    assert record.training is not None
    broken = dataclasses.replace(record, training=dataclasses.replace(record.training, best_step=20))
    assert "training.best_validation_loss" not in flat_metrics(broken)


def test_training_has_no_entry_when_nothing_was_trained() -> None:
    assert not [name for name in flat_metrics(make_record(trained=False)) if name.startswith("training.")]


def test_metrics_are_refused_when_an_estimate_is_not_finite() -> None:
    record = make_record()
    estimate = dataclasses.replace(record.summaries[0].estimate, value=math.nan)
    summaries = (dataclasses.replace(record.summaries[0], estimate=estimate), *record.summaries[1:])
    with pytest.raises(ValueError, match=r"test\.exact_match\.candidate is not finite"):
        flat_metrics(dataclasses.replace(record, summaries=summaries))
