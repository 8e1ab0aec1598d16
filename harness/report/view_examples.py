"""Every example with every system's answer, and where the candidate is better or worse than a baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.records import Example, Prediction, RunRecord, Score, ScoreResult, Unscored
from harness.report.formatting import NOTHING, clean, number
from harness.report.page import Answer, ChangeSet, ExampleRow, ExampleSet, Outcome

# The gate's rule for a missing score: the worst for the candidate, the best for a baseline.
WORST, BEST = 0.0, 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Index:
    """A record's answers and scores, to be looked up by (data set, system, example)."""

    systems: tuple[str, ...]
    scorers: tuple[str, ...]
    headlines: Mapping[str, str]  # data set -> the scorer that tells better from worse
    predictions: Mapping[tuple[str, str, str], Prediction]
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
    return tuple(row for row in rows if (answer := row.answers[place]) and answer.outcome == outcome)


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
        predictions={(r.dataset, r.system, r.example_id): r for r in record.predictions if r.sample == 0},
        scores=scores,
    )


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
        input=_input(example),
        reference=None if example.target is None else clean(example.target),
        tags=tuple(clean(tag) for tag in example.tags),
        answers=tuple(_answer(index, key, keys[0]) for key in keys),
    )


def _input(example: Example) -> str:
    if len(example.messages) == 1:
        return clean(example.messages[0].content)
    return "\n\n".join(f"{turn.role}: {clean(turn.content)}" for turn in example.messages)


def _answer(index: _Index, key: tuple[str, str, str], candidate_key: tuple[str, str, str]) -> Answer | None:
    prediction = index.predictions.get(key)
    if prediction is None:
        return None
    scores = index.scores.get(key, {})
    headline = scores.get(index.headlines.get(key[0], ""))
    value = headline.value if isinstance(headline, Score) else None
    failed = prediction.error is not None or isinstance(headline, Unscored)
    return Answer(
        text=clean(prediction.text),
        scores=tuple(_score_text(scores.get(name)) for name in index.scorers),
        right=bool(value) if value in (0.0, 1.0) else None,
        failed=failed,
        problem=clean(_problem(prediction, headline)),
        outcome="" if key == candidate_key else _outcome(index, key, candidate_key),
    )


def _problem(prediction: Prediction, headline: ScoreResult | None) -> str:
    if prediction.error is not None:
        return f"no answer: {prediction.error}"
    if isinstance(headline, Unscored):
        return f"no score: {headline.reason}"
    return "cut off at the token limit" if prediction.stop == "length" else ""


def _score_text(result: ScoreResult | None) -> str:
    return number(result.value) if isinstance(result, Score) else NOTHING


def _outcome(index: _Index, key: tuple[str, str, str], candidate_key: tuple[str, str, str]) -> Outcome:
    headline = index.headlines.get(key[0], "")
    candidate = index.scores.get(candidate_key, {}).get(headline)
    baseline = index.scores.get(key, {}).get(headline)
    if candidate is None or baseline is None:
        return ""
    ours = candidate.value if isinstance(candidate, Score) else WORST
    theirs = baseline.value if isinstance(baseline, Score) else BEST
    if ours == theirs:
        return "same"
    return "better" if ours > theirs else "worse"
