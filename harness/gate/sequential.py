"""Decide as soon as the evidence is clear: the same looks while a run answers and when it is judged.

The examples stand in the evidence in the order in which they were answered, which is one uniform random
permutation; a look is taken after every `look_every` of them and at the end of the pool.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.findings import Comparison, Status
from harness.gate.comparing import claim
from harness.gate.evidence import Evidence
from harness.records import Score, ScoreResult
from harness.stats.sequential import BettingTest, SequentialResult
from harness.suite.schema import Statistics

# Of alpha: what the bets may spend in hybrid mode, and what is left for the exact test at the end.
EARLY_SHARE, FINAL_SHARE = 0.2, 0.8


def early_alpha(statistics: Statistics) -> float:
    """The error rate that the bets may spend in this mode."""
    return statistics.alpha * (EARLY_SHARE if statistics.mode == "hybrid" else 1.0)


def bet(
    values: Sequence[float], *, bar: float, low: float, statistics: Statistics, pool: int, population: int | None
) -> SequentialResult:
    """Bet on values in [low, 1] in the order of the evidence, look by look, until decided or out of values."""
    test = BettingTest(bar=bar, low=low, high=1.0, alpha=early_alpha(statistics), n_planned=pool, population=population)
    every = statistics.look_every
    result = test.update(values[:every])
    while result.decision == "undecided" and result.n_used < len(values):
        result = test.update(values[result.n_used : result.n_used + every])
    return result


def bet_on_gain(
    candidate: Sequence[ScoreResult],
    baseline: Sequence[ScoreResult],
    *,
    min_gain: float,
    statistics: Statistics,
    pool: int,
) -> SequentialResult:
    """Bet on the paired gain; a missing score counts against the candidate, as everywhere."""
    values = [
        (mine.value if isinstance(mine, Score) else 0.0) - (other.value if isinstance(other, Score) else 1.0)
        for mine, other in zip(candidate, baseline, strict=True)
    ]
    return bet(values, bar=min_gain, low=-1.0, statistics=statistics, pool=pool, population=None)


def judge_early(
    result: SequentialResult, comparison: Comparison, statistics: Statistics, *, min_gain: float
) -> tuple[Status, str, str]:
    """Status, sentence and what would settle it, in the modes that may stop early."""
    used = f"{result.n_used:,} of {result.n_planned:,} examples used"
    gain = f"{100 * comparison.delta.value:+.1f} points on {comparison.scorer} against {comparison.baseline}"
    if comparison.imputed > statistics.max_unscored * comparison.n:
        share = f"{comparison.imputed} of {comparison.n} pairs lack a score, over {statistics.max_unscored:.1%}"
        return "undecided", f"{share}: {gain}", "find out why answers failed, and run again"
    if result.decision != "undecided":
        return result.decision, f"{claim(result.decision, min_gain)}: {gain}; {used}; {result.method}", ""
    if statistics.mode == "hybrid" and result.n_used == result.n_planned:
        final = statistics.alpha * FINAL_SHARE
        sides: tuple[tuple[Status, float], ...] = (("pass", comparison.p_value), ("fail", comparison.p_reverse))
        for status, p_value in sides:
            if p_value <= final:
                how = f"the exact test at {final:g} (p = {p_value:.2g})"
                return status, f"{claim(status, min_gain)}: {gain}; {used}; {how}", ""
    return "undecided", f"{claim('undecided', min_gain)}: {gain}; {used}", "a larger fresh set"


def scores_in_order(evidence: Evidence, system: str, scorer: str) -> list[ScoreResult]:
    """A system's test scores in the order of the evidence."""
    found = evidence.scores[system, "test", scorer]
    return [found[example.id] for example in evidence.examples["test"]]
