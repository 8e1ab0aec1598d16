"""Read the rows of tables, CSV by RFC 4180 and Parquet; an empty cell is a key that the row does not have."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from harness.data.sources import MAX_FILE_BYTES, MAX_ROW_BYTES, Row, decode, raise_problems
from harness.errors import InvalidInputError
from harness.strict_json import StrictJsonError, parse

CSV, PARQUET = "CSV", "Parquet"
JSON_CELLS = ("messages", "conversations", "history")  # a format knows these as lists only, which CSV cannot write
ROWS_AT_ONCE = 1000


def rows_of_csv(content: bytes, name: str) -> tuple[Row, ...]:
    """The rows under a header line, with the line where each begins; all cells are text.

    Raises:
        InvalidInputError: naming file and line of each problem (the first 20).
    """
    csv.field_size_limit(MAX_ROW_BYTES)  # of this process, and by default too little for a long text
    # Only "\\n" ends a line, so that the line numbers are an editor's.
    reader = csv.reader(io.StringIO(decode(content, name), newline="\n"), strict=True)
    header: list[str] | None = None
    rows: list[Row] = []
    problems: list[str] = []
    for where, cells in _records(reader, name, problems):
        try:
            if header is None:
                header = _header(cells)
            else:
                rows.append(Row(where=where, value=_row(header, cells)))
        except ValueError as error:
            problems.append(f"{where}: {error}")
            if header is None:
                break
    raise_problems(problems)
    return tuple(rows)


def _records(reader: Any, name: str, problems: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Each record that is not an empty line, and where it begins; ends at the first that is not CSV."""
    while True:
        where = f"{name}:{reader.line_num + 1}"
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problems.append(f"{where}: not valid CSV: {_in_words(str(error))}")
            return
        if cells:
            yield where, cells


def _in_words(problem: str) -> str:
    """What the csv module means."""
    if problem.startswith("unexpected end of data"):
        return "a quote that opens in this row is never closed"
    if problem.startswith("new-line character"):
        return "a carriage return stands outside quotes; lines end with \\n or \\r\\n"
    if problem.startswith("field larger"):
        return f"a cell is over {MAX_ROW_BYTES:,} characters; is a quote never closed?"
    return f"{problem}; a quote inside a quoted cell is doubled"


def _header(cells: list[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    if len(names) == 1 and (other := next((mark for mark in (";", "\t", "|") if mark in names[0]), None)):
        raise ValueError(f"the header is one column, {names[0]!r}; cells are parted by commas, not by {other!r}")
    for number, column in enumerate(names, start=1):
        if not column:
            raise ValueError(f"column {number} of the header has no name; pandas writes one without `index=False`")
        if column in names[: number - 1]:
            raise ValueError(f"the column {column!r} is given twice")
    return names


def _row(header: list[str], cells: list[str]) -> dict[str, Any]:
    if len(cells) != len(header):
        raise ValueError(f"{len(cells)} cells, and the header has {len(header)} columns")
    if sum(map(len, cells)) > MAX_ROW_BYTES:
        raise ValueError(f"the row is over {MAX_ROW_BYTES:,} bytes")
    return {column: cell for column, cell in zip(header, cells, strict=True) if cell}


def parse_cells(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """Rows of text cells with the lists that a format wants: conversations from JSON, a tag by itself.

    Raises:
        InvalidInputError: naming file and line of each cell that is not JSON.
    """
    problems: list[str] = []
    for row in rows:
        for key in JSON_CELLS:
            if key in row.value:
                try:
                    row.value[key] = parse(row.value[key])
                except StrictJsonError as error:
                    problems.append(f"{row.where}: `{key}` must be JSON in CSV: {error}")
        if isinstance(tag := row.value.get("tags"), str):
            row.value["tags"] = [tag]
    raise_problems(problems)
    return rows


def rows_of_parquet(content: bytes, name: str) -> tuple[Row, ...]:
    """The rows of a Parquet file, counted from 1.

    Raises:
        InvalidInputError: it is not Parquet, or is over 1 GiB when unpacked; or naming each row that is not UTF-8.
    """
    try:
        import pyarrow as pa  # type: ignore[import-untyped]
        import pyarrow.parquet as pq  # type: ignore[import-untyped]
    except ImportError:
        raise InvalidInputError(f"{name}: Parquet needs pyarrow, which is not installed: pip install pyarrow") from None
    rows: list[Row] = []
    size = 0
    try:
        table = pq.ParquetFile(pa.BufferReader(content))
        columns = table.schema_arrow.names
        if twice := next((column for column in columns if columns.count(column) > 1), None):
            raise InvalidInputError(f"{name}: the column {twice!r} is given twice")
        for batch in table.iter_batches(batch_size=ROWS_AT_ONCE):
            size += batch.nbytes
            if size > MAX_FILE_BYTES:
                raise InvalidInputError(f"{name}: over {MAX_FILE_BYTES:,} bytes when unpacked; split the file")
            values = _values(batch, name, len(rows))
            rows += [Row(where=f"{name}:{number}", value=value) for number, value in enumerate(values, len(rows) + 1)]
    except (pa.ArrowException, OSError) as error:
        raise InvalidInputError(f"{name}: not whole Parquet data: {str(error).splitlines()[0]}") from None
    return tuple(rows)


def _values(batch: Any, name: str, before: int) -> list[dict[str, Any]]:
    """The rows of a batch, which stand behind `before` others."""
    try:
        values = [_without_nulls(value) for value in batch.to_pylist()]
    except UnicodeDecodeError:
        raise_problems([f"{name}:{before + n}: a text is not UTF-8" for n, row in _single(batch) if not _is_utf8(row)])
        raise
    if batch.nbytes > MAX_ROW_BYTES:
        over = f"the row is over {MAX_ROW_BYTES:,} bytes"
        raise_problems([f"{name}:{before + n}: {over}" for n, row in _single(batch) if row.nbytes > MAX_ROW_BYTES])
    return values


def _single(batch: Any) -> Iterator[tuple[int, Any]]:
    return ((index + 1, batch.slice(index, 1)) for index in range(batch.num_rows))


def _is_utf8(row: Any) -> bool:
    try:
        row.to_pylist()
    except UnicodeDecodeError:
        return False
    return True


def _without_nulls(value: Any) -> Any:
    """A value without the keys that a table must give to every row, though this one does not have them."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value
