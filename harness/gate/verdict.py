"""From check results to ship, hold or undecided: the one place where it is decided."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import ExitCode
from harness.gate.checks import adapter_is_live, run_check
from harness.gate.evidence import Evidence
from harness.records import CheckResult, Decision, Verdict
from harness.suite.schema import Suite

EXIT_CODES: dict[Decision, ExitCode] = {
    "ship": ExitCode.SHIP,
    "hold": ExitCode.HOLD,
    "undecided": ExitCode.UNDECIDED,
}


def decide(suite: Suite, evidence: Evidence) -> Verdict:
    """Run every check of the suite on the evidence, and the one that is always on, and decide."""
    results = [result for check in suite.checks for result in run_check(check, evidence, suite.statistics)]
    results.append(adapter_is_live(evidence))
    decision = decide_from_checks(results)
    notes = tuple(f"{name} is absent: {why}" for name, why in evidence.absent.items())
    return Verdict(decision=decision, sentence=_sentence(decision, results), checks=tuple(results), notes=notes)


def decide_from_checks(results: Sequence[CheckResult]) -> Decision:
    """A failed blocking check holds; an undecided one, or none at all, leaves it undecided; else it ships."""
    blocking = [result for result in results if result.blocking]
    if any(result.status == "fail" for result in blocking):
        return "hold"
    if not blocking or any(result.status != "pass" for result in blocking):
        return "undecided"
    return "ship"


def _sentence(decision: Decision, results: Sequence[CheckResult]) -> str:
    """Why, in one sentence with the numbers that decided."""
    blocking = [result for result in results if result.blocking]
    if decision == "ship":
        return _capital("; ".join(filter(None, (_beats(blocking), *map(_kept, blocking)))) + ".")
    wanted = "fail" if decision == "hold" else "undecided"
    found = [result for result in blocking if result.status == wanted]
    if not found:
        return "Nothing was checked, so nothing is decided."
    return _capital("; ".join(map(_lost if decision == "hold" else _open, found)) + ".")


def _beats(results: Sequence[CheckResult]) -> str:
    beaten = [result for result in results if result.kind == "better_than"]
    closest = min(beaten, key=lambda result: result.observed or 0.0)
    arms = len({result.baseline for result in beaten})
    every = f"all {arms} baselines" if arms > 1 else f"{closest.baseline}, the only baseline,"
    gain = f"+{100 * (closest.observed or 0.0):.1f} points"
    return f"beats {every} on {closest.n} test examples (closest: {closest.baseline}, {gain})"


def _kept(result: CheckResult) -> str:
    if result.kind == "valid_output":
        return f"{result.observed:.1%} of {result.n:,} answers are valid"
    if result.kind == "benchmark_drop":
        moved = 100 * (result.observed or 0.0)
        return f"general ability {'fell' if moved < 0 else 'rose'} {abs(moved):.1f} points, within the margin"
    return ""


def _lost(result: CheckResult) -> str:
    if result.kind == "better_than":
        return f"worse than {result.baseline} by {-100 * (result.observed or 0.0):.1f} points"
    if result.kind == "valid_output":
        return f"only {result.observed:.1%} of {result.n:,} answers are valid, the bar is {result.limit:.1%}"
    if result.kind == "benchmark_drop" and result.observed is not None:
        return f"general ability fell {-100 * result.observed:.1f} points, past the margin"
    return result.reason


def _open(result: CheckResult) -> str:
    if result.kind == "better_than" and result.observed is not None:
        gain = f"{100 * result.observed:+.1f} points on {result.n} examples"
        return f"not shown to beat {result.baseline} ({gain})"
    if result.kind == "valid_output" and result.observed is not None:
        return f"{result.observed:.2%} of {result.n:,} answers are valid, too close to the bar of {result.limit:.2%}"
    if result.kind == "benchmark_drop" and result.observed is not None:
        return f"general ability moved {100 * result.observed:+.1f} points, too close to the margin"
    return result.reason


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
