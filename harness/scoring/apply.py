"""Every scorer by name, and scoring one answer with one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.errors import InvalidInputError
from harness.records import Example, Prediction, ScoreResult, Unscored
from harness.scoring import json_schema, overlap, text
from harness.scoring.json_schema import SchemaValidator

SCORER_VERSION = "1"  # of all that do not say otherwise; goes up when any answer would score differently


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerInfo:
    """One scorer; its function takes the answer's text, then the target, then the validator, as it needs."""

    function: Callable[..., ScoreResult]
    description: str
    needs_target: bool = False
    needs_schema: bool = False
    weak: bool = False  # similar words are poor evidence of a right answer
    corpus: bool = False  # compared by its corpus score, not by the mean over answers
    version: str = SCORER_VERSION


SCORERS: dict[str, ScorerInfo] = {
    "exact_match": ScorerInfo(
        function=text.exact_match,
        description="the answer is the target; JSON is compared by value",
        needs_target=True,
    ),
    "json_valid": ScorerInfo(
        function=json_schema.json_valid,
        description="the raw answer is one strict JSON value",
    ),
    "schema_valid": ScorerInfo(
        function=json_schema.schema_valid,
        description="the raw answer is JSON that the schema accepts",
        needs_schema=True,
    ),
    "field_f1": ScorerInfo(
        function=json_schema.field_f1,
        description="F1 over the fields of the JSON in the answer",
        needs_target=True,
    ),
    "rouge_l": ScorerInfo(
        function=overlap.rouge_l,
        description="ROUGE-L F1: longest common subsequence of words",
        needs_target=True,
        weak=True,
    ),
    "bleu": ScorerInfo(
        function=overlap.bleu,
        description="BLEU: overlap of word n-grams",
        needs_target=True,
        weak=True,
        corpus=True,
    ),
    "chrf": ScorerInfo(
        function=overlap.chrf,
        description="chrF2: overlap of character n-grams",
        needs_target=True,
        weak=True,
        corpus=True,
    ),
}


def score_answer(name: str, prediction: Prediction, example: Example, validator: SchemaValidator | None) -> ScoreResult:
    """One answer scored by the scorer `name`, from 0 (also for a malformed answer) to 1.

    Unscored when the system gave no answer, when the example lacks a target that is needed, or when the
    scorer says why.

    Raises:
        InvalidInputError: for an unknown scorer, or one that needs a schema when there is none.
        ValueError: when the prediction answers another example.
    """
    if name not in SCORERS:
        raise InvalidInputError(f"there is no scorer '{name}'; known: {', '.join(SCORERS)}")
    scorer = SCORERS[name]
    if scorer.needs_schema and validator is None:
        raise InvalidInputError(f"the scorer '{name}' needs `data.schema`, the JSON Schema of an answer")
    if prediction.example_id != example.id:
        raise ValueError(f"an answer to '{prediction.example_id}' cannot be scored against '{example.id}'")
    if prediction.error is not None:
        return Unscored(f"no answer: {prediction.error}")
    if scorer.needs_target and example.target is None:
        return Unscored("the example has no target")
    arguments: list[str | SchemaValidator | None] = [prediction.text]
    if scorer.needs_target:
        arguments.append(example.target)
    if scorer.needs_schema:
        arguments.append(validator)
    return scorer.function(*arguments)
