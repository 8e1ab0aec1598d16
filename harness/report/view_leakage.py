"""Test rows that stand among the training rows: what was looked for and found, and the scores without them."""

from __future__ import annotations

from harness.findings import CleanSubset, Comparison, Estimate, RunRecord, ScorerSummary
from harness.records import LeakedExample
from harness.report.formatting import NOTHING, clean, count, interval, is_share, number, percent, plural, points
from harness.report.page import Fact
from harness.report.page_sections import CleanScoreRow, LeakageView, LeakRow

SHOWN_LEAKS = 50
LOOKED_FOR = (
    "Looked for: the same prompt as it is; but for case, width, spacing, punctuation, invisible or look-alike letters; "
    "word for word within a longer row; and near copies"
)
IN_SHORT = "exact, disguised, contained, near copies"
UNKNOWN = "what the adapter was trained on is not known"


def leakage_facts(record: RunRecord) -> tuple[Fact, ...]:
    """Return how many test rows were found among which rows, and the candidate's score without them beside the full.

    Raises:
        ValueError: a score is not finite.
    """
    found = Fact(label="Leakage", value=_found(record), whole=LOOKED_FOR)
    subset = record.clean
    if subset is None:
        return (found,)
    own = next((item for item in subset.summaries if item.system == record.candidate), None)
    score = f": {clean(record.candidate)} {_value(own)} (full {_value(_on_all_rows(record, own))})" if own else ""
    return found, Fact(label="Clean subset", value=f"{plural(subset.n, 'row')}{score}")


def leakage_view(record: RunRecord) -> LeakageView | None:
    """Return every system's headline score with and without the leaked rows, and those rows; None where there is none.

    Raises:
        ValueError: a number is not finite.
    """
    if record.clean is None:
        return None
    leaks = record.leaks.leaks
    more = len(leaks) - SHOWN_LEAKS
    return LeakageView(
        sentence=f"{_found(record)}.",
        looked_for=f"{LOOKED_FOR}.",
        scorer=clean(record.clean.scorer),
        n=_tested(record),
        clean_n=count(record.clean.n),
        rows=_score_rows(record, record.clean),
        leaks=tuple(map(_leak_row, leaks[:SHOWN_LEAKS])),
        more=f"and {count(more)} more in leaks.json" if more > 0 else "",
    )


def _found(record: RunRecord) -> str:
    search, is_own = record.leaks, record.training is not None
    if not search.compared:
        return f"not looked for: the suite has no training rows, and {UNKNOWN}"
    rows = ("" if is_own else "the suite's ") + plural(search.compared, "training row")
    unknown = "" if is_own else f"; {UNKNOWN}"
    if not search.leaks:
        return f"none of {_tested(record)} test rows found among {rows} ({IN_SHORT}){unknown}"
    sure = sum(leak.is_sure for leak in search.leaks)
    return (
        f"{count(len(search.leaks))} of {_tested(record)} test rows found among {rows}, {count(sure)} for sure{unknown}"
    )


def _tested(record: RunRecord) -> str:
    return count(len(record.examples.get("test", ())))


def _score_rows(record: RunRecord, subset: CleanSubset) -> tuple[CleanScoreRow, ...]:
    every = {item.baseline: item for item in record.comparisons if (item.scorer, item.tag) == (subset.scorer, None)}
    without = {item.baseline: item for item in subset.comparisons}
    return tuple(
        CleanScoreRow(
            system=clean(item.system),
            is_candidate=item.system == record.candidate,
            full=_score(_on_all_rows(record, item)),
            clean=_score(item),
            full_gain=_gain(every.get(item.system)),
            clean_gain=_gain(without.get(item.system)),
        )
        for item in sorted(subset.summaries, key=lambda item: item.system != record.candidate)
    )


def _leak_row(leak: LeakedExample) -> LeakRow:
    return LeakRow(
        id=clean(leak.example_id),
        source=clean(leak.source),
        twin=clean(leak.twin),
        how=leak.kind + (f", {percent(leak.similarity)} alike" if leak.kind == "near copy" else ""),
        sure="yes" if leak.is_sure else "possible",
    )


def _on_all_rows(record: RunRecord, item: ScorerSummary) -> ScorerSummary | None:
    """The same system by the same scorer on every row."""
    key = (item.system, item.dataset, item.scorer, None)
    return next(
        (found for found in record.summaries if (found.system, found.dataset, found.scorer, found.tag) == key), None
    )


def _value(summary: ScorerSummary | None) -> str:
    if summary is None:
        return NOTHING
    value = summary.estimate.value
    return percent(value) if is_share(summary.scorer) else number(value)


def _score(summary: ScorerSummary | None) -> str:
    if summary is None:
        return NOTHING
    return f"{_value(summary)} ({_spread(summary.estimate, 'fraction' if is_share(summary.scorer) else '')})"


def _gain(comparison: Comparison | None) -> str:
    if comparison is None:
        return NOTHING
    return f"{points(comparison.delta.value)} ({_spread(comparison.delta, 'points')})"


def _spread(estimate: Estimate, unit: str) -> str:
    return interval(estimate.low, estimate.high, unit)
