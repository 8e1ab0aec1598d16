"""Read rows strictly from JSON Lines, JSON arrays and raw text: the bytes that are hashed are those that are parsed."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import InvalidInputError
from harness.limits import FILE_BYTES, FILE_LINES, FILE_ROWS, ROW_BYTES, read_within
from harness.strict_json import StrictJsonError, parse

MAX_PROBLEMS_SHOWN = 20
MAX_PROBLEMS_FOUND = 1000  # in one file; it is not read on
JSON_LINES = "JSON Lines"

_BOM = b"\xef\xbb\xbf"
_NOT_SPACE = re.compile(r"[^ \t\r\n]")
_LENIENT = json.JSONDecoder()  # finds where a row of an array ends; the row is then parsed strictly


@dataclass(frozen=True, slots=True)
class Row:
    """One JSON object of a file, and where it stands as "train.jsonl:482"."""

    where: str
    value: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """The rows of one file, the SHA-256 of its bytes as they lie on disk, and what kind of file it is."""

    path: Path
    digest: str
    rows: tuple[Row, ...]
    container: str = JSON_LINES
    renamed: frozenset[str] = frozenset()  # the columns that the suite's `data.columns` took


def read_json_lines(path: Path) -> Source:
    """Read one JSON object a line, split on "\\n" only; empty lines are passed over.

    Raises:
        InvalidInputError: naming file and line of each problem (the first 20), or when the file cannot be read.
    """
    content = read_limited(path)
    return Source(path=path, digest=hashlib.sha256(content).hexdigest(), rows=rows_of_lines(content, path.name))


def rows_of_lines(content: bytes, name: str) -> tuple[Row, ...]:
    """The rows of JSON Lines; `name` is the file's in messages.

    Raises:
        InvalidInputError: naming file and line of each problem (the first 20).
    """
    _refuse_utf16(content, name)
    rows: list[Row] = []
    problems: list[str] = []
    for number, line in enumerate(_lines(content, name), start=1):
        where = f"{name}:{number}"
        try:
            rows.extend(_parse_line(line, where))
        except ValueError as error:
            problems.append(f"{where}: {error}")
        refuse_many_rows(rows, where)
        if len(problems) == MAX_PROBLEMS_FOUND:
            break
    raise_problems(problems)
    return tuple(rows)


def _lines(content: bytes, name: str) -> Iterator[bytes]:
    _refuse_many_lines(content.count(b"\n"), name)
    begin = 0
    while (end := content.find(b"\n", begin)) >= 0:
        yield content[begin:end]
        begin = end + 1
    yield content[begin:]


def _refuse_many_lines(lines: int, name: str) -> None:
    if lines > FILE_LINES:
        raise InvalidInputError(f"{name}:{FILE_LINES + 1}: over {FILE_LINES:,} lines; split the file")


def refuse_many_rows(rows: Sequence[Row], where: str) -> None:
    """Refuse a file that has more rows than a set may have; `where` is that of the last one read."""
    if len(rows) > FILE_ROWS:
        raise InvalidInputError(f"{where}: over {FILE_ROWS:,} rows; split the file")


def rows_of_json(content: bytes, name: str) -> tuple[Row, ...]:
    """The rows of one JSON array of objects, each with the line where it begins; else those of JSON Lines.

    Raises:
        InvalidInputError: naming file and line of each problem (the first 20).
    """
    text = decode(content, name)
    at = _skip(text, 0)
    if not text.startswith("[", at):
        return rows_of_lines(content, name)
    rows: list[Row] = []
    problems: list[str] = []
    at, line, counted = _skip(text, at + 1), 1, 0
    closed = text.startswith("]", at)
    while not closed and len(problems) < MAX_PROBLEMS_FOUND:
        line, counted = line + text.count("\n", counted, at), at
        try:
            end = _end_of_value(text, at)
        except StrictJsonError as error:  # what follows cannot be told apart into rows
            problems.append(_not_json(error, f"{name}:{line + error.line - 1}"))
            break
        try:
            rows.append(Row(where=f"{name}:{line}", value=_parse_element(text[at:end])))
        except StrictJsonError as error:
            problems.append(_not_json(error, f"{name}:{line + error.line - 1}"))
        except ValueError as error:
            problems.append(f"{name}:{line}: {error}")
        refuse_many_rows(rows, f"{name}:{line}")
        at = _skip(text, end)
        closed = not text.startswith(",", at)
        if not closed:
            at = _skip(text, at + 1)
    if closed and not text.startswith("]", at):
        line += text[counted:at].rstrip().count("\n")
        problems.append(f"{name}:{line}: not valid JSON: a comma or the end of the array is missing after this row")
    elif closed and (after := _skip(text, at + 1)) != len(text):
        line += text.count("\n", counted, after)
        problems.append(f"{name}:{line}: not valid JSON: something follows the end of the array")
    raise_problems(problems)
    return tuple(rows)


def rows_of_text(content: bytes, name: str) -> tuple[Row, ...]:
    """The paragraphs of raw text, which empty lines part, as {"text"} rows with the line where each begins.

    Raises:
        InvalidInputError: it is not UTF-8, or has too many paragraphs, or too long a one.
    """
    rows: list[Row] = []
    paragraph: list[str] = []
    for number, line in enumerate([*decode(content, name).replace("\r\n", "\n").split("\n"), ""], start=1):
        if line.strip():
            paragraph.append(line)
        elif paragraph:
            where, text = f"{name}:{number - len(paragraph)}", "\n".join(paragraph)
            if len(text.encode("utf-8")) > ROW_BYTES:
                raise InvalidInputError(f"{where}: the paragraph is over {ROW_BYTES:,} bytes")
            rows.append(Row(where=where, value={"text": text}))
            refuse_many_rows(rows, where)
            paragraph = []
    return tuple(rows)


def read_limited(path: Path, most: int = FILE_BYTES) -> bytes:
    """The bytes of a declared input file.

    Raises:
        InvalidInputError: when it is missing, unreadable, no regular file or over `most` bytes.
    """
    try:
        return read_within(path, most)
    except OSError as error:
        split = "; split the file" if error.errno == errno.EFBIG else ""
        raise InvalidInputError(f"{path}: cannot be read: {error.strerror}{split}") from None


def unpack(content: bytes, name: str) -> bytes:
    """The bytes that gzip packed.

    Raises:
        InvalidInputError: they are damaged, end early, or are over 1 GiB; with the line up to which they could be read.
    """
    size = lines = 0
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
        try:
            while part := stream.read1(1 << 16):  # measured first, so that nothing too large is ever held
                size, lines = size + len(part), lines + part.count(b"\n")
                if size > FILE_BYTES:
                    raise InvalidInputError(f"{name}: over {FILE_BYTES:,} bytes when unpacked; split the file")
        except (OSError, EOFError, zlib.error) as error:
            raise InvalidInputError(f"{name}:{lines + 1}: not whole gzip data: {error}") from None
    _refuse_many_lines(lines, name)
    return gzip.decompress(content)


def decode(content: bytes, name: str) -> str:
    """The text of a UTF-8 file, without a byte order mark.

    Raises:
        InvalidInputError: with the line of the first byte that is not UTF-8, or that is one too many.
    """
    _refuse_many_lines(content.count(b"\n"), name)
    _refuse_utf16(content, name)
    content = content.removeprefix(_BOM)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        raise InvalidInputError(f"{name}:{line}: not UTF-8 at byte {column} of the line") from None


def raise_problems(problems: list[str]) -> None:
    """Refuse with all problems in one message, the first 20 in full."""
    if problems:
        more = len(problems) - MAX_PROBLEMS_SHOWN
        shown = problems[:MAX_PROBLEMS_SHOWN] + ([f"... and {more} more"] if more > 0 else [])
        raise InvalidInputError("\n".join(shown))


def _parse_line(line: bytes, where: str) -> Iterator[Row]:
    if len(line) > ROW_BYTES:
        raise ValueError(f"the line is over {ROW_BYTES:,} bytes")
    try:
        text = line.removeprefix(_BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start + 1} of the line") from None
    if not text.strip(" \t\r"):
        return
    try:
        yield Row(where=where, value=_parse_row(text))
    except StrictJsonError as error:
        raise ValueError(f"not valid JSON at column {error.column}: {error.problem}") from None


def _parse_element(text: str) -> dict[str, Any]:
    if len(text.encode("utf-8")) > ROW_BYTES:
        raise ValueError(f"the row is over {ROW_BYTES:,} bytes")
    return _parse_row(text)


def _parse_row(text: str) -> dict[str, Any]:
    value = parse(text)
    if not isinstance(value, dict):
        hint = "; a file that is one JSON array is named .json" if isinstance(value, list) else ""
        raise ValueError(f"a row must be a JSON object, not {_json_type(value)}{hint}")
    return value


def _json_type(value: Any) -> str:
    names = {bool: "a boolean", str: "a string", list: "an array", type(None): "null"}
    return names.get(type(value), "a number")


def _end_of_value(text: str, at: int) -> int:
    """Where the JSON value that begins at `at` ends; StrictJsonError when it does not."""
    try:
        return int(_LENIENT.raw_decode(text, at)[1])
    except (ValueError, RecursionError):
        parse(text[at:])  # says what and where
        raise


def _not_json(error: StrictJsonError, where: str) -> str:
    return f"{where}: not valid JSON: {error.problem}"


def _skip(text: str, at: int) -> int:
    found = _NOT_SPACE.search(text, at)
    return found.start() if found else len(text)


def _refuse_utf16(content: bytes, name: str) -> None:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InvalidInputError(f"{name}:1: not UTF-8 but UTF-16; save it as UTF-8")
