"""The strict parser against json.loads: the same values, minus the named leniencies."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.limits import JSON_DEPTH, JSON_DIGITS
from harness.strict_json import StrictJsonError, canonical, parse

REFUSED = [
    # text, line, column, part of the message
    ("", 1, 1, "Expecting value"),
    ("   ", 1, 4, "Expecting value"),
    ("NaN", 1, 1, "NaN is not JSON"),
    ('{"a": Infinity}', 1, 7, "Infinity is not JSON"),
    ("[1, -Infinity]", 1, 5, "-Infinity is not JSON"),
    ("[1,\n 1e999]", 2, 2, "too large for a float"),
    ("-1e400", 1, 1, "too large for a float"),
    ("9" * 5000 + ".5", 1, 1, "too large for a float"),
    ('{"a": 1,\n  "a": 2}', 2, 3, "the key 'a' is given twice"),
    ('{"a": 1, "\\u0061": 2}', 1, 10, "the key 'a' is given twice"),
    ('[{"a": {"b": 1, "c": 2, "b": 3}}]', 1, 25, "the key 'b' is given twice"),
    ('{"' + "k" * 99 + '": 1, "' + "k" * 99 + '": 2}', 1, 108, "…' is given twice"),
    ('{"' + "k" * 40 + '": 1, "' + "k" * 40 + '": 2}', 1, 49, f"the key '{'k' * 40}' is given twice"),
    ('{"' + "k" * 41 + '": 1, "' + "k" * 41 + '": 2}', 1, 50, f"the key '{'k' * 39}…' is given twice"),
    ('"\\ud800"', 1, 1, "lone surrogate"),
    ('["ok", "\\udc00\\ud83d"]', 1, 8, "lone surrogate"),
    ('{"\\udfff": 1}', 1, 2, "lone surrogate"),
    ('"\ud800"', 1, 2, "lone surrogate"),
    ("[" * (JSON_DEPTH + 1) + "]" * (JSON_DEPTH + 1), 1, JSON_DEPTH + 1, "nested deeper than 100 levels"),
    ('{"a":' * (JSON_DEPTH + 1) + "1" + "}" * (JSON_DEPTH + 1), 1, 5 * JSON_DEPTH + 1, "nested deeper than 100"),
    ("[" * 1_000_000, 1, JSON_DEPTH + 1, "nested deeper than 100 levels"),
    ("1" * (JSON_DIGITS + 1), 1, 1, "an integer of more than 4300 digits"),
    ("[-" + "1" * (JSON_DIGITS + 1) + "]", 1, 2, "an integer of more than 4300 digits"),
    ("1 2", 1, 3, "Extra data"),
    ("{} trailing", 1, 4, "Extra data"),
    ("{'a': 1}", 1, 2, "Expecting property name"),
    ("[1,]", 1, 4, "Expecting value"),
    ("01", 1, 2, "Extra data"),
    ("+1", 1, 1, "Expecting value"),
    (".5", 1, 1, "Expecting value"),
    ("1.", 1, 2, "Extra data"),
    ("True", 1, 1, "Expecting value"),
    ('"\\x"', 1, 2, "Invalid \\escape"),
    ('"line\nbreak"', 1, 6, "Invalid control character"),
    ('{"a": "', 1, 7, "Unterminated string"),
    ("// comment\n1", 1, 1, "Expecting value"),
    ("\ufeff{}", 1, 1, "BOM"),
    ("\u0663", 1, 1, "Expecting value"),  # a digit, but not an ASCII one
    ("}", 1, 1, "Expecting value"),
    ("\nx", 2, 1, "Expecting value"),
    ("[1,\n\n x]", 3, 2, "Expecting value"),
    ('["\\ud83d\\ude00",\n "\\x"]', 2, 3, "Invalid \\escape"),
    ('"a": "\\ud83d\\ude00"', 1, 4, "Extra data"),
]

ACCEPTED: list[tuple[str, Any]] = [
    ("0", 0),
    ("-0", 0),
    ("1E2", 100.0),
    ("1e-999", 0.0),
    (" \t\r\n[1, 2.5, true, null]\n", [1, 2.5, True, None]),
    ('"\\ud83d\\ude00"', "😀"),
    ('"\\\\ud800"', "\\ud800"),
    ('"NaN, Infinity, 1e999 and {[[{"', "NaN, Infinity, 1e999 and {[[{"),
    ('"\\"NaN"', '"NaN'),
    ('"\u2028\x85"', "\u2028\x85"),
    ('{"a": {"a": 1}, "b": [{"a": 2}, {"a": 3}]}', {"a": {"a": 1}, "b": [{"a": 2}, {"a": 3}]}),
    ('["a", "a", {"b": "a"}]', ["a", "a", {"b": "a"}]),
    ('["a", "a", "\\ud83d\\ude00"]', ["a", "a", "😀"]),
    ('{"a": {"b": {}, "a": "\\ud83d\\ude00"}}', {"a": {"b": {}, "a": "😀"}}),
    ('{"": 1}', {"": 1}),
    ("1" * 5000 + "e-4995", 11111.0 + 1 / 9),
]


@pytest.mark.parametrize(("text", "line", "column", "problem"), REFUSED)
def test_parse_names_place_and_fault_when_text_is_not_strict_json(
    text: str, line: int, column: int, problem: str
) -> None:
    with pytest.raises(StrictJsonError) as caught:
        parse(text)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert problem in caught.value.problem
    assert str(caught.value) == f"line {line} column {column}: {caught.value.problem}"
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize(("text", "value"), ACCEPTED)
def test_parse_gives_the_value_when_text_is_strict_json(text: str, value: Any) -> None:
    assert parse(text) == value


def test_parse_accepts_when_depth_and_digits_are_at_their_limits() -> None:
    assert parse("[" * JSON_DEPTH + "]" * JSON_DEPTH) is not None
    assert parse("-" + "7" * JSON_DIGITS) == -int("7" * JSON_DIGITS)
    assert parse('["\\ud83d\\ude00", -' + "7" * JSON_DIGITS + "]") == ["😀", -int("7" * JSON_DIGITS)]


def test_parse_stays_linear_when_text_is_hostile() -> None:
    for text in (
        '"' + '\\"' * 500_000,
        '"a"' + " " * 500_000 + "x",
        "\\" * 500_000,
        "-" * 500_000,
        "1." * 250_000,
    ):
        with pytest.raises(StrictJsonError):
            parse(text)


class _Refused(Exception):
    pass


def _oracle(text: str) -> tuple[str, Any]:
    """json.loads with the named refusals, made another way: by its hooks and by looking at the value."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in items}) < len(items):
            raise _Refused
        return dict(items)

    def constant(_: str) -> Any:
        raise _Refused

    def finite(digits: str) -> float:
        if math.isinf(float(digits)):
            raise _Refused
        return float(digits)

    try:
        value = json.loads(text, object_pairs_hook=pairs, parse_constant=constant, parse_float=finite)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, _Refused, RecursionError):
        return "refused", None
    return ("value", value) if _depth(value) <= JSON_DEPTH else ("refused", None)


def _depth(value: Any) -> int:
    if isinstance(value, dict | list):
        members = value.values() if isinstance(value, dict) else value
        return 1 + max(map(_depth, members), default=0)
    return 0


_strings = st.one_of(
    st.text(max_size=5).map(json.dumps),
    st.text(max_size=5).map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.sampled_from(['"a"', '"\\u0061"', '"\\ud800"', '"\\ude00\\ud83d"', '"\\ud83d\\ude00"', '"\\\\ud800"']),
)
_scalars = st.one_of(
    _strings,
    st.integers().map(str),
    st.floats().map(json.dumps),
    st.sampled_from(["true", "false", "null", "1e308", "1e309", "-0", "-0.0", "1E+2", "0" * 2, "1" * 4301]),
)
_documents = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda items: "[" + " , ".join(items) + "]"),
        st.lists(st.tuples(_strings, inner), max_size=4).map(
            lambda items: "{" + ",\n".join(f"{key} : {value}" for key, value in items) + "}"
        ),
    ),
    max_leaves=12,
)
_fragments = st.lists(
    st.sampled_from(
        [
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            '"a"',
            '"',
            "\\",
            "u",
            "1",
            "-",
            ".",
            "e",
            " ",
            "\n",
            "NaN",
            "true",
            "\ud800",
        ]
    ),
    max_size=12,
).map("".join)


@settings(max_examples=500)
@given(st.one_of(_documents, _fragments, st.text(max_size=20)))
@example("[" * 100 + "]" * 100)
@example("[" * 101 + "]" * 101)
@example('{"a":1,"a":1}')
def test_parse_agrees_with_json_loads_when_none_of_the_named_leniencies_is_used(text: str) -> None:
    try:
        ours: tuple[str, Any] = ("value", parse(text))
    except StrictJsonError:
        ours = ("refused", None)
    # repr, since 1 == 1.0 == True
    assert repr(ours) == repr(_oracle(text))


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=20,
)


@given(_values)
def test_parse_gives_the_value_back_when_it_was_written_canonically(value: Any) -> None:
    assert parse(canonical(value)) == value
    assert canonical(parse(canonical(value))) == canonical(value)


def test_canonical_is_one_text_when_the_order_of_keys_differs() -> None:
    assert canonical({"b": [1, 2.5], "a": "é"}) == canonical({"a": "é", "b": [1, 2.5]}) == '{"a":"é","b":[1,2.5]}'


@pytest.mark.parametrize("value", [math.nan, [math.inf], {"a": -math.inf}])
def test_canonical_refuses_when_a_number_is_not_finite(value: Any) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical(value)
