"""Read the rows of CSV, by RFC 4180; an empty cell is a key that the row does not have."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from harness.data.sources import MAX_PROBLEMS_FOUND, Row, decode, raise_problems, refuse_many_rows
from harness.limits import ROW_BYTES
from harness.strict_json import StrictJsonError, parse

CSV = "CSV"
JSON_CELLS = ("messages", "conversations", "history")  # a format knows these as lists only, which CSV cannot write


def rows_of_csv(content: bytes, name: str) -> tuple[Row, ...]:
    """The rows under a header line, with the line where each begins; all cells are text.

    Raises:
        InvalidInputError: naming file and line of each problem (the first 20).
    """
    csv.field_size_limit(ROW_BYTES)  # of this process, and by default too little for a long text
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
            if header is None or len(problems) == MAX_PROBLEMS_FOUND:
                break
        refuse_many_rows(rows, where)
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
        return f"a cell is over {ROW_BYTES:,} characters; is a quote never closed?"
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
    if len("".join(cells).encode()) > ROW_BYTES:
        raise ValueError(f"the row is over {ROW_BYTES:,} bytes")
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
