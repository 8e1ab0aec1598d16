"""Read JSON Lines strictly: the bytes that are hashed are the bytes that are parsed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import InvalidInputError
from harness.strict_json import StrictJsonError, parse

MAX_FILE_BYTES = 1 << 30
MAX_LINE_BYTES = 4 << 20
MAX_PROBLEMS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Row:
    """One JSON object of a file, and where it stands as "train.jsonl:482"."""

    where: str
    value: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """The rows of one file and the SHA-256 of its bytes."""

    path: Path
    digest: str
    rows: tuple[Row, ...]


def read_json_lines(path: Path) -> Source:
    """Read one JSON object a line, split on "\\n" only; empty lines are passed over.

    Raises:
        InvalidInputError: naming file and line of each problem (the first 20), or when the file cannot be read.
    """
    content = read_limited(path)
    rows: list[Row] = []
    problems: list[str] = []
    for number, line in enumerate(content.split(b"\n"), start=1):
        where = f"{path.name}:{number}"
        try:
            rows.extend(_parse_line(line, where))
        except ValueError as error:
            problems.append(f"{where}: {error}")
    raise_problems(problems)
    return Source(path=path, digest=hashlib.sha256(content).hexdigest(), rows=tuple(rows))


def read_limited(path: Path) -> bytes:
    """The bytes of a declared input file.

    Raises:
        InvalidInputError: when it is missing, unreadable or over 1 GiB.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InvalidInputError(f"{path}: over {MAX_FILE_BYTES:,} bytes; split the file")
        return path.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"{path}: cannot be read: {error.strerror}") from None


def raise_problems(problems: list[str]) -> None:
    """Refuse with all problems in one message, the first 20 in full."""
    if problems:
        more = len(problems) - MAX_PROBLEMS_SHOWN
        shown = problems[:MAX_PROBLEMS_SHOWN] + ([f"... and {more} more"] if more > 0 else [])
        raise InvalidInputError("\n".join(shown))


def _parse_line(line: bytes, where: str) -> Iterator[Row]:
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(f"the line is over {MAX_LINE_BYTES:,} bytes")
    if line.startswith(b"\xef\xbb\xbf"):
        line = line[3:]
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start + 1}") from None
    if not text.strip(" \t\r"):
        return
    try:
        value = parse(text)
    except StrictJsonError as error:
        raise ValueError(f"not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"a row must be a JSON object, not {type(value).__name__}")
    yield Row(where=where, value=value)
