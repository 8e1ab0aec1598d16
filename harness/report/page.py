"""The page model: what every rendering shows, as plain strings and numbers that are ready to show.

Text that came from data, models or people was cleaned on its way here (`formatting.clean`); numbers that are
only drawn (bars, curves) stay numbers. No renderer formats a value of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.records import Decision, Status

Outcome = Literal["better", "worse", "same", ""]  # candidate against one baseline; "": not comparable


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A label and its value; `code` asks for a fixed-width face."""

    label: str
    value: str
    code: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FactGroup:
    """Facts under one heading."""

    title: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalBar:
    """An interval on an axis, with the line it is held against. All numbers are in the unit of the axis."""

    low: float
    high: float
    value: float
    axis_low: float
    axis_high: float
    limit: float | None
    limit_text: str
    passes_above: bool
    description: str  # the bar in one sentence, for those who cannot see it


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRow:
    """One check as the first screen shows it. Texts that do not apply are empty."""

    name: str  # as the verdict calls it
    title: str  # the name without the baseline, which stands beside it
    kind: str
    status: Status
    symbol: str
    status_text: str
    blocking: bool
    baseline: str
    needed: str
    measured: str
    interval: str
    bar: IntervalBar | None
    n: str
    reason: str
    declared_reason: str
    method: str
    needs: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreColumn:
    """One scorer on one data set."""

    dataset: str
    scorer: str
    n: str  # rows behind most cells; a cell that rests on fewer says so itself


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreCell:
    """One estimate: its value, its interval, how many rows it rests on and how it was made."""

    value: str
    interval: str
    n: str
    unscored: str  # "2 without a score", or empty
    method: str
    bar: IntervalBar | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRow:
    """The cells of one system, in the order of the table's columns; None where nothing was measured."""

    system: str
    is_candidate: bool
    cells: tuple[ScoreCell | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreTable:
    """Systems by scorers, over all rows or over the rows of one tag (`title`)."""

    title: str
    columns: tuple[ScoreColumn, ...]
    rows: tuple[ScoreRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmRow:
    """Who took part: what a system is, how it answered, or why it is absent."""

    name: str
    role: str
    kind: str
    is_candidate: bool
    absent: bool
    note: str
    signature: str
    answers: str
    problems: str
    tokens_per_answer: str
    seconds_per_answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRow:
    """Candidate against one baseline on one scorer, over all rows or those of one tag."""

    baseline: str
    scorer: str
    tag: str
    delta: str
    interval: str
    bar: IntervalBar
    wins: str
    losses: str
    p_value: str
    n: str
    imputed: str
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One system's answer: `scores` in the order of the example set's scorers, "–" where there is none.

    `problem` says why there is no answer or no score, or that the answer was cut off. `outcome` is the
    candidate against this system on the headline scorer.
    """

    text: str
    scores: tuple[str, ...]
    right: bool | None  # None: no score, or a score that is neither 0 nor 1
    failed: bool  # no answer, or no headline score
    problem: str
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleRow:
    """One example with the answers of every system, in the order of the example set's systems."""

    id: str
    dataset: str
    input: str
    reference: str | None
    tags: tuple[str, ...]
    answers: tuple[Answer | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleSet:
    """Every example that was answered. The first system is the candidate."""

    systems: tuple[str, ...]
    datasets: tuple[str, ...]
    scorers: tuple[str, ...]
    headlines: tuple[str, ...]  # per data set, the scorer that tells better from worse; empty: nothing scored
    tags: tuple[str, ...]
    rows: tuple[ExampleRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeSet:
    """What the candidate answers better and worse than a baseline; `system` is its place in the answers."""

    baseline: str
    system: int
    better: tuple[ExampleRow, ...]
    worse: tuple[ExampleRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectRow:
    """One subject of a benchmark: its share of the mean, and "17 of 20" for each system."""

    subject: str
    weight: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkView:
    """One benchmark: accuracy per system, and correct answers per subject and system."""

    name: str
    chance: str
    task_digest: str
    accuracy: ScoreTable
    systems: tuple[str, ...]
    subjects: tuple[SubjectRow, ...]


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
class TrainingView:
    """How the candidate came to be."""

    sentence: str
    curve: LossCurve | None
    facts: tuple[Fact, ...]
    rows: tuple[LossRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaErrors:
    """What was wrong with one system's answers, and how often."""

    system: str
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Everything a report shows, in the order it is shown."""

    suite: str
    run_id: str
    judged: str  # for people: "2026-01-05 12:40 UTC"
    judged_iso: str
    decision: Decision
    word: str
    symbol: str
    sentence: str
    notes: tuple[str, ...]
    glance: tuple[Fact, ...]
    closest: str  # the baseline over which the gain is smallest; empty without a comparison
    checks: tuple[CheckRow, ...]
    warnings: tuple[str, ...]
    candidate: str
    arms: tuple[ArmRow, ...]
    scores: ScoreTable
    tag_scores: tuple[ScoreTable, ...]
    comparisons: tuple[ComparisonRow, ...]
    changes: tuple[ChangeSet, ...]
    benchmarks: tuple[BenchmarkView, ...]
    training: TrainingView | None
    liveness: tuple[Fact, ...]
    schema_errors: tuple[SchemaErrors, ...]
    examples: ExampleSet
    identity: tuple[FactGroup, ...]
    command: str
    suite_text: str
    seconds: float  # wall time of the run
