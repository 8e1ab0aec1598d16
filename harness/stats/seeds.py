"""Judge a recipe rather than one adapter: the gain over several training seeds, and repeated generations.

Other training seeds would have given another gain, and so would other items: the variance counts both.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, sqrt

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import stdtrit

from harness.findings import Estimate
from harness.records import FEWEST_SEEDS
from harness.stats.mean_tests import ROUNDING, Floats, MeanTest, constant_difference, sign_flip, with_p_at_least
from harness.stats.paired import DEFAULT_RESAMPLES, UNIT_RANGE

SMALLEST_P = 1e-12  # no p-value of a t approximation means anything below it


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeResult:
    """How much better a recipe is, over its training seeds and the items. Positive `delta` is better."""

    n: int  # items
    delta: Estimate
    seed_gains: tuple[float, ...]  # the mean gain of each training seed
    p_value: float  # one-sided, H0: delta <= min_gain
    p_reverse: float  # one-sided, H0: delta >= min_gain
    method: str


def compare_over_seeds(
    differences: ArrayLike,
    *,
    alpha: float,
    min_gain: float = 0.0,
    seed: int,
    resamples: int = DEFAULT_RESAMPLES,
) -> RecipeResult:
    """Compare paired differences (k, n), candidate minus baseline, of k training seeds on the same n items.

    Seeds and items are random and crossed. The variance of the mean is bounded by that of the k seed means over
    k plus that of the n item means over n, which counts the noise within a cell twice. Each part keeps its own
    degrees of freedom: half-width^2 = t(k-1)^2 s_seed^2 / k + t(n-1)^2 s_item^2 / n. For normal effects this
    never rejects more than alpha, because the chi-square cdf with 1 df is concave; Satterthwaite's df does with
    3 seeds (6.5 % for 5 %). The sign-flip over item means guards a sample in which few items changed, as in
    `compare_bounded`; `seed` draws its signs.

    Raises:
        ValueError: fewer than 3 seeds, fewer than 2 items, a difference that is not finite, or alpha or
            min_gain out of range.

    Source: Banerjee 1960 (the interval); Miller 2024 (the item is the unit).
    """
    table = np.asarray(differences, dtype=float)
    if table.ndim != 2 or table.shape[0] < FEWEST_SEEDS or table.shape[1] < 2:
        raise ValueError(f"a recipe needs differences of {FEWEST_SEEDS} seeds or more on 2 items or more")
    if not np.all(np.isfinite(table)):
        raise ValueError("every difference must be finite")
    if not (0 < alpha < 0.5 and isfinite(min_gain) and min_gain >= 0):
        raise ValueError(f"need alpha in (0, 0.5) and a finite min_gain >= 0, not {alpha} and {min_gain}")
    seeds, n = table.shape
    seed_gains, gains = np.mean(table, axis=1), np.sort(np.mean(table, axis=0))
    test = _two_source_t(seed_gains, gains, bar=min_gain, alpha=alpha, reach=_reach(table))
    test = with_p_at_least(test, *sign_flip(gains - min_gain, seed=seed, resamples=resamples))
    method = f"t over {seeds} training seeds and {n} items (Banerjee), and sign-flip over items, the larger p"
    delta = Estimate(
        value=float(np.mean(gains)),
        # The bar belongs to the interval when the test does not reject it.
        low=test.low if test.p_value <= alpha else min(test.low, min_gain),
        high=test.high if test.p_reverse <= alpha else max(test.high, min_gain),
        confidence=1 - 2 * alpha,
        n=n,
        method=method,
    )
    return RecipeResult(
        n=n,
        delta=delta,
        seed_gains=tuple(seed_gains.tolist()),
        p_value=test.p_value,
        p_reverse=test.p_reverse,
        method=method,
    )


def item_means(scores: ArrayLike) -> Floats:
    """Return the mean score of each item (n,) from k generations of each (n, k): the item stays the unit.

    Raises:
        ValueError: not a table with items and generations, or a score that is not finite.

    Source: Miller 2024.
    """
    table = np.asarray(scores, dtype=float)
    if table.ndim != 2 or table.size == 0 or not np.all(np.isfinite(table)):
        raise ValueError("item means need a table (n, k) of finite scores")
    means: Floats = np.mean(table, axis=1)
    return means


def _reach(table: Floats) -> float:
    return max(UNIT_RANGE, float(np.max(np.abs(table))))


def _two_source_t(seed_gains: Floats, gains: Floats, *, bar: float, alpha: float, reach: float) -> MeanTest:
    """The t test whose squared half-width sums those of the seeds and of the items."""
    seeds, n, mean = len(seed_gains), len(gains), float(np.mean(gains))
    if max(np.ptp(seed_gains), np.ptp(gains)) <= ROUNDING * reach:
        return constant_difference(mean, seeds, bar=bar, alpha=alpha, reach=reach)
    from_seeds = float(np.var(seed_gains, ddof=1)) / seeds
    from_items = float(np.var(gains, ddof=1)) / n

    def half_width(level: float) -> float:
        over_seeds, over_items = stdtrit(seeds - 1, level), stdtrit(n - 1, level)
        return sqrt(float(over_seeds**2 * from_seeds + over_items**2 * from_items))

    tail = 0.5
    distance = abs(mean - bar)
    if distance >= half_width(SMALLEST_P):
        tail = SMALLEST_P
    elif distance > 0:
        tail = float(brentq(lambda level: half_width(level) - distance, SMALLEST_P, 0.5, xtol=1e-15))
    p_value = tail if mean > bar else 1 - tail
    half = half_width(alpha)
    return MeanTest(low=mean - half, high=mean + half, p_value=p_value, p_reverse=1 - p_value)
