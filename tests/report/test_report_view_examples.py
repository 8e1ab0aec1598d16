from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hostile_texts import PAYLOADS
from record_factory import make_record, poisoned

from harness.findings import RunRecord
from harness.records import Score, Unscored
from harness.report.example_data import example_data
from harness.report.html import data_block
from harness.report.page import Answer, ExampleRow
from harness.report.view_examples import change_sets, example_set


def answered(record: RunRecord, *texts: str, **facts: Any) -> Answer:
    """The candidate's answer to the first test example, if these were the texts it drew."""
    first = record.predictions[0]
    samples = tuple(dataclasses.replace(first, text=text, sample=place) for place, text in enumerate(texts))
    samples = (dataclasses.replace(samples[0], **facts), *samples[1:])
    # Last first: files may hold the samples in any order.
    changed = dataclasses.replace(record, predictions=(*record.predictions[1:], *samples[::-1]))
    answer = example_set(changed).rows[0].answers[0]
    assert answer is not None
    return answer


def rescored(record: RunRecord, system: str, values: dict[str, float | None]) -> RunRecord:
    """The record with these scores on exact_match; None: no score."""
    scores = tuple(
        dataclasses.replace(item, result=Unscored("r") if (value := values[item.example_id]) is None else Score(value))
        if (item.system, item.dataset, item.scorer) == (system, "test", "exact_match") and item.example_id in values
        else item
        for item in record.scores
    )
    return dataclasses.replace(record, scores=scores)


def test_every_answer_is_kept_in_order_when_an_example_was_answered_several_times() -> None:
    answer = answered(make_record(rows=2, probes=1), "first", "second", "third")
    assert [sample.text for sample in answer.samples] == ["first", "second", "third"]
    assert answer.text == "first"


def test_problems_are_counted_when_an_example_was_answered_several_times() -> None:
    record = make_record(rows=2, probes=1)
    assert answered(record, "a", "b", "c", stop="length").problem == "1 of 3 answers: cut off at the token limit"
    failed = answered(record, "", "b", stop="error", error="timed out")
    assert (failed.problem, failed.failed) == ("1 of 2 answers: no answer: timed out", True)
    assert [sample.problem for sample in failed.samples] == ["no answer: timed out", ""]


def test_a_problem_is_told_plainly_when_there_is_one_answer() -> None:
    record = make_record(rows=2, probes=1)
    assert answered(record, "a", stop="length").problem == "cut off at the token limit"
    unscored = rescored(record, "candidate", {"ticket-0001": None})
    assert answered(unscored, "a", stop="length").problem == "no score: r; cut off at the token limit"
    assert answered(record, "a").problem == ""


def test_near_ties_are_kept_for_each_answer() -> None:
    answer = answered(make_record(rows=2, probes=1), "a", "b", near_tie=True)
    assert [sample.near_tie for sample in answer.samples] == [True, False]


@pytest.mark.parametrize(("system", "place", "value"), [("candidate", 0, 0.0), ("previous", 4, 1.0)])
def test_a_missing_score_counts_against_the_candidate(system: str, place: int, value: float) -> None:
    record = rescored(make_record(rows=2, probes=1), system, {"ticket-0001": None})
    answer = example_set(record).rows[0].answers[place]
    assert answer is not None and (answer.value, answer.failed, answer.right) == (value, True, None)


def test_changes_stand_in_the_order_of_their_size_when_scores_are_graded() -> None:
    record = make_record(rows=4, probes=1)
    ids = [example.id for example in record.examples["test"]]
    record = rescored(record, "candidate", dict(zip(ids, (0.5, 0.1, 0.9, 0.7), strict=True)))
    record = rescored(record, "previous", dict(zip(ids, (0.6, 0.6, 0.5, 0.6), strict=True)))
    change = change_sets(example_set(record))[-1]
    assert [row.id for row in change.worse] == [ids[1], ids[0]]
    assert [row.id for row in change.better] == [ids[2], ids[3]]


def test_an_example_without_reference_or_baseline_has_neither() -> None:
    row = example_set(make_record(rows=2, probes=1)).rows[-1]
    candidate = row.answers[0]
    assert (row.dataset, row.reference, row.answers[1:]) == ("probe", None, (None,) * 4)
    assert candidate is not None and (candidate.outcome, candidate.value) == ("", 0.0)


def test_an_example_that_nothing_scored_compares_with_nothing() -> None:
    record = make_record(rows=2, probes=1)
    answers = example_set(dataclasses.replace(record, scores=())).rows[0].answers
    assert {(answer.outcome, answer.value, answer.failed) for answer in answers if answer} == {("", None, False)}


def decoded(data: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The rows of a data block, read as the browser reads them."""
    texts = data["texts"]

    def answer(place: int | None) -> Any:
        if place is None:
            return None
        samples, scores, right, failed, problem, value, outcome = data["answers"][place]
        told = [(texts[text], texts[at], tie == 1) for text, at, tie in samples]
        return (told, scores, right, failed == 1, texts[problem], value, outcome)

    return [
        (
            data["datasets"][dataset],
            name,
            texts[asked],
            None if reference is None else texts[reference],
            [data["tags"][tag] for tag in tags],
            [answer(place) for place in answers],
        )
        for dataset, name, asked, reference, tags, answers in data["rows"]
    ]


def plain(row: ExampleRow) -> tuple[Any, ...]:
    answers = [
        answer
        and (
            [(sample.text, sample.problem, sample.near_tie) for sample in answer.samples],
            list(answer.scores),
            answer.right,
            answer.failed,
            answer.problem,
            answer.value,
            answer.outcome,
        )
        for answer in row.answers
    ]
    return (row.dataset, row.id, row.input, row.reference, list(row.tags), answers)


@pytest.mark.parametrize("payload", ["", *PAYLOADS])
def test_data_for_the_browser_says_what_the_model_says(payload: str) -> None:
    examples = example_set(poisoned(make_record("hold", rows=12, probes=3, errors=2), payload))
    data = json.loads(data_block(example_data(examples, "previous")))
    assert decoded(data) == [plain(row) for row in examples.rows]


def test_data_for_the_browser_writes_each_text_and_each_answer_once() -> None:
    examples = example_set(make_record(rows=40, probes=10))
    data = example_data(examples, "previous")
    assert len(set(data["texts"])) == len(data["texts"])
    assert len(data["answers"]) == len({answer for row in examples.rows for answer in row.answers if answer})
    assert len(data["answers"]) < sum(answer is not None for row in examples.rows for answer in row.answers)
