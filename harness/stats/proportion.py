"""Bound one proportion exactly, and say what a sample of a given size can show about a bar."""

from __future__ import annotations

import numpy as np
from scipy.special import betaincinv

from harness.findings import Estimate


def lower_bound(successes: int, n: int, alpha: float) -> float:
    """Return the exact one-sided lower bound of a proportion; the truth is below it with chance <= alpha.

    Raises:
        ValueError: n < 1, successes outside 0..n, or alpha outside (0, 1).

    Source: Clopper & Pearson 1934.
    """
    _require_counts(successes, n, alpha)
    return 0.0 if successes == 0 else float(betaincinv(successes, n - successes + 1, alpha))


def upper_bound(successes: int, n: int, alpha: float) -> float:
    """Return the exact one-sided upper bound of a proportion; the mirror of `lower_bound`.

    Raises:
        ValueError: as `lower_bound`.
    """
    return 1.0 - lower_bound(n - successes, n, alpha)


def clopper_pearson(successes: int, n: int, confidence: float) -> tuple[float, float]:
    """Return the exact two-sided interval (low, high) of a proportion.

    Raises:
        ValueError: n < 1, successes outside 0..n, or confidence outside (0, 1).

    Source: Clopper & Pearson 1934.
    """
    tail = (1.0 - confidence) / 2
    return lower_bound(successes, n, tail), upper_bound(successes, n, tail)


def proportion_estimate(successes: int, n: int, alpha: float) -> Estimate:
    """Return the proportion with its exact interval; each end is a one-sided bound at `alpha`.

    Raises:
        ValueError: n < 1, successes outside 0..n, or alpha outside (0, 0.5).
    """
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha must lie between 0 and 0.5, not {alpha}")
    low, high = lower_bound(successes, n, alpha), upper_bound(successes, n, alpha)
    return Estimate(
        value=successes / n,
        low=low,
        high=high,
        confidence=1 - 2 * alpha,
        n=n,
        method="Clopper-Pearson (exact)",
    )


def validity_cutoffs(n: int, bar: float, alpha: float) -> tuple[int | None, int | None]:
    """Return (largest number of failures that passes the bar, smallest that fails it); between is undecided.

    Passing is a lower bound >= bar, failing an upper bound < bar. None where no number of failures does it.

    Raises:
        ValueError: n < 1, or bar or alpha outside (0, 1).
    """
    _require_counts(0, n, alpha)
    _require_bar(bar)
    successes = n - np.arange(n + 1)
    low = np.where(successes == 0, 0.0, betaincinv(np.maximum(successes, 1), n - successes + 1, alpha))
    high = 1.0 - low[::-1]
    passing, failing = np.flatnonzero(low >= bar), np.flatnonzero(high < bar)
    return (int(passing[-1]) if passing.size else None, int(failing[0]) if failing.size else None)


def cases_needed(bar: float, failures: int, alpha: float) -> int:
    """Return the smallest number of cases at which this many failures still passes the bar.

    Raises:
        ValueError: failures < 0, or bar or alpha outside (0, 1).
    """
    _require_bar(bar)
    if failures < 0:
        raise ValueError(f"failures must not be negative, not {failures}")

    def passes(n: int) -> bool:
        return lower_bound(n - failures, n, alpha) >= bar

    too_few, enough = failures, failures + 1
    while not passes(enough):
        too_few, enough = enough, 2 * enough
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        too_few, enough = (too_few, middle) if passes(middle) else (middle, enough)
    return enough


def _require_counts(successes: int, n: int, alpha: float) -> None:
    if n < 1:
        raise ValueError("a proportion needs at least one case")
    if not 0 <= successes <= n:
        raise ValueError(f"successes must lie in 0..{n}, not {successes}")
    if not 0 < alpha < 1:
        raise ValueError(f"the error rate must lie between 0 and 1, not {alpha}")


def _require_bar(bar: float) -> None:
    if not 0 < bar < 1:
        raise ValueError(f"the bar must lie between 0 and 1, not {bar}")
