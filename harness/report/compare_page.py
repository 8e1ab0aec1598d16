"""The page model of two compared runs: what its rendering shows, as plain strings that are ready to show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.findings import Decision
from harness.report.page import CheckRow, ComparisonRow


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRow:
    """One fact of both runs."""

    label: str
    baseline: str
    candidate: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffLine:
    """One line of the difference between two texts."""

    kind: Literal["added", "removed", "same", "place"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckPair:
    """One check as each run found it; None where a run did not have it."""

    name: str
    baseline: CheckRow | None
    candidate: CheckRow | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownAnswer:
    """What one run answered: its score, and why there is no answer or no score."""

    text: str
    score: str
    problem: str
    right: bool | None  # None: neither right nor wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedExample:
    """One example that the runs answered unequally well."""

    id: str
    tags: tuple[str, ...]
    input: str
    reference: str | None
    baseline: ShownAnswer
    candidate: ShownAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """The examples of one direction: how many there are, and the largest changes of them."""

    key: Literal["worse", "better"]
    title: str
    count: str
    shown: tuple[ChangedExample, ...]
    more: str  # how many are not shown; empty when all are


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparePage:
    """Everything the page on two runs shows, in the order it is shown."""

    suite: str
    decision: Decision
    word: str
    symbol: str
    sentence: str
    needs: str
    scorer: str
    names: tuple[str, str]  # of the baseline run and of the candidate run
    runs: tuple[PairRow, ...]
    differing: tuple[PairRow, ...]
    equal: tuple[str, ...]  # labels of what is the same in both
    suite_diff: tuple[DiffLine, ...]
    checks: tuple[CheckPair, ...]
    comparisons: tuple[ComparisonRow, ...]
    left_out: tuple[str, ...]
    changes: tuple[Changes, ...]
