"""General rows mixed into the training rows, so that general ability is not unlearned."""

from __future__ import annotations

import random
from collections.abc import Sequence

from harness.records import Example


def draw_mix(rows: int, general: Sequence[Example], *, share: float, seed: int) -> tuple[Example, ...]:
    """Draw general examples so that they are `share` of all (rows / (1 - share) in total), without repeats.

    Source: MISSION 38, a tenth of general data against over-fitting to a format.
    """
    wanted = min(round(rows * share / (1 - share)), len(general))
    return tuple(random.Random(f"mix {seed}").sample(list(general), wanted))
