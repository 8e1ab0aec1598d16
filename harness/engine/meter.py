"""Exact counts of what a run computed."""

from __future__ import annotations

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
