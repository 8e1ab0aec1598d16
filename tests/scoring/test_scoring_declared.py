"""Scorers that a suite declares: read with their parameters, refused with their place, used by their names."""

from __future__ import annotations

from importlib.util import find_spec
from math import log
from pathlib import Path

import pytest

from harness.errors import InvalidInputError
from harness.gate.requirements import refuse_unknown_scorers, refuse_unscorable_examples
from harness.records import Example, Message, Prediction, Score, Unscored
from harness.scoring.apply import apply_scorer, confidence_in, score_answer
from harness.scoring.declared import scorers_of
from harness.suite.load import parse_suite
from harness.suite.schema import Suite

SUITE = """\
suite: small
seed: 1
model: smollm2-135m-instruct
data: {train: train.jsonl, test: test.jsonl}
train: {method: lora}
systems:
  candidate: {kind: adapter, role: candidate}
  bare: {kind: prompt, role: baseline}
scorers: SCORERS
checks:
  - {kind: better_than, scorer: CHECK}
"""


def suite_of(scorers: str, check: str = "exact_match") -> Suite:
    text = SUITE.replace("SCORERS", scorers).replace("CHECK", check)
    return parse_suite(text, Path("suite.yaml"), {}, files=False).suite


def example(target: str, *tags: str, number: int = 0) -> Example:
    messages = (Message(role="user", content="?"),)
    return Example(id=f"e{number}", messages=messages, target=target, tags=tags, source=f"test.jsonl:{number}")


XSD = """|
  <xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">
    <xs:element name="queue" type="xs:string"/>
  </xs:schema>"""

# Declaration, the target and tags of an example, a right and a wrong answer.
DECLARED: list[tuple[str, str, tuple[str, ...], str, str]] = [
    ("kind: number, absolute: 0.01", "9.50", (), "EUR 9.51", "EUR 9.52"),
    ("kind: number, relative: 1%", "1,000", (), "990", "989"),
    ("kind: contains, texts: [Kind regards, T-1]", "", (), "T-1 is open. Kind regards", "T-1 is open."),
    ("kind: contains, texts: [open, closed], require: any, ignore_case: true", "", (), "OPEN", "unknown"),
    (r"kind: regex, pattern: '\d{4}-\d{2}-\d{2}'", "", (), "2026-01-31", "on 2026-01-31"),
    (r"kind: regex, pattern: 'T-\d+', match: anywhere", "", (), "see T-12", "see T-"),
    ("kind: refusal, phrases: [only talk about lamps]", "", ("refuse",), "I only talk about lamps.", "Vote for me."),
    ("kind: abstention, labels: [out_of_scope]", "out_of_scope", (), "out_of_scope", "billing"),
    ("kind: brier, correct: number", "42", (), "42.0 (confidence: 100%)", "41 (confidence: 100%)"),
]


@pytest.mark.parametrize(("declared", "target", "tags", "right", "wrong"), DECLARED)
def test_a_scorer_judges_with_its_parameters_when_it_is_declared(
    declared: str, target: str, tags: tuple[str, ...], right: str, wrong: str
) -> None:
    suite = suite_of(f"[{{name: mine, {declared}}}]", "mine")
    refuse_unknown_scorers(suite)
    scorer = scorers_of(suite)["mine"]
    row = example(target, *tags)
    assert apply_scorer(scorer, right, row, None) == Score(1.0)
    assert apply_scorer(scorer, wrong, row, None) == Score(0.0)


def test_an_xml_schema_is_a_block_of_the_suite_when_it_is_declared() -> None:
    suite = suite_of(
        f"\n  - rouge_l\n  - name: markup\n    kind: xml_schema\n    xsd: {XSD.replace(chr(10), chr(10) + '    ')}"
    )
    refuse_unknown_scorers(suite)
    assert suite.scorers == ("rouge_l", "markup")
    scorer = scorers_of(suite)["markup"]
    assert apply_scorer(scorer, "<queue>billing</queue>", example(""), None) == Score(1.0)


@pytest.mark.skipif(find_spec("lark") is None, reason="lark is not installed")
def test_a_grammar_judges_when_it_is_declared() -> None:
    suite = suite_of('[{name: dsl, kind: grammar, lark: \'start: "turn" (" left" | " right")+\'}]', "dsl")
    refuse_unknown_scorers(suite)
    scorer = scorers_of(suite)["dsl"]
    assert apply_scorer(scorer, "turn left right", example(""), None) == Score(1.0)
    assert apply_scorer(scorer, "turn around", example(""), None) == Score(0.0)


REFUSED_ON_LOADING: list[tuple[str, str]] = [
    ("[rouge_l, rouge_l]", "suite.yaml:9:20 scorers.1: 'rouge_l' is already named above"),
    (
        "[rouge_l, {name: rouge_l, kind: number}]",
        "suite.yaml:9:27 scorers.1.name: 'rouge_l' is already named above",
    ),
    (
        "[{name: a}]",
        "suite.yaml:9:11 scorers.0: a scorer is a name, or a mapping with a `name` and a `kind`",
    ),
    ("[5]", "suite.yaml:9:11 scorers.0: a scorer is a name, or a mapping with a `name` and a `kind`, not 5"),
    ("[{name: a, kind: regexp}]", "suite.yaml:9:11 scorers.0: `kind` must be one of 'number', 'contains', 'regex', "),
    ("[{name: a, kind: regex}]", "suite.yaml:9:11 scorers.0.pattern: is required"),
    ("[{kind: number}]", "suite.yaml:9:11 scorers.0.name: is required"),
    ("[{name: a, kind: regex, patern: x}]", "suite.yaml:9:34 scorers.0.patern: unknown key; did you mean 'pattern'?"),
    (
        "[{name: a, kind: regex, pattern: 'T-[0-9'}]",
        "suite.yaml:9:43 scorers.0.pattern: not a regular expression: unterminated character set at position 2",
    ),
    ("[{name: a, kind: grammar, lark: 5}]", "suite.yaml:9:42 scorers.0.lark: must be a valid string, not 5"),
    ("[{name: a, kind: number, relative: 200%}]", "suite.yaml:9:45 scorers.0.relative: must be less than or equal"),
    ("[{name: a, kind: number, absolute: -1}]", "suite.yaml:9:45 scorers.0.absolute: must be greater than or equal"),
    ("[{name: a, kind: contains, texts: []}]", "suite.yaml:9:44 scorers.0.texts: "),
    ("[{name: a, kind: contains, texts: [' ']}]", "suite.yaml:9:45 scorers.0.texts.0: "),
    ("[{name: a, kind: refusal, phrases: ['...']}]", "suite.yaml:9:46 scorers.0.phrases.0: "),
]


@pytest.mark.parametrize(("scorers", "problem"), REFUSED_ON_LOADING)
def test_a_declaration_is_refused_with_its_place_when_it_is_wrong(scorers: str, problem: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        suite_of(scorers)
    lines = str(caught.value).splitlines()
    assert any(line.startswith(problem) for line in lines), lines


REFUSED_BEFORE_THE_RUN: list[tuple[str, str, str]] = [
    ("[]", "mine", "checks.0: there is no scorer 'mine'; known: exact_match, "),
    ("[{name: exact_match, kind: number}]", "exact_match", "scorers.0.name: 'exact_match' is a scorer of the harness"),
    ("[{name: a, kind: regex, pattern: '.?'}, bleu]", "bleu", ""),
    ("[bleu, {name: a, kind: regex, pattern: 'a*', match: anywhere}]", "a", "scorers.1 (a): it accepts every text"),
    ("[{name: a, kind: xml_schema, xsd: <a/>}]", "a", "scorers.0 (a): not an XML Schema: "),
    ("[{name: a, kind: brier, correct: rouge_l}]", "a", "scorers (a): `correct: rouge_l` cannot say whether"),
    ("[{name: a, kind: brier, correct: a}]", "a", "scorers (a): `correct: a` cannot say whether"),
    ("[{name: a, kind: brier, correct: brier}]", "a", "scorers (a): `correct: brier` cannot say whether"),
    ("[{name: a, kind: brier, correct: macro_f1}]", "a", "scorers (a): `correct: macro_f1` cannot say whether"),
    (
        "[{name: a, kind: brier, correct: b}, {name: b, kind: brier, confidence: logprob}]",
        "a",
        "scorers (a): `correct: b` cannot say whether",
    ),
]


@pytest.mark.parametrize(("scorers", "check", "problem"), REFUSED_BEFORE_THE_RUN)
def test_a_suite_is_refused_before_the_run_when_a_scorer_cannot_judge(scorers: str, check: str, problem: str) -> None:
    suite = suite_of(scorers, check)
    if not problem:
        refuse_unknown_scorers(suite)
        return
    with pytest.raises(InvalidInputError) as caught:
        refuse_unknown_scorers(suite)
    assert str(caught.value).startswith(problem)


def test_a_declared_scorer_says_what_is_right_when_a_brier_names_it() -> None:
    suite = suite_of("[{name: sure, kind: brier, correct: near}, {name: near, kind: number, absolute: 1}]")
    scorer = scorers_of(suite)["sure"]
    assert apply_scorer(scorer, "41\nConfidence: 100%", example("42"), None) == Score(1.0)


def answer(text: str, logprob: float | None, error: str | None = None) -> Prediction:
    return Prediction(
        example_id="e0",
        system="candidate",
        dataset="test",
        text=text,
        stop="error" if error else "end",
        prompt_tokens=1,
        output_tokens=1,
        seconds=0.0,
        error=error,
        logprob=logprob,
    )


UNTOLD = Unscored("the model does not tell its probabilities")


@pytest.mark.parametrize(
    ("given", "result", "found"),
    [
        (answer("42.0", log(0.5)), Score(0.75), (0.5, True)),
        (answer("41", log(0.5)), Score(0.75), (0.5, False)),
        (answer("42.0", 0.0), Score(1.0), (1.0, True)),
        (answer("42 (confidence: 10%)", 0.0), Score(0.0), (1.0, False)),  # its last number is 10%
        (answer("42.0", None), UNTOLD, None),
        (answer("", -1.0, "timed out"), Unscored("no answer: timed out"), None),
    ],
)
def test_the_model_says_how_sure_it_is_when_a_brier_asks_for_its_log_probability(
    given: Prediction, result: object, found: object
) -> None:
    suite = suite_of("[{name: sure, kind: brier, correct: number, confidence: logprob}]", "sure")
    refuse_unknown_scorers(suite)
    known = scorers_of(suite)
    assert score_answer("sure", given, example("42"), None, known) == result
    assert confidence_in(known["sure"], given, example("42")) == found
    assert known["sure"].description == "1 - (the model's probability of the answer - right)², right by number"


NO, YES = "I can't help with that.", "Press the red button."

BY_LOGPROB = {
    "sure": "[{name: sure, kind: brier, confidence: logprob}]",
    "near": "[{name: near, kind: brier, correct: number, confidence: logprob}]",
}
# Scorer, rows as (target, tags), and the problem; none when the rows can be judged.
ROWS: list[tuple[str, list[tuple[str, tuple[str, ...]]], str]] = [
    ("number", [("41", ()), ("42", ())], ""),
    ("number", [("41", ()), ("forty-two", ())], "test.jsonl:1: 'number' cannot judge it: the target has no number"),
    ("label_f1", [("a, b", ()), ("{}", ())], "test.jsonl:1: 'label_f1' cannot judge it: the target is neither"),
    ("field_f1", [("{}", ()), ("refund", ())], "test.jsonl:1: 'field_f1' cannot judge it: the target is not JSON"),
    ("refusal", [(NO, ("refuse",)), (YES, ("answer",))], ""),
    ("refusal", [(NO, ("refuse",)), (YES, ())], "test.jsonl:1: 'refusal' cannot judge it: the example needs one of"),
    ("refusal", [(YES, ("refuse",)), (YES, ("answer",))], "test.jsonl:0: its own target scores 0.00 by 'refusal'"),
    ("refusal", [(NO, ("refuse",)), (NO, ("refuse",))], "data.test: by 'refusal', one constant answer is right"),
    ("abstention", [("null", ()), ("billing", ())], ""),
    ("abstention", [("tech", ()), ("billing", ())], "data.test: by 'abstention', one constant answer is right"),
    ("exact_match", [("tech", ()), ("tech", ())], "data.test: by 'exact_match', one constant answer is right"),
    ("brier", [("tech", ()), ("billing", ())], ""),
    ("sure", [("tech", ()), ("billing", ())], ""),
    ("sure", [("tech", ()), ("tech", ())], "data.test: by 'sure', one constant answer is right for all 2"),
    ("near", [("41", ()), ("42", ())], ""),
    ("near", [("41", ()), ("forty-two", ())], "test.jsonl:1: 'near' cannot judge it: the target has no number"),
    ("macro_f1", [("tech", ()), ("billing", ())], ""),
    ("macro_f1", [("tech", ()), ("tech ", ())], "data.test: by 'macro_f1', one constant answer is right for all 2"),
    ("macro_f1", [("tech", ()), (" ", ())], "test.jsonl:1: 'macro_f1' cannot judge it: the target is empty, so it"),
    ("chrf", [("a", ()), ("退", ())], ""),
    ("bleu", [("a", ()), ("b c", ())], ""),
    ("rouge_l", [("a", ()), ("...", ())], "test.jsonl:1: 'rouge_l' cannot judge it: the target has no words"),
    ("json_valid", [("a", ()), ("a", ())], ""),
]


@pytest.mark.parametrize(("scorer", "rows", "problem"), ROWS)
def test_examples_are_refused_before_the_run_when_a_scorer_cannot_judge_them(
    scorer: str, rows: list[tuple[str, tuple[str, ...]]], problem: str
) -> None:
    suite = suite_of(BY_LOGPROB.get(scorer, "[]"), scorer)
    test = [example(target, *tags, number=number) for number, (target, tags) in enumerate(rows)]
    if not problem:
        refuse_unscorable_examples(suite, test)
        return
    with pytest.raises(InvalidInputError) as caught:
        refuse_unscorable_examples(suite, test)
    assert str(caught.value).startswith(problem)


def test_the_first_rows_at_fault_are_named_when_there_are_many() -> None:
    test = [example("none", number=number) for number in range(25)]
    with pytest.raises(InvalidInputError) as caught:
        refuse_unscorable_examples(suite_of("[]", "number"), test)
    lines = str(caught.value).splitlines()
    assert (len(lines), lines[-1]) == (21, "... and 5 more")
