"""Read the rows that a suite declares: a file, whose name says what it is, or a data set on the hub."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath

from harness.data.columns import Columns, columns_taken, rename_columns
from harness.data.hub import Fetch, fetch_snapshot, find_files
from harness.data.parquet import PARQUET, rows_of_parquet
from harness.data.sources import (
    JSON_LINES,
    Row,
    Source,
    read_limited,
    rows_of_json,
    rows_of_lines,
    rows_of_text,
    unpack,
)
from harness.data.tables import CSV, parse_cells, rows_of_csv
from harness.suite.declaration import HubRows, RowsRef
from harness.suite.load import LoadedSuite

PACKED = ".gz"
# How a file is read by the end of its name; any other is JSON Lines.
KINDS: Mapping[str, tuple[str, Callable[[bytes, str], tuple[Row, ...]]]] = {
    ".csv": (CSV, rows_of_csv),
    ".json": ("JSON", rows_of_json),
    ".parquet": (PARQUET, rows_of_parquet),
    ".txt": ("text", rows_of_text),
}


def read_declared(loaded: LoadedSuite, declared: RowsRef) -> Source:
    """The rows of a file or hub data set as the suite declares it, its columns renamed.

    Raises:
        InvalidInputError: naming file and line of each problem (the first 20), or when it cannot be read.
        BrokenRunError: the hub cannot be reached.
    """
    columns = loaded.suite.data.columns.named
    if isinstance(declared, HubRows):
        return read_hub(declared, columns, fetch_snapshot)
    return read_rows(loaded.resolve(declared), columns)


def read_rows(path: Path, columns: Columns | None = None, *, name: str | None = None) -> Source:
    """The rows of a file, its columns renamed; `name` is the file's in messages, by default its own.

    Raises:
        InvalidInputError: naming file and line of each problem (the first 20), or when the file cannot be read.
    """
    content, name = read_limited(path), name or path.name
    digest = hashlib.sha256(content).hexdigest()
    suffixes = [suffix.lower() for suffix in PurePath(name).suffixes] or [""]
    if suffixes[-1] == PACKED:
        content = unpack(content, name)
        suffixes = suffixes[:-1] or [""]
    container, read = KINDS.get(suffixes[-1], (JSON_LINES, rows_of_lines))
    rows = read(content, name)
    columns = columns or {}
    renamed = columns_taken(columns).intersection(key for row in rows for key in row.value) if columns else frozenset()
    if renamed:
        rows = rename_columns(rows, columns)
    if container == CSV:
        rows = parse_cells(rows)
    return Source(path=path, digest=digest, rows=rows, container=container, renamed=renamed)


def read_hub(declared: HubRows, columns: Columns, fetch: Fetch) -> Source:
    """The rows of one split of a hub data set; its digest is over the names and the digests of its files.

    Raises:
        InvalidInputError: naming file and line of each problem, or when there is no such split.
        BrokenRunError: the hub cannot be reached.
    """
    folder, files = find_files(declared, fetch)
    parts = [read_rows(folder / file, columns, name=f"{declared.hub}/{file}") for file in files]
    digests = "".join(f"{part.digest}  {file}\n" for part, file in zip(parts, files, strict=True))
    return Source(
        path=folder,
        digest=hashlib.sha256(digests.encode("utf-8")).hexdigest(),
        rows=tuple(row for part in parts for row in part.rows),
        container=" and ".join(dict.fromkeys(part.container for part in parts)),
        renamed=frozenset[str]().union(*(part.renamed for part in parts)),
    )
