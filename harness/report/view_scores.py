"""Who took part and what they scored: the arms, the score tables and the benchmarks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.records import BenchmarkResult, Estimate, Prediction, RunRecord, ScorerSummary
from harness.report.formatting import NOTHING, clean, count, interval, is_share, number, percent, plural
from harness.report.page import (
    ArmRow,
    BenchmarkView,
    IntervalBar,
    ScoreCell,
    ScoreColumn,
    ScoreRow,
    ScoreTable,
    SubjectRow,
)


def arm_rows(record: RunRecord) -> tuple[ArmRow, ...]:
    """Return every declared system, the candidate first; an absent one says why."""
    facts = sorted(record.manifest.systems, key=lambda fact: fact.name != record.candidate)
    present = []
    for fact in facts:
        answers = [row for row in record.predictions if row.system == fact.name]
        present.append(
            ArmRow(
                name=clean(fact.name),
                role=clean(fact.role),
                kind=clean(fact.kind).replace("_", " "),
                is_candidate=fact.name == record.candidate,
                absent=False,
                note=clean(fact.note),
                signature=clean(fact.signature),
                answers=count(len(answers)),
                problems=_problems(answers),
                tokens_per_answer=_share_out(sum(row.output_tokens for row in answers), len(answers)),
                seconds_per_answer=_share_out(sum(row.seconds for row in answers), len(answers)),
            )
        )
    return (*present, *(_absent(name, why) for name, why in record.manifest.absent_systems.items()))


def _absent(name: str, why: str) -> ArmRow:
    return ArmRow(
        name=clean(name),
        role="baseline",
        kind="",
        is_candidate=False,
        absent=True,
        note=clean(f"absent: {why}"),
        signature="",
        answers="0",
        problems="",
        tokens_per_answer=NOTHING,
        seconds_per_answer=NOTHING,
    )


def _problems(answers: Sequence[Prediction]) -> str:
    failed = sum(row.error is not None for row in answers)
    cut = sum(row.error is None and row.stop == "length" for row in answers)
    parts = [plural(failed, "error")] if failed else []
    return ", ".join([*parts, f"{count(cut)} cut off"] if cut else parts)


def _share_out(total: float, parts: int) -> str:
    return number(total / parts, digits=3) if parts else NOTHING


def score_table(title: str, summaries: Sequence[ScorerSummary], candidate: str, systems: Iterable[str]) -> ScoreTable:
    """Return systems by (data set, scorer), in the order in which both first appear.

    Raises:
        ValueError: an estimate is not finite.
    """
    keys = list(dict.fromkeys((item.dataset, item.scorer) for item in summaries))
    found = {(item.system, item.dataset, item.scorer): item for item in summaries}
    named = dict.fromkeys([*systems, *(item.system for item in summaries)])
    ordered = sorted(named, key=lambda name: name != candidate)
    rows = []
    for name in ordered:
        items = [found.get((name, dataset, scorer)) for dataset, scorer in keys]
        if any(items):
            cells = tuple(None if item is None else score_cell(item) for item in items)
            rows.append(ScoreRow(system=clean(name), is_candidate=name == candidate, cells=cells))
    columns = tuple(
        ScoreColumn(dataset=clean(dataset), scorer=clean(scorer), n=_rows_of(summaries, dataset, scorer))
        for dataset, scorer in keys
    )
    return ScoreTable(title=clean(title), columns=columns, rows=tuple(rows))


def _rows_of(summaries: Sequence[ScorerSummary], dataset: str, scorer: str) -> str:
    counts = [item.estimate.n for item in summaries if (item.dataset, item.scorer) == (dataset, scorer)]
    return count(max(counts))


def score_cell(summary: ScorerSummary) -> ScoreCell:
    """Return one estimate as text, with a bar where the score is a share.

    Raises:
        ValueError: the estimate is not finite.
    """
    estimate = summary.estimate
    unit = "fraction" if is_share(summary.scorer) else ""
    value = percent(estimate.value) if unit else number(estimate.value)
    spread = interval(estimate.low, estimate.high, unit)
    return ScoreCell(
        value=value,
        interval=spread,
        n=count(estimate.n),
        unscored=f"{count(summary.unscored)} without a score" if summary.unscored else "",
        method=clean(estimate.method),
        bar=_share_bar(estimate, f"{value}, interval {spread}.") if unit else None,
    )


def _share_bar(estimate: Estimate, description: str) -> IntervalBar:
    return IntervalBar(
        low=estimate.low,
        high=estimate.high,
        value=estimate.value,
        axis_low=0.0,
        axis_high=1.0,
        limit=None,
        limit_text="",
        passes_above=True,
        description=description,
    )


def overall_scores(record: RunRecord, systems: Iterable[str]) -> ScoreTable:
    """Return the scores over all rows of every data set: the test set first."""
    order = {name: place for place, name in enumerate(record.examples)}
    summaries = [item for item in record.summaries if item.tag is None]
    summaries.sort(key=lambda item: (item.dataset != "test", order.get(item.dataset, len(order))))
    return score_table("All rows", summaries, record.candidate, systems)


def tag_scores(record: RunRecord, systems: Sequence[str]) -> tuple[ScoreTable, ...]:
    """Return one score table for each tag."""
    tags = dict.fromkeys(item.tag for item in record.summaries if item.tag is not None)
    return tuple(
        score_table(tag, [item for item in record.summaries if item.tag == tag], record.candidate, systems)
        for tag in tags
    )


def benchmark_views(record: RunRecord) -> tuple[BenchmarkView, ...]:
    """Return each benchmark with the accuracy of every system that took it, and its subjects."""
    names = dict.fromkeys(result.benchmark for result in record.benchmarks)
    return tuple(_benchmark_view(record, name) for name in names)


def _benchmark_view(record: RunRecord, name: str) -> BenchmarkView:
    results = [result for result in record.benchmarks if result.benchmark == name]
    results.sort(key=lambda result: result.system != record.candidate)
    overall = [item for item in record.benchmark_summaries if item.dataset == name and item.tag is None]
    systems = [result.system for result in results]
    return BenchmarkView(
        name=clean(name),
        chance=percent(results[0].chance),
        task_digest=clean(results[0].task_digest),
        accuracy=score_table(name, overall, record.candidate, systems),
        systems=tuple(clean(system) for system in systems),
        subjects=_subject_rows(results),
    )


def _subject_rows(results: Sequence[BenchmarkResult]) -> tuple[SubjectRow, ...]:
    weights = results[0].weights
    tallies = [_tally(result) for result in results]
    subjects = sorted(set().union(*tallies))
    return tuple(
        SubjectRow(
            subject=clean(subject).replace("_", " "),
            weight=percent(weights[subject]) if subject in weights else NOTHING,
            cells=tuple(f"{t[subject][0]} of {t[subject][1]}" if subject in t else NOTHING for t in tallies),
        )
        for subject in subjects
    )


def _tally(result: BenchmarkResult) -> dict[str, tuple[int, int]]:
    tally: dict[str, tuple[int, int]] = {}
    for outcome in result.outcomes:
        right, asked = tally.get(outcome.subject, (0, 0))
        tally[outcome.subject] = (right + outcome.correct, asked + 1)
    return tally
