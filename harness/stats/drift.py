"""How far a mean is from a bar, for values without a natural range such as changes in log-probability."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from harness.findings import Estimate
from harness.stats.mean_tests import MeanTest, constant_difference, more_conservative, paired_t, studentised_bootstrap
from harness.stats.paired import DEFAULT_RESAMPLES


def mean_against(
    values: ArrayLike,
    *,
    bar: float,
    alpha: float,
    seed: int,
    weights: ArrayLike | None = None,
    resamples: int = DEFAULT_RESAMPLES,
) -> tuple[Estimate, MeanTest]:
    """Estimate the mean of values (n,) and test it against `bar` in both directions.

    `weights` (n,) are shares that sum to 1; they scale the values, so their spread counts as chance too, which
    widens the interval. The test is the more conservative of Student's t and the studentised bootstrap.

    Raises:
        ValueError: fewer than two values, values or weights that are not finite, unequal lengths, shares that do
            not sum to 1, or too few resamples to reach alpha.
    """
    numbers = np.asarray(values, dtype=float)
    n = numbers.size
    if n < 2 or not bool(np.all(np.isfinite(numbers))):
        raise ValueError("a mean needs at least two values, all of them finite")
    if weights is not None:
        shares = np.asarray(weights, dtype=float)
        if shares.shape != numbers.shape or not bool(np.all(np.isfinite(shares))) or abs(shares.sum() - 1) > 1e-6:
            raise ValueError("the weights must be one finite share for each value and sum to 1")
        numbers = numbers * shares * n
    reach = float(max(np.max(np.abs(numbers)), abs(bar), 1e-12))
    if float(np.ptp(numbers)) <= 1e-12 * reach:
        test = constant_difference(float(numbers[0]), n, bar=bar, alpha=alpha, reach=reach)
    else:
        test = more_conservative(
            paired_t(numbers, bar=bar, alpha=alpha),
            studentised_bootstrap(numbers, bar=bar, alpha=alpha, reach=10 * reach, seed=seed, resamples=resamples),
        )
    estimate = Estimate(
        value=float(np.mean(numbers)),
        low=test.low,
        high=test.high,
        confidence=1 - 2 * alpha,
        n=n,
        method=f"the more conservative of Student's t and studentised bootstrap ({resamples} resamples, seed {seed})",
    )
    return estimate, test
