"""Columns are taken for what published data sets call so; nothing is guessed between two."""

from __future__ import annotations

from typing import Any

import pytest

from harness.data.guess_columns import guess_columns
from harness.data.sources import Row
from harness.errors import InvalidInputError


def rows(*values: dict[str, Any]) -> tuple[Row, ...]:
    return tuple(Row(f"rows.csv:{line}", value) for line, value in enumerate(values, start=2))


FOUND: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"prompt": "a", "completion": "b"}, {}),
    ({"messages": []}, {}),
    ({"messages": [], "source": "web", "prompt": "a"}, {"meta": ["source", "prompt"]}),
    ({"text": "a", "label": "b"}, {"prompt": "text", "completion": "label"}),
    ({"Category": "ham", "Message": "a"}, {"prompt": "Message", "completion": "Category"}),
    ({"text": "a", "label": 3, "label_text": "b"}, {"prompt": "text", "completion": "label_text", "meta": ["label"]}),
    ({"prompt": "a", "response": "b"}, {"completion": "response"}),
    ({"input": "a", "output": "b"}, {"prompt": "input", "completion": "output"}),
    ({"query": "a", "context": "c", "answer": "b"}, {"instruction": "query", "input": "context", "output": "answer"}),
    (
        {"instruction": "a", "context": "", "response": "b", "category": "qa"},
        {"input": "context", "output": "response", "meta": ["category"]},
    ),
    ({"instruction": "a", "output": "b", "input": "c"}, {}),
    ({"conversations": [], "id": 7}, {"meta": ["id"]}),
    ({"prompt": "a", "chosen": "b", "rejected": "c", "score": 0.5}, {"meta": ["score"]}),
    ({"prompt": "a", "completion": "b", "tags": ["x"], "meta": {}, "cluster": "u", "id": "7"}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("value", "columns"), FOUND)
def test_known_names_are_taken_for_what_they_are(value: dict[str, Any], columns: dict[str, Any]) -> None:
    assert guess_columns(rows(value)) == columns


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"text": "a", "sentence": "b", "label": "c"}, "rows.csv:2: `text` and `sentence` may each be what is meant; call"),
    ({"text": "a", "label": "b", "intent": "c"}, "`label` and `intent` may each be what is meant"),
    (
        {"frage": "a", "antwort": "b"},
        "rows.csv:2: no column is a question by its name; .+ columns are frage, antwort",
    ),
    ({"question": "a"}, "no column is an answer by its name"),
    ({"text": "a", "label": 1}, "rows.csv:2: `label` holds something else than text; .+ a label by its name"),
]


@pytest.mark.parametrize(("value", "message"), REFUSED)
def test_what_cannot_be_told_is_refused_with_what_to_do(value: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        guess_columns(rows(value))


@pytest.mark.parametrize(
    ("values", "group"),
    [
        ([{"user_id": 1}, {"user_id": 1}, {"user_id": 2}], "user_id"),
        ([{"user_id": "a"}, {"user_id": "a"}, {}], None),  # one group of all that have one divides nothing
        ([{"user_id": 1}, {"user_id": 2}, {"user_id": 3}], None),
        ([{"user_id": True}, {"user_id": True}, {"user_id": False}], None),
        ([{"Group": "x", "user_id": 1}, {"Group": "x", "user_id": 1}, {"Group": "y", "user_id": 2}], "Group"),
        ([{"region": "x"}, {"region": "x"}, {"region": "y"}], None),
    ],
)
def test_a_column_of_identities_that_come_again_is_the_group(values: list[dict[str, Any]], group: str | None) -> None:
    found = guess_columns(rows(*({"prompt": "a", "completion": "b", **value} for value in values)))
    assert found.get("cluster") == group
    assert set(found.get("meta", [])) == {key for value in values for key in value} - {group}


def test_an_id_that_is_given_twice_is_a_remark() -> None:
    value = {"prompt": "a", "completion": "b"}
    assert guess_columns(rows(value | {"id": "1"}, value | {"id": "1"})) == {"meta": ["id"]}
