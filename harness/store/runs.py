"""The run folder: evidence first, the manifest last, then what is derived from them.

Evidence (written by a run, bound by digests in the manifest): suite.yaml, schema.json, examples.jsonl,
predictions.jsonl, benchmarks.jsonl, drift.jsonl, preferences.jsonl, served.jsonl, leaks.json, training.json,
liveness.json, adapter/, trained/, histories/. Derived (can be made again at any time): scores.jsonl, comparison.csv,
verdict.json, verdict.dsse.json, report.html, summary.md, junit.xml, metrics.json, and the model card README.md.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from harness.errors import BrokenRunError, EvidenceRefusedError, InvalidInputError
from harness.files import (
    claim_folder,
    in_use,
    make_folder,
    remove,
    sync_tree,
    write_bytes,
    write_json,
    write_json_lines,
)
from harness.records import (
    FORMAT_VERSION,
    BenchmarkResult,
    DriftRow,
    Example,
    LeakSearch,
    Liveness,
    Prediction,
    Preference,
    RunManifest,
    ServedAnswer,
    TrainingHistory,
)
from harness.store.facts import from_plain, read_json, read_record, read_records, to_plain

MANIFEST = "manifest.json"
STATUS = "status.json"
SERVED = "served.jsonl"  # only of a suite that asks a server for its candidate
ADAPTER = "adapter"
VERDICT = "verdict.json"
ENVELOPE = "verdict.dsse.json"  # the signature over the verdict's bytes, when it was signed
CARD = "README.md"
TRAINED = "trained"  # baselines with a training of their own, and the recipe with further seeds
SHARDS = "shards"  # inside the runs of a suite: parts of runs, which are none by themselves
HISTORIES = "histories"  # how those trainings went; apart, so that no name of one can be that of the other
DERIVED = (
    VERDICT,
    ENVELOPE,
    "report.html",
    "summary.md",
    "junit.xml",
    "metrics.json",
    "scores.jsonl",
    "comparison.csv",
    CARD,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """A run folder's evidence, read back and found to be what the manifest bound."""

    folder: Path
    manifest: RunManifest
    suite_text: str
    schema: dict[str, Any] | None
    examples: Mapping[str, tuple[Example, ...]]
    predictions: tuple[Prediction, ...]
    benchmarks: tuple[BenchmarkResult, ...]
    drift: tuple[DriftRow, ...]
    preferences: tuple[Preference, ...]
    leaks: LeakSearch
    served: tuple[ServedAnswer, ...]
    training: TrainingHistory | None
    liveness: Liveness | None


def begin_run(wanted: Path, inputs: Mapping[str, str]) -> Path:
    """Claim a new run folder and say in it that a run has started, before anything else is written.

    When the name is taken, by a run that started in the same second, a number is added to it.
    """
    for number in count(1):
        folder = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        make_folder(folder.parent)
        with contextlib.suppress(FileExistsError):
            claim_folder(folder)
            write_json(folder / STATUS, {"status": "started", "inputs": dict(inputs)})
            return folder
    raise AssertionError("unreachable: the numbers do not end")


def write_evidence(
    folder: Path,
    *,
    suite_text: str,
    schema: bytes | None,
    examples: Mapping[str, Sequence[Example]],
    tables: Mapping[str, Sequence[Prediction | BenchmarkResult | DriftRow | Preference | ServedAnswer]],
    reports: Mapping[str, TrainingHistory | Liveness | LeakSearch],
) -> None:
    """Write all evidence but the adapter, which the training wrote, and the manifest, which comes last."""
    write_bytes(folder / "suite.yaml", suite_text.encode("utf-8"))
    if schema is not None:
        write_bytes(folder / "schema.json", schema)
    rows = [{"dataset": name, **to_plain(example)} for name, items in examples.items() for example in items]
    write_json_lines(folder / "examples.jsonl", rows)
    for name, records in tables.items():
        write_json_lines(folder / f"{name}.jsonl", [to_plain(record) for record in records])
    for name, record in reports.items():
        write_json(folder / f"{name}.json", to_plain(record))


def finish_run(folder: Path, manifest: RunManifest) -> RunManifest:
    """Bind every evidence file by its digest and write the manifest; from here on the evidence is complete."""
    sync_tree(folder)  # what a training library wrote is not durable before
    bound = replace(manifest, evidence=evidence_digests(folder))
    write_json(folder / MANIFEST, to_plain(bound))
    write_json(folder / STATUS, {"status": "complete"})
    return bound


def evidence_digests(folder: Path) -> dict[str, str]:
    """Path inside the run folder -> SHA-256, for every evidence file there is."""
    digests = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in {MANIFEST, STATUS, *DERIVED} and not path.name.startswith("."):
            digests[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return digests


def read_run(folder: Path) -> StoredRun:
    """Read a run folder's evidence.

    Raises:
        InvalidInputError: not a run folder.
        BrokenRunError: the run did not finish, or a file is missing or damaged.
        EvidenceRefusedError: a file is not the one that the manifest bound, or one was added.
    """
    require_run(folder)
    if not (folder / MANIFEST).is_file():
        raise BrokenRunError(f"{folder}: this run did not finish, so there is nothing to judge; run the suite again")
    value = read_json(folder / MANIFEST)
    version = value.get("format_version") if isinstance(value, dict) else None
    if version != FORMAT_VERSION:
        raise BrokenRunError(f"{folder / MANIFEST}: format {version}, this version reads {FORMAT_VERSION}")
    manifest = from_plain(RunManifest, value, str(folder / MANIFEST))
    _refuse_changes(folder, manifest)
    schema = read_json(folder / "schema.json") if "schema.json" in manifest.evidence else None
    examples: dict[str, list[Example]] = {}
    for row in read_records(dict, folder / "examples.jsonl"):
        name = str(row.pop("dataset", ""))
        examples.setdefault(name, []).append(from_plain(Example, row, str(folder / "examples.jsonl")))
    return StoredRun(
        folder=folder,
        manifest=manifest,
        suite_text=_suite_text(folder / "suite.yaml"),
        schema=schema,
        examples={name: tuple(items) for name, items in examples.items()},
        predictions=read_records(Prediction, folder / "predictions.jsonl"),
        benchmarks=read_records(BenchmarkResult, folder / "benchmarks.jsonl"),
        drift=read_records(DriftRow, folder / "drift.jsonl"),
        preferences=read_records(Preference, folder / "preferences.jsonl"),
        leaks=read_record(LeakSearch, folder / "leaks.json"),
        served=read_records(ServedAnswer, folder / SERVED) if SERVED in manifest.evidence else (),
        training=_optional(TrainingHistory, folder, "training.json", manifest),
        liveness=_optional(Liveness, folder, "liveness.json", manifest),
    )


def require_run(folder: Path) -> None:
    """Refuse what is no run folder (InvalidInputError), or that of a run which is still going on (BrokenRunError)."""
    if (folder / MANIFEST).is_file():
        return
    if not folder.exists():
        raise InvalidInputError(f"{folder}: not a run folder (there is no such folder)")
    if not (folder / STATUS).is_file():
        raise InvalidInputError(f"{folder}: not a run folder ({MANIFEST} is missing)")
    if in_use(folder):
        raise BrokenRunError(f"{folder}: this run is still going on; judge it when it has finished")


def abandoned_runs(runs: Path) -> tuple[Path, ...]:
    """The folders of runs that ended without finishing, oldest first: interrupted, killed or broken."""
    started = (path.parent for path in sorted(runs.glob(f"*/{STATUS}")))
    return tuple(folder for folder in started if not (folder / MANIFEST).is_file() and not in_use(folder))


def drop_derived(folder: Path) -> None:
    """Remove an earlier verdict and its reports, so that none outlives what it was made from."""
    remove(folder / name for name in DERIVED)


def _suite_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BrokenRunError(f"{path}: cannot be read: {error}") from None


def _optional(kind: type[Any], folder: Path, name: str, manifest: RunManifest) -> Any:
    return read_record(kind, folder / name) if name in manifest.evidence else None


def _refuse_changes(folder: Path, manifest: RunManifest) -> None:
    found = evidence_digests(folder)
    for name, digest in manifest.evidence.items():
        if name not in found:
            raise EvidenceRefusedError(f"{folder / name}: missing, although the manifest binds it")
        if found[name] != digest:
            raise EvidenceRefusedError(
                f"{folder / name}: changed since the run (SHA-256 {found[name][:16]}, bound {digest[:16]}); "
                "run the suite again"
            )
    added = sorted(set(found) - set(manifest.evidence))
    if added:
        raise EvidenceRefusedError(f"{folder / added[0]}: not part of the run; remove it or run the suite again")


def latest_run(reports: Path, suite: str) -> StoredRun | None:
    """The newest finished run of a suite whose evidence is whole; None when there is none."""
    for folder in sorted((reports / suite).glob("*/"), reverse=True):
        if (folder / MANIFEST).is_file():
            try:
                return read_run(folder)
            except (BrokenRunError, EvidenceRefusedError):
                continue  # damaged, or written by another version: an older one may be whole
    return None
