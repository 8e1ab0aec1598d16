"""The committed registry of promoted adapters: `baselines/<suite>/<name>/` and which of them is in force."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.errors import BrokenRunError, EvidenceRefusedError, InvalidInputError
from harness.files import hold, make_folder, new_folder, write_bytes, write_json, write_json_lines
from harness.store.facts import from_plain, read_json, to_plain
from harness.store.runs import ENVELOPE, VERDICT

RECORD = "record.json"
OUTCOMES = "outcomes.jsonl"
ADAPTER = "adapter"
POINTER = "promoted.json"
LARGEST_COMMITTED_ADAPTER = 5_000_000  # bytes; a larger one stays where it is and is named by digest
RECORD_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineRecord:
    """What was promoted, by digest, and on what verdict."""

    format_version: int
    suite: str
    name: str
    run_id: str
    promoted: str  # ISO 8601, UTC
    decision: str
    sentence: str
    system: str | None  # the system message that the adapter was judged with
    digests: Mapping[str, str]
    adapter_files: Mapping[str, str]
    adapter_location: str | None  # None: beside this record
    overrides: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True)
class PromotedBaseline:
    """The promoted adapter of a suite and the folder that holds its files."""

    record: BaselineRecord
    adapter: Path


def write_baseline(registry: Path, record: BaselineRecord, outcomes: Sequence[Mapping[str, Any]], run: Path) -> Path:
    """Add the adapter of `run` to the registry, its verdict beside it, and put it in force; returns its folder.

    Of several promotions at once one is made, and then the next. One that was interrupted before the adapter was in
    force is finished by the same promotion.

    Raises:
        InvalidInputError: the name is taken, or is none for a folder.
        EvidenceRefusedError: the adapter is not, or no longer, of the files that the record names.
    """
    if record.name != Path(record.name).name or record.name.startswith("."):
        raise InvalidInputError(
            f"--name {record.name}: must be one that a folder can have, without '/' or a '.' in front"
        )
    suite, folder = registry / record.suite, registry / record.suite / record.name
    make_folder(suite)
    with hold(suite):
        if folder.exists():
            _refuse_taken(folder, record)
        else:
            with new_folder(folder) as building:
                if record.adapter_location is None:
                    _copy_adapter(record, run / ADAPTER, building / ADAPTER)
                write_bytes(building / VERDICT, (run / VERDICT).read_bytes())
                if (run / ENVELOPE).is_file():
                    write_bytes(building / ENVELOPE, (run / ENVELOPE).read_bytes())
                write_json_lines(building / OUTCOMES, [dict(row) for row in outcomes])
                write_json(building / RECORD, to_plain(record))
        write_json(suite / POINTER, {"name": record.name})
    return folder


def _refuse_taken(folder: Path, record: BaselineRecord) -> None:
    """Refuse a name that is there, but for the record of the same promotion that was interrupted."""
    registry, name = folder.parent.parent, _in_force(folder.parent)
    there = read_baseline(registry, record.suite, record.name) if (folder / RECORD).is_file() else None
    if there is None or name == record.name or replace(there, promoted=record.promoted) != record:
        raise InvalidInputError(f"{folder} exists already; choose another --name")
    if name is not None and read_baseline(registry, record.suite, name).promoted > there.promoted:
        raise InvalidInputError(f"{folder} was promoted already, and {name} is in force; choose another --name")


def _copy_adapter(record: BaselineRecord, source: Path, target: Path) -> None:
    for name, digest in record.adapter_files.items():
        content = (source / name).read_bytes()
        if hashlib.sha256(content).hexdigest() != digest:
            raise EvidenceRefusedError(f"{source / name}: changed while it was promoted")
        write_bytes(target / name, content)


def adapter_size(adapter: Path) -> int:
    """Bytes in an adapter folder."""
    return sum(path.stat().st_size for path in adapter.rglob("*") if path.is_file())


def find_promoted(registry: Path, suite: str) -> PromotedBaseline | None:
    """The adapter in force for a suite; None when nothing was promoted yet.

    Raises:
        BrokenRunError: the pointer names a baseline that is not there or is damaged, or was lost.
        InvalidInputError: its adapter is kept elsewhere and is not to be had.
    """
    pointer = registry / suite / POINTER
    if not pointer.is_file():
        if any(pointer.parent.glob(f"[!.]*/{RECORD}")):
            raise BrokenRunError(
                f"{pointer}: missing, although adapters are kept beside it: it was lost, or their promotion was "
                "interrupted; bring it back, or promote again"
            )
        return None
    name = _in_force(pointer.parent)
    if name not in [path.parent.name for path in pointer.parent.glob(f"[!.]*/{RECORD}")]:
        raise BrokenRunError(f"{pointer}: names {name!r}, which is not in {registry / suite}")
    record = read_baseline(registry, suite, name)
    folder = registry / suite / name / ADAPTER
    if record.adapter_location is not None:
        folder = Path(record.adapter_location)
        if not os.path.isdir(folder):  # no error where the name is too long
            raise InvalidInputError(
                f"the promoted adapter {name} is kept at {folder}, which is not there; "
                "bring it back, promote its run with --copy and another --name where it is, or promote another run"
            )
    return PromotedBaseline(record, folder)


def _in_force(suite: Path) -> Any:
    """The name that the pointer of a suite's folder says; None when there is none."""
    value = read_json(suite / POINTER) if (suite / POINTER).is_file() else None
    return value.get("name") if isinstance(value, dict) else None


def read_baseline(registry: Path, suite: str, name: str) -> BaselineRecord:
    """One record of the registry."""
    path = registry / suite / name / RECORD
    value = read_json(path)
    if not isinstance(value, dict) or value.get("format_version") != RECORD_VERSION:
        raise BrokenRunError(f"{path}: not a record of format {RECORD_VERSION}")
    return from_plain(BaselineRecord, value, str(path))


def list_baselines(registry: Path) -> list[tuple[BaselineRecord, bool]]:
    """Every record of the registry with whether it is in force, by suite and time of promotion."""
    found = []
    for path in sorted(registry.glob(f"*/[!.]*/{RECORD}")):
        record = read_baseline(registry, path.parent.parent.name, path.parent.name)
        found.append((record, _in_force(path.parent.parent) == record.name))
    return sorted(found, key=lambda item: (item[0].suite, item[0].promoted))
