"""Test that a candidate is not worse than a baseline by a margin, on questions drawn per stratum.

The tested quantity is the headroom: the candidate's weighted accuracy minus the lowest acceptable one. Its
lower bound above 0 passes, its upper bound below 0 fails.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from harness.stats.mean_tests import Floats
from harness.stats.paired import paired_scores
from harness.stats.paired_proportions import tango_interval
from harness.stats.proportion import lower_bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Noninferiority:
    """The headroom above the lowest acceptable accuracy, with one-sided bounds, and the drop behind it."""

    value: float  # fraction of accuracy
    low: float  # above 0: not worse than the margin allows
    high: float  # below 0: worse than the margin allows
    drop_absolute: float  # baseline minus candidate accuracy
    drop_relative: float | None  # as a share of the baseline's accuracy; None when that is 0
    candidate_accuracy: float
    baseline_accuracy: float
    n: int
    method: str


def relative_noninferiority(
    candidate: ArrayLike,
    baseline: ArrayLike,
    strata: Sequence[str],
    weights: Mapping[str, float],
    *,
    margin: float,
    alpha: float,
) -> Noninferiority:
    """Test that the candidate keeps more than (1 - margin) of the baseline's accuracy.

    The differences are c - (1 - margin) b for 0/1 outcomes (n,); `weights` maps each stratum to its share.
    The bounds are the more conservative of the stratified t and Tango's score interval at the weights'
    effective sample size, against margin x baseline accuracy. The t alone passes five questions without a
    discordant pair, and up to four times too often while lost answers are few; Tango's interval holds there.

    Raises:
        ValueError: outcomes that are not 0 or 1, unequal lengths, no pairs, strata and weights that do not
            match or do not sum to 1, or margin or alpha out of range.

    Source: Miller 2024; Tango 1998; Kish 1965 (effective sample size).
    """
    first, second, item_weights = _weighted_outcomes(candidate, baseline, strata, weights)
    _require_range(margin, alpha)
    floor = margin * float(item_weights @ second)
    low, high = _tango_bounds(first, second, item_weights, alpha)
    t_low, t_high = _stratified_t(first - (1 - margin) * second, strata, item_weights, alpha)
    bounds = min(t_low, low + floor), max(t_high, high + floor)
    method = f"stratified t on c - {1 - margin:g} b, and Tango score interval, the more conservative"
    return _result(first, second, item_weights, floor, bounds, method)


def absolute_noninferiority(
    candidate: ArrayLike,
    baseline: ArrayLike,
    strata: Sequence[str],
    weights: Mapping[str, float],
    *,
    margin: float,
    alpha: float,
) -> Noninferiority:
    """Test that the candidate's accuracy is above the baseline's minus `margin`.

    When all questions weigh the same the bounds are Tango's score interval; otherwise the more conservative
    of the stratified t and Tango's interval at the weights' effective sample size.

    Raises:
        ValueError: as `relative_noninferiority`.

    Source: Tango 1998; Kish 1965 (effective sample size).
    """
    first, second, item_weights = _weighted_outcomes(candidate, baseline, strata, weights)
    _require_range(margin, alpha)
    low, high = _tango_bounds(first, second, item_weights, alpha)
    method = "Tango score interval"
    if np.ptp(item_weights) > 1e-9 * np.max(item_weights):
        t_low, t_high = _stratified_t(first - second, strata, item_weights, alpha)
        low, high = min(t_low, low), max(t_high, high)
        method = "stratified t (unequal weights), and Tango score interval, the more conservative"
    return _result(first, second, item_weights, margin, (low + margin, high + margin), method)


def above_chance(correct: int, n: int, chance: float, alpha: float) -> bool:
    """Say whether an accuracy is shown to be above chance: its exact one-sided lower bound is.

    Raises:
        ValueError: n < 1, correct outside 0..n, alpha outside (0, 1), or chance outside [0, 1).
    """
    if not 0 <= chance < 1:
        raise ValueError(f"chance must lie in [0, 1), not {chance}")
    return lower_bound(correct, n, alpha) > chance


def _stratified_t(
    differences: Floats, strata: Sequence[str], item_weights: Floats, alpha: float
) -> tuple[float, float]:
    """Bounds of the weighted mean from the variance within strata, with Satterthwaite's degrees of freedom.

    One question says nothing about its stratum's variance: strata of one share a pooled stratum, whose spread
    includes that between them; a lone one joins the smallest other stratum.
    """
    value, labels = float(item_weights @ differences), np.asarray(_pooled(strata))
    parts = []
    for label in np.unique(labels):
        inside = labels == label
        size = int(np.count_nonzero(inside))
        if size > 1:
            spread = float(np.var(differences[inside], ddof=1))
            parts.append((spread * float(np.sum(item_weights[inside] ** 2)), size - 1))
    variance = sum(part for part, _ in parts)
    if variance == 0:
        return value, value
    df = variance**2 / sum(part**2 / freedom for part, freedom in parts)
    half_width = float(stdtrit(df, 1 - alpha)) * sqrt(variance)
    return value - half_width, value + half_width


def _pooled(strata: Sequence[str]) -> list[int]:
    """The stratum number of each question once strata of one question are pooled."""
    sizes = Counter(strata)
    larger = sorted((label for label, size in sizes.items() if size > 1), key=lambda x: (sizes[x], x))
    numbers = {label: number for number, label in enumerate(larger)}
    lone = len(sizes) - len(larger) == 1
    return [numbers.get(label, 0 if lone else len(larger)) for label in strata]


def _tango_bounds(first: Floats, second: Floats, item_weights: Floats, alpha: float) -> tuple[float, float]:
    """Bounds of the weighted accuracy difference; equal weights give the plain counts."""
    effective = 1 / float(np.sum(item_weights**2))

    def count(where: Floats) -> float:
        return effective * float(item_weights @ where)

    return tango_interval(
        count(first * second),
        count(first * (1 - second)),
        count((1 - first) * second),
        count((1 - first) * (1 - second)),
        1 - 2 * alpha,
    )


def _weighted_outcomes(
    candidate: ArrayLike, baseline: ArrayLike, strata: Sequence[str], weights: Mapping[str, float]
) -> tuple[Floats, Floats, Floats]:
    """The outcomes, and the weight of each question: its stratum's share over the stratum's questions."""
    first, second = paired_scores(candidate, baseline)
    if not np.all(np.isin(first, (0, 1)) & np.isin(second, (0, 1))):
        raise ValueError("outcomes must be 0 or 1")
    if len(strata) != len(first):
        raise ValueError(f"{len(strata)} strata for {len(first)} pairs")
    sizes = Counter(strata)
    if sizes.keys() != weights.keys():
        raise ValueError(f"strata without a weight or without a question: {sizes.keys() ^ weights.keys()}")
    shares = np.array(list(weights.values()))
    if not (np.all(shares >= 0) and abs(float(shares.sum()) - 1) <= 1e-6):
        raise ValueError("the weights must be shares that sum to 1")
    return first, second, np.array([weights[label] / sizes[label] for label in strata])


def _require_range(margin: float, alpha: float) -> None:
    if not 0 < margin < 1:
        raise ValueError(f"the margin must lie between 0 and 1, not {margin}")
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha must lie between 0 and 0.5, not {alpha}")


def _result(
    first: Floats,
    second: Floats,
    item_weights: Floats,
    floor: float,
    bounds: tuple[float, float],
    method: str,
) -> Noninferiority:
    candidate, baseline = float(item_weights @ first), float(item_weights @ second)
    drop = baseline - candidate
    return Noninferiority(
        value=floor - drop,
        low=bounds[0],
        high=bounds[1],
        drop_absolute=drop,
        drop_relative=drop / baseline if baseline > 0 else None,
        candidate_accuracy=candidate,
        baseline_accuracy=baseline,
        n=len(first),
        method=method,
    )
