"""From a run's record to the page model: a pure function, tested without any rendering."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

from harness.findings import Comparison, RunRecord
from harness.records import RunManifest
from harness.report.formatting import clean, count, duration, moment, plural
from harness.report.page import ExampleSet, Fact, FactGroup, Page
from harness.report.view_answers import calibration_views, judged_rows, length_rows, schema_error_rows
from harness.report.view_arms import arm_table, further_scores, in_arm_order
from harness.report.view_benchmarks import benchmark_views
from harness.report.view_checks import DECISION_SYMBOLS, DECISION_WORDS, check_rows, comparison_rows
from harness.report.view_examples import change_sets, example_set
from harness.report.view_first_screen import essentials, highlights, trust_facts
from harness.report.view_history import history_view
from harness.report.view_leakage import leakage_view
from harness.report.view_scores import compared_scores, slice_tables, tag_scores
from harness.report.view_training import liveness_facts, training_view

BULKY = ("examples", "predictions", "scores", "benchmarks")  # row by row: the page's examples, or the run folder


def build_page(record: RunRecord) -> Page:
    """Return the page model of a judged run: every number formatted, every text cleaned.

    Raises:
        ValueError: the record holds a number that is not finite where one must be (losses may be).
    """
    manifest, verdict = record.manifest, record.verdict
    systems = [fact.name for fact in in_arm_order(record)]
    examples = example_set(record)
    changes = change_sets(examples)
    comparisons = comparison_rows(record.comparisons)
    rival = _closest(record, examples)
    return Page(
        suite=clean(manifest.suite),
        run_id=clean(manifest.run_id),
        judged=moment(record.judged),
        judged_iso=clean(record.judged),
        decision=verdict.decision,
        word=DECISION_WORDS[verdict.decision],
        symbol=DECISION_SYMBOLS[verdict.decision],
        sentence=clean(verdict.sentence),
        notes=_cleaned(verdict.notes),
        highlights=highlights(record, rival, changes),
        trust=trust_facts(record),
        essentials=essentials(record),
        closest=clean(rival.baseline) if rival else "",
        checks=check_rows(verdict.checks, record.detectable, compared_scores(record)),
        warnings=_cleaned(manifest.warnings),
        candidate=clean(record.candidate),
        arms=arm_table(record, examples),
        scores=further_scores(record, systems, examples),
        leakage=leakage_view(record),
        slices=slice_tables(record, comparisons),
        tag_scores=tag_scores(record, systems),
        comparisons=comparisons,
        changes=changes,
        benchmarks=benchmark_views(record),
        training=None if record.training is None else training_view(record.candidate, record.training),
        other_trainings=tuple(training_view(name, history) for name, history in record.trainings.items()),
        liveness=liveness_facts(record.liveness),
        schema_errors=schema_error_rows(record.schema_problems, systems),
        lengths=length_rows(record, systems),
        calibrations=calibration_views(record.calibrations),
        judged_pairs=judged_rows(record.judged_pairs),
        history=history_view(record),
        examples=examples,
        identity=_identity(record),
        command=clean(manifest.command),
        suite_text=clean(record.suite_text),
        seconds=sum(manifest.seconds.values()),
        raw=_raw(record),
    )


def _cleaned(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(clean(text) for text in texts)


def _closest(record: RunRecord, examples: ExampleSet) -> Comparison | None:
    rivals = [item for item in record.comparisons if item.tag is None]
    headline = [item for item in rivals if clean(item.scorer) in examples.headlines[:1]]
    return min(headline, key=lambda item: item.delta.value, default=None)


def _raw(record: RunRecord) -> str:
    """The record but for what is told row by row, as ASCII JSON."""
    fields = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    return json.dumps({name: _plain(value) for name, value in fields.items() if name not in BULKY}, allow_nan=False)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # the loss of a training that diverged; JSON has no number for it
    return value


def _identity(record: RunRecord) -> tuple[FactGroup, ...]:
    manifest = record.manifest
    groups = (
        FactGroup(title="Run", facts=_run_facts(manifest)),
        FactGroup(title="Overrides", facts=_facts(manifest.overrides)),
        FactGroup(title="Cost", facts=_cost_facts(manifest)),
        FactGroup(title="Digests", facts=_facts(manifest.digests)),
        FactGroup(title="Data sets", facts=_dataset_facts(record)),
        FactGroup(title="Versions", facts=_facts(manifest.versions)),
    )
    return tuple(group for group in groups if group.facts)


def _run_facts(manifest: RunManifest) -> tuple[Fact, ...]:
    commit = clean(manifest.git_commit or "not in a git repository")
    together = manifest.world_size or 1
    return (
        Fact(label="Run", value=clean(manifest.run_id), code=True),
        Fact(label="Suite", value=clean(manifest.suite_path), code=True),
        Fact(label="Started", value=moment(manifest.started)),
        Fact(label="Finished", value=moment(manifest.finished)),
        Fact(label="Seed", value=str(manifest.seed), code=True),
        Fact(
            label="Commit",
            value=commit + (" with uncommitted changes" if manifest.git_dirty else ""),
            code=True,
        ),
        Fact(label="Tool", value=clean(manifest.tool_version), code=True),
        *([Fact(label="Trained by", value=f"{count(together)} processes together")] if together > 1 else []),
    )


def _facts(values: Mapping[str, str]) -> tuple[Fact, ...]:
    return tuple(Fact(label=clean(name), value=clean(value), code=True) for name, value in values.items())


def _dataset_facts(record: RunRecord) -> tuple[Fact, ...]:
    return tuple(
        Fact(label=clean(name), value=plural(len(examples), "example")) for name, examples in record.examples.items()
    )


def _cost_facts(manifest: RunManifest) -> tuple[Fact, ...]:
    counters = manifest.counters
    return (
        Fact(label="Trained tokens", value=count(counters.trained_tokens)),
        Fact(label="Generated tokens", value=count(counters.generated_tokens)),
        Fact(label="Forwarded tokens", value=count(counters.forwarded_tokens)),
        Fact(label="Answers and scores read back", value=count(counters.stored_answers + counters.stored_scores)),
        Fact(label="Model loads", value=count(counters.model_loads)),
        *(Fact(label=f"Time: {clean(stage)}", value=duration(seconds)) for stage, seconds in manifest.seconds.items()),
    )
