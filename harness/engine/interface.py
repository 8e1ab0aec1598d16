"""What an engine is that answers and scores in transformers' place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from harness.engine.generate import Generation, GenerationSettings
from harness.engine.loglikelihood import Scored, ScoringUnit

# Prompts (token ids), each with the number of its repetition, by which a sampled one is drawn.
Wave = Sequence[tuple[Sequence[int], int]]


class Engine(Protocol):
    """One base model with adapters, asked for what is computed together; no number depends on what else was asked."""

    @property
    def version(self) -> str:
        """Name and version, as "vllm 0.32.0"."""

    @property
    def facts(self) -> Mapping[str, str]:
        """What its numbers depend on beside those of this machine."""

    def attach(self, name: str, folder: Path) -> None:
        """Take a LoRA adapter; before `start`."""

    def has(self, adapter: str | None) -> bool:
        """Whether it can answer with an adapter, or the base model (None)."""

    def start(self) -> None:
        """Load the base model, with room for the adapters.

        Raises:
            BrokenRunError: it cannot.
        """

    def has_room(self, tokens: int) -> bool:
        """Whether a prompt and what is read or written after it, this many tokens together, fit the longest context."""

    def answer(self, wave: Wave, settings: GenerationSettings, *, adapter: str | None) -> list[Generation]:
        """Answer every prompt of a wave, without a grammar; as `generate_wave` does.

        Raises:
            BrokenRunError: it refuses a prompt.
        """

    def score(self, unit: ScoringUnit, *, adapter: str | None) -> list[Scored]:
        """The scores of a unit, in the order of `unit.requests`; as `score_unit` gives them.

        Raises:
            BrokenRunError: it refuses a prompt.
        """
