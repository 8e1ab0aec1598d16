"""Test a mean difference against a bar, in both directions; one function per method.

`differences` is an array (n,) of candidate minus baseline. `bar` is the mean that must be exceeded. `reach`
is the largest difference one pair could show: it bounds what the data alone leave unbounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import floor, fsum, inf, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from harness.stats.paired_proportions import mcnemar_exact

Floats = NDArray[np.float64]

CELLS_PER_CHUNK = 2_000_000  # 16 MB of float64; resampling in chunks keeps memory flat
ENUMERATED_UNITS = 15  # 2^15 sign patterns are fewer than four times the default number of random ones
ROUNDING = 1e-12  # relative to `reach`; differences closer than this are equal but for float rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanTest:
    """One-sided bounds of a mean difference, and the p-values of "mean <= bar" and of "mean >= bar"."""

    low: float
    high: float
    p_value: float
    p_reverse: float


def with_p_at_least(test: MeanTest, p_value: float, p_reverse: float) -> MeanTest:
    """Return the test with its p-values raised to at least these."""
    return replace(test, p_value=max(test.p_value, p_value), p_reverse=max(test.p_reverse, p_reverse))


def more_conservative(first: MeanTest, second: MeanTest) -> MeanTest:
    """Return the wider bounds and the larger p-value in each direction."""
    return MeanTest(
        low=min(first.low, second.low),
        high=max(first.high, second.high),
        p_value=max(first.p_value, second.p_value),
        p_reverse=max(first.p_reverse, second.p_reverse),
    )


def paired_t(differences: Floats, *, bar: float, alpha: float) -> MeanTest:
    """Return the paired t test; the differences must not all be equal (see `constant_difference`)."""
    n = len(differences)
    mean, error = float(np.mean(differences)), float(np.std(differences, ddof=1)) / sqrt(n)
    return _t_test(mean, error, n - 1, bar=bar, alpha=alpha)


def studentised_bootstrap(
    differences: Floats, *, bar: float, alpha: float, reach: float, seed: int, resamples: int
) -> MeanTest:
    """Return the bootstrap-t test, which follows skewed differences; they must not all be equal.

    A resample without variance is infinitely many standard errors away from the mean; an end that such
    resamples leave unbounded is set to `reach`.

    Raises:
        ValueError: too few resamples to reach alpha.

    Source: Efron & Tibshirani 1993, section 12.5.
    """
    n, tail = len(differences), tail_count(alpha, resamples)
    mean, error = float(np.mean(differences)), float(np.std(differences, ddof=1)) / sqrt(n)
    rng, centred = np.random.default_rng(seed), differences - mean
    parts = []
    for rows in chunk_sizes(resamples, n):
        sample = centred[rng.integers(n, size=(rows, n))]
        shift, spread = sample.mean(axis=1), sample.std(axis=1, ddof=1) / sqrt(n)
        constant = spread <= ROUNDING * reach
        parts.append(np.where(constant, np.copysign(inf, shift), shift / np.where(constant, 1.0, spread)))
    t = np.sort(np.concatenate(parts))
    observed = (mean - bar) / error
    return MeanTest(
        low=max(mean - float(t[-tail]) * error, -reach),
        high=min(mean - float(t[tail - 1]) * error, reach),
        p_value=float(1 + np.count_nonzero(t >= observed)) / (resamples + 1),
        p_reverse=float(1 + np.count_nonzero(t <= observed)) / (resamples + 1),
    )


def constant_difference(value: float, n: int, *, bar: float, alpha: float, reach: float) -> MeanTest:
    """Return the exact sign test for n pairs that all differ by `value`; at the bar both p-values are 1.

    A sample without variance has no standard error. Its bounds allow for the largest share of unlike pairs
    that n like ones do not exclude at alpha (Clopper-Pearson, 0 of n), each as far away as `reach`. The sign
    test is exact when the systems may be exchanged, which gives a mean of 0. At any other bar the p-values are
    also at least the chance of seeing no unlike pair though there are enough of them, as far away as `reach`,
    for a mean at the bar: 58 ties do not show "less than 5 points worse", 59 do.
    """
    unseen = 1 - alpha ** (1 / n)
    above, below = value - bar > ROUNDING * reach, bar - value > ROUNDING * reach
    test = MeanTest(
        low=(1 - unseen) * value - unseen * reach,
        high=(1 - unseen) * value + unseen * reach,
        p_value=mcnemar_exact(n if above else 0, 0),
        p_reverse=mcnemar_exact(n if below else 0, 0),
    )
    if bar == 0 or not (above or below):
        return test
    like = (reach + bar) / (reach + value) if above else (reach - bar) / (reach - value)
    chance = max(0.0, like) ** n
    return with_p_at_least(test, chance, chance)  # the other one is 1 already


def cluster_t(sums: Floats, sizes: Floats, *, bar: float, alpha: float, reach: float) -> MeanTest:
    """Return the cluster-robust t test (CR1, G - 1 degrees of freedom) of the mean over items.

    `sums` and `sizes` (G,) are the sum of differences and the number of items of each cluster. Without
    variance between clusters the clusters are judged as `constant_difference` judges pairs.

    Source: Cameron & Miller 2015 (the cluster-robust variance of a mean).
    """
    clusters, n = len(sums), float(sizes.sum())
    mean = fsum(sums) / n
    residuals = sums - mean * sizes
    if clusters == 1 or np.max(np.abs(residuals)) <= ROUNDING * reach * n:
        return constant_difference(mean, clusters, bar=bar, alpha=alpha, reach=reach)
    error = sqrt(clusters / (clusters - 1) * float(residuals @ residuals)) / n
    return _t_test(mean, error, clusters - 1, bar=bar, alpha=alpha)


def cluster_bootstrap(
    sums: Floats, sizes: Floats, *, bar: float, reach: float, seed: int, resamples: int
) -> tuple[float, float]:
    """Return the p-values (value, reverse) of the studentised bootstrap over clusters, which follows their skew.

    `sums` and `sizes` as in `cluster_t`. Without variance between clusters there is nothing to follow: (0, 0),
    which raises no other p-value. A resample without variance is infinitely many standard errors away.

    Source: Cameron, Gelbach & Miller 2008 (the pairs cluster bootstrap-t).
    """
    clusters, n = len(sums), float(sizes.sum())
    if clusters == 1 or np.max(np.abs(sums - fsum(sums) / n * sizes)) <= ROUNDING * reach * n:
        return 0.0, 0.0
    mean, error = (float(value[0]) for value in _cluster_means(sums[None], sizes[None]))
    observed, rng = (mean - bar) / error, np.random.default_rng(seed)
    above = below = 0
    for rows in chunk_sizes(resamples, clusters):
        drawn = rng.integers(clusters, size=(rows, clusters))
        means, errors = _cluster_means(sums[drawn], sizes[drawn])
        shift, constant = means - mean, errors <= ROUNDING * reach
        t = np.where(constant, np.copysign(inf, shift), shift / np.where(constant, 1.0, errors))
        above += int(np.count_nonzero(t >= observed))
        below += int(np.count_nonzero(t <= observed))
    return (1 + above) / (resamples + 1), (1 + below) / (resamples + 1)


def sign_flip(deviations: Floats, *, seed: int, resamples: int) -> tuple[float, float]:
    """Return the p-values (value, reverse) of flipping the signs of independent deviations from the bar (n,).

    Zeros have no sign and drop out. On differences of 0/1 scores this is McNemar's exact test.

    Source: Fisher 1935; Phipson & Smyth 2010 (the observed pattern counts).
    """
    signed = deviations[deviations != 0]
    observed, slack = fsum(signed), ROUNDING * float(np.abs(signed).sum())
    above = below = patterns = 0
    for signs in sign_patterns(len(signed), seed=seed, resamples=resamples):
        totals = signs @ signed
        above += int(np.count_nonzero(totals >= observed - slack))
        below += int(np.count_nonzero(totals <= observed + slack))
        patterns += len(totals)
    return above / patterns, below / patterns


def sign_patterns(units: int, *, seed: int, resamples: int) -> Iterator[Floats]:
    """Yield chunks (rows, units) of signs: all patterns up to 15 units, else the observed and random ones.

    The observed pattern is all +1.
    """
    if units <= ENUMERATED_UNITS:
        negative = (np.arange(2**units)[:, None] >> np.arange(units)) & 1
        yield np.where(negative, -1.0, 1.0)
        return
    yield np.ones((1, units))
    rng = np.random.default_rng(seed)
    for rows in chunk_sizes(resamples, units):
        yield np.where(rng.integers(2, size=(rows, units), dtype=np.int8), -1.0, 1.0)


def chunk_sizes(resamples: int, n: int) -> Iterator[int]:
    """Yield how many resamples of n items to draw at a time."""
    rows = max(1, CELLS_PER_CHUNK // n)
    for start in range(0, resamples, rows):
        yield min(rows, resamples - start)


def tail_count(alpha: float, resamples: int) -> int:
    """Return k so that p = (1 + hits) / (resamples + 1) <= alpha exactly when fewer than k resamples hit.

    Raises:
        ValueError: too few resamples to reach alpha at all.
    """
    count = floor(alpha * (resamples + 1) + 1e-9)  # 0.05 * 10000 may fall just short of 500
    if count < 1:
        raise ValueError(f"{resamples} resamples cannot reach a p-value of {alpha}")
    return count


def _cluster_means(sums: Floats, sizes: Floats) -> tuple[Floats, Floats]:
    """The mean over items and its cluster-robust standard error (CR1) of each row of clusters (rows, G)."""
    clusters, items = sums.shape[1], sizes.sum(axis=1)
    means = sums.sum(axis=1) / items
    residuals = sums - means[:, None] * sizes
    return means, np.sqrt(clusters / (clusters - 1) * np.sum(residuals**2, axis=1)) / items


def _t_test(mean: float, error: float, df: float, *, bar: float, alpha: float) -> MeanTest:
    t, half_width = (mean - bar) / error, float(stdtrit(df, 1 - alpha)) * error
    return MeanTest(
        low=mean - half_width,
        high=mean + half_width,
        p_value=float(stdtr(df, -t)),
        p_reverse=float(stdtr(df, t)),
    )
