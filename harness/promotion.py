"""Promote the adapter of a run that shipped: verify it, then add it to the registry with its outcomes."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from harness.assembly import assemble_evidence
from harness.clock import Clock
from harness.errors import EvidenceRefusedError, InvalidInputError
from harness.files import hold, make_folder
from harness.judged import suite_of, verdict_of
from harness.store.baselines import (
    LARGEST_COMMITTED_ADAPTER,
    RECORD_VERSION,
    BaselineRecord,
    adapter_size,
    list_baselines,
    write_baseline,
)
from harness.store.facts import to_plain
from harness.store.project import project_folders
from harness.store.runs import ADAPTER, VERDICT, StoredRun, read_run, require_run
from harness.suite.schema import Suite
from harness.suite.systems import AdapterSystem
from harness.trust.digests import digest_tree
from harness.trust.history import log_path
from harness.trust.verify import verify_adapter


def promote_run(
    run: Path, *, name: str | None, note: str, copy: bool, registry: Path | None, clock: Clock
) -> tuple[Path, Path]:
    """Add the candidate of `run` to the registry and put it in force; returns its folder there, and its adapter's.

    The adapter's files are copied there when they are small, or with `copy`; else they stay in the run.

    Raises:
        InvalidInputError: the run did not ship, or the name is taken.
        EvidenceRefusedError: evidence, adapter or verdict are not what they were, or the run was not compared with the
            adapter in force.
    """
    require_run(run)
    with hold(run):  # so that no other verdict comes between its reading and its copying
        return _promote(run, name=name, note=note, copy=copy, registry=registry, now=clock())


def _promote(
    run: Path, *, name: str | None, note: str, copy: bool, registry: Path | None, now: datetime
) -> tuple[Path, Path]:
    stored = read_run(run)
    verdict, suite = verdict_of(stored), suite_of(stored)
    if verdict.decision != "ship":
        raise InvalidInputError(f"{run}: the verdict is {verdict.decision}; only what ships can be promoted")
    place = registry or project_folders(run).baselines
    log = log_path(place, suite.suite)
    verify_adapter(
        run / ADAPTER,
        run / VERDICT,
        now=now,
        suite_digest=stored.manifest.digests["suite"],
        history=log if log.is_file() or verdict.sequence else None,  # one that was kept is not to be lost
    )
    stays = None if copy or adapter_size(run / ADAPTER) <= LARGEST_COMMITTED_ADAPTER else (run / ADAPTER).resolve()
    record = BaselineRecord(
        format_version=RECORD_VERSION,
        suite=suite.suite,
        name=name or stored.manifest.run_id,
        run_id=stored.manifest.run_id,
        promoted=now.isoformat(timespec="seconds"),
        decision="ship",
        sentence=verdict.sentence,
        system=stored.manifest.candidate_system,
        digests=stored.manifest.digests,
        adapter_files=verdict.adapter_files,
        adapter_location=None if stays is None else str(stays),
        overrides=stored.manifest.overrides,
        note=note,
    )
    make_folder(place / suite.suite)
    with hold(place / suite.suite):  # so that no other adapter comes into force between the two
        _refuse_not_compared(stored, suite, record, place)
        folder = write_baseline(place, record, _outcomes(stored, suite), run)
    return folder, stays or folder / ADAPTER


def _refuse_not_compared(stored: StoredRun, suite: Suite, wanted: BaselineRecord, place: Path) -> None:
    """Where the suite compares with the promoted adapter, it must be the one that is in force now, or none twice."""
    arms = [
        name for name, spec in suite.systems.items() if isinstance(spec, AdapterSystem) and spec.source == "promoted"
    ]
    held = next((record for record, on in list_baselines(place) if on and record.suite == suite.suite), None)
    if held is not None and held.adapter_files == wanted.adapter_files:
        return  # it is in force itself
    now = digest_tree(held.adapter_files) if held is not None else None
    if any(stored.manifest.digests.get(f"adapter:{name}") != now for name in arms):
        stands = f"{held.name} is in force" if held is not None else "none is in force"
        raise EvidenceRefusedError(
            f"{stored.folder}: not compared with what it would take the place of: {stands}, and this run was made "
            f"when another or none was ({', '.join(arms)}); run the suite again, then promote that run"
        )


def _outcomes(stored: StoredRun, suite: Suite) -> list[dict[str, Any]]:
    """Per example and per benchmark question, what the candidate did, with the digests that pairing needs.

    Answers are scored anew, since nothing binds the scores that were written.
    """
    scores = [
        {"kind": "score", **{key: row[key] for key in ("dataset", "example_id", "scorer", "result")}}
        for row in map(to_plain, assemble_evidence(stored, suite)[0])
        if row["system"] == suite.candidate
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
        if result.system == suite.candidate
        for outcome in result.outcomes
    ]
    return scores + questions
