"""Promote the adapter of a run that shipped: verify it, then add it to the registry with its outcomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.clock import Clock
from harness.errors import EvidenceRefusedError, InvalidInputError
from harness.judged import suite_of
from harness.store.baselines import (
    LARGEST_COMMITTED_ADAPTER,
    RECORD_VERSION,
    BaselineRecord,
    adapter_size,
    write_baseline,
)
from harness.store.facts import read_json, read_records
from harness.store.project import project_folders
from harness.store.runs import ADAPTER, StoredRun, read_run
from harness.trust.verdicts import verify_adapter


def promote_run(run: Path, *, name: str | None, note: str, registry: Path | None, clock: Clock) -> Path:
    """Add the candidate of `run` to the registry and put it in force; returns its folder there.

    Raises:
        InvalidInputError: the run did not ship, or the name is taken.
        EvidenceRefusedError: evidence, adapter or verdict are not what they were.
    """
    stored = read_run(run)
    verdict = read_json(run / "verdict.json") if (run / "verdict.json").is_file() else None
    if not isinstance(verdict, dict):
        raise InvalidInputError(f"{run}: not judged yet; `harness gate {run}` judges it")
    if verdict.get("decision") != "ship":
        raise InvalidInputError(f"{run}: the verdict is {verdict.get('decision')}; only what ships can be promoted")
    now = clock()
    verified = verify_adapter(run / ADAPTER, run / "verdict.json", now=now)
    if verified.run_id != stored.manifest.run_id or verified.suite_digest != stored.manifest.digests["suite"]:
        raise EvidenceRefusedError(f"{run / 'verdict.json'}: the verdict of another run")
    suite = suite_of(stored)
    small = adapter_size(run / ADAPTER) <= LARGEST_COMMITTED_ADAPTER
    record = BaselineRecord(
        format_version=RECORD_VERSION,
        suite=suite.suite,
        name=name or stored.manifest.run_id,
        run_id=stored.manifest.run_id,
        promoted=now.isoformat(timespec="seconds"),
        decision="ship",
        sentence=str(verdict.get("sentence", "")),
        system=stored.manifest.candidate_system,
        digests=stored.manifest.digests,
        adapter_files=verdict["adapter_files"],
        adapter_location=None if small else str((run / ADAPTER).resolve()),
        overrides=stored.manifest.overrides,
        note=note,
    )
    place = registry or project_folders(run).baselines
    return write_baseline(place, record, _outcomes(stored, suite.candidate), run)


def _outcomes(stored: StoredRun, candidate: str) -> list[dict[str, Any]]:
    """Per example and per benchmark question, what the candidate did, with the digests that pairing needs."""
    scores = [
        {"kind": "score", **{key: row[key] for key in ("dataset", "example_id", "scorer", "result")}}
        for row in read_records(dict, stored.folder / "scores.jsonl")
        if row["system"] == candidate
    ]
    questions = [
        {
            "kind": "question",
            "benchmark": result.benchmark,
            "task_digest": result.task_digest,
            "question_id": outcome.question_id,
            "correct": outcome.correct,
        }
        for result in stored.benchmarks
        if result.system == candidate
        for outcome in result.outcomes
    ]
    return scores + questions
