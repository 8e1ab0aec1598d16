"""Compare two paired proportions from the four counts of a 2x2 table.

Counts are named by (candidate right, baseline right): `n11` both, `n10` the candidate only (wins), `n01` the
baseline only (losses), `n00` neither. `delta` is the candidate's proportion minus the baseline's. The score
method also takes fractional counts, such as those of a weighted sample.
"""

from __future__ import annotations

from math import copysign, inf, isfinite, sqrt

from scipy.optimize import brentq
from scipy.special import betainc, ndtr, ndtri


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
