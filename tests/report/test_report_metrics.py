from __future__ import annotations

import dataclasses
import json
import math

import pytest
from record_factory import diverged, make_record, priced

from harness.report.metrics import flat_metrics


def test_metrics_are_named_by_data_set_scorer_and_system() -> None:
    record = make_record()
    metrics = flat_metrics(record)
    summary = record.summaries[0]
    gains = {(item.baseline, item.tag): item.delta.value for item in record.comparisons}
    assert metrics["test.exact_match.candidate"] == summary.estimate.value
    assert metrics["probe.schema_valid.candidate"] == 0.995
    assert metrics["general.accuracy.base model"] == 0.725
    assert metrics["gain.exact_match.previous"] == gains["previous", None]
    assert metrics["gain.exact_match.previous.shifted"] == gains["previous", "shifted"]
    assert metrics["test.exact_match.candidate.shifted"] != metrics["test.exact_match.candidate"]
    assert metrics["training.best_validation_loss"] == 0.1384


def test_no_two_numbers_share_a_name() -> None:
    record = priced(make_record())
    accuracies = [item for item in record.benchmark_summaries if item.tag is None]
    named = len(record.summaries) + len(accuracies) + len(record.comparisons)
    assert len(flat_metrics(record)) == named + 7 * len(record.arms) + 2 + 1 + 3 + 5 + 4


def test_use_is_named_by_what_and_system() -> None:
    metrics = flat_metrics(priced(make_record(errors=2)))
    assert metrics["use.errors.candidate"] == 2
    assert metrics["use.prompt_tokens.hosted"] == 1234.5
    assert metrics["use.seconds.grammar"] == 0.34
    assert metrics["use.cost_per_1000.hosted"] == 0.3125
    assert metrics["break_even.hosted"] == 234_567


def test_use_and_break_even_have_no_entry_when_they_are_not_known() -> None:
    record = priced(make_record())
    unknown = dataclasses.replace(record.break_even[0], requests=None, saving=None, unknown="a count is missing")
    hosted = dataclasses.replace(record.arms[-1], output_tokens=None, cost=None)
    metrics = flat_metrics(dataclasses.replace(record, arms=(hosted,), break_even=(unknown,)))
    assert {name for name in metrics if name.startswith(("use.", "break_even."))} == {
        f"use.{what}.hosted" for what in ("requests", "errors", "truncated", "prompt_tokens", "seconds")
    }


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
