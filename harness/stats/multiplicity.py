"""Correct p-values for the number of questions asked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return Holm's step-down adjusted p-values, in the order given; they control the family-wise error.

    Raises:
        ValueError: a p-value is not a number in [0, 1].

    Source: Holm 1979.
    """
    p = np.asarray(p_values, dtype=float)
    if not np.all((p >= 0) & (p <= 1)):  # also false for NaN
        raise ValueError("p-values must be finite numbers in [0, 1]")
    order = np.argsort(p)
    stepped = np.maximum.accumulate(np.arange(len(p), 0, -1) * p[order])
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return tuple(adjusted.tolist())
