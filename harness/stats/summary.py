"""One system's scores as a number with an interval."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from harness.findings import Estimate
from harness.stats.proportion import proportion_estimate

SUMMARY_RESAMPLES = 999  # an interval to look at; decisions compare pairs with more


def mean_estimate(scores: ArrayLike, alpha: float) -> Estimate:
    """Return the mean of scores (n,) in [0, 1]: exact binomial for 0/1 scores, Student's t otherwise.

    Raises:
        ValueError: no scores, a score outside [0, 1] or not finite, or alpha out of range.
    """
    values = np.asarray(scores, dtype=float)
    if values.size == 0 or not bool(np.all(np.isfinite(values) & (values >= 0) & (values <= 1))):
        raise ValueError("a mean needs at least one score, all of them finite and from 0 to 1")
    n, mean = values.size, float(values.mean())
    if bool(np.isin(values, (0.0, 1.0)).all()):
        return proportion_estimate(int(values.sum()), n, alpha)
    if n == 1:
        return Estimate(value=mean, low=0.0, high=1.0, confidence=1 - 2 * alpha, n=1, method="one score")
    reach = float(stdtrit(n - 1, 1 - alpha)) * float(values.std(ddof=1)) / float(np.sqrt(n))
    return Estimate(
        value=mean,
        low=max(0.0, mean - reach),
        high=min(1.0, mean + reach),
        confidence=1 - 2 * alpha,
        n=n,
        method="mean with Student's t interval",
    )


def corpus_estimate(
    statistics: NDArray[np.int64],
    compute: Callable[[NDArray[np.int64]], NDArray[np.float64]],
    *,
    alpha: float,
    seed: int,
) -> Estimate:
    """Return a corpus metric from 0 to 1 with a bootstrap interval; statistics are (n, k) per answer.

    `compute` turns sums of them, shape (..., k), into metrics, shape (...). Each end is the wider of the percentile
    and the basic bootstrap (Davison & Hinkley 1997): the first doubles the bias of a metric such as macro-F1 over
    many classes, and alone covers 85 % where 90 % is asked.

    Raises:
        ValueError: no rows.
    """
    n = len(statistics)
    if n == 0:
        raise ValueError("a corpus metric needs at least one answer")
    rng = np.random.default_rng(seed)
    totals = np.array([statistics[rng.integers(n, size=n)].sum(axis=0) for _ in range(SUMMARY_RESAMPLES)])
    draws = np.sort(compute(totals))
    cut = int(alpha * (SUMMARY_RESAMPLES + 1))
    value, low, high = float(compute(statistics.sum(axis=0))), float(draws[cut - 1]), float(draws[-cut])
    return Estimate(
        value=value,
        low=max(0.0, min(low, 2 * value - high)),
        high=min(1.0, max(high, 2 * value - low)),
        confidence=1 - 2 * alpha,
        n=n,
        method=f"corpus score with percentile and basic bootstrap ({SUMMARY_RESAMPLES} resamples, seed {seed})",
    )
