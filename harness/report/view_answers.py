"""What the answers are like beside their scores: broken schemas, lengths, calibration, and what judges preferred."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from harness.findings import AnswerLengths, CalibrationResult, JudgedPairs, RunRecord, SchemaProblem
from harness.records import REFERENCES
from harness.report.formatting import amount, clean, clip, count, number, percent, plural
from harness.report.page_sections import CalibrationRow, CalibrationView, JudgedRow, LengthRow, SchemaErrorRow

SHOWN_PROBLEMS = 12  # kinds of each system
EXAMPLE_LIMIT = 160  # characters


def schema_error_rows(problems: Sequence[SchemaProblem], systems: Sequence[str]) -> tuple[SchemaErrorRow, ...]:
    """Return the most frequent ways in which the schema was broken, system by system in this order."""
    shown: Counter[str] = Counter()
    rows = []
    for item in sorted(problems, key=lambda item: _place(item.system, systems)):
        shown[item.system] += 1
        if shown[item.system] <= SHOWN_PROBLEMS:
            rows.append(
                SchemaErrorRow(
                    system=clean(item.system),
                    keyword=clean(item.keyword),
                    path=clean(item.path),
                    count=count(item.count),
                    example=clip(clean(item.example), EXAMPLE_LIMIT),
                )
            )
    return tuple(rows)


def length_rows(record: RunRecord, systems: Sequence[str]) -> tuple[LengthRow, ...]:
    """Return how long the answers of each system are, in this order, and the references last.

    Raises:
        ValueError: a length is not finite.
    """
    high = max((row.quartiles[-1] for row in record.lengths), default=0.0)
    ordered = sorted(record.lengths, key=lambda row: _place(row.system, [*systems, REFERENCES]))
    return tuple(_length_row(row, high, record.candidate) for row in ordered)


def _length_row(row: AnswerLengths, high: float, candidate: str) -> LengthRow:
    texts = tuple(amount(value) if value != int(value) else count(int(value)) for value in row.quartiles)
    shortest, lower, median, upper, longest = texts
    return LengthRow(
        system=clean(row.system),
        is_candidate=row.system == candidate,
        n=count(row.n),
        texts=texts,
        quartiles=row.quartiles,
        axis_high=high,
        description=f"Half of the answers have {lower} to {upper} characters, the median is {median}, "
        f"all have {shortest} to {longest}.",
    )


def _place(system: str, systems: Sequence[str]) -> int:
    return systems.index(system) if system in systems else len(systems)


def calibration_views(calibrations: Sequence[CalibrationResult]) -> tuple[CalibrationView, ...]:
    """Return each system's calibration, bin by bin.

    Raises:
        ValueError: a number is not finite.
    """
    return tuple(_calibration_view(item) for item in calibrations)


def _calibration_view(item: CalibrationResult) -> CalibrationView:
    fullest = max((found.n for found in item.bins), default=1)
    rows = tuple(
        CalibrationRow(
            bin=f"{percent(found.low)} to {percent(found.high)}",
            n=count(found.n),
            confidence_text=percent(found.confidence),
            accuracy_text=percent(found.accuracy),
            confidence=found.confidence,
            accuracy=found.accuracy,
            weight=found.n / fullest,
        )
        for found in item.bins
    )
    ece = number(item.ece, digits=3)
    return CalibrationView(
        system=clean(item.system),
        scorer=clean(item.scorer),
        ece=ece,
        n=count(item.n),
        missing=f"{plural(item.missing, 'answer')} without a confidence" if item.missing else "",
        rows=rows,
        description=f"Accuracy by stated confidence of {clean(item.system)}; on the diagonal both are equal. "
        f"The expected calibration error is {ece}.",
    )


def judged_rows(pairs: Sequence[JudgedPairs]) -> tuple[JudgedRow, ...]:
    """Return what each judge preferred against each baseline, and how often both orders said the same."""
    return tuple(_judged_row(item) for item in pairs)


def _judged_row(item: JudgedPairs) -> JudgedRow:
    counts = (item.candidate_preferred, item.tied, item.baseline_preferred, item.missing)
    total = sum(counts) or 1
    preferred, tied, against, missing = (f"{count(part)} ({percent(part / total)})" for part in counts)
    ours, even, theirs, lost = (part / total for part in counts)
    baseline = clean(item.baseline)
    return JudgedRow(
        judge=clean(item.judge),
        baseline=baseline,
        preferred=preferred,
        tied=tied,
        against=against,
        missing=missing if item.missing else "",
        agreement=f"{count(item.agreeing)} of {count(item.asked)} pairs",
        shares=(ours, even, theirs, lost),
        description=f"Candidate preferred {preferred}, tie {tied}, {baseline} preferred {against}"
        + (f", no usable reply {missing}." if item.missing else "."),
    )
