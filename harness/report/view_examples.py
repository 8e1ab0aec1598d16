"""Every example with every system's answer, and where the candidate is better or worse than a baseline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.findings import RunRecord
from harness.records import BEST, WORST, Example, Prediction, Score, ScoreResult, Unscored
from harness.report.formatting import NOTHING, clean, number
from harness.report.page import Answer, ChangeSet, ExampleRow, ExampleSet, Outcome, Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class _Index:
    """A record's answers and scores, to be looked up by (data set, system, example)."""

    systems: tuple[str, ...]
    scorers: tuple[str, ...]
    headlines: Mapping[str, str]  # data set -> the scorer that tells better from worse
    predictions: Mapping[tuple[str, str, str], Sequence[Prediction]]  # in the order of their samples
    scores: Mapping[tuple[str, str, str], Mapping[str, ScoreResult]]


def example_set(record: RunRecord) -> ExampleSet:
    """Return every example that at least one system answered, the test set first."""
    index = _index(record)
    datasets = sorted(record.examples, key=lambda name: name != "test")
    rows = [
        row
        for dataset in datasets
        for example in record.examples[dataset]
        if any((row := _example_row(index, dataset, example)).answers)
    ]
    answered = {row.dataset for row in rows}
    shown = [name for name in datasets if clean(name) in answered]
    return ExampleSet(
        systems=tuple(clean(name) for name in index.systems),
        datasets=tuple(clean(name) for name in shown),
        scorers=tuple(clean(name) for name in index.scorers),
        headlines=tuple(clean(index.headlines.get(name, "")) for name in shown),
        tags=tuple(sorted({tag for row in rows for tag in row.tags})),
        rows=tuple(rows),
    )


def change_sets(examples: ExampleSet) -> tuple[ChangeSet, ...]:
    """Return, for each baseline, the examples of the first data set that are answered better or worse."""
    rows = [row for row in examples.rows if row.dataset == examples.datasets[0]]
    return tuple(
        ChangeSet(
            baseline=name,
            system=place,
            better=_with_outcome(rows, place, "better"),
            worse=_with_outcome(rows, place, "worse"),
        )
        for place, name in enumerate(examples.systems)
        if place > 0
    )


def _with_outcome(rows: Sequence[ExampleRow], place: int, outcome: Outcome) -> tuple[ExampleRow, ...]:
    found = [row for row in rows if (answer := row.answers[place]) and answer.outcome == outcome]
    return tuple(sorted(found, key=lambda row: _difference(row, place), reverse=True))


def _difference(row: ExampleRow, place: int) -> float:
    values = [answer.value for answer in (row.answers[0], row.answers[place]) if answer and answer.value is not None]
    return max(values) - min(values)


def _index(record: RunRecord) -> _Index:
    scores: dict[tuple[str, str, str], dict[str, ScoreResult]] = {}
    for item in record.scores:
        scores.setdefault((item.dataset, item.system, item.example_id), {})[item.scorer] = item.result
    scorers = tuple(dict.fromkeys(item.scorer for item in record.scores))
    baselines = (fact.name for fact in record.manifest.systems if fact.name != record.candidate)
    return _Index(
        systems=(record.candidate, *baselines),
        scorers=scorers,
        headlines=_headlines(record),
        predictions=_samples(record.predictions),
        scores=scores,
    )


def _samples(predictions: Sequence[Prediction]) -> dict[tuple[str, str, str], list[Prediction]]:
    found: dict[tuple[str, str, str], list[Prediction]] = {}
    for prediction in sorted(predictions, key=lambda item: item.sample):
        found.setdefault((prediction.dataset, prediction.system, prediction.example_id), []).append(prediction)
    return found


def _headlines(record: RunRecord) -> dict[str, str]:
    """Return the scorer of the first comparison where a data set has it, else the data set's first scorer."""
    compared = next((item.scorer for item in record.comparisons if item.tag is None), None)
    scored: dict[str, list[str]] = {}
    for item in record.scores:
        if isinstance(item.result, Score):  # rows without a reference are unscored by scorers that need one
            scored.setdefault(item.dataset, []).append(item.scorer)
    return {name: compared if compared in scorers else scorers[0] for name, scorers in scored.items()}


def _example_row(index: _Index, dataset: str, example: Example) -> ExampleRow:
    keys = [(dataset, system, example.id) for system in index.systems]
    return ExampleRow(
        id=clean(example.id),
        dataset=clean(dataset),
        input=input_text(example),
        reference=None if example.target is None else clean(example.target),
        tags=tuple(clean(tag) for tag in example.tags),
        answers=tuple(_answer(index, key, keys[0]) for key in keys),
    )


def input_text(example: Example) -> str:
    """Return what is asked, with the role before each turn where there are several."""
    if len(example.messages) == 1:
        return clean(example.messages[0].content)
    return "\n\n".join(f"{turn.role}: {clean(turn.content)}" for turn in example.messages)


def _answer(index: _Index, key: tuple[str, str, str], candidate_key: tuple[str, str, str]) -> Answer | None:
    predictions = index.predictions.get(key)
    if predictions is None:
        return None
    scores = index.scores.get(key, {})
    headline = scores.get(index.headlines.get(key[0], ""))
    failed = any(prediction.error is not None for prediction in predictions) or isinstance(headline, Unscored)
    samples = tuple(as_sample(prediction) for prediction in predictions)
    return Answer(
        samples=samples,
        scores=tuple(score_text(scores.get(name)) for name in index.scorers),
        right=is_right(headline),
        failed=failed,
        problem=problem_text(samples, predictions, headline),
        value=_value(index, key, missing=WORST if key == candidate_key else BEST),
        outcome="" if key == candidate_key else _outcome(index, key, candidate_key),
    )


def as_sample(prediction: Prediction) -> Sample:
    """Return one of an arm's answers to an example, and what is wrong with it."""
    problem = "cut off at the token limit" if prediction.stop == "length" else ""
    if prediction.error is not None:
        problem = f"no answer: {clean(prediction.error)}"
    return Sample(text=clean(prediction.text), problem=problem, near_tie=prediction.near_tie)


def problem_text(samples: Sequence[Sample], predictions: Sequence[Prediction], headline: ScoreResult | None) -> str:
    """Return why answers or their score are missing or cut off; empty where nothing is."""
    counts = Counter(sample.problem for sample in samples if sample.problem)
    told = [
        problem if len(samples) == 1 else f"{times} of {len(samples)} answers: {problem}"
        for problem, times in counts.items()
    ]
    # Where an answer is missing there is no score either, for the same reason.
    if isinstance(headline, Unscored) and all(prediction.error is None for prediction in predictions):
        told.insert(0, f"no score: {clean(headline.reason)}")
    return "; ".join(told)


def score_text(result: ScoreResult | None) -> str:
    """Return a score as it is shown."""
    return number(result.value) if isinstance(result, Score) else NOTHING


def is_right(result: ScoreResult | None) -> bool | None:
    """Return whether an answer is right; None where it is neither right nor wrong."""
    return bool(result.value) if isinstance(result, Score) and result.value in (WORST, BEST) else None


def imputed(result: ScoreResult, missing: float) -> float:
    """Return a score's value, and `missing` where there is none: WORST of the candidate, BEST of a baseline."""
    return result.value if isinstance(result, Score) else missing


def _value(index: _Index, key: tuple[str, str, str], *, missing: float) -> float | None:
    result = index.scores.get(key, {}).get(index.headlines.get(key[0], ""))
    return None if result is None else imputed(result, missing)


def _outcome(index: _Index, key: tuple[str, str, str], candidate_key: tuple[str, str, str]) -> Outcome:
    ours, theirs = _value(index, candidate_key, missing=WORST), _value(index, key, missing=BEST)
    if ours is None or theirs is None:
        return ""
    if ours == theirs:
        return "same"
    return "better" if ours > theirs else "worse"
