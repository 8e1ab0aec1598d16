"""Every check kind and the pure function that decides it, in one place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from harness.findings import CheckResult
from harness.gate.benchmark_drop import benchmark_drop
from harness.gate.better_than import better_than
from harness.gate.evidence import Evidence
from harness.gate.forgetting import kl_divergence, logprob_drop
from harness.gate.preferred import preferred
from harness.gate.recipe import recipe_better_than
from harness.gate.served_as_judged import served_as_judged
from harness.gate.training import healthy_training
from harness.gate.valid_output import valid_output
from harness.suite.checks import (
    BenchmarkDrop,
    BetterThan,
    CheckSpec,
    HealthyTraining,
    KLDivergence,
    LogprobDrop,
    Preferred,
    RecipeBetterThan,
    ServedAsJudged,
    ValidOutput,
)
from harness.suite.schema import Statistics


def run_check(check: CheckSpec, evidence: Evidence, statistics: Statistics) -> Iterator[CheckResult]:
    """The results of one declared check: one for each baseline of a gain, one for any other kind."""
    match check:
        case BetterThan():
            yield from better_than(check, evidence, statistics)
        case RecipeBetterThan():
            yield from recipe_better_than(check, evidence, statistics)
        case Preferred():
            yield from preferred(check, evidence, statistics)
        case ValidOutput():
            yield valid_output(check, evidence, statistics)
        case BenchmarkDrop():
            yield benchmark_drop(check, evidence, statistics)
        case LogprobDrop():
            yield logprob_drop(check, evidence, statistics)
        case KLDivergence():
            yield kl_divergence(check, evidence, statistics)
        case ServedAsJudged():
            yield served_as_judged(check, evidence)
        case HealthyTraining():
            yield healthy_training(check, evidence)
        case _:
            assert_never(check)
