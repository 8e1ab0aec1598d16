"""The exception tree and the exit codes: every expected failure has one class and one code."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """What the process returns; the README prints this table."""

    SHIP = 0
    BROKE = 1
    INVALID = 2
    HOLD = 3
    UNDECIDED = 4
    REFUSED = 5
    INTERRUPTED = 130


class HarnessError(Exception):
    """An expected failure: the message says what, where, why and what to do; no traceback is shown."""

    exit_code = ExitCode.BROKE


class BrokenRunError(HarnessError):
    """Something broke while running or reading evidence; nothing is said about the model (exit 1)."""


class InvalidInputError(HarnessError):
    """Wrong usage, an invalid suite or invalid data; refused before anything runs (exit 2)."""

    exit_code = ExitCode.INVALID


class EvidenceRefusedError(HarnessError):
    """Evidence that was tampered with, is stale, or does not match (exit 5)."""

    exit_code = ExitCode.REFUSED


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: "; did you mean 'epochs'?", or "" when no known one is like it."""
    close = difflib.get_close_matches(given, list(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
