"""What answers are is told from all of them."""

from __future__ import annotations

import json

import pytest

from harness.data.answer_kinds import Answers, describe_answers
from harness.records import Example


def described(answers: list[str]) -> Answers:
    from harness.records import Message

    question = (Message(role="user", content="?"),)
    rows = [
        Example(id=str(line), messages=question, target=answer, source=f"rows.jsonl:{line}")
        for line, answer in enumerate(answers, start=1)
    ]
    return describe_answers(rows)


SENTENCE = "The parcel is on its way and comes on"
KINDS: dict[str, tuple[str, list[str]]] = {
    "objects": ("json", [json.dumps({"n": i}) for i in range(20)]),
    "arrays": ("json", [json.dumps([i]) for i in range(20)]),
    "labels": ("labels", ["yes", "no"] * 20),
    "ratings": ("labels", ["1", "2", "3", "4", "5"] * 8),
    "numbers": ("numbers", [str(i / 4) for i in range(40)]),
    "amounts": ("numbers", [f"${i},000.50" for i in range(40)]),
    "few numbers": ("numbers", ["1", "2", "3", "4"]),
    "sums": ("worked out", [f"First {i}, then as many again.\n#### {2 * i}" for i in range(40)]),
    "sums in words": ("worked out", [f"{i} and {i} are more.\nAnswer: {2 * i}." for i in range(40)]),
    "names": ("short", [f"Anna Nr. {i}" for i in range(40)]),
    "sentences": ("text", [f"{SENTENCE} day {i}." for i in range(40)]),
    "dates": ("short", [f"{i + 1}. May" for i in range(30)]),
}


@pytest.mark.parametrize(("kind", "answers"), KINDS.values(), ids=KINDS)
def test_the_kind_is_told(kind: str, answers: list[str]) -> None:
    found = described(answers)
    assert (found.kind, found.odd) == (kind, "")


def test_labels_come_from_the_most_frequent() -> None:
    assert described(["b", "a", "b", "c "] * 10).labels == ("b", "a", "c")


def test_rows_that_are_no_json_among_rows_that_are_name_themselves() -> None:
    found = described([json.dumps({"n": i % 2}) for i in range(20)] + ["{'n': 1}", "sorry", "n", "{"])
    assert found.kind == "short"  # compared as a whole, JSON by value
    assert found.schema is None
    assert found.odd == "rows.jsonl:21, rows.jsonl:22, rows.jsonl:23 and 1 more: no JSON, as 20 of 24 answers are"
