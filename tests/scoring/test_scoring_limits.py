"""Schemas and answers that take too much: the answer fails, for every arm alike, and is counted and named."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from evidence_factory import SUITE, Fixture

from harness.errors import InvalidInputError
from harness.judge import judge_run
from harness.records import Prediction, Score
from harness.scoring.json_schema import NOT_JUDGED, SchemaValidator, schema_valid, vacuous

TOO_LONG = [(NOT_JUDGED, "$", "it took over 1 s of computing")]


def any_of(depth: int) -> dict[str, Any]:
    """Two ways at each level, none of which an object fits; the text is short, and the ways are 2 to the depth."""
    levels: dict[str, Any] = {"d0": {"type": "string"}}
    for level in range(1, depth + 1):
        below = {"$ref": f"#/$defs/d{level - 1}"}
        levels[f"d{level}"] = {"anyOf": [below, {"allOf": [below]}]}
    return {"$ref": f"#/$defs/d{depth}", "$defs": levels}


HOSTILE: list[tuple[str, dict[str, Any], str, str]] = [
    ("a pattern", {"type": "string", "pattern": "^(a+)+$"}, json.dumps("a" * 60 + "!"), '"aaa"'),
    ("nested anyOf", any_of(18), "{}", '"a"'),
    (
        "unique objects",
        {"type": "array", "uniqueItems": True},
        json.dumps([{"a": number, "b": [number]} for number in range(3000)]),
        "[1, 2]",
    ),
    (
        "a pattern of names",
        {"patternProperties": {"^(a+)+$": False}, "type": "object"},
        json.dumps({"a" * 60 + "!": 1}),
        "{}",
    ),
]


@pytest.mark.parametrize(
    ("schema", "answer", "harmless"), [row[1:] for row in HOSTILE], ids=[row[0] for row in HOSTILE]
)
def test_an_answer_fails_when_judging_it_takes_too_long(schema: dict[str, Any], answer: str, harmless: str) -> None:
    validator = SchemaValidator(schema)
    validator.read_ahead([harmless, answer, harmless])
    assert validator.faults(answer) == TOO_LONG
    assert validator.errors(answer) == ("it took over 1 s of computing",)
    assert (schema_valid(answer, validator), schema_valid(harmless, validator)) == (Score(0.0), Score(1.0))


def test_the_same_answer_is_judged_alike_when_it_is_asked_alone_or_among_others() -> None:
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"enum": [1, 2]}}}
    texts = ['{"a": 1}', '{"a": 3}', "{}", "not JSON", '{"a": 1', "[]", ' {"a": 2}\n', '{"a": 1, "a": 2}']
    ahead, alone = SchemaValidator(schema), SchemaValidator({**schema, "title": "another process"})
    ahead.read_ahead(texts)
    assert [ahead.faults(text) for text in texts] == [alone.faults(text) for text in texts]
    assert [ahead.valid(text) for text in texts] == [True, False, False, False, False, False, True, False]


def test_deep_json_never_reaches_the_schema() -> None:
    validator = SchemaValidator({"type": "array"})
    (fault,) = validator.faults("[" * 100_000)
    assert fault == ("not JSON", "$", "not JSON: line 1 column 101: nested deeper than 100 levels")


def test_a_schema_whose_own_pattern_hangs_on_a_probe_is_still_told_from_a_vacuous_one() -> None:
    assert vacuous({"type": "string", "pattern": "^(a+)+$"}) is None


def test_a_schema_that_is_too_large_to_be_read_is_refused() -> None:
    schema: dict[str, Any] = {
        "$defs": {f"d{n}": {"$ref": f"#/$defs/d{n - 1}"} for n in range(1, 60_000)},
        "$ref": "#/$defs/d1",
    }
    schema["$defs"]["d0"] = {"type": "string"}
    with pytest.raises(InvalidInputError, match=r"takes over 5 s of computing to be read|nested too deep or too large"):
        SchemaValidator(schema)


# --- in a run --------------------------------------------------------------------------------------------------------

DECLARED = SUITE.replace(
    "checks:\n", "scorers:\n  - {name: letters, kind: regex, pattern: '(a+)+b', match: anywhere}\nchecks:\n"
)


def test_what_took_too_much_is_counted_and_named_for_each_arm(tmp_path: Path) -> None:
    def hang(rows: list[Prediction]) -> list[Prediction]:
        slow = {("candidate", "test", "test-3"), ("candidate", "test", "test-7"), ("bare", "test", "test-7")}
        return [replace(r, text="a" * 40) if (r.system, r.dataset, r.example_id) in slow else r for r in rows]

    folder = Fixture(suite_text=DECLARED, n_test=40, n_probe=20, questions=20, edit_predictions=hang).write(
        tmp_path / "r"
    )
    record = judge_run(folder, lambda: datetime(2026, 1, 2, tzinfo=UTC)).record
    scored = {(s.system, s.example_id): s.result for s in record.scores if s.scorer == "letters"}
    assert scored["candidate", "test-7"] == scored["bare", "test-7"] == scored["candidate", "test-3"] == Score(0.0)
    found = [item for item in record.schema_problems if item.keyword == NOT_JUDGED]
    assert [(item.system, item.path, item.count) for item in found] == [
        ("candidate", "scorer letters", 2),
        ("bare", "scorer letters", 1),
    ]
    assert found[0].example == "test-3: it took over 1 s of computing"
    for report in ("report.html", "summary.md"):
        assert "it took over 1 s of computing" in (folder / report).read_text(encoding="utf-8")
