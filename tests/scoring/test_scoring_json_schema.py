"""Extraction, schema validity, vacuity and field F1: tables of answers and schemas."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import strict_json
from harness.errors import InvalidInputError
from harness.limits import BRACKETS
from harness.records import Score, Unscored
from harness.scoring.json_schema import (
    MAX_MESSAGE,
    NoJson,
    SchemaValidator,
    extract_json,
    field_f1,
    json_valid,
    schema_valid,
    vacuous,
)

EXTRACTED: list[tuple[str, Any]] = [
    ('{"a": 1}', {"a": 1}),
    ('\n {"a": 1}\t', {"a": 1}),
    ("[1, 2]", [1, 2]),
    ("42", 42),
    ('"text"', "text"),
    ("null", None),
    ('```json\n{"a": 1}\n```', {"a": 1}),
    ("```\n[1]\n```", [1]),
    ('~~~JSON\r\n{"a": 1}\r\n~~~', {"a": 1}),
    ('Here it is: {"a": 1}', {"a": 1}),
    ('{"a": 1}\nHope this helps!', {"a": 1}),
    ('{"a": 1}{"b": 2}', {"a": 1}),
    ('The set {x} holds [the answer]: {"a": [1]}.', {"a": [1]}),
    ('"quoted" then {"a": 1}', {"a": 1}),
    ('3 of them: {"a": 1}', {"a": 1}),
    ('答案：{"键": "值"}。', {"键": "值"}),
    ('see [1]: {"a": 1}', [1]),  # the first value, whatever it means
    ("{ [ { " * 50 + '{"a": 1}', {"a": 1}),
]

NOT_EXTRACTED = [
    ("", "no JSON object or array"),
    ("plain words", "no JSON object or array"),
    ("The answer is 42.", "no JSON object or array"),
    ("```json\n42\n```", "no JSON object or array"),
    ("NaN", "no JSON object or array"),
    ("{a: 1}", "no JSON object or array: Expecting property name"),
    ("{'a': 1}", "no JSON object or array: Expecting property name"),
    ("{'a': [1, }", "no JSON object or array: Expecting property name"),  # the first fault is the one named
    ('{"a": 1', "no JSON object or array: Expecting ',' delimiter"),
    ('{"a": {"b": 1}', "no JSON object or array: Expecting ',' delimiter"),
    ('{"a": {"b": 1}, }', "no JSON object or array: "),
    ('{"a": "two\nlines"}', "no JSON object or array: Invalid control character"),
    ('{"a": NaN}', "NaN is not JSON"),
    ('{"a": {"b": 1}, "c": NaN}', "NaN is not JSON"),
    ('{"a": NaN} {"a": 1}', "NaN is not JSON"),
    ('so: {"a": 1, "a": {"b": 2}}', "the key 'a' is given twice"),
    ("x [1e999]", "a number too large for a float"),
    ('x ["\\ud800"]', "a lone surrogate is not text"),
    ("x [" + "1" * 5000 + "]", "an integer of more than 4300 digits"),
    ("x " + "[" * 101 + "]" * 101, "nested deeper than 100 levels"),
    ("x " + "[" * 100_000, "nested deeper than 100 levels"),
    ("{ " * (BRACKETS + 1) + '{"a": 1}', "none of the first 1,000 brackets"),
]


@pytest.mark.parametrize(("text", "value"), EXTRACTED)
def test_extract_finds_the_first_value_when_the_answer_holds_json(text: str, value: Any) -> None:
    assert extract_json(text) == value


@pytest.mark.parametrize(("text", "reason"), NOT_EXTRACTED)
def test_extract_says_why_when_the_answer_holds_no_json(text: str, reason: str) -> None:
    found = extract_json(text)
    assert isinstance(found, NoJson)
    assert found.reason.startswith(reason)


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab{[\"'"), inner, max_size=3),
    max_leaves=6,
)


@given(_values, st.text("abc .:`\n'", max_size=20), st.text(max_size=20))
def test_extract_gives_the_value_back_when_prose_surrounds_it(value: Any, before: str, after: str) -> None:
    assert extract_json(f"{before}{json.dumps([value])}{after}") == [value]


@given(st.text('{}[]":,1a\\ \n', max_size=30))
def test_extract_gives_only_strict_values_when_the_answer_is_any_text(text: str) -> None:
    found = extract_json(text)
    if not isinstance(found, NoJson):
        assert strict_json.parse(strict_json.canonical(found)) == found


SCHEMA = {
    "type": "object",
    "properties": {
        "queue": {"enum": ["billing", "tech"]},
        "day": {"type": "string", "format": "date"},
        "price": {"type": "number", "multipleOf": 0.01},
        "tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
    },
    "required": ["queue"],
    "additionalProperties": False,
}

JUDGED = [
    ('{"queue": "tech"}', ()),
    (' \n{"queue": "tech"}\n', ()),
    ('{"queue": "foo"}', ("$.queue: 'foo' is not one of ['billing', 'tech']",)),
    ("{}", ("$: 'queue' is a required property",)),
    ("[]", ("$: [] is not of type 'object'",)),
    ('{"queue": "tech", "day": "2026-02-30"}', ("$.day: '2026-02-30' is not a 'date'",)),
    ('{"queue": "tech", "tags": ["a", 1]}', ("$.tags[1]: 1 is not of type 'string'",)),
    (
        '{"extra": 1, "queue": 2}',
        (
            "$.queue: 2 is not one of ['billing', 'tech']",
            "$: Additional properties are not allowed ('extra' was unexpected)",
        ),
    ),
    ("", ("not JSON: line 1 column 1: Expecting value",)),
    ('```json\n{"queue": "tech"}\n```', ("not JSON: line 1 column 1: Expecting value",)),
    ('Sure: {"queue": "tech"}', ("not JSON: line 1 column 1: Expecting value",)),
    ('{"queue": "tech"} ok', ("not JSON: line 1 column 19: Extra data",)),
    ('{"queue": "foo", "queue": "tech"}', ("not JSON: line 1 column 18: the key 'queue' is given twice",)),
    ('{"queue": "tech", "price": NaN}', ("not JSON: line 1 column 28: NaN is not JSON",)),
    (
        '{"queue": "tech", "price": 1' + "0" * 400 + "}",
        ("an integer too large to be judged by this schema",),
    ),
]


@pytest.mark.parametrize(("text", "errors"), JUDGED)
def test_errors_name_path_and_fault_when_the_raw_answer_is(text: str, errors: tuple[str, ...]) -> None:
    validator = SchemaValidator(SCHEMA)
    assert sorted(validator.errors(text)) == sorted(errors)
    assert validator.valid(text) == (not errors)
    assert schema_valid(text, validator) == Score(float(not errors))


def test_errors_are_short_when_the_answer_is_long() -> None:
    (message,) = SchemaValidator({"type": "integer"}).errors(json.dumps("x" * 10_000))
    assert len(message) == MAX_MESSAGE
    assert message.endswith("…")


def test_a_recursive_schema_judges_when_the_answer_is_nested_to_the_limit() -> None:
    node = {
        "type": "object",
        "properties": {"child": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
        "required": ["child"],
    }
    validator = SchemaValidator({"$ref": "#/$defs/node", "$defs": {"node": node}})
    assert validator.valid('{"child": ' * 30 + "null" + "}" * 30)
    assert not validator.valid('{"child": ' * 100 + "1" + "}" * 100)
    assert not validator.valid('{"child": ' * 101 + "null" + "}" * 101)


def test_nothing_is_valid_when_a_schema_refers_to_itself_without_end() -> None:
    assert SchemaValidator({"$ref": "#"}).errors("1") == ("nested too deep to be judged by this schema",)


BAD_SCHEMAS: list[tuple[Any, str]] = [
    (True, "must be an object"),
    ([], "must be an object"),
    ({"type": "strin"}, "$.type: 'strin' is not valid"),
    ({"required": "queue"}, "$.required: 'queue' is not of type 'array'"),
    ({"properties": {"a": {"minimum": "x"}}}, "$.properties.a.minimum"),
    ({"pattern": "["}, "'[' is not a 'regex'"),
    ({"patternProperties": {"(": {}}}, "'(' is not a 'regex'"),
    ({"items": [{"type": "string"}]}, "$.items"),
    ({"$schema": "http://json-schema.org/draft-07/schema#"}, "draft-07"),
    (
        {"$ref": "http://127.0.0.1:9/schema.json"},
        "$ref 'http://127.0.0.1:9/schema.json' is not in the schema itself",
    ),
    ({"$ref": "file:///etc/hostname"}, "nothing is fetched"),
    ({"$ref": "other.json#/a"}, "nothing is fetched"),
    ({"properties": {"a": {"anyOf": [{"$ref": "https://e.org/s"}]}}}, "nothing is fetched"),
    ({"$dynamicRef": "https://e.org/s"}, "nothing is fetched"),
    ({"$ref": "https://json-schema.org/draft/2020-12/schema"}, "nothing is fetched"),
    ({"$ref": "#/$defs/missing"}, "$ref '#/$defs/missing' is not in the schema itself"),
    ({"$ref": "#anchor"}, "is not in the schema itself"),
    ({"$ref": "#/type/0/x", "type": ["string"]}, "is not in the schema itself"),
    ({"$ref": "#/type", "type": "string"}, "'string' is not of type 'object', 'boolean'"),
    ({"$ref": "#/parts/a", "parts": {"a": {"type": "strin"}}}, "'strin' is not valid"),
    ({"$ref": "#/parts/a", "parts": False}, "'#/parts/a' is not in the schema itself"),
    ({"$ref": "#/parts/a", "parts": {"a": {"$ref": "https://e.org/s"}}}, "nothing is fetched"),
    ({"$id": "http://[", "$defs": {"a": {"$id": "b"}}}, "Invalid IPv6 URL"),
    ({"format": "date-time"}, "format 'date-time' is not checked"),
    ({"properties": {"a": {"format": "colour"}}}, "format 'colour' is not checked"),
]

GOOD_SCHEMAS: list[dict[str, Any]] = [
    SCHEMA,
    {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "string"},
    {"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}},
    {"$ref": "#here", "$defs": {"a": {"$anchor": "here", "type": "string"}}},
    {"$id": "https://e.org/root", "$ref": "part", "$defs": {"a": {"$id": "part", "type": "string"}}},
    {"const": {"$ref": "https://e.org/data", "format": "none"}},
    {"properties": {"$ref": {"type": "string"}, "format": {"const": 1}}},
]


@pytest.mark.parametrize(("schema", "message"), BAD_SCHEMAS)
def test_a_schema_is_refused_when_it_cannot_judge(schema: Any, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        SchemaValidator(schema)
    assert message in str(caught.value)


@pytest.mark.parametrize("schema", GOOD_SCHEMAS)
def test_a_schema_is_taken_when_all_it_refers_to_is_inside(schema: dict[str, Any]) -> None:
    assert not SchemaValidator(schema).valid("[1, 2")


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"title": "Ticket", "description": "any"},
        {"requird": ["queue"]},
        {"required": ["queue"]},
        {"properties": {"queue": {"type": "string"}}},
        {"anyOf": [{"type": "string"}, {}]},
        {"$ref": "#/$defs/a", "$defs": {"a": {}}},
        {"type": ["null", "boolean", "number", "string", "array", "object"]},
        {"minLength": 0, "minimum": -5},
        {"if": {"type": "object"}, "then": {"required": ["a"]}},
    ],
)
def test_vacuous_says_why_when_any_type_passes(schema: dict[str, Any]) -> None:
    reason = vacuous(schema)
    assert reason is not None
    assert 'accepts null, true, 0, "", [] alike' in reason


@pytest.mark.parametrize(
    "schema",
    [
        *GOOD_SCHEMAS[:5],
        {"type": "object"},
        {"enum": ["a", "b"]},
        {"const": 1},
        {"not": {"type": "string"}},
        {"anyOf": [{"type": "string"}, {"type": "object"}]},
        {"minLength": 1},
    ],
)
def test_vacuous_is_silent_when_some_type_is_refused(schema: dict[str, Any]) -> None:
    assert vacuous(schema) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', 1),
        (" 1 ", 1),
        ('"x"', 1),
        ("```json\n{}\n```", 0),
        ("{} done", 0),
        ('{"a": 1, "a": 2}', 0),
        ("[NaN]", 0),
        ("[" * 101 + "]" * 101, 0),
        ("", 0),
    ],
)
def test_json_valid_follows_the_table_when_the_raw_answer_is(text: str, value: int) -> None:
    assert json_valid(text) == Score(float(value))


TARGET = '{"intent": "play", "slots": {"artist": "X", "n": 2}}'


@pytest.mark.parametrize(
    ("text", "target", "value"),
    [
        (TARGET, TARGET, 1),
        (f"```json\n{TARGET}\n```", TARGET, 1),
        ('{"slots": {"n": 2.0, "artist": "X"}, "intent": "play"}', TARGET, 1),
        ('{"intent": "play"}', TARGET, 2 * 1 / (3 + 1)),
        ('{"intent": "play", "slots": {"artist": "Y", "n": 2}}', TARGET, 2 * 2 / (3 + 3)),
        ('{"intent": "play", "slots": {"artist": "X", "n": 2, "year": 1}}', TARGET, 2 * 3 / (3 + 4)),
        ('{"intent": "stop", "slots": {}}', TARGET, 0),
        ('{"artist": "X", "n": 2}', TARGET, 0),  # right values in the wrong place
        ("no idea", TARGET, 0),
        ("", TARGET, 0),
        ('{"intent": NaN}', TARGET, 0),
        ("{}", "{}", 1),
        ("{}", "[]", 0),
        ('{"a": true}', '{"a": 1}', 0),
        ("[1, 2, 3]", "[1, 2, 4]", 2 * 2 / 6),
        ("[2, 1]", "[1, 2]", 0),
        ("7", "7", 1),
    ],
)
def test_field_f1_counts_shared_fields_when_both_are_json(text: str, target: str, value: float) -> None:
    assert field_f1(text, target) == Score(value)


@pytest.mark.parametrize("target", ["refund", "", "{'a': 1}", '{"a": 1, "a": 1}'])
def test_field_f1_is_unscored_when_the_target_is_not_json(target: str) -> None:
    result = field_f1('{"a": 1}', target)
    assert isinstance(result, Unscored)
    assert result.reason.startswith("the target is not JSON: line 1")


@given(_values, _values)
def test_field_f1_is_symmetric_and_one_only_when_equal(left: Any, right: Any) -> None:
    first, second = json.dumps(left), json.dumps(right)
    forward, backward = field_f1(f"{first}", second), field_f1(second, first)
    assert isinstance(forward, Score) and isinstance(backward, Score)
    assert forward == backward
    assert field_f1(first, first) == Score(1.0)
    assert 0 <= forward.value <= 1


_DATA = os.environ.get("HARNESS_TEST_DATA")


@pytest.mark.skipif(not _DATA, reason="HARNESS_TEST_DATA names no folder of reference data")
def test_every_target_is_valid_when_the_schema_is_its_own() -> None:
    folder = Path(_DATA or "")
    validator = SchemaValidator(strict_json.parse((folder / "snips.schema.json").read_text("utf-8")))
    rows = (folder / "snips.test.jsonl").read_bytes().decode("utf-8").split("\n")
    targets = [strict_json.parse(row)["messages"][-1]["content"] for row in rows if row]
    assert len(targets) == 700
    assert [target for target in targets if not validator.valid(target)] == []
    assert {field_f1(f"Here:\n```json\n{target}\n```", target) for target in targets} == {Score(1.0)}
