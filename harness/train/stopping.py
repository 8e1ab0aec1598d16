"""When to stop, from the validation losses alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class StopDecision:
    """Whether to stop now, which measurement is the best so far, and why."""

    stop: bool
    best: int
    reason: str


def decide_stop(losses: Sequence[float], *, patience: int, min_delta: float) -> StopDecision:
    """Judge the losses measured so far (nats per token, the first one before training).

    A measurement counts as better only when it is lower than the best by more than `min_delta`; `patience`
    measurements in a row without that end the training. A non-finite loss ends it at once and is never best.

    Raises:
        ValueError: no loss was measured, or the first one is not finite.
    """
    if not losses or not math.isfinite(losses[0]):
        raise ValueError("the first validation loss must be measured and finite")
    best = 0
    for index, loss in enumerate(losses):
        if not math.isfinite(loss):
            reason = f"the validation loss became {loss} at measurement {index}"
            return StopDecision(stop=True, best=best, reason=reason)
        if loss < losses[best] - min_delta:
            best = index
        elif index - best >= patience:
            reason = (
                f"the validation loss has not improved by more than {min_delta:g} in {patience} measurements: "
                f"{losses[best]:.4f} at its best, {loss:.4f} now"
            )
            return StopDecision(stop=True, best=best, reason=reason)
    return StopDecision(stop=False, best=best, reason="")
