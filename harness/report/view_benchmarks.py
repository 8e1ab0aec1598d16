"""The benchmarks: every system's accuracy, over all questions and subject by subject."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.findings import RunRecord
from harness.records import BenchmarkResult
from harness.report.formatting import NOTHING, clean, percent
from harness.report.page import BenchmarkView, IntervalBar, SubjectRow
from harness.report.view_scores import score_cell, score_table


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
        subjects=_subject_rows(results, _subject_bars(record, name)),
    )


def _subject_bars(record: RunRecord, name: str) -> dict[tuple[str, str], IntervalBar]:
    """(system, subject) -> its accuracy with its interval, to be drawn."""
    found = {
        (item.system, item.tag): score_cell(item).bar
        for item in record.benchmark_summaries
        if item.dataset == name and item.tag is not None
    }
    return {key: bar for key, bar in found.items() if bar is not None}


def _subject_rows(
    results: Sequence[BenchmarkResult], bars: Mapping[tuple[str, str], IntervalBar]
) -> tuple[SubjectRow, ...]:
    weights = results[0].weights
    tallies = [_tally(result) for result in results]
    subjects = sorted(set().union(*tallies))
    return tuple(
        SubjectRow(
            subject=clean(subject).replace("_", " "),
            weight=percent(weights[subject]) if subject in weights else NOTHING,
            cells=tuple(f"{t[subject][0]} of {t[subject][1]}" if subject in t else NOTHING for t in tallies),
            bars=tuple(bars.get((result.system, subject)) for result in results),
        )
        for subject in subjects
    )


def _tally(result: BenchmarkResult) -> dict[str, tuple[int, int]]:
    tally: dict[str, tuple[int, int]] = {}
    for outcome in result.outcomes:
        right, asked = tally.get(outcome.subject, (0, 0))
        tally[outcome.subject] = (right + outcome.correct, asked + 1)
    return tally
