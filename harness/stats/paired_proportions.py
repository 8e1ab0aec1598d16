"""Compare two paired proportions from the four counts of a 2x2 table.

Counts are named by (candidate right, baseline right): `n11` both, `n10` the candidate only (wins), `n01` the
baseline only (losses), `n00` neither. `delta` is the candidate's proportion minus the baseline's. The score
method also takes fractional counts, such as those of a weighted sample.
"""

from __future__ import annotations

from math import copysign, inf, isfinite, pi, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import betainc, gammaln, ndtr, ndtri, xlogy

NUISANCE_POINTS = 300  # a grid ten times as fine moves no p-value by more than 1 in 5,000
# Losses further from their mean than this many standard deviations (and 20) hold < 1e-14 of the chance.
DEVIATIONS = 8
TIE = 1e-9  # statistics closer than this are equal but for float rounding


def mcnemar_exact(wins: int, losses: int) -> float:
    """Return the one-sided exact p-value of "wins are no likelier than losses"; 1 without discordant pairs.

    Raises:
        ValueError: a count is negative.

    Source: McNemar 1947; the exact conditional form is P(X >= wins) with X ~ Binomial(wins + losses, 1/2).
    """
    if wins < 0 or losses < 0:
        raise ValueError(f"counts must not be negative: {wins} wins, {losses} losses")
    return 1.0 if wins == 0 else float(betainc(wins, losses + 1, 0.5))


def mcnemar_midp(wins: int, losses: int) -> float:
    """Return the one-sided mid-p-value, which counts half of the outcome seen; 1/2 without discordant pairs.

    It is less conservative than the exact test, and may exceed alpha slightly.

    Raises:
        ValueError: a count is negative.

    Source: Lancaster 1961; recommended by Fagerland et al. 2013.
    """
    more_wins = mcnemar_exact(wins + 1, losses - 1) if losses > 0 else 0.0
    return (mcnemar_exact(wins, losses) + more_wins) / 2


def tango_p_value(n11: float, n10: float, n01: float, n00: float, margin: float) -> float:
    """Return the one-sided score p-value of "delta <= margin".

    The test in the other direction is `tango_p_value(n11, n01, n10, n00, -margin)`.

    Raises:
        ValueError: a count is negative or not finite, there are no pairs, or margin is outside [-1, 1].

    Source: Tango 1998.
    """
    n = _total(n11, n10, n01, n00)
    if not -1 <= margin <= 1:
        raise ValueError(f"the margin must lie between -1 and 1, not {margin}")
    return float(ndtr(-_score(n10, n01, n, margin)))


def tango_exact_p_value(n11: int, n10: int, n01: int, n00: int, margin: float) -> float:
    """Return the one-sided p-value of "delta <= margin" by Tango's statistic, without its normal approximation.

    It is the largest chance, over every share of losses there may be, of a table that the statistic puts at
    least as far above the margin as this one; so a test by it errs at most as often as it says. (The normal
    p-value alone lets through 52 ties as "less than 5 points worse", which 6.9 % of bad candidates show.) The
    test in the other direction is `tango_exact_p_value(n11, n01, n10, n00, -margin)`. P-values at neighbouring
    margins may be out of order by a hundredth, since each margin ranks the tables anew.

    Raises:
        ValueError: as `tango_p_value`.

    Source: Hsueh, Liu & Chen 2001 (the unconditional exact test on the restricted score statistic; the largest
    chance under "delta <= margin" is at the margin).
    """
    n = int(_total(n11, n10, n01, n00))
    if not -1 <= margin <= 1:
        raise ValueError(f"the margin must lie between -1 and 1, not {margin}")
    fewest = _fewest_wins(n10, n01, n, margin)
    lowest, highest = max(0.0, -margin), (1 - margin) / 2
    # Closer together towards the ends, where a share changes the few counts most.
    shares = lowest + (highest - lowest) * np.sin(np.linspace(0, pi / 2, NUISANCE_POINTS)) ** 2
    return min(1.0, max(_chance_of_region(fewest, n, float(share), margin) for share in shares))


def tango_interval(n11: float, n10: float, n01: float, n00: float, confidence: float) -> tuple[float, float]:
    """Return the two-sided score interval (low, high) of delta; wide, never empty, without discordant pairs.

    Raises:
        ValueError: a count is negative or not finite, there are no pairs, or confidence is outside (0, 1).

    Source: Tango 1998; recommended by Fagerland et al. 2013.
    """
    n = _total(n11, n10, n01, n00)
    z = _critical(confidence)
    return _score_low(n10, n01, n, z), -_score_low(n01, n10, n, z)


def newcombe_interval(n11: int, n10: int, n01: int, n00: int, confidence: float) -> tuple[float, float]:
    """Return Newcombe's square-and-add interval (low, high) of delta, a closed form beside Tango's.

    Raises:
        ValueError: a count is negative or not finite, there are no pairs, or confidence is outside (0, 1).

    Source: Newcombe 1998, method 10.
    """
    n = _total(n11, n10, n01, n00)
    z = _critical(confidence)
    first, second = (n11 + n10) / n, (n11 + n01) / n
    first_low, first_high = _wilson(first, n, z)
    second_low, second_high = _wilson(second, n, z)
    phi = _correlation(n11, n10, n01, n00)

    def distance(a: float, b: float) -> float:
        return sqrt(max(0.0, a * a - 2 * phi * a * b + b * b))

    delta = first - second
    low = delta - distance(first - first_low, second_high - second)
    high = delta + distance(first_high - first, second - second_low)
    return low, high


def _score(wins: float, losses: float, n: float, delta: float) -> float:
    """Tango's statistic: the distance from delta in standard errors at the likeliest nuisance."""
    a = 2 * n
    b = -wins - losses + (2 * n - wins + losses) * delta
    c = -losses * delta * (1 - delta)
    loss_share = (sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    variance = n * (2 * loss_share + delta * (1 - delta))
    distance = wins - losses - n * delta
    if distance == 0:
        return 0.0
    return distance / sqrt(variance) if variance > 0 else copysign(inf, distance)


def _fewest_wins(wins: int, losses: int, n: int, delta: float) -> NDArray[np.int64]:
    """For 0, 1, ... losses the fewest wins whose statistic is at least the one seen, as far as n pairs hold them.

    More losses never need fewer wins (Hsueh, Liu & Chen 2001), so one staircase finds them all.
    """
    reached = _score(wins, losses, n, delta) - TIE
    fewest, needed = [], 0
    for lost in range(n + 1):
        while needed <= n - lost and _score(needed, lost, n, delta) < reached:
            needed += 1
        if needed > n - lost:
            break
        fewest.append(needed)
    return np.array(fewest, dtype=np.int64)


def _chance_of_region(fewest: NDArray[np.int64], n: int, loss_share: float, delta: float) -> float:
    """The chance of at least `fewest[l]` wins with l losses among n pairs, at this share of losses and delta."""
    mean, deviation = n * loss_share, sqrt(n * loss_share * (1 - loss_share))
    low = max(0, int(mean - DEVIATIONS * deviation) - 20)
    high = min(len(fewest) - 1, int(mean + DEVIATIONS * deviation) + 20)
    lost = np.arange(low, high + 1)
    others, needed = n - lost, fewest[low : high + 1]
    win_share = min(max((loss_share + delta) / (1 - loss_share), 0.0), 1.0) if loss_share < 1 else 0.0
    enough = np.where(needed == 0, 1.0, betainc(np.maximum(needed, 1), others - needed + 1, win_share))
    ways = gammaln(n + 1) - gammaln(lost + 1) - gammaln(others + 1)
    chances = np.exp(ways + xlogy(lost, loss_share) + xlogy(others, 1 - loss_share))
    return float(chances @ enough)


def _score_low(wins: float, losses: float, n: float, z: float) -> float:
    """The delta below the estimate at which the statistic reaches z."""
    lowest, estimate = -1 + 1e-12, (wins - losses) / n
    if estimate <= lowest or _score(wins, losses, n, lowest) <= z:
        return -1.0
    return float(brentq(lambda delta: _score(wins, losses, n, delta) - z, lowest, estimate, xtol=1e-13))


def _wilson(p: float, n: float, z: float) -> tuple[float, float]:
    centre = p + z * z / (2 * n)
    half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n)


def _correlation(n11: int, n10: int, n01: int, n00: int) -> float:
    """Newcombe's phi, with his continuity correction of a positive correlation."""
    margins = (n11 + n10) * (n01 + n00) * (n11 + n01) * (n10 + n00)
    if margins == 0:
        return 0.0
    cross = n11 * n00 - n10 * n01
    corrected = max(0.0, cross - (n11 + n10 + n01 + n00) / 2) if cross > 0 else cross
    return corrected / sqrt(margins)


def _critical(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")
    return float(-ndtri((1 - confidence) / 2))


def _total(*counts: float) -> float:
    if not all(isfinite(count) and count >= 0 for count in counts):
        raise ValueError(f"counts must be finite and not negative: {counts}")
    if not sum(counts) > 0:
        raise ValueError("a comparison needs at least one pair")
    return sum(counts)
