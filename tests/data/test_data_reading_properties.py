"""Whatever a file holds, it is read or refused; and what was written is what is read."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import pytest
from broken_files import BROKEN, ODD, table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.data.formats import to_examples
from harness.data.reading import read_rows
from harness.errors import InvalidInputError

ENDINGS = [".jsonl", ".json", ".csv", ".parquet", ".txt", ".jsonl.gz"]
SMALL = [file.content for file in (*BROKEN, *ODD) if len(file.content) < 5000]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: bool(text.strip()))
PAIRS = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=8)
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A file of the corpus with a few bytes changed, left out or put in."""
    content = bytearray(draw(st.sampled_from(SMALL)))
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(content)))
        content[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(content)


@pytest.mark.parametrize("ending", ENDINGS)
@given(content=st.binary(max_size=200) | damaged())
@QUICK
def test_any_bytes_are_read_or_refused_by_name(content: bytes, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"rows{ending}"
    path.write_bytes(content)
    try:
        to_examples(read_rows(path), labelled=False)
    except InvalidInputError as error:
        assert str(error).startswith(f"rows{ending}:")


def as_csv(rows: list[dict[str, str]]) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, ["prompt", "completion"])
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()


WRITERS = {
    ".jsonl": lambda rows: "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode(),
    ".ascii.jsonl": lambda rows: "\n".join(map(json.dumps, rows)).encode(),
    ".json": lambda rows: json.dumps(rows, indent=1).encode(),
    ".json.gz": lambda rows: gzip.compress(json.dumps(rows, ensure_ascii=False).encode()),
    ".csv": as_csv,
    ".parquet": lambda rows: table(*rows),
}


@pytest.mark.parametrize("ending", WRITERS)
@given(pairs=PAIRS)
@QUICK
def test_every_container_gives_back_what_was_written(pairs: list[tuple[str, str]], ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"rows{ending}"
    path.write_bytes(WRITERS[ending]([{"prompt": prompt, "completion": completion} for prompt, completion in pairs]))
    found = to_examples(read_rows(path), labelled=True)
    assert [(row.messages[0].content, row.target) for row in found] == pairs
