"""Ship, hold or undecided from what the checks found, and the exit code of each; no statistics are loaded for this."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import ExitCode
from harness.findings import CheckResult, Decision, Status

EXIT_CODES: dict[Decision, ExitCode] = {
    "ship": ExitCode.SHIP,
    "hold": ExitCode.HOLD,
    "undecided": ExitCode.UNDECIDED,
}


# What a single comparison amounts to when it is all there is.
STATUS_DECISIONS: dict[Status, Decision] = {"pass": "ship", "fail": "hold", "undecided": "undecided"}


def decide_from_checks(results: Sequence[CheckResult]) -> Decision:
    """A failed blocking check holds; an undecided one, or none at all, leaves it undecided; else it ships."""
    blocking = [result for result in results if result.blocking]
    if any(result.status == "fail" for result in blocking):
        return "hold"
    # That the adapter does something is no evidence that it does anything well.
    declared = [result for result in blocking if result.kind != "adapter_is_live"]
    if not declared or any(result.status == "undecided" and not result.accepted for result in blocking):
        return "undecided"
    return "ship"
