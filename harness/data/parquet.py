"""Read the rows of a Parquet file; an empty cell is a key that the row does not have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from harness.data.sources import Row, raise_problems, refuse_many_rows
from harness.errors import InvalidInputError
from harness.limits import FILE_BYTES, ROW_BYTES

PARQUET = "Parquet"
ROWS_AT_ONCE = 64


def rows_of_parquet(content: bytes, name: str) -> tuple[Row, ...]:
    """The rows of a Parquet file, counted from 1.

    Raises:
        InvalidInputError: it is not Parquet, or is over 1 GiB when unpacked; or naming each row that is not UTF-8.
    """
    import pyarrow as pa  # type: ignore[import-untyped]

    rows: list[Row] = []
    size = 0
    try:
        for batch in _batches(content, name):
            sizes = _row_sizes(batch)
            over = [n for n, bytes_of_row in enumerate(sizes, len(rows) + 1) if bytes_of_row > ROW_BYTES]
            raise_problems([f"{name}:{n}: the row is over {ROW_BYTES:,} bytes" for n in over])
            size += sum(sizes)
            if size > FILE_BYTES:
                raise _too_large(name)
            values = _values(batch, name, len(rows))
            rows += [Row(where=f"{name}:{number}", value=value) for number, value in enumerate(values, len(rows) + 1)]
            refuse_many_rows(rows, f"{name}:{len(rows)}")
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last at the name of a column
        raise InvalidInputError(f"{name}: not whole Parquet data: {str(error).splitlines()[0]}") from None
    return tuple(rows)


def _batches(content: bytes, name: str) -> Iterator[Any]:
    """Some rows at a time; a text that many rows share is there once, else a small file could fill the memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    columns = pq.read_schema(pa.BufferReader(content))
    if twice := next((column for column in columns.names if columns.names.count(column) > 1), None):
        raise InvalidInputError(f"{name}: the column {twice!r} is given twice")
    shared = [field.name for field in columns if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)]
    table = pq.ParquetFile(pa.BufferReader(content), read_dictionary=shared)
    groups = [table.metadata.row_group(number) for number in range(table.num_row_groups)]
    if sum(group.total_byte_size for group in groups) > FILE_BYTES:
        raise _too_large(name)
    if any(group.total_byte_size > (group.num_rows + 1) * ROW_BYTES for group in groups):
        raise InvalidInputError(f"{name}: rows of over {ROW_BYTES:,} bytes")
    yield from table.iter_batches(batch_size=ROWS_AT_ONCE)


def _too_large(name: str) -> InvalidInputError:
    return InvalidInputError(f"{name}: over {FILE_BYTES:,} bytes when unpacked; split the file")


def _is_shared(column: Any) -> bool:
    return hasattr(column, "dictionary")


def _row_sizes(batch: Any) -> list[int]:
    """Bytes of each row, as if it were alone."""
    import pyarrow.compute as pc  # type: ignore[import-untyped]

    sizes = [0] * batch.num_rows
    plain = batch.select([number for number, column in enumerate(batch.columns) if not _is_shared(column)])
    if plain.nbytes > ROW_BYTES:
        sizes = [plain.slice(index, 1).nbytes for index in range(batch.num_rows)]
    for column in batch.columns:
        if _is_shared(column):
            lengths = pc.binary_length(column.dictionary).take(column.indices).to_pylist()
            sizes = [size + (length or 0) for size, length in zip(sizes, lengths, strict=True)]
    return sizes


def _values(batch: Any, name: str, before: int) -> list[dict[str, Any]]:
    """The rows of a batch, which stand behind `before` others."""
    try:
        columns = [_column(column) for column in batch.columns]
    except UnicodeDecodeError:
        single = ((index + 1, batch.slice(index, 1)) for index in range(batch.num_rows))
        raise_problems([f"{name}:{before + n}: a text is not UTF-8" for n, row in single if not _is_utf8(row)])
        raise
    names = batch.schema.names
    return [_without_nulls(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]


def _column(column: Any) -> Sequence[Any]:
    if not _is_shared(column):
        return list(column.to_pylist())
    places = column.indices.unique()
    texts = dict(zip(places.to_pylist(), column.dictionary.take(places).to_pylist(), strict=True))
    return [texts[place] for place in column.indices.to_pylist()]


def _is_utf8(row: Any) -> bool:
    try:
        for column in row.columns:
            _column(column)
    except UnicodeDecodeError:
        return False
    return True


def _without_nulls(value: Any) -> Any:
    """A value without the keys that a table must give to every row, though this one does not have them."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value
