"""The committed registry of promoted adapters: `baselines/<suite>/<name>/` and which of them is in force."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import BrokenRunError, InvalidInputError
from harness.files import new_folder, write_json, write_json_lines
from harness.store.facts import from_plain, read_json, to_plain

RECORD = "record.json"
OUTCOMES = "outcomes.jsonl"
ADAPTER = "adapter"
VERDICT = "verdict.json"
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

    Raises:
        InvalidInputError: the name is taken by another record.
    """
    folder = registry / record.suite / record.name
    if folder.exists():
        raise InvalidInputError(f"{folder} exists already; choose another --name")
    with new_folder(folder) as building:
        if record.adapter_location is None:
            shutil.copytree(run / ADAPTER, building / ADAPTER)
        shutil.copyfile(run / VERDICT, building / VERDICT)
        write_json_lines(building / OUTCOMES, [dict(row) for row in outcomes])
        write_json(building / RECORD, to_plain(record))
    write_json(registry / record.suite / POINTER, {"name": record.name})
    return folder


def adapter_size(adapter: Path) -> int:
    """Bytes in an adapter folder."""
    return sum(path.stat().st_size for path in adapter.rglob("*") if path.is_file())


def find_promoted(registry: Path, suite: str) -> PromotedBaseline | None:
    """The adapter in force for a suite; None when nothing was promoted yet.

    Raises:
        BrokenRunError: the pointer names a baseline that is not there or is damaged.
        InvalidInputError: its adapter is kept elsewhere and is not to be had.
    """
    pointer = registry / suite / POINTER
    if not pointer.is_file():
        return None
    value = read_json(pointer)
    name = value.get("name") if isinstance(value, dict) else None
    if not isinstance(name, str) or not (registry / suite / name / RECORD).is_file():
        raise BrokenRunError(f"{pointer}: names {name!r}, which is not in {registry / suite}")
    record = read_baseline(registry, suite, name)
    folder = registry / suite / name / ADAPTER
    if record.adapter_location is not None:
        folder = Path(record.adapter_location)
        if not folder.is_dir():
            raise InvalidInputError(
                f"the promoted adapter {name} is kept at {folder}, which is not there; "
                "bring it back, or promote another run"
            )
    return PromotedBaseline(record, folder)


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
    for path in sorted(registry.glob(f"*/*/{RECORD}")):
        record = read_baseline(registry, path.parent.parent.name, path.parent.name)
        pointer = path.parent.parent / POINTER
        in_force = pointer.is_file() and read_json(pointer).get("name") == record.name
        found.append((record, in_force))
    return sorted(found, key=lambda item: (item[0].suite, item[0].promoted))
