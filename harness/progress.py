"""How a long stage tells how far it is: the port, a silent one, and one that prints with the time still to go."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self, TextIO

from harness.clock import monotonic_seconds
from harness.environment import value

LINE_SECONDS = 30.0  # between two lines of one stage, where lines stay: a log of CI, a file
REDRAW_SECONDS = 0.1  # between two states of the one line that a terminal shows
_REDRAW = "\r\x1b[2K"  # back to the first column, and the line empty


class Progress(Protocol):
    """What a stage reports to."""

    def start(self, stage: str, total: int) -> None:
        """A stage begins that will take `total` steps; 0 when nobody knows. The stage before it is over."""

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
    """On a terminal one line that is redrawn; in CI or a file a line at most every 30 s, and one as a stage ends.

    As a context manager it also tells the end of the last stage, whether it was completed or left early.
    """

    def __init__(self, stream: TextIO | None = None, *, seconds: Callable[[], float] = monotonic_seconds) -> None:
        """`seconds` reads a clock that never goes back."""
        given = stream or sys.stderr
        self._seconds = seconds
        # A CI service may give its jobs a terminal, yet keeps every state of the line in its log.
        self._redraws = given.isatty() and value("CI") is None and value("TERM") != "dumb"
        # The command line's streams show escapes as marks; a line is drawn anew by some of our own.
        self._stream = getattr(given, "unguarded", given) if self._redraws else given
        self._stage, self._total, self._done, self._note = "", 0, 0, ""
        self._began = self._shown = seconds()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def start(self, stage: str, total: int) -> None:
        """End the stage before, and begin counting anew."""
        self._end()
        self._stage, self._total, self._done, self._note = stage, total, 0, ""
        self._began = self._seconds()
        self._show(f"{stage}: {total:,} to do" if total else f"{stage} ...")

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Count, and show it when it is time to, or when the stage is complete."""
        if not self._stage:
            return  # it is complete, and said so
        self._done, self._note = self._done + steps, note
        if self._total and self._done >= self._total:
            self._end()
        elif self._seconds() - self._shown >= (REDRAW_SECONDS if self._redraws else LINE_SECONDS):
            self._show(f"{self._stage}: {self._so_far()}{self._to_go()}{self._tail()}")

    def say(self, line: str) -> None:
        """Print one line that stays."""
        self._write(f"{_REDRAW if self._redraws else ''}  {_printable(line)}\n")

    def _end(self) -> None:
        """Print the line that stays of a stage, once."""
        if self._stage:
            so_far = f"{self._so_far()} " if self._done else ""
            self.say(f"{self._stage}: {so_far}in {_clock(self._seconds() - self._began)}{self._tail()}")
        self._stage = ""

    def _so_far(self) -> str:
        return f"{self._done:,}/{self._total:,}" if self._total else f"{self._done:,}"

    def _to_go(self) -> str:
        if not self._total or not self._done:
            return ""
        spent = self._seconds() - self._began
        return f"  {_clock(spent / self._done * (self._total - self._done))} to go"

    def _tail(self) -> str:
        return f"  {self._note}" if self._note else ""

    def _show(self, line: str) -> None:
        """Redraw the line of the stage, or print one."""
        self._shown = self._seconds()
        if self._redraws:
            width = max(shutil.get_terminal_size().columns - 3, 1)
            self._write(f"{_REDRAW}  {_printable(line)[:width]}")
        else:
            self.say(line)

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _printable(line: str) -> str:
    """The line without what a terminal would obey: a note may quote a server or a file."""
    return "".join(character if character.isprintable() else "\ufffd" for character in line)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
