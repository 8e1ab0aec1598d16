"""What this process prints: no text of others commands the terminal, or the runner of a CI service, that reads it.

A message, a traceback or a library's warning may quote what a model, a data set or a server wrote.
"""

from __future__ import annotations

import io
import sys
from typing import TextIO, cast


class InertStream(io.TextIOBase):
    """A stream that passes lines on, none of which the runner of a CI service could take for a command."""

    def __init__(self, stream: TextIO) -> None:
        """`stream` gets what is written, a line at a time."""
        self._stream, self._begun, self._open = stream, "", False

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the stream behind."""
        return self._stream.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """How the stream behind treats what it cannot encode."""
        return self._stream.errors

    def writable(self) -> bool:
        """True."""
        return True

    def isatty(self) -> bool:
        """Whether the stream behind is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """That of the stream behind."""
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Pass on every whole line; what is begun waits for its end, or for a flush."""
        lines, newline, self._begun = (self._begun + text).rpartition("\n")
        self._pass_on(lines + newline)
        return len(text)

    def flush(self) -> None:
        """Pass on what is begun, too."""
        begun, self._begun = self._begun, ""
        self._pass_on(begun)
        self._stream.flush()

    def command(self, line: str) -> None:
        """Pass on one line that the runner is to obey, which it does only at the start of a line."""
        self.flush()
        self._stream.write(("\n" if self._open else "") + f"{line}\n")
        self._stream.flush()

    def _pass_on(self, text: str) -> None:
        from harness.report.github import inert

        if text:
            self._stream.write(inert(text))
            self._open = not text.endswith("\n")


class CleanStream(InertStream):
    """An inert stream in which control and invisible characters are visible marks.

    `unguarded` is for those who write escapes of their own and clean what they quote: colours, a line drawn anew.
    """

    def __init__(self, stream: TextIO) -> None:
        self.unguarded = InertStream(stream)
        super().__init__(stream)

    def write(self, text: str) -> int:
        """Pass on every whole line, with nothing in it that a terminal obeys."""
        from harness.report.formatting import clean

        super().write(clean(text))
        return len(text)


def guard_output() -> None:
    """Let nothing that this process prints from here on be a command to a terminal or to a CI service."""
    if not isinstance(sys.stdout, CleanStream):
        sys.stdout = CleanStream(sys.stdout)
    if not isinstance(sys.stderr, CleanStream):
        sys.stderr = CleanStream(sys.stderr)


def unguarded_output() -> TextIO:
    """Standard output, for one who writes escapes of his own and cleans what he quotes."""
    return cast(TextIO, getattr(sys.stdout, "unguarded", sys.stdout))
