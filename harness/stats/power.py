"""Say before a run what the exact one-sided McNemar test can detect.

`changing` is the share of examples on which candidate and baseline are expected to differ. A gain needs at
least as many changes, so a larger gain raises it to itself.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtrc
from scipy.stats import binom

# Numbers of changing examples further from their mean than this many standard deviations hold < 1e-14 of it.
DEVIATIONS = 8


def chance_to_ship(n: int, gain: float, changing: float, alpha: float) -> float:
    """Return the exact power for n pairs: the chance that p <= alpha at this true gain (a fraction).

    Raises:
        ValueError: n < 1, gain outside [-1, 1], changing outside [0, 1], or alpha outside (0, 0.5).

    Source: McNemar 1947; the sum over the number of discordant pairs.
    """
    if n < 1 or not -1 <= gain <= 1:
        raise ValueError(f"need n >= 1 and a gain in [-1, 1], not {n} and {gain}")
    _require_rates(changing, alpha)
    changing = max(changing, abs(gain))
    if changing == 0:
        return 0.0
    discordant = _likely_counts(n, changing)
    needed = binom.isf(alpha, discordant, 0.5) + 1  # the fewest wins with P(X >= wins) <= alpha
    win_share = (changing + gain) / (2 * changing)
    wins = np.where(needed <= discordant, bdtrc(np.minimum(needed, discordant) - 1, discordant, win_share), 0)
    return float(np.sum(binom.pmf(discordant, n, changing) * wins))


def smallest_detectable_gain(n: int, changing: float, alpha: float, power: float = 0.8) -> float | None:
    """Return the smallest true gain (a fraction) that n pairs show with this power; None when none is.

    Raises:
        ValueError: as `chance_to_ship`, or power outside (0, 1).
    """
    _require_power(power)
    if chance_to_ship(n, 1.0, changing, alpha) < power:
        return None
    missed, shown = 0.0, 1.0
    while shown - missed > 1e-5:
        middle = (missed + shown) / 2
        enough = chance_to_ship(n, middle, changing, alpha) >= power
        missed, shown = (missed, middle) if enough else (middle, shown)
    return shown


def examples_needed(min_effect: float, changing: float, alpha: float, power: float = 0.8) -> int:
    """Return how many pairs show a true gain of `min_effect` with this power.

    Exact tests are not quite monotone in n; the number returned reaches the power and one fewer does not.

    Raises:
        ValueError: min_effect outside (0, 1], changing outside [0, 1], or alpha or power out of range.
    """
    _require_power(power)
    if not 0 < min_effect <= 1:
        raise ValueError(f"the smallest effect must lie in (0, 1], not {min_effect}")
    too_few, enough = 0, 1
    while chance_to_ship(enough, min_effect, changing, alpha) < power:
        too_few, enough = enough, 2 * enough
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        reached = chance_to_ship(middle, min_effect, changing, alpha) >= power
        too_few, enough = (too_few, middle) if reached else (middle, enough)
    return enough


def _likely_counts(n: int, changing: float) -> NDArray[np.float64]:
    """The numbers of changing examples worth summing over."""
    mean, deviation = n * changing, sqrt(n * changing * (1 - changing))
    low = max(0, int(mean - DEVIATIONS * deviation) - 20)
    high = min(n, int(mean + DEVIATIONS * deviation) + 20)
    return np.arange(low, high + 1, dtype=float)


def _require_rates(changing: float, alpha: float) -> None:
    if not 0 <= changing <= 1:
        raise ValueError(f"the share of changing examples must lie in [0, 1], not {changing}")
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha must lie between 0 and 0.5, not {alpha}")


def _require_power(power: float) -> None:
    if not 0 < power < 1:
        raise ValueError(f"power must lie between 0 and 1, not {power}")
