"""The lock of a suite: digests of all it asks by, its bars in words, and when; and what has changed since."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.errors import EvidenceRefusedError
from harness.files import write_json
from harness.limits import TEXT_BYTES, read_within
from harness.strict_json import StrictJsonError, parse
from harness.trust.digests import seal

LOCK_VERSION = 1
SUFFIX = ".lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteLock:
    """What a suite was when it was locked. `locked` is ISO 8601 with its time zone."""

    suite: str
    tool_version: str
    locked: str
    files: Mapping[str, str]  # file or folder as the suite names it -> SHA-256
    bars: Mapping[str, Any]  # what must be reached, with every default written out
    digest: str = ""  # SHA-256 over all of the above


def write_lock(path: Path, lock: SuiteLock) -> SuiteLock:
    """Write a lock sealed by its digest, and return it as it was written."""
    body = {
        "format_version": LOCK_VERSION,
        "tool_version": lock.tool_version,
        "suite": lock.suite,
        "locked": lock.locked,
        "files": dict(lock.files),
        "bars": dict(lock.bars),
    }
    write_json(path, seal(body))
    return read_lock(path)


def read_lock(path: Path) -> SuiteLock:
    """The lock in a file.

    Raises:
        EvidenceRefusedError: it cannot be read, is of another format, or was changed since it was written.
    """
    try:
        value = parse(read_within(path, TEXT_BYTES).decode("utf-8"))
    except (OSError, UnicodeDecodeError, StrictJsonError) as error:
        raise EvidenceRefusedError(f"{path}: no lock that can be read: {error}") from None
    if not isinstance(value, dict) or value.get("format_version") != LOCK_VERSION:
        raise EvidenceRefusedError(f"{path}: not a lock of format {LOCK_VERSION}; `harness lock` makes one")
    if seal({key: item for key, item in value.items() if key != "digest"}) != value:
        raise EvidenceRefusedError(
            f"{path}: changed since it was written (its own digest does not match); "
            "bring it back, or remove it and lock the suite anew"
        )
    try:
        if datetime.fromisoformat(value["locked"]).tzinfo is None:
            raise ValueError("its time has no time zone")
        files, bars = dict(value["files"]), dict(value["bars"])
        if not all(isinstance(text, str) for text in (*files, *files.values(), *bars)):
            raise ValueError("a name or a digest is no text")
        return SuiteLock(
            suite=str(value["suite"]),
            tool_version=str(value["tool_version"]),
            locked=value["locked"],
            files=files,
            bars=bars,
            digest=value["digest"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise EvidenceRefusedError(f"{path}: incomplete: {error}") from None


def changes_since(lock: SuiteLock, *, files: Mapping[str, str], bars: Mapping[str, Any]) -> tuple[str, ...]:
    """Everything that is not as it was locked, a line each; empty when nothing changed."""
    return (*_changed_files(lock.files, files), *_changed_values(lock.bars, bars, ""))


def _changed_files(locked: Mapping[str, str], files: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(locked.keys() | files.keys()):
        if name not in files:
            yield f"{name}: in the lock, and no longer part of the suite (SHA-256 {locked[name][:16]})"
        elif name not in locked:
            yield f"{name}: part of the suite, and not in the lock (SHA-256 {files[name][:16]})"
        elif locked[name] != files[name]:
            yield f"{name}: changed (SHA-256 {files[name][:16]}, locked {locked[name][:16]})"


def _changed_values(locked: Any, now: Any, where: str) -> Iterator[str]:
    if isinstance(locked, Mapping) and isinstance(now, Mapping):
        for key in sorted(locked.keys() | now.keys()):
            yield from _changed_values(locked.get(key), now.get(key), f"{where}.{key}" if where else key)
    elif isinstance(locked, list) and isinstance(now, list) and len(locked) == len(now):
        for index, (before, after) in enumerate(zip(locked, now, strict=True)):
            yield from _changed_values(before, after, f"{where}.{index}")
    elif locked != now:
        yield f"{where}: {_shown(now)}, locked {_shown(locked)}"


def _shown(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
        return ", ".join(str(item.get("kind", item)) for item in value) or "none"
    return "nothing" if value is None else str(value)
