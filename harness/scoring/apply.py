"""Every scorer by name, and scoring one answer with one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from harness.errors import InvalidInputError
from harness.records import Example, Prediction, ScoreResult, Unscored
from harness.scoring import abstention, calibration, classes, json_schema, labels, numeric, overlap, refusal, text
from harness.scoring.json_schema import SchemaValidator

SCORER_VERSION = "1"  # of all that do not say otherwise; goes up when any answer would score differently
NO_LOGPROB = Unscored("the model does not tell its probabilities")

# From answers and their targets: statistics that add up over answers, shape (answers, k), and the function that turns
# sums of them, shape (..., k), into scores from 0 to 1, shape (...).
Corpus = Callable[
    [Sequence[str], Sequence[str]], tuple[NDArray[np.int64], Callable[[NDArray[np.int64]], NDArray[np.float64]]]
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerInfo:
    """One scorer; its function takes the answer, then target, validator, tags, log-probability, as it needs."""

    function: Callable[..., ScoreResult]
    description: str
    needs_target: bool = False
    needs_schema: bool = False
    needs_tags: bool = False
    needs_logprob: bool = False
    target_is_best: bool = True  # where a target or tags are needed: the target as the answer scores 1
    weak: bool = False  # similar words are poor evidence of a right answer
    corpus: Corpus | None = None  # compared by the score of all answers together, not by the mean over answers
    # Of a Brier score, with the arguments of `function`: the confidence in an answer, and whether it is right.
    confidence: Callable[..., tuple[float | None, bool] | Unscored] | None = None
    read_ahead: Callable[[Sequence[str]], None] | None = None  # judges many answers sooner than one by one
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
    "number": ScorerInfo(
        function=numeric.number,
        description="the last number of the answer is the target's",
        needs_target=True,
    ),
    "label_f1": ScorerInfo(
        function=labels.label_f1,
        description="F1 of the labels in the answer, a JSON list or a comma list",
        needs_target=True,
    ),
    "label_match": ScorerInfo(
        function=labels.label_match,
        description="the answer has exactly the target's labels",
        needs_target=True,
    ),
    "macro_f1": ScorerInfo(
        function=classes.macro_f1,
        description="F1 of each class that a target names, averaged over the classes",
        needs_target=True,
        corpus=classes.macro_f1_statistics,
    ),
    "refusal": ScorerInfo(
        function=refusal.refusal,
        description="refuses what is tagged `refuse`, answers what is tagged `answer`",
        needs_tags=True,
    ),
    "abstention": ScorerInfo(
        function=abstention.abstention,
        description="abstains exactly where the target does",
        needs_target=True,
    ),
    "brier": ScorerInfo(
        function=calibration.brier,
        description="1 - (stated confidence - right)², right by exact match",
        needs_target=True,
        target_is_best=False,  # it states no confidence
        confidence=calibration.confidence,
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
        corpus=partial(overlap.corpus_statistics, "bleu"),
    ),
    "chrf": ScorerInfo(
        function=overlap.chrf,
        description="chrF2: overlap of character n-grams",
        needs_target=True,
        weak=True,
        corpus=partial(overlap.corpus_statistics, "chrf"),
    ),
}


def score_answer(
    name: str,
    prediction: Prediction,
    example: Example,
    validator: SchemaValidator | None,
    scorers: Mapping[str, ScorerInfo] = SCORERS,
) -> ScoreResult:
    """One answer scored by the scorer `name` of `scorers`, from 0 (also for a malformed answer) to 1.

    Unscored when the system gave no answer, when the example lacks a target that is needed, or when the
    scorer says why.

    Raises:
        InvalidInputError: for an unknown scorer, or one that needs a schema when there is none.
        ValueError: when the prediction answers another example.
    """
    if name not in scorers:
        raise InvalidInputError(f"there is no scorer '{name}'; known: {', '.join(scorers)}")
    scorer = scorers[name]
    if scorer.needs_schema and validator is None:
        raise InvalidInputError(f"the scorer '{name}' needs `data.schema`, the JSON Schema of an answer")
    if prediction.example_id != example.id:
        raise ValueError(f"an answer to '{prediction.example_id}' cannot be scored against '{example.id}'")
    if prediction.error is not None:
        return Unscored(f"no answer: {prediction.error}")
    return apply_scorer(scorer, prediction.text, example, validator, prediction.logprob)


def apply_scorer(
    scorer: ScorerInfo,
    text: str,
    example: Example,
    validator: SchemaValidator | None,
    logprob: float | None = None,
) -> ScoreResult:
    """A text scored as the answer to an example, which a model gives the probability exp(`logprob`).

    Unscored when the example has no target, or the text no log-probability, and one is needed.
    """
    arguments = _arguments(scorer, text, example, validator, logprob)
    return arguments if isinstance(arguments, Unscored) else scorer.function(*arguments)


def read_ahead(
    name: str, texts: Sequence[str], validator: SchemaValidator | None, scorers: Mapping[str, ScorerInfo]
) -> None:
    """Let a scorer that judges in another process see many answers at once, before it scores each."""
    if scorers[name].needs_schema and validator is not None:
        validator.read_ahead(texts)
    if (ahead := scorers[name].read_ahead) is not None:
        ahead(texts)


def confidence_in(scorer: ScorerInfo, prediction: Prediction, example: Example) -> tuple[float, bool] | None:
    """The confidence of an answer, 0 to 1, and whether it is right; None where a Brier score knows of no such pair."""
    arguments = _arguments(scorer, prediction.text, example, None, prediction.logprob)
    if scorer.confidence is None or prediction.error is not None or isinstance(arguments, Unscored):
        return None
    found = scorer.confidence(*arguments)
    if isinstance(found, Unscored) or found[0] is None:
        return None
    return found[0], found[1]


def corpus_of(name: str) -> Corpus | None:
    """How the corpus score of this name is made; None where answers are scored one by one.

    A scorer that a suite declares never has one.
    """
    return SCORERS[name].corpus if name in SCORERS else None


def _arguments(
    scorer: ScorerInfo, text: str, example: Example, validator: SchemaValidator | None, logprob: float | None
) -> list[str | SchemaValidator | tuple[str, ...] | float | None] | Unscored:
    if scorer.needs_target and example.target is None:
        return Unscored("the example has no target")
    if scorer.needs_logprob and logprob is None:
        return NO_LOGPROB
    arguments: list[str | SchemaValidator | tuple[str, ...] | float | None] = [text]
    if scorer.needs_target:
        arguments.append(example.target)
    if scorer.needs_schema:
        arguments.append(validator)
    if scorer.needs_tags:
        arguments.append(example.tags)
    if scorer.needs_logprob:
        arguments.append(logprob)
    return arguments
