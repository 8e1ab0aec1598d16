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
    results = [adapter_is_live(evidence)]
    for check in suite.checks:
        results += run_check(check, evidence, suite.statistics)
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
    blocking = [result for result in results if result.blocking]
    if decision == "ship":
        gains = [r for r in blocking if r.kind == "better_than" and r.observed is not None]
        least = min(gains, key=lambda result: result.observed or 0.0, default=None)
        head = f"All {len(blocking)} blocking checks pass"
        if least is None or least.observed is None:
            return f"{head}."
        return f"{head}; the closest alternative is {least.baseline}, beaten by {100 * least.observed:.1f} points."
    wanted = "fail" if decision == "hold" else "undecided"
    found = [result for result in blocking if result.status == wanted]
    if not found:
        return "Nothing was checked, so nothing is decided."
    first = f"{found[0].name}: {found[0].reason}"
    more = f" ({len(found) - 1} more)" if len(found) > 1 else ""
    verb = "failed" if decision == "hold" else "could not be settled"
    return f"{len(found)} of {len(blocking)} blocking checks {verb}. {first}{more}."
