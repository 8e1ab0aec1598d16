"""The light half: stored evidence → scores → comparisons → verdict → report. Never loads a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from harness import __version__
from harness.assembly import assemble_evidence, schema_validator
from harness.clock import Clock
from harness.errors import EvidenceRefusedError, ExitCode
from harness.files import write_json, write_json_lines, write_text
from harness.gate.comparing import compare_systems
from harness.gate.evidence import Evidence
from harness.gate.verdict import EXIT_CODES, decide
from harness.records import (
    FORMAT_VERSION,
    BenchmarkResult,
    Comparison,
    LookCount,
    Prediction,
    RunRecord,
    Score,
    ScorerSummary,
)
from harness.report.html import render_html
from harness.report.junit import render_junit
from harness.report.markdown import render_markdown
from harness.report.metrics import flat_metrics
from harness.report.page import Page
from harness.report.view import build_page
from harness.scoring.apply import is_corpus
from harness.scoring.json_schema import SchemaValidator
from harness.scoring.overlap import corpus_statistics
from harness.stats.summary import corpus_estimate, mean_estimate
from harness.store.facts import to_plain
from harness.store.frames import as_csv, comparison_frame
from harness.store.ledger import LEDGER, Look, look_number, read_looks, record_look
from harness.store.runs import ADAPTER, MANIFEST, StoredRun, drop_derived, read_run
from harness.suite.load import LoadedSuite, parse_suite
from harness.suite.schema import BetterThan, Statistics, Suite
from harness.trust.digests import digest_file, digest_tree
from harness.trust.verdicts import expiry, seal

MAX_SCHEMA_ERRORS = 12  # kinds shown per system


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A judged run: the record, its page model and the exit code, all from one verdict."""

    folder: Path
    record: RunRecord
    page: Page
    exit_code: ExitCode


def judge_run(
    folder: Path, clock: Clock, *, registry: Path | None = None, accepted: Mapping[str, str] | None = None
) -> Judgement:
    """Judge the evidence in a run folder anew and write verdict and reports beside it.

    The look at the test set is counted in the `registry` (None: not counted); `accepted` maps the names of
    undecided checks that a person lets pass to the reason.

    Raises:
        InvalidInputError: `accepted` names a check that there is not.
        BrokenRunError: evidence that is incomplete or does not pair.
        EvidenceRefusedError: evidence that changed since the run.
    """
    # An old verdict must not outlive evidence that turns out to be broken.
    drop_derived(folder)
    run = read_run(folder)
    loaded = parse_suite(run.suite_text, folder / "suite.yaml", run.manifest.overrides, files=False)
    if loaded.digest != run.manifest.digests.get("suite"):
        raise EvidenceRefusedError(f"{folder / 'suite.yaml'}: not the suite that the manifest binds")
    judged = clock()
    ledger = registry / run.manifest.suite / LEDGER if registry is not None else None
    record = build_record(run, loaded, judged, looks=_count_look(run, loaded, ledger), accepted=accepted)
    page = build_page(record)
    if ledger is not None:
        # Before the verdict is out: a look that led to a verdict can never go uncounted.
        record_look(ledger, _look(run, loaded, record))
    _write_reports(folder, record, page)
    write_json(folder / "verdict.json", _verdict_file(run, record, judged))
    return Judgement(folder=folder, record=record, page=page, exit_code=EXIT_CODES[record.verdict.decision])


def _look(run: StoredRun, loaded: LoadedSuite, record: RunRecord) -> Look:
    return Look(
        test_digest=run.manifest.digests[loaded.suite.data.test],
        candidate_digest=run.manifest.digests[f"adapter:{loaded.suite.candidate}"],
        run_id=run.manifest.run_id,
        judged=record.judged,
        decision=record.verdict.decision,
    )


def _count_look(run: StoredRun, loaded: LoadedSuite, ledger: Path | None) -> LookCount | None:
    if ledger is None:
        return None
    number = look_number(
        read_looks(ledger),
        test_digest=run.manifest.digests[loaded.suite.data.test],
        candidate_digest=run.manifest.digests[f"adapter:{loaded.suite.candidate}"],
    )
    return LookCount(number=number, budget=loaded.suite.statistics.holdout_budget, recorded=ledger.is_file())


def build_record(
    run: StoredRun,
    loaded: LoadedSuite,
    judged: datetime,
    *,
    looks: LookCount | None = None,
    accepted: Mapping[str, str] | None = None,
) -> RunRecord:
    """Score, compare and decide; pure but for the clock that was read."""
    suite = loaded.suite
    scores, evidence = assemble_evidence(run, suite)
    return RunRecord(
        manifest=run.manifest,
        suite_text=run.suite_text,
        candidate=suite.candidate,
        examples=run.examples,
        predictions=run.predictions,
        scores=scores,
        summaries=tuple(_summaries(run, evidence, suite.statistics)),
        comparisons=tuple(_comparisons(suite, evidence)),
        benchmarks=run.benchmarks,
        benchmark_summaries=tuple(_benchmark_summary(result, suite.statistics) for result in run.benchmarks),
        training=run.training,
        liveness=run.liveness,
        verdict=decide(suite, evidence, looks=looks, accepted=accepted),
        looks=looks,
        judged=judged.isoformat(timespec="seconds"),
        schema_errors=_schema_errors(run.predictions, schema_validator(run)),
    )


def _summaries(run: StoredRun, evidence: Evidence, statistics: Statistics) -> Iterator[ScorerSummary]:
    for (system, dataset, scorer), results in evidence.scores.items():
        tags = sorted({tag for example in run.examples[dataset] for tag in example.tags})
        for tag in [None, *tags]:
            ids = [e.id for e in run.examples[dataset] if tag is None or tag in e.tags]
            values = [result.value for key in ids if isinstance(result := results[key], Score)]
            if not values:
                continue  # nothing was scored: the report says so by the missing number
            if is_corpus(scorer):
                scored = [key for key in ids if isinstance(results[key], Score)]
                targets = {example.id: example.target or "" for example in run.examples[dataset]}
                texts = [evidence.answers[system, dataset][key].text for key in scored]
                parts, compute = corpus_statistics(scorer, texts, [targets[key] for key in scored])
                estimate = corpus_estimate(parts, compute, alpha=statistics.alpha, seed=evidence.seed)
            else:
                estimate = mean_estimate(values, statistics.alpha)
            yield ScorerSummary(
                system=system,
                dataset=dataset,
                scorer=scorer,
                estimate=estimate,
                unscored=len(ids) - len(values),
                tag=tag,
            )


def _comparisons(suite: Suite, evidence: Evidence) -> Iterator[Comparison]:
    named = [check for check in suite.checks if isinstance(check, BetterThan)]
    gains = {check.scorer: check.min_gain for check in named}
    tags = sorted({tag for example in evidence.examples["test"] for tag in example.tags})
    for scorer, min_gain in gains.items():
        for baseline in evidence.baselines:
            for tag in [None, *tags]:
                yield compare_systems(
                    evidence,
                    scorer=scorer,
                    baseline=baseline,
                    statistics=suite.statistics,
                    min_gain=min_gain,
                    tag=tag,
                )


def _benchmark_summary(result: BenchmarkResult, statistics: Statistics) -> ScorerSummary:
    correct = [float(outcome.correct) for outcome in result.outcomes]
    return ScorerSummary(
        system=result.system,
        dataset=result.benchmark,
        scorer="accuracy",
        estimate=mean_estimate(correct, statistics.alpha),
        unscored=0,
    )


def _schema_errors(
    predictions: Sequence[Prediction], validator: SchemaValidator | None
) -> dict[str, tuple[tuple[str, int], ...]]:
    if validator is None:
        return {}
    counts: dict[str, Counter[str]] = {}
    for prediction in predictions:
        if prediction.error is None:
            counts.setdefault(prediction.system, Counter()).update(validator.errors(prediction.text))
    return {system: tuple(counter.most_common(MAX_SCHEMA_ERRORS)) for system, counter in counts.items() if counter}


def _write_reports(folder: Path, record: RunRecord, page: Page) -> None:
    write_json_lines(folder / "scores.jsonl", [to_plain(score) for score in record.scores])
    frame = comparison_frame(record.examples["test"], record.predictions, record.scores, dataset="test")
    write_text(folder / "comparison.csv", as_csv(frame))
    write_json(folder / "metrics.json", flat_metrics(record))
    write_text(folder / "summary.md", render_markdown(page))
    write_text(folder / "junit.xml", render_junit(page))
    write_text(folder / "report.html", render_html(page))


def _verdict_file(run: StoredRun, record: RunRecord, judged: datetime) -> dict[str, Any]:
    prefix = f"{ADAPTER}/"
    files = {name.removeprefix(prefix): sha for name, sha in run.manifest.evidence.items() if name.startswith(prefix)}
    arms = Counter(f"{p.system}/{p.dataset}" for p in run.predictions)
    errors = Counter(f"{p.system}/{p.dataset}" for p in run.predictions if p.error is not None)
    return seal(
        {
            "format_version": FORMAT_VERSION,
            "tool_version": __version__,
            "run_id": run.manifest.run_id,
            "suite": run.manifest.suite,
            "suite_digest": run.manifest.digests["suite"],
            "decision": record.verdict.decision,
            "exit_code": int(EXIT_CODES[record.verdict.decision]),
            "sentence": record.verdict.sentence,
            "judged": judged.isoformat(),
            "expires": expiry(judged),
            "adapter_files": files,
            "adapter_digest": digest_tree(files),
            "digests": dict(run.manifest.digests),
            "manifest_digest": digest_file(run.folder / MANIFEST),
            "arms": {
                name: {"planned": count, "answered": arms[name] - errors[name], "errors": errors[name]}
                for name, count in run.manifest.planned.items()
            },
            "checks": [to_plain(check) for check in record.verdict.checks],
            "accepted": {check.name: check.accepted for check in record.verdict.checks if check.accepted},
            "notes": list(record.verdict.notes),
            "signed": False,
        }
    )
