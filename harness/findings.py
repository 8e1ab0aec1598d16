"""Findings: what was computed from the evidence of a run. Every one can be computed again from the stored records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from harness.records import (
    FORMAT_VERSION,
    BenchmarkResult,
    Example,
    LeakSearch,
    Liveness,
    Prediction,
    RunManifest,
    ScoredAnswer,
    TrainingHistory,
)

Status = Literal["pass", "fail", "undecided"]
Decision = Literal["ship", "hold", "undecided"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with its interval and the one line that says how it was made."""

    value: float
    low: float
    high: float
    confidence: float  # 0.90 for a two-sided 90 % interval, whose ends are one-sided 95 % bounds
    n: int
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerSummary:
    """One scorer over one system's answers to one data set (tag None: all rows)."""

    system: str
    dataset: str
    scorer: str
    estimate: Estimate
    unscored: int
    tag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Candidate against one baseline, paired by example id. Positive `delta` is always better."""

    candidate: str
    baseline: str
    scorer: str
    n: int
    delta: Estimate
    wins: int  # candidate better on this many examples
    losses: int
    p_value: float  # one-sided, H0: delta <= min_gain
    p_reverse: float  # one-sided, H0: delta >= min_gain
    imputed: int  # pairs in which a missing score was replaced against the candidate
    method: str
    tag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanSubset:
    """The headline scorer on the test examples that do not stand among the training rows."""

    n: int
    scorer: str
    summaries: tuple[ScorerSummary, ...]  # one for each system that has a score there
    comparisons: tuple[Comparison, ...]  # one for each baseline; none where no gain is asked on the scorer


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmUse:
    """What one arm's answers to the test set took.

    Means are over its requests without an error; None where there is none, or where a server left a count out.
    """

    system: str
    requests: int
    errors: int
    truncated: int  # answers that ended at the length limit
    uncounted: int = 0  # answers whose tokens a server did not report
    prompt_tokens: float | None  # mean of a request
    output_tokens: float | None
    seconds: float | None
    cost: float | None  # of 1,000 requests, in the suite's currency; None where no price or no count is known
    over: str | None = None  # the arm that this one constrains


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakEven:
    """After how many requests the candidate's training is paid back by what each saves against one endpoint.

    `requests` None: never, since the candidate's requests are not cheaper; or, where `unknown` says why, not known.
    """

    endpoint: str
    requests: int | None
    training_cost: float | None  # in the suite's currency
    saving: float | None  # of 1,000 requests; negative where the endpoint is cheaper
    unknown: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationBin:
    """The answers with a confidence in (low, high], the first bin with 0: their mean confidence and accuracy."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationResult:
    """How far one arm's confidences in its answers to the test set are from being right; it decides nothing."""

    system: str
    scorer: str  # the Brier scorer that says what a confidence is, and what is right
    ece: float  # expected calibration error, 0 (best) to 1, of ten equal bins of confidence
    n: int  # answers with a confidence
    missing: int  # answers left out: they failed, or have no confidence or no score
    bins: tuple[CalibrationBin, ...]  # those that hold answers


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaProblem:
    """One way in which a system's answers break the schema."""

    system: str
    keyword: str  # of JSON Schema; "not JSON" where there was nothing to hold against one
    path: str  # the place in the answer, as "$.items[*].price": every index of an array alike
    count: int
    example: str  # what the first such answer was told


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerLengths:
    """How long one system's answers to the test set are, or the references, in characters."""

    system: str
    n: int  # answers without an error
    quartiles: tuple[float, ...]  # the shortest, the three quartiles, the longest


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedPairs:
    """What one judge said of the candidate's answers against one baseline's, each pair shown in both orders."""

    judge: str
    baseline: str
    candidate_preferred: int  # over both orders
    tied: int
    baseline_preferred: int
    missing: int  # pairs without a usable reply
    asked: int  # pairs of unequal answers with a reply in both orders
    agreeing: int  # those of them of which it said the same in both orders


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRun:
    """One earlier run of the suite on the same test set; `value` is its candidate's mean headline score, if known."""

    run_id: str
    decision: str
    value: float | None


Difference = Literal["", "other prompt", "base model", "other adapter", "other precision", "other weights"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """Whether a server answers as the judged stack did. `difference` names what seems to be served instead.

    `mean` and `largest` are absolute differences of log-probability in nats per token: of single tokens where the
    judged ones are known one by one (`per_token`), else of an answer's mean, in which they may cancel each other.
    """

    status: Status
    reason: str
    needs: str
    difference: Difference
    asked: int
    errors: int
    equal: int  # answers
    near_ties: int  # answers that left the judged one where two tokens were too close to tell apart
    differing: int
    other_prompts: int
    compared: int  # equal answers whose log-probabilities were compared
    mean: float | None
    largest: float | None
    tolerance: float
    per_token: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What one check found. `reason` is a full sentence with the numbers; `needs` says what would settle it.

    `observed` and `limit` are in the same unit (`unit`: "fraction", "points", "nats" or ""); the check passes on
    the side of the limit that `direction` names. `low`/`high` is the interval the decision used.
    """

    name: str
    kind: str
    status: Status
    blocking: bool
    reason: str
    declared_reason: str = ""  # why the suite's author set this bar
    baseline: str | None = None
    observed: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    direction: Literal["above", "below"] = "above"
    unit: str = "fraction"
    n: int = 0
    method: str = ""
    needs: str = ""
    accepted: str = ""  # why a person let this undecided check pass


@dataclass(frozen=True, slots=True, kw_only=True)
class LookCount:
    """How many looks a test set has had, this one included, and how many it may have."""

    number: int
    budget: int | None
    recorded: bool  # whether there was a ledger to count in before this look


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The decision and everything it rests on."""

    decision: Decision
    sentence: str
    checks: tuple[CheckResult, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """Everything a report may show: the evidence read back, and what was computed from it."""

    manifest: RunManifest
    suite_text: str  # the suite file as it was run
    candidate: str
    examples: Mapping[str, tuple[Example, ...]]  # data set name -> examples, in file order
    predictions: tuple[Prediction, ...]
    scores: tuple[ScoredAnswer, ...]
    summaries: tuple[ScorerSummary, ...]
    comparisons: tuple[Comparison, ...]
    benchmarks: tuple[BenchmarkResult, ...]
    benchmark_summaries: tuple[ScorerSummary, ...]  # dataset = benchmark, scorer = "accuracy", tag = subject or None
    leaks: LeakSearch
    training: TrainingHistory | None
    liveness: Liveness | None
    verdict: Verdict
    judged: str  # ISO 8601, UTC
    clean: CleanSubset | None = None  # None: no test example stands among the training rows
    looks: LookCount | None = None
    schema_problems: tuple[SchemaProblem, ...] = ()  # the most frequent first
    arms: tuple[ArmUse, ...] = ()  # in the order in which reports show them
    break_even: tuple[BreakEven, ...] = ()
    currency: str | None = None  # of every cost above
    differences: tuple[str, ...] = ()  # what is unequal between the arms, one sentence each
    calibrations: tuple[CalibrationResult, ...] = ()  # of each arm, by each Brier scorer of the suite
    detectable: Mapping[str, float] = field(default_factory=dict)  # check -> the smallest true effect that 80 % show
    trainings: Mapping[str, TrainingHistory] = field(default_factory=dict)  # of baselines and of further seeds
    lengths: tuple[AnswerLengths, ...] = ()
    judged_pairs: tuple[JudgedPairs, ...] = ()
    earlier: tuple[PastRun, ...] = ()  # oldest first
    signed_by: str = ""  # the id of the key that the verdict is signed with; empty: it is not signed
    format_version: int = FORMAT_VERSION
