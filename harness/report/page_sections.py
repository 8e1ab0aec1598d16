"""The parts of the page model that stand alone: losses, leaks, schema errors, lengths, calibration, judges, history.

As everywhere in the page model, texts are ready to show and numbers are only drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.findings import Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class LossCurve:
    """The losses by optimizer step, in nats per completion token; steps that were not finite are left out."""

    train: tuple[tuple[int, float], ...]
    validation: tuple[tuple[int, float], ...]
    best_step: int
    best_text: str
    last_step: int
    stop_text: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LossRow:
    """One measured step as a row of text."""

    step: str
    epoch: str
    train: str
    validation: str
    mark: str  # "best", "stopped" or empty


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanScoreRow:
    """One system's headline score on the clean subset and on all rows, and the candidate's gain over it on both."""

    system: str
    is_candidate: bool
    full: str
    clean: str
    full_gain: str
    clean_gain: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakRow:
    """One test row that stands among the training rows: where both are, and how alike they are."""

    id: str
    source: str
    twin: str
    how: str
    sure: str  # "yes" or "possible"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakageView:
    """Which test rows stand among the training rows, and what every system scores without them."""

    sentence: str
    looked_for: str
    scorer: str
    n: str
    clean_n: str
    rows: tuple[CleanScoreRow, ...]
    leaks: tuple[LeakRow, ...]
    more: str  # how many leaks are not shown, or empty


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaErrorRow:
    """One way in which a system's answers break the schema."""

    system: str
    keyword: str
    path: str
    count: str
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthRow:
    """How long one system's answers are; `quartiles` are drawn, `texts` say the same five numbers."""

    system: str
    is_candidate: bool
    n: str
    texts: tuple[str, ...]
    quartiles: tuple[float, ...]
    axis_high: float  # of all rows alike
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationRow:
    """The answers whose confidence lies in one bin; the three numbers at the end are drawn, as shares."""

    bin: str
    n: str
    confidence_text: str
    accuracy_text: str
    confidence: float
    accuracy: float
    weight: float  # answers of this bin among those of the fullest


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationView:
    """How far one system's confidences are from being right."""

    system: str
    scorer: str
    ece: str
    n: str
    missing: str  # "3 answers without a confidence", or empty
    rows: tuple[CalibrationRow, ...]
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedRow:
    """What one judge preferred against one baseline; `shares` are drawn: candidate, tie, baseline, missing."""

    judge: str
    baseline: str
    preferred: str
    tied: str
    against: str
    missing: str
    agreement: str  # "84 of 97 pairs"
    shares: tuple[float, float, float, float]
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPoint:
    """One run of the suite on this test set; `value` is drawn, None where it is not known."""

    run_id: str
    symbol: str
    word: str
    score: str
    value: float | None
    decision: Decision | None
    is_this: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryView:
    """The runs of the suite on this test set, this one last."""

    scorer: str
    points: tuple[HistoryPoint, ...]
    description: str
