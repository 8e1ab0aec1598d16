"""Rename the columns of a file to the keys of a format, as the suite's `data.columns` says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.data.sources import Row, raise_problems

Columns = Mapping[str, str | Sequence[str]]  # key -> the column that it is called in the file, or several


def columns_taken(columns: Columns) -> frozenset[str]:
    """Every column that is renamed."""
    return frozenset(column for named in columns.values() for column in _listed(named))


def original_columns(rows: Sequence[Row], columns: Columns, renamed: frozenset[str]) -> tuple[str, ...]:
    """What a file called its columns before those `renamed` were; they come last."""
    made = {key for key, named in columns.items() if not renamed.isdisjoint(_listed(named))}
    kept = dict.fromkeys(key for row in rows for key in row.value if key not in made)
    return (*kept, *sorted(renamed))


def rename_columns(rows: tuple[Row, ...], columns: Columns) -> tuple[Row, ...]:
    """Each row under the keys of a format; a column that a row does not have is passed over.

    Columns under `meta` are dropped, as remarks are; those under `tags` become one list.

    Raises:
        InvalidInputError: naming file and line of each row that has a key already, or whose tag is not text.
    """
    taken = columns_taken(columns)
    renamed: list[Row] = []
    problems: list[str] = []
    for row in rows:
        try:
            renamed.append(Row(where=row.where, value=_rename(row.value, columns, taken)))
        except ValueError as error:
            problems.append(f"{row.where}: {error}")
    raise_problems(problems)
    return tuple(renamed)


def _rename(value: dict[str, Any], columns: Columns, taken: frozenset[str]) -> dict[str, Any]:
    if taken.isdisjoint(value):
        return value
    renamed = {key: item for key, item in value.items() if key not in taken}
    for key, named in columns.items():
        present = [column for column in _listed(named) if column in value]
        if not present or key == "meta":
            continue
        if key in renamed:
            raise ValueError(f"`data.columns` makes `{present[0]}` the `{key}`, and the row has a `{key}` of its own")
        renamed[key] = list(_tags(value, present)) if key == "tags" else value[present[0]]
    return renamed


def _tags(value: dict[str, Any], columns: list[str]) -> Iterator[str]:
    for column in columns:
        found = value[column]
        for tag in found if isinstance(found, list) else [found]:
            if not isinstance(tag, str):
                raise ValueError(f"`{column}` must be text to be a tag, not {tag!r}")
            yield tag


def _listed(named: str | Sequence[str]) -> Sequence[str]:
    return [named] if isinstance(named, str) else named
