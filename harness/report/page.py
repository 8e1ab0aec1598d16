"""The page model: what every rendering shows, as plain strings and numbers that are ready to show.

Text that came from data, models or people was cleaned on its way here (`formatting.clean`); numbers that are
only drawn (bars, curves) stay numbers. No renderer formats a value of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.findings import Decision, Status
from harness.report.page_sections import (
    CalibrationView,
    HistoryView,
    JudgedRow,
    LeakageView,
    LengthRow,
    LossCurve,
    LossRow,
    SchemaErrorRow,
)

Outcome = Literal["better", "worse", "same", ""]  # candidate against one baseline; "": not comparable


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A label and its value; `code` asks for a fixed-width face, `whole` is what a shortened value stands for."""

    label: str
    value: str
    code: bool = False
    whole: str = ""


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
    scores: tuple[str, str] | None  # of candidate and baseline, by what a gain was asked on
    needed: str
    measured: str
    interval: str
    bar: IntervalBar | None
    n: str
    detectable: str  # the smallest true difference that 80 % of such samples show
    reason: str
    declared_reason: str
    method: str
    needs: str
    accepted: str  # why a person let this undecided check pass

    @property
    def against(self) -> str:
        """The baseline, with the scores of both where they are known: "51.5 % against few-shot's 16.9 %"."""
        if self.scores is None:
            return f"against {self.baseline}" if self.baseline else ""
        return f"{self.scores[0]} against {self.baseline}'s {self.scores[1]}"


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
    """One arm: what it is, what it scored and what a request to it took, or why it is absent.

    `scores` and `use` are in the order of the table's columns and uses; "–" stands where nothing is known.
    """

    name: str
    role: str
    kind: str
    is_candidate: bool
    absent: bool
    note: str
    signature: str
    scores: tuple[ScoreCell | None, ...]
    use: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmTable:
    """Every arm with its headline score, the validity of its answers and its use, and what is told below them."""

    columns: tuple[ScoreColumn, ...]
    uses: tuple[str, ...]  # headings: tokens, seconds, cost where one is known, errors, answers cut off
    rows: tuple[ArmRow, ...]
    break_even: tuple[str, ...]
    notes: tuple[str, ...]  # what was odd or unequal, one sentence each


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
class Sample:
    """One text that a system gave; `problem` says why there is none, or that it was cut off."""

    text: str
    problem: str
    near_tie: bool  # rounding could have chosen another word somewhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one system answered: one sample, or several where the decoding draws them.

    `scores` are in the order of the example set's scorers, "–" where there is none. `problem` says why there is no
    answer or no score, or that the answer was cut off. `value` is what the answer is compared by: its score on the
    headline scorer, and for a missing one the worst for the candidate and the best for a baseline. `outcome` is the
    candidate against this system.
    """

    samples: tuple[Sample, ...]
    scores: tuple[str, ...]
    right: bool | None  # None: no score, or a score that is neither 0 nor 1
    failed: bool  # no answer, or no headline score
    problem: str
    value: float | None  # None: the data set has no such score
    outcome: Outcome

    @property
    def text(self) -> str:
        """The first text."""
        return self.samples[0].text


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
    """What the candidate answers better and worse than a baseline, the largest differences first.

    `system` is the baseline's place in the answers.
    """

    baseline: str
    system: int
    better: tuple[ExampleRow, ...]
    worse: tuple[ExampleRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeSide:
    """What got worse, or what got better, against one baseline; `worst` are the largest differences."""

    count: str
    slices: tuple[str, ...]  # the tags with most of it: "shifted: 9 of 30"
    worst: tuple[ExampleRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Highlights:
    """What changed against the baseline over which the gain is smallest."""

    baseline: str
    worse: ChangeSide
    better: ChangeSide


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceRow:
    """The examples with one tag: the candidate's score, and its gain over each of the table's baselines."""

    tag: str
    n: str
    score: ScoreCell | None
    gains: tuple[ComparisonRow | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceTable:
    """One scorer on every slice of the test set, the slice on which most is lost first."""

    scorer: str
    baselines: tuple[str, ...]
    rows: tuple[SliceRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectRow:
    """One subject of a benchmark: its share of the mean, and for each system "17 of 20" and what is drawn of it."""

    subject: str
    weight: str
    cells: tuple[str, ...]
    bars: tuple[IntervalBar | None, ...]


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
class TrainingView:
    """How a trained system came to be."""

    system: str
    sentence: str
    curve: LossCurve | None
    facts: tuple[Fact, ...]
    rows: tuple[LossRow, ...]


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
    highlights: Highlights | None  # None: nothing was compared
    trust: tuple[Fact, ...]  # what the verdict can be trusted with
    essentials: tuple[Fact, ...]  # what was judged, at what cost
    closest: str  # the baseline over which the gain is smallest; empty without a comparison
    checks: tuple[CheckRow, ...]
    warnings: tuple[str, ...]
    candidate: str
    arms: ArmTable
    scores: ScoreTable  # those that the arm table does not show
    leakage: LeakageView | None  # None: no test row stands among the training rows
    slices: tuple[SliceTable, ...]
    tag_scores: tuple[ScoreTable, ...]
    comparisons: tuple[ComparisonRow, ...]
    changes: tuple[ChangeSet, ...]
    benchmarks: tuple[BenchmarkView, ...]
    training: TrainingView | None
    other_trainings: tuple[TrainingView, ...]  # of baselines and of further seeds
    liveness: tuple[Fact, ...]
    schema_errors: tuple[SchemaErrorRow, ...]
    lengths: tuple[LengthRow, ...]
    calibrations: tuple[CalibrationView, ...]
    judged_pairs: tuple[JudgedRow, ...]
    history: HistoryView | None  # None: no earlier run is known
    examples: ExampleSet
    identity: tuple[FactGroup, ...]
    command: str
    suite_text: str
    seconds: float  # wall time of the run
    raw: str  # every number behind the page as JSON; the examples travel apart from it
