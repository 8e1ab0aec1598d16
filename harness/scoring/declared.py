"""Scorers that a suite declares: each is a function of this package with its parameters bound."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import assert_never

from harness.errors import InvalidInputError
from harness.scoring import abstention, calibration, numeric, refusal, text, validators
from harness.scoring.apply import SCORERS, ScorerInfo
from harness.scoring.validators import Validator, validator
from harness.suite.schema import Suite
from harness.suite.scorers import (
    AbstentionScorer,
    BrierScorer,
    ContainsScorer,
    GrammarScorer,
    NumberScorer,
    RefusalScorer,
    RegexScorer,
    XmlSchemaScorer,
)


def scorers_of(suite: Suite) -> dict[str, ScorerInfo]:
    """Every scorer that a suite may use by name: the harness's own and those that it declares.

    Raises:
        InvalidInputError: a declared name that the harness has, or a `correct` that cannot say what is right.
    """
    for index, name in enumerate(suite.scorers):
        if name in SCORERS and any(spec.name == name for spec in suite.declared_scorers):
            raise InvalidInputError(f"scorers.{index}.name: '{name}' is a scorer of the harness; take another name")
    plain = [spec for spec in suite.declared_scorers if not isinstance(spec, BrierScorer)]
    known = SCORERS | {spec.name: _bound(spec) for spec in plain}
    briers = {spec.name: _brier(spec, known) for spec in suite.declared_scorers if isinstance(spec, BrierScorer)}
    return known | briers


def validators_of(suite: Suite) -> dict[str, Validator]:
    """The validator of each declared scorer that judges by one; their processes are not started yet."""
    judging = [
        spec for spec in suite.declared_scorers if isinstance(spec, RegexScorer | XmlSchemaScorer | GrammarScorer)
    ]
    return {spec.name: _validator(spec) for spec in judging}


def _validator(spec: RegexScorer | XmlSchemaScorer | GrammarScorer) -> Validator:
    match spec:
        case RegexScorer():
            return validator("regex_whole" if spec.match == "whole" else "regex_anywhere", spec.pattern)
        case XmlSchemaScorer():
            return validator("xml_schema", spec.xsd)
        case GrammarScorer():
            return validator("grammar", spec.lark)


def _bound(
    spec: NumberScorer
    | ContainsScorer
    | RegexScorer
    | XmlSchemaScorer
    | GrammarScorer
    | RefusalScorer
    | AbstentionScorer,
) -> ScorerInfo:
    match spec:
        case NumberScorer():
            function = partial(numeric.number, absolute=spec.absolute, relative=spec.relative)
            within = f"within {spec.absolute:g} or {spec.relative:.2%}"
            return ScorerInfo(function=function, description=f"the target's number, {within}", needs_target=True)
        case ContainsScorer():
            texts = tuple(spec.texts)
            bound = partial(text.contains, texts=texts, require=spec.require, ignore_case=spec.ignore_case)
            return ScorerInfo(function=bound, description=f"contains {spec.require} of {len(texts)} texts")
        case RefusalScorer():
            refusing = partial(refusal.refusal, phrases=tuple(spec.phrases))
            return ScorerInfo(function=refusing, description=SCORERS["refusal"].description, needs_tags=True)
        case AbstentionScorer():
            abstaining = partial(abstention.abstention, labels=tuple(spec.labels))
            return ScorerInfo(function=abstaining, description=SCORERS["abstention"].description, needs_target=True)
        case RegexScorer() | XmlSchemaScorer() | GrammarScorer():
            by, description = _validator(spec), f"the raw answer is accepted by its {spec.kind}"
            judging = partial(validators.accepted, by=by)
            return ScorerInfo(function=judging, description=description, read_ahead=by.read_ahead)
        case _:
            assert_never(spec)


def _brier(spec: BrierScorer, known: Mapping[str, ScorerInfo]) -> ScorerInfo:
    scorer = known.get(spec.correct)
    usable = [
        name
        for name, info in known.items()
        if info.needs_target and info.target_is_best and not info.weak and info.corpus is None
    ]
    if scorer is None or spec.correct not in usable:
        raise InvalidInputError(
            f"scorers ({spec.name}): `correct: {spec.correct}` cannot say whether an answer is right; "
            f"one of {', '.join(usable)} can"
        )
    by_logprob = spec.confidence == "logprob"
    source = "the model's probability of the answer" if by_logprob else "stated confidence"
    return ScorerInfo(
        function=partial(calibration.brier, correct=scorer.function),
        description=f"1 - ({source} - right)², right by {spec.correct}",
        needs_target=True,
        needs_logprob=by_logprob,
        target_is_best=by_logprob,  # when it is certain; as a text it states no confidence
        confidence=partial(calibration.confidence, correct=scorer.function),
    )
