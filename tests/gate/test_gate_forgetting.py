"""Forgetting is seen in log-probabilities and in the distance from the base model before accuracy moves."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from evidence_factory import SUITE, Fixture

from harness.cli.main import main
from harness.records import BenchmarkResult

FINER = "statistics: {alpha: 0.00005, resamples: 29999}\n"
LOGPROB = SUITE + "  - {kind: logprob_drop, benchmark: general, margin: 0.1}\n"
KL = SUITE + "  - {kind: kl_divergence, prompts: general.jsonl, limit: 0.1}\n"


def shift(mean: float, spread: float) -> object:
    """Move the candidate's log-probability of the right choice, so little that no choice changes."""

    def edit(results: list[BenchmarkResult]) -> list[BenchmarkResult]:
        rng = random.Random(3)
        base, tuned = results
        outcomes = tuple(
            replace(o, logprobs=(o.logprobs[0] + rng.gauss(mean, spread), *o.logprobs[1:])) for o in tuned.outcomes
        )
        return [base, replace(tuned, outcomes=outcomes)]

    return edit


def rows(mean: float, spread: float, n: int = 60) -> tuple[float, ...]:
    rng = random.Random(4)
    return tuple(max(0.0, rng.gauss(mean, spread)) for _ in range(n))


TABLE = [
    ("no change passes", Fixture(suite_text=LOGPROB, edit_benchmarks=shift(0.0, 0.2)), 0),
    ("a loss is held though no choice changes", Fixture(suite_text=LOGPROB, edit_benchmarks=shift(-0.3, 0.2)), 3),
    ("a loss at the margin is undecided", Fixture(suite_text=LOGPROB, edit_benchmarks=shift(-0.1, 0.5)), 4),
    ("identical log-probabilities pass", Fixture(suite_text=LOGPROB), 0),
    ("a small divergence passes", Fixture(suite_text=KL, drift=rows(0.02, 0.01)), 0),
    ("a large divergence is held", Fixture(suite_text=KL, drift=rows(0.5, 0.1)), 3),
    ("a divergence at the limit is undecided", Fixture(suite_text=KL, drift=rows(0.1, 0.05)), 4),
    ("few rows settle less", Fixture(suite_text=KL, drift=(0.05, 0.09, 0.01)), 4),
    ("missing rows are broken", Fixture(suite_text=KL, drift=()), 1),
    ("a loss is held at a fine rate", Fixture(suite_text=LOGPROB + FINER, edit_benchmarks=shift(-0.3, 0.2)), 3),
    ("a divergence is held at a fine rate", Fixture(suite_text=KL + FINER, drift=rows(0.5, 0.1)), 3),
    ("one row is broken", Fixture(suite_text=KL, drift=(0.01,)), 1),
]  # fmt: skip


@pytest.mark.parametrize(("fixture", "code"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_forgetting_decides_the_exit_code(fixture: Fixture, code: int, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["gate", str(fixture.write(tmp_path / "run")), "--json"])
    assert result.exit_code == code, result.output + str(result.exception)
