"""Scoring one answer by name: when there is a score, when there is none, and what is refused."""

from __future__ import annotations

import subprocess
import sys

import pytest

from harness.errors import InvalidInputError
from harness.records import Example, Message, Prediction, Score, Unscored
from harness.scoring.apply import SCORER_VERSION, SCORERS, confidence_in, corpus_of, score_answer
from harness.scoring.json_schema import SchemaValidator

VALIDATOR = SchemaValidator({"type": "object", "required": ["a"]})
# An example's target and tags by scorer, and the best answer where that is not the target.
TARGETS = {
    "number": "So it is 42.",
    "label_f1": '["billing", "tech"]',
    "label_match": "billing, tech",
    "refusal": "I can't help with that.",
    "abstention": "null",
    "brier": "refund",
}
BEST = {"brier": "refund\nConfidence: 100%"}
MALFORMED = ["", "no JSON here", '{"a": ', '{"a": NaN}', "```json\n", "[" * 500, "\x00\x1b[31m", "\ud800"]


def _example(target: str | None = '{"a": 1}', tags: tuple[str, ...] = ("refuse",)) -> Example:
    return Example(id="e1", messages=(Message(role="user", content="?"),), target=target, tags=tags)


def _example_for(name: str) -> Example:
    return _example(TARGETS.get(name, '{"a": 1}'))


def _prediction(text: str, *, error: str | None = None, example_id: str = "e1") -> Prediction:
    return Prediction(
        example_id=example_id,
        system="candidate",
        dataset="test",
        text=text,
        stop="error" if error else "end",
        prompt_tokens=3,
        output_tokens=5,
        seconds=0.1,
        error=error,
    )


@pytest.mark.parametrize("name", SCORERS)
def test_score_is_one_when_the_answer_is_the_best_there_is(name: str) -> None:
    example = _example_for(name)
    result = score_answer(name, _prediction(BEST.get(name, example.target or "")), example, VALIDATOR)
    assert isinstance(result, Score)
    assert result.value == pytest.approx(1.0, abs=1e-12)
    assert result.value <= 1


@pytest.mark.parametrize("name", SCORERS)
@pytest.mark.parametrize("text", MALFORMED)
def test_score_is_a_number_and_low_when_the_answer_is_malformed(name: str, text: str) -> None:
    result = score_answer(name, _prediction(text), _example_for(name), VALIDATOR)
    assert isinstance(result, Score)
    assert result.value == 0 or (SCORERS[name].weak and result.value < 1)


@pytest.mark.parametrize("name", SCORERS)
def test_answer_is_unscored_when_the_system_failed(name: str) -> None:
    failed = _prediction("", error="timed out after 30 s")
    assert score_answer(name, failed, _example(), VALIDATOR) == Unscored("no answer: timed out after 30 s")


@pytest.mark.parametrize("name", SCORERS)
def test_answer_is_unscored_when_a_needed_target_is_missing(name: str) -> None:
    result = score_answer(name, _prediction('{"a": 1}'), _example(target=None), VALIDATOR)
    if name in ("json_valid", "schema_valid", "refusal"):
        assert isinstance(result, Score)
    else:
        assert result == Unscored("the example has no target")


def test_field_f1_is_unscored_when_the_target_is_not_json() -> None:
    assert isinstance(score_answer("field_f1", _prediction("{}"), _example(target="refund"), None), Unscored)


def test_schema_scorer_is_refused_when_there_is_no_schema() -> None:
    with pytest.raises(InvalidInputError, match="schema_valid"):
        score_answer("schema_valid", _prediction("{}"), _example(), None)
    assert score_answer("json_valid", _prediction("{}"), _example(), None) == Score(1.0)


def test_scorer_is_refused_when_its_name_is_unknown() -> None:
    with pytest.raises(InvalidInputError, match=r"no scorer 'exact_macth'; known: exact_match, json_valid"):
        score_answer("exact_macth", _prediction("x"), _example(), None)


def test_scoring_is_refused_when_the_answer_is_to_another_example() -> None:
    with pytest.raises(ValueError, match="'e2' cannot be scored against 'e1'"):
        score_answer("exact_match", _prediction("x", example_id="e2"), _example(), None)


def test_only_overlap_is_weak_and_three_are_corpus_scores_when_listed() -> None:
    assert {name for name, scorer in SCORERS.items() if scorer.weak} == {"rouge_l", "bleu", "chrf"}
    assert {name for name, scorer in SCORERS.items() if scorer.corpus} == {"bleu", "chrf", "macro_f1"}
    assert {name for name, scorer in SCORERS.items() if scorer.confidence} == {"brier"}
    assert {name for name, scorer in SCORERS.items() if scorer.needs_schema} == {"schema_valid"}
    assert {name for name, scorer in SCORERS.items() if scorer.needs_tags} == {"refusal"}
    assert [corpus_of(name) is None for name in ("bleu", "exact_match", "declared by a suite")] == [False, True, True]
    assert all(scorer.version == SCORER_VERSION for scorer in SCORERS.values())


@pytest.mark.parametrize("name", ["bleu", "chrf", "macro_f1"])
def test_a_corpus_score_goes_from_nothing_right_to_all_right_when_made_by_name(name: str) -> None:
    corpus = corpus_of(name)
    assert corpus is not None
    targets = ["the red cat", "a green dog ran", "the red cat"]
    for texts, value in ((targets, 1.0), (["1", "2", "3"], 0.0)):
        statistics, compute = corpus(texts, targets)
        assert len(statistics) == len(texts)
        assert compute(statistics.sum(axis=0)) == pytest.approx(value, abs=1e-12)


def test_a_confidence_is_found_only_when_an_answer_was_given_and_states_one() -> None:
    scorer, row = SCORERS["brier"], _example("refund")
    assert confidence_in(scorer, _prediction("refund (confidence: 70%)"), row) == (0.7, True)
    assert confidence_in(scorer, _prediction("tech (confidence: 70%)"), row) == (0.7, False)
    assert confidence_in(scorer, _prediction("refund"), row) is None
    assert confidence_in(scorer, _prediction("Confidence: 70%", error="cut"), row) is None
    assert confidence_in(scorer, _prediction("Confidence: 70%"), _example(target=None)) is None
    assert confidence_in(SCORERS["exact_match"], _prediction("refund (confidence: 70%)"), row) is None


def test_metric_libraries_stay_unloaded_when_only_the_registry_is_imported() -> None:
    code = (
        "import sys, harness.scoring.declared; "
        "sys.exit(', '.join({'lark', 'lxml', 'nltk', 'rouge_score', 'sacrebleu', 'torch'} & sys.modules.keys()) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
