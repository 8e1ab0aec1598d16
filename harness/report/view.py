"""From a run's record to the page model: a pure function, tested without any rendering."""

from __future__ import annotations

from collections.abc import Mapping

from harness.records import Comparison, Decision, RunManifest, RunRecord, TrainingHistory
from harness.report.formatting import clean, count, duration, moment, plural, points
from harness.report.page import ExampleSet, Fact, FactGroup, Page, SchemaErrors
from harness.report.view_checks import check_rows, comparison_rows
from harness.report.view_examples import change_sets, example_set
from harness.report.view_scores import arm_rows, benchmark_views, overall_scores, tag_scores
from harness.report.view_training import liveness_facts, training_view

WORDS: dict[Decision, str] = {"ship": "Ship", "hold": "Hold", "undecided": "Undecided"}
SYMBOLS: dict[Decision, str] = {"ship": "✓", "hold": "✕", "undecided": "?"}


def build_page(record: RunRecord) -> Page:
    """Return the page model of a judged run: every number formatted, every text cleaned.

    Raises:
        ValueError: the record holds a number that is not finite where one must be (losses may be).
    """
    manifest, verdict = record.manifest, record.verdict
    systems = [fact.name for fact in manifest.systems]
    examples = example_set(record)
    rival = _closest(record, examples)
    return Page(
        suite=clean(manifest.suite),
        run_id=clean(manifest.run_id),
        judged=moment(record.judged),
        judged_iso=clean(record.judged),
        decision=verdict.decision,
        word=WORDS[verdict.decision],
        symbol=SYMBOLS[verdict.decision],
        sentence=clean(verdict.sentence),
        notes=_cleaned(verdict.notes),
        glance=_glance(record, rival),
        closest=clean(rival.baseline) if rival else "",
        checks=check_rows(verdict.checks),
        warnings=_cleaned(manifest.warnings),
        candidate=clean(record.candidate),
        arms=arm_rows(record),
        scores=overall_scores(record, systems),
        tag_scores=tag_scores(record, systems),
        comparisons=comparison_rows(record.comparisons),
        changes=change_sets(examples),
        benchmarks=benchmark_views(record),
        training=None if record.training is None else training_view(record.training),
        liveness=liveness_facts(record.liveness),
        schema_errors=_schema_errors(record.schema_errors),
        examples=examples,
        identity=_identity(record),
        command=clean(manifest.command),
        suite_text=clean(record.suite_text),
        seconds=sum(manifest.seconds.values()),
    )


def _cleaned(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(clean(text) for text in texts)


def _glance(record: RunRecord, rival: Comparison | None) -> tuple[Fact, ...]:
    """Return what a reader wants beside the verdict: the closest rival, what changed, what did not work."""
    facts = []
    if rival is not None:
        facts = [
            Fact(label="Closest baseline", value=clean(rival.baseline)),
            Fact(label="Gain over it", value=points(rival.delta.value)),
            Fact(label="Got better", value=plural(rival.wins, "example")),
            Fact(label="Got worse", value=plural(rival.losses, "example")),
        ]
    errors = sum(prediction.error is not None for prediction in record.predictions)
    return (
        *facts,
        Fact(label="Failed answers", value=count(errors)),
        Fact(label="Truncated rows", value=_truncated(record.training)),
    )


def _closest(record: RunRecord, examples: ExampleSet) -> Comparison | None:
    rivals = [item for item in record.comparisons if item.tag is None]
    headline = [item for item in rivals if clean(item.scorer) in examples.headlines[:1]]
    return min(headline, key=lambda item: item.delta.value, default=None)


def _truncated(history: TrainingHistory | None) -> str:
    return "not trained" if history is None else count(history.truncated_rows)


def _schema_errors(errors: Mapping[str, tuple[tuple[str, int], ...]]) -> tuple[SchemaErrors, ...]:
    return tuple(
        SchemaErrors(system=clean(system), rows=tuple((clean(what), count(often)) for what, often in rows))
        for system, rows in errors.items()
        if rows
    )


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
