"""Exact match: which answers are the target and which are not; and texts that an answer contains."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.scoring.text import contains, exact_match

TEXT = [
    ("refund", "refund", 1),
    ("  refund\n", "refund", 1),
    ("refund", "\trefund ", 1),
    ("two  words\nhere", "two words here", 1),
    ("Refund", "refund", 0),
    ("refund.", "refund", 0),
    ("The answer is refund", "refund", 0),
    ("re fund", "refund", 0),
    ("", "refund", 0),
    ("", "", 1),
    ("退款", "退款", 1),
    ("возврат", "возврат ", 1),
    ("42", "42", 1),
    ("42.0", "42", 0),  # a scalar target is text
    ('"42"', "42", 0),
    ("True", "true", 0),
    ("{'a': 1}", "{'a': 1}", 1),  # a target that is not JSON is text
    ('{"a": NaN}', '{"a": NaN}', 1),
]

JSON = [
    ('{"a": 1, "b": 2}', '{"b":2,"a":1}', 1),
    ('{"a": 1.0}', '{"a": 1}', 1),
    ('{"a": 1e2}', '{"a": 100}', 1),
    ('{"a": -0.0}', '{"a": 0}', 1),
    ('{"a": true}', '{"a": 1}', 0),
    ('{"a": false}', '{"a": 0}', 0),
    ('{"a": "1"}', '{"a": 1}', 0),
    ('{"a": null}', "{}", 0),
    ('{"a": null}', '{"a": false}', 0),
    ('{"a": {}}', '{"a": []}', 0),
    ("{}", "[]", 0),
    ("[]", "[]", 1),
    ("[[]]", "[]", 0),
    ("[1, 2]", "[2, 1]", 0),
    ("[1, 1]", "[1]", 0),
    ('{"0": "a"}', '["a"]', 0),
    ('{"a": {"b": 1}}', '{"a": {"b": 1, "c": 2}}', 0),
    ('{"a": "x  y"}', '{"a": "x y"}', 0),  # white space inside a value counts
    ('{"a": "\\u00e9"}', '{"a": "é"}', 1),
    ('```json\n{"a": 1}\n```', '{"a": 1}', 1),
    ('Sure! Here it is:\n{"a": 1}\nAnything else?', '{"a": 1}', 1),
    ('{"a": 1} {"a": 2}', '{"a": 1}', 1),
    ('{"a": 2} {"a": 1}', '{"a": 1}', 0),
    ('{"a": 1, "a": 1}', '{"a": 1}', 0),
    ('{"x": {"a": 1}, "y": NaN}', '{"a": 1}', 0),
    ('{"x": {"a": 1}', '{"a": 1}', 0),
    ("a: 1", '{"a": 1}', 0),
    ("", "{}", 0),
    ("9007199254740993", "[9007199254740993]", 0),
    ("[9007199254740993]", "[9007199254740992.0]", 0),  # no rounding through floats
    ("[" * 5000, "[]", 0),
]


@pytest.mark.parametrize(("text", "target", "value"), TEXT + JSON)
def test_exact_match_follows_the_table_when_answer_and_target_are(text: str, target: str, value: int) -> None:
    assert exact_match(text, target).value == value


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text("ab☃"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=8,
)
_containers = st.lists(_values, max_size=3) | st.dictionaries(st.text("ab"), _values, max_size=3)


def _same(left: Any, right: Any) -> bool:
    """JSON equality spelt out: true is no number, 1 is 1.0."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    return bool(left == right)


@given(_containers, _containers)
def test_exact_match_is_json_equality_when_both_are_json(left: Any, right: Any) -> None:
    assert exact_match(json.dumps(left), json.dumps(right)).value == float(_same(left, right))
    assert exact_match(f"Answer: {json.dumps(left, indent=1)}", json.dumps(left)).value == 1


CONTAINS: list[tuple[str, tuple[str, ...], Literal["all", "any"], bool, int]] = [
    ("ticket T-1 is open", ("T-1",), "all", False, 1),
    ("ticket T-1 is open", ("T-1", "closed"), "all", False, 0),
    ("ticket T-1 is open", ("T-1", "closed"), "any", False, 1),
    ("ticket T-1 is open", ("T-2", "closed"), "any", False, 0),
    ("Ticket", ("ticket",), "all", False, 0),
    ("Ticket", ("ticket",), "all", True, 1),
    ("STRASSE", ("straße",), "all", True, 1),
    ("kind\n  regards", ("kind regards",), "all", False, 1),
    ("", ("a",), "any", True, 0),
]


@pytest.mark.parametrize(("text", "texts", "require", "ignore_case", "value"), CONTAINS)
def test_contains_follows_the_table_when_texts_are_wanted(
    text: str, texts: tuple[str, ...], require: Literal["all", "any"], ignore_case: bool, value: int
) -> None:
    assert contains(text, texts=texts, require=require, ignore_case=ignore_case).value == value
