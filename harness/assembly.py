"""From answers to what the gate looks at: every answer scored, every arm complete or refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from harness.errors import BrokenRunError
from harness.findings import Parity
from harness.gate.benchmark_drop import benchmark_drop
from harness.gate.better_than import better_than
from harness.gate.evidence import (
    Evidence,
    index_answers,
    index_benchmarks,
    index_drift,
    index_preferences,
    index_scores,
    require_known,
)
from harness.gate.requirements import preferences_wanted, refuse_incomplete_plan, refuse_unknown_scorers
from harness.gate.results import check_name
from harness.gate.served_as_judged import Rival, index_served, judge_parity, judged_answers
from harness.records import BenchmarkResult, Example, Prediction, Score, ScoredAnswer, ScoreResult, Unscored
from harness.scoring.apply import read_ahead, score_answer
from harness.scoring.declared import scorers_of
from harness.scoring.json_schema import SchemaValidator
from harness.stats.seeds import item_means
from harness.store.runs import StoredRun
from harness.suite.checks import BenchmarkDrop, BetterThan, KLDivergence, RecipeBetterThan, ServedAsJudged
from harness.suite.schema import Suite
from harness.suite.systems import EndpointSystem


def assemble_evidence(run: StoredRun, suite: Suite) -> tuple[tuple[ScoredAnswer, ...], Evidence]:
    """Every score of a run, and the evidence that the checks decide on.

    Raises:
        BrokenRunError: an arm, an answer or an outcome is missing or does not pair.
    """
    refuse_unknown_scorers(suite)
    refuse_incomplete_plan(suite, run.manifest.planned, run.manifest.absent_systems)
    if run.training is None and run.manifest.counters.trained_tokens:
        raise BrokenRunError("the history of the training is missing from the evidence")
    answers = index_answers(run.predictions, run.examples, run.manifest.planned, samples=suite.decoding.samples)
    scores = tuple(score_answers(suite, run.examples, answers, schema_validator(run)))
    present = tuple(name for name in suite.baselines if name not in run.manifest.absent_systems)
    evidence = Evidence(
        candidate=suite.candidate,
        replicas=tuple(suite.replicas),
        baselines=present,
        absent=run.manifest.absent_systems,
        examples=run.examples,
        answers=_first_answers(answers),
        scores=index_scores(scores),
        benchmarks=index_benchmarks(run.benchmarks, suite.benchmarks, suite.candidate),
        drift=index_drift(run.drift, (c.prompts for c in suite.checks if isinstance(c, KLDivergence))),
        preferences=index_preferences(
            run.preferences, preferences_wanted(suite, run.manifest.absent_systems), run.examples["test"]
        ),
        pool=run.manifest.pool,
        training=run.training,
        liveness=run.liveness,
        seed=run.manifest.seed,
        locked=run.manifest.locked,
        leaks=require_known(run.leaks.leaks, run.examples["test"]),
        served=_served(run, suite),
    )
    return scores, evidence


def _served(run: StoredRun, suite: Suite) -> dict[str, Parity]:
    """What each `served_as_judged` check's server is found to serve."""
    rivals = rivals_of(run, suite)
    return {
        check_name(check): judge_parity(
            index_served(run.served, check, run.examples["test"], seed=suite.seed),
            judged_answers(run.predictions, suite.candidate, stops=bool(suite.decoding.stop)),
            rivals,
            tolerance=check.tolerance,
            untold=untold_by(rivals, run, suite),
        )
        for check in suite.checks
        if isinstance(check, ServedAsJudged)
    }


def rivals_of(run: StoredRun, suite: Suite) -> tuple[Rival, ...]:
    """What a server could answer with under the candidate's prompt: the base model, and adapters asked with it."""
    own = _prompt(run, suite, suite.candidate)
    bare = [name for name in suite.bare_prompts if _prompt(run, suite, name) == own]
    tuned = [
        fact.name
        for fact in run.manifest.systems
        if fact.kind == "adapter" and fact.name != suite.candidate and _prompt(run, suite, fact.name) == own
    ]
    stops = bool(suite.decoding.stop)
    return tuple(
        Rival(name=name, is_base=name in bare, answers=judged_answers(run.predictions, name, stops=stops))
        for name in dict.fromkeys([*bare, *tuned])
    )


def untold_by(rivals: Iterable[Rival], run: StoredRun, suite: Suite) -> tuple[str, ...]:
    """The run's other adapters, those that a server loaded among them, that none of the rivals is."""
    told = {suite.candidate, *(rival.name for rival in rivals)}
    loaded = {
        name
        for name, spec in suite.systems.items()
        if isinstance(spec, EndpointSystem) and spec.served_adapter is not None
    }
    names = [fact.name for fact in run.manifest.systems if fact.kind == "adapter" or fact.name in loaded]
    return tuple(name for name in names if name not in told)


def _prompt(run: StoredRun, suite: Suite, name: str) -> str | None:
    """The digest of an arm's system message; that of a replica is the candidate's."""
    return run.manifest.digests.get(f"prompt:{suite.candidate if name in suite.replicas else name}")


def schema_validator(run: StoredRun) -> SchemaValidator | None:
    """The validator of the run's JSON Schema, when it has one."""
    return SchemaValidator(run.schema) if run.schema is not None else None


def scorers_for(suite: Suite, dataset: str, *, has_schema: bool) -> list[str]:
    """The scorers of a data set: those that the checks and the suite name, and the plain ones."""
    if dataset != "test":
        return ["json_valid", "schema_valid"] if has_schema else []
    named = [check.scorer for check in suite.checks if isinstance(check, BetterThan | RecipeBetterThan)]
    schema = ["schema_valid", "field_f1"] if has_schema else []
    return list(dict.fromkeys([*named, "exact_match", *schema, *suite.scorers]))


def score_answers(
    suite: Suite,
    examples: Mapping[str, tuple[Example, ...]],
    answers: Mapping[tuple[str, str], Mapping[str, tuple[Prediction, ...]]],
    validator: SchemaValidator | None,
) -> Iterator[ScoredAnswer]:
    """Every example scored by every scorer of its data set: the mean over its answers."""
    known = scorers_of(suite)
    for (system, dataset), found in answers.items():
        texts = [answer.text for given in found.values() for answer in given if answer.error is None]
        for scorer in scorers_for(suite, dataset, has_schema=validator is not None):
            read_ahead(scorer, texts, validator, known)
            for example in examples[dataset]:
                results = [score_answer(scorer, answer, example, validator, known) for answer in found[example.id]]
                result = results[0] if len(results) == 1 else _mean(results)
                yield ScoredAnswer(example_id=example.id, system=system, dataset=dataset, scorer=scorer, result=result)


def _mean(results: Sequence[ScoreResult]) -> ScoreResult:
    """The mean over the answers to one example; one that is missing leaves the example unscored."""
    missing = next((result for result in results if isinstance(result, Unscored)), None)
    if missing is not None:
        return missing
    return Score(float(item_means([[r.value for r in results if isinstance(r, Score)]])[0]))


def _first_answers(
    answers: Mapping[tuple[str, str], Mapping[str, tuple[Prediction, ...]]],
) -> dict[tuple[str, str], dict[str, Prediction]]:
    return {arm: {key: given[0] for key, given in found.items()} for arm, found in answers.items()}


def gains_settled(
    suite: Suite,
    examples: tuple[Example, ...],
    predictions: Iterable[Prediction],
    *,
    absent: Mapping[str, str],
    validator: SchemaValidator | None,
    pool: int,
) -> bool:
    """Whether every gain that the suite asks for is decided on the examples answered so far, in their order."""
    names = [name for name in suite.systems if name not in absent]
    test = {"test": examples}
    each = len(examples) * suite.decoding.samples
    planned = {f"{name}/test": each for name in [*names, *suite.replicas]}
    answers = index_answers(predictions, test, planned, samples=suite.decoding.samples)
    evidence = Evidence(
        candidate=suite.candidate,
        baselines=tuple(name for name in suite.baselines if name not in absent),
        absent=absent,
        examples=test,
        answers=_first_answers(answers),
        scores=index_scores(score_answers(suite, test, answers, validator)),
        benchmarks={},
        drift={},
        preferences={},
        pool={"test": pool},
        training=None,
        liveness=None,
        seed=suite.seed,
    )
    results = [
        result
        for check in suite.checks
        if isinstance(check, BetterThan)
        for result in better_than(check, evidence, suite.statistics.per_look)
    ]
    return all(result.status != "undecided" for result in results if result.baseline not in absent)


def drop_settled(suite: Suite, results: Sequence[BenchmarkResult]) -> bool:
    """Whether every check of lost ability is decided on the questions answered so far, in their order.

    A benchmark that no such check reads is never settled early.
    """
    name = results[0].benchmark
    evidence = Evidence(
        candidate=suite.candidate,
        baselines=(),
        absent={},
        examples={},
        answers={},
        scores={},
        benchmarks=index_benchmarks(results, [name], suite.candidate),
        drift={},
        preferences={},
        pool={},
        training=None,
        liveness=None,
        seed=suite.seed,
    )
    checks = [check for check in suite.checks if isinstance(check, BenchmarkDrop) and check.benchmark == name]
    found = [benchmark_drop(check, evidence, suite.statistics.per_look) for check in checks]
    return bool(found) and all(result.status != "undecided" for result in found)


def differing_answers(answers: Iterable[Prediction], candidate: str, twin: str) -> tuple[int, int]:
    """How many test answers of the candidate there are, and how many are not those of the base model."""
    ours, theirs = (
        {(p.example_id, p.sample): p.text for p in answers if (p.system, p.dataset, p.error) == (name, "test", None)}
        for name in (candidate, twin)
    )
    both = ours.keys() & theirs.keys()
    return len(both), sum(ours[key] != theirs[key] for key in both)
