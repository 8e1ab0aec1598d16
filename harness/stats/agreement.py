"""How far raters agree beyond chance: Krippendorff's alpha for ordered values, and the share of equal pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from math import isfinite


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """The agreement on the units that at least two raters judged."""

    alpha: float | None  # 1 is perfect, 0 is chance; None where all values are equal and chance explains everything
    agreeing: int  # pairs of equal values given to the same unit
    pairs: int
    units: int

    @property
    def share(self) -> float:
        """The share of pairs that are equal, chance included."""
        return self.agreeing / self.pairs


def ordinal_agreement(units: Sequence[Sequence[float]]) -> Agreement:
    """Return Krippendorff's alpha with the ordinal metric, and the share of equal pairs.

    `units` holds the values that each unit was given, in any order; a unit with fewer than two is passed over.
    Values are ordered and their distance is how many of the values given lie between them, so that taking a tie for a
    win disagrees less than taking a loss for a win. Exact rational arithmetic until the last division.

    Raises:
        ValueError: a value that is not finite, or no unit with two values.

    Source: Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability" (any number of raters, missing data).
    """
    shared = [Counter(values) for values in units if len(values) > 1]
    if not shared:
        raise ValueError("agreement needs at least one unit with two values")
    if not all(isfinite(value) for counts in shared for value in counts):
        raise ValueError("every value must be finite")
    totals = sum(shared, Counter[float]())
    observed, agreeing, pairs = Fraction(0), 0, 0
    distances = _ordinal_distances(totals)
    for counts in shared:
        size = counts.total()
        observed += Fraction(_disagreement(counts, distances), size - 1)
        agreeing += sum(count * (count - 1) // 2 for count in counts.values())
        pairs += size * (size - 1) // 2
    expected = Fraction(_disagreement(totals, distances), totals.total() - 1)
    alpha = float(1 - observed / expected) if expected else None
    return Agreement(alpha=alpha, agreeing=agreeing, pairs=pairs, units=len(shared))


def _ordinal_distances(totals: Counter[float]) -> dict[tuple[float, float], int]:
    """Four times Krippendorff's squared ordinal distance of each two values, lower first: a whole number."""
    order = sorted(totals)
    return {
        (low, high): (2 * sum(totals[value] for value in order if low <= value <= high) - totals[low] - totals[high])
        ** 2
        for low, high in combinations(order, 2)
    }


def _disagreement(counts: Counter[float], distances: dict[tuple[float, float], int]) -> int:
    """The distances summed over all pairs of values."""
    return sum(counts[low] * counts[high] * distances[low, high] for low, high in combinations(sorted(counts), 2))
