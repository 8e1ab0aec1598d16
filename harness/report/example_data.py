"""The examples as the data that the page's browser of examples reads: what repeats is written once."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Generic, TypeVar

from harness.report.page import Answer, ExampleRow, ExampleSet

T = TypeVar("T", bound=Hashable)


class _Table(Generic[T]):
    """Distinct values in the order in which they came."""

    def __init__(self) -> None:
        self._places: dict[T, int] = {}

    def place(self, value: T) -> int:
        """Return where the value stands, adding it when it is new."""
        return self._places.setdefault(value, len(self._places))

    def values(self) -> list[T]:
        """Return every value once."""
        return list(self._places)


def example_data(examples: ExampleSet, closest: str) -> dict[str, Any]:
    """Return JSON values: rows name their texts and answers by their places in tables of distinct ones.

    A row is [data set, id, input, reference, tags, answers], an answer [samples, scores, right, failed, problem,
    value, outcome], a sample [text, problem, near tie]; `closest` is the baseline that is shown first. Arrays rather
    than objects, so that ten thousand rows repeat no key.
    """
    texts: _Table[str] = _Table()
    answers: _Table[Answer] = _Table()
    tags = {name: place for place, name in enumerate(examples.tags)}
    rows = [[examples.datasets.index(row.dataset), *_row(row, tags, texts, answers)] for row in examples.rows]
    return {
        "systems": examples.systems,
        "closest": closest,
        "datasets": examples.datasets,
        "headlines": examples.headlines,
        "scorers": examples.scorers,
        "tags": examples.tags,
        "rows": rows,
        "answers": [_answer(answer, texts) for answer in answers.values()],
        "texts": texts.values(),  # last: the answers add to it
    }


def _row(row: ExampleRow, tags: Mapping[str, int], texts: _Table[str], answers: _Table[Answer]) -> list[Any]:
    return [
        row.id,
        texts.place(row.input),
        None if row.reference is None else texts.place(row.reference),
        [tags[tag] for tag in row.tags],
        [None if answer is None else answers.place(answer) for answer in row.answers],
    ]


def _answer(answer: Answer, texts: _Table[str]) -> list[Any]:
    samples = [
        [texts.place(sample.text), texts.place(sample.problem), int(sample.near_tie)] for sample in answer.samples
    ]
    problem = texts.place(answer.problem)
    return [samples, answer.scores, answer.right, int(answer.failed), problem, answer.value, answer.outcome]
