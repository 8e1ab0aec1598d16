"""Exact counts of what a run computed."""

from __future__ import annotations

from dataclasses import dataclass

from harness.records import Counters


@dataclass(slots=True)
class Meter:
    """Counts that the engine adds to as it works; `reading` freezes them."""

    trained_tokens: int = 0
    generated_tokens: int = 0
    forwarded_tokens: int = 0
    model_loads: int = 0

    def reading(self) -> Counters:
        """The counts so far."""
        return Counters(
            trained_tokens=self.trained_tokens,
            generated_tokens=self.generated_tokens,
            forwarded_tokens=self.forwarded_tokens,
            model_loads=self.model_loads,
        )
