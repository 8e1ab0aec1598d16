"""What the checks look at: answers, scores and outcomes by system, complete or refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from harness.errors import BrokenRunError
from harness.findings import Parity
from harness.records import (
    BASE_MODEL,
    BenchmarkResult,
    DriftRow,
    Example,
    LeakedExample,
    Liveness,
    Prediction,
    Preference,
    ScoredAnswer,
    ScoreResult,
    TrainingHistory,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The facts of one run. `answers` and `scores` hold exactly the examples of their data set."""

    candidate: str
    replicas: tuple[str, ...] = ()  # the candidate's recipe with other seeds
    baselines: tuple[str, ...]  # those that took part
    absent: Mapping[str, str]  # baseline -> why it did not
    examples: Mapping[str, tuple[Example, ...]]
    answers: Mapping[tuple[str, str], Mapping[str, Prediction]]  # (system, data set) -> example id -> first answer
    scores: Mapping[tuple[str, str, str], Mapping[str, ScoreResult]]  # (system, data set, scorer) -> id -> score
    benchmarks: Mapping[tuple[str, str], BenchmarkResult]  # (benchmark, system)
    drift: Mapping[str, tuple[DriftRow, ...]]  # file of general rows, as the suite names it -> its rows
    preferences: Mapping[tuple[str, str], Mapping[str, Preference]]  # (judge, baseline) -> test example id
    pool: Mapping[str, int]  # data set -> how many examples it has, used or not
    training: TrainingHistory | None
    liveness: Liveness | None
    seed: int
    locked: str | None = None  # when the suite was locked, ISO 8601; None: it was not
    leaks: tuple[LeakedExample, ...] = ()  # test examples that stand among the training rows
    served: Mapping[str, Parity] = field(default_factory=dict)  # check -> what was found out about its server


def index_answers(
    predictions: Iterable[Prediction],
    examples: Mapping[str, tuple[Example, ...]],
    planned: Mapping[str, int],
    *,
    samples: int = 1,
) -> dict[tuple[str, str], dict[str, tuple[Prediction, ...]]]:
    """Answers by (system, data set) and example id, each example's in the order of their samples.

    `planned` maps "system/dataset" to the number of answers that must be there; `samples` is how many of them each
    test example has, and the cases of other data sets have one.

    Raises:
        BrokenRunError: an arm is missing, an id was answered twice or too seldom, or the ids are not those of the
            data set; a partial arm would be compared on the rows it liked best.
    """
    numbered: dict[tuple[str, str], dict[str, dict[int, Prediction]]] = {}
    for prediction in predictions:
        arm = numbered.setdefault((prediction.system, prediction.dataset), {})
        given = arm.setdefault(prediction.example_id, {})
        if prediction.sample in given:
            where = f"{prediction.system}/{prediction.dataset}"
            raise BrokenRunError(f"{where}: example {prediction.example_id!r} was answered twice")
        given[prediction.sample] = prediction
    indexed = {
        name: {key: tuple(given[number] for number in sorted(given)) for key, given in arm.items()}
        for name, arm in numbered.items()
    }
    for dataset, rows in examples.items():
        if len({row.id for row in rows}) != len(rows):
            raise BrokenRunError(f"{dataset}: an example stands in the data set twice")
    for name, count in planned.items():
        system, _, dataset = name.rpartition("/")
        if dataset not in examples:
            raise BrokenRunError(f"{name}: answers were planned, and the evidence has no such data set")
        found = indexed.get((system, dataset))
        if found is None:
            raise BrokenRunError(f"{name}: the arm is missing from the evidence; {count} answers were planned")
        _require_equal_ids(name, {example.id for example in examples[dataset]}, set(found))
        _require_samples(name, found, samples if dataset == "test" else 1)
    unplanned = sorted(f"{system}/{dataset}" for system, dataset in indexed if f"{system}/{dataset}" not in planned)
    if unplanned:
        raise BrokenRunError(f"{unplanned[0]}: answers of an arm that was not planned")
    return indexed


def index_scores(scores: Iterable[ScoredAnswer]) -> dict[tuple[str, str, str], dict[str, ScoreResult]]:
    """Scores by (system, data set, scorer) and example id."""
    indexed: dict[tuple[str, str, str], dict[str, ScoreResult]] = {}
    for score in scores:
        indexed.setdefault((score.system, score.dataset, score.scorer), {})[score.example_id] = score.result
    return indexed


def index_drift(rows: Iterable[DriftRow], wanted: Iterable[str]) -> dict[str, tuple[DriftRow, ...]]:
    """Rows by the file they come from.

    Raises:
        BrokenRunError: a file has fewer than two rows in the evidence, or one of them twice.
    """
    indexed: dict[str, dict[str, DriftRow]] = {}
    for row in rows:
        if row.example_id in indexed.setdefault(row.prompts, {}):
            raise BrokenRunError(f"{row.prompts}: {row.example_id!r} was measured twice")
        indexed[row.prompts][row.example_id] = row
    for name in wanted:
        if len(indexed.get(name, {})) < 2:
            raise BrokenRunError(f"{name}: the divergence on its rows is missing from the evidence")
    return {name: tuple(found.values()) for name, found in indexed.items()}


def index_preferences(
    rows: Iterable[Preference], wanted: Iterable[tuple[str, str]], examples: Iterable[Example]
) -> dict[tuple[str, str], dict[str, Preference]]:
    """Preferences by (judge, baseline) and test example id; `wanted` names the pairs that must be there.

    Raises:
        BrokenRunError: a preference is missing, there twice, of an unknown example, judge or baseline, or neither
            one value from -1, 0 and 1 for each order nor an error.
    """
    indexed: dict[tuple[str, str], dict[str, Preference]] = {pair: {} for pair in wanted}
    for row in rows:
        where = f"judge {row.judge} on {row.baseline}"
        if (row.judge, row.baseline) not in indexed:
            raise BrokenRunError(f"{where}: preferences that no check of the suite asks for")
        if row.example_id in indexed[row.judge, row.baseline]:
            raise BrokenRunError(f"{where}: example {row.example_id!r} was judged twice")
        _require_values(where, row)
        indexed[row.judge, row.baseline][row.example_id] = row
    ids = {example.id for example in examples}
    for (judge, baseline), found in indexed.items():
        _require_equal_ids(f"judge {judge} on {baseline}", ids, set(found))
    return indexed


def require_known(leaks: Iterable[LeakedExample], examples: Iterable[Example]) -> tuple[LeakedExample, ...]:
    """The leaks, once each is found to be of another test example.

    Raises:
        BrokenRunError: a leak of an example that there is not, or two of one.
    """
    left = {example.id for example in examples}
    found = tuple(leaks)
    for leak in found:
        if leak.example_id not in left:
            raise BrokenRunError(f"leaks: example {leak.example_id!r} is not in the test set, or is there twice")
        left.remove(leak.example_id)
    return found


def without_leaks(evidence: Evidence) -> Evidence:
    """The evidence as it were without the test examples that stand among the training rows."""
    leaked = {leak.example_id for leak in evidence.leaks}
    clean = tuple(example for example in evidence.examples["test"] if example.id not in leaked)

    def kept(found: Mapping[str, T]) -> dict[str, T]:
        return {key: item for key, item in found.items() if key not in leaked}

    return replace(
        evidence,
        examples={**evidence.examples, "test": clean},
        answers={arm: kept(found) if arm[1] == "test" else found for arm, found in evidence.answers.items()},
        scores={arm: kept(found) if arm[1] == "test" else found for arm, found in evidence.scores.items()},
        preferences={pair: kept(found) for pair, found in evidence.preferences.items()},
        pool={**evidence.pool, "test": evidence.pool["test"] - len(evidence.examples["test"]) + len(clean)},
        leaks=(),
    )


def index_benchmarks(
    results: Iterable[BenchmarkResult], declared: Iterable[str], candidate: str
) -> dict[tuple[str, str], BenchmarkResult]:
    """Benchmark results by (benchmark, system).

    Raises:
        BrokenRunError: the base model or the candidate is missing, or they answered other questions or another
            version of the task.
    """
    indexed: dict[tuple[str, str], BenchmarkResult] = {}
    for result in results:
        if (result.benchmark, result.system) in indexed:
            raise BrokenRunError(f"benchmark {result.benchmark}: there are two results of {result.system}")
        indexed[result.benchmark, result.system] = result
    for name in declared:
        base, tuned = indexed.get((name, BASE_MODEL)), indexed.get((name, candidate))
        if base is None or tuned is None:
            missing = BASE_MODEL if base is None else candidate
            raise BrokenRunError(f"benchmark {name}: the outcomes of {missing} are missing from the evidence")
        _require_pairs(base, tuned)
    return indexed


def refuse_partial(evidence: Evidence) -> None:
    """Every arm must have exactly one score for each example of its data set, and what is paired must pair.

    Raises:
        BrokenRunError: naming the arm; a partial one would be compared on the rows it liked best.
    """
    for (system, dataset, scorer), found in evidence.scores.items():
        ids = {example.id for example in evidence.examples[dataset]}
        if len(ids) != len(evidence.examples[dataset]):
            raise BrokenRunError(f"{dataset}: an example stands in the data set twice")
        _require_equal_ids(f"{system}/{dataset}/{scorer}", ids, set(found))
    for (judge, baseline), preferences in evidence.preferences.items():
        ids = {example.id for example in evidence.examples["test"]}
        _require_equal_ids(f"judge {judge} on {baseline}", ids, set(preferences))
    for name, system in evidence.benchmarks:
        if system == BASE_MODEL and (name, evidence.candidate) in evidence.benchmarks:
            _require_pairs(evidence.benchmarks[name, BASE_MODEL], evidence.benchmarks[name, evidence.candidate])


def _require_pairs(base: BenchmarkResult, tuned: BenchmarkResult) -> None:
    name = f"benchmark {base.benchmark}"
    if base.task_digest != tuned.task_digest:
        raise BrokenRunError(f"{name}: the two systems answered different versions of the task")
    ids = [[outcome.question_id for outcome in result.outcomes] for result in (base, tuned)]
    if any(len(set(side)) != len(side) for side in ids):
        raise BrokenRunError(f"{name}: a question was answered twice")
    _require_equal_ids(name, set(ids[0]), set(ids[1]))


def _require_values(where: str, row: Preference) -> None:
    values = (row.shown_first, row.shown_second)
    # By type too: True equals 1 and 0.0 equals 0, and neither is what a judge was read as.
    judged = row.error is None and all(type(value) is int and value in (-1, 0, 1) for value in values)
    failed = row.error is not None and values == (None, None)
    if not (judged or failed):
        raise BrokenRunError(
            f"{where}: example {row.example_id!r} has the values {values[0]} and {values[1]}; they must be -1, 0 or 1, "
            "or both missing with an error"
        )


def _require_samples(name: str, found: Mapping[str, tuple[Prediction, ...]], samples: int) -> None:
    for key, answers in found.items():
        if [answer.sample for answer in answers] != list(range(samples)):
            raise BrokenRunError(f"{name}: example {key!r} has {len(answers)} answers and needs {samples}")


def _require_equal_ids(name: str, expected: set[str], found: set[str]) -> None:
    if expected != found:
        missing, extra = sorted(expected - found), sorted(found - expected)
        parts = [f"{len(missing)} missing (first {missing[0]!r})"] if missing else []
        parts += [f"{len(extra)} unknown (first {extra[0]!r})"] if extra else []
        raise BrokenRunError(f"{name}: the ids are not those of the data set: {', '.join(parts)}")
