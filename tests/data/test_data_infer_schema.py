"""An inferred schema accepts every value that it was inferred from, and is a test of an answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from harness.data.infer_schema import DEEPEST, MOST_KEYS, infer_schema
from harness.engine.grammar import schema_grammar
from harness.scoring.json_schema import vacuous

KEYS = st.sampled_from(["a", "b", "c", "type", "$ref", "enum"])  # words of JSON Schema are keys like any other
LEAVES = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.sampled_from(["x", "y", "", "12"])
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=8
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=4)


def accepts(schema: dict[str, Any], value: Any) -> bool:
    return Draft202012Validator(schema).is_valid(value)


@settings(max_examples=60, deadline=None)
@given(st.lists(OBJECTS, min_size=1, max_size=12))
def test_every_value_is_accepted_and_other_types_are_not(values: list[dict[str, Any]]) -> None:
    schema = infer_schema(values)
    Draft202012Validator.check_schema(schema)
    assert [value for value in values if not accepts(schema, value)] == []
    assert not [value for value in (None, True, 0, "", []) if accepts(schema, value)]


def test_types_keys_items_and_values_are_told() -> None:
    queues = ["billing", "delivery", "returns"]
    rows = [{"queue": queues[i % 3], "urgent": i % 2 == 0, "price": i / 2, "ids": [i]} for i in range(30)]
    rows[4]["note"] = "late"
    rows[5]["price"] = 7
    schema = infer_schema(rows)
    assert schema == {
        "type": "object",
        "properties": {
            "queue": {"type": "string", "enum": queues},
            "urgent": {"type": "boolean"},
            "price": {"type": "number"},
            "ids": {"type": "array", "items": {"type": "integer"}},
            "note": {"type": "string"},
        },
        "required": ["queue", "urgent", "price", "ids"],
        "additionalProperties": False,
    }
    assert schema_grammar(schema)  # so that an arm can be constrained by it
    assert vacuous(schema) is None
    good = {"queue": "returns", "urgent": True, "price": 1, "ids": []}
    assert accepts(schema, good)
    wrong = [{"queue": "Returns"}, {"urgent": "yes"}, {"price": "1"}, {"ids": [1.5]}, {"more": 1}, {"note": None}]
    assert not [change for change in wrong if accepts(schema, good | change)]
    assert not accepts(schema, {key: value for key, value in good.items() if key != "queue"})


@pytest.mark.parametrize(
    ("values", "listed"),
    [
        (["a", "b"] * 4, ["a", "b"]),
        (["a"] * 4, ["a"]),
        (["a", "b"] * 3 + ["c"], None),  # fewer than four rows a value
        (["a"] * 50 + ["b"], None),  # two rows in a hundred would bring a new one
        (["a"] * 100 + ["b"], ["a", "b"]),
        (["1", "2"] * 50, None),  # numbers go on
        (["a" * 61, "b"] * 50, None),
        ([f"{i % 21:c<3}" for i in range(210)], None),
        (["a", None] * 8, ["a", None]),
        ([None] * 8, None),
    ],
)
def test_only_few_values_that_come_again_are_listed(values: list[str | None], listed: list[str | None] | None) -> None:
    schema = infer_schema([{"field": value} for value in values])["properties"]["field"]
    assert schema.get("enum") == listed
    assert accepts(infer_schema([{"field": value} for value in values]), {"field": values[-1]})


def test_an_object_of_very_many_keys_is_a_map() -> None:
    rows = [{f"item {i}": i} for i in range(MOST_KEYS + 1)]
    assert infer_schema(rows) == {"type": "object", "additionalProperties": {"type": "integer"}}
    assert infer_schema(rows[:MOST_KEYS])["additionalProperties"] is False


def test_what_lies_very_deep_may_be_anything() -> None:
    value: Any = 1
    for _ in range(45):
        value = {"in": [value]}
    schema = infer_schema([value])
    assert accepts(schema, value)
    assert json.dumps(schema).count('"additionalProperties"') == DEEPEST // 2


def test_no_values_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        infer_schema([])
