"""The runs of a suite on one test set, oldest first and this one last."""

from __future__ import annotations

from harness.findings import Decision, PastRun, RunRecord
from harness.report.formatting import NOTHING, clean, is_share, number, percent, plural
from harness.report.page_sections import HistoryPoint, HistoryView
from harness.report.view_checks import DECISION_SYMBOLS, DECISION_WORDS

SHOWN_RUNS = 30


def history_view(record: RunRecord) -> HistoryView | None:
    """Return the last runs with their candidate's mean headline score; None when no earlier one is known.

    Raises:
        ValueError: a score is not finite.
    """
    if not record.earlier:
        return None
    scorer = next((item.scorer for item in record.comparisons if item.tag is None), "")
    this = PastRun(run_id=record.manifest.run_id, decision=record.verdict.decision, value=_value(record, scorer))
    shown = (*record.earlier, this)[-SHOWN_RUNS:]
    points = tuple(_point(run, scorer, is_this=run is this) for run in shown)
    known = [point for point in points if point.value is not None]
    return HistoryView(
        scorer=clean(scorer),
        points=points,
        description=f"{clean(scorer)} of the candidates of {plural(len(points), 'run')} on this test set, oldest first"
        + (f"; {known[0].score} at first, {known[-1].score} at last." if known else "."),
    )


def _value(record: RunRecord, scorer: str) -> float | None:
    return next(
        (
            item.estimate.value
            for item in record.summaries
            if (item.system, item.dataset, item.scorer, item.tag) == (record.candidate, "test", scorer, None)
        ),
        None,
    )


def _point(run: PastRun, scorer: str, *, is_this: bool) -> HistoryPoint:
    decision: Decision | None = next((known for known in DECISION_WORDS if known == run.decision), None)
    score = NOTHING if run.value is None else percent(run.value) if is_share(scorer) else number(run.value)
    return HistoryPoint(
        run_id=clean(run.run_id),
        symbol=DECISION_SYMBOLS[decision] if decision else NOTHING,
        word=DECISION_WORDS[decision] if decision else clean(run.decision),
        score=score,
        value=run.value,
        decision=decision,
        is_this=is_this,
    )
