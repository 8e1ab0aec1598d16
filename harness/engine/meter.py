"""Exact counts of what a run computed, and the memory that it took."""

from __future__ import annotations

import resource
import sys
from dataclasses import asdict, dataclass

from harness.records import Counters


@dataclass(slots=True)
class Meter:
    """Counts that the engine adds to as it works; `reading` freezes them."""

    trained_tokens: int = 0
    generated_tokens: int = 0
    forwarded_tokens: int = 0
    model_loads: int = 0
    decoded_rows: int = 0
    head_rows: int = 0
    tokenizer_calls: int = 0
    stored_answers: int = 0
    stored_scores: int = 0

    def reading(self) -> Counters:
        """The counts so far."""
        return Counters(**asdict(self))


def peak_bytes() -> int:
    """The most memory that this process has held; on a GPU, there."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
