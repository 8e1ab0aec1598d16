"""What every system is: something with a name that answers examples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from harness.records import Example, Prediction


class System(Protocol):
    """An arm of the comparison."""

    @property
    def name(self) -> str:
        """Its name in the suite."""

    @property
    def kind(self) -> str:
        """What kind of system it is, as declared."""

    @property
    def role(self) -> str:
        """Candidate, baseline or replica (the candidate's recipe with another seed)."""

    def signature(self) -> str:
        """One line that says how the answers come about: model, adapter, prompt, decoding."""

    def note(self) -> str:
        """What a reader of its answers should know; empty when there is nothing."""

    def answer(self, examples: Sequence[Example], dataset: str) -> Iterator[Prediction]:
        """One prediction for each example, in any order; a failed row has `error` set and is never left out."""

    def plan(self, examples: Sequence[Example], dataset: str) -> tuple[int, int, int]:
        """What `answer` would do: prompt tokens to read, answers to write, and answers that are stored."""
