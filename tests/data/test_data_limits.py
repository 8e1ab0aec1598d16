"""A file over a limit is refused by its name and line, before much of it is held; at the limit it is read."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.data.reading import read_rows
from harness.data.sources import refuse_many_rows
from harness.errors import InvalidInputError
from harness.limits import FILE_BYTES, FILE_LINES, FILE_ROWS, ROW_BYTES, read_within


def refusal(path: Path) -> str:
    with pytest.raises(InvalidInputError) as caught:
        read_rows(path)
    return str(caught.value).splitlines()[0]


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.json.gz", "a.csv.gz", "a.txt.gz"])
def test_a_packed_file_of_too_many_lines_is_refused_before_it_is_unpacked(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(gzip.compress(b"\n" * (FILE_LINES + 1), 1))
    assert refusal(tmp_path / name) == f"{name}:5000001: over 5,000,000 lines; split the file"


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.txt"])
def test_a_file_of_too_many_lines_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\n" * (FILE_LINES + 1))
    assert refusal(tmp_path / name) == f"{name}:5000001: over 5,000,000 lines; split the file"


def test_empty_lines_up_to_the_limit_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"prompt": "a"}' + b"\n" * 100_000)
    assert len(read_rows(tmp_path / "a.jsonl").rows) == 1


def test_a_million_rows_may_be_and_one_more_may_not() -> None:
    refuse_many_rows(range(FILE_ROWS), "a.jsonl:1000000")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match=r"a\.jsonl:1000001: over 1,000,000 rows; split the file"):
        refuse_many_rows(range(FILE_ROWS + 1), "a.jsonl:1000001")  # type: ignore[arg-type]


def test_a_file_that_is_too_large_is_never_read(tmp_path: Path) -> None:
    with (tmp_path / "a.jsonl").open("wb") as stream:
        stream.truncate(FILE_BYTES + 1)
    assert refusal(tmp_path / "a.jsonl").endswith("cannot be read: over 1,073,741,824 bytes; split the file")


def test_a_packed_file_that_is_too_large_is_never_held(tmp_path: Path) -> None:
    block = gzip.compress(b" " * (1 << 26), 9)
    (tmp_path / "a.jsonl.gz").write_bytes(block * 17)
    assert refusal(tmp_path / "a.jsonl.gz") == "a.jsonl.gz: over 1,073,741,824 bytes when unpacked; split the file"


def write(path: Path, columns: dict[str, Any]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def shared(text: str, rows: int) -> Any:
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, type=pa.int32()), pa.array([text]))


def test_a_text_that_many_rows_of_parquet_share_is_held_once(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"prompt": shared("a" * 4_000_000, 250)})
    assert path.stat().st_size < 1_000_000
    texts = [row.value["prompt"] for row in read_rows(path).rows]
    assert len(texts) == 250 and len({id(text) for text in texts}) <= 4  # once for each part that is read
    path = write(tmp_path / "b.parquet", {"prompt": shared("a" * 4_000_000, 300)})
    assert refusal(path) == "b.parquet: over 1,073,741,824 bytes when unpacked; split the file"


def test_a_row_of_parquet_that_is_too_long_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"prompt": shared("a" * (ROW_BYTES + 1), 3)})
    assert refusal(path) == "a.parquet:1: the row is over 4,194,304 bytes"
    path = write(tmp_path / "b.parquet", {"prompt": ["a" * (20 * ROW_BYTES), "b"]})
    assert refusal(path) == "b.parquet: rows of over 4,194,304 bytes"


def test_a_row_of_csv_is_measured_in_bytes(tmp_path: Path) -> None:
    half = "é" * (ROW_BYTES // 4)
    (tmp_path / "a.csv").write_text(f"prompt,completion\n{half},{half}\n", encoding="utf-8")
    assert len(read_rows(tmp_path / "a.csv").rows) == 1
    (tmp_path / "b.csv").write_text(f"prompt,completion\n{half},{half}a\n", encoding="utf-8")
    assert refusal(tmp_path / "b.csv") == "b.csv:2: the row is over 4,194,304 bytes"


def test_a_paragraph_has_the_limit_of_a_row(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("short\n\n" + "long " * (ROW_BYTES // 5 + 1))
    assert refusal(tmp_path / "a.txt") == "a.txt:3: the paragraph is over 4,194,304 bytes"


def test_the_first_twenty_of_very_many_problems_are_told_and_reading_ends(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"x\n" * 1_000_000)
    with pytest.raises(InvalidInputError) as caught:
        read_rows(tmp_path / "a.jsonl")
    lines = str(caught.value).splitlines()
    assert (len(lines), lines[-1]) == (21, "... and 980 more")


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(OSError, match="not a regular file"):
            read_within(path, 100)


def test_a_file_of_exactly_the_limit_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100)
    assert read_within(tmp_path / "a", 100) == b"x" * 100
    with pytest.raises(OSError, match="over 99 bytes"):
        read_within(tmp_path / "a", 99)
