"""From a stored run to what the gate looks at: every answer scored, every arm complete or refused."""

from __future__ import annotations

from collections.abc import Iterator

from harness.gate.evidence import Evidence, index_answers, index_benchmarks, index_drift, index_scores
from harness.gate.requirements import refuse_incomplete_plan, refuse_unknown_scorers
from harness.records import Prediction, ScoredAnswer
from harness.scoring.apply import score_answer
from harness.scoring.json_schema import SchemaValidator
from harness.store.runs import StoredRun
from harness.suite.schema import BetterThan, KLDivergence, Suite


def assemble_evidence(run: StoredRun, suite: Suite) -> tuple[tuple[ScoredAnswer, ...], Evidence]:
    """Every score of a run, and the evidence that the checks decide on.

    Raises:
        BrokenRunError: an arm, an answer or an outcome is missing or does not pair.
    """
    refuse_unknown_scorers(suite)
    refuse_incomplete_plan(suite, run.manifest.planned, run.manifest.absent_systems)
    answers = index_answers(run.predictions, run.examples, run.manifest.planned)
    scores = tuple(_score(suite, run, answers, schema_validator(run)))
    present = tuple(name for name in suite.baselines if name not in run.manifest.absent_systems)
    evidence = Evidence(
        candidate=suite.candidate,
        baselines=present,
        absent=run.manifest.absent_systems,
        examples=run.examples,
        answers=answers,
        scores=index_scores(scores),
        benchmarks=index_benchmarks(run.benchmarks, suite.benchmarks, suite.candidate),
        drift=index_drift(run.drift, (c.prompts for c in suite.checks if isinstance(c, KLDivergence))),
        training=run.training,
        liveness=run.liveness,
        seed=run.manifest.seed,
    )
    return scores, evidence


def schema_validator(run: StoredRun) -> SchemaValidator | None:
    """The validator of the run's JSON Schema, when it has one."""
    return SchemaValidator(run.schema) if run.schema is not None else None


def scorers_for(suite: Suite, dataset: str, *, has_schema: bool) -> list[str]:
    """The scorers of a data set: those that the checks and the suite name, and the plain ones."""
    if dataset != "test":
        return ["json_valid", "schema_valid"] if has_schema else []
    named = [check.scorer for check in suite.checks if isinstance(check, BetterThan)]
    schema = ["schema_valid", "field_f1"] if has_schema else []
    return list(dict.fromkeys([*named, "exact_match", *schema, *suite.scorers]))


def _score(
    suite: Suite,
    run: StoredRun,
    answers: dict[tuple[str, str], dict[str, Prediction]],
    validator: SchemaValidator | None,
) -> Iterator[ScoredAnswer]:
    for (system, dataset), found in answers.items():
        for scorer in scorers_for(suite, dataset, has_schema=validator is not None):
            for example in run.examples[dataset]:
                result = score_answer(scorer, found[example.id], example, validator)
                yield ScoredAnswer(example_id=example.id, system=system, dataset=dataset, scorer=scorer, result=result)
