"""How a long stage tells how far it is: the port, a silent one, and one that prints lines with a time to go."""

from __future__ import annotations

import sys
from typing import Protocol, TextIO

from harness.clock import monotonic_seconds

LINES_PER_STAGE = 10


class Progress(Protocol):
    """What a stage reports to."""

    def start(self, stage: str, total: int) -> None:
        """A stage begins that will take `total` steps."""

    def advance(self, steps: int = 1, note: str = "") -> None:
        """`steps` more are done."""

    def say(self, line: str) -> None:
        """One line for the person who waits."""


class SilentProgress:
    """Says nothing."""

    def start(self, stage: str, total: int) -> None:
        """Ignore."""

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Ignore."""

    def say(self, line: str) -> None:
        """Ignore."""


class PrintedProgress:
    """Plain lines on standard error, about ten a stage, each with the time still to go."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._stage, self._total, self._done, self._shown = "", 0, 0, 0
        self._began = monotonic_seconds()

    def start(self, stage: str, total: int) -> None:
        """Begin counting anew."""
        self._stage, self._total, self._done, self._shown = stage, total, 0, 0
        self._began = monotonic_seconds()
        self.say(f"{stage}: {total:,} to do" if total else f"{stage} ...")

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Count, and print when another tenth of the stage is done."""
        self._done += steps
        if not self._total or self._done * LINES_PER_STAGE // self._total <= self._shown:
            return
        self._shown = self._done * LINES_PER_STAGE // self._total
        spent = monotonic_seconds() - self._began
        left = spent / self._done * (self._total - self._done)
        tail = f"  {note}" if note else ""
        self.say(f"{self._stage}: {self._done:,}/{self._total:,}  {_clock(left)} to go{tail}")

    def say(self, line: str) -> None:
        """Print one line at once."""
        self._stream.write(f"  {line}\n")
        self._stream.flush()


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
