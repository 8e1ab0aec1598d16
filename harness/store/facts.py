"""Records to JSON and back, strictly: what does not fit the record is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from harness.errors import BrokenRunError
from harness.limits import FILE_BYTES, read_within
from harness.strict_json import StrictJsonError, parse

T = TypeVar("T")


_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}


def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def to_plain(record: Any) -> Any:
    """A record as JSON-ready dictionaries and lists."""
    return _adapter(type(record)).dump_python(record, mode="json")


def from_plain(kind: type[T], value: Any, where: str) -> T:
    """A record from parsed JSON.

    Raises:
        BrokenRunError: naming `where` and the first field that does not fit.
    """
    try:
        record: T = _adapter(kind).validate_python(value)
        return record
    except (ValidationError, ValueError, TypeError) as error:
        detail = str(error)
        if isinstance(error, ValidationError):
            first = error.errors(include_url=False)[0]
            detail = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise BrokenRunError(f"{where}: not what this version wrote: {detail}") from None


def read_record(kind: type[T], path: Path) -> T:
    """One record from a JSON file."""
    return from_plain(kind, read_json(path), str(path))


def read_json(path: Path) -> Any:
    """A JSON file, strictly; BrokenRunError when it is missing or damaged."""
    try:
        return parse(read_within(path, FILE_BYTES).decode("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BrokenRunError(f"{path}: cannot be read: {error}") from None
    except StrictJsonError as error:
        raise BrokenRunError(f"{path}: not valid JSON: {error}") from None


def read_records(kind: type[T], path: Path) -> tuple[T, ...]:
    """Records from a JSON Lines file, one a line."""
    try:
        lines = read_within(path, FILE_BYTES).split(b"\n")
    except OSError as error:
        raise BrokenRunError(f"{path}: cannot be read: {error}") from None
    records = []
    for number, line in enumerate(lines, start=1):
        if line:
            try:
                value = parse(line.decode("utf-8"))
            except (UnicodeDecodeError, StrictJsonError) as error:
                raise BrokenRunError(f"{path}:{number}: not valid JSON: {error}") from None
            records.append(from_plain(kind, value, f"{path}:{number}"))
    return tuple(records)
