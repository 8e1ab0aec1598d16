"""What the systems scored: the score tables, over all rows and slice by slice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.findings import Estimate, RunRecord, ScorerSummary
from harness.report.formatting import clean, count, interval, is_share, number, percent
from harness.report.page import (
    ComparisonRow,
    IntervalBar,
    ScoreCell,
    ScoreColumn,
    ScoreRow,
    ScoreTable,
    SliceRow,
    SliceTable,
)


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


def compared_scores(record: RunRecord) -> dict[str, tuple[str, str]]:
    """Return `better_than` check -> the scores of candidate and baseline, as the score tables tell them.

    Raises:
        ValueError: an estimate is not finite.
    """
    tests = [item for item in record.summaries if item.dataset == "test"]
    ours = {(item.scorer, item.tag): item for item in tests if item.system == record.candidate}
    # As the gate names what is compared, behind the check's own name, which has no slash.
    theirs = {f"{item.scorer}/{item.system}" + (f"[{item.tag}]" if item.tag else ""): item for item in tests}
    pairs = {}
    for check in record.verdict.checks:
        baseline = theirs.get(check.name.partition("/")[2]) if check.kind == "better_than" else None
        candidate = ours.get((baseline.scorer, baseline.tag)) if baseline else None
        if baseline and candidate:
            pairs[check.name] = (_told(candidate), _told(baseline))
    return pairs


def _told(summary: ScorerSummary) -> str:
    """A score in words; where some are missing it says so, since the check counts those against the candidate."""
    cell = score_cell(summary)
    return f"{cell.value} ({cell.unscored})" if cell.unscored else cell.value


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


def tag_scores(record: RunRecord, systems: Sequence[str]) -> tuple[ScoreTable, ...]:
    """Return one score table for each tag."""
    tags = dict.fromkeys(item.tag for item in record.summaries if item.tag is not None)
    return tuple(
        score_table(tag, [item for item in record.summaries if item.tag == tag], record.candidate, systems)
        for tag in tags
    )


def slice_tables(record: RunRecord, comparisons: Sequence[ComparisonRow]) -> tuple[SliceTable, ...]:
    """Return one table for each compared scorer: every tag of the test set, where most is lost first."""
    scorers = dict.fromkeys(item.scorer for item in record.comparisons if item.tag is not None)
    return tuple(_slice_table(record, scorer, comparisons) for scorer in scorers)


def _slice_table(record: RunRecord, scorer: str, comparisons: Sequence[ComparisonRow]) -> SliceTable:
    compared = [item for item in record.comparisons if item.scorer == scorer and item.tag is not None]
    losses = {item.tag: min(other.delta.value for other in compared if other.tag == item.tag) for item in compared}
    baselines = tuple(dict.fromkeys(clean(item.baseline) for item in compared))
    gains = {(row.tag, row.baseline): row for row in comparisons if row.scorer == clean(scorer)}
    scores = {
        item.tag: item
        for item in record.summaries
        if (item.system, item.dataset, item.scorer) == (record.candidate, "test", scorer)
    }
    rows = []
    for tag in sorted((tag for tag in losses if tag is not None), key=lambda tag: losses[tag]):
        summary = scores.get(tag)
        rows.append(
            SliceRow(
                tag=clean(tag),
                n=count(next(item.n for item in compared if item.tag == tag)),
                score=None if summary is None else score_cell(summary),
                gains=tuple(gains.get((clean(tag), baseline)) for baseline in baselines),
            )
        )
    return SliceTable(scorer=clean(scorer), baselines=baselines, rows=tuple(rows))
