"""What a file holds is told from its rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.data.formats import describe, detect
from harness.data.reading import read_rows

CHAT = [{"role": "user", "content": "a"}]
FORMATS = [
    ({"messages": CHAT}, "chat messages"),
    ({"conversations": []}, "ShareGPT"),
    ({"instruction": "a", "input": "b"}, "Alpaca"),
    ({"prompt": "a"}, "prompt and completion"),
    ({"prompt": CHAT}, "prompt and completion as messages"),
    ({"prompt": "a", "chosen": "b", "rejected": "c"}, "preferences"),
    ({"messages": CHAT, "chosen": "b", "rejected": "c"}, "preferences"),
    ({"chosen": CHAT, "rejected": CHAT}, "preferences as whole conversations"),
    ({"rejected": "c"}, "preferences as whole conversations"),
    ({"text": "a"}, "raw text"),
]


@pytest.mark.parametrize(("row", "title"), FORMATS)
def test_the_keys_of_a_row_tell_its_format(row: dict[str, object], title: str) -> None:
    assert detect(row).title == title


@pytest.mark.parametrize(("row", "found"), [({}, "nothing"), ({"b": 1, "a": 2}, "a, b")])
def test_a_row_of_no_known_format_is_refused_with_its_keys(row: dict[str, object], found: str) -> None:
    with pytest.raises(ValueError, match=f"found {found};"):
        detect(row)


@pytest.mark.parametrize(
    ("rows", "held"),
    [
        ([], "JSON Lines, no rows"),
        ([{"text": "a"}], "JSON Lines, 1 row of raw text"),
        (
            [{"prompt": "a"}, {"messages": CHAT}, {"prompt": "b"}],
            "JSON Lines, 2 rows of prompt and completion and 1 row of chat messages",
        ),
    ],
)
def test_a_file_is_described_by_the_formats_of_its_rows(
    rows: list[dict[str, object]], held: str, tmp_path: Path
) -> None:
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert describe(read_rows(tmp_path / "rows.jsonl")) == held
